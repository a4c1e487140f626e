"""What a command that judges hands to the formats of CI services: one case for each thing that was judged."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["STATUSES", "Case", "Location"]

STATUSES = ("pass", "warn", "fail", "error")
"""Kept; not kept, and worth a word; not kept, and an error; and what could not be judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A place in a file, as its path is shown to people; the line is None where it is not known."""

    file: str
    line: int | None
    what: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One judgement.

    Parameters
    ----------
    suite
        What was judged: the name of a run.
    name
        By what: the text of a limit.
    rule
        A stable id of the kind of judgement, such as the quantity.
    status
        One of :data:`STATUSES`.
    message
        One line that says what was found.
    details
        Further lines: what the policy says, what to do.
    locations
        Where it comes from, the foremost first.

    """

    suite: str
    name: str
    rule: str
    status: str
    message: str
    details: tuple[str, ...] = ()
    locations: tuple[Location, ...] = ()
