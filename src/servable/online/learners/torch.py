"""TorchLearner: a PyTorch module with its optimiser; a backward pass and a step for each example."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from servable.domain.batch import Array
from servable.errors import CorruptModel
from servable.online.learners.python_learner import PythonLearner
from servable.online.learners.sklearn import matrix


class TorchLearner(PythonLearner):
    """`model` makes the module, `optimiser` what steps it; `loss` is cross entropy for classes, squared for numbers.
    All columns are numbers, side by side, as float32. One thread, and deterministic algorithms.

    `most_norm` bounds the gradient of a step; None: nothing does.
    """

    seed = 0
    most_norm: float | None = None

    def model(self) -> Any:
        """A fresh module: rows of all inputs in, a number for each class (or one) out."""
        raise NotImplementedError(f"{type(self).__name__} has no model")

    def optimiser(self, parameters: Any) -> Any:
        """What steps the module's parameters."""
        import torch

        return torch.optim.SGD(parameters, lr=0.01)

    def loss(self, told: Any, outcomes: Any) -> Any:
        """What a step makes smaller."""
        from torch.nn import functional

        if self.classes:
            return functional.cross_entropy(told, outcomes)
        return functional.mse_loss(told.reshape(-1), outcomes)

    def load(self, folder: Any) -> None:  # noqa: ARG002 - it begins with nothing
        import torch

        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(mode=True)
        torch.manual_seed(self.seed)
        self._module = self.model()
        self._optimiser = self.optimiser(self._module.parameters())
        self._random = torch.get_rng_state()

    def predict(self, batch: dict[str, Array]) -> dict[str, Any]:
        import torch

        self._module.eval()
        with torch.no_grad():
            told = self._module(torch.from_numpy(matrix(batch).astype(np.float32)))
        if not self.classes:
            return {"prediction": told.reshape(-1).numpy().astype(np.float64)}
        shares = torch.softmax(told, dim=1).numpy().astype(np.float64)
        labels = np.array(self.classes, object if isinstance(self.classes[0], str) else np.int64)
        return {"label": labels[shares.argmax(axis=1)], "probabilities": shares}

    def learn(self, batch: dict[str, Array], outcomes: Array) -> None:
        import torch

        if self.classes:
            place = {one: at for at, one in enumerate(self.classes)}
            targets = torch.tensor([place[one] for one in outcomes.tolist()])
        else:
            targets = torch.from_numpy(outcomes.astype(np.float32))
        rows = torch.from_numpy(matrix(batch).astype(np.float32))
        self._module.train()
        torch.set_rng_state(self._random)  # it is one for the whole process: each learner has its own place in it
        for row in range(len(rows)):
            self._optimiser.zero_grad()
            self.loss(self._module(rows[row : row + 1]), targets[row : row + 1]).backward()
            if self.most_norm is not None:
                torch.nn.utils.clip_grad_norm_(self._module.parameters(), self.most_norm)
            self._optimiser.step()
        self._random = torch.get_rng_state()

    @property
    def trained(self) -> Any:
        """The module as it is now."""
        return self._module

    def parameters(self) -> Array:
        """The weights, flat: what a guard watches."""
        return np.concatenate([one.detach().numpy().ravel() for one in self._module.parameters()])

    def snapshot(self) -> bytes:
        """Module, optimiser and random state, as PyTorch writes them."""
        import torch

        held = {
            "module": self._module.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "random": self._random,
        }
        file = io.BytesIO()
        torch.save(held, file)
        return file.getvalue()

    def restore(self, data: bytes) -> None:
        """Take it up: tensors and plain values only."""
        import torch

        try:
            held = torch.load(io.BytesIO(data), weights_only=True)
            self._module.load_state_dict(held["module"])
            self._optimiser.load_state_dict(held["optimiser"])
            self._random = held["random"]
        except Exception as error:
            raise CorruptModel(f"the state of the module is damaged: {error}"[:500]) from error
