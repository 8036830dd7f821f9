"""Takes a model to a device: obstacles are told, the folder is written, and appears once it is proven."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from servable.bundles.difference import ABSOLUTE, RELATIVE
from servable.bundles.load import Predictor
from servable.domain.bundle import Bundle
from servable.edge import browser, inline, report, web_runtime
from servable.edge.cases import bodies
from servable.edge.devices import Ran, in_browser, in_node
from servable.edge.obstacles import obstacles
from servable.edge.parity import compare
from servable.edge.report import Report
from servable.edge.served import answers
from servable.errors import CheckFailed, Unsupported, UsageError

Device = Callable[[Path, Sequence[Any]], Ran]
SCRIPTS_OF_PAGE: Final = ("browser.js", "model.js", "contract.js", "rules.js", "text.js")


def to_browser(
    predictor: Predictor, version: str, output: Path, *, proof: bool = True, alone: bool = False, webgpu: bool = False
) -> Report:
    """Write the folder `output`, which must be new or empty; `alone` makes one page that holds everything.

    Raises Unsupported with every obstacle, CheckFailed where a device answers otherwise (`output` then holds the
    report and nothing else), EnvironmentFault, MissingExtra.
    """
    bundle = predictor.bundle
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError(f"{str(output)!r} is there already: name a folder that is new or empty")
    if found := obstacles(bundle):
        told = [str(each) for each in found]
        raise Unsupported(f"{bundle.name!r} cannot go to a browser: {' '.join(told)}", obstacles=told)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as place:
        folder = Path(place) / "export"
        folder.mkdir()
        devices: list[Device] = [in_browser]
        if alone:
            inline.write(bundle, version, folder)
        else:
            browser.write(bundle, version, folder, webgpu=webgpu, proven=proof)
            devices.append(in_node)
        made = _report(predictor, version, folder, devices if proof else [])
        if proof and not made.proven:
            report.write(made, output)
            wrong = "; ".join(str(device) for device in made.devices if not device.passed)
            raise CheckFailed(f"the exported {bundle.name!r} does not answer as the server does: {wrong}. The report: "
                              f"{output / report.HTML}")  # fmt: skip
        report.write(made, folder)
        if output.exists():
            output.rmdir()
        shutil.move(folder, output)
    return made


def _report(predictor: Predictor, version: str, folder: Path, devices: Sequence[Device]) -> Report:
    import onnxruntime

    bundle = predictor.bundle
    parities = []
    if devices:
        asked = bodies(bundle, predictor.signature)
        server = answers(predictor, version, asked)
        for ask in devices:
            ran = ask(folder, asked)
            found = compare(ran.device, asked, server, ran.told)
            parities.append(msgspec.structs.replace(found, first_ms=ran.first_ms, p50_ms=ran.p50_ms))
    return Report(
        f"{bundle.name}:{version}",
        bundle.digest,
        {"onnxruntime": onnxruntime.__version__, web_runtime.PACKAGE: web_runtime.VERSION},
        RELATIVE,
        ABSOLUTE,
        tuple(parities),
        _sizes(bundle, folder),
    )


def _sizes(bundle: Bundle, folder: Path) -> dict[str, int]:
    """What a page downloads: without a runtime that lies in files of its own, the model, the client as servers
    compress it.
    """
    kept = [file for file in folder.rglob("*") if file.is_file() and file.name not in browser.NOT_OF_PAGE]
    files = {file: file.stat().st_size for file in kept}
    runtime = sum(size for file, size in files.items() if file.parent.name == "ort")
    client = b"".join(browser.client_text(name).encode() for name in SCRIPTS_OF_PAGE)
    whole = sum(files.values())
    return {
        **(
            {"the page without the runtime": whole - runtime, "the runtime": runtime}
            if runtime
            else {"the page": whole}
        ),
        "the model": len(browser.model_bytes(bundle)),
        "the client, gzipped": len(gzip.compress(client, 9)),
    }
