"""A Route with a canary, shadows and fallbacks, through a host: who answers, who is compared, and what is counted."""

from __future__ import annotations

import asyncio

import pytest

from servable.domain.route import Route
from servable.engine.routing.answered import Answered
from servable.errors import DeadlineExceeded, ModelFailed
from tests.engine.routing.routed import ask, plan, served, told


def test_a_plain_route_has_no_front() -> None:
    async def story(host, router) -> None:
        assert host.table["m"].front is None
        assert router.pick("m") is host.table["m"].versions["1"]
        assert host.routes == {}

    served(plan(Route("1"), v1="good"), story)


def test_a_canary_gets_its_share_and_sticks_to_its_callers() -> None:
    async def story(host, router) -> None:
        route = host.table["m"].route
        for n in range(200):
            expected = float(route.choose(str(n)))
            assert told(await ask(router, str(n))) == (expected, "")
            assert told(await ask(router, f"any{n}", unit=str(n))) == (expected, "")
        assigned = host.routes["m"].assigned
        assert sum(assigned.values()) == 200  # callers that name themselves are not draws of their own
        assert 30 < assigned["2"] < 70
        assert told(await ask(router, "x", version="2")) == (2.0, "")
        assert sum(assigned.values()) == 200

    served(plan(Route("1", "2", 0.25, salt="s"), v1="good", v2="good"), story)


def test_what_a_canary_fails_at_the_live_version_answers() -> None:
    async def story(host, router) -> None:
        for n in range(100):
            value, by = told(await ask(router, str(n)))
            assert (value, by) == ((1.0, "m:1") if host.table["m"].route.choose(str(n)) == "2" else (1.0, ""))
        failed = host.table["m"].versions["2"].stats.failure
        refused = failed.get("circuit_open", 0)
        assert failed["model_failed"] + refused == host.routes["m"].assigned["2"] > 20
        assert refused > 0
        assert host.routes["m"].fallbacks == {"2 model_failed": failed["model_failed"], "2 circuit_open": refused}

    served(plan(Route("1", "2", 0.5), v1="good", v2="broken"), story)


@pytest.mark.parametrize(
    ("route", "source", "answer"),
    [
        (Route("1", fallback="m:3"), "broken", (3.0, "m:3")),
        (Route("1", fallback="plain"), "broken", (7.0, "plain:7")),
        (Route("1", fallback_value={"y": 42}), "broken", (42.0, "value")),
        (Route("1", fallback="m:3", fallback_value={"y": 42}), "slow:0.5", (3.0, "m:3")),
        (Route("1", fallback_value={"y": 42}), "slow:0.5", (42.0, "value")),
        (Route("1", fallback="nobody", fallback_value={"y": 42}), "broken", (42.0, "value")),
        (Route("1", fallback="m:4", fallback_value={"y": 42}), "broken", (42.0, "value")),  # another contract
        (Route("1", fallback="m:3", fallback_value={"y": 42}), "good", (1.0, "")),
    ],
)
def test_what_answers_in_the_place_of_the_live_version(route, source, answer) -> None:
    async def story(host, router) -> None:
        request = await ask(router, rows=3, within_s=0.3)
        assert told(request) == answer
        assert request.result().rows == 3
        assert (request.by is None) == (answer[1] == "")
        if answer[1]:
            assert request.result().parameters["fallback_reason"] in {"model_failed", "deadline_exceeded"}

    served(plan(route, v1=source, v3="good", v4="other", plain="good"), story)


def test_answers_are_kept_for_their_outcomes_by_the_version_that_was_drawn() -> None:
    """Also those that another gave in its place; not those of requests that are no part of the trial, nor errors."""
    kept: list[Answered] = []

    async def story(host, router) -> None:
        route = host.table["m"].route
        for n in range(60):
            await ask(router, str(n), x=1.0 if n % 3 else 9.0)
        assert [(one.id, one.version) for one in kept] == [(str(n), route.choose(str(n))) for n in range(60)]
        assert {one.unit for one in kept} == set(map(str, range(60)))
        stood_in = [one for one in kept if one.version == "2" and int(one.id) % 3 == 0]
        assert {(one.gave.version, float(one.answer["y"][0])) for one in stood_in} == {("1", 10.0)}
        kept.clear()
        await ask(router, "x", version="2")
        assert kept == []
        await ask(router, "any", rows=3, unit="ada")
        assert [(one.id, one.unit, len(one), one.answer.rows) for one in kept] == [("any", "ada", 3, 3)]

    served(plan(Route("1", "2", 0.5, outcomes=True), v1="good", v2="broken:5"), story, kept.append)
    kept.clear()

    async def without(host, router) -> None:
        await ask(router, "x")
        assert kept == []

    served(plan(Route("1", "2", 0.5), v1="good", v2="good"), without, kept.append)


