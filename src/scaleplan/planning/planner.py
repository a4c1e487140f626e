"""A law and a budget → a plan: the one entry point that the command line and the Python API share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scaleplan.errors import UnknownNameError, UnreachableError, UsageError
from scaleplan.hardware.budget import Budget
from scaleplan.laws.base import Allocation, LossSurface
from scaleplan.planning import notices
from scaleplan.planning.binding import binding_limits
from scaleplan.planning.bounds import UNBOUNDED
from scaleplan.planning.domain import in_range, require_budget, require_finite, require_run
from scaleplan.planning.frontier import SolvedFrontier, frontier_of
from scaleplan.planning.plan import Converted, NearOptimal, Plan, Reference, SizeErrors
from scaleplan.planning.question import Question
from scaleplan.planning.uncertainty import interval
from scaleplan.presets.conventions import convert_params, unconvertible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scaleplan.laws.base import Law
    from scaleplan.models import Model
    from scaleplan.notices import Notice
    from scaleplan.planning.uncertainty import Interval, Outcome

__all__ = ["COUNTS", "Planner"]

COUNTS = ("total", "non_embedding")
"""The conventions that sizes can be given in and converted to."""


@dataclass(frozen=True, kw_only=True)
class Planner(Question):
    """Plans runs by one law under one set of limits and constraints.

    Parameters
    ----------
    preset, limits, constraints, hardware
        See :class:`scaleplan.planning.question.Question`.
    level
        Confidence level of the intervals, between 0 and 1.
    overhead
        The compute overhead that still counts as near-optimal, above 0.
    count
        The convention to convert sizes to, beside the law's own; None for no conversion.
    said
        What must be said about the question itself, in every plan.
    model
        The concrete model that the question is about; None for any model of a size.

    """

    level: float = 0.9
    overhead: float = 0.05
    count: str | None = None
    said: tuple[Notice, ...] = ()
    model: Model | None = None

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise UsageError(f"a confidence level lies between 0 and 1, not at {self.level:g}", hint="try 0.9")
        if not 0 < self.overhead <= 10:
            raise UsageError(
                f"a near-optimal overhead lies between 0 and 10, not at {self.overhead:g}", hint="try 0.05"
            )
        if self.count is not None and self.count not in COUNTS:
            raise UnknownNameError("parameter convention", self.count, COUNTS)

    @property
    def may_choose(self) -> bool:
        """Whether the law may choose the split, or the bounds leave it nothing to choose."""
        return self.preset.allocates or self.fixed

    @property
    def mixture(self) -> bool:
        """Whether the model is a mixture of experts."""
        return self.preset.is_moe or (self.model is not None and self.model.architecture.experts is not None)

    @property
    def own_params(self) -> float:
        """The size of the concrete model as the law counts it, exactly."""
        assert self.model is not None
        return float(self.model.params_as(self.preset.conventions.params))

    def working_params(self, params: float) -> float:
        """Return the parameters that compute for each token, on which utilisation depends."""
        if self.model is not None:
            return self.model.active_params
        return params / 6 if self.preset.conventions.params == "flops_per_token" else params

    def law_params(self, params: float) -> float:
        """Return a size given in the convention of ``count`` in the law's own.

        Raises
        ------
        UsageError
            When the two cannot be converted.

        """
        own = self.preset.conventions.params
        return params if self.count is None else convert_params(params, source=self.count, target=own)

    @in_range
    def optimal(self, flops: float, *, budget: Budget | None = None) -> Plan:
        """Return the plan with the least loss within ``flops``.

        Raises
        ------
        UsageError
            When this law must not choose how to split a budget.
        UnreachableError
            When no model satisfies the bounds.

        """
        self.require_choice()
        frontier, budget = self.frontier, budget or Budget(source="plan")
        spent = min(flops, self.bounds.total.high)
        params, tokens, loss = self.best(flops)
        used, trained = self.cost.flops(params, tokens), self.cost.training.flops(params, tokens)
        slack = used < flops * (1 - 1e-9)
        if slack or self.constraints.terms:
            budget = budget.scaled(trained / flops)
        else:
            trained = flops
        plan = self._plan(
            trained,
            (params, tokens, loss),
            lambda law: self.frontier_for(law).best_near(spent, params),
            budget,
            spent=spent,
        )
        if slack:
            plan = replace(plan, warnings=(*plan.warnings, notices.budget_left(flops, used)))
        if not self.bounds.free or self.constraints.scarce or self.constraints.terms:
            plan = self._against_optimum(plan)
            if self.bounds.parts and isinstance(frontier, SolvedFrontier):
                plan = replace(plan, binding=binding_limits(self.problem, self.bounds, flops, (params, tokens)))
        elif loss is not None:
            half, double = (frontier.overhead_of_size(flops, factor) for factor in (0.5, 2.0))
            plan = replace(
                plan, excess_loss=0.0, compute_overhead=0.0, size_errors=SizeErrors(half=half, double=double)
            )
        sizes = None if self.bounds.fixed else frontier.near_optimal(min(spent, used), self.overhead)
        if sizes is not None:
            plan = replace(plan, near_optimal=NearOptimal(compute_overhead=self.overhead, params=sizes))
        return plan

    @in_range
    def loss(self, params: float, tokens: float, *, budget: Budget | None = None) -> Plan:
        """Return the plan for a given model and data: its loss, and its distance from the optimum.

        Raises
        ------
        UsageError
            When the law has no loss for a chosen size.

        """
        require_run(params, tokens)
        outcome = self.outcome(params, tokens)
        flops = self.cost.training.flops(params, tokens)
        require_budget(flops)
        return self._against_optimum(
            self._plan(flops, outcome(self.preset.law), outcome, budget or Budget(source="plan"))
        )

    @in_range
    def target_loss(self, loss: float) -> Plan:
        """Return the plan with the least budget that reaches ``loss``.

        Raises
        ------
        UnreachableError
            When no budget reaches it.

        """
        self.require_choice()
        if not self.frontier.has_loss:
            raise UsageError(
                f"preset '{self.preset.id}' has no loss to aim for: it was fitted to optimal sizes only",
                hint="aim for --params or --tokens, or choose a preset with a loss such as besiroglu-2024",
            )
        flops = self.frontier.least_flops(loss)
        if flops is None:
            raise UnreachableError(
                f"no budget reaches a loss of {loss:g} by preset '{self.preset.id}'{self._floor_text()}",
                hint="aim for a higher loss, or relax the limits" if self.limits else "aim for a higher loss",
            )
        return self.optimal(flops)

    def target_params(self, params: float) -> Plan:
        """Return the plan with the budget for which ``params`` is the optimal size."""
        return self._target(0, params, "parameters")

    def target_tokens(self, tokens: float) -> Plan:
        """Return the plan with the budget for which ``tokens`` is the optimal number of tokens."""
        return self._target(1, tokens, "tokens")

    # ---- helpers ------------------------------------------------------------------------------------------

    def require_choice(self) -> None:
        """Refuse to choose a split by a law that must not choose it."""
        if not self.may_choose:
            raise UsageError(
                f"preset '{self.preset.id}' must not choose a model size: {self.preset.refusal}",
                hint="fix one side with --params or --tokens, or choose another preset",
            )

    def _floor_text(self) -> str:
        law = self.preset.law
        if isinstance(law, LossSurface) and law.floor > 0:
            return f": it stays above {law.floor:.6g} {self.preset.conventions.loss}"
        return ""

    @in_range
    def _target(self, index: int, goal: float, what: str) -> Plan:
        self.require_choice()
        if goal < 1:
            raise UsageError(f"a goal of {goal:g} {what} is less than one")
        flops = self.frontier.flops_where(index, goal)
        if flops is None:
            raise UnreachableError(f"{goal:g} {what} are optimal at no budget by preset '{self.preset.id}'")
        return self.optimal(flops)

    def _plan(
        self,
        flops: float,
        outcome: Outcome[float],
        solve: Callable[[Law], Outcome[float]],
        budget: Budget,
        *,
        spent: float | None = None,
    ) -> Plan:
        preset = self.preset
        params, tokens, loss = outcome
        beyond = flops / preset.range.flops[1] if preset.range.flops else 1.0
        ratio = None if preset.conventions.params == "flops_per_token" else tokens / params
        sure = interval(preset, solve, level=self.level, factor=beyond)
        require_finite(_numbers(outcome, sure))
        facts, said = self.accounts(flops, outcome, budget, spent)
        return Plan(
            preset=preset.id,
            form=preset.form,
            flops=flops,
            params=params,
            tokens=tokens,
            loss=loss,
            tokens_per_param=ratio,
            params_convention=preset.conventions.params,
            flops_convention=preset.conventions.flops,
            loss_unit=preset.conventions.loss,
            converted=self._converted(params),
            interval=sure,
            near_optimal=None,
            size_errors=None,
            optimum=None,
            excess_loss=None,
            compute_overhead=None,
            budget=budget,
            constraints=facts,
            warnings=(
                *self.said,
                *notices.for_plan(
                    preset,
                    {"flops": flops, "params": params, "tokens": tokens, "tokens_per_param": ratio, "loss": loss},
                ),
                *said,
            ),
        )

    def _converted(self, params: float) -> Converted | None:
        """Return the size by the convention asked for; a count that cannot be converted stays unknown, with why."""
        own, asked = self.preset.conventions.params, self.count
        if asked is None:
            return None
        reason = unconvertible(own, asked)
        if reason is not None:
            return Converted(convention=asked, params=None, method=f"not convertible from {own}: {reason}")
        method = "as the law counts" if own == asked else "Pearce and Song 2024, Chinchilla's family of shapes"
        return Converted(convention=asked, params=convert_params(params, source=own, target=asked), method=method)

    def _against_optimum(self, plan: Plan) -> Plan:
        """Measure a plan against the unbounded optimum at the same compute, where the law may name one."""
        if not self.preset.allocates or isinstance(self.preset.law, Allocation):
            return plan
        recipe = [quantity for quantity in self.constraints.effective if not quantity.scarcity]
        frontier = frontier_of(self.preset.law, self.preset.cost, UNBOUNDED, recipe)
        params, tokens, loss = frontier.best(plan.flops)
        plan = replace(plan, optimum=Reference(params=params, tokens=tokens, loss=loss))
        if plan.loss is None or loss is None:
            return plan
        needed = frontier.least_flops(plan.loss)
        overhead = None if needed is None else max(0.0, plan.flops / needed - 1)
        return replace(plan, excess_loss=max(0.0, plan.loss - loss), compute_overhead=overhead)


def _numbers(outcome: Outcome[float], sure: Interval[float] | None) -> Iterator[float]:
    """Yield the numbers of a plan, its intervals among them."""
    yield from (value for value in outcome if value is not None)
    if sure is not None:
        yield from (*sure.params, *sure.tokens, *sure.tokens_per_param, *(sure.loss or ()))
