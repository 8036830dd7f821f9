"""Endpoint: one method of one path of the HTTP doors, the role it demands, what it takes and gives. A row of a table.

No handler and no framework: `server/http/routes.py` holds the doors' own rows, and a shelf that answers over HTTP
brings rows of its own, each with its handler.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

Role = Literal["viewer", "invoker", "feedback", "deployer", "admin"]
"""What a key may do; which role grants which others is `server/access/roles.py`'s."""

OPEN: Final = "open"
"""In the place of a role: it answers without a key."""

ANY: Final = "Any"
"""The schema of a body that may be anything, or nothing."""


class Endpoint(NamedTuple):
    """Templates are Starlette's; `{model}` is what patterns of keys apply to. `name` is the contract's operationId.

    `body` and `answer` name schemas of the contract (`server/http/schemas.py`); an empty body is none.
    """

    method: str
    path: str
    role: Role | Literal["open"]
    name: str
    summary: str
    body: str = ""
    answer: str = "Object"
