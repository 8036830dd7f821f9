"""`servable predict`: answers for the rows of a file, from a model in this process or from a server.

Both ways speak the protocol's bytes: the model here is asked through the same codec that a door uses.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer

from servable.cli.options import AsJson, Home
from servable.cli.terminal import say, show_json, show_table, working

AT_ONCE: Final = 1000
"""Rows that are given to the model, or sent, together."""
SHOWN: Final = 20
"""Rows that a terminal shows; a pipe gets all."""


class Asked(NamedTuple):
    """Somebody who answers: the inputs that are text, and bytes to bytes."""

    texts: frozenset[str]
    ask: Callable[[bytes], bytes]


def predict(
    ref: Annotated[str, typer.Argument(metavar="REF|PATH", help="A registered model, a bundle or a model file.")],
    source: Annotated[Path, typer.Option("--input", help="Rows: csv, json, jsonl, parquet, arrow.", metavar="FILE")],
    url: Annotated[str | None, typer.Option(help="Ask the server there, instead of loading the model here.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Predict for each row of a file: by a model loaded here, or over the network with --url.

    A key for the server is taken from the environment, SERVABLE_KEY. In a pipe each answer is one line of JSON.

    Example:  servable predict churn@champion --input new.csv
    """
    from servable.wire.row_files import read_rows

    with working(f"predicting with {ref}"), _here(ref, home) if url is None else _there(ref, url) as asked:
        rows = read_rows(source, asked.texts)
        parts = [rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE)]
        answers = [json.loads(asked.ask(json.dumps({"rows": part}).encode())) for part in parts]
    told = [row for answer in answers for row in answer["rows"]]
    if not rows:
        say(f"{source} holds no rows: nothing was asked")
    for start, answer in zip(range(0, len(rows), AT_ONCE), answers, strict=True):
        for name, what in answer.pop("parameters", {}).items():
            say(f"{name}: {what}" + (f" (counted from row {start})" if start else ""))
    if as_json:
        show_json({**{key: value for key, value in answers[-1].items() if key != "id"}, "rows": told} if told else {})
    elif sys.stdout.isatty():
        show_table(told[:SHOWN])
        if len(told) > SHOWN:
            print(f"… and {len(told) - SHOWN} more: pipe it, or use --json, to see all")
    else:
        for row in told:
            show_json(row)


@contextmanager
def _here(ref: str, home: str | None) -> Iterator[Asked]:
    """The live version of a registered name, or the model of a path, loaded for this command."""
    import servable
    from servable.bundles.environments import ENVIRONMENTS
    from servable.bundles.load import Predictor
    from servable.bundles.open_model import open_model
    from servable.server.targets import resolve
    from servable.settings import load_settings
    from servable.wire.open_inference import Codec
    from servable.wire.row_files import texts_of

    settings = load_settings({"home": home})
    plan = resolve(settings, [ref])
    (target,) = (target for target in plan.targets if target.version == plan.routes[target.name].live)
    environments = settings.home_path / ENVIRONMENTS
    opened = open_model(Path(target.source), environments, name=target.name, digest=target.digest)
    predictor = Predictor(opened, lambda other: servable.load(other, home=home))
    signature = predictor.signature
    codec = Codec(signature, target.name, target.version, opened.bundle.manifest.labels)

    def ask(body: bytes) -> bytes:
        inquiry = codec.decode(body)
        return codec.encode("", predictor.predict_batch(inquiry.batch), inquiry)[0]

    try:
        yield Asked(texts_of(signature), ask)
    finally:
        predictor.close()


@contextmanager
def _there(ref: str, url: str) -> Iterator[Asked]:
    """A server's model, over HTTP."""
    from servable.cli.network import call
    from servable.domain.ref import Ref

    named = Ref.parse(ref)
    version = named.version or named.alias
    base = f"{url.rstrip('/')}/v2/models/{named.name}" + (f"/versions/{version}" if version else "")
    metadata = json.loads(call(base))
    texts = frozenset(tensor["name"] for tensor in metadata["inputs"] if tensor["datatype"] == "BYTES")
    yield Asked(texts, lambda body: call(f"{base}/infer", body))
