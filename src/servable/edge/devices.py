"""Runs an exported folder where it will run: in a real browser without a window, and in Node."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

import msgspec
import orjson

from servable.edge.served import Told
from servable.errors import EnvironmentFault, MissingExtra, ModelFailed

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TIMEOUT_S: Final = 300
READY_S: Final = 60
_TOLD: Final = """(body) => ("inputs" in body ? model.infer(body.inputs) : model.predict(body.rows)).catch((error) => {
    if (error.name !== "ServableError") throw error;
    return { error: error.message, ...error };
  })"""
_ASK: Final = f"""async (bodies) => {{
  const told = [];
  for (const body of bodies) told.push(await ({_TOLD})(body));
  return told;
}}"""
_TIME: Final = f"""async (bodies) => {{
  const told = {_TOLD};
  let good, first;
  for (const body of bodies) {{
    const answer = await told(body);
    if (!answer.error) {{ good = body; first = performance.now(); break; }}
  }}
  const times = [];
  for (const end = performance.now() + 3000; good && times.length < 300 && performance.now() < end;) {{
    const began = performance.now();
    await told(good);
    times.push(performance.now() - began);
  }}
  const settled = times.slice(Math.floor(times.length / 3)).sort((a, b) => a - b);
  return [first ?? null, settled[Math.floor(settled.length / 2)] ?? null];
}}"""
"""Of the first body that is answered: the time since the page was opened, and the median of those after it."""


class Ran(msgspec.Struct, frozen=True):
    """What a device answered, and how fast: milliseconds from a cold page to the first answer, and of one after."""

    device: str
    told: list[Told]
    first_ms: float | None = None
    p50_ms: float | None = None


def in_browser(folder: Path, bodies: Sequence[Any], port: int = 0) -> Ran:
    """The answers of the page in the folder, shown on a port. Raises MissingExtra, EnvironmentFault, ModelFailed."""
    with serving(folder, port) as url, browsing() as (browser, timeout):
        page = browser.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(url)
        try:
            page.wait_for_selector("body[data-ready]", timeout=READY_S * 1000)
        except timeout as error:
            told = "; ".join(faults) or "it tells no error"
            raise ModelFailed(f"the exported page is not ready after {READY_S} s: {told}") from error
        if page.get_attribute("body", "data-ready") != "true":
            raise ModelFailed(f"the exported page does not load its model: {page.inner_text('#state')}")
        first, p50 = page.evaluate(_TIME, [body for body in bodies if "inputs" in body or len(body["rows"]) == 1])
        return Ran(f"Chromium {browser.version}", page.evaluate(_ASK, list(bodies)), first, p50)


def in_node(folder: Path, bodies: Sequence[Any]) -> Ran:
    """The answers of the folder's own program. Raises EnvironmentFault, ModelFailed."""
    node = shutil.which("node")
    if node is None:
        raise EnvironmentFault("Node is needed for the proof: install nodejs, or export with --no-proof")
    with tempfile.TemporaryDirectory(prefix="servable-edge-") as place:
        asked = Path(place) / "bodies.json"
        asked.write_bytes(orjson.dumps({"bodies": list(bodies)}))
        done = _ran([node, str(folder / "node.js"), str(asked)])
    if done.returncode:
        raise ModelFailed(f"the exported package fails in Node: {done.stderr.strip()[-800:]}")
    version = _ran([node, "--version"]).stdout.strip()
    return Ran(f"Node {version}", [orjson.loads(line) for line in done.stdout.splitlines()])


def _ran(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


@contextmanager
def browsing(*switches: str) -> Iterator[tuple[Any, type[Exception]]]:
    """A Chromium of this machine, driven by Playwright, and what is raised where it takes too long. `switches` are
    Chromium's own.

    Raises MissingExtra, EnvironmentFault.
    """
    try:
        from playwright.sync_api import TimeoutError as TooLong
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise MissingExtra("edge", "prove the export in a browser", missing=error.name) from error
    path = os.environ.get("SERVABLE_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        raise EnvironmentFault(
            "Chromium is needed for the proof: install chromium, name a browser in SERVABLE_BROWSER, or export with "
            "--no-proof"
        )
    # Chromium's own sandbox refuses to start for root; what it opens here is the page that was just written.
    arguments = [*switches, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser, TooLong
        finally:
            browser.close()


class _Files(SimpleHTTPRequestHandler):
    extensions_map = {  # noqa: RUF012 - as the base class has it
        **SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(folder: Path, port: int = 0) -> Iterator[str]:
    """The folder on a port of this machine (0: a free one); gives the URL."""
    with ThreadingHTTPServer(("127.0.0.1", port), partial(_Files, directory=str(folder))) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()
