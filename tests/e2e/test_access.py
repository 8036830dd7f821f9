"""Access at a server as people start it: the binding it refuses, the keys it demands, and that a revoked one ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from servable.server.access.audit import verify
from servable.server.access.keys import Keys
from tests.e2e.serving import Serving, eventually
from tests.server.declared import linear

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what is tested is that it is refused
BODY = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}


def test_a_key_made_and_revoked_beside_a_running_server_counts_soon(tmp_path: Path) -> None:
    home = tmp_path / "home"
    Keys(home).create("first", ["viewer"])
    with Serving(tmp_path, linear(tmp_path), require_key=True) as serving:
        url = f"http://{serving.ready().host}:{serving.port}"
        serving.all_ready(2)
        assert httpx.post(f"{url}/v2/models/linear/infer", json=BODY).status_code == 401
        secret, _ = Keys(home).create("ada", ["invoker"])

        def statuses() -> set[int]:
            """Of fresh connections, which reach both doors, by the fast way and the ordinary one."""
            headers = {"Authorization": f"Bearer {secret}"}
            return {
                httpx.post(f"{url}/v2/models/linear/infer{query}", json=BODY, headers=headers).status_code
                for query in ("", "?ordinary")
                for _ in range(8)
            }

        eventually(lambda: statuses() == {200}, "the new key to be known")
        Keys(home).revoke("ada")
        eventually(lambda: statuses() == {401}, "the key to be unknown again")
    assert verify(home / "log" / "audit.jsonl").passed


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--host", EVERYWHERE], "servable keys create"),
        (["--host", "::"], "--insecure"),
        (["--require-key"], "there are none"),
    ],
)
def test_a_door_to_others_without_keys_is_not_opened(tmp_path: Path, flags: list[str], said: str) -> None:
    command = [
        sys.executable,
        "-m",
        "servable",
        "serve",
        str(linear(tmp_path)),
        "--home",
        str(tmp_path / "home"),
        *flags,
    ]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr
