"""The error tree. Every failure a user can see is one of these.

    ServableError                what went wrong, in one sentence that says what to do
    ├─ InvalidInput         400  a request that breaks the contract; carries every fault and a body that would work
    ├─ Unauthenticated      401  no key, or one that is not known
    ├─ Forbidden            403  a key without the role
    ├─ NotFound             404  no such model, version, alias, route or key
    ├─ Conflict             409  somebody else holds it, or it exists already
    ├─ TooLarge             413  a limit on header, body, elements or depth
    ├─ UnsupportedMedia     415  a content type or encoding that is not spoken here
    ├─ Refused              422  good by the contract, and kept from the model by a rule; lists every rule and row
    ├─ ModelFailed          500  the model raised, or gave an answer that breaks its own contract
    │  └─ DeadlyInput            this input has ended the model's process twice
    ├─ Unsupported          501  known, and not offered
    ├─ Unavailable          503  not now; `retry_after_s` says when to come back
    │  ├─ NotReady               the version is loading, failed to load, or is draining
    │  ├─ Overloaded             the queue is full, or the deadline could not be met
    │  ├─ CircuitOpen            the version keeps failing and is left alone for a while
    │  └─ TooMany           429  this caller is too quick, or learning too far behind: predictions go on
    ├─ DeadlineExceeded     504  time ran out
    ├─ BundleError               a model or bundle that cannot be trusted or read
    │  ├─ UnknownFormat          no runtime recognises the content
    │  ├─ CorruptModel           recognised, and broken
    │  ├─ DigestMismatch         the bytes are not those that were packed
    │  ├─ IncompatibleModel      made by a version of a library that this one cannot read faithfully
    │  ├─ UnsafeModel            loading it would run code, and nobody consented
    │  ├─ UnsignedModel          no trusted key signed it, and one is demanded
    │  └─ ConversionRejected     the converted model did not prove equal
    ├─ CheckFailed               a check or a job ran, and the answer is no
    ├─ UsageError                the command or call is wrong
    └─ EnvironmentFault          the machine lacks something: a port, a file, a permission
       └─ MissingExtra           an optional dependency; names the `pip install` that brings it

`status` is the HTTP status, `exit_code` what a command ends with (1 failed, 2 usage, 3 environment), `code` the
machine-readable name in every error body. gRPC's code is derived from the status in `server/grpc/door.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar


class ServableError(Exception):
    """Base of all. `detail` is added to the error body as it stands, so it must be JSON."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, **detail: Any) -> None:
        super().__init__(message)
        self.message = message
        self.detail: dict[str, Any] = {key: value for key, value in detail.items() if value is not None}

    def body(self) -> dict[str, Any]:
        """The JSON error body: `error` is the sentence, `code` the name, the rest is detail."""
        return {"error": self.message, "code": self.code, **self.detail}


class InvalidInput(ServableError):
    """A request that breaks the contract.

    `faults` lists every fault found, not the first; `example` is a body that this model would accept.
    """

    status = 400
    code = "invalid_input"
    exit_code = 1

    def __init__(self, message: str, *, faults: Sequence[str] = (), example: Any = None, **detail: Any) -> None:
        super().__init__(message, faults=list(faults) or None, example=example, **detail)


class Unauthenticated(ServableError):
    status = 401
    code = "unauthenticated"


class Forbidden(ServableError):
    status = 403
    code = "forbidden"


class NotFound(ServableError):
    status = 404
    code = "not_found"


class Conflict(ServableError):
    status = 409
    code = "conflict"


class TooLarge(ServableError):
    status = 413
    code = "too_large"


class UnsupportedMedia(ServableError):
    status = 415
    code = "unsupported_media"


class Refused(ServableError):
    """Rows that rules of the model refuse. `fired` are all rules that fired (`domain/rule.py: Fired`)."""

    status = 422
    code = "refused"
    fired: Sequence[Any] = ()

    def __init__(self, message: str, *, fired: Sequence[Any] = (), **detail: Any) -> None:
        super().__init__(message, **detail)
        self.fired = tuple(fired)


class ModelFailed(ServableError):
    status = 500
    code = "model_failed"


class DeadlyInput(ModelFailed):
    """It ended the model's process, more than once: its sender's affair, which breaks no circuit for others."""

    code = "deadly_input"


class Unsupported(ServableError):
    status = 501
    code = "unsupported"


class Unavailable(ServableError):
    """Not now. `retry_after_s` becomes the `Retry-After` header."""

    status = 503
    code = "unavailable"

    def __init__(self, message: str, *, retry_after_s: float = 1.0, **detail: Any) -> None:
        super().__init__(message, retry_after_s=round(retry_after_s, 3), **detail)
        self.retry_after_s = retry_after_s


class NotReady(Unavailable):
    code = "not_ready"


class Overloaded(Unavailable):
    code = "overloaded"


class CircuitOpen(Unavailable):
    code = "circuit_open"


class TooMany(Unavailable):
    """Feedback is turned away, before predictions suffer."""

    status = 429
    code = "too_many"


class DeadlineExceeded(ServableError):
    status = 504
    code = "deadline_exceeded"


class BundleError(ServableError):
    status = 422
    code = "bundle_error"


class UnknownFormat(BundleError):
    code = "unknown_format"


class CorruptModel(BundleError):
    code = "corrupt_model"


class DigestMismatch(BundleError):
    code = "digest_mismatch"


class IncompatibleModel(BundleError):
    code = "incompatible_model"


class UnsafeModel(BundleError):
    code = "unsafe_model"


class UnsignedModel(BundleError):
    code = "unsigned_model"


class ConversionRejected(BundleError):
    code = "conversion_rejected"


class CheckFailed(ServableError):
    status = 422
    code = "check_failed"


class UsageError(ServableError):
    status = 400
    code = "usage"
    exit_code = 2


class EnvironmentFault(ServableError):
    status = 500
    code = "environment"
    exit_code = 3


def unreadable(path: object, error: OSError, what: str = "") -> EnvironmentFault:
    """The error for a file that somebody named and that cannot be read, whichever command it was given to; `what` it
    should have been.

    >>> print(unreadable("rows.csv", FileNotFoundError(2, "No such file or directory"), "the sample"))
    cannot read the sample 'rows.csv': No such file or directory
    """
    return EnvironmentFault(f"cannot read {what}{' ' if what else ''}{str(path)!r}: {error.strerror or error}")


class MissingExtra(EnvironmentFault):
    """An optional dependency is absent. `MissingExtra("xgboost", "load an XGBoost model")` names the fix."""

    code = "missing_extra"

    def __init__(self, extra: str, purpose: str, *, missing: str | None = None) -> None:
        self.extra = extra
        lacking = f" (module {missing!r} is not installed)" if missing else ""
        super().__init__(f"cannot {purpose}{lacking}: run  pip install 'servable[{extra}]'", extra=extra)
