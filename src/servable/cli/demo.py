"""`servable demo`: train a model on real data, pack it, serve it, ask it. The commands a user would give, in one.

The server is the one that `servable serve` starts. State lies in a folder of its own that goes when the demo ends.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from servable.cli.options import AsJson, Home
from servable.cli.terminal import show_json, working
from servable.errors import CheckFailed, EnvironmentFault, UsageError

if TYPE_CHECKING:
    from servable.cli.demos import Trained
    from servable.domain.bundle import Bundle
    from servable.settings import Settings


def demo(
    name: Annotated[str, typer.Argument(help="Which one.")] = "breast-cancer",
    once: Annotated[bool, typer.Option("--once", help="End after the first request, instead of at Ctrl-C.")] = False,
    http_port: Annotated[int | None, typer.Option(help="REST.", show_default="8080, or any that is free")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Train a model on real data, pack it, serve it, ask it, and stay up until Ctrl-C.

    Example:  servable demo --once
    """
    from servable.cli.demos import DEMOS

    if name not in DEMOS:
        raise UsageError(f"there is no demo {name!r}; there are: {', '.join(DEMOS)}")
    chosen = DEMOS[name]
    with ExitStack() as stack:
        place = home or stack.enter_context(tempfile.TemporaryDirectory(prefix="servable-demo-"))
        story = Story(as_json)
        story.tell(f"[bold]{name}[/]  {chosen.about}")
        with working("training"):
            trained = chosen.train()
        story.tell(
            f"trained  a {type(trained.model).__name__}; right on {trained.accuracy:.1%} of rows it had not seen"
        )
        bundle = _pack(name, trained, Path(place))
        story.tell(f"packed   {bundle.name}:1 as {bundle.manifest.format}: {bundle.manifest.lineage.get('proof', '')}")
        _serve(name, trained, bundle, _settings(place, http_port), story, once=once)


class Story:
    """What is told on the way: on a terminal with colours, in a pipe plainly, for programs not at all."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def tell(self, text: str) -> None:
        """One line."""
        if self.as_json:
            return
        from rich.console import Console

        Console(highlight=False, soft_wrap=True).print(text)
        sys.stdout.flush()


def _pack(name: str, trained: Trained, home: Path) -> Bundle:
    import servable
    from servable.registry.registry import Registry

    with working("packing"), tempfile.TemporaryDirectory(prefix="servable-pack-") as folder:
        bundle = servable.pack(trained.model, name=name, sample=trained.sample, output=Path(folder) / "bundle")
        Registry(home).register(bundle.folder)
    return bundle


def _settings(home: str, http_port: int | None) -> Settings:
    """With the default ports where they are free, else any."""
    import msgspec

    from servable.server.supervisor.sockets import open_listeners
    from servable.settings import load_settings

    settings = load_settings({"home": home, "http_port": http_port, "log_level": "warning", "host": "127.0.0.1"})
    try:
        open_listeners(settings, {}).close()
    except EnvironmentFault:
        free = {"grpc_port": 0} if http_port is not None else {"http_port": 0, "grpc_port": 0}
        return msgspec.structs.replace(settings, **free)
    return settings


def _serve(name: str, trained: Trained, bundle: Bundle, settings: Settings, story: Story, *, once: bool) -> None:
    """Serve until told to stop. The first request is made as soon as the server is ready."""
    from servable.server.logs import set_up_logs
    from servable.server.supervisor.supervisor import run
    from servable.server.targets import resolve

    set_up_logs(settings)
    failed: list[BaseException] = []

    def ready(addresses: Any) -> None:
        try:
            _first_request(name, trained, bundle, addresses, story)
        except BaseException as error:  # noqa: BLE001 - the server stops first, then it is raised
            failed.append(error)
        if once or failed:
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            story.tell("\nCtrl-C stops it.")

    code = run(settings, lambda: resolve(settings, [name]), ready)
    if failed:
        raise failed[0]
    if code:
        raise CheckFailed("the server did not end as it should")


def _first_request(name: str, trained: Trained, bundle: Bundle, addresses: Any, story: Story) -> None:
    """Ask for the row that was kept, and show the answer next to the truth. Raises CheckFailed if it is none."""
    from servable.cli.network import call

    url = addresses.http[0]
    infer = f"{url}/v2/models/{name}/infer"
    started = time.perf_counter()
    answer = json.loads(call(infer, json.dumps({"rows": [trained.row]}).encode()))
    took_ms = (time.perf_counter() - started) * 1000
    said = answer["rows"][0]
    if said["label"] not in trained.model.classes_:
        raise CheckFailed(f"the server answers {said!r}, which is no diagnosis")
    curl = f"curl -s {infer} -d {shlex.quote(json.dumps(_tensors(bundle, trained.row)))}"
    if story.as_json:
        show_json(
            {
                "model": f"{answer['model_name']}:{answer['model_version']}", "url": url, "grpc": addresses.grpc,
                "docs": f"{url}/docs", "curl": curl, "answer": said, "truth": trained.truth,
            }
        )  # fmt: skip
        return
    sure = max(said["probabilities"].values())
    story.tell(
        f"served   {url} (REST), {addresses.grpc} (gRPC)\n\n"
        f"asked    about a biopsy it had not seen; answered in {took_ms:.1f} ms:\n"
        f"         [bold]{said['label']}[/] ({sure:.1%} sure); the truth: [bold]{trained.truth}[/]\n\n"
        f"[bold]Ask it yourself[/]\n"
    )
    print(curl, flush=True)
    story.tell(f"\n[bold]Try it in a browser[/]   {url}/docs")


def _tensors(bundle: Bundle, row: dict[str, float]) -> dict[str, Any]:
    """The row as the protocol's tensors: shorter than with the name of every column."""
    (matrix,) = bundle.signature.inputs
    values = [row[feature] for feature in matrix.features]
    return {"inputs": [{"name": matrix.name, "datatype": matrix.datatype, "shape": [1, len(values)], "data": values}]}
