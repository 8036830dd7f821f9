"""KServe's Python server: a custom model. Run with  python -m benchmarks.peers.apps.kserve --http_port N ..."""

from __future__ import annotations

from typing import Any

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer

from benchmarks.peers.apps.onnx import session_of_environment

DATATYPES = {"float32": "FP32", "int64": "INT64"}


class OnnxModel(Model):  # type: ignore[misc] # kserve lives in another environment
    def load(self) -> bool:
        self.session = session_of_environment()
        self.names = [output.name for output in self.session.get_outputs()]
        self.ready = True
        return True

    async def predict(self, payload: InferRequest, headers: Any = None, response_headers: Any = None) -> InferResponse:
        del headers, response_headers
        tensor = payload.inputs[0]
        answers = self.session.run(None, {tensor.name: tensor.as_numpy()})
        outputs = []
        for name, y in zip(self.names, answers, strict=True):
            output = InferOutput(name, list(y.shape), DATATYPES[y.dtype.name])
            output.set_data_from_numpy(y, binary_data=False)
            outputs.append(output)
        return InferResponse(payload.id or "none", self.name, outputs)


if __name__ == "__main__":
    model = OnnxModel("model")
    model.load()
    ModelServer().start([model])
