"""Texts through a Route: who tells them, who stands in before anybody has begun, and how shadows compare."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest

from servable.domain.batch import Batch
from servable.domain.bundle import Bundle, Manifest
from servable.domain.field import Field
from servable.domain.generation import Piece, Prompt, Say
from servable.domain.route import Route
from servable.domain.signature import Signature
from servable.engine.loading import Loaded
from servable.engine.plan import Target
from servable.engine.policy import CostCurve
from servable.engine.router import Router
from servable.engine.routing.answered import Answered
from servable.errors import CircuitOpen, DeadlineExceeded, InvalidInput, ModelFailed, Unsupported
from servable.monitoring.answers import rows_of
from tests.engine.routing import routed
from tests.engine.routing.routed import plan

SIGNATURE = Signature((Field("prompt", "BYTES"),), (Field("text", "BYTES"),))
VALUE = {"text": "Ask a person."}


class Voice:
    """Says its version and stops. By its source: `broken` fails at once, `halfway` after a piece, `mute` says nothing
    until it is asked to stop; `same` says what every other one does.
    """

    concurrent = True
    slots = 2

    def __init__(self, version: str, source: str) -> None:
        self.says = "hello" if source == "same" else f"version {version}"
        self.source = source

    def generate(self, prompt: Prompt, say: Say) -> None:
        if prompt.text == "bad":
            raise InvalidInput("a bad prompt")
        if self.source == "broken":
            raise RuntimeError("it broke")
        while self.source == "mute" and say(Piece("")):
            pass
        say(Piece(self.says))
        if self.source == "halfway":
            raise RuntimeError("it broke")
        say(Piece("!", "stop", 1, 2))

    def predict(self, batch: Batch) -> Batch:
        return Batch({"text": batch["prompt"]})

    def close(self) -> None:
        pass


def load(target: Target) -> Loaded:
    if target.source == "numbers":
        return routed.load(target)
    manifest = Manifest(target.name, "fake", "m", "fake", SIGNATURE, ())
    return Loaded(Bundle(Path("/none"), manifest, "0"), Voice(target.version, target.source), CostCurve([(1, 1e-6)]))


served = partial(routed.served, load=load)


async def text(
    router: Router, id: str = "x", version: str | None = None, within_s: float = 10.0
) -> tuple[str, str, str]:
    """What was told, who stood in, and why."""
    telling = await router.pick("m", version, id).begin(Prompt("hi"), within_s, id)
    whole = telling.first.text + "".join([piece.text async for piece in telling.rest])
    return whole, telling.stood_in, telling.why


@pytest.mark.parametrize(
    ("route", "source", "told"),
    [
        (Route("1"), "good", ("version 1!", "", "")),
        (Route("1", fallback="m:3"), "good", ("version 1!", "", "")),
        (Route("1", fallback="m:3"), "broken", ("version 3!", "m:3", "model_failed")),
        (Route("1", fallback="plain"), "broken", ("version 7!", "plain:7", "model_failed")),
        (Route("1", fallback="m:4", fallback_value=VALUE), "broken", ("Ask a person.", "value", "model_failed")),
        (Route("1", fallback="numbers", fallback_value=VALUE), "broken", ("Ask a person.", "value", "model_failed")),
    ],
)
def test_who_tells_a_text(route, source, told) -> None:
    async def story(host, router) -> None:
        assert await text(router) == told

    served(plan(route, v1=source, v3="good", v4="broken", plain="good", numbers="numbers"), story)


def test_one_that_does_not_begin_in_time_is_stood_in_for() -> None:
    async def story(host, router) -> None:
        assert await text(router, within_s=0.4) == ("version 3!", "m:3", "deadline_exceeded")
        assert host.table["m"].versions["1"].stats.failure == {"deadline_exceeded": 1}
        assert host.routes["m"].fallbacks == {"1 deadline_exceeded": 1}
        with pytest.raises(DeadlineExceeded):
            await text(router, version="1", within_s=0.05)

    served(plan(Route("1", fallback="m:3"), v1="mute", v3="good"), story)


def test_from_the_first_piece_on_it_is_nobody_elses() -> None:
    async def story(host, router) -> None:
        telling = await router.pick("m").begin(Prompt("hi"), 10.0, "x")
        assert (telling.by.version, telling.first.text) == ("1", "version 1")
        with pytest.raises(ModelFailed):
            [piece async for piece in telling.rest]
        assert host.routes["m"].fallbacks == {}

    served(plan(Route("1", fallback="m:3"), v1="halfway", v3="good"), story)


def test_faults_of_the_prompt_are_the_callers() -> None:
    async def story(host, router) -> None:
        with pytest.raises(InvalidInput):
            await router.pick("m").begin(Prompt("bad"), 10.0, "x")
        with pytest.raises(Unsupported, match="makes no texts"):
            await router.pick("numbers").begin(Prompt("hi"), 10.0, "x")

    served(plan(Route("1", fallback="m:3"), v1="good", v3="good", numbers="numbers"), story)


def test_a_canary_has_its_share_of_texts_and_the_live_version_behind_it() -> None:
    async def story(host, router) -> None:
        choose = host.table["m"].route.choose
        for n in range(60):
            expected = ("version 1!", "", "")
            if choose(str(n)) == "2":
                told = await text(router, str(n))
                assert told[:2] == ("version 1!", "m:1")
                assert told[2] in {"model_failed", "circuit_open"}
            else:
                assert await text(router, str(n)) == expected
        assert sum(host.routes["m"].assigned.values()) == 60

    served(plan(Route("1", "2", 0.5), v1="good", v2="broken"), story)


def test_texts_are_kept_for_their_outcomes_too() -> None:
    kept: list[Answered] = []

    async def story(host, router) -> None:
        for n in range(20):
            await text(router, str(n))
        choose = host.table["m"].route.choose
        assert [(one.id, one.unit, one.version) for one in kept] == [
            (str(n), str(n), choose(str(n))) for n in range(20)
        ]
        assert [row.said for one in kept for row in rows_of(one)] == [None] * 20
        telling = await router.pick("m").begin(Prompt("hi"), 10.0, "left")
        await telling.rest.aclose()
        assert len(kept) == 20

    served(plan(Route("1", "2", 0.5, outcomes=True), v1="good", v2="good"), story, kept.append)


def test_one_that_keeps_failing_is_left_alone_and_tried_again() -> None:
    async def story(host, router) -> None:
        for _ in range(20):
            with pytest.raises(ModelFailed):
                await text(router)
        serving = host.table["m"].versions["1"]
        assert serving.breaker.open
        with pytest.raises(CircuitOpen):
            await text(router)
        assert serving.stats.failure == {"model_failed": 20, "circuit_open": 1}
        serving.breaker._until = 0.0  # its pause is over
        serving.lane.model.source = "good"
        for _ in range(3):
            assert await text(router) == ("version 1!", "", "")
        assert not serving.breaker.open

    served(plan(Route("1"), v1="broken"), story)


def test_a_shadow_tells_the_same_later_and_both_are_compared() -> None:
    async def story(host, router) -> None:
        for n in range(3):
            assert (await text(router, str(n)))[0] == "hello!"
        counts = host.routes["m"].shadows
        while counts["2"].compared + counts["2"].dropped < 3 or counts["3"].compared < 3 or counts["4"].failed < 3:
            await asyncio.sleep(0.01)
        assert (counts["2"].rows, counts["2"].agreed) == (3, 0)
        assert (counts["3"].rows, counts["3"].agreed) == (3, 3)
        assert counts["4"].compared == 0

    served(plan(Route("1", shadows=("2", "3", "4")), v1="same", v2="good", v3="same", v4="broken"), story)


def test_a_shadow_that_cannot_follow_lets_go_and_counts() -> None:
    async def story(host, router) -> None:
        for n in range(40):
            assert (await text(router, str(n)))[0] == "version 1!"
        counts = host.routes["m"].shadows["2"]
        assert counts.dropped >= 40 - 16 - 2

    served(plan(Route("1", shadows=("2",)), v1="good", v2="mute"), story)
