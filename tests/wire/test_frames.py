"""Frames: what goes in comes out, and nothing that comes in is believed."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from servable.domain.batch import Array, Batch
from servable.domain.datatypes import DTYPES
from servable.domain.problem import Problem
from servable.engine.process.arena import Arena
from servable.errors import ModelFailed
from servable.wire import frames


def sent(batch: Batch, arena: Arena | None = None) -> tuple[bytes, bytes, int]:
    """Head and body of the frame, and the room it would have needed."""
    parts, wanted = frames.batch(frames.CALL, 7, batch, arena, deadline=12.5)
    data = b"".join(bytes(part) for part in parts)
    kind, head, body, number, deadline = frames.HEADER.unpack_from(data)
    assert (kind, number, deadline) == (frames.CALL, 7, 12.5)
    start = frames.HEADER.size + head
    assert len(data) == start + body
    return data[frames.HEADER.size : start], data[start:], wanted


def through(batch: Batch, arena: Arena | None = None, *, copy: bool = True) -> Batch:
    head, body, _ = sent(batch, arena)
    return frames.read_batch(head, memoryview(body), arena, copy=copy)[0]


def same(one: Array, other: Array) -> bool:
    if one.dtype == object:
        return one.dtype == other.dtype and one.shape == other.shape and one.tolist() == other.tolist()
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


@pytest.mark.parametrize("datatype", [name for name in DTYPES if name != "BYTES"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (0, 4), (2, 1, 3)])
def test_every_datatype_and_shape_comes_back(datatype: str, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).integers(0, 2, shape).astype(DTYPES[datatype])
    assert same(through(Batch({"x": array}, 1))["x"], array)


def test_texts_come_back_with_nulls_bytes_and_lone_surrogates() -> None:
    values = ["", "naïve", None, b"\xff\x00", "a\0b", "\U0001f600" * 3]
    array = np.array([*values, None], object)[:-1].reshape(2, 3)
    assert same(through(Batch({"x": array}))["x"], array)


def test_numpy_texts_and_strided_and_foreign_byte_orders_become_plain() -> None:
    batch = Batch({"t": np.array(["a", "bc"]), "s": np.arange(8.0)[::4], "b": np.arange(2, dtype=">i4")})
    back = through(batch)
    assert back["t"].tolist() == ["a", "bc"]
    assert back["s"].tolist() == [0.0, 4.0]
    assert back["b"].dtype == np.int32
    assert back["b"].tolist() == [0, 1]


def test_rows_and_parameters_go_with_it() -> None:
    back = through(Batch({"x": np.zeros((1, 2))}, 1, {"temperature": 0.5, "stop": ["a"]}))
    assert (back.rows, back.parameters) == (1, {"temperature": 0.5, "stop": ["a"]})


def test_large_tensors_lie_in_the_arena_and_small_ones_in_the_frame() -> None:
    large = np.random.default_rng(0).random((1000, 100), np.float32)
    batch = Batch({"x": large, "y": np.arange(1000, dtype=np.int8), "t": np.full(1000, "text", object)})
    arena = Arena.make(frames.room_for(batch))
    head, body, _ = sent(batch, arena)
    assert len(body) == 1000 * 8
    back, _ = frames.read_batch(head, memoryview(body), arena, copy=False)
    assert all(same(back[name], batch[name]) for name in batch)
    arena.write(frames.SLATE, np.zeros_like(large))
    assert not back["x"].any(), "a view, not a copy"
    del back
    arena.close()


def test_what_the_arena_cannot_hold_goes_with_the_frame_and_tells_the_room_it_needs() -> None:
    batch = Batch({"x": np.ones((1000, 100)), "y": np.ones((1000, 100))})
    arena = Arena.make(frames.SLATE + 800_000)
    head, body, wanted = sent(batch, arena)
    assert len(body) == 800_000
    assert frames.SLATE + 1_600_000 <= wanted <= frames.room_for(batch)
    assert same(frames.read_batch(head, memoryview(body), arena, copy=True)[0]["y"], batch["y"])
    arena.close()


def test_a_problem_comes_back_as_the_same_error() -> None:
    data = frames.problem(3, Problem.of(ModelFailed("no", output="y")))
    error = frames.read_problem(data[frames.HEADER.size :]).error()
    assert isinstance(error, ModelFailed)
    assert error.body() == {"error": "no", "code": "model_failed", "output": "y"}


def head_of(*columns: Any, rows: int = 1) -> bytes:
    return frames._encode(frames.Head(rows, tuple(frames.Column(*column) for column in columns)))


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"", b""),
        (b"\xc1", b""),
        (head_of(("x", "FP32", (2,), -1, 8)), b"1234"),
        (head_of(("x", "FP32", (2,), -1, 4)), b"1234"),
        (head_of(("x", "FP32", (1,), -1, 4)), b"12345678"),
        (head_of(("x", "FP32", (-1,), -1, 4)), b"1234"),
        (head_of(("x", "FP32", (1 << 62, 4), -1, 0)), b""),
        (head_of(("x", "FP128", (1,), -1, 16)), bytes(16)),
        (head_of(("x", "FP32", (1,), 1 << 40, 4)), b""),
        (head_of(("x", "FP32", (1,), 4094, 4)), b""),
        (head_of(("x", "FP32", (1,), -2, 4)), b""),
        (head_of(("x", "FP32", (1,), 64, -4)), b""),
        (head_of(("x", "BYTES", (1 << 40,), -1, 4)), b"\0\0\0\0"),
        (head_of(("x", "BYTES", (1,), -1, 4)), b"\5\0\0\0"),
        (head_of(("x", "BYTES", (1,), -1, 9)), b"\1\0\0\0a    "),
    ],
)
def test_lies_are_refused_before_memory_is_taken(head: bytes, body: bytes) -> None:
    arena = Arena.make(4096)
    with pytest.raises(frames.BadFrame):
        frames.read_batch(head, memoryview(body), arena, copy=True)
    arena.close()


def test_noise_is_refused_or_read_and_never_more() -> None:
    chance = random.Random(5)
    good, body, _ = sent(Batch({"x": np.ones((2, 3)), "t": np.array(["a", None], object)}))
    arena = Arena.make(4096)
    for _ in range(3000):
        head = bytearray(good)
        head[chance.randrange(len(head))] = chance.randrange(256)
        try:
            frames.read_batch(bytes(head), memoryview(body), arena, copy=True)
        except frames.BadFrame:
            continue
    arena.close()
