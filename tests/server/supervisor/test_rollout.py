"""Changes of the plan, through a whole server: SIGHUP and what doors want, with models that fail, crash or are slow."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.supervised import Load, Server, eventually


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path, {"m": "good"}, workers=2) as server:
        yield server.ready()


def loaded(server: Server) -> list[dict[str, Any]]:
    """`{name: [version, generation]}` of every door."""
    seen: dict[int, dict[str, Any]] = {}
    eventually(lambda: seen.update({(a := server.get())["slot"]: a["loaded"]}) or len(seen) == 2)
    return [seen[0], seen[1]]


def reload(server: Server, outcome: str = "reloaded") -> None:
    """SIGHUP, and wait for its end."""
    before = server.log().count(outcome)
    server.signal(signal.SIGHUP)
    eventually(lambda: server.log().count(outcome) > before, outcome)


def test_a_reload_takes_up_what_is_declared_in_all_doors_and_loads_anew(server: Server) -> None:
    assert loaded(server) == [{"m": ["1", 1]}] * 2
    server.declare({"m": "good", "n": "good"})
    reload(server)
    assert loaded(server) == [{"m": ["1", 2], "n": ["1", 2]}] * 2
    server.declare({"n": "good"})
    reload(server)
    assert loaded(server) == [{"n": ["1", 3]}] * 2


def test_reloads_under_load_lose_nothing(server: Server) -> None:
    server.declare({"m": "slow:0.05"})
    with Load(server.http) as load:
        for _ in range(5):
            reload(server)
        load.further()
    assert load.errors() == []
    assert {seen.answer["ready"] for seen in load.history} == {True}


def test_reloads_asked_for_while_one_goes_on_become_one_more(server: Server) -> None:
    server.declare({"m": "slow:0.3"})
    for _ in range(10):
        server.signal(signal.SIGHUP)
    eventually(lambda: loaded(server) == [{"m": ["1", 2]}] * 2)
    server.declare({"m": "good"})
    reload(server)
    assert loaded(server)[0]["m"][1] <= 4


def test_a_reload_of_an_unreadable_declaration_changes_nothing(server: Server) -> None:
    server.plan_file.write_text("{")
    reload(server, "is no JSON")
    assert loaded(server) == [{"m": ["1", 1]}] * 2
    server.declare({"m": "good"})
    reload(server)
    assert server.pids()


def test_a_name_that_fails_stays_as_it_was_and_the_others_go_on(server: Server) -> None:
    server.declare({"m": "bad:half copied", "n": "good"})
    reload(server, "not taken up, what served before still serves: m:1: half copied")
    assert loaded(server) == [{"m": ["1", 1], "n": ["1", 2]}] * 2
    server.kill_door(1)  # a new door starts with what stands, not with what failed
    assert loaded(server) == [{"m": ["1", 1], "n": ["1", 2]}] * 2


def test_a_new_version_that_kills_its_door_is_given_up_after_one_door(server: Server) -> None:
    server.declare({"m": "crash"})
    reload(server, "door 0 was killed by SIGSEGV while it took up the change")
    assert loaded(server) == [{"m": ["1", 1]}] * 2
    assert [door["replaced"] for door in server.doors()] == [1, 0]


def test_load_and_unload_concern_one_name(server: Server) -> None:
    server.declare({"m": "good", "n": "good", "o": "good"})
    ready = {"name": "n", "version": "1", "state": "READY", "reason": "", "code": ""}
    assert server.get("/want/load/n") == {"data": [ready]}
    assert loaded(server) == [{"m": ["1", 1], "n": ["1", 2]}] * 2
    assert server.get("/want/unload/m") == {"data": []}
    assert loaded(server) == [{"n": ["1", 2]}] * 2
    assert server.get("/want/unload/m") == {"data": []}
    reload(server)  # which takes up what is declared, but not what was unloaded
    assert [sorted(door) for door in loaded(server)] == [["n", "o"]] * 2
    server.get("/want/load/m")
    assert [sorted(door) for door in loaded(server)] == [["m", "n", "o"]] * 2


def test_an_unknown_name_is_refused_with_those_there_are(server: Server) -> None:
    answer = server.get("/want/load/x")
    assert (answer["status"], answer["code"]) == (404, "not_found")
    assert "there are: m" in answer["error"]
    assert server.get("/want/unload/x")["status"] == 404
    assert "needs the name of a model" in server.get("/want/load")["error"]


def test_a_load_that_fails_says_why_and_leaves_the_old(server: Server) -> None:
    server.declare({"m": "bad:digest differs", "n": "good"})
    answer = server.get("/want/load/m")
    assert (answer["status"], answer["code"], answer["models"]) == (422, "bundle_error", ["m"])
    assert "m:1: digest differs" in answer["error"]
    assert loaded(server) == [{"m": ["1", 1]}] * 2
    server.declare({"m": "good"})
    server.get("/want/load/m")
    assert loaded(server)[0]["m"][1] > 1


def test_a_load_is_over_when_all_doors_have_it(server: Server) -> None:
    server.declare({"m": "good", "n": "slow:0.2"})
    server.get("/want/load/n")
    assert all("n" in door for door in loaded(server))


def test_concurrent_changes_are_made_in_their_order(server: Server) -> None:
    def change(number: int) -> None:
        outcomes.append(server.get(f"/want/{'load' if number % 2 else 'unload'}/m"))

    outcomes: list[Any] = []
    threads = [threading.Thread(target=change, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome for outcome in outcomes if "data" not in outcome] == []
    server.get("/want/unload/m")
    assert loaded(server) == [{}] * 2


def asked(reply: Any) -> list[int]:
    """How often each door was asked for its numbers before, by its own count."""
    return [report["records"]["asked"] for report in sorted(reply["data"], key=lambda report: report["slot"])]


def test_numbers_of_all_doors_come_in_one_reply_and_one_that_hangs_counts_as_it_last_did(server: Server) -> None:
    assert asked(server.get("/want/stats")) == [1, 1]
    hung = server.pids()[0]
    os.kill(hung, signal.SIGSTOP)
    try:
        answers: list[Any] = []

        def ask() -> None:
            answers.append(server.get("/want/stats"))

        threads = [threading.Thread(target=ask) for _ in range(16)]  # some reach the door that still answers
        for thread in threads:
            thread.start()
        eventually(lambda: answers)
        zero, one = asked(answers[0])
        assert zero == 1
        assert one > 1
    finally:
        os.kill(hung, signal.SIGCONT)
    for thread in threads:
        thread.join()


def test_a_wish_that_fails_in_the_server_itself_does_not_end_it(server: Server) -> None:
    server.get("/report/nonsense")  # from now on that door tells no report, but a word
    answer = server.get("/want/stats")
    assert (answer["status"], answer["code"]) == (500, "internal")
    assert "Traceback" in server.log()
    assert server.get()["ready"]


def test_a_signal_to_stop_ends_a_change_that_goes_on(server: Server) -> None:
    server.declare({"m": "slow:60"})
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(server.get("/want/load/m")))
    asking.start()
    eventually(lambda: server.get()["loading"] == "m", "a door that loads")
    server.signal(signal.SIGTERM)
    assert server.ended() == 0
    asking.join()
    assert json.dumps(answers).count("shutting down") == 1


def test_what_is_missing_on_the_machine_has_its_own_exit_code(tmp_path: Path) -> None:
    with Server(tmp_path, {"m": "bad:extra"}) as server:
        assert server.ended() == 3


def test_following_loads_what_is_new_and_leaves_what_is_loaded(server: Server) -> None:
    server.get("/want/follow/m")
    assert loaded(server) == [{"m": ["1", 1]}] * 2
    server.declare({"m": "good", "n": "good"})
    server.get("/want/follow/n")
    assert loaded(server) == [{"m": ["1", 1], "n": ["1", 3]}] * 2
    server.declare({"m": "good", "n": "bad:broken"})
    assert "broken" in server.get("/want/follow/n")["error"]
    assert loaded(server) == [{"m": ["1", 1], "n": ["1", 3]}] * 2
