"""Which numbers a question may lead to: what is said of budgets and laws that leave the range of any run.

A preset may hold any coefficients in the domain of its form, and some of them overflow. That is a fault of the
file, and is told as one.
"""

from __future__ import annotations

import math
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, TypeVar

from scaleplan.errors import UsageError
from scaleplan.planning.problem import UNLIMITED_FLOPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from scaleplan.presets.preset import Preset

__all__ = ["LEAST_FLOPS", "in_range", "out_of_range", "require_budget", "require_finite", "require_run"]

LEAST_FLOPS = 1.0
"""Less than any run costs."""

_Result = TypeVar("_Result")
_Words = ParamSpec("_Words")


class Asked(Protocol):
    """Anything that asks a law."""

    @property
    def preset(self) -> Preset:
        """The law."""
        ...


_Asked = TypeVar("_Asked", bound=Asked)


def require_budget(flops: float) -> None:
    """Refuse a budget that is beyond any run; raises UsageError."""
    if not LEAST_FLOPS <= flops <= UNLIMITED_FLOPS:
        raise UsageError(f"a budget of {flops:g} FLOP is beyond any run", hint="give 1 to 1e60 FLOP")


def require_run(params: float, tokens: float) -> None:
    """Refuse a run without a whole parameter or a whole token; raises UsageError."""
    for value, what in ((params, "parameter"), (tokens, "token")):
        if value < 1:
            raise UsageError(f"{value:g} {what}s are less than one {what}")


def require_finite(values: Iterable[float]) -> None:
    """Refuse infinity and what is not a number; raises OverflowError, which :func:`in_range` tells as it should."""
    if not all(map(math.isfinite, values)):
        raise OverflowError


def in_range(
    method: Callable[Concatenate[_Asked, _Words], _Result],
) -> Callable[Concatenate[_Asked, _Words], _Result]:
    """Tell numbers that overflow as what they are: coefficients and amounts that do not go together.

    Raises
    ------
    UsageError
        In place of what the arithmetic raises.

    """

    @wraps(method)
    def told(self: _Asked, /, *args: _Words.args, **words: _Words.kwargs) -> _Result:
        try:
            return method(self, *args, **words)
        except (ArithmeticError, ValueError) as error:  # ValueError is the logarithm's
            raise out_of_range(self.preset) from error

    return told


def out_of_range(preset: Preset) -> UsageError:
    """Return the error for coefficients and amounts that do not go together."""
    return UsageError(
        f"preset '{preset.id}' leaves the range of numbers at these amounts",
        hint="check the amounts and the coefficients",
    )
