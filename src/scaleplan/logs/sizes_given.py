"""Sizes of runs that the user gives: one amount for every run, or for those of a name: ``125M``, ``small=125M``."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from scaleplan.errors import UnknownNameError, UsageError, quote
from scaleplan.units import parse_count, parse_integer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


__all__ = ["GivenAmounts", "GivenSizes"]

T = TypeVar("T")


class GivenAmounts:
    """The amounts of one option by the names of runs; ``*`` in a name stands for any text."""

    def __init__(self, option: str, amounts: Sequence[tuple[str, float | str]]) -> None:
        self.option = option
        self._amounts = amounts
        self._met: set[str] = set()

    def of(self, run: str) -> float | str | None:
        """Return what is given for a run: by its name, by a pattern, else for all; the last of several counts."""
        found: float | str | None = None
        rank = -1
        for name, amount in self._amounts:
            own = 2 if name == run else 0 if name == "*" else 1
            if own >= rank and (own == 2 or fnmatchcase(run, name)):
                self._met.add(name)
                found, rank = amount, own
        return found

    def require_met(self, runs: Sequence[str]) -> None:
        """Refuse a name that no run has."""
        for name, _ in self._amounts:
            if name not in self._met and name != "*" and not any(fnmatchcase(run, name) for run in runs):
                raise UnknownNameError(f"run of --{self.option}", name, runs)


class GivenSizes(NamedTuple):
    """What the user gives of runs, by option."""

    params: GivenAmounts
    model: GivenAmounts
    tokens_per_step: GivenAmounts
    batch: GivenAmounts
    context: GivenAmounts
    steps: GivenAmounts

    @classmethod
    def read(cls, given: Mapping[str, object]) -> GivenSizes:
        """Read options as they were given; raises UsageError for one that cannot be read."""
        return cls(**{name: _amounts(name, given.get(name), parse) for name, parse in _PARSERS.items()})


def _text(value: object) -> str:
    if not str(value).strip():
        raise UsageError("the name of a model is empty", hint="a config.json, a training config or a published model")
    return str(value)


_PARSERS: Mapping[str, Callable[[str], float | str]] = {
    "params": parse_count,
    "model": _text,
    "tokens_per_step": lambda text: parse_count(text, what="tokens"),
    "batch": lambda text: _whole("batch", text),
    "context": lambda text: _whole("context", text),
    "steps": lambda text: _whole("steps", text),
}
"""How the amount of each option is read."""


def _whole(name: str, text: str) -> int:
    number = parse_integer(text)
    if number < 1:
        raise UsageError(f"--{name} {quote(text)} is not a whole number of at least 1")
    return number


def _amounts(option: str, given: object, parse: Callable[[str], float | str]) -> GivenAmounts:
    pairs: Iterable[tuple[str, object]]
    if given is None:
        pairs = ()
    elif isinstance(given, dict):
        pairs = given.items()
    else:
        texts = given if isinstance(given, list | tuple) else (given,)
        pairs = [_pair(text) for text in texts]
    return GivenAmounts(option.replace("_", "-"), [(name, parse(value)) for name, value in pairs])  # type: ignore[arg-type]


def _pair(text: object) -> tuple[str, object]:
    """Return the run and the amount of ``small=125M``; every run for an amount alone."""
    if not isinstance(text, str):
        return "*", text
    name, sign, amount = text.rpartition("=")
    if sign and not name.strip():
        raise UsageError(
            f"{quote(text)} names no run", hint="write RUN=AMOUNT, as in small=125M, or the amount alone"
        )
    return (name.strip(), amount.strip()) if sign else ("*", amount)
