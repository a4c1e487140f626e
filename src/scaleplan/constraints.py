"""Which constraints a question asks for: the words of their options → constraints, by the two registries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleplan.effective import EFFECTIVE
from scaleplan.notices import Notice
from scaleplan.terms import TERMS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scaleplan.constraint import Constraint, Entry, Key, Option
    from scaleplan.effective.base import EffectiveQuantity
    from scaleplan.terms.base import Term

__all__ = ["NONE", "Constraints", "constraints_of", "entries", "home_preset", "keys", "options"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """The effective quantities in front of a law, and the terms beside its cost."""

    effective: tuple[EffectiveQuantity, ...] = ()
    terms: tuple[Term, ...] = ()

    def __iter__(self) -> Iterator[Constraint]:
        yield from self.effective
        yield from self.terms

    @property
    def scarce(self) -> tuple[EffectiveQuantity, ...]:
        """The effective quantities that are shortages."""
        return tuple(quantity for quantity in self.effective if quantity.scarcity)

    @property
    def priced(self) -> bool:
        """Whether money is shared between training and another term."""
        return any(term.priced for term in self.terms)

    def changed(self, old: Constraint, new: Constraint | None) -> Constraints:
        """Return them with one replaced, or removed for None."""
        kept = [new if item is old else item for item in self]
        number = len(self.effective)
        return Constraints(
            effective=tuple(item for item in kept[:number] if item is not None),  # type: ignore[misc]
            terms=tuple(item for item in kept[number:] if item is not None),  # type: ignore[misc]
        )

    def stacked(self) -> Notice | None:
        """Return what to say about a combination that nobody validated."""
        names = [type(item).__name__.lower() for item in self]
        if len(names) < 2:
            return None
        message = f"{' and '.join(names)} together were never validated: each was measured alone"
        return Notice(code="stacked_assumptions", message=message)


NONE = Constraints()
"""No constraints."""


def constraints_of(words: Mapping[str, str | float | None]) -> Constraints:
    """Return the constraints that some words ask for.

    Raises
    ------
    TypeError
        For a word that no constraint knows.
    UsageError
        For an amount that cannot be read, or words that do not go together.

    """
    unknown = set(words) - {option.name for option in options()}
    if unknown:
        msg = f"unexpected keyword argument '{min(unknown)}'"
        raise TypeError(msg)
    if not any(value is not None for value in words.values()):
        return NONE
    made = [
        tuple(entry.load().from_words(words) for entry in registry.values() if entry.asked(words))
        for registry in (EFFECTIVE, TERMS)
    ]
    return Constraints(effective=made[0], terms=made[1])  # type: ignore[arg-type]


def entries() -> tuple[Entry, ...]:
    """Return every registered constraint."""
    return (*EFFECTIVE.values(), *TERMS.values())


def options() -> tuple[Option, ...]:
    """Return the options of every constraint."""
    return tuple(option for entry in entries() for option in entry.options)


def keys() -> tuple[Key, ...]:
    """Return the keys that constraints add to every plan."""
    return tuple(key for entry in entries() for key in entry.keys)


def home_preset(words: Mapping[str, object]) -> str | None:
    """Return the law that a constraint asked for was measured on; None where none says."""
    return next((entry.preset for entry in entries() if entry.preset is not None and entry.asked(words)), None)
