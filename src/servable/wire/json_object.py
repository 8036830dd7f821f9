"""A body that has to be a JSON object. What the object holds is for those to judge who read it here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from servable.errors import InvalidInput


def json_object(body: bytes, example: Mapping[str, Any]) -> dict[str, Any]:
    """The object of a body. Raises InvalidInput, with the example of a body that would do.

    >>> json_object(b'{"keys": [1]}', {})
    {'keys': [1]}
    >>> json_object(b"[1]", {})
    Traceback (most recent call last):
    servable.errors.InvalidInput: the body: expected a JSON object, got [1]
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"the body is not valid JSON: {error}", example=example) from error
    if not isinstance(document, dict):
        raise InvalidInput(f"the body: expected a JSON object, got {document!r:.80}", example=example)
    return document
