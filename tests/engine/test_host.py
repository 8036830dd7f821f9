"""The host converges to a plan: what is new is loaded before the old is let go, and a failure changes nothing."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from time import monotonic
from typing import Any, ClassVar

import numpy as np
import pytest

from servable.domain.batch import Batch
from servable.domain.bundle import Bundle, Manifest
from servable.domain.field import Field
from servable.domain.route import Route
from servable.domain.signature import Signature
from servable.engine.host import Host
from servable.engine.loading import Loaded
from servable.engine.plan import Plan, Target
from servable.engine.policy import CostCurve
from servable.engine.request import Request
from servable.engine.router import Router
from servable.errors import CorruptModel, NotFound, NotReady

SIGNATURE = Signature((Field("x", "FP32"),), (Field("y", "FP32"),))


class Adder:
    """y = x + version; counts those that live."""

    alive: ClassVar[set[str]] = set()

    def __init__(self, key: str, version: float) -> None:
        self.key = key
        self.version = version
        self.alive.add(key)

    def predict(self, batch: Batch) -> Batch:
        return Batch({"y": batch["x"] + np.float32(self.version)})

    def close(self) -> None:
        self.alive.discard(self.key)


def load(target: Target) -> Loaded:
    if target.source == "broken":
        raise CorruptModel("the file is broken")
    if target.source == "surprise":
        raise KeyError("surprise")
    manifest = Manifest(target.name, "fake", "m", "fake", SIGNATURE, ())
    key = f"{target.name}:{target.version}/{target.generation}"
    return Loaded(Bundle(Path("/none"), manifest, "0"), Adder(key, float(target.version)), CostCurve([(1, 1e-6)]))


def plan(*targets: str, live: str = "1", generation: int = 0, **route: Any) -> Plan:
    """`"2"` a version of m; `"2=broken"` one from a broken file."""
    pairs = [(version, source or "good") for version, _, source in (text.partition("=") for text in targets)]
    return Plan(
        tuple(Target("m", version, source, generation=generation) for version, source in pairs),
        {"m": Route(live, **route)} if targets else {},
        {"m": {"champion": live}} if targets else {},
    )


@pytest.fixture(autouse=True)
def nobody() -> None:
    Adder.alive.clear()


def run(story: Callable[[Host, Router], Coroutine[Any, Any, None]], load: Callable[[Target], Loaded] = load) -> None:
    async def tell() -> None:
        host = Host(load)
        await story(host, Router(host))
        await host.drain(5)
        async with asyncio.timeout(5):
            while Adder.alive:
                await asyncio.sleep(0.001)

    asyncio.run(tell())


async def ask(router: Router, version: str | None = None, request_id: str = "q") -> float:
    future: asyncio.Future[Request] = asyncio.get_running_loop().create_future()
    batch = Batch({"x": np.zeros(1, np.float32)})
    router.pick("m", version, request_id).submit(Request(request_id, batch, future.set_result, monotonic() + 10))
    answer = (await future).answer
    assert answer is not None
    return float(answer["y"][0])


async def gone(*keys: str) -> None:
    async with asyncio.timeout(5):
        while Adder.alive & set(keys):
            await asyncio.sleep(0.001)


def test_versions_and_aliases_answer_as_asked() -> None:
    async def story(host: Host, router: Router) -> None:
        assert not host.ready
        states = await host.converge(plan("1", "2", live="2"))
        assert [(state.version, state.state) for state in states] == [("1", "READY"), ("2", "READY")]
        assert host.ready
        assert [await ask(router), await ask(router, "1"), await ask(router, "champion")] == [2, 1, 2]
        with pytest.raises(NotFound, match="no version or alias '3': it serves 1, 2, champion"):
            router.pick("m", "3")
        with pytest.raises(NotFound, match="did you mean 'm'"):
            router.pick("mm")

    run(story)


def test_a_new_live_version_replaces_the_old_which_is_let_go() -> None:
    async def story(host: Host, router: Router) -> None:
        await host.converge(plan("1"))
        await host.converge(plan("2", live="2"))
        assert await ask(router) == 2
        await gone("m:1/0")
        with pytest.raises(NotFound):
            router.pick("m", "1")

    run(story)


def test_a_new_generation_of_the_same_version_is_loaded_anew_and_keeps_its_counters() -> None:
    async def story(host: Host, router: Router) -> None:
        await host.converge(plan("1"))
        await ask(router)
        await host.converge(plan("1"))
        assert Adder.alive == {"m:1/0"}
        await host.converge(plan("1", generation=1))
        await gone("m:1/0")
        assert Adder.alive == {"m:1/1"}
        await ask(router)
        assert host.servings()[0].stats.success == 2

    run(story)


@pytest.mark.parametrize("how", ["broken", "surprise"])
def test_a_failure_leaves_the_old_one_serving(how: str) -> None:
    async def story(host: Host, router: Router) -> None:
        await host.converge(plan("1"))
        states = await host.converge(plan(f"2={how}", live="2"))
        assert [(state.version, state.state) for state in states] == [("1", "READY"), ("2", "UNAVAILABLE")]
        assert [failure.version for failure in host.failures()] == ["2"]
        assert host.ready
        assert await ask(router) == 1
        with pytest.raises(NotReady, match=how):
            router.pick("m", "2")
        await host.converge(plan(f"1={how}", generation=1))
        assert [failure.version for failure in host.failures()] == ["1"]
        assert await ask(router) == 1

    run(story)


def test_not_ready_while_a_wanted_name_has_nothing_to_answer() -> None:
    async def story(host: Host, router: Router) -> None:
        await host.converge(plan("1=broken"))
        assert not host.ready
        assert host.lacking() == ["m"]
        with pytest.raises(NotReady, match="the file is broken"):
            router.pick("m")
        await host.converge(plan("1"))
        assert host.ready

    run(story)


def test_while_it_loads_callers_are_told_to_ask_again_and_the_old_answers() -> None:
    gate = threading.Event()

    def slow(target: Target) -> Loaded:
        if target.version != "1":
            assert gate.wait(10)
        return load(target)

    async def story(host: Host, router: Router) -> None:
        await host.converge(plan("1"))
        converging = asyncio.ensure_future(host.converge(plan("2", live="2")))
        await asyncio.sleep(0.02)
        assert await ask(router) == 1
        with pytest.raises(NotReady, match="loading"):
            router.pick("m", "2")
        gate.set()
        await converging
        assert await ask(router) == 2

    run(story, slow)


def test_what_nobody_wants_any_more_is_let_go() -> None:
    async def story(host: Host, router: Router) -> None:
        await host.converge(plan("1"))
        await host.converge(Plan())
        await gone("m:1/0")
        with pytest.raises(NotFound, match="there is none"):
            router.pick("m")
        assert host.ready

    run(story)


def test_a_canary_gets_its_share_and_callers_stick() -> None:
    async def story(host: Host, router: Router) -> None:
        await host.converge(plan("1", "2", canary="2", canary_share=0.3))
        first = [await ask(router, request_id=f"user-{n}") for n in range(300)]
        assert first == [await ask(router, request_id=f"user-{n}") for n in range(300)]
        assert 60 < first.count(2.0) < 120

    run(story)


def test_hundred_reloads_under_load_lose_nothing() -> None:
    async def story(host: Host, router: Router) -> None:
        await host.converge(plan("1"))
        answers: list[float] = []
        stop = asyncio.Event()

        async def caller() -> None:
            while not stop.is_set():
                answers.append(await ask(router))

        callers = [asyncio.ensure_future(caller()) for _ in range(8)]
        for generation in range(1, 101):
            version = "1" if generation % 2 else "2"
            await host.converge(plan(version, live=version, generation=generation))
        stop.set()
        await asyncio.gather(*callers)
        assert set(answers) == {1.0, 2.0}
        await gone(*(key for key in list(Adder.alive) if not key.endswith("/100")))
        assert Adder.alive == {"m:2/100"}

    run(story)


def test_records_of_answers_and_failures_are_handed_on() -> None:
    records: list[Any] = []

    async def story() -> None:
        host = Host(load, on_record=records.append)
        router = Router(host)
        await host.converge(plan("1"))
        await ask(router, request_id="abc")
        await host.drain(5)

    asyncio.run(story())
    (together,) = records
    (record,) = together
    assert (record.id, record.model, record.version, record.rows, record.error) == ("abc", "m", "1", 1, "")
    assert record.outputs["y"].tolist() == [1.0]
