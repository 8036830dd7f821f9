from __future__ import annotations

import json

from servable.offline.push import watch
from servable.offline.push.watch import How, deliver
from tests.offline.push.test_delivery import make, tables  # noqa: F401 - the fixture


def test_each_generation_that_follows_is_pushed(tables, tmp_path, monkeypatch):  # noqa: F811 - the fixture
    monkeypatch.setattr(watch, "LOOK_S", 0.01)
    out = tmp_path / "out"
    make(tables, {1: 1, 2: 2})
    pushes = deliver(tables, tmp_path, "t", str(out), How(watch=True))
    assert next(pushes) == (1, 2, 0)
    make(tables, {1: 1, 2: 2})  # nothing that changed: nothing is told
    make(tables, {1: 1, 2: 22})
    assert next(pushes) == (3, 1, 0)
    lines = [json.loads(line) for path in sorted(out.iterdir()) for line in path.read_text().splitlines()]
    assert [(line["key"], line["row"]["y"]) for line in lines] == [(1, 1.0), (2, 2.0), (2, 22.0)]
