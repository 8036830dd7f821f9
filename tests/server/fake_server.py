"""A server of fake doors: the real supervisor in a process of its own: `fake_server.py PLAN.json [SETTING=VALUE ...]`.

Prints its addresses as JSON when ready. A plan file holds {name: source}; it is read at the start and at every change.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import msgspec

from servable.domain.route import Route
from servable.engine.plan import Plan, Target
from servable.errors import ServableError, UsageError
from servable.server.supervisor.policy import Restarts
from servable.server.supervisor.sockets import Addresses
from servable.server.supervisor.supervisor import run
from servable.settings import load_settings


def resolve(path: Path) -> Plan:
    try:
        declared: dict[str, str] = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise UsageError(f"{path} is no JSON") from error
    return Plan(
        tuple(Target(name, "1", source) for name, source in declared.items()),
        {name: Route("1") for name in declared},
    )


def announce(addresses: Addresses) -> None:
    print(msgspec.json.encode(addresses).decode(), flush=True)


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
    path, *words = sys.argv[1:]
    flags = dict(word.split("=", 1) for word in words)
    restarts = Restarts(stable_s=float(flags.pop("stable_s", "60")))
    door = (sys.executable, str(Path(__file__).with_name("fake_door.py")))
    try:
        ours = {"http_port": 0, "grpc_port": 0, "workers": 2, "home": str(Path(path).parent)}
        settings = load_settings({**ours, **flags}, {})
        return run(settings, lambda: resolve(Path(path)), announce, door, restarts)
    except ServableError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
