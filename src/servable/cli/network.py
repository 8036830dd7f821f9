"""One call to a server, with the errors that people understand. What a program needs is the client, not this."""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from typing import Any, Final

from servable.errors import CheckFailed, EnvironmentFault, UsageError

KEY: Final = "SERVABLE_KEY"
TIMEOUT_S: Final = 60.0


def call(url: str, body: bytes | None = None, timeout_s: float = TIMEOUT_S) -> bytes:
    """GET, or POST of a JSON body; the answer's body. The key is that of the environment, if there is one.

    Raises UsageError (not an http address), EnvironmentFault (nobody answers), CheckFailed (the server says no).
    """
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"--url {url!r}: expected http://HOST:PORT")
    headers = {"content-type": "application/json"} if body is not None else {}
    if key := os.environ.get(KEY):
        headers["authorization"] = f"Bearer {key}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=timeout_s) as answer:  # noqa: S310 - http alone, see above
            data: bytes = answer.read()
            return data
    except urllib.error.HTTPError as error:
        told = _document(error)
        said = f"{url} answers {error.code}: {told.get('error', error.reason)}"
        raise CheckFailed(said, faults=told.get("faults"), example=told.get("example")) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise EnvironmentFault(f"cannot reach {url}: {reason}; is the server up? (servable serve)") from error


def _document(error: urllib.error.HTTPError) -> dict[str, Any]:
    """The server's error body; of a stranger's, nothing."""
    try:
        document = json.loads(error.read())
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
