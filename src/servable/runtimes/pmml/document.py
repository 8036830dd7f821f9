"""A PMML file as a tree of plain elements. Refuses what XML can do beyond that: entities, document types, includes.

Knows nothing of what elements mean. Errors name the element and its line.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from xml.parsers import expat

from servable.errors import CorruptModel, IncompatibleModel, UnsafeModel

MAX_DEPTH: Final = 250
"""Elements inside elements: a tree grown to its end is some 60 deep; more than this is an attack on the stack."""

MAX_SPARSE: Final = 1 << 20
"""Entries of a sparse array: its size is a number in the file, and would be the memory that reading it takes."""


class Element:
    """Tag without namespace, attributes, children in order, text, line."""

    __slots__ = ("attributes", "children", "line", "tag", "text")

    def __init__(self, tag: str, attributes: dict[str, str], line: int) -> None:
        self.tag = tag
        self.attributes = attributes
        self.line = line
        self.children: list[Element] = []
        self.text = ""

    def __repr__(self) -> str:
        return f"<{self.tag}> in line {self.line}"

    def all(self, *tags: str) -> Iterator[Element]:
        """The children of these tags."""
        return (child for child in self.children if child.tag in tags)

    def first(self, *tags: str) -> Element | None:
        """The first child of one of these tags."""
        return next(self.all(*tags), None)

    def need(self, *tags: str) -> Element:
        """The same, or CorruptModel."""
        found = self.first(*tags)
        if found is None:
            raise CorruptModel(f"{self}: expected a <{'> or <'.join(tags)}> inside")
        return found

    def get(self, name: str, default: str = "") -> str:
        """An attribute."""
        return self.attributes.get(name, default)

    def must(self, name: str) -> str:
        """An attribute, or CorruptModel."""
        if name not in self.attributes:
            raise CorruptModel(f"{self}: the attribute {name!r} is missing")
        return self.attributes[name]

    def number(self, name: str, default: float | None = None) -> float:
        """An attribute as a number. Raises CorruptModel."""
        if default is not None and name not in self.attributes:
            return default
        return number(self.must(name), self, name)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """An attribute as a boolean."""
        return truth(self.attributes[name]) if name in self.attributes else default


def number(text: str, where: Element, name: str = "the content") -> float:
    """A number from a text. Raises CorruptModel."""
    try:
        return float(text.replace("INF", "inf"))
    except ValueError:
        raise CorruptModel(f"{where}: {name} should be a number, and is {text[:40]!r}") from None


def truth(text: str) -> bool:
    """A boolean as XML writes it."""
    return text.strip().lower() in {"true", "1"}


def unsupported(where: Element, what: str = "") -> IncompatibleModel:
    """The error for what is valid PMML, and not translated."""
    reason = f": {what}" if what else ""
    return IncompatibleModel(
        f"{where} is not supported{reason}. Export the model without it or as ONNX, or pack it with --format pmml-jvm"
    )


def parse(data: bytes, name: str) -> Element:
    """The <PMML> element. Raises CorruptModel, UnsafeModel (entities or a document type)."""
    parser = expat.ParserCreate(namespace_separator=" ")
    root = Element("", {}, 0)
    stack = [root]

    def start(tag: str, attributes: dict[str, str]) -> None:
        if len(stack) > MAX_DEPTH:
            raise CorruptModel(f"{name!r} has elements more than {MAX_DEPTH} deep in line {parser.CurrentLineNumber}")
        element = Element(tag.rpartition(" ")[2], attributes, parser.CurrentLineNumber)
        stack[-1].children.append(element)
        stack.append(element)

    def end(_: str) -> None:
        stack.pop()

    def text(part: str) -> None:
        stack[-1].text += part

    def refuse(*_: object) -> None:
        raise UnsafeModel(
            f"{name!r} declares an XML document type or entities in line {parser.CurrentLineNumber}: they can read "
            "files and fill the memory, and a PMML model needs none. Nothing was loaded"
        )

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse  # type: ignore[assignment]
    parser.buffer_text = True
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise CorruptModel(f"{name!r} is broken or cut off XML: {error}") from error
    found = root.first("PMML")
    if found is None:
        raise CorruptModel(f"{name!r} has no <PMML> element")
    return found


def words(element: Element) -> list[str]:
    r"""The entries of an <Array>: separated by blanks, quoted where they hold some.

    >>> array = Element("Array", {}, 1)
    >>> array.text = 'ab  "c d" "e \\" f"'
    >>> words(array)
    ['ab', 'c d', 'e " f']
    """
    found: list[str] = []
    text, at, size = element.text, 0, len(element.text)
    while at < size:
        if text[at].isspace():
            at += 1
        elif text[at] == '"':
            part = []
            at += 1
            while at < size and text[at] != '"':
                at += text[at] == "\\" and text[at + 1 : at + 2] == '"'
                part.append(text[at])
                at += 1
            at += 1
            found.append("".join(part))
        else:
            stop = at
            while stop < size and not text[stop].isspace():
                stop += 1
            found.append(text[at:stop])
            at = stop
    return found


def numbers(element: Element) -> list[float]:
    """The entries of an <Array>, or of a sparse one, as numbers."""
    if element.tag == "REAL-SparseArray":
        size = int(element.number("n"))
        if not 0 <= size <= MAX_SPARSE:
            raise CorruptModel(f"{element}: {size} entries, at most {MAX_SPARSE} are read")
        values = [element.number("defaultValue", 0.0)] * size
        places = element.first("Indices")
        entries = element.first("REAL-Entries")
        if places is not None and entries is not None:
            for place, entry in zip(words(places), words(entries), strict=True):
                values[int(place) - 1] = number(entry, element)
        return values
    return [number(word, element) for word in words(element)]
