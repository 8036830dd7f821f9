"""The channel over a real socketpair: order, questions and answers, large messages, junk, the end of the other side."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from servable.domain.problem import Problem
from servable.domain.route import Route
from servable.engine.plan import Plan, State, Target
from servable.errors import EnvironmentFault, InvalidInput, MissingExtra, NotFound, Overloaded, ServableError
from servable.server.control import (
    Answer,
    Ask,
    Beat,
    Channel,
    ChannelClosed,
    Converge,
    Converged,
    Drain,
    Reply,
    Start,
    Want,
)
from servable.settings import Settings

Pair = Callable[[Channel, Channel], Awaitable[None]]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def connected(request: pytest.FixtureRequest) -> Callable[[Pair], None]:
    """Runs a test between two ends of one channel, on the loop of a supervisor and on that of a door."""

    async def meet(test: Pair) -> None:
        ours, theirs = socket.socketpair()
        parent, door = await Channel.open(ours), await Channel.open(theirs)
        try:
            async with asyncio.timeout(20):
                await test(parent, door)
        finally:
            parent.close()
            door.close()

    def run(test: Pair) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(meet(test))

    return run


def test_messages_arrive_as_they_were_sent_in_order(connected: Callable[[Pair], None]) -> None:
    target = Target("m", "1", "/a b/ü\n.onnx", generation=2)
    plan = Plan((target,), {"m": Route("1", "2", 0.5)}, {"m": {"champion": "1"}})
    sent = [
        Start(Settings(workers=3, allowed_hosts=("a",)), plan, 1, (7, 9), (11,), 0.5),
        Converge(plan, 4),
        Drain(1.5, 30.0),
        Ask("stats", 2),
        Beat(True, "", (State("m", "1", "UNAVAILABLE", "why"),)),
        Want("load", "m", {"config": "{}"}, 3),
        Converged(0, (State("m", "1", "READY"),)),
    ]

    async def test(parent: Channel, door: Channel) -> None:
        for message in sent:
            parent.send(message)
        parent.close()
        assert [message async for message in door] == sent

    connected(test)


def test_answers_find_their_questions_in_any_order(connected: Callable[[Pair], None]) -> None:
    async def test(parent: Channel, door: Channel) -> None:
        async def answer() -> None:
            asked = [message async for _, message in _first(door, 3)]
            for message in reversed(asked):
                assert isinstance(message, Ask)
                door.send(Answer(message.id, message.what * 2))

        replying = asyncio.create_task(answer())
        answers = await asyncio.gather(*(parent.ask(Ask(what)) for what in "abc"))
        assert [a.data for a in answers] == ["aa", "bb", "cc"]
        await replying

    connected(test)


def test_both_sides_may_ask_at_once_with_the_same_numbers(connected: Callable[[Pair], None]) -> None:
    async def test(parent: Channel, door: Channel) -> None:
        wanting = asyncio.create_task(door.want(Want("stats")))
        asking = asyncio.create_task(parent.ask(Ask("stats")))
        want, ask = await anext(aiter(parent)), await anext(aiter(door))
        assert isinstance(want, Want)
        assert isinstance(ask, Ask)
        assert want.id == ask.id
        parent.send(Reply(want.id, "from the parent"))
        door.send(Answer(ask.id, "from the door"))
        assert await wanting == "from the parent"
        assert (await asking).data == "from the door"

    connected(test)


def test_a_large_plan_arrives_whole(connected: Callable[[Pair], None]) -> None:
    plan = Plan(tuple(Target(f"model-{n}", "1", "x" * 1000) for n in range(5000)))

    async def test(parent: Channel, door: Channel) -> None:
        parent.send(Converge(plan, 1))
        parent.send(Ask("stats"))
        inbox = aiter(door)
        assert await anext(inbox) == Converge(plan, 1)
        assert await anext(inbox) == Ask("stats")

    connected(test)


def test_an_error_keeps_its_kind_and_detail(connected: Callable[[Pair], None]) -> None:
    async def test(parent: Channel, door: Channel) -> None:
        wanting = asyncio.create_task(door.want(Want("load", "x")))
        want = await anext(aiter(parent))
        assert isinstance(want, Want)
        parent.send(Reply(want.id, error=Problem.of(NotFound("no model 'x'", known=["y"]))))
        with pytest.raises(NotFound, match="no model 'x'") as caught:
            await wanting
        assert caught.value.body() == {"error": "no model 'x'", "code": "not_found", "known": ["y"]}

    connected(test)


def test_the_end_of_the_other_side_ends_every_wait(connected: Callable[[Pair], None]) -> None:
    async def test(parent: Channel, door: Channel) -> None:
        asking = asyncio.create_task(parent.ask(Ask("stats")))
        await anext(aiter(door))
        door.close()
        with pytest.raises(ChannelClosed):
            await asking
        assert [message async for message in parent] == []
        assert parent.closed
        parent.send(Ask("stats"))  # dropped
        with pytest.raises(ChannelClosed):
            await parent.ask(Ask("stats"))

    connected(test)


def test_a_question_may_give_up_and_its_late_answer_is_dropped(connected: Callable[[Pair], None]) -> None:
    async def test(parent: Channel, door: Channel) -> None:
        with pytest.raises(TimeoutError):
            await parent.ask(Ask("stats"), timeout_s=0.01)
        asked = await anext(aiter(door))
        assert isinstance(asked, Ask)
        door.send(Answer(asked.id, "late"))
        door.send(Beat(ready=True))
        assert await anext(aiter(parent)) == Beat(ready=True)

    connected(test)


def test_what_is_not_understood_is_logged_and_skipped(
    connected: Callable[[Pair], None], caplog: pytest.LogCaptureFixture
) -> None:
    async def test(parent: Channel, door: Channel) -> None:
        door.data_received(b'{"type":"Dance"}\n{"type":"Ask"\nnot json\n{"type":"Ask","what":"stats"}\n')
        assert await anext(aiter(door)) == Ask("stats")
        assert len(caplog.records) == 3
        assert parent is not door

    connected(test)


@pytest.mark.parametrize(
    "error",
    [
        ServableError("x"),
        InvalidInput("x", faults=["f"], example={"inputs": []}),
        Overloaded("x", retry_after_s=2.5, queue=3),
        EnvironmentFault("x", port=80),
    ],
)
def test_errors_survive_the_wire(error: ServableError) -> None:
    again = Problem.of(error).error()
    assert type(again) is type(error)
    assert again.body() == error.body()
    assert vars(again) == vars(error)


def test_a_missing_extra_is_a_fault_of_the_environment() -> None:
    error = MissingExtra("xgboost", "load an XGBoost model")
    again = Problem.of(error).error()
    assert (again.message, again.exit_code) == (error.message, 3)


def test_an_unknown_code_is_a_plain_error() -> None:
    assert type(Problem("from_the_future", "x").error()) is ServableError


async def _first(channel: Channel, count: int):  # type: ignore[no-untyped-def]
    inbox = aiter(channel)
    for number in range(count):
        yield number, await anext(inbox)


def test_an_error_that_somebody_refined_comes_back_as_the_one_of_its_code() -> None:
    class Refined(InvalidInput):
        def __init__(self) -> None:
            super().__init__("refined")

    assert type(Problem.of(Refined()).error()) is InvalidInput
