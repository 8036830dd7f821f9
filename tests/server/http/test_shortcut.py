"""Shortcuts as a door has them: who asks in the same turn is answered together, and whatever happens, everybody is."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from servable.domain.endpoint import Endpoint
from servable.errors import NotFound
from servable.server.access.access import Access
from servable.server.access.keys import Keys
from servable.server.http.infer import NOTHING, asked
from servable.server.http.shortcut import Shortcut, Shortcuts
from servable.settings import Settings

ROWS = Endpoint("GET", "/rows/{table}/{key}", "invoker", "rows", "rows")
SUMS = Endpoint("POST", "/sums/{table}", "invoker", "sums", "sums")


class Shelf:
    """Keeps what it was asked together."""

    def __init__(self):
        self.turns = []

    def rows(self, asks):
        self.turns.append([(*path, body) for path, body, _ in asks])
        for (_, key), _, permit in asks:
            permit("model")
            yield NotFound(f"no {key}") if key == "none" else key.encode()

    def sums(self, asks):
        yield b"1"
        raise ZeroDivisionError


def shortcuts(shelf, home, **more):
    rows = Shortcut(ROWS, lambda path: path[0] != "slow", shelf.rows)
    access = Access(Keys(home), required=more.get("require_key", False))
    return Shortcuts([rows, Shortcut(SUMS, lambda _: True, shelf.sums)], access, Settings(home=str(home), **more))


def ask(short, answers, method, url, body=b"", headers=NOTHING):
    found = short.find(method, url)
    assert found is not None
    short.submit(found, headers, body, answers.append)


async def turn(answers, count):
    while len(answers) < count:
        await asyncio.sleep(0)


async def test_who_asks_in_one_turn_is_answered_together(tmp_path):
    shelf, answers = Shelf(), []
    short = shortcuts(shelf, tmp_path)
    for key in (b"a", b"none", b"%C3%A4"):
        ask(short, answers, b"GET", b"/rows/t/" + key)
    assert not answers
    await turn(answers, 3)
    assert [(one.status, one.body) for one in answers[::2]] == [(200, b"a"), (200, "ä".encode())]
    assert answers[1].status == 404
    ask(short, answers, b"GET", b"/rows/t/b", b"body")
    await turn(answers, 4)
    assert shelf.turns == [[("t", "a", b""), ("t", "none", b""), ("t", "ä", b"")], [("t", "b", b"body")]]


@pytest.mark.parametrize(
    ("method", "url"),
    [(b"POST", b"/rows/t/a"), (b"GET", b"/rows/t"), (b"GET", b"/rows/t/a?b"), (b"GET", b"/rows/slow/a")],
)
async def test_what_has_no_shortcut_goes_the_ordinary_way(tmp_path, method, url):
    assert shortcuts(Shelf(), tmp_path).find(method, url) is None


async def test_a_shelf_that_fails_is_told_to_all_who_still_wait(tmp_path, caplog):
    answers = []
    short = shortcuts(Shelf(), tmp_path)
    for _ in range(3):
        ask(short, answers, b"POST", b"/sums/t")
    await turn(answers, 3)
    assert [one.status for one in answers] == [200, 500, 500]
    assert orjson.loads(answers[1].body)["code"] == "internal"
    assert "ZeroDivisionError" in caplog.text
    ask(short, answers, b"GET", b"/rows/t/a")
    await turn(answers, 4)
    assert answers[3].status == 200


async def test_nobody_without_a_key_gets_as_far_as_the_shelf(tmp_path):
    shelf, answers = Shelf(), []
    secret, _ = Keys(tmp_path).create("ada", ["invoker"], ["*"], None)
    short = shortcuts(shelf, tmp_path, require_key=True)
    ask(short, answers, b"GET", b"/rows/t/a")
    assert [one.status for one in answers] == [401]
    ask(short, answers, b"GET", b"/rows/t/b", headers=asked([(b"authorization", b"Bearer " + secret.encode())]))
    await turn(answers, 2)
    assert (answers[1].status, shelf.turns) == (200, [[("t", "b", b"")]])
