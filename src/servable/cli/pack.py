"""`servable pack`: make a bundle of a model file and register it as the next version of its name."""

from __future__ import annotations

import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from servable.cli.options import AsJson, Home, registry_at
from servable.cli.terminal import say, show_json, working


class To(StrEnum):
    """What the model may become."""

    auto = "auto"
    onnx = "onnx"
    keep = "keep"


def pack(
    file: Annotated[Path, typer.Argument(help="A model file or folder; a pickle with --allow-unsafe.")],
    name: Annotated[str | None, typer.Option(help="The model's name.", show_default="the file's stem")] = None,
    sample: Annotated[
        Path | None, typer.Option(help="Rows like those of training: csv, parquet, arrow.", metavar="DATA")
    ] = None,
    label: Annotated[str | None, typer.Option(help="The sample's column to leave out.", metavar="COLUMN")] = None,
    output: Annotated[Path | None, typer.Option(help="Where the bundle's folder is made.", metavar="DIR")] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help="The file's format, where its content leaves doubt.", metavar="F")
    ] = None,
    to: Annotated[To, typer.Option(help="Convert where proven equal; insist on ONNX; or keep as it is.")] = To.auto,
    check: Annotated[
        list[str] | None, typer.Option(help='For the release gate: "accuracy>=0.93"; may be repeated.')
    ] = None,
    rules: Annotated[Path | None, typer.Option(help="Guardrails of its predictions, as TOML.", metavar="FILE")] = None,
    calibrate: Annotated[
        Path | None, typer.Option(help="Labelled rows it was not trained on, for prediction intervals.", metavar="DATA")
    ] = None,
    reference: Annotated[
        bool, typer.Option("--reference/--no-reference", help="Whether rows of the sample stay in the bundle.")
    ] = True,
    parent: Annotated[
        str | None, typer.Option(help="The registered version that this one was made from.", metavar="REF")
    ] = None,
    allow_unsafe: Annotated[
        bool, typer.Option("--allow-unsafe", help="Open a pickle or Python: it runs its code, in a sandbox.")
    ] = False,
    include: Annotated[
        list[Path] | None,
        typer.Option(help="A file to lie beside a model that is code; may be repeated.", metavar="FILE"),
    ] = None,
    requirements: Annotated[
        Path | None, typer.Option(help="The libraries of a model that is code: its own environment.", metavar="FILE")
    ] = None,
    python: Annotated[Path | None, typer.Option(help="The interpreter that has them.", metavar="PATH")] = None,
    register: Annotated[bool, typer.Option("--register/--no-register", help="Whether to register it.")] = True,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make a bundle of a model: its files, its contract and the proof that it answers as it did. Then register it.

    Example:  servable pack churn.skops --name churn --sample train.csv --label left
    """
    import servable
    from servable.domain.ref import Ref
    from servable.errors import UsageError
    from servable.settings import load_settings

    if not register and output is None:
        raise UsageError("--no-register leaves the bundle nowhere: say where it should be made, with --output DIR")
    if parent is not None:
        known = registry_at(home).catalog().find(Ref.parse(parent))
        parent = f"{known.name}:{known.version} {known.digest}"
    with tempfile.TemporaryDirectory(prefix="servable-pack-") as folder, working(f"packing {file.name}"):
        layers: list[str] = []
        bundle = servable.pack(
            file, name=name, sample=sample, label=label, output=output or Path(folder) / "bundle", format=format_,
            to=to.value, allow_unsafe=allow_unsafe, checks=check or (), rules=rules or (), calibrate=calibrate,
            reference=reference, parent=parent, include=include or (), requirements=requirements, python=python,
            home=load_settings({"home": home}).home_path, on_sandbox=layers.extend,
        )  # fmt: skip
        version = registry_at(home).register(bundle.folder) if register else None
    lineage = bundle.manifest.lineage
    told: dict[str, Any] = {
        "name": bundle.name,
        "version": version.version if version else None,
        "format": bundle.manifest.format,
        "conversion": lineage.get("conversion"),
        "proof": lineage.get("proof"),
        "rejected": lineage.get("rejected", []),
        "sandbox": layers,
        "digest": bundle.digest,
        "output": str(output) if output else None,
    }
    if as_json:
        show_json(told)
        return
    where = f"{bundle.name}:{version.version}" if version else str(output)
    print(f"{where}  ({bundle.manifest.format})")
    for reason in told["rejected"]:
        say(f"  not converted: {reason}")
    if told["proof"]:
        say(f"  {told['proof']}")
    if layers:
        say(f"  opened in a sandbox: {', '.join(layers)}")
    if version:
        say(f"  serve it:  servable serve {bundle.name}")
