"""Plans for an array of budgets, as columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from scaleplan.errors import UsageError
from scaleplan.planning.bulk import best_array
from scaleplan.planning.domain import LEAST_FLOPS, out_of_range, require_budget
from scaleplan.planning.frontier import SolvedFrontier
from scaleplan.planning.problem import UNLIMITED_FLOPS
from scaleplan.planning.uncertainty import interval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy import float64
    from numpy.typing import ArrayLike, NDArray

    from scaleplan.laws.base import Law
    from scaleplan.planning.plan import Plan
    from scaleplan.planning.planner import Planner
    from scaleplan.planning.uncertainty import Interval, Outcome

    Floats = NDArray[float64]

__all__ = ["PlanArray", "plan_array"]


@dataclass(frozen=True, kw_only=True)
class PlanArray:
    """Optimal plans for an array of budgets; attributes named like the keys of a plan are arrays of its length.

    ``interval`` and ``near_optimal_params`` hold pairs of arrays (low, high) and are computed when first read.
    ``loss`` is None where the law has none. Iterating gives single plans.
    """

    schema: ClassVar[str] = "scaleplan/plans/1"

    planner: Planner
    flops: Floats
    params: Floats
    tokens: Floats
    loss: Floats | None

    def __len__(self) -> int:
        return len(self.flops)

    def __iter__(self) -> Iterator[Plan]:
        return (self.planner.optimal(float(flops)) for flops in self.flops)

    @property
    def preset(self) -> str:
        """The law's id."""
        return self.planner.preset.id

    @property
    def tokens_per_param(self) -> Floats:
        """Training tokens for each parameter."""
        return self.tokens / self.params

    @cached_property
    def interval(self) -> Interval[Floats] | None:
        """Central intervals, each a pair of arrays; None when the source gives no usable uncertainty."""
        planner = self.planner
        top = planner.preset.range.flops

        def solve(law: Law) -> Outcome[Floats]:
            return best_array(planner.frontier_for(law), np.minimum(self.flops, planner.bounds.total.high))

        beyond = self.flops / top[1] if top else np.ones_like(self.flops)
        with np.errstate(all="ignore"):  # what overflows is refused below
            sure = interval(planner.preset, solve, level=planner.level, factor=beyond)
        if sure is not None:
            _require_finite(planner, *sure.params, *sure.tokens, *sure.tokens_per_param, *(sure.loss or ()))
        return sure

    @cached_property
    def near_optimal_params(self) -> tuple[Floats, Floats] | None:
        """The smallest and the largest near-optimal size of each budget; None where the law cannot tell."""
        frontier, overhead = self.planner.frontier, self.planner.overhead
        if isinstance(frontier, SolvedFrontier) and frontier.scale_free:
            smaller, larger = frontier.near_optimal_factors(overhead)
            return self.params * smaller, self.params * larger
        found = [
            sizes for flops in self.flops if (sizes := frontier.near_optimal(float(flops), overhead)) is not None
        ]
        if len(found) < len(self):
            return None
        return np.array([low for low, _ in found]), np.array([high for _, high in found])

    def to_dict(self) -> dict[str, object]:
        """Return ``{"schema": …, "plans": [...]}``, the form of several single plans."""
        return {"schema": self.schema, "plans": [plan.to_dict() for plan in self], "warnings": []}


def plan_array(planner: Planner, flops: ArrayLike) -> PlanArray:
    """Return the optimal plans of an array of FLOP budgets.

    Raises
    ------
    UsageError
        When the budgets are not a one-dimensional array of numbers from 1 to 1e60, or overflow by this law.

    """
    planner.require_choice()
    try:
        budgets = np.asarray(flops, dtype=float)
    except (TypeError, ValueError):
        raise UsageError(
            "an array of budgets holds numbers of FLOP", hint="read texts with parse_flops first"
        ) from None
    if budgets.ndim != 1:
        raise UsageError(f"an array of budgets has one dimension, not {budgets.ndim}", hint="flatten it first")
    for beyond in budgets[~((budgets >= LEAST_FLOPS) & (budgets <= UNLIMITED_FLOPS))][:1]:
        require_budget(float(beyond))
    with np.errstate(all="ignore"):  # what overflows is refused below
        params, tokens, loss = best_array(planner.frontier, np.minimum(budgets, planner.bounds.total.high))
    if loss is not None:
        for refused in budgets[loss > planner.bounds.loss.high][:1]:
            planner.best(float(refused))  # raises where the loss is too high, and names the limits that conflict
    _require_finite(planner, params, tokens, *([] if loss is None else [loss]))
    return PlanArray(planner=planner, flops=budgets, params=params, tokens=tokens, loss=loss)


def _require_finite(planner: Planner, *columns: Floats) -> None:
    if not all(np.isfinite(column).all() for column in columns):
        raise out_of_range(planner.preset)
