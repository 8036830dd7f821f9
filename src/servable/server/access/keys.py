"""API keys: made, listed and revoked in one file of digests, `<home>/keys.json`; doors re-read it while they serve.

The secret is 256 random bits, shown once. At rest there is its SHA-256: a slow hash protects secrets that people choose
and that can be guessed; nobody guesses 256 random bits, and a fast one can be computed for each request. Looking the
digest up in a dict tells a timing attacker at most something of a digest, which no secret can be steered towards.

Called by `cli/keys.py` (writes) and `access.py` (reads). Not the judge of who may do what: that is access.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from servable.domain.endpoint import Role
from servable.errors import Conflict, EnvironmentFault, NotFound, UsageError
from servable.server.access.roles import ROLES
from servable.stores.whole import write_whole

FILE: Final = "keys.json"
PREFIX: Final = "sv_"
SECRET_BYTES: Final = 32
OTHERS: Final = stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO
"""File modes that are refused. Reading by the group is let be: mounted secrets need it."""

log = logging.getLogger(__name__)


class Key(msgspec.Struct, frozen=True):
    """What is known of a key: all but its secret.

    `models` are patterns as in a shell; `expires` and `created` are seconds since the epoch.
    """

    id: str
    name: str
    digest: str
    roles: tuple[Role, ...]
    models: tuple[str, ...] = ("*",)
    created: float = 0.0
    expires: float | None = None

    def expired(self, now: float) -> bool:
        return self.expires is not None and now >= self.expires


class _File(msgspec.Struct, frozen=True):
    schema: int = 1
    keys: tuple[Key, ...] = ()


class Keys:
    """The keys of one home. `generation` moves whenever a key came, went or expired, so that caches know."""

    def __init__(self, home: Path, now: Callable[[], float] = time.time) -> None:
        """Read the keys there are. Raises EnvironmentFault for a file that others may change, or that is damaged."""
        self.path = home / FILE
        self.generation = 0
        self._now = now
        self._seen = self._mark()
        self._found: dict[bytes, Key] = {}
        self._were_alive = 0
        self._take(self._read())

    @property
    def alive(self) -> int:
        """How many of the keys taken up are good now."""
        now = self._now()
        return sum(not key.expired(now) for key in self._found.values())

    def on_file(self) -> list[Key]:
        """All keys on file, expired ones too, oldest first."""
        return list(self._read())

    def find(self, secret: str) -> Key | None:
        """The key of this secret, if there is one that has not expired."""
        key = self._found.get(_digest(secret))
        return None if key is None or key.expired(self._now()) else key

    def refresh(self) -> bool:
        """Take up what changed on disk; True if anything did. Cheap (one `stat`): a door calls it every second.

        A file that has become weak or damaged is not taken up: what was known stays in force, and the log says so.
        """
        before = self.generation
        mark = self._mark()
        if mark != self._seen:
            self._seen = mark
            try:
                self._take(self._read())
            except EnvironmentFault as error:
                log.error("keys not re-read, those known before stay in force: %s", error.message)  # noqa: TRY400 - ours
        self._expire()
        return self.generation != before

    def create(
        self, name: str, roles: Sequence[Role], models: Sequence[str] = ("*",), expires: float | None = None
    ) -> tuple[str, Key]:
        """A new key and its secret, which is kept nowhere.

        Raises UsageError for a bad argument, Conflict for a name that is taken.
        """
        if not name.isprintable() or not 0 < len(name) <= 128:
            raise UsageError(f"a key's name is 1 to 128 printable characters, not {name!r:.200}")
        if not roles or not set(roles) <= set(ROLES):
            raise UsageError(f"a key's roles are one or more of {', '.join(ROLES)}, not {', '.join(roles) or 'none'}")
        if not models or not all(models):
            raise UsageError("a key's models are one or more patterns, such as 'churn' or 'team-a.*'; '*' is all")
        now = self._now()
        if expires is not None and expires <= now:
            raise UsageError("a key cannot expire before it is made")
        secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        key = Key(secrets.token_hex(4), name, _digest(secret).hex(), tuple(roles), tuple(models), now, expires)
        with self._writing() as keys:
            if any(other.name == name for other in keys):
                raise Conflict(f"a key named {name!r} exists: revoke it first, or choose another name")
            self._write((*keys, key))
        return secret, key

    def revoke(self, wanted: str) -> Key:
        """Take away the key with this id or name. Raises NotFound, which lists those there are."""
        with self._writing() as keys:
            gone = next((key for key in keys if wanted in {key.id, key.name}), None)
            if gone is None:
                known = ", ".join(f"{key.id} ({key.name})" for key in keys) or "none"
                raise NotFound(f"no key {wanted!r:.200}; there are: {known}")
            self._write(tuple(key for key in keys if key is not gone))
        return gone

    def _expire(self) -> None:
        """Count keys that ran out since the last look as a change."""
        alive = self.alive
        if alive != self._were_alive:
            self._were_alive = alive
            self.generation += 1

    def _take(self, keys: tuple[Key, ...]) -> None:
        self._found = {bytes.fromhex(key.digest): key for key in keys}
        self._were_alive = self.alive
        self.generation += 1

    def _mark(self) -> tuple[int, int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size

    def _read(self) -> tuple[Key, ...]:
        try:
            with self.path.open("rb") as file:
                _demand_private(self.path, os.fstat(file.fileno()))
                return msgspec.json.decode(file.read(), type=_File).keys
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise EnvironmentFault(f"cannot read {self.path}: {error.strerror}") from error
        except msgspec.DecodeError as error:
            raise EnvironmentFault(
                f"{self.path} is damaged: {error}; restore it, or delete it and make new keys"
            ) from error

    def _write(self, keys: tuple[Key, ...]) -> None:
        """Replace the file as a whole, durably."""
        try:
            write_whole(self.path, msgspec.json.format(msgspec.json.encode(_File(keys=keys)), indent=1) + b"\n")
        except OSError as error:
            raise EnvironmentFault(f"cannot write {self.path}: {error.strerror}") from error
        self._seen = self._mark()
        self._take(keys)

    @contextmanager
    def _writing(self) -> Iterator[tuple[Key, ...]]:
        """The keys on file, while no other process may write them."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.path.with_name(f".{FILE}.lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise EnvironmentFault(f"cannot write in {self.path.parent}: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield self._read()
        finally:
            os.close(handle)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _demand_private(path: Path, status: os.stat_result) -> None:
    """Raise EnvironmentFault if anybody but the owner (us, or root) may change the file, or strangers may read it."""
    mode = stat.S_IMODE(status.st_mode)
    if mode & OTHERS:
        raise EnvironmentFault(f"{path} is open to others (mode {mode:04o}): run  chmod 600 {path}")
    if status.st_uid not in {0, os.geteuid()}:
        raise EnvironmentFault(
            f"{path} belongs to another user (uid {status.st_uid}): run  chown {os.geteuid()} {path}"
        )
