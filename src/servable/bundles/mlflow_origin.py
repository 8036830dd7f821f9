"""What a bundle keeps of the MLflow folder it was made from, so that nothing is lost: its papers, word for word, and
the facts of its MLmodel in the lineage.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from servable.domain.bundle import Bundle
from servable.runtimes import verified
from servable.runtimes.mlflow_folder import FILE

FOLDER: Final = "mlflow"
"""Where the papers lie in a bundle."""
LARGEST_BYTES: Final = 1 << 20
_PAPERS: Final = (
    FILE, "conda.yaml", "python_env.yaml", "requirements.txt", "input_example.json", "serving_input_example.json",
    "serving_input_payload.json", "registered_model_meta",
)  # fmt: skip
"""Files that MLflow writes beside a model; code and weights are none of them."""
FACTS: Final = ("run_id", "model_id", "model_uuid", "mlflow_version", "utc_time_created", "artifact_path", "metadata")


def papers(folder: Path) -> dict[str, bytes | Path]:
    """The folder's papers, by their place in a bundle."""
    found = ((name, folder / name) for name in _PAPERS)
    return {f"{FOLDER}/{name}": path for name, path in found if path.is_file() and path.stat().st_size <= LARGEST_BYTES}


def facts(folder: Path) -> dict[str, Any]:
    """What its MLmodel says of run, model and time, as a manifest can hold it."""
    stated = _read((folder / FILE).read_bytes())
    found = {key: _plain(stated[key]) for key in FACTS if stated.get(key) is not None}
    return found | {"flavors": sorted(map(str, stated.get("flavors") or ()))}


def origin(bundle: Bundle) -> dict[str, Any]:
    """The whole MLmodel that a bundle was made from; empty: it was not made from one. Raises DigestMismatch."""
    place = f"{FOLDER}/{FILE}"
    if all(file.path != place for file in bundle.manifest.files):
        return {}
    return _read(verified.read(bundle, bundle.folder / place))


def _read(data: bytes) -> dict[str, Any]:
    import yaml  # read before, or there would be nothing to keep

    stated = yaml.safe_load(data)
    return stated if isinstance(stated, dict) else {}


def _plain(value: Any) -> Any:
    """A text as it is, all else as JSON: TOML has no null, and times become themselves."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode().strip('"')
