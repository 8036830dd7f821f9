"""`servable rules`: what the training data suggests, what rules would do on data, and a version with others."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from servable.cli.options import AsJson, Home, registry_at
from servable.cli.terminal import say, show_json, show_table, working

if TYPE_CHECKING:
    from servable.domain.bundle import Bundle
    from servable.domain.rule import Fired

AT_ONCE: Final = 1000
"""Rows that are judged together."""
SHOWN: Final = 10
"""Row numbers that are shown of each rule."""

app = typer.Typer(
    help="Guardrails of a model: suggest them, try them on data, give them to a version.", no_args_is_help=True
)

Target = Annotated[str, typer.Argument(metavar="REF|PATH", help="A registered model, or a bundle.")]
RulesFile = Annotated[Path | None, typer.Option("--rules", help="A file of rules, as TOML.", metavar="FILE")]
Calibrate = Annotated[
    Path | None, typer.Option(help="Labelled rows the model was not trained on, for intervals.", metavar="DATA")
]
Label = Annotated[str | None, typer.Option(help="Their column of true outcomes.", metavar="COLUMN")]


@app.command()
def suggest(ref: Target, home: Home = None, as_json: AsJson = False) -> None:
    """Print rules that follow from the training data: bounds, categories, what was never missing, distance from it.

    All of them flag. Edit what is printed: a rule that matters to the business refuses, answers or falls back.

    Example:  servable rules suggest churn > rules.toml
    """
    import msgspec

    from servable.bundles.manifest import dumps_rules
    from servable.bundles.profile import read_profile, read_reference
    from servable.errors import UsageError
    from servable.rules.suggest import suggest as suggested

    bundle, _ = _bundle(ref, home)
    profile = read_profile(bundle)
    if profile is None:
        raise UsageError(f"{ref} was packed without a sample: nothing is known of its training data. Pack it with one")
    reference = read_reference(bundle)
    rules = suggested(profile, bundle.signature, sampled=0 if reference is None else reference.inputs.rows)
    if as_json:
        show_json(msgspec.to_builtins(rules))
    else:
        print(dumps_rules(rules).decode(), end="")


@app.command("test")
def judge(
    ref: Target,
    source: Annotated[Path, typer.Option("--input", help="Rows: csv, json, jsonl, parquet, arrow.", metavar="FILE")],
    rules: RulesFile = None,
    calibrate: Calibrate = None,
    label: Label = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Tell what the model's rules, or those of a file, would do on this data. Nothing is refused, nothing changes.

    Example:  servable rules test churn --input new.csv --rules rules.toml
    """
    from servable.bundles.ruled import ruled

    with tempfile.TemporaryDirectory(prefix="servable-rules-") as folder:
        tried = ref
        if rules is not None:
            tried = str(Path(folder) / "bundle")
            ruled(
                _bundle(ref, home)[0], rules, Path(tried),
                calibrate=calibrate, label=label, environments=_environments(home),
            )  # fmt: skip
        with working(f"judging {source.name}"):
            told, count = _tried(tried, source, home)
    if as_json:
        show_json({"rows": count, "rules": told})
        return
    show_table([{**row, "share": f"{row['share']:.2%}"} for row in told])
    say(f"{count} rows, {sum(row['rows'] > 0 for row in told)} of {len(told)} rules fired")


@app.command()
def apply(
    ref: Target,
    rules: Annotated[Path, typer.Option(help="A file of rules, as TOML; they replace those it has.", metavar="FILE")],
    calibrate: Calibrate = None,
    label: Label = None,
    output: Annotated[Path | None, typer.Option(help="Only make the bundle, here.", metavar="DIR")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Register the next version of a model: the same model, with these rules.

    Example:  servable rules apply churn --rules rules.toml
    """
    from servable.bundles.ruled import ruled

    with tempfile.TemporaryDirectory(prefix="servable-rules-") as folder, working(f"giving {ref} its rules"):
        old, version_of = _bundle(ref, home)
        place = output or Path(folder) / "bundle"
        bundle = ruled(
            old, rules, place,
            calibrate=calibrate, label=label, parent=version_of, environments=_environments(home),
        )  # fmt: skip
        version = None if output is not None else registry_at(home).register(bundle.folder)
    where = f"{bundle.name}:{version.version}" if version else str(output)
    if as_json:
        show_json({"made": where, "digest": bundle.digest, "rules": [rule.name for rule in bundle.manifest.rules]})
    else:
        print(f"{where}  ({len(bundle.manifest.rules)} rules)")


def _environments(home: str | None) -> Path:
    from servable.bundles.environments import ENVIRONMENTS
    from servable.settings import load_settings

    return load_settings({"home": home}).home_path / ENVIRONMENTS


def _bundle(ref: str, home: str | None) -> tuple[Bundle, str]:
    """What the Ref, or the path, names; and what its version is called, or at a path its digest."""
    from servable.bundles.open import open_bundle
    from servable.server.targets import resolve
    from servable.settings import load_settings

    plan = resolve(load_settings({"home": home}), [ref])
    target = next(target for target in plan.targets if target.version == plan.routes[target.name].live)
    bundle = open_bundle(target.source, name=target.name)
    return bundle, bundle.digest if target.digest is None else f"{target.name}:{target.version}"


def _tried(ref: str, source: Path, home: str | None) -> tuple[list[dict[str, Any]], int]:
    """Each rule with the rows where it fired, and how many rows there were."""
    import servable
    from servable.wire.open_inference import Codec
    from servable.wire.row_files import read_rows

    with servable.load(ref, home=home) as model:
        texts = {name for field in model.signature.inputs if field.datatype == "BYTES"
                 for name in field.features or (field.name,)}  # fmt: skip
        rows = read_rows(source, texts)
        codec = Codec(model.signature, model.name, "")
        fired: list[tuple[int, Fired]] = []
        for start in range(0, len(rows), AT_ONCE):
            batch = codec.decode(json.dumps({"rows": rows[start : start + AT_ONCE]}).encode()).batch
            fired += [(start, each) for each in model.guarded(batch, lenient=True).fired]
        counts = Counter({rule.name: 0 for rule in model.bundle.manifest.rules})
        numbers: dict[str, list[int]] = {rule.name: [] for rule in model.bundle.manifest.rules}
        for start, each in fired:
            counts[each.rule.name] += len(each.rows)
            numbers[each.rule.name] += [start + int(row) for row in each.rows[: SHOWN - len(numbers[each.rule.name])]]
        told = [
            {
                "rule": rule.name,
                "action": rule.action,
                "rows": counts[rule.name],
                "share": counts[rule.name] / max(len(rows), 1),
                "first": numbers[rule.name],
            }
            for rule in model.bundle.manifest.rules
        ]
        return told, len(rows)
