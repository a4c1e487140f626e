"""Constraints: effective quantities in front of a law, terms of the cost, and choices that a law leaves open."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

from scaleplan.errors import Notice, UsageError, quote
from scaleplan.laws.base import VariableSurface
from scaleplan.record import Record
from scaleplan.units import parse_positive

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scaleplan.hardware.budget import Budget
    from scaleplan.laws.base import Cost, LossSurface
    from scaleplan.planning.frontier import SolvedFrontier
    from scaleplan.planning.problem import Effective
    from scaleplan.presets.preset import Preset
    from scaleplan.units.limits import Limit

__all__ = ["Constraint", "EffectiveQuantity", "Entry", "Key", "Option", "Point", "Term", "Variant", "choice_of"]


class Option(NamedTuple):
    """An option of the command line, and the keyword of the same name in Python; every amount is a text.

    ``money`` is a price of an hour, which may be in the currency of an exchange rate.
    """

    name: str
    metavar: str
    help: str
    everyday: bool = False
    money: bool = False


class Key(NamedTuple):
    """A key that a constraint adds to a plan; one with a label is a fact of the text report, of its kind.

    A value that is not a plain one is a ``record``, named as ``module:class``, so that a saved plan can be read back.
    """

    name: str
    label: str = ""
    kind: str = "number"
    record: str = ""


class Entry(NamedTuple):
    """A constraint as registered: ``where`` is the ``module:class`` of a :class:`Constraint`.

    Giving any of its ``options`` adds it. Its ``keys`` are None in plans without it; the first is never None in
    plans with it. ``preset`` is the law that it was measured on, the default for it. ``chooses`` marks a quantity
    that some laws leave open.
    """

    where: str
    options: tuple[Option, ...]
    keys: tuple[Key, ...]
    preset: str | None = None
    chooses: bool = False

    def load(self) -> type[Constraint]:
        """Import and return the class."""
        module, name = self.where.split(":")
        found: type[Constraint] = getattr(import_module(module), name)
        return found

    def given(self, options: Mapping[str, object]) -> bool:
        """Whether any of its options is given."""
        return any(options.get(option.name) is not None for option in self.options)


class Point(Record):
    """A plan before its constraints add their keys and warnings.

    ``flops`` is training compute; ``budget`` is its cost on hardware, where that is known.
    ``changed(old, new)`` is the frontier of the same question with one constraint replaced, or removed for None;
    ``spent`` is the budget of that frontier (training and everything else), and None for a chosen size.
    """

    preset: Preset
    surface: LossSurface
    params: float
    tokens: float
    flops: float
    loss: float
    budget: Budget
    spent: float | None
    changed: Callable[[Constraint, Constraint | None], SolvedFrontier]


class Constraint(ABC):
    """Something that stands between a law and a plan, made from its options."""

    __slots__ = ()

    advice: ClassVar[bool] = False
    """Whether it only informs about a plan and changes none."""

    @classmethod
    @abstractmethod
    def from_options(cls, options: Mapping[str, str | float | None]) -> Self:
        """Read the texts of its options.

        Raises UsageError for an amount that cannot be read, or options that do not go together.
        """

    def adapted(self, preset: Preset) -> Self:
        """Return the constraint for a law, which may be the one that it was measured with."""
        return self

    @abstractmethod
    def facts(self, point: Point) -> dict[str, object]:
        """Return the values of the keys it adds to the plan."""

    def notices(self, point: Point) -> tuple[Notice, ...]:
        """Return its warnings about the plan."""
        return ()

    @staticmethod
    def remarks(facts: Mapping[str, object]) -> tuple[str, ...]:  # noqa: ARG004  most have none
        """Return sentences about its facts, for the text report."""
        return ()


class EffectiveQuantity(Constraint):
    """An effective quantity with its parameters; :meth:`on` adapts it to a law.

    Both effective quantities must rise with both nominal ones.
    """

    __slots__ = ()

    scarcity: ClassVar[bool] = True
    """Whether it is a shortage, which the optimum that plans are measured against does not have."""

    @abstractmethod
    def on(self, surface: LossSurface) -> Effective:
        """Return the map in front of this law."""


class Term(Constraint):
    """A term of the cost with its parameters."""

    __slots__ = ()

    @property
    def priced(self) -> bool:
        """Whether it is counted in money, so that the money of a budget is shared with training."""
        return False

    @abstractmethod
    def on(self, cost: Cost, budget: Budget | None) -> Cost:
        """Return the cost with this term, in FLOP of training that cost as much; ``budget`` has the rates.

        Raises UsageError when it needs rates that are not there.
        """


AUTO = "auto"


class Variant(Constraint):
    """A quantity that a law leaves open, with its value or the choice of the best."""

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


def choice_of(name: str, options: Mapping[str, str | float | None]) -> tuple[float | None, bool]:
    """Return the value of an option and whether it is ``auto``; None for no value.

    Raises UsageError for a value below 1, or that cannot be read.
    """
    given = options.get(name)
    if given is None:
        return None, False
    if isinstance(given, str) and given.strip().casefold() == AUTO:
        return None, True
    value = parse_positive(given)
    if value < 1:
        raise UsageError(f"{name} of {quote(given)} are fewer than one", hint=f"give at least 1, or {AUTO}")
    return value, False
