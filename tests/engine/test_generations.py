"""Texts on their way through the engine: order, room, deadlines, callers who leave, models that break."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from servable.domain.generation import Message, Piece, Prompt
from servable.domain.record import Record
from servable.engine.generations import Generations
from servable.engine.making import Threads
from servable.engine.said import recorder
from servable.engine.stats import Stats
from servable.errors import DeadlineExceeded, InvalidInput, ModelFailed, NotReady, Overloaded
from tests.engine.teller import Teller

LONG_S = 60.0


def generations(teller: Teller, most: int = 8) -> Generations:
    return Generations(Threads(teller), Stats(), most)


async def whole(texts: Generations, prompt: Prompt, within_s: float = LONG_S) -> list[Piece]:
    return [piece async for piece in texts.ask(prompt, within_s)]


async def until(holds) -> None:
    async with asyncio.timeout(30):
        while not holds():
            await asyncio.sleep(0.001)


async def test_pieces_come_in_order_and_the_last_has_the_counts() -> None:
    texts = generations(Teller())
    pieces = await whole(texts, Prompt("a", max_tokens=3))
    assert [piece.text for piece in pieces] == ["a 0 ", "a 1 ", "a 2 ", ""]
    assert pieces[-1] == Piece("", "length", 1, 3)
    stats = texts._stats
    assert (stats.success, stats.tokens, stats.prompt_tokens, stats.pending, stats.cancelled) == (1, 3, 1, 0, 0)


async def test_each_text_is_recorded_with_what_was_asked_and_said() -> None:
    records: list[Record] = []
    on_said = recorder("teller", "3", records.extend)
    texts = Generations(Threads(Teller()), Stats(), 8, on_said)
    assert len([piece async for piece in texts.ask(Prompt("a", max_tokens=2), LONG_S, "id-1")]) == 3
    with pytest.raises(InvalidInput):
        await whole(texts, Prompt("bad", messages=(Message("user", "hm"),)))
    good, bad = records
    assert (good.id, good.model, good.version, good.rows, good.error) == ("id-1", "teller", "3", 1, "")
    assert good.inputs["prompt"].tolist() == ["a"]
    assert good.outputs["text"].tolist() == ["a 0 a 1 "]
    assert good.outputs["tokens"].tolist() == [2]
    assert good.queue_s > 0
    assert (bad.error, bad.outputs, bad.inputs["prompt"].tolist()) == ("invalid_input", None, ['[["user","hm"]]'])


async def test_as_many_as_there_are_slots_speak_at_once_and_the_rest_wait_their_turn() -> None:
    teller = Teller(slots=2, free=False)
    texts = generations(teller)
    asked = [asyncio.create_task(whole(texts, Prompt(name, max_tokens=2))) for name in "abcd"]
    await until(lambda: len(teller.asked) == 2)
    assert set(teller.asked) == {"a", "b"}
    assert texts.active == 4
    teller.permits.release(8)
    answers = await asyncio.gather(*asked)
    assert [answer[0].text for answer in answers] == ["a 0 ", "b 0 ", "c 0 ", "d 0 "]
    assert texts.active == 0


async def test_beyond_the_limit_callers_are_told_to_ask_again() -> None:
    teller = Teller(free=False)
    texts = generations(teller, most=1)
    first = asyncio.create_task(whole(texts, Prompt("a", max_tokens=1)))
    await until(lambda: texts.active == 1)
    with pytest.raises(Overloaded) as refused:
        await whole(texts, Prompt("b", max_tokens=1))
    assert refused.value.retry_after_s > 0
    teller.permits.release()
    assert len(await first) == 2
    assert texts._stats.failure == {"overloaded": 1}


async def test_a_caller_who_leaves_ends_the_text() -> None:
    teller = Teller(free=False)
    texts = generations(teller)
    teller.permits.release(2)
    async with aclosing(texts.ask(Prompt("a", max_tokens=1000), LONG_S)) as pieces:
        assert (await anext(pieces)).text == "a 0 "
    teller.permits.release(10)
    await until(lambda: teller.ended)
    assert teller.ended[0][1] <= 3
    assert (texts._stats.cancelled, texts.active) == (1, 0)


async def test_a_caller_who_leaves_the_line_is_never_asked_for() -> None:
    teller = Teller(free=False)
    texts = generations(teller)
    first = asyncio.create_task(whole(texts, Prompt("a", max_tokens=1)))
    await until(lambda: teller.asked)
    second = asyncio.create_task(whole(texts, Prompt("b", max_tokens=1)))
    await until(lambda: texts.active == 2)
    second.cancel()
    await until(lambda: texts.active == 1)
    third = asyncio.create_task(whole(texts, Prompt("c", max_tokens=1)))
    teller.permits.release(2)
    await asyncio.gather(first, third)
    assert teller.asked == ["a", "c"]


async def test_time_that_runs_out_ends_it() -> None:
    teller = Teller(free=False)
    texts = generations(teller)
    with pytest.raises(DeadlineExceeded, match=r"within 0.05 s"):
        await whole(texts, Prompt("a", max_tokens=1000), 0.05)
    teller.permits.release(5)
    await until(lambda: teller.ended)
    assert teller.ended == [("a", 0)]


async def test_what_the_model_raises_comes_to_its_caller_alone() -> None:
    texts = generations(Teller(slots=2))
    good, bad, broken = await asyncio.gather(
        *(whole(texts, Prompt(name, max_tokens=1)) for name in ("good", "bad", "broken")), return_exceptions=True
    )
    assert isinstance(good, list)
    assert isinstance(bad, InvalidInput)
    assert isinstance(broken, ModelFailed) and "RuntimeError" in broken.message


async def test_it_drains_and_lets_nobody_in_meanwhile() -> None:
    teller = Teller(free=False)
    texts = generations(teller)
    asked = asyncio.create_task(whole(texts, Prompt("a", max_tokens=2)))
    await until(lambda: texts.active)
    draining = asyncio.create_task(texts.drain())
    await asyncio.sleep(0)
    with pytest.raises(NotReady):
        await whole(texts, Prompt("b", max_tokens=1))
    assert not draining.done()
    teller.permits.release(2)
    assert len(await asked) == 3
    await draining
    texts.close()
