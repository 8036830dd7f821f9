"""Groups: lessons that came together and may be taken as one, so that many single ones cost what a few large ones do.

Rows that were predicted come first: an outcome that came with them may be theirs. Other lessons keep their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from servable.online.event import Column
from servable.online.messages import Asked, Examples, Lesson, Outcomes

MOST_ROWS: Final = 64
"""Of a group of several lessons: at the most, that many are learned in one go, and predictions wait as long."""

Kind: TypeAlias = tuple[object, ...]


class Group(NamedTuple):
    """`places`: of its lessons among those that came; `rows`: how many each has."""

    lesson: Lesson
    places: list[int]
    rows: list[int]


def groups(lessons: Sequence[Lesson]) -> Iterator[Group]:
    """All lessons, grouped: those next to each other that are of one sender and one form."""
    asked = [place for place, one in enumerate(lessons) if isinstance(one, Asked)]
    others = [place for place, one in enumerate(lessons) if not isinstance(one, Asked)]
    held: list[int] = []
    kind: Kind = ()
    rows = 0
    for place in [*asked, *others]:
        more, own = len(lessons[place].ids), _kind(lessons[place])
        if held and (own != kind or rows + more > MOST_ROWS):
            yield _group(lessons, held)
            held, rows = [], 0
        held, kind, rows = [*held, place], own, rows + more
    if held:
        yield _group(lessons, held)


def _kind(lesson: Lesson) -> Kind:
    """What lessons must have in common."""
    if isinstance(lesson, Asked):
        return (Asked, lesson.answers and _form(lesson.answers), *map(_form, lesson.columns))
    if isinstance(lesson, Outcomes):
        return (Outcomes, lesson.source, _form(lesson.outcomes))
    return (Examples, lesson.source, _form(lesson.outcomes), *map(_form, lesson.columns))


def _form(column: Column) -> tuple[str, str, tuple[int, ...]]:
    return column.name, column.dtype, column.shape[1:]


def _group(lessons: Sequence[Lesson], places: list[int]) -> Group:
    """Those at these places.

    >>> one = Outcomes("ward", ("a",), (0,), Column("", "<i8", (1,), b"12345678"))
    >>> group = _group([one, one], [0, 1])
    >>> group.lesson.ids, group.lesson.outcomes.shape, group.rows
    (('a', 'a'), (2,), [1, 1])
    """
    parts = [lessons[place] for place in places]
    return Group(parts[0] if len(parts) == 1 else _joined(parts), places, [len(part.ids) for part in parts])


def _joined(parts: Sequence[Lesson]) -> Lesson:
    ids = tuple(key for part in parts for key in part.ids)
    examples = [part for part in parts if isinstance(part, Examples)]
    outcomes = [part for part in parts if isinstance(part, Outcomes)]
    asked = [part for part in parts if isinstance(part, Asked)]
    if examples:
        told = _column([part.outcomes for part in examples])
        return Examples(examples[0].source, ids, _columns(part.columns for part in examples), told)
    if outcomes:
        versions = tuple(version for part in outcomes for version in part.versions)
        return Outcomes(outcomes[0].source, ids, versions, _column([part.outcomes for part in outcomes]))
    answers = [part.answers for part in asked if part.answers is not None]
    return Asked(ids, _columns(part.columns for part in asked), _column(answers) if answers else None)


def _columns(parts: Iterable[tuple[Column, ...]]) -> tuple[Column, ...]:
    return tuple(map(_column, zip(*parts, strict=True)))


def _column(parts: Sequence[Column]) -> Column:
    first = parts[0]
    shape = (sum(part.shape[0] for part in parts), *first.shape[1:])
    texts = tuple(text for part in parts for text in part.texts)
    return Column(first.name, first.dtype, shape, b"".join(part.data for part in parts), texts)
