"""The compute-optimal frontier of a law: for each budget the best split, and back from a goal to the budget.

A law with a loss surface is optimised; a law that measured the split directly is read. Both have the same interface,
with None where a law has no answer (a split-only law has no loss).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import fields
from typing import TYPE_CHECKING

from scaleplan.arrays import Number, log, maximum, minimum
from scaleplan.errors import UnreachableError, UsageError
from scaleplan.laws.base import Allocation, LossSurface
from scaleplan.planning.problem import ANY, Bounds, Problem, Region
from scaleplan.planning.solver import bisect, crossing, least_budget, least_flops, solve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scaleplan.arrays import Floats
    from scaleplan.laws.base import Cost, Law
    from scaleplan.planning.problem import EffectiveSource
    from scaleplan.planning.uncertainty import Outcome

__all__ = ["Frontier", "MeasuredFrontier", "SolvedFrontier", "frontier_of", "problem_of"]

_RISE = 1e-9  # relative, of a loss: above rounding
_FAR = math.log(1e12)  # no near-optimal size is a million million times off


class Frontier(ABC):
    """Budget → best split and its loss, and back."""

    @property
    def scale_free(self) -> bool:
        """Whether the cost of a size f times the optimum depends on f alone, at every budget."""
        return False

    @property
    def has_loss(self) -> bool:
        """Whether the loss of the best split is known."""
        return True

    @property
    @abstractmethod
    def region(self) -> Region:
        """The sizes and tokens among which the best split is chosen."""

    @abstractmethod
    def best(self, flops: float) -> tuple[float, float, float | None]:
        """Return (params, tokens, loss or None) for a budget in FLOP; raises UnreachableError if there is none."""

    def best_near(self, flops: float, params: float) -> tuple[float, float, float | None]:
        """Return what :meth:`best` does, given the best size of a frontier that differs a little."""
        return self.best(flops)

    @abstractmethod
    def whole(self, outcome: Outcome[Number], flops: Number) -> Outcome[Number]:
        """Return the split of a budget in whole counts, with its loss; an array of budgets gives arrays."""

    @abstractmethod
    def least_flops(self, loss: float) -> float | None:
        """Return the least budget that reaches a loss; None when no budget does, or the law has no loss."""

    @abstractmethod
    def near_optimal(self, flops: float, overhead: float) -> tuple[float, float] | None:
        """Return the smallest and largest size whose loss at this budget needs 1 + ``overhead`` of the compute."""

    @abstractmethod
    def overhead_of_size(self, flops: float, factor: float) -> float | None:
        """Return the compute that a model of ``factor`` times the optimal size wastes at this budget."""

    def overhead_of_loss(self, flops: float, loss: float) -> float | None:
        """Return what ``flops`` waste on a loss: their ratio to the least budget that reaches it, minus 1."""
        needed = self.least_flops(loss)
        return None if needed is None else max(0.0, flops / needed - 1)

    def flops_where(self, index: int, goal: float) -> float | None:
        """Return the least budget whose best split reaches ``goal`` params (index 0) or tokens (index 1)."""

        def reached(flops: float) -> bool:
            try:
                params, tokens, _ = self.best(flops)
                return (params, tokens)[index] >= goal
            except UnreachableError:
                return False

        return least_flops(reached)


def frontier_of(
    law: Law,
    cost: Cost,
    bounds: Bounds,
    effective: Sequence[EffectiveSource] = (),
    *,
    require: Callable[[Floats | float, Floats | float], None] | None = None,
) -> Frontier:
    """Return the frontier of a law; of one that measured the split, the measured one and not that of its surface.

    ``require`` refuses quantities at which the law is not determined.
    """
    if isinstance(law, Allocation):
        if effective or cost.per_param:
            raise UsageError(
                f"a law of the form '{law.form}' has no loss to trade against data or inference",
                hint="choose a preset with a loss, such as besiroglu-2024",
            )
        return MeasuredFrontier(law, cost, bounds)
    if isinstance(law, LossSurface):
        return SolvedFrontier(problem_of(law, cost, bounds, effective, require=require))
    raise UsageError(
        f"a law of the form '{law.form}' says nothing about model size and tokens",
        hint="'scaleplan evaluate' gives its value, and 'scaleplan presets list' shows the laws that plan",
    )


def problem_of(
    law: LossSurface,
    cost: Cost,
    bounds: Bounds,
    effective: Sequence[EffectiveSource] = (),
    *,
    require: Callable[[Floats | float, Floats | float], None] | None = None,
) -> Problem:
    """Return the problem of a loss surface within bounds; ``require`` refuses where the law is not determined."""
    region = region_of(cost, bounds)
    return Problem(
        surface=law,
        effective=tuple(quantity.on(law) for quantity in effective),
        require=require,
        **{item.name: getattr(region, item.name) for item in fields(Region)},
    )


def region_of(cost: Cost, bounds: Bounds) -> Region:
    """Return the sizes and tokens that a cost and bounds leave."""
    return Region(
        cost=cost,
        params=bounds.params,
        tokens=bounds.tokens,
        tokens_per_param=bounds.tokens_per_param,
        flops=bounds.flops,
    )


class SolvedFrontier(Frontier):
    """The frontier of a loss surface: closed form where there is one, the solver otherwise."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    @property
    def region(self) -> Region:
        """The problem itself."""
        return self.problem

    def whole(self, outcome: Outcome[Number], flops: Number) -> Outcome[Number]:
        """Return the whole counts nearest to the best, and the loss that these have."""
        params, tokens = self.problem.whole(outcome[0], outcome[1], flops)
        return params, tokens, self.problem.loss(params, tokens)

    @property
    def scale_free(self) -> bool:
        """Whether the law is, and nothing bounds the plan."""
        return self.problem.free and self.problem.surface.size_overhead(1.0) is not None

    def near_optimal_factors(self, overhead: float) -> tuple[float, float]:
        """Return the near-optimal sizes as factors of the optimum; for a scale-free frontier."""

        def beyond(log_factor: float) -> float:
            wasted = self.problem.surface.size_overhead(math.exp(log_factor))
            assert wasted is not None
            return wasted - overhead

        low, high = bisect(lambda x: beyond(-x), 0.0, _FAR), bisect(beyond, 0.0, _FAR)
        return math.exp(-low), math.exp(high)

    def best(self, flops: float) -> tuple[float, float, float | None]:
        """Return the split with the least loss within the budget, and that loss."""
        params, tokens = solve(self.problem, flops)
        return params, tokens, self.problem.loss(params, tokens)

    def best_near(self, flops: float, params: float) -> tuple[float, float, float | None]:
        """Return the split with the least loss in the valley of a size that was best for a similar problem."""
        params, tokens = solve(self.problem, flops, near=params)
        return params, tokens, self.problem.loss(params, tokens)

    def loss_at(self, params: float, tokens: float) -> float:
        """Return the loss of a chosen split."""
        return self.problem.loss(params, tokens)

    def least_flops(self, loss: float) -> float | None:
        """Invert the loss along the frontier, in closed form where the law has it."""
        try:
            return least_budget(self.problem, loss)
        except OverflowError:  # by exponents near zero: more than any number
            return None

    def near_optimal(self, flops: float, overhead: float) -> tuple[float, float] | None:
        """Walk along the budget line both ways, to where the loss is what 1/(1+overhead) of the budget buys."""
        problem = self.problem
        if self.scale_free:
            smaller, larger = self.near_optimal_factors(overhead)
            params = solve(problem, flops)[0]
            return params * smaller, params * larger
        try:
            best_params, _ = solve(problem, flops)
            threshold = problem.reducible(*solve(problem, flops / (1 + overhead)))
        except UnreachableError:
            return None
        low, high = problem.sizes(flops)

        def above(log_params: float) -> float:
            params = math.exp(log_params)
            return problem.reducible(params, problem.most_tokens(params, flops)) - threshold

        if above(log(best_params)) > _RISE * threshold:  # of a forecast that rises with compute
            return None

        def edge(outer: float) -> float:
            if above(log(outer)) <= 0:
                return outer
            span = log(outer / best_params)
            return best_params * math.exp(
                span * crossing(lambda share: above(log(best_params) + share * span), 0.0, 1.0)
            )

        return edge(low), edge(high)

    def overhead_of_size(self, flops: float, factor: float) -> float | None:
        """Compare the budget with the least that reaches the loss of the mis-sized model."""
        problem = self.problem
        if self.scale_free:
            return problem.surface.size_overhead(factor)
        params = solve(problem, flops)[0] * factor
        low, high = problem.sizes(flops)
        if not low <= params <= high:
            return None
        needed = self.least_flops(problem.loss(params, problem.most_tokens(params, flops)))
        return None if needed is None else flops / needed - 1


