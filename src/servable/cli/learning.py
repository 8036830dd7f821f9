"""`servable learning`: what learners have learned: past states of them, and what other bandits would have earned."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from servable.cli.options import AsJson, Home, registry_at
from servable.cli.terminal import say, show_json, show_table, working

if TYPE_CHECKING:
    from servable.domain.bundle import Bundle
    from servable.online.evaluation import Value
    from servable.statistics.interval import Interval

app = typer.Typer(help="What learners have learned: past states anew, and what bandits earned.", no_args_is_help=True)

Target = Annotated[str, typer.Argument(metavar="REF|PATH", help="A learner, as it was served.")]


@app.command()
def rebuild(
    ref: Target,
    at: Annotated[int | None, typer.Option(help="The offset to go back to.", show_default="the newest")] = None,
    without: Annotated[list[str] | None, typer.Option(help="Leave out what this key sent.", metavar="SOURCE")] = None,
    frozen: Annotated[bool, typer.Option("--frozen", help="Make a version that does not learn.")] = False,
    to: Annotated[
        Literal["keep", "onnx"], typer.Option(help="What is frozen, as it is or as ONNX, for devices too.")
    ] = "keep",
    output: Annotated[Path | None, typer.Option(help="Only make the bundle, here.", metavar="DIR")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Register the next version of a learner: a past state of it, or one without what a bad source has taught.

    The journal is read, never changed; the server may run meanwhile. Release the version as any
    other, through the gate.

    Example:  servable learning rebuild tumour --at 5000 --without intern
    """
    from servable.bundles.environments import ENVIRONMENTS
    from servable.errors import UsageError
    from servable.online.remaking import Wish, remade
    from servable.settings import load_settings

    if to == "onnx" and not frozen:
        raise UsageError("ONNX does not learn: expected --frozen beside --to onnx")
    with (
        _learner(ref, home) as (old, folder, version_of),
        tempfile.TemporaryDirectory(prefix="servable-learning-") as scratch,
        working(f"learning {ref} again"),
    ):
        if old.inferred and output is None:
            raise UsageError(
                f"{ref} is a bare file, which has no versions: pack it, or make a bundle with --output DIR"
            )
        _must_have_learned(folder, version_of)
        source = str((old.model_path if old.inferred else old.folder).absolute())
        wish = Wish(source, old.name, str(folder.absolute()), version_of, at, tuple(without or ()), frozen, to)
        environments = load_settings({"home": home}).home_path / ENVIRONMENTS
        bundle = remade(old, wish, output or Path(scratch) / "bundle", environments)
        version = None if output is not None else registry_at(home).register(bundle.folder)
    lineage = bundle.manifest.lineage
    made = f"{bundle.name}:{version.version}" if version else str(output)
    told = {"made": made, "digest": bundle.digest, "offset": lineage["offset"], "learned": lineage["learned"]}
    if as_json:
        show_json(told)
    else:
        print(f"{made}  ({lineage['learned']} examples learned, up to offset {lineage['offset']})")


@app.command()
def evaluate(
    ref: Target,
    policy: Annotated[list[Path] | None, typer.Option(help="Another bandit's file.", metavar="FILE")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Tell what a bandit earned, and what other ways to choose would have earned, from its journal.

    The first half of it teaches, the second half judges. Intervals are of 95 %; "worth" is how many rows they rest on.

    Example:  servable learning evaluate offers --policy bolder.json
    """
    from servable.errors import UsageError
    from servable.online.evaluation import evaluate as evaluated
    from servable.online.evaluation import log_of
    from servable.online.learners import spec
    from servable.online.learners.bandit import Bandit
    from servable.online.recipe import recipe_of
    from servable.runtimes.find import runtime

    with _learner(ref, home) as (bundle, folder, version):
        if runtime(bundle.manifest.format).isolated:  # no bandit is code, which is not run to find that out
            raise UsageError(f"{ref} chooses no actions: expected a bandit")
        judge, again = (recipe_of(bundle).make() for _ in range(2))
        if not isinstance(judge, Bandit) or not isinstance(again, Bandit):
            raise UsageError(f"{ref} chooses no actions: expected a bandit")
        _must_have_learned(folder, version)
        with working("reading the journal"):
            log, left_out = log_of(folder / "journal")
    others = {"itself, half taught": again}
    for path in policy or ():
        described = spec.read(path)
        other = spec.make(described, spec.signature_of(described))
        if not isinstance(other, Bandit):
            raise UsageError(f"{path} describes no bandit, but {described.learner}")
        others[path.stem] = other
    values = evaluated(log, judge, others)
    if as_json:
        show_json({"examples": len(log.rewards), "left_out": left_out, "policies": [_plain(one) for one in values]})
        return
    show_table([_row(one) for one in values])
    say(f"{len(log.rewards)} examples; {left_out} have no propensity and are left out")


def _row(value: Value) -> dict[str, Any]:
    names = ("ips", "snips", "doubly_robust")
    return {
        "policy": value.policy,
        **{name: "" if getattr(value, name).estimate != getattr(value, name).estimate else str(getattr(value, name))
           for name in names},
        "worth": round(value.worth),
    }  # fmt: skip


def _plain(value: Value) -> dict[str, Any]:
    def told(interval: Interval) -> dict[str, float] | None:
        return interval._asdict() if interval.estimate == interval.estimate else None

    estimates = {name: told(getattr(value, name)) for name in ("ips", "snips", "doubly_robust")}
    return {"policy": value.policy, **estimates, "worth": value.worth}


@contextmanager
def _learner(ref: str, home: str | None) -> Iterator[tuple[Bundle, Path, str]]:
    """What the Ref, or the path, names; the folder of what it has learned; what its version is called.

    Of a learner that machines share, the folder is a copy, for as long as this lasts.

    Raises BundleError for what does not learn, Conflict if what lies there is another learner's.
    """
    from servable.bundles.open import open_bundle
    from servable.online.identity import check, identity_of
    from servable.online.recipe import recipe_of
    from servable.server.targets import resolve
    from servable.settings import load_settings

    settings = load_settings({"home": home})
    plan = resolve(settings, [ref])
    target = next(target for target in plan.targets if target.version == plan.routes[target.name].live)
    bundle = open_bundle(target.source, name=target.name)
    recipe_of(bundle)
    version = f"{target.name}:{target.version}"
    own = identity_of(bundle.manifest)
    if not settings.learning_url:
        folder = settings.home_path.absolute() / "online" / target.name / target.version
        check(folder, own)
        yield bundle, folder, version
        return
    from servable.online.fleet.copy import copy_journal

    with tempfile.TemporaryDirectory(prefix="servable-journal-") as scratch:
        copy_journal(settings.learning_url, version, own, Path(scratch))
        yield bundle, Path(scratch), version


def _must_have_learned(folder: Path, version: str) -> None:
    """Raises NotFound where it has not, with the versions of that name which have."""
    from servable.errors import NotFound
    from servable.online.journal import files_of

    if files_of(folder / "journal"):
        return
    name = version.partition(":")[0]
    others = sorted(
        (one.name for one in folder.parent.glob("*") if files_of(one / "journal")), key=lambda n: (len(n), n)
    )
    hint = f"; name one that has: {', '.join(f'{name}:{other}' for other in others)}" if others else ""
    raise NotFound(f"{version} has learned nothing here: there is no journal in {folder}{hint}")
