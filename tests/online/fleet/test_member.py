"""Member: what becomes of lessons where a machine stops to learn between the frame that brought them and its turn."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from servable.domain.problem import Problem
from servable.engine.process.serve import Door as Connection
from servable.errors import NotReady
from servable.online import messages
from servable.online.fleet import member as fleet_member
from servable.online.fleet import said
from servable.online.fleet.last import Last
from servable.online.fleet.member import Member
from servable.online.learners.ftrl import Ftrl
from servable.online.teaching import Teaching
from servable.wire.frames import HEADER
from tests.online.test_teaching import HABITS, SIGNATURE, Door, lesson

DONE = said.encode(said.Done())
TAKEN_OVER = said.encode(said.Done(problem=Problem.of(NotReady("another machine learns by now"))))


class Keeper:
    """The other end of a member's link: says what a keeper would."""

    def __init__(self, stack: ExitStack) -> None:
        self.sock, theirs = socket.socketpair()
        theirs.settimeout(5)
        self.door = Connection(theirs)
        stack.callback(self.sock.close)
        stack.callback(self.door.close)

    def say(self, kind: int, number: int = 0, body: bytes = b"") -> None:
        """Ahead of what it is the answer to: the member finds it when it waits for it."""
        self.sock.sendall(messages.frame(kind, number, body=body))

    def heard(self) -> list[int]:
        """The kinds of all frames until now."""
        self.sock.settimeout(0.01)
        data = b""
        try:
            while more := self.sock.recv(1 << 16):
                data += more
        except TimeoutError:
            pass
        kinds = []
        while data:
            kind, head, body, _, _ = HEADER.unpack_from(data)
            kinds.append(kind)
            data = data[HEADER.size + head + body :]
        return kinds


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    with ExitStack() as stack:
        yield Keeper(stack)


def no_teaching(*shared: object) -> Teaching:
    raise AssertionError(f"it was not to learn: {shared}")


@pytest.fixture
def member(tmp_path: Path, keeper: Keeper) -> Member:
    """One that learns."""

    def make() -> Ftrl:
        return Ftrl(SIGNATURE, [0, 1])

    def teach(*shared: object) -> Teaching:
        return Teaching(make, SIGNATURE, tmp_path, {"numpy": "1"}, HABITS, states=True, shared=shared)  # type: ignore[arg-type]  # the tuple that it takes

    found = Member(make, teach, Last(tmp_path / "last.state"), states=True)
    found.hear(keeper.door, said.KEEP, 0, memoryview(b""))
    keeper.say(said.DONE, 1, DONE)  # the journal, which is empty
    lead = said.encode(said.Lead(0, b""))
    found.hear(keeper.door, said.LEAD, 0, memoryview(lead))
    assert said.STANDS in keeper.heard()
    return found


def brought(member: Member) -> Door:
    """A door whose lesson the member has heard, before its next turn."""
    door = Door()
    member.hear(door, messages.TEACH, 7, memoryview(messages.encode([lesson(1)])))  # type: ignore[arg-type]  # has what it needs
    assert door.of(messages.TAUGHT) == []
    return door


def told(door: Door) -> list[messages.Taken]:
    return [taken for head, _ in door.of(messages.TAUGHT) for taken in messages.taken(head)]


def test_who_brings_a_lesson_as_another_machine_takes_over_is_told(member: Member, keeper: Keeper) -> None:
    door = brought(member)
    keeper.say(said.DONE, 2, TAKEN_OVER)
    member.hear(keeper.door, said.YIELD, 0, memoryview(b""))
    (answer,) = told(door)
    assert answer.problem is not None
    assert "another machine learns by now: send it again" in answer.problem.message


def test_who_brings_a_lesson_as_the_keeper_goes_is_told(member: Member, keeper: Keeper) -> None:
    door = brought(member)
    keeper.sock.close()
    member.forget(keeper.door)
    (answer,) = told(door)
    assert answer.problem is not None
    assert "the shared journal does not answer: send it again" in answer.problem.message


def test_who_brings_a_lesson_as_the_server_stops_finds_it_in_the_journal(member: Member, keeper: Keeper) -> None:
    door = brought(member)
    keeper.say(said.DONE, 2, DONE)
    member.hear(keeper.door, said.END, 0, memoryview(b""))
    (answer,) = told(door)
    assert answer.problem is None
    assert said.APPEND in keeper.heard()


def test_a_keeper_that_says_nothing_holds_nobody_up(
    tmp_path: Path, keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_member, "ANSWERED_S", 0.01)
    found = Member(lambda: Ftrl(SIGNATURE, [0, 1]), no_teaching, Last(tmp_path / "last.state"), states=True)
    found.hear(keeper.door, said.KEEP, 0, memoryview(b""))
    door = brought(found)
    assert keeper.heard() == [messages.TEACH]
    while (pause_ms := found.pause_ms()) != 0:
        assert pause_ms is not None
        assert pause_ms <= 10
    found.turn()
    (answer,) = told(door)
    assert answer.problem is not None
    assert "does not answer, and what was sent may be learned yet" in answer.problem.message
    found.hear(keeper.door, said.ANSWERED, 1, memoryview(messages.encode([messages.Taken(1, 1)])))  # too late
    assert len(told(door)) == 1
