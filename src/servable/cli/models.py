"""`servable models`: what is registered: list, show, history, verdicts, verify. What changes it is in
`model_changes.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from servable.cli.model_changes import RefText, alias, delete, export, ref_of, register, sign, tag
from servable.cli.options import AsJson, Home, registry_at
from servable.cli.terminal import say, show_json, show_table, working
from servable.settings import load_settings

if TYPE_CHECKING:
    from servable.domain.bundle import Manifest
    from servable.registry.catalog import Model

app = typer.Typer(invoke_without_command=True)
SHOWN: Final = 5
"""Versions of a name in the list for people: the newest."""


@app.callback()
def models(context: typer.Context, home: Home = None, as_json: AsJson = False) -> None:
    """List what is registered: names, versions and aliases. The commands below tell and change more.

    Example:  servable models
    """
    if context.invoked_subcommand is not None:
        context.obj = home
        return
    known = registry_at(home).catalog().living.values()
    if as_json:
        show_json([_listed(model) for model in known])
    elif known:
        show_table([_listed(model) | _short(model) for model in known])
    else:
        settings = load_settings({"home": home})
        where = settings.registry_url.partition("@")[2] or settings.registry_url or settings.home_path
        say(f"Nothing is registered in {where}. Pack a model:  servable pack FILE --name NAME")


@app.command()
def show(context: typer.Context, ref: RefText, home: Home = None, as_json: AsJson = False) -> None:
    """Tell all of one version: its contract, files, digest and origin, and what the gate says of it.

    Example:  servable models show churn@champion
    """
    from servable.bundles.signatures import signatures
    from servable.registry.told import version_told

    registry = registry_at(home or context.obj)
    version, bundle = registry.open(ref_of(ref))
    manifest = bundle.manifest
    told: dict[str, Any] = version_told(version, registry.catalog().model(version.name)) | {
        "signed_by": sorted(signatures(bundle.folder)),
        "folder": str(bundle.folder),
        "bytes": sum(file.bytes for file in manifest.files),
        "libraries": manifest.libraries,
        "lineage": manifest.lineage,
    }
    if as_json:
        show_json(told | {"signature": _builtins(manifest.signature), "labels": manifest.labels})
        return
    show_table([{"": key, " ": _told(value)} for key, value in told.items() if value not in ([], {}, "", None)])
    show_table(_contract(manifest))


@app.command()
def history(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A name that is, or was, registered.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Tell all that was ever done to a name, by whom and when.

    Example:  servable models history churn
    """
    from servable.registry.told import event_told

    rows = [event_told(event) for event in registry_at(home or context.obj).history(ref_of(name).name)]
    if as_json:
        show_json(rows)
    else:
        show_table([row | {"digest": row["digest"][:12], "detail": _why(row["detail"])} for row in rows])


@app.command()
def verdicts(context: typer.Context, ref: RefText, home: Home = None, as_json: AsJson = False) -> None:
    """Tell what checks said of a version, each run of them.

    Example:  servable models verdicts churn:3
    """
    from servable.registry.told import judgement_told

    told = [judgement_told(judgement) for judgement in registry_at(home or context.obj).verdicts(ref_of(ref))]
    if as_json:
        show_json(told)
        return
    rows = [
        {
            "time": run["time"],
            "source": run["source"],
            "check": verdict["check"],
            "passed": "passed" if verdict["passed"] else "FAILED",
            "reason": verdict["reason"],
        }
        for run in told
        for verdict in run["verdicts"]
    ]
    show_table(rows) if rows else say(f"Nothing was checked yet:  servable check {ref}")


@app.command()
def verify(context: typer.Context, ref: RefText, home: Home = None, as_json: AsJson = False) -> None:
    """Read every file against its digest, load the model, and let it reproduce its golden rows.

    Example:  servable models verify churn:3
    """
    from servable.bundles.environments import ENVIRONMENTS
    from servable.bundles.open_model import open_model
    from servable.domain.verdict import Verdict
    from servable.errors import BundleError
    from servable.settings import load_settings

    registry = registry_at(home or context.obj)
    version = registry.catalog().find(ref_of(ref))
    environments = load_settings({"home": home or context.obj}).home_path / ENVIRONMENTS
    try:
        with working(f"verifying {version.name}:{version.version}"):
            opened = open_model(registry.folder(version), environments, name=version.name, digest=version.digest)
            opened.model.close()
    except BundleError as error:
        verdict = Verdict("verify", passed=False, reason=error.message)
    else:
        golden = "reproduces its golden rows" if opened.bundle.manifest.golden else "has no golden rows"
        within = f"; opened in a sandbox ({', '.join(opened.layers)})" if opened.layers else ""
        verdict = Verdict(
            "verify",
            passed=True,
            reason=f"{version.name}:{version.version} is as it was packed, loads, and {golden}{within}",
            numbers={"files": len(opened.bundle.manifest.files)},
        )
    if as_json:
        show_json(_builtins(verdict))
    else:
        print(verdict)
    if not verdict.passed:
        raise typer.Exit(1)


for change in (register, alias, tag, delete, sign, export):
    app.command()(change)


def _listed(model: Model) -> dict[str, Any]:
    from servable.registry.told import date

    newest = model.living[-1]
    return {
        "name": model.name,
        "versions": [version.version for version in model.living],
        "aliases": model.aliases,
        "format": newest.detail.get("format", ""),
        "registered": date(newest.registered),
        "by": newest.by,
    }


def _short(model: Model) -> dict[str, str]:
    numbers = [version.version for version in model.living]
    few = ", ".join(numbers[-SHOWN:])
    return {
        "versions": few if len(numbers) <= SHOWN else f"{len(numbers)}: … {few}",
        "aliases": ", ".join(f"{alias} → {number}" for alias, number in sorted(model.aliases.items())),
    }


def _contract(manifest: Manifest) -> list[dict[str, str]]:
    return [
        {
            "": kind,
            "name": field.name,
            "datatype": field.datatype,
            "shape": str(list(field.shape)),
            "values": ", ".join(map(str, field.categories[:6])) or field.values,
            "columns": ", ".join(field.features[:6]) + (", …" if len(field.features) > 6 else ""),
        }
        for kind, fields in (("input", manifest.signature.inputs), ("output", manifest.signature.outputs))
        for field in fields
    ]


def _builtins(word: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(word)


def _told(value: Any) -> Any:
    return ", ".join(f"{key} {word}" for key, word in value.items()) if isinstance(value, dict) else value


def _why(detail: dict[str, Any]) -> str:
    """The part of an event's detail that people look for."""
    if "override" in detail:
        return f"override: {detail['override']}"
    if "source" in detail:
        return f"{detail['source']} {'passed' if detail['passed'] else 'FAILED'}"
    return "" if "format" in detail else ", ".join(f"{key}={value}" for key, value in detail.items())
