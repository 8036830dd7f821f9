"""A bandit before the versions of a name, through a host: who answers each row, what is told, who stands in."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import numpy as np

from servable.domain.batch import Batch
from servable.domain.bundle import Bundle, Manifest
from servable.domain.record import Records
from servable.domain.route import Route
from servable.engine.host import Host
from servable.engine.loading import Loaded
from servable.engine.plan import Target
from servable.engine.policy import CostCurve
from servable.engine.request import Request
from servable.engine.router import Router
from servable.errors import DeadlineExceeded
from servable.online.learners import spec
from tests.engine.routing.routed import ask, load, plan, served, told

ROUTE = Route("1", bandit="choice", arms=("1", "2"))
CHOICE = spec.Spec("linucb", {"x": "FP32"}, actions=("1", "2"), options={"epsilon": 0.2, "alpha": 0.0})


@dataclass
class Keeping:
    """A bandit that has learned that version 2 is the better one where x is above zero; it keeps what it was asked."""

    bandit: object
    records: list[Records]

    def predict(self, batch: Batch) -> Batch:
        answer = self.bandit.predict(batch)
        return Batch(answer.columns, answer.rows, {"offset": 40})

    def keep(self, records: Records) -> None:
        self.records.append(records)

    def close(self) -> None:
        self.bandit.close()


def with_bandit(kept: list[Records], description: spec.Spec = CHOICE):
    """`load` of the versions, and of the bandit under the name `choice`."""
    signature = spec.signature_of(description)

    def loaded(target: Target) -> Loaded:
        if target.name != "choice":
            return load(target)
        bandit = spec.make(description, signature)
        x = np.linspace(-1, 1, 40, dtype=np.float32)
        for arm in description.actions:
            taken = {"x": x, "action": np.full(40, arm, object), "propensity": np.full(40, np.nan)}
            rewards = (x > 0) == (arm == "2")
            bandit.learn(signature.complete(Batch(taken)), rewards.astype(float))
        manifest = Manifest("choice", "learner", "m", "learner", signature, ())
        return Loaded(Bundle(Path("/none"), manifest, "0"), Keeping(bandit, kept), CostCurve([(1, 1e-6)]))

    return loaded


async def ask_rows(router: Router, id: str, x: list[float]) -> Request:
    future: asyncio.Future[Request] = asyncio.get_running_loop().create_future()
    batch = Batch({"x": np.array(x, np.float32)})
    router.pick("m", None, id).submit(Request(id, batch, future.set_result, monotonic() + 10))
    return await future


def test_it_chooses_by_the_inputs_and_its_answer_says_so() -> None:
    kept: list[Records] = []

    async def story(host: Host, router: Router) -> None:
        chosen = {-0.9: [], 0.9: []}
        for n in range(200):
            x = (-0.9, 0.9)[n % 2]
            request = await ask(router, f"q{n}", x)
            said = request.result().parameters
            assert request.by is not None
            assert told(request)[0] == np.float32(x) + np.float32(said["arm"])
            assert request.by.version == said["arm"]
            assert (said["chosen_by"], said["offset"]) == ("choice:7", 40)
            best = "2" if x > 0 else "1"
            assert said["propensity"] == (0.9 if said["arm"] == best else 0.1)
            chosen[x].append(said["arm"])
        assert 80 <= chosen[0.9].count("2") < 100
        assert 80 <= chosen[-0.9].count("1") < 100
        assert host.routes["m"].assigned == {arm: sum(arms.count(arm) for arms in chosen.values()) for arm in "12"}
        # What it is to learn from is kept under the ids of the answers, with what it chose and how likely that was.
        last = kept[-1]
        assert list(last.ids) == ["q199"]
        assert last.outputs["action"].tolist() == [chosen[0.9][-1]]
        again = await ask(router, "q199", 0.9)
        assert again.result().parameters["arm"] == chosen[0.9][-1]
        # Whoever names a version is not part of it.
        assert (await ask(router, "q", 0.9, version="1")).result().parameters is None

    served(plan(ROUTE, v1="good", v2="good", choice="bandit"), story, load=with_bandit(kept))


def test_rows_of_one_request_go_each_to_its_own_version() -> None:
    kept: list[Records] = []

    async def story(host: Host, router: Router) -> None:
        x = np.linspace(-1, 1, 30, dtype=np.float32)
        request = await ask_rows(router, "many", x.tolist())
        said = request.result().parameters
        arms = np.array(said["arm"])
        assert set(said["arm"]) == {"1", "2"}
        assert len(said["propensity"]) == 30
        np.testing.assert_array_equal(request.result()["y"], x + arms.astype(np.float32))
        (records,) = kept
        assert (list(records.ids), list(records.rows)) == (["many"], [30])
        assert records.outputs["action"].tolist() == said["arm"]
        assert host.routes["m"].assigned == {arm: said["arm"].count(arm) for arm in "12"}

    served(plan(ROUTE, v1="good", v2="good", choice="bandit"), story, load=with_bandit(kept))


def test_where_it_cannot_choose_the_live_version_answers() -> None:
    async def absent(host: Host, router: Router) -> None:
        request = await ask(router, "q", 0.9)
        assert (told(request), request.result().parameters) == ((np.float32(1.9), ""), None)
        assert host.routes["m"].fallbacks == {"choice not_ready": 1}

    served(plan(ROUTE, v1="good", v2="good"), absent)

    async def too_few(host: Host, router: Router) -> None:
        for n in range(20):
            assert told(await ask(router, f"q{n}", 0.9)) == (np.float32(1.9), "")
        assert host.routes["m"].fallbacks["choice not_ready"] >= 10

    served(plan(ROUTE, v1="good", choice="bandit"), too_few, load=with_bandit([]))


def test_what_a_chosen_version_fails_at_the_live_one_answers() -> None:
    async def story(host: Host, router: Router) -> None:
        by = [told(await ask(router, f"q{n}", 0.9)) for n in range(10)]
        assert set(by) == {(np.float32(1.9), "m:1"), (np.float32(1.9), "")} or set(by) == {(np.float32(1.9), "m:1")}
        request = await ask_rows(router, "many", [-0.9, 0.9] * 5)
        assert request.result()["y"].shape == (10,)
        assert request.result().parameters["fallback"] == "m:1"

    served(plan(ROUTE, v1="good", v2="broken", choice="bandit"), story, load=with_bandit([]))


def test_an_error_of_one_row_is_the_request_s() -> None:
    async def story(host: Host, router: Router) -> None:
        request = await ask(router, "q", 0.9, within_s=0.1)
        assert isinstance(request.error, DeadlineExceeded)

    served(plan(ROUTE, v1="slow:0.4", v2="slow:0.4", choice="bandit"), story, load=with_bandit([]))
