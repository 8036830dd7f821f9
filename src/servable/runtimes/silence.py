"""Silence: what C++ libraries tell on standard error as they are imported, held back where it is no news.

TensorFlow has settings for its lines (`TF_CPP_MIN_LOG_LEVEL`), but none for those of its first moments, before its log
is set up: that there is no graphics card, in every process, twice. Errors and warnings go through, as does all that is
not of this form.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from typing import Final

IDLE: Final = re.compile(rb"(I\d{4} \d\d:\d\d:|WARNING: All log messages before absl::InitializeLog)")
STANDARD_ERROR: Final = 2


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """For the length of an import: what is written to standard error comes at its end, without information lines."""
    with tempfile.TemporaryFile() as held:
        before = os.dup(STANDARD_ERROR)
        os.dup2(held.fileno(), STANDARD_ERROR)
        try:
            yield
        finally:
            os.dup2(before, STANDARD_ERROR)
            os.close(before)
            held.seek(0)
            for line in held:
                if not IDLE.match(line):
                    os.write(STANDARD_ERROR, line)
