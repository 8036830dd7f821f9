"""Releases of a real server under load: no caller hears of a bad version, and the good ones come into service by
themselves.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from servable.bundles.digest import of_tree
from servable.bundles.manifest import dumps
from servable.bundles.open import open_bundle
from servable.domain.bundle import MANIFEST
from servable.domain.ref import Ref
from servable.domain.terms import Terms
from servable.registry.registry import Registry
from servable.release.acts import Acts
from servable.release.watch import FOLDER, standing_of
from tests.e2e.serving import Load, Serving, alive, eventually

QUICK = Terms(least_requests=200, least_s=0.0, error_margin=0.02, slow_margin=0.5)
"""On a busy machine latencies say little: only a canary that is nearly always slower would be rolled back for it."""


def table(path: Path, offset: float, known: int) -> Path:
    """y = 2 x + offset, looked up in a table of the first so many x: beyond it the model fails. A bundle."""
    path.mkdir(parents=True)
    values = numpy_helper.from_array(2 * np.arange(known, dtype=np.float32) + np.float32(offset), "values")
    nodes = [helper.make_node("Cast", ["x"], ["index"], to=TensorProto.INT64)]
    nodes += [helper.make_node("Gather", ["values", "index"], ["y"])]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 1]) for name in "xy")
    graph = helper.make_graph(nodes, "line", [x], [y], [values])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path / "model.onnx")
    bare = open_bundle(path / "model.onnx", name="line")
    (path / MANIFEST).write_bytes(dumps(msgspec.structs.replace(bare.manifest, files=of_tree(path))))
    return path


@pytest.fixture
def acts(tmp_path: Path) -> Acts:
    """Version 1 is good and champion, 2 fails for one caller in ten, 3 is good."""
    registry = Registry(tmp_path / "home", who="ada")
    for version, known in ((1, 1000), (2, 900), (3, 1000)):
        registry.register(table(tmp_path / str(version), version, known))
    registry.promote(Ref("line", "1"))
    return Acts(registry)


@pytest.fixture
def serving(tmp_path: Path, acts: Acts) -> Iterator[Serving]:
    with Serving(tmp_path, workers=1, canary_look_s=0.2) as serving:
        yield serving.ready()


def status(serving: Serving) -> dict[str, Any]:
    code, told = serving.ask("GET", "/admin/release/line")
    assert code == 200, told
    return told


def last(load: Load, count: int = 200) -> set[float | None]:
    """Who gave the last answers."""
    return {seen.offset for seen in load.history[-count:]}


def controllers(serving: Serving) -> list[int]:
    children = [pid for pid in serving.doors() if b"servable.controller" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return [pid for pid in children if alive(pid)]


def test_a_bad_canary_is_rolled_back_and_a_good_one_promoted_and_no_request_fails(serving: Serving, acts: Acts) -> None:
    with Load(serving) as load:
        load.further()
        code, told = serving.ask(
            "POST", "/admin/release/line/canary", {"version": "2", "share": 0.3, "terms": msgspec.to_builtins(QUICK)}
        )
        assert (code, told["canary"]) == (200, "2"), told
        eventually(lambda: 2.0 in load.offsets(), "an answer by the canary")
        eventually(lambda: status(serving)["canary"] is None, "its end")
        eventually(lambda: last(load) == {1.0}, "the live version alone, once the doors have heard")
        assert "canary 2 rolled back: canary errors: " in status(serving)["reason"]

        acts.canary(Ref("line", "3"), 0.3, QUICK)  # as the command does: the server follows
        eventually(lambda: 3.0 in load.offsets(), "an answer by the good canary")
        eventually(lambda: status(serving)["live"] == "3", "its promotion")
        eventually(lambda: last(load) == {3.0}, "the new one alone")
    assert load.failed() == []
    assert "line:2: roll back: canary errors: " in serving.log()
    verdicts = acts.registry.verdicts(Ref("line", "2"), "canary")[-1].verdicts
    assert [verdict.check for verdict in verdicts if not verdict.passed] == ["canary errors"]
    assert all(verdict.passed for verdict in acts.registry.verdicts(Ref("line", "3"), "canary")[-1].verdicts)
    assert acts.registry.catalog().find(Ref("line", alias="champion")).version == "3"
    eventually(lambda: controllers(serving) == [], "the controller's end")


def test_a_canary_whose_answers_come_true_less_often_is_rolled_back(tmp_path: Path, acts: Acts) -> None:
    """Two doors: outcomes come through whichever, of predictions that either made, late and in any order. The canary
    neither fails nor is slow; it is off by two.
    """
    acts.registry.promote(Ref("line", "3"))
    acts.registry.register(table(tmp_path / "4", 5, 1000))
    with Serving(tmp_path, workers=2, canary_look_s=0.2) as serving:
        serving.ready().all_ready(2)
        terms = msgspec.structs.replace(QUICK, success="within=1.0", promote=False)
        asked = {"version": "4", "share": 0.5, "terms": msgspec.to_builtins(terms)}
        code, told = serving.ask("POST", "/admin/release/line/canary", asked)
        assert (code, told["canary"]) == (200, "4"), told
        ids = [f"call {n}" for n in range(400)]
        for n, key in enumerate(ids):
            inputs = [{"name": "x", "datatype": "FP32", "shape": [1, 1], "data": [n]}]
            assert serving.ask("POST", "/v2/models/line/infer", {"id": key, "inputs": inputs})[0] == 200
        assert status(serving)["canary"] == "4"
        true = [{"id": key, "outcome": 2 * n + 3} for n, key in enumerate(ids)]
        for start in range(0, len(true), 100):
            code, told = serving.ask("POST", "/v2/models/line/feedback", {"outcomes": true[::-1][start : start + 100]})
            assert (code, told["accepted"]) == (202, 100), told
        eventually(lambda: status(serving)["canary"] is None, "its end")
        reason = status(serving)["reason"]
        assert reason.startswith("canary 4 rolled back: canary successes: 0.00% of "), reason
        assert "100.00% of " in reason
        assert " of version 3's" in reason


def test_a_version_that_does_not_load_is_not_promoted_and_the_old_one_serves_on(serving: Serving, acts: Acts) -> None:
    damaged = acts.registry.folder(acts.registry.catalog().find(Ref("line", "3"))) / "model.onnx"
    damaged.chmod(0o600)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"!")
    with Load(serving) as load:
        load.further()
        code, told = serving.ask("POST", "/admin/release/line/promote", {"version": "3"})
        assert (code, told["code"]) == (422, "bundle_error")
        assert "what served before still serves" in told["error"]
        acts.promote(Ref("line", "3"))
        eventually(lambda: "release_failed" in serving.log() or "not taken up" in status(serving)["reason"])
        eventually(lambda: status(serving)["live"] == "1", "the old one, declared again")
        load.further()
    assert load.failed() == []
    assert load.offsets() == {1.0}
    assert acts.registry.catalog().find(Ref("line", alias="champion")).version == "1"


def test_who_watches_may_die(serving: Serving, acts: Acts, tmp_path: Path) -> None:
    """The controller, then the whole server: what was known of the canary is known to the next."""
    acts.canary(Ref("line", "3"), 0.5, Terms(least_s=1e9))
    folder = tmp_path / "home" / FOLDER

    def seen() -> int:
        standing = standing_of(folder, "line")
        return standing.trial.of_canary.requests if standing else 0

    with Load(serving) as load:
        eventually(lambda: seen() > 50, "looks at the canary")
        known = seen()
        (first,) = controllers(serving)
        os.kill(first, signal.SIGKILL)
        eventually(lambda: controllers(serving) not in ([], [first]), "another controller")
        eventually(lambda: seen() > known + 50, "looks by the next")
    assert load.failed() == []
    known = seen()
    serving.send(signal.SIGTERM)
    assert serving.ended() == 0
    with Serving(tmp_path, workers=1, canary_look_s=0.2).ready() as again, Load(again) as load:
        eventually(lambda: seen() > known + 50, "looks after a restart")
    assert load.failed() == []
