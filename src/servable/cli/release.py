"""`servable release`: canary, bandit, shadow, fallback, promote, rollback, status. Servers follow within a second."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from servable.cli.options import AsJson, Home, registry_at
from servable.cli.terminal import show_json, show_table
from servable.errors import UsageError

if TYPE_CHECKING:
    from servable.domain.ref import Ref
    from servable.release.acts import Acts

app = typer.Typer(invoke_without_command=True)

RefText = Annotated[str, typer.Argument(metavar="REF", help="NAME, NAME:VERSION or NAME@ALIAS.")]
Override = Annotated[str, typer.Option("--override", help="Why the gate is overridden; it stays in the history.")]


@app.callback()
def release(context: typer.Context, home: Home = None, as_json: AsJson = False) -> None:
    """List how each name is being released. The commands below bring a version into service, step by step, and back.

    Example:  servable release canary churn:2 --share 5%
    """
    if context.invoked_subcommand is not None:
        context.obj = home
        return
    from servable.release.told import releases_told

    told = releases_told(_acts(home))
    if as_json:
        show_json(told)
        return
    show_table(
        [
            {
                "name": one["name"],
                "live": one["live"],
                "canary": f"{one['canary']} ({one['share']:.2%})" if one["canary"] else "",
                "bandit": f"{one['bandit']}: {', '.join(one['arms'])}" if one["bandit"] else "",
                "shadows": one["shadows"],
                "fallback": one["fallback"] or ("a value" if one["fallback_value"] else ""),
                "since": "" if one["since"] is None else _date(one["since"]),
                "reason": one["reason"],
            }
            for one in told
        ]
    )


@app.command()
def canary(
    context: typer.Context,
    ref: RefText,
    share: Annotated[str, typer.Option(help="Of the requests: 5% or 0.05.")] = "5%",
    requests: Annotated[
        int | None, typer.Option(help="The canary's own, before it is promoted.", show_default="1000")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="At least, before it is promoted.", show_default="60")] = None,
    errors: Annotated[
        str | None, typer.Option(help="More failures than the live version's, at most.", show_default="1%")
    ] = None,
    slow: Annotated[
        str | None, typer.Option(help="More slow answers than the live version's, at most.", show_default="2%")
    ] = None,
    success: Annotated[
        str | None,
        typer.Option(help="What outcomes tell: correct, within=NUMBER or outcome.", show_default="not waited for"),
    ] = None,
    success_margin: Annotated[
        str | None, typer.Option(help="Fewer successes than the live version's, at most.", show_default="1%")
    ] = None,
    promote: Annotated[bool, typer.Option("--promote/--no-promote", help="By itself, once it is proven.")] = True,
    override: Override = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Give a version a share of the requests. It is watched, rolled back if it harms, promoted if it does not.

    Example:  servable release canary churn:2 --share 5% --minutes 60
    """
    from servable.domain.terms import Terms

    given: dict[str, Any] = {
        "least_requests": requests,
        "least_s": None if minutes is None else 60 * minutes,
        "error_margin": None if errors is None else _share(errors, "--errors"),
        "slow_margin": None if slow is None else _share(slow, "--slow"),
        "success": success,
        "success_margin": None if success_margin is None else _share(success_margin, "--success-margin"),
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    try:
        terms = Terms(promote=promote, **chosen) if chosen or not promote else None
    except ValueError as error:
        raise UsageError(str(error)) from error
    acts, asked = _acts(home or context.obj), _ref(ref)
    acts.canary(asked, _share(share, "--share"), terms, override)
    _tell(acts, asked.name, as_json)


@app.command()
def bandit(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The model, among whose versions it chooses.")],
    by: Annotated[str, typer.Option(metavar="REF", help="The bandit: a model whose actions are versions.")],
    override: Override = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Let a bandit choose for each row, by its inputs, which version answers. Outcomes teach it. A rollback ends it.

    Example:  servable release bandit churn --by choice
    """
    acts, asked = _acts(home or context.obj), _ref(name)
    acts.bandit(asked.name, _ref(by), override)
    _tell(acts, asked.name, as_json)


@app.command()
def shadow(
    context: typer.Context,
    ref: RefText,
    remove: Annotated[bool, typer.Option("--remove", help="No more copies.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Give a version copies of all requests, compare its answers, and let nobody wait for them.

    Example:  servable release shadow churn:3
    """
    acts, asked = _acts(home or context.obj), _ref(ref)
    acts.shadow(asked, remove=remove)
    _tell(acts, asked.name, as_json)


@app.command()
def fallback(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The model that may fail.")],
    to: Annotated[str | None, typer.Option(metavar="REF", help="A version of it, or another model.")] = None,
    value: Annotated[str | None, typer.Option(help="A value for each output, as JSON: '{\"label\": 0}'.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Say what answers when a model fails, is too late, or is left alone; without options: nothing does.

    Example:  servable release fallback churn --to churn:1
    """
    acts = _acts(home or context.obj)
    acts.fallback(_ref(name).name, to, _values(value))
    _tell(acts, name, as_json)


@app.command()
def promote(
    context: typer.Context, ref: RefText, override: Override = "", home: Home = None, as_json: AsJson = False
) -> None:
    """Make a version the live one, and the champion; of a bare name its canary.

    Example:  servable release promote churn:2
    """
    acts, asked = _acts(home or context.obj), _ref(ref)
    acts.promote(asked, override or None)
    _tell(acts, asked.name, as_json)


@app.command()
def rollback(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The model.")],
    reason: Annotated[str, typer.Option(help="Why; it stays in the history.")] = "by hand",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """End a canary or a bandit's choice; where there is none, make the champion before this one live again.

    Example:  servable release rollback churn
    """
    acts = _acts(home or context.obj)
    acts.rollback(_ref(name).name, reason)
    _tell(acts, name, as_json)


@app.command()
def status(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The model.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Tell how a model is being released, and what is known of its canary.

    Example:  servable release status churn
    """
    _tell(_acts(home or context.obj), _ref(name).name, as_json)


def _acts(home: str | None) -> Acts:
    from servable.release.acts import Acts

    return Acts(registry_at(home))


def _ref(text: str) -> Ref:
    from servable.domain.ref import Ref

    return Ref.parse(text)


def _share(text: str, option: str) -> float:
    """`5%` or `0.05`."""
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise UsageError(f"{option} {text!r}: expected a share such as 5% or 0.05") from None


def _values(text: str | None) -> dict[str, Any]:
    try:
        values = json.loads(text or "{}")
    except ValueError as error:
        raise UsageError(f"--value {text!r}: not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise UsageError(f"--value {text!r}: expected an object with a value for each output")
    return values


def _tell(acts: Acts, name: str, as_json: bool) -> None:
    from servable.release.told import release_told

    told = release_told(acts, name)
    if as_json:
        show_json(told)
        return
    watch = told.pop("watch", None)
    terms = told.pop("terms", None)
    rows = {key: value for key, value in told.items() if value not in (None, [], "", 0.0)}
    if terms:
        rows["promoted"] = "by itself" if terms["promote"] else "by hand"
    if watch:
        rows["now"] = f"{watch['action']}: {watch['reason']}"
    show_table([{"": key, " ": _plain(key, value)} for key, value in rows.items()])
    if watch:
        show_table(
            [
                {
                    "check": verdict["check"],
                    "": "passed" if verdict["passed"] else "FAILED",
                    "reason": verdict["reason"],
                }
                for verdict in watch["verdicts"]
            ]
        )


def _plain(key: str, value: Any) -> Any:
    if key == "share":
        return f"{value:.2%}"
    return _date(value) if key == "since" else value


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
