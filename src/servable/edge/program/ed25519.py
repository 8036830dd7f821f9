"""Ed25519: whether a signature holds, after RFC 8032, in plain whole numbers: where the program runs there is no
library for it. It signs nothing and knows no secret, so its time may tell what it likes.
"""

from __future__ import annotations

import hashlib
from typing import Final

_P: Final = 2**255 - 19
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, _P) % _P
_ROOT: Final = pow(2, (_P - 1) // 4, _P)
"""Of -1."""
KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

_Point = tuple[int, int, int, int]
"""Extended coordinates: x = X/Z, y = Y/Z, x·y = T/Z (section 5.1.4)."""
_NOTHING: Final[_Point] = (0, 1, 1, 0)


def holds(public: bytes, signature: bytes, said: bytes) -> bool:
    """Whether the key signed what was said (section 5.1.7).

    >>> key = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    >>> start = bytes.fromhex("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e")
    >>> mark = start + bytes.fromhex("39701cf9b46bd25bf5f0595bbe24655141438e7a100b")
    >>> holds(key, mark, b""), holds(key, mark, b"other"), holds(key, bytes(64), b"")
    (True, False, False)
    """
    if len(public) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    key, commitment = _read(public), _read(signature[:KEY_BYTES])
    response = int.from_bytes(signature[KEY_BYTES:], "little")
    if key is None or commitment is None or response >= _ORDER:
        return False
    hashed = hashlib.sha512(signature[:KEY_BYTES] + public + said).digest()
    challenge = int.from_bytes(hashed, "little") % _ORDER
    return _equal(_times(response, _BASE), _plus(commitment, _times(challenge, key)))


def _read(data: bytes) -> _Point | None:
    """The point of 32 bytes (section 5.1.3); None where there is none."""
    told = int.from_bytes(data, "little")
    odd, y = told >> 255, told & ((1 << 255) - 1)
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P or (not x and odd):
        return None
    if x & 1 != odd:
        x = _P - x
    return x, y, 1, x * y % _P


def _plus(one: _Point, other: _Point) -> _Point:
    a = (one[1] - one[0]) * (other[1] - other[0]) % _P
    b = (one[1] + one[0]) * (other[1] + other[0]) % _P
    c = 2 * one[3] * other[3] * _D % _P
    d = 2 * one[2] * other[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(number: int, point: _Point) -> _Point:
    found = _NOTHING
    while number:
        if number & 1:
            found = _plus(found, point)
        point, number = _plus(point, point), number >> 1
    return found


def _equal(one: _Point, other: _Point) -> bool:
    return not ((one[0] * other[2] - other[0] * one[2]) % _P or (one[1] * other[2] - other[1] * one[2]) % _P)


def _base() -> _Point:
    point = _read((4 * pow(5, -1, _P) % _P).to_bytes(KEY_BYTES, "little"))
    assert point is not None  # noqa: S101 - the standard says so
    return point


_BASE: Final = _base()
