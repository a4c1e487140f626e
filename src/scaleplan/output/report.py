"""What a person is shown of a result: facts, a table, remarks; the one thing every human format renders."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Fact", "Report", "ReportTable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One line of an answer: what, how much, its interval and its unit, all written for people.

    A fact whose value is ``prose`` and not an amount is set to the left.
    """

    label: str
    value: str
    low: str = ""
    high: str = ""
    unit: str = ""
    prose: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportTable:
    """A table; a column whose name is in ``text`` is aligned to the left, all others are numbers."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A result for people: a headline, facts and a table, then remarks about where it comes from.

    ``level`` labels the intervals of the facts, for example ``"90 %"``. ``lines`` stand as they are, for what is
    a list by nature, and so does a ``drawing``, whose lines belong together; a report without a title has no
    headline.
    """

    title: str = ""
    lines: tuple[str, ...] = ()
    drawing: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    level: str = ""
    grid: ReportTable | None = None
    remarks: tuple[str, ...] = ()
    sections: tuple[Report, ...] = field(default=())