class MeasuredFrontier(Frontier):
    """The frontier of a law that measured the split of a budget directly."""

    def __init__(self, law: Allocation, cost: Cost, bounds: Bounds) -> None:
        self.law = law
        self.cost = cost
        self.bounds = bounds

    @property
    def region(self) -> Region:
        """The sizes and tokens that the bounds leave."""
        return region_of(self.cost, self.bounds)

    @property
    def has_loss(self) -> bool:
        """Whether the law has one along its own split, and nothing moves the plan away from that."""
        return self.bounds.without_loss.free and self.law.frontier_loss(1.0) is not None

    def require_supported(self) -> None:
        """Refuse bounds that only a loss surface could weigh against each other."""
        bounds = self.bounds
        if bounds.tokens.high < math.inf or bounds.tokens_per_param != ANY or bounds.flops != ANY:
            raise UsageError(
                f"a law of the form '{self.law.form}' has no loss to trade sizes by: only the size can be bounded",
                hint="choose a preset with a loss, such as besiroglu-2024",
            )
        if bounds.loss != ANY and not self.has_loss:
            raise UsageError(
                f"a law of the form '{self.law.form}' has no loss to limit"
                + ("" if self.law.frontier_loss(1.0) is None else " for a size that is not its own optimum"),
                hint="choose a preset with a loss, such as besiroglu-2024",
            )

    def best(self, flops: float) -> tuple[float, float, float | None]:
        """Return the law's own split, moved along the budget line where the size is bounded."""
        self.require_supported()
        return self.split(flops, *self.region.sizes(flops))

    def split(self, flops: Number, low: Number | float, high: Number) -> Outcome[Number]:
        """Return the law's own split, moved to the nearest size from ``low`` to ``high``; arrays alike."""
        params, tokens = self.law.split(flops)
        if self.bounds.without_loss.free:
            return params, tokens, self.law.frontier_loss(flops)
        params = maximum(minimum(params, high), low)
        return params, self.cost.tokens(params, flops), None

    def whole(self, outcome: Outcome[Number], flops: Number) -> Outcome[Number]:
        """Return the whole counts nearest to the law's own; its loss is one of the budget."""
        params, tokens = self.region.whole(outcome[0], outcome[1], flops)
        return params, tokens, outcome[2]

    def least_flops(self, loss: float) -> float | None:
        """Invert the loss along the frontier, where the law has one."""

        def reached(flops: float) -> bool:
            at = self.best(flops)[2]
            return at is not None and at <= loss

        return least_flops(reached)

    def near_optimal(self, flops: float, overhead: float) -> tuple[float, float] | None:
        """Return None: without a surface nothing is known about other sizes."""
        return None

    def overhead_of_size(self, flops: float, factor: float) -> float | None:
        """Return None: without a surface nothing is known about other sizes."""
        return None
