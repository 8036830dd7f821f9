"""One registry of several machines, and a server on one of them: real PostgreSQL, real S3, a real server."""

from __future__ import annotations

import pytest

from servable.registry.registry import Registry
from tests.e2e.serving import Serving, eventually
from tests.objects import object_storage
from tests.packed import bundle_at
from tests.postgresql import postgresql

pytestmark = pytest.mark.faults
ROWS = {"rows": [{"x": [1.0, 2.0]}]}


def test_a_server_follows_what_another_machine_promotes_and_outlives_the_database(tmp_path):
    with object_storage("models") as bucket:
        with postgresql() as database:
            places = {"registry_url": database, "bundles_url": f"{bucket}/team"}
            other = Registry(tmp_path / "other", "ada", database=database, bundles=places["bundles_url"])
            other.register(bundle_at(tmp_path / "b1", factor=2))
            other.promote("scaler:1")
            server = Serving(tmp_path, workers=1, **places).ready()
            assert version(server) == "1"
            other.register(bundle_at(tmp_path / "b2", factor=3))
            assert version(server) == "1"
            other.promote("scaler:2")
            eventually(lambda: version(server) == "2", "the server to follow")
        with server:
            eventually(lambda: "cannot be read" in server.log(), "the server to miss its database")
            assert version(server) == "2"
            assert server.ask("GET", "/v2/health/ready")[0] == 200
            refused = server.ask("GET", "/admin/models")
            assert refused[0] == 500
            assert "see that the server runs and lets us in" in refused[1]["error"]


def version(server: Serving) -> str:
    status, answer = server.ask("POST", "/v2/models/scaler/infer", ROWS)
    assert status == 200, answer
    return answer["model_version"]
