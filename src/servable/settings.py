"""One Settings struct; one loader: defaults, then a file (TOML), then the environment, then flags.

Who sets a key wrongly learns the key, the source, what was expected and what came.
"""

from __future__ import annotations

import difflib
import math
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from servable.errors import UsageError, unreadable

PREFIX: Final = "SERVABLE_"
MIB: Final = 1024 * 1024


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that can be set. Sizes in bytes, times in seconds.

    Where: `--http-port 8080` (flag) wins over `SERVABLE_HTTP_PORT=8080` (environment) over `http_port = 8080` (file).
    """

    home: str = "~/.servable"
    """Where state lies: registry, bundles, logs, keys."""

    host: str = "127.0.0.1"
    """The address to listen on. Anything but loopback demands a key, or `insecure`."""
    http_port: int = 8080
    """REST. 0 lets the system choose."""
    grpc_port: int = 8081
    """gRPC. 0 lets the system choose; -1 turns the gRPC door off."""
    workers: int = 1
    """Doors: processes that share the ports."""

    registry_url: str = ""
    """The database of the registry, `postgresql://USER@HOST/NAME`; empty: a file in `home`."""
    bundles_url: str = ""
    """Where machines share bundles: `file:///FOLDER`, `s3://BUCKET/PREFIX`, `gs://…`, `az://…`; empty: in `home`."""
    trusted_keys: tuple[str, ...] = ()
    """Public keys (Ed25519: base64, or PEM files), one of which must have signed what is served; none: no matter."""

    require_key: bool = False
    """Demand an API key even on loopback."""
    insecure: bool = False
    """Allow an address other than loopback without keys."""
    allowed_hosts: tuple[str, ...] = ()
    """Host headers that are answered, besides those of the address bound. `*` allows all."""
    allowed_origins: tuple[str, ...] = ()
    """Pages of other origins (`https://app.example.com`) that may ask for predictions and tell outcomes."""

    max_body_bytes: int = 64 * MIB
    """A request's body as it comes, of either door."""
    max_decompressed_bytes: int = 256 * MIB
    """The same body unpacked, where it was compressed."""
    max_header_bytes: int = 32 * 1024
    """A request's line and headers together."""
    """Lists and objects within each other in a JSON body."""
    max_elements: int = 32 * 1024 * 1024
    """Values in one request, all tensors together."""
    max_connections: int = 16_384
    """Open connections of one door."""
    receive_timeout_s: float = 10.0
    """From the first byte of a request to the end of its headers; and without progress in its body."""
    min_receive_rate: int = 1024
    """Bytes a second that a body must arrive at, on average, after the receive timeout."""
    keep_alive_s: float = 75.0
    """How long a connection may stay open between two requests."""
    write_timeout_s: float = 30.0
    """How long a client may take no byte of an answer that waits for it."""

    deadline_s: float = 30.0
    """For a request that names none."""
    text_deadline_s: float = 300.0
    """For a text that a language model makes, where the request names none."""
    max_tokens: int = 4096
    """That one text may have."""
    max_queue: int = 1024
    """Requests that may wait for one version."""
    stuck_after_s: float = 60.0
    """A model call that runs longer makes its door unhealthy, to be replaced."""
    warm_up: bool = True
    """Run and measure a model before it takes requests."""
    inline_ms: float = 0.5
    """Model calls expected to be shorter run on the event loop; longer ones on the lane's thread."""

    devices: tuple[str, ...] = ()
    """Where models run, each by its name: `churn=cuda:0`; `cuda:0` alone: all that are not named. None: on the CPU."""
    isolate: Literal["foreign", "all"] = "foreign"
    """Which models live in processes of their own: those that run foreign code, or all."""
    sandbox: Literal["auto", "required", "off"] = "auto"
    """Of model processes: what the machine offers; refuse to load a model with less than all of it; or none."""
    process_recycle_bytes: int = 0
    """A model process that holds more memory is replaced, without a lost request; 0: none is."""
    process_limit_bytes: int = 0
    """Address space that a model process may take, beyond which its own requests for memory fail; 0: no limit."""
    load_timeout_s: float = 600.0
    """For a model process to load its model."""
    max_answer_bytes: int = 256 * MIB
    """What a model process may answer to one call."""

    drain_delay_s: float = 0.0
    """Between turning not-ready and closing the ports, so that balancers look elsewhere."""
    grace_s: float = 30.0
    """For accepted requests to finish after SIGTERM."""
    heartbeat_timeout_s: float = 10.0
    """A door silent for longer is killed and replaced."""
    canary_look_s: float = 2.0
    """Between two looks at a canary, each of which may roll it back or promote it."""

    outcomes_days: float = 90.0
    """How long outcomes of predictions, the answers that wait for theirs, and what devices sent home are kept."""

    learning_url: str = ""
    """The database through which machines share learners, `postgresql://USER@HOST/NAME`; empty: each learns alone."""
    learning_states: str = ""
    """Through what states of shared learners go to other machines: redis://… or nats://…; empty: `learning_url`."""
    learning_lease_s: float = 5.0
    """After this long without a sign of the machine that learns, another one does."""

    tables: str = ""
    """Where tables of answers are: a folder, redis://… or postgresql://…; empty: in `home`."""
    record_file: str = ""
    """A JSON-lines file that every answer's Record is appended to; empty: none."""
    record_queue: int = 65_536
    """Records that may wait for the sink; beyond it they are dropped, and counted."""
    log_format: Literal["text", "json"] = "text"
    """Lines on standard error for people, or for machines."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged."""
    config: str = ""
    """The file these were read from."""

    @property
    def home_path(self) -> Path:
        return Path(self.home).expanduser()


