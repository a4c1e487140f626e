"""Which constraints a question asks for: the words of their options → constraints, by the registries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.errors import UsageError
from scaleplan.notices import Notice
from scaleplan.planning.effective import EFFECTIVE
from scaleplan.planning.terms import TERMS
from scaleplan.planning.variants import VARIANTS
from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scaleplan.planning.constraint import Constraint, Entry, Key, Option
    from scaleplan.planning.effective.base import EffectiveQuantity
    from scaleplan.planning.terms.base import Term
    from scaleplan.planning.variants.base import Variant
    from scaleplan.presets.preset import Preset

__all__ = ["NONE", "Constraints", "constraints_of", "entries", "home_preset", "keys", "options"]


class Constraints(Record):
    """The effective quantities in front of a law, the terms beside its cost, and what a plan chooses in the law."""

    effective: tuple[EffectiveQuantity, ...] = ()
    terms: tuple[Term, ...] = ()
    variants: tuple[Variant, ...] = ()

    def __iter__(self) -> Iterator[Constraint]:
        yield from self.effective
        yield from self.terms
        yield from self.variants

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
        first, second = len(self.effective), len(self.effective) + len(self.terms)
        return Constraints(
            effective=tuple(item for item in kept[:first] if item is not None),  # type: ignore[misc]
            terms=tuple(item for item in kept[first:second] if item is not None),  # type: ignore[misc]
            variants=self.variants,
        )

    def stacked(self) -> Notice | None:
        """Return what to say about a combination that nobody validated."""
        effective = [item for item in self.effective if not item.advice]
        # a variant is part of its law, which was measured with it, and reckons with inference
        stack = [*effective, *self.terms, *(self.variants if effective else ())]
        names = [type(item).__name__.lower() for item in stack]
        if len(names) < 2:
            return None
        message = f"{' and '.join(names)} together were never validated: each was measured alone"
        return Notice(code="stacked_assumptions", message=message)


NONE = Constraints()
"""No constraints."""


def constraints_of(words: Mapping[str, str | float | None], preset: Preset) -> Constraints:
    """Return the constraints that some words ask for, and what the law leaves to be chosen.

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
    variant = _variant_of(words, preset)
    if variant is None and not any(value is not None for value in words.values()):
        return NONE
    made = [
        tuple(entry.load().from_words(words).beside(preset) for entry in registry.values() if entry.asked(words))
        for registry in (EFFECTIVE, TERMS)
    ]
    return Constraints(
        effective=made[0],  # type: ignore[arg-type]
        terms=made[1],  # type: ignore[arg-type]
        variants=() if variant is None else (variant,),
    )


def _variant_of(words: Mapping[str, str | float | None], preset: Preset) -> Variant | None:
    """Return the choice of the quantity that the law leaves open; None for a law that leaves none."""
    own = getattr(preset.law, "variable", None)
    for name, entry in VARIANTS.items():
        if name != own and entry.asked(words):
            option = next(option.name for option in entry.options if words.get(option.name) is not None)
            raise UsageError(
                f"--{option.replace('_', '-')} says nothing to preset '{preset.id}', which knows no {name}",
                hint=f"choose a law of mixtures, such as {entry.preset}",
            )
    return None if own is None else VARIANTS[own].load().from_words(words)  # type: ignore[return-value]


def entries() -> tuple[Entry, ...]:
    """Return every registered constraint."""
    return (*EFFECTIVE.values(), *TERMS.values(), *VARIANTS.values())


def options() -> tuple[Option, ...]:
    """Return the options of every constraint."""
    return tuple(option for entry in entries() for option in entry.options)


def keys() -> tuple[Key, ...]:
    """Return the keys that constraints add to every plan."""
    return tuple(key for entry in entries() for key in entry.keys)


def home_preset(words: Mapping[str, object]) -> str | None:
    """Return the law that a constraint asked for was measured on; None where none says."""
    return next((entry.preset for entry in entries() if entry.preset is not None and entry.asked(words)), None)
