"""Takes a model to a device: obstacles are told, a variant is chosen, the folder is written, and appears once it is
proven.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final

import msgspec
import orjson

from servable.bundles.difference import differences
from servable.bundles.golden import golden_rows
from servable.bundles.load import Predictor
from servable.domain.batch import Batch
from servable.domain.bundle import Bundle
from servable.edge import report
from servable.edge.cases import bodies, golden_bodies, plain_body
from servable.edge.devices import in_browser
from servable.edge.edition import Edition, answering
from servable.edge.fit import Fit, Measured, fitted
from servable.edge.handed import Door, apart, is_handed
from servable.edge.life import Life, now_ms
from servable.edge.obstacles import handing, obstacles
from servable.edge.parity import Parity, compare
from servable.edge.report import Report
from servable.edge.served import answers
from servable.edge.target import Target
from servable.edge.targets import target_of
from servable.errors import CheckFailed, ConversionRejected, Unsupported, UsageError

LARGE_BYTES: Final = 10_000_000
"""A larger model is asked fewer bodies: each takes as many milliseconds as others take microseconds."""


def export(  # noqa: PLR0913 - the one call of the shelf: every choice is a name
    predictor: Predictor, version: str, output: Path, *, target: str = "browser", proof: bool = True,
    options: frozenset[str] = frozenset(), outputs: Sequence[str] = (), fit: Fit | None = None,
    life: Life | None = None, door: Callable[[], AbstractContextManager[Door]] | None = None,
) -> Report:  # fmt: skip
    """Write the folder `output`, which must be new or empty. `outputs`: those to keep, of all. `fit`: make variants,
    measure them, and take the one that is allowed. `life`: what it does after it is made. `door` serves the model for
    the proof, where its rules hand rows over.

    Raises Unsupported with every obstacle, CheckFailed where no variant is allowed, or where a device answers otherwise
    (`output` then holds the report and nothing else), UsageError, EnvironmentFault, MissingExtra.
    """
    bundle = predictor.bundle
    aim = _aim(target, bundle, options if life is None else options | life.options)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"{str(output)!r} is there already: name a folder that is new or empty")
    if found := obstacles(bundle, aim.obstacles, lite=aim.lite, server=life is not None and bool(life.server)):
        told = " ".join(map(str, found))
        raise Unsupported(f"{bundle.name!r} cannot go to a device: {told}", obstacles=msgspec.to_builtins(found))
    hands = proof and bool(handing(bundle))
    if hands and door is None:
        raise UsageError("its rules hand rows over, so the proof needs a server: export a registered version by its "
                         "name (servable models register), or say --no-proof")  # fmt: skip
    edition = aim.edition(bundle, version, outputs)
    if edition.converted:
        _hold(edition, predictor)
    table: tuple[Measured, ...] = ()
    if fit is not None:
        edition, table = fitted(
            edition, fit, lambda made: _time_ms(made, aim, options) if proof else None, aim.variants
        )
    given = None if fit is None else fit.rows
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as place:
        folder = Path(place) / "export"
        folder.mkdir()
        aim.write(edition, folder, options)
        with door() if hands and door is not None else nullcontext() as beside:
            devices = _proven(edition, predictor, aim, folder, given, beside) if proof else ()
        made = _report(edition, aim, folder, table, devices)
        if proof and not made.proven:
            report.write(made, output)
            wrong = "; ".join(str(device) for device in made.devices if not device.passed)
            raise CheckFailed(f"the exported {bundle.name!r} does not answer as the server does: {wrong}. The report: "
                              f"{output / report.HTML}")  # fmt: skip
        report.write(made, folder)
        if life is not None:  # only now: what is proven must not look for something newer meanwhile
            aim.write(_living(edition, predictor, life), folder, options)
        if output.exists():
            output.rmdir()
        shutil.move(folder, output)
    return made


def _living(edition: Edition, predictor: Predictor, life: Life) -> Edition:
    """The edition with its life, and with golden rows for devices to try later ones with. Raises UsageError."""
    columns = () if life.records is None else life.records.columns
    known = [name for field in edition.bundle.signature.inputs for name in field.features or (field.name,)]
    if strange := [name for name in columns if name not in known]:
        raise UsageError(f"records cannot hold {strange[0]!r}: the columns are {', '.join(known)}")
    with answering(edition, predictor) as server:
        asked = golden_bodies(server.bundle)
        told = answers(apart(server), edition.version, asked)
    own = [number for number, answer in enumerate(told) if not is_handed(answer)]
    golden = {"bodies": [asked[number] for number in own], "told": [told[number] for number in own],
              "relative": edition.relative, "absolute": edition.absolute}  # fmt: skip
    life = msgspec.structs.replace(life, name=edition.bundle.name, sequence=now_ms(), golden=orjson.dumps(golden))
    return msgspec.structs.replace(edition, life=life)


def _aim(name: str, bundle: Bundle, options: frozenset[str]) -> Target:
    aim = target_of(name)
    if bundle.manifest.format in aim.instead:
        aim = aim.instead[bundle.manifest.format](bundle)
    if strange := sorted(options - aim.options):
        named = ", ".join(f"--{option}" for option in strange)
        raise UsageError(f"the target {name!r} knows no {named}: leave that out")
    return aim


def _hold(edition: Edition, predictor: Predictor) -> None:
    """Raise ConversionRejected unless what was converted on the way answers as the model that is served."""
    rows = golden_rows(edition.bundle) or edition.bundle.signature.example(2)
    model = edition.opened()
    try:
        answer = Batch(
            {field.name: predictor.model.predict(rows)[field.name] for field in edition.bundle.signature.outputs}
        )
        wrong = [str(each) for each in differences(answer, model.predict(rows)) if each.count]
    finally:
        model.close()
    if wrong:
        raise ConversionRejected(
            f"converted to {edition.converted}, {edition.bundle.name!r} answers otherwise: {'; '.join(wrong)}"
        )


def _time_ms(edition: Edition, aim: Target, options: frozenset[str]) -> float | None:
    """An answer on the target's first device, of many."""
    with tempfile.TemporaryDirectory(prefix="servable-edge-") as place:
        aim.write(edition, Path(place), options)
        return aim.devices[0](Path(place), [plain_body(edition.bundle)]).p50_ms


