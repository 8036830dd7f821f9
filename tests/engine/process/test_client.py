"""The door's end of a model process, with a real process behind it: small and large tensors, with and without room."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from servable.domain.batch import Batch
from servable.engine.executor import Outcome
from servable.engine.process.client import RemoteExecutor
from servable.engine.process.remote import RemoteModel
from servable.engine.request import Request
from servable.errors import ModelFailed
from tests.custom import custom
from tests.engine.process.started import model_process

MIRROR = """
import servable

class Mirror(servable.PythonModel):
    inputs = {"x": "FP64 [-1, -1]", "t": "BYTES"}
    outputs = {"y": "FP64 [-1, -1]", "t": "BYTES"}

    def predict(self, batch):
        if batch["x"].shape[1] == 13:
            raise ArithmeticError("unlucky")
        return {"y": -batch["x"], "t": batch["t"]}
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with model_process(custom(tmp_path_factory.mktemp("mirror") / "bundle", MIRROR)) as found:
        yield found


def executor_at(address: str) -> RemoteExecutor:
    return RemoteModel("m", [address], lambda _: None, stuck_after_s=60.0, max_answer_bytes=1 << 30).executors()[0]


def rows(count: int, columns: int, seed: int = 0) -> Batch:
    texts = np.array([None if row % 3 else f"row {row} é" for row in range(count)], object)
    return Batch({"x": np.random.default_rng(seed).random((count, columns)), "t": texts})


async def asked(executor: RemoteExecutor, *batches: Batch) -> Outcome | list[Outcome]:
    """One call for several requests."""
    done: asyncio.Future[Outcome | list[Outcome]] = asyncio.get_running_loop().create_future()
    requests = [Request("r", batch, lambda _: None) for batch in batches]
    executor.run(requests, 0.001, lambda outcome, _: done.set_result(outcome))
    return await done


async def mirrored(executor: RemoteExecutor, *batches: Batch) -> None:
    answer = await asked(executor, *batches)
    assert isinstance(answer, Batch)
    together = Batch.join(batches)
    np.testing.assert_array_equal(answer["y"], -together["x"])
    assert answer["t"].tolist() == together["t"].tolist()


async def test_small_and_large_batches_alternate(address: str) -> None:
    executor = executor_at(address)
    for number, count in enumerate((1, 7, 3000, 2, 40_000, 1, 40_000, 5, 3000)):
        await mirrored(executor, rows(count, 20, number))
    await mirrored(executor, rows(2, 20), rows(3, 20))
    executor.close()


async def test_an_answer_is_the_callers_own(address: str) -> None:
    """What the next call writes does not reach it."""
    executor = executor_at(address)
    first = await asked(executor, rows(9000, 20, 1))
    await asked(executor, rows(9000, 20, 2))
    assert isinstance(first, Batch)
    np.testing.assert_array_equal(first["y"], -rows(9000, 20, 1)["x"])
    executor.close()


async def test_an_error_of_the_model_is_the_calls_alone(address: str) -> None:
    executor = executor_at(address)
    error = await asked(executor, rows(1, 13))
    assert isinstance(error, ModelFailed)
    assert "ArithmeticError" in error.message
    assert "unlucky" not in error.message
    await mirrored(executor, rows(1, 12))
    executor.close()


async def test_without_shared_memory_tensors_go_through_the_socket(address: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        executor = executor_at(address)
        for number, count in enumerate((1, 20_000, 1, 20_000)):
            await mirrored(executor, rows(count, 20, number))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await mirrored(executor, rows(20_000, 20))
    executor.close()


async def test_many_doors_are_answered_their_own(address: str) -> None:
    executors = [executor_at(address) for _ in range(5)]

    async def door(number: int) -> None:
        for turn in range(20):
            await mirrored(executors[number], rows(1 + 600 * (turn % 3), 20, 100 * number + turn))

    await asyncio.gather(*(door(number) for number in range(len(executors))))
    for executor in executors:
        executor.close()


async def test_nothing_is_left_open(address: str) -> None:
    open_files = Path("/proc/self/fd")
    before = len(list(open_files.iterdir()))
    for _ in range(20):
        executor = executor_at(address)
        await mirrored(executor, rows(3000, 20))
        executor.close()
    assert len(list(open_files.iterdir())) == before
