"""`servable models`: what is registered: list, show, alias, delete, history, verify."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from servable.cli.options import AsJson, Home, registry_at
from servable.cli.terminal import say, show_json, show_table, working
from servable.errors import UsageError

if TYPE_CHECKING:
    from servable.domain.ref import Ref
    from servable.registry.catalog import Version

app = typer.Typer(invoke_without_command=True)

RefText = Annotated[str, typer.Argument(metavar="REF", help="NAME, NAME:VERSION or NAME@ALIAS.")]


@app.callback()
def models(context: typer.Context, home: Home = None, as_json: AsJson = False) -> None:
    """List what is registered: names, versions and aliases. The commands below tell and change more.

    Example:  servable models
    """
    if context.invoked_subcommand is not None:
        context.obj = home
        return
    rows = [
        {
            "name": model.name,
            "versions": [version.version for version in model.living],
            "aliases": [f"{alias} → {number}" for alias, number in sorted(model.aliases.items())],
            "format": model.living[-1].detail.get("format", ""),
            "registered": _date(model.living[-1].registered),
            "by": model.living[-1].by,
        }
        for model in registry_at(home).catalog().living.values()
    ]
    if as_json:
        show_json([row | {"aliases": dict(alias.split(" → ") for alias in row["aliases"])} for row in rows])
    elif rows:
        show_table(rows)
    else:
        say("Nothing is registered. Pack a model:  servable pack FILE --name NAME")


@app.command()
def show(context: typer.Context, ref: RefText, home: Home = None, as_json: AsJson = False) -> None:
    """Tell all of one version: its contract, files, digest and origin.

    Example:  servable models show churn@champion
    """
    registry = registry_at(home or context.obj)
    version, bundle = registry.open(_ref(ref))
    aliases = registry.catalog().model(version.name).aliases
    manifest = bundle.manifest
    told: dict[str, Any] = {
        "name": version.name,
        "version": version.version,
        "aliases": sorted(alias for alias, number in aliases.items() if number == version.version),
        "format": manifest.format,
        "digest": version.digest,
        "registered": _date(version.registered),
        "by": version.by,
        "folder": str(bundle.folder),
        "bytes": sum(file.bytes for file in manifest.files),
        "libraries": manifest.libraries,
        "lineage": manifest.lineage,
    }
    if as_json:
        show_json(told | {"signature": _builtins(manifest.signature), "labels": manifest.labels})
        return
    show_table([{"": key, " ": _told(value)} for key, value in told.items()])
    show_table(
        [
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
    )


@app.command()
def register(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A bundle's folder, as `servable pack --output` or Python made it.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Take a bundle in as the next version of its name. The same bundle again is the version that it was.

    Example:  servable models register ./churn
    """
    with working(f"registering {folder}"):
        version = registry_at(home or context.obj).register(folder)
    if as_json:
        show_json(_version(version))
    else:
        print(f"{version.name}:{version.version}")


@app.command()
def alias(
    context: typer.Context,
    ref: Annotated[str, typer.Argument(metavar="NAME@ALIAS", help="The alias; `champion` is the one that is live.")],
    version: Annotated[str | None, typer.Argument(help="The version it should point at.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the alias away.")] = False,
    override: Annotated[
        str | None, typer.Option(help="Why, though the gate holds it back: kept in the history.", metavar="REASON")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Let an alias point at a version. `champion` takes none that the gate (`servable check`) holds back.

    Example:  servable models alias churn@champion 3
    """
    asked = _ref(ref)
    if asked.alias is None:
        raise UsageError(f"{ref!r} names no alias: expected NAME@ALIAS, such as {asked.name}@champion")
    if (version is None) != remove:
        raise UsageError("give a version to point at, or --remove")
    registry = registry_at(home or context.obj)
    if version is None:
        registry.unalias(asked.name, asked.alias)
    else:
        registry.alias(asked.name, asked.alias, version, override)
    if as_json:
        show_json({"name": asked.name, "alias": asked.alias, "version": version})
    else:
        print(f"{asked} is gone" if version is None else f"{asked} is {asked.name}:{version}")


@app.command()
def delete(
    context: typer.Context,
    ref: RefText,
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove its files too: running servers may need them.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Take a version out; of a bare name, all of them. Their numbers are never given again.

    Example:  servable models delete churn:2
    """
    gone = registry_at(home or context.obj).delete(_ref(ref), purge=purge)
    if as_json:
        show_json([_version(version) for version in gone])
    else:
        print("\n".join(f"{version.name}:{version.version} is deleted" for version in gone))


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
    rows = [
        {
            "time": _date(event.time),
            "who": event.who,
            "what": event.kind,
            "version": str(event.version),
            "alias": event.alias,
            "digest": event.digest[:12],
        }
        for event in registry_at(home or context.obj).history(_ref(name).name)
    ]
    if as_json:
        show_json(rows)
    else:
        show_table(rows)


@app.command()
def verify(context: typer.Context, ref: RefText, home: Home = None, as_json: AsJson = False) -> None:
    """Read every file against its digest, load the model, and let it reproduce its golden rows.

    Example:  servable models verify churn:3
    """
    from servable.domain.verdict import Verdict
    from servable.engine.loading import load
    from servable.engine.plan import Target
    from servable.errors import BundleError

    registry = registry_at(home or context.obj)
    version = registry.catalog().find(_ref(ref))
    target = Target(version.name, version.version, str(registry.folder(version)), version.digest)
    try:
        with working(f"verifying {version.name}:{version.version}"):
            loaded = load(target)
            loaded.model.close()
    except BundleError as error:
        verdict = Verdict("verify", passed=False, reason=error.message)
    else:
        golden = "reproduces its golden rows" if loaded.bundle.manifest.golden else "has no golden rows"
        verdict = Verdict(
            "verify",
            passed=True,
            reason=f"{version.name}:{version.version} is as it was packed, loads, and {golden}",
            numbers={"files": len(loaded.bundle.manifest.files)},
        )
    if as_json:
        show_json(_builtins(verdict))
    else:
        print(verdict)
    if not verdict.passed:
        raise typer.Exit(1)


def _ref(text: str) -> Ref:
    from servable.domain.ref import Ref

    return Ref.parse(text)


def _version(version: Version) -> dict[str, Any]:
    return {"name": version.name, "version": version.version, "digest": version.digest, "deleted": version.deleted}


def _builtins(word: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(word)


def _told(value: Any) -> Any:
    return ", ".join(f"{key} {word}" for key, word in value.items()) if isinstance(value, dict) else value


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
