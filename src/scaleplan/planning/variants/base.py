"""What a quantity of a law is that a plan chooses: given, assumed, or the best of several."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from scaleplan.errors import UsageError, quote
from scaleplan.laws.variable import VariableSurface
from scaleplan.planning.constraint import Constraint
from scaleplan.quantities import parse_positive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.presets.preset import Preset
    from scaleplan.quantities.limits import Limit

__all__ = ["AUTO", "Variant", "choice_of"]

AUTO = "auto"


class Variant(Constraint):
    """A quantity of a law as asked for."""

    __slots__ = ()

    value: float | None
    """The value given; None for the law's own or the best."""
    auto: bool
    """Whether the best of the law's choices is wanted."""

    def presets(self, preset: Preset) -> tuple[Preset, ...]:
        """Return the presets to plan by: one for each value that may be chosen."""
        law = preset.law
        assert isinstance(law, VariableSurface)
        if self.auto:
            return tuple(preset.with_variable(value) for value in law.choices)
        return (preset.with_variable(getattr(law, law.variable) if self.value is None else self.value),)

    @abstractmethod
    def limit(self, preset: Preset) -> Limit | None:
        """Return the limit on the size that it sets for one of its presets."""


def choice_of(name: str, words: Mapping[str, str | float | None]) -> tuple[float | None, bool]:
    """Return the value of a word and whether it is ``auto``; None for no value.

    Raises
    ------
    UsageError
        For a value below 1, or that cannot be read.

    """
    word = words.get(name)
    if word is None:
        return None, False
    if isinstance(word, str) and word.strip().casefold() == AUTO:
        return None, True
    value = parse_positive(word)
    if value < 1:
        raise UsageError(f"{name} of {quote(word)} are fewer than one", hint=f"give at least 1, or {AUTO}")
    return value, False
