"""Where the archive starts: says what the machine lacks before anything of it is needed."""

from __future__ import annotations

import os
import sys

PYTHON = (3, 11)


def begin() -> None:
    """Run the command, or end with 3 where Python or onnxruntime will not do."""
    found = sys.version_info[:2]
    if found < PYTHON:
        _lacking("needs Python {}.{} or newer, this is {}.{}".format(*PYTHON, *found))
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read as it is imported: it would send home what it does
    try:
        import onnxruntime  # noqa: F401 - it is there
    except ImportError as error:
        _lacking(f"needs onnxruntime ({error}): run  {sys.executable} -m pip install onnxruntime")
    from servable.edge.program.commands import main

    main(sys.argv[1:])


def _lacking(what: str) -> None:
    print(f"error: {what}", file=sys.stderr)
    sys.exit(3)


if __name__ == "__main__":
    begin()
