"""Remaking: a past state of a learner as a bundle. One that runs foreign code is opened behind walls, in a process of
its own: this file is its program, too.

Called by `servable learning rebuild`. What a state is made of stands in `rebuild.py`, its form as ONNX in `frozen/`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from servable.domain.problem import Problem
from servable.sandbox import walls

if TYPE_CHECKING:
    from servable.domain.bundle import Bundle

MADE = "bundle"
"""In the scratch folder of the process."""


class Wish(msgspec.Struct, frozen=True):
    """Which state of the learner at `source`: of the journal in the folder `learned`, up to the offset `at` (None: all
    of it), without some sources; one that learns on, or `frozen`, as it is or as ONNX. `parent`: what it comes from.
    """

    source: str
    name: str
    learned: str
    parent: str
    at: int | None = None
    without: tuple[str, ...] = ()
    frozen: bool = False
    to: Literal["keep", "onnx"] = "keep"


def remade(old: Bundle, wish: Wish, output: Path, environments: Path) -> Bundle:
    """The state as a bundle in the folder `output`; its lineage tells `offset` and `learned`. `environments`: where
    those of bundles that name their libraries are.

    Raises what `rebuild` raises, ConversionRejected, MissingExtra; CorruptModel where the learner ended its process.
    """
    from servable.bundles.elsewhere.process import needs
    from servable.bundles.open import open_bundle
    from servable.bundles.write import write_bundle
    from servable.runtimes.find import runtime

    plugin = runtime(old.manifest.format)
    if not needs(plugin, old.manifest.options):
        return make(old, wish, output)
    with tempfile.TemporaryDirectory(prefix="servable-remaking-") as folder:
        _make_apart(old, wish, Path(folder), environments)
        made = open_bundle(Path(folder) / "scratch" / MADE)  # no links, and the digests hold
        files = {file.path: made.folder / file.path for file in made.manifest.files}
        return write_bundle(output, made.manifest, files)


def make(old: Bundle, wish: Wish, output: Path) -> Bundle:
    """The same, in this process."""
    from servable.online.frozen.version import frozen, last_rows
    from servable.online.rebuild import answering, bundled, digest_of, rebuild

    learned = Path(wish.learned)
    fold = rebuild(old, learned, wish.at, wish.without)
    lineage = {"parent": wish.parent, "journal": digest_of(learned, fold.offset)}
    if wish.to == "keep":
        return bundled(old, fold, output, frozen=wish.frozen, **lineage)
    rows = last_rows(learned / "journal", fold.offset)
    return frozen(old, answering(fold), rows, output, **lineage, offset=fold.offset, learned=fold.learned)


def _make_apart(old: Bundle, wish: Wish, folder: Path, environments: Path) -> None:
    from servable.bundles.environments import interpreter, path_for
    from servable.errors import CorruptModel
    from servable.runtimes.find import runtime
    from servable.sandbox.environment import environment
    from servable.settings import load_settings

    scratch = folder / "scratch"
    scratch.mkdir(mode=0o700)
    plugin, environ = runtime(old.manifest.format), environment()
    python = interpreter(old.folder, old.manifest.options, environments)
    if python is not None:
        environ["PYTHONPATH"] = str(path_for(folder))
    around = walls.Walls(
        wish.name, (*walls.of_model(Path(wish.source)), wish.learned), str(scratch), mode=load_settings().sandbox,
        spawns=bool(getattr(plugin, "spawns", False)), listens=bool(getattr(plugin, "listens", False)),
    )  # fmt: skip
    done = subprocess.run(
        [str(python or sys.executable), "-P", "-m", "servable.online.remaking"],
        input=msgspec.json.encode(around) + b"\n" + msgspec.json.encode(wish),
        env=environ, stdout=subprocess.PIPE, check=False,
    )  # fmt: skip
    try:
        problem = msgspec.json.decode(done.stdout, type=Problem | None)
    except msgspec.DecodeError as error:
        raise CorruptModel(f"{wish.name!r} ended the process that opened it (exit code {done.returncode})") from error
    if problem is not None:
        raise problem.error()


def main() -> None:
    """Take the walls and the wish; stand behind the walls; make the bundle; tell what stood in the way."""
    answer = os.dup(1)
    os.dup2(2, 1)  # what the learner's code prints is no answer
    around = msgspec.json.decode(sys.stdin.buffer.readline(), type=walls.Walls)
    wish = msgspec.json.decode(sys.stdin.buffer.read(), type=Wish)
    problem = None
    try:
        walls.enter(around)
        _made(wish)
    except Exception as error:  # noqa: BLE001 - a wall: a learner's code may raise anything
        from servable.bundles.elsewhere.main import problem_of

        problem = problem_of(error)
    os.write(answer, msgspec.json.encode(problem))


def _made(wish: Wish) -> None:
    # Only now: this imports numpy, which starts threads, and the walls bind those that come after them.
    from servable.bundles.open import open_bundle

    make(open_bundle(Path(wish.source), name=wish.name), wish, Path(MADE).absolute())


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)
