"""The documentation, tried: its commands run, its links lead somewhere, its tables are those of the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from docs.reference import generate
from servable.cli.commands import COMMANDS
from tests.told import Reader, blocks

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
TOLD = {name: page.read_text(encoding="utf-8") for name, page in zip(NAMES, PAGES, strict=True)}
RUN = [name for name in NAMES if any(block.language in {"console", "python"} for block in blocks(TOLD[name]))]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", RUN)
def test_what_a_page_says_works(name, tmp_path):
    with Reader(tmp_path) as reader:
        for block in blocks(TOLD[name]):
            reader.do(block, name)


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name):
    text = re.sub(r"```.*?```", "", TOLD[name], flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    broken = []
    for link in links:
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        path = (ROOT / name).parent / target if target else ROOT / name
        if not path.exists() or (anchor and anchor not in _anchors(path.read_text(encoding="utf-8"))):
            broken.append(link)
    assert broken == []


def _anchors(page: str) -> set[str]:
    """The headings of a page, as links name them."""
    headings = re.findall(r"^#+ (.*)$", page, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", sorted(generate.PAGES))
def test_the_reference_is_what_the_code_says(name):
    """If not:  python docs/reference/generate.py"""
    assert (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8") == generate.PAGES[name]()


def test_every_setting_is_documented():
    assert [name for name, said in generate.documented().items() if not said] == []


def test_every_command_in_the_docs_exists():
    """Also in blocks that are not run."""
    named = {
        word for text in TOLD.values() for word in re.findall(r"^\s*(?:\$ )?servable ([a-z]+)", text, re.MULTILINE)
    }
    assert named <= set(COMMANDS)


def test_every_make_target_in_the_docs_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {word for text in TOLD.values() for word in re.findall(r"`?\bmake ([a-z]+(?:-[a-z]+)*)`", text)} <= targets


def test_every_extra_in_the_docs_exists():
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    named = {
        extra
        for text in TOLD.values()
        for group in re.findall(r"servable\[([a-z,]+)\]", text)
        for extra in group.split(",")
    }
    assert named <= extras


def test_every_page_is_reached_from_the_index():
    """Following links from docs/index.md one comes to every page."""
    found: set[Path] = set()
    waiting = [ROOT / "docs" / "index.md"]
    while waiting:
        page = waiting.pop().resolve()
        if page in found or page.suffix != ".md" or not page.is_file():
            continue
        found.add(page)
        links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
        waiting += [page.parent / link for link in links if not re.match(r"[a-z]+:", link)]
    assert {page.resolve() for page in PAGES if page.is_relative_to(ROOT / "docs")} <= found
