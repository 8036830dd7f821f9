"""Failure: why a cluster gave something up, in the one line of its trace that says it."""

from __future__ import annotations

import re

_SAYS = re.compile(r"^\s*(?:Caused by: )?[\w.]+(?:Error|Exception|Extra|Fault)\b:? ?.*")


def reason(error: BaseException) -> str:
    r"""The last line of the error's text that names an error; else its first line.

    >>> reason(RuntimeError("job aborted\n  File x\nModuleNotFoundError: No module named 'servable'\n at java"))
    "ModuleNotFoundError: No module named 'servable'"
    >>> reason(OSError("no\nplace"))
    'no'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if _SAYS.match(line)]
    return (named or lines[:1] or [type(error).__name__])[-1][:500]