def test_who_names_a_version_gets_its_answer_or_its_error() -> None:
    async def story(host, router) -> None:
        with pytest.raises(ModelFailed):
            (await ask(router, version="1")).result()
        with pytest.raises(DeadlineExceeded):
            (await ask(router, version="2", within_s=0.05)).result()

    served(plan(Route("1", fallback="m:3"), v1="broken", v2="slow:0.3", v3="good"), story)


def test_where_the_fallback_fails_too_the_first_error_stands() -> None:
    async def story(host, router) -> None:
        with pytest.raises(ModelFailed, match="ValueError"):
            (await ask(router)).result()

    served(plan(Route("1", fallback="m:3"), v1="broken", v3="broken"), story)


def test_faults_of_the_request_are_nobody_elses() -> None:
    async def story(host, router) -> None:
        first = host.table["m"].versions["1"]
        request = await ask(router, rows=2, x=float("nan"))
        assert first.stats.success == 1
        assert request.by is None

    served(plan(Route("1", fallback="m:3"), v1="good", v3="good"), story)


def test_a_caller_who_leaves_while_the_fallback_works_is_not_told() -> None:
    async def story(host, router) -> None:
        import numpy as np

        from servable.domain.batch import Batch
        from servable.engine.request import Request

        heard: list[Request] = []
        request = Request("q", Batch({"x": np.zeros(1, np.float32)}), heard.append)
        router.pick("m", None, "q").submit(request)
        while host.table["m"].versions["1"].stats.failure == {}:
            await asyncio.sleep(0)
        request.cancel()
        while host.table["m"].versions["3"].stats.success == 0:
            await asyncio.sleep(0.001)
        assert heard == []

    served(plan(Route("1", fallback="m:3"), v1="broken", v3="slow:0.05"), story)


def test_a_shadow_is_asked_the_same_and_compared() -> None:
    async def story(host, router) -> None:
        for n in range(30):
            assert told(await ask(router, str(n), x=100.0 * (n % 2))) == (1.0 + 100.0 * (n % 2), "")
        counts = host.routes["m"].shadows["2"]
        while counts.compared + counts.failed < 30:
            await asyncio.sleep(0.005)
        assert (counts.compared, counts.rows, counts.agreed, counts.failed) == (15, 15, 0, 15)
        assert counts.largest == 1.0
        assert host.table["m"].versions["1"].stats.success == 30

    served(plan(Route("1", shadows=("2",)), v1="good", v2="broken:100"), story)


def test_a_slow_shadow_delays_nobody_and_drops() -> None:
    async def story(host, router) -> None:
        for n in range(1500):
            await ask(router, str(n))
        counts = host.routes["m"].shadows["2"]
        assert counts.dropped > 0
        assert host.table["m"].versions["1"].stats.success == 1500

    served(plan(Route("1", shadows=("2",)), v1="good", v2="slow:0.2"), story)


def test_a_shadow_tells_where_it_would_have_helped() -> None:
    async def story(host, router) -> None:
        for n in range(10):
            with pytest.raises(ModelFailed):
                (await ask(router, str(n))).result()
        while host.routes["m"].shadows["2"].rescued < 10:
            await asyncio.sleep(0.005)

    served(plan(Route("1", shadows=("2",)), v1="broken", v2="good"), story)


def test_a_route_that_changes_keeps_its_counts_and_its_models() -> None:
    async def story(host, router) -> None:
        versions = {version: id(serving) for version, serving in host.table["m"].versions.items()}
        for n in range(20):
            await ask(router, str(n))
        await host.converge(plan(Route("1", "2", 0.9), v1="good", v2="good"))
        for n in range(20):
            await ask(router, str(n))
        assert sum(host.routes["m"].assigned.values()) == 40
        await host.converge(plan(Route("2"), v1="good", v2="good"))
        assert host.table["m"].front is None
        assert versions == {version: id(serving) for version, serving in host.table["m"].versions.items()}
        assert told(await ask(router)) == (2.0, "")

    served(plan(Route("1", "2", 0.1), v1="good", v2="good"), story)
