"""MLServer: a custom runtime, as its documentation has it. Codecs other than numpy's are left out: they cost more."""

from __future__ import annotations

from typing import Any

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.peers.apps.onnx import session_of_environment


class OnnxModel(MLModel):  # type: ignore[misc] # mlserver lives in another environment
    async def load(self) -> bool:
        self.session = session_of_environment()
        self.names = [output.name for output in self.session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        tensor = payload.inputs[0]
        x = NumpyCodec.decode_input(tensor)
        answers: list[Any] = self.session.run(None, {tensor.name: x})
        outputs = [NumpyCodec.encode_output(name, y) for name, y in zip(self.names, answers, strict=True)]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)
