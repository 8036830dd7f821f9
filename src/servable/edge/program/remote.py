"""Remote: the server that answers in the place of this machine, asked by its own protocol; what it says goes on."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any, Final

from servable.errors import ServableError, Unavailable

LENGTH: Final = "Inference-Header-Content-Length"
WAIT_S: Final = 60


class Remote:
    """Of one model. `key` is for a server that demands one."""

    def __init__(self, server: str, name: str, key: str = "") -> None:
        self._url = f"{server}v2/models/{name}/infer"
        self._headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}

    def infer(self, body: bytes, json_length: int | None = None) -> tuple[bytes, int | None]:
        """The answer's body, and the length of its JSON part where binary tensors follow. Raises ServableError as the
        server does, Unavailable where it cannot be reached.
        """
        headers = self._headers if json_length is None else self._headers | {LENGTH: str(json_length)}
        request = urllib.request.Request(self._url, body, headers)  # noqa: S310 - the export names it, by https or http
        try:
            with urllib.request.urlopen(request, timeout=WAIT_S) as answer:  # noqa: S310 - as above
                length = answer.headers.get(LENGTH)
                return answer.read(), None if length is None else int(length)
        except urllib.error.HTTPError as error:
            raise _theirs(error.code, error.read()) from error
        except (OSError, ValueError) as error:
            raise Unavailable(
                f"the server that would answer in place of this machine cannot be reached: {error}"
            ) from error

    def told(self, body: Any) -> dict[str, Any]:
        """The answer to a body without binary tensors. Raises as `infer` does."""
        found: dict[str, Any] = json.loads(self.infer(json.dumps(body).encode())[0])
        return found


def _theirs(status: int, body: bytes) -> ServableError:
    """An error of the server as one of our own, with its status, code and detail."""
    try:
        told = json.loads(body)
        message, code = str(told.pop("error")), str(told.pop("code", "internal"))
    except (ValueError, KeyError, AttributeError, TypeError):
        return Unavailable(f"the server that would answer in place of this machine answered {status}")
    kind = type("TheirError", (ServableError,), {"status": status, "code": code})
    found: ServableError = kind(message, **told)
    return found
