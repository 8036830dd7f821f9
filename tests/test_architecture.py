"""The house as ARCHITECTURE.md describes it is the house that stands; and walls that the layers alone do not give."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from servable.registry.registry import Registry
from tests.packed import bundle_at

ROOT = Path(__file__).parent.parent
HOUSE = ROOT / "src" / "servable"
TEXT = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
UNWANTED = {"utils", "helpers", "common", "manager", "legacy", "impl", "_internal", "v2"}


def shelves() -> set[str]:
    """Folders and files of the package, as the tree in the page writes them."""
    folders = {f"{path.name}/" for path in HOUSE.iterdir() if path.is_dir() and any(path.rglob("*.py"))}
    return folders | {path.name for path in HOUSE.glob("*.py") if not path.name.startswith("__")}


def drawn() -> set[str]:
    """What the tree in the page names, below `src/servable/`."""
    tree = TEXT.partition("src/servable/\n")[2].partition("```")[0]
    return set(re.findall(r"^  (\w+(?:/|\.py))", tree, re.MULTILINE)) | set(re.findall(r"\s{2,}(cli/|app\.py)", tree))


def test_the_tree_is_the_one_that_stands():
    assert drawn() == shelves()


def test_top_level_folders_and_files_are_named():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    folders = {f"{name.split('/')[0]}/" for name in tracked if "/" in name}
    files = {name for name in tracked if name and "/" not in name}
    lacking = {name for name in folders | files if name not in TEXT and name != ".gitignore"}
    assert lacking == set()


def test_files_that_the_page_names_exist():
    named = set(re.findall(r"`((?:\w+/)+\w+\.py)`", TEXT))
    assert {name for name in named if not (HOUSE / name).exists() and not (ROOT / name).exists()} == set()


def test_files_that_modules_name_exist():
    """A file that was moved is still named where others speak of it."""
    there = {f"/{path.relative_to(ROOT)}" for shelf in (HOUSE, ROOT / "tests") for path in shelf.rglob("*.py")}
    lost = {
        (str(path.relative_to(ROOT)), name)
        for path in HOUSE.rglob("*.py")
        for name in re.findall(r"`([\w/]+\.py)`", path.read_text(encoding="utf-8"))
        if not any(one.endswith(f"/{name}") for one in there)
    }
    assert lost == set()


def test_the_page_can_be_read_in_one_sitting():
    assert len(TEXT.splitlines()) < 150


def test_every_module_says_what_it_is():
    silent = [
        str(path.relative_to(ROOT))
        for path in HOUSE.rglob("*.py")
        if "generated" not in path.parts and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []


def test_files_can_be_read_in_one_sitting():
    """One past 300 lines asks to be split; one past 400 is."""
    long = {
        str(path.relative_to(ROOT)): lines
        for path in HOUSE.rglob("*.py")
        if "generated" not in path.parts and (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}


def test_names_say_what_a_thing_is():
    assert [path for path in HOUSE.rglob("*") if path.stem in UNWANTED] == []


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        # The parent of a server owns sockets and processes. A model library in it would be a crash away from all doors.
        ("servable.server.supervisor.supervisor", ["numpy", "onnxruntime", "uvicorn", "grpc", "sqlalchemy"]),
        # A door serves without any other shelf, and without what only packing needs.
        (
            "servable.server.door",
            ["sqlalchemy", "pandas", "sklearn", "onnx", "servable.registry", "servable.bundles.pack"],
        ),
        ("servable.server.http.protocol", ["sqlalchemy", "pandas", "starlette.testclient", "servable.registry"]),
    ],
)
def test_what_a_process_does_not_import(module, unwanted):
    assert loaded(f"import {module}") & set(unwanted) == set()


def test_the_parent_reads_the_registry_without_a_model_library(tmp_path):
    """Nor numpy: the folders of bundles are looked into by doors alone."""
    Registry(tmp_path).register(bundle_at(tmp_path / "b"))
    code = "from servable.server.targets import resolve; from servable.settings import Settings; "
    names = loaded(f"{code} resolve(Settings(home={str(tmp_path)!r}), [])")
    assert names & {"numpy", "onnxruntime", "servable.bundles.open", "servable.runtimes.find"} == set()


def loaded(code: str) -> set[str]:
    """The modules that a process has after this."""
    code = f"{code}\nimport sys; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(told.stdout.split())


# Walls inside the layers: what these shelves may know of the rest.
MAY_KNOW = {"client": {"domain", "wire", "errors", "client"}, "domain": {"domain", "errors"}, "settings": {"errors"}}


@pytest.mark.parametrize("shelf", MAY_KNOW)
def test_what_a_shelf_knows(shelf):
    files = [*(HOUSE / shelf).rglob("*.py"), *HOUSE.glob(f"{shelf}.py")]
    known = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("servable."):
                known.add((node.module or "").split(".")[1])
    assert known <= MAY_KNOW[shelf]


def test_decisions_are_pure():
    """A `policy.py` has no clock, randomness, socket, store or loop."""
    impure = {
        "time",
        "random",
        "secrets",
        "socket",
        "asyncio",
        "os",
        "sqlite3",
        "sqlalchemy",
        "subprocess",
        "threading",
    }
    found = {}
    for file in HOUSE.rglob("policy.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = {
            alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        names |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        if names & impure:
            found[str(file.relative_to(ROOT))] = names & impure
    assert found == {}
