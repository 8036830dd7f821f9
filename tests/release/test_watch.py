"""Who watches canaries: what comes of what the doors count, and what is left when it dies or others decide first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from servable.domain.ref import Ref
from servable.domain.terms import Terms
from servable.errors import Unavailable
from servable.registry.registry import Registry
from servable.release.acts import Acts
from servable.release.watch import FOLDER, Watch, standing_of
from tests.packed import bundle_at

TERMS = Terms(least_requests=100, least_s=0.0, error_margin=0.05, slow_margin=0.2)


class Doors:
    """Doors that have counted so much; `turn` is another look's worth of requests."""

    def __init__(self, failing: float = 0.0) -> None:
        self.failing = failing
        self.turns = 0
        self.followed: list[str] = []
        self.silent = 0
        """Times that they will not answer."""

    async def reports(self) -> list[dict[str, Any]]:
        if self.silent:
            self.silent -= 1
            raise Unavailable("nobody there")
        self.turns += 1
        return [
            {"models": [self._model("1", 0.0), self._model("2", self.failing)], "routes": {"scaler": self._route()}}
        ]

    def _route(self) -> dict[str, Any]:
        return {"assigned": {"1": 100 * self.turns, "2": 100 * self.turns}}

    def _model(self, version: str, failing: float) -> dict[str, Any]:
        failed = int(100 * self.turns * failing)
        good = 100 * self.turns - failed
        buckets = [0, good, *[0] * 13]
        stats = {"success": good, "failure": {"model_failed": failed}, "buckets": buckets}
        return {"name": "scaler", "version": version, "stats": stats}

    async def follow(self, name: str) -> None:
        self.followed.append(name)


@pytest.fixture
def acts(tmp_path: Path) -> Acts:
    registry = Registry(tmp_path / "home", who="ada")
    for factor in (1, 2):
        registry.register(bundle_at(tmp_path / f"b{factor}", factor=factor))
    registry.promote(Ref("scaler", "1"))
    acts = Acts(registry)
    acts.canary(Ref("scaler", "2"), 0.5, TERMS)
    return acts


def watch(acts: Acts, doors: Doors) -> Watch:
    return Watch(acts, doors.reports, doors.follow)


async def test_it_ends_when_no_canary_is_left(acts):
    doors = Doors()
    await watch(acts, doors).run(0.0)
    assert acts.release("scaler").route.live == "2"
    assert doors.followed == ["scaler"]
    told = acts.registry.verdicts(Ref("scaler", "2"), "canary")[-1]
    assert told.passed
    assert told.who == "ada"


async def test_a_bad_one_is_rolled_back_with_the_reason(acts):
    doors = Doors(failing=0.5)
    await watch(acts, doors).run(0.0)
    release = acts.release("scaler")
    assert (release.route.live, release.route.canary) == ("1", None)
    assert release.reason.startswith("canary 2 rolled back: canary errors: 50.00% of its requests failed")


async def test_the_next_goes_on_with_what_was_known(acts):
    doors = Doors()
    for looks in (1, 2, 3):
        one = watch(acts, doors)
        await one.look(one.canaries())
        standing = standing_of(acts.registry.home / FOLDER, "scaler")
        assert standing is not None
        assert standing.trial.looks == looks
        assert standing.trial.of_canary.requests == 100 * (looks - 1)
    assert (acts.registry.home / FOLDER / "scaler.json").stat().st_mode & 0o077 == 0


async def test_what_was_written_is_of_its_own_release_and_damage_is_no_harm(acts):
    doors = Doors()
    one = watch(acts, doors)
    for _ in range(3):
        await one.look(one.canaries())
    acts.canary(Ref("scaler", "2"), 0.6)
    await one.look(one.canaries())
    standing = standing_of(acts.registry.home / FOLDER, "scaler")
    assert standing is not None
    assert standing.trial.looks == 1
    (acts.registry.home / FOLDER / "scaler.json").write_text('{"trial": ')
    await one.look(one.canaries())


async def test_what_somebody_else_decided_meanwhile_stands(acts):
    doors = Doors(failing=0.5)
    one = watch(acts, doors)
    releases = one.canaries()
    acts.promote(Ref("scaler", "2"))
    for _ in range(6):
        await one.look(releases)
    assert acts.release("scaler").route.live == "2"
    assert acts.registry.verdicts(Ref("scaler", "2"), "canary") == []


async def test_doors_that_do_not_answer_are_asked_again(acts, caplog):
    doors = Doors()
    doors.silent = 2
    await watch(acts, doors).run(0.0)
    assert caplog.text.count("canaries could not be looked after: nobody there") == 2
    assert acts.release("scaler").route.live == "2"