FIELDS: Final = {field.name: field for field in msgspec.structs.fields(Settings)}
LISTS: Final = frozenset(name for name, field in FIELDS.items() if field.type == tuple[str, ...])
"""Settings of several words: in the environment and on the command line, with commas between."""


LEAST: Final = {"grpc_port": -1, "workers": 1}
"""The least that a number may be; of all others 0."""
MAX_PORT: Final = 65_535
CLOSE: Final = 0.85
"""How alike a variable is that was meant to be a setting."""


def load_settings(flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from all sources. A flag that is None was not given. Raises UsageError that names the key and source."""
    environ = os.environ if environ is None else environ
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    path = given.get("config") or environ.get(PREFIX + "CONFIG", "")
    merged: dict[str, Any] = {}
    if path:
        merged |= _checked(_read(Path(path)), f"file {path}", strict=True)
        merged["config"] = str(path)
    from_environment = {
        name: environ[PREFIX + name.upper()] for name in FIELDS if environ.get(PREFIX + name.upper(), "") != ""
    }
    merged |= _checked(from_environment, "environment", strict=False)
    merged |= _checked(given, "command line", strict=False)
    return Settings(**merged)


def misspelt(environ: Mapping[str, str]) -> list[str]:
    """Variables that are no setting, and look as if one was meant, each with what that is. Strangers are left alone:
    Kubernetes gives every container variables in the name of its services.

    >>> misspelt({"SERVABLE_HTTP_PROT": "80", "SERVABLE_SERVICE_HOST": "10.0.0.1"})
    ['SERVABLE_HTTP_PROT is no setting, and changes nothing: did you mean SERVABLE_HTTP_PORT?']
    """
    known = {PREFIX + name.upper() for name in FIELDS}
    strange = [name for name in environ if name.startswith(PREFIX) and name not in known]
    return [
        f"{name} is no setting, and changes nothing: did you mean {near[0]}?"
        for name in strange
        if (near := difflib.get_close_matches(name, known, 1, cutoff=CLOSE))
    ]


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise unreadable(path, error, "the configuration file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not a valid TOML file: {error}") from error


def _checked(values: Mapping[str, Any], source: str, *, strict: bool) -> dict[str, Any]:
    """Each value as its key's type. From a file types must match; text from elsewhere is read as that type."""
    checked = {}
    for key, value in values.items():
        field = FIELDS.get(key)
        if field is None:
            near = difflib.get_close_matches(key, FIELDS, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"unknown setting {key!r} in the {source}{hint}")
        if key in LISTS and isinstance(value, str):
            value = [word.strip() for word in value.split(",") if word.strip()]  # noqa: PLW2901 - one loop, one value
        try:
            checked[key] = msgspec.convert(value, field.type, strict=strict)
        except msgspec.ValidationError as error:
            raise UsageError(f"setting {key!r} in the {source}: {error} (value {value!r})") from error
        least, most = LEAST.get(key, 0), MAX_PORT if key.endswith("_port") else math.inf
        if isinstance(checked[key], (int, float)) and not least <= checked[key] <= most:
            told = f"from {least} to {most}" if key.endswith("_port") else f"not below {least}"
            raise UsageError(f"setting {key!r} in the {source}: expected a number {told}, got {checked[key]}")
    return checked
