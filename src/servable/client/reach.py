"""Reach: what it means that no answer came, as the errors that every other failure is told by.

Around each call of both clients.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from servable.errors import DeadlineExceeded, Unavailable

if TYPE_CHECKING:
    import httpx


@contextmanager
def reaching(url: httpx.URL) -> Iterator[None]:
    """Raises Unavailable where the server cannot be reached or hangs up, DeadlineExceeded where it gave no answer in
    time.
    """
    import httpx

    try:
        yield
    except httpx.TimeoutException as error:
        raise DeadlineExceeded(
            f"{url} gave no answer in time ({type(error).__name__}); timeout_s of the client is how long it waits"
        ) from error
    except httpx.TransportError as error:
        raise Unavailable(f"cannot reach {url}: {str(error) or type(error).__name__}; is the server up?") from error
