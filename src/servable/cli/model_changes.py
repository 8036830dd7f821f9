"""The commands of `servable models` that change what is registered: register, alias, tag, delete, sign, and export.

`models.py` has the group, and the commands that tell.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from servable.cli.options import AsJson, Home, registry_at
from servable.cli.terminal import show_json, working
from servable.errors import UsageError

if TYPE_CHECKING:
    from servable.domain.ref import Ref
    from servable.registry.catalog import Version


class Form(StrEnum):
    """What a version may be exported as."""

    mlflow = "mlflow"
    tar = "tar"


RefText = Annotated[str, typer.Argument(metavar="REF", help="NAME, NAME:VERSION or NAME@ALIAS.")]


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
    asked = ref_of(ref)
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
    gone = registry_at(home or context.obj).delete(ref_of(ref), purge=purge)
    if as_json:
        show_json([_version(version) for version in gone])
    else:
        print("\n".join(f"{version.name}:{version.version} is deleted" for version in gone))


def tag(
    context: typer.Context,
    ref: RefText,
    words: Annotated[list[str], typer.Argument(metavar="KEY=VALUE", help="Tags to set; KEY= takes one away.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Set tags of a version, words for people to find it by.

    Example:  servable models tag churn:3 stage=trial ticket=41
    """
    registry = registry_at(home or context.obj)
    asked = ref_of(ref)
    pairs = [word.partition("=") for word in words]
    if odd := [word for word, (_, separator, _) in zip(words, pairs, strict=True) if not separator]:
        raise UsageError(f"{odd[0]!r} is no tag: expected KEY=VALUE, or KEY= to take one away")
    registry.untag(asked, [key for key, _, value in pairs if not value])
    version = registry.tag(asked, {key: value for key, _, value in pairs if value})
    if as_json:
        show_json(_version(version) | {"tags": version.tags})
    else:
        print(f"{version.name}:{version.version}  " + " ".join(f"{key}={value}" for key, value in version.tags.items()))


def sign(
    context: typer.Context,
    ref: RefText,
    key: Annotated[Path, typer.Option(help="A private key, Ed25519, as PEM.", metavar="FILE")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Vouch for a version: sign its digest. Servers with `trusted_keys` load nothing else.

    Example:  servable models sign churn:3 --key release.pem
    """
    with working(f"signing {ref}"):
        public = registry_at(home or context.obj).sign(ref_of(ref), key)
    if as_json:
        show_json({"ref": ref, "key": public})
    else:
        print(f"{ref} is signed by {public}")


def export(
    context: typer.Context,
    ref: RefText,
    output: Annotated[Path, typer.Argument(metavar="PATH", help="What is made: a folder, or for `tar` a file.")],
    to: Annotated[Form, typer.Option(help="A folder that MLflow loads, or the bundle as one file.")] = Form.mlflow,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Write a version down for others: as an MLflow model, or as one file to send to another registry.

    Example:  servable models export churn@champion ./churn-mlflow
    """
    from servable.bundles.archive import archive
    from servable.bundles.mlflow_export import export as export_mlflow

    version, bundle = registry_at(home or context.obj).open(ref_of(ref))
    with working(f"exporting {ref}"):
        if to is Form.mlflow:
            export_mlflow(bundle, output, version.registered)
        else:
            output.write_bytes(archive(bundle.folder))
    if as_json:
        show_json({"ref": ref, "to": to.value, "output": str(output)})
    else:
        print(f"{version.name}:{version.version} → {output}")


def ref_of(text: str) -> Ref:
    """The model that the words name."""
    from servable.domain.ref import Ref

    return Ref.parse(text)


def _version(version: Version) -> dict[str, Any]:
    return {"name": version.name, "version": version.version, "digest": version.digest, "deleted": version.deleted}
