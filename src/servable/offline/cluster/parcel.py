"""Parcel: what every machine of a cluster needs of a job, as one file: the order, and the models it names.

A tar file, so that machines share no disk. Models are proven against their digests where they are loaded.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Final

import msgspec

from servable.bundles.environments import ENVIRONMENTS
from servable.engine.plan import Target
from servable.errors import EnvironmentFault
from servable.offline.order import Order
from servable.offline.whole import disk
from servable.settings import load_settings
from servable.version import __version__

ORDER: Final = "order.json"
OUTPUT: Final = "output"
"""Where a part's Parquet file lies in a worker's own folder."""


class _Label(msgspec.Struct, frozen=True):
    version: str
    order: Order


def pack(order: Order, path: Path) -> Path:
    """Write the parcel to `path`."""
    with disk(path), tarfile.open(path, "w", dereference=True) as parcel:
        sources: dict[str, str] = {}

        def inside(target: Target) -> Target:
            if target.source not in sources:
                sources[target.source] = f"models/{len(sources)}/{Path(target.source).name}"
                parcel.add(target.source, sources[target.source])
            return msgspec.structs.replace(target, source=sources[target.source])

        fallbacks = {ref: inside(target) for ref, target in order.fallbacks.items()}
        ours = msgspec.structs.replace(order, target=inside(order.target), fallbacks=fallbacks)
        label = msgspec.json.encode(_Label(__version__, ours))
        entry = tarfile.TarInfo(ORDER)
        entry.size = len(label)
        parcel.addfile(entry, io.BytesIO(label))
    return path


def unpack(path: Path, folder: Path) -> None:
    """Lay what is in the parcel into the folder."""
    with disk(folder), tarfile.open(path) as parcel:
        parcel.extractall(folder, filter="data")


def read(unpacked: Path, folder: Path) -> Order:
    """The order, with its models where they were unpacked, answers to go to this folder, and libraries that a bundle
    names in the home of this machine, where the next job finds them.

    Raises EnvironmentFault where the job was started by another version of Servable: its answers might differ.
    """
    label = msgspec.json.decode((unpacked / ORDER).read_bytes(), type=_Label)
    if label.version != __version__:
        raise EnvironmentFault(
            f"the job was started by Servable {label.version}, and this machine of the cluster has {__version__}: "
            "install the same version on all of them"
        )

    def here(target: Target) -> Target:
        return msgspec.structs.replace(target, source=str(unpacked / target.source))

    order = label.order
    return msgspec.structs.replace(
        order,
        target=here(order.target),
        fallbacks={ref: here(target) for ref, target in order.fallbacks.items()},
        folder=str(folder),
        output=str(folder / OUTPUT) if order.output else "",
        environments=str(load_settings().home_path / ENVIRONMENTS),
    )