def _proven(
    edition: Edition, predictor: Predictor, aim: Target, folder: Path, given: Batch | None, beside: Door | None
) -> tuple[Parity, ...]:
    """Every device of the target beside the server. Where rules hand rows over, `beside` answers these to both."""
    found = []
    with answering(edition, predictor) as server:
        asked = bodies(server.bundle, server.signature, given, few=len(edition.model) > LARGE_BYTES)
        told = answers(apart(server), edition.version, asked)
    if beside is not None:
        told = beside.in_place(asked, told)
        folder = folder.parent / "proof"  # what it keeps there is no part of the export
        folder.mkdir()
        aim.write(_living(edition, predictor, Life(server=f"{beside.url}/")), folder, frozenset())
    for ask in aim.devices:
        ran = in_browser(folder, asked, beside.page_port) if beside and ask is in_browser else ask(folder, asked)
        parity = compare(ran.device, asked, told, ran.told, edition.relative, edition.absolute)
        found.append(msgspec.structs.replace(parity, first_ms=ran.first_ms, p50_ms=ran.p50_ms))
    return tuple(found)


def _report(
    edition: Edition, aim: Target, folder: Path, table: tuple[Measured, ...], devices: tuple[Parity, ...]
) -> Report:
    bundle: Bundle = edition.bundle
    return Report(
        f"{bundle.name}:{edition.version}",
        bundle.digest,
        {**_server(edition), **aim.runtimes()},
        edition.relative,
        edition.absolute,
        devices,
        aim.sizes(edition, folder),
        edition.variant,
        table,
        aim.notes(edition),
    )


def _server(edition: Edition) -> dict[str, str]:
    """What computes on the server's side, where the model is ONNX."""
    if edition.lite:
        return {}
    import onnxruntime

    return {"onnxruntime": onnxruntime.__version__}
