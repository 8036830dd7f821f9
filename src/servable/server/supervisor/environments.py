"""Which interpreter a model process runs on: ours, unless its bundle names another or libraries of its own.

Called by the supervisor, on a thread: making an environment takes a while.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from servable.bundles.environments import build, path_for
from servable.engine.process.messages import Launch
from servable.errors import EnvironmentFault


def interpreter(
    launch: Launch, home: Path, environ: Mapping[str, str], run_folder: Path
) -> tuple[tuple[str, ...], dict[str, str]]:
    """The command and the environment variables. Raises EnvironmentFault for an interpreter that is not there, or
    requirements that cannot be met.
    """
    if launch.requirements:
        python = build(Path(launch.requirements), home / "environments")
    elif launch.python:
        python = Path(launch.python)
        if not os.access(python, os.X_OK):
            raise EnvironmentFault(f"{launch.target.name}: its interpreter {launch.python!r} cannot be run")
    else:
        return (sys.executable,), dict(environ)
    return (str(python),), {**environ, "PYTHONPATH": str(path_for(run_folder))}
