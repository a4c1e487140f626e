"""Plan a budget, a run or a goal by a law within limits and constraints: the one path to every plan.

:class:`Planner` answers in FLOP; :mod:`scaleplan.planning.on_hardware` has it answer a request on its hardware.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from scaleplan.arrays import nearest, whole
from scaleplan.errors import Notice, UnknownNameError, UnreachableError, UsageError
from scaleplan.hardware.budget import Budget
from scaleplan.laws.base import Allocation, LossSurface
from scaleplan.planning.conflicts import binding_limits, conflict
from scaleplan.planning.constraints import NONE, Constraints, constraints_of, home_preset
from scaleplan.planning.constraints.base import Point
from scaleplan.planning.context import Context
from scaleplan.planning.frontier import MeasuredFrontier, SolvedFrontier, frontier_of, problem_of
from scaleplan.planning.plan import (
    Converted,
    NearOptimal,
    Plan,
    Reference,
    SizeErrors,
    budget_left,
    in_whole_counts,
    knows_own_losses,
    plan_notices,
    preset_switched,
)
from scaleplan.planning.problem import COUNT, EDGE, HARDWARE, UNBOUNDED, UNLIMITED_FLOPS, Situation, bounds_of_limits
from scaleplan.planning.uncertainty import interval, require_level
from scaleplan.presets.conventions import convert_params, unconvertible
from scaleplan.presets.library import DEFAULT_PRESET
from scaleplan.units import (
    LEAST_COUNT,
    MOST_COUNT,
    exact,
    format_count,
    format_factor,
    format_flops,
    format_number,
    format_plain,
)
from scaleplan.units.limits import Limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

    from scaleplan.arrays import Floats
    from scaleplan.laws.base import Cost, Law
    from scaleplan.models import Model
    from scaleplan.planning.constraints.base import Constraint, Variant
    from scaleplan.planning.frontier import Frontier
    from scaleplan.planning.problem import Bounds, Problem
    from scaleplan.planning.request import Request
    from scaleplan.planning.uncertainty import Interval, Outcome
    from scaleplan.presets.preset import Preset

__all__ = [
    "ImplausibleError",
    "Planner",
    "numbers_of",
    "out_of_range",
    "require_budget",
    "require_loss",
]

_SAME = 1e-6  # relative: what a search leaves of a goal or a bound, with room
_COUNTS = ("total", "non_embedding")  # the conventions that sizes can be given in and converted to
_LEAST_FLOPS = 1.0  # less than any run costs
_LEAST_RATIO, _MOST_RATIO, _BEYOND = 0.1, 1e4, 30.0  # of tokens per parameter, see Planner.supported_ratios

Answer = TypeVar("Answer")


class ImplausibleError(UsageError):
    """A plan of more or fewer parameters or tokens than any run has."""


@dataclass(frozen=True, kw_only=True)
class Planner:
    """Plans runs by one law under one set of limits and constraints.

    Parameters
    ----------
    preset
        The law, with its conventions, range and uncertainty.
    limits
        What every plan must stay within.
    constraints
        What nominal quantities are worth, and what the budget pays for beside training.
    hardware
        The rates by which limits in hours, days, money and energy, and money for inference, are counted in FLOP.
    level
        Confidence level of the intervals, between 0 and 1.
    overhead
        The compute overhead that still counts as near-optimal, above 0.
    count
        The convention to convert sizes to, beside the law's own; None for no conversion.
    notices
        Warnings about the question itself, which every plan carries.
    model
        The concrete model that the question is about; None for any model of a size.
    context
        The data files.
    choices
        The planners of each value of a quantity that the law leaves open; the best of their plans is the answer, and
        everything else is the first one's.

    """

    preset: Preset
    limits: tuple[Limit, ...] = ()
    constraints: Constraints = NONE
    hardware: Budget | None = None
    level: float = 0.9
    overhead: float = 0.05
    count: str | None = None
    notices: tuple[Notice, ...] = ()
    model: Model | None = None
    context: Context = field(default_factory=Context)
    choices: tuple[Planner, ...] = ()

    def __post_init__(self) -> None:
        require_level(self.level)
        if not 0 < self.overhead <= 10:
            raise UsageError(
                f"a near-optimal overhead lies between 0 and 10, not at {format_plain(self.overhead)}",
                hint="try 0.05",
            )
        if self.count is not None and self.count not in _COUNTS:
            raise UnknownNameError("parameter convention", self.count, _COUNTS)

    @classmethod
    def of(cls, request: Request, context: Context) -> Self:
        """Return the planner for the law, the limits and the constraints of a request.

        Without a preset the law is the default one, or the one that a constraint was measured on.

        Raises ScaleplanError for an unknown preset, bounds that exclude each other, or a constraint that the law
        cannot have.
        """
        notices: tuple[Notice, ...] = ()
        name = request.preset
        if name is None:
            name, home = DEFAULT_PRESET, home_preset(request.constraints)
            if home is not None:
                name, portable = home
                notices = (preset_switched(name, DEFAULT_PRESET if portable else None),)
        preset = context.preset(name)
        if request.batch_regime is not None:
            preset = preset.with_regime(request.batch_regime)
        if request.bytes_per_token is not None:
            preset = preset.with_bytes_per_token(request.bytes_per_token)
        model = None
        if request.model is not None:
            from scaleplan.planning.placement import count_by, read_model_of  # only for a concrete model

            if request.params is not None:
                raise UsageError("the size is given twice: --params and --model", hint="give one of them")
            model = read_model_of(request)
            params, counted = count_by(preset, model)
            request, notices = request.changed(params=params), (*notices, *counted)
        constraints = constraints_of(request.constraints, preset)
        planner = cls(
            preset=preset,
            limits=request.limits(),
            constraints=constraints,
            level=request.level,
            overhead=request.overhead,
            count=request.count,
            notices=notices,
            model=model,
            context=context,
        )
        variant = constraints.variant
        return planner if variant is None else planner.varied(variant)

    def varied(self, variant: Variant) -> Self:
        """Return the planner for the values that a law's open quantity may take, each with the limit it implies."""
        options = []
        for preset in variant.presets(self.preset):
            limit = variant.limit(preset)
            limits = self.limits if limit is None else (*self.limits, limit)
            options.append(replace(self, preset=preset, limits=limits))
        return options[0] if len(options) == 1 else replace(options[0], choices=tuple(options))

    # ---- the question ---------------------------------------------------------------------------------------

    @property
    def may_choose(self) -> bool:
        """Whether the law may choose the split, or a side that is given leaves it nothing to choose."""
        sides = [limit for limit in self.limits if limit.quantity in ("params", "tokens")]
        return self.preset.allocates or bounds_of_limits(sides, Situation()).fixed

    @property
    def may_trade(self) -> bool:
        """Whether the law can weigh size against tokens, or nothing makes it."""
        if not isinstance(self.preset.law, Allocation):
            return True
        return self.constraints == NONE and all(
            limit.quantity == "params" or (limit.quantity == "tokens" and limit.op[0] == ">") for limit in self.limits
        )

    @property
    def by_hardware(self) -> bool:
        """Whether the best plan depends on the hardware, beside its budget."""
        return self.constraints.priced or any(limit.quantity in HARDWARE for limit in self.limits)

    @property
    def mixture(self) -> bool:
        """Whether the model is a mixture of experts."""
        return self.preset.is_moe or (self.model is not None and self.model.architecture.experts is not None)

    def on(self, hardware: Budget) -> Self:
        """Return the planner for some hardware."""
        if not self.by_hardware:
            return self
        return replace(self, hardware=hardware, choices=tuple(option.on(hardware) for option in self.choices))

    def working_params(self, params: float) -> float:
        """Return the parameters that compute for each token, on which utilisation depends."""
        if self.model is not None:
            return self.model.active_params
        return params / 6 if self.preset.conventions.params == "flops_per_token" else params

    def law_params(self, params: float) -> float:
        """Return a size given in the convention of ``count`` in the law's own.

        Raises UsageError when the two cannot be converted.
        """
        own = self.preset.conventions.params
        return params if self.count is None else convert_params(params, source=self.count, target=own)

    @cached_property
    def bounds(self) -> Bounds:
        """The bounds that the limits set."""
        if not self.limits:
            return UNBOUNDED
        unique = next((item.unique_tokens for item in self.constraints if hasattr(item, "unique_tokens")), None)
        situation = Situation(
            budget=self.hardware,
            unique_tokens=unique,
            priced=self.constraints.priced,
            sizes_in_memory=self._sizes_in_memory,
        )
        return bounds_of_limits(self.limits, situation)

    @property
    def _sizes_in_memory(self) -> Callable[[float], float] | None:
        """The function from GB on each device to the largest size; None without devices."""
        if self.hardware is None or self.hardware.gpu is None or self.hardware.gpus is None:
            return None
        from scaleplan.planning.placement import sizes_in_memory  # only for a limit on memory

        return sizes_in_memory(self.preset, self.model, self.hardware, self.context)

    @cached_property
    def cost(self) -> Cost:
        """The cost that the budget pays: training by the law's convention, and the terms beside it."""
        cost = self.preset.cost
        for term in self.constraints.terms:
            cost = term.on(cost, self.hardware)
        return cost

    @cached_property
    def frontier(self) -> Frontier:
        """The compute-optimal frontier of the law within the bounds.

        Raises UsageError when a quantity of the law is left open, so that there is one frontier for each of its
        values.
        """
        if self.choices:
            raise UsageError(
                "this question needs one number of experts or one granularity", hint="give it in place of auto"
            )
        frontier = self.frontier_for(self.preset.law)
        if isinstance(frontier, MeasuredFrontier):
            frontier.require_supported()
        return frontier

    def frontier_for(self, law: Law) -> Frontier:
        """Return the frontier of another law under the same conventions and bounds."""
        return self._frontier(law, self.bounds)

    def _frontier(self, law: Law, bounds: Bounds) -> Frontier:
        return frontier_of(law, self.cost, bounds, self.constraints.effective, require=self._require)

    @property
    def _require(self) -> Callable[[Floats | float, Floats | float], None] | None:
        """What refuses sizes and tokens off the line of a law that is determined on a line alone."""
        return None if self.preset.line is None else self.preset.require_on_line

    def frontier_within(self, bounds: Bounds) -> Frontier:
        """Return the frontier of this question within other bounds."""
        return self._frontier(self.preset.law, bounds)

    def problem(self, bounds: Bounds) -> Problem:
        """Return the problem of this question within other bounds."""
        frontier = self.frontier_within(bounds)
        assert isinstance(frontier, SolvedFrontier)
        return frontier.problem

    def require_consistent(self) -> None:
        """Refuse limits that exclude each other at every budget, whatever the law could make of them."""
        for option in self.choices or (self,):
            bounds = option.bounds
            if bounds.parts and option.frontier_within(bounds.without_loss).region.least_cost() is None:
                raise option.conflict(UNLIMITED_FLOPS)

    def conflict(self, flops: float) -> UnreachableError:
        """Return the error of limits that no plan within ``flops`` keeps."""
        return conflict(
            self.frontier_within,
            self.bounds,
            flops,
            is_plausible=lambda params, tokens: self._implausible(params, tokens) is None,
        )

    def require_choice(self) -> None:
        """Refuse to choose a split by a law that must not choose it."""
        if not self.may_choose:
            raise UsageError(
                f"preset '{self.preset.id}' must not choose a model size: {self.preset.refusal}",
                hint="fix one side with --params or --tokens, or choose another preset"
                if self.preset.line is None
                else self.preset.line.hint,
            )

    # ---- answers in FLOP ------------------------------------------------------------------------------------

    def best(self, flops: float) -> tuple[float, float, float | None]:
        """Return the split with the least loss within ``flops``, and that loss.

        Raises UsageError for a budget that is beyond any run; UnreachableError when no model keeps the limits; it
        names those that conflict, and the least budget that would do.
        """
        if self.choices:
            return self._least(lambda option: option.best(flops), lambda found: found[2])
        require_budget(flops)
        with numbers_of(self.preset):
            self.require_consistent()
            try:
                found = self.frontier.best(min(flops, self.bounds.total.high))
            except UnreachableError:
                raise self.conflict(flops) from None
            if found[2] is not None and found[2] > self.bounds.loss.high * (1 + EDGE):
                raise self.conflict(flops)
        self.require_supported(*found[:2])
        require_loss(self.preset, found[2])
        return found

    def best_counts(self, flops: float) -> tuple[float, float, float | None]:
        """Return the split with the least loss within ``flops`` in whole counts, with the loss that these have."""
        if self.choices:
            return self._least(lambda option: option.best_counts(flops), lambda found: found[2])
        found = self.best(flops)
        with numbers_of(self.preset):
            params, tokens, loss = self.frontier.whole(found, min(flops, self.bounds.total.high))
        self.require_plausible(params, tokens)
        return whole(params), whole(tokens), loss

    @property
    def supported_ratios(self) -> tuple[float, float]:
        """The tokens per parameter between which a law fitted to runs may put an optimum; published ones anywhere.

        Published runs lie within 0.1 to 10,000, and no law is known thirty times beyond the ratios of its runs.
        """
        known = self.preset.range.tokens_per_param
        if self.preset.fit is None or known is None or self.preset.conventions.params == "flops_per_token":
            return 0.0, math.inf
        low, high = max(_LEAST_RATIO, known[0] / _BEYOND), min(_MOST_RATIO, known[1] * _BEYOND)
        return min(low, known[0]), max(high, known[1])

    def require_supported(self, params: float, tokens: float) -> None:
        """Refuse an optimum of a fitted law that no run supports, unless a limit of the user puts it there.

        Raises UnreachableError where the law itself chooses such a split.
        """
        low, high = self.supported_ratios
        ratio = tokens / params
        if low <= ratio <= high:
            return
        at_bound = ((params, self.bounds.params), (tokens, self.bounds.tokens), (ratio, self.bounds.tokens_per_param))
        ends = [(value, end) for value, span in at_bound for end in span if end not in (0.0, COUNT.low)]
        if any(abs(value / end - 1) < _SAME for value, end in ends):
            return
        least, most = self.preset.range.tokens_per_param or (low, high)
        raise UnreachableError(
            f"preset '{self.preset.id}' puts the optimum at {format_number(ratio)} tokens per parameter, its "
            "runs have "
            f"{format_number(least)} to {format_number(most)}: no plan",
            hint=f"--limit 'tokens_per_param >= {format_plain(least)}' keeps to the runs; fit again with runs "
            "of one law",
        )

    def optimal(self, flops: float, *, budget: Budget | None = None) -> Plan:
        """Return the plan with the least loss within ``flops``.

        Raises UsageError when this law must not choose how to split a budget; UnreachableError when no model
        satisfies the bounds.
        """
        if self.choices:
            option, _ = self._least(lambda option: (option, option.best(flops)), lambda found: found[1][2])
            return option.optimal(flops, budget=budget)
        self.require_consistent()
        self.require_choice()
        frontier, budget = self.frontier, budget or Budget(source="plan")
        spent = min(flops, self.bounds.total.high)
        params, tokens, loss = self.best(flops)
        used, trained = self.cost.flops(params, tokens), flops
        with numbers_of(self.preset):
            chosen = frontier.whole((params, tokens, loss), spent)
        slack = used < flops * (1 - 1e-9)
        if slack or self.constraints.terms:
            # what the terms leave of the whole, so that the parts add up; a small rest of much must keep its limit
            trained = min(used - self.cost.per_param * chosen[0], self.bounds.flops.high)
            budget = budget.scaled(trained / flops)
        plan = self._plan(
            trained,
            chosen,
            lambda law: self.frontier_for(law).best_near(spent, params),
            budget,
            spent=spent,
        )
        if slack:
            plan = replace(plan, warnings=(*plan.warnings, budget_left(flops, used)))
        with numbers_of(self.preset):
            if not self.bounds.free or self.constraints.scarce or self.constraints.terms:
                plan = self._against_optimum(plan, loss)
                if self.bounds.parts and self.preset.allocates and isinstance(frontier, SolvedFrontier):
                    plan = replace(plan, binding=binding_limits(self.problem, self.bounds, flops, (params, tokens)))
            elif loss is not None and self.preset.allocates:
                half, double = (frontier.overhead_of_size(flops, factor) for factor in (0.5, 2.0))
                errors = SizeErrors(half=half, double=double)
                plan = replace(plan, excess_loss=0.0, compute_overhead=0.0, size_errors=errors)
            size = self.bounds.params.low == self.bounds.params.high
            data = self.bounds.tokens.low == self.bounds.tokens.high
            around = spent if used > spent * (1 - 1e-9) else used  # a whole budget to its last digit
            fixed = size or data or not self.preset.allocates
            sizes = None if fixed else frontier.near_optimal(around, self.overhead)
        if sizes is not None:
            plan = replace(plan, near_optimal=NearOptimal(compute_overhead=self.overhead, params=sizes))
        return in_whole_counts(plan)

    def loss(self, params: float, tokens: float, *, budget: Budget | None = None) -> Plan:
        """Return the plan for a given model and data: its loss, and its distance from the optimum.

        Raises UsageError when the law has no loss for a chosen size.
        """
        if self.choices:
            return self._least(lambda option: option.loss(params, tokens, budget=budget), lambda plan: plan.loss)
        self.require_plausible(params, tokens, given=True)
        params, tokens = nearest(params), nearest(tokens)

        def outcome(law: Law) -> Outcome[float]:
            if not isinstance(law, LossSurface):
                raise UsageError(
                    f"preset '{self.preset.id}' gives no loss for a chosen size: it was fitted to optimal sizes only",
                    hint="choose a preset with a loss, such as besiroglu-2024",
                )
            problem = problem_of(law, self.cost, self.bounds, self.constraints.effective, require=self._require)
            return params, tokens, problem.loss(params, tokens)

        with numbers_of(self.preset):
            flops = self.cost.training.flops(params, tokens)
            chosen = outcome(self.preset.law)
        require_budget(flops)
        plan = self._plan(flops, chosen, outcome, budget or Budget(source="plan"))
        if isinstance(self.preset.law, Allocation):
            plan = replace(plan, warnings=(*plan.warnings, _APART))
        with numbers_of(self.preset):
            return in_whole_counts(self._against_optimum(plan, plan.loss))

    def target_loss(self, loss: float) -> Plan:
        """Return the plan with the least budget that reaches ``loss``.

        Raises UnreachableError when no budget reaches it.
        """
        if self.choices:
            option, flops = self._least(lambda option: (option, option.flops_for_loss(loss)), lambda found: found[1])
            return option.optimal(flops)
        flops = self.flops_for_loss(loss)
        plan = self.optimal(flops)
        if plan.interval is None or plan.interval.expected_loss is None:
            return plan
        from scaleplan.planning.posterior import budget_interval  # only fits have one

        ends = budget_interval(self.frontier.best, flops, plan.interval.expected_loss)
        return replace(plan, interval=replace(plan.interval, flops=ends))

    def flops_for_loss(self, loss: float) -> float:
        """Return the least budget that reaches a loss; UnreachableError when none does, or no run is that large."""
        self.require_consistent()
        self.require_choice()
        with numbers_of(self.preset):
            aimable = self.frontier.has_loss
        if not aimable:
            if knows_own_losses(self.preset.law):
                why, way = "knows the loss of its own optimal sizes only", "aim without limits on the size"
            else:
                why, way = "was fitted to optimal sizes only", "aim for --params or --tokens"
            raise UsageError(
                f"preset '{self.preset.id}' has no loss to aim for: it {why}",
                hint=f"{way}, or choose a preset with a loss such as besiroglu-2024",
            )
        with numbers_of(self.preset):
            flops = self.frontier.least_flops(loss)
            floor = self._floor() if flops is None else 0.0
        if flops is None:
            self._require_vouched(math.inf, loss)
            within = " within these limits" if self.limits else ""
            why = (
                f": it stays above {format_plain(floor)} {self.preset.conventions.loss}{within}" if floor > 0 else ""
            )
            raise UnreachableError(
                f"no budget reaches a loss of {format_plain(loss)} by preset '{self.preset.id}'{why}",
                hint="aim for a higher loss, or relax the limits" if self.limits else "aim for a higher loss",
            )
        self._require_vouched(flops, loss)
        return self._reasonable(flops, f"a loss of {format_plain(loss)}")

    def _require_vouched(self, flops: float, loss: float) -> None:
        """Refuse a goal that a forecast reaches only beyond what its runs can vouch for; raises UnreachableError."""
        forecast = self.preset.forecast
        if forecast is None:
            return
        beyond = flops == math.inf
        if not beyond:
            problem = self._problem(forecast)
            params, tokens = problem.counted(*self.best(flops)[:2])
            beyond = math.log(params) + math.log(tokens) > forecast.span[1] + _SAME
        if beyond:
            least = forecast.loss(*forecast.best_split(math.exp(forecast.span[1])))
            there = "" if self.limits or least <= loss else f": {format_number(least, digits=4)} is the least there"
            raise UnreachableError(
                f"a loss of {format_plain(loss)} is not reached within {format_factor(forecast.reach)} the "
                "largest run of preset "
                f"'{self.preset.id}'{there}",
                hint="aim for a higher loss, or fit larger runs",
            )

    def _floor(self) -> float:
        """Return the loss that no budget goes below within the limits."""
        if not self.limits:
            return float(getattr(self.preset.law, "floor", 0.0))
        return self.frontier.best(min(UNLIMITED_FLOPS, self.bounds.total.high))[2] or 0.0

    def _reasonable(self, flops: float, goal: str) -> float:
        """Return the least budget for a goal; UnreachableError where no run is as large or small as its plan."""
        params, tokens, _ = self.best(flops)
        why = self._implausible(params, tokens)
        if why is not None:
            raise UnreachableError(f"{goal} takes {why}", hint="aim for less, or choose another preset")
        return flops

    def target_params(self, params: float) -> Plan:
        """Return the plan with the budget for which ``params`` is the optimal size."""
        return self._target(0, params, "parameters")

    def target_tokens(self, tokens: float) -> Plan:
        """Return the plan with the budget for which ``tokens`` is the optimal number of tokens."""
        return self._target(1, tokens, "tokens")

    # ---- helpers --------------------------------------------------------------------------------------------

    def _least(self, solve: Callable[[Planner], Answer], value: Callable[[Answer], float | None]) -> Answer:
        """Return the answer of least value among the choices; the first one's error where none has an answer."""
        answers: list[Answer] = []
        failures: list[UnreachableError] = []
        for option in self.choices:
            try:
                answers.append(solve(option))
            except UnreachableError as error:
                failures.append(error)
        if not answers:
            raise failures[0]
        return min(answers, key=lambda found: value(found) or 0.0)

    def _target(self, index: int, goal: float, what: str) -> Plan:
        if self.choices:
            raise UsageError(
                f"{format_plain(goal)} {what} are optimal at another budget for each number of experts or "
                "granularity",
                hint="give it in place of auto",
            )
        if not LEAST_COUNT <= goal <= MOST_COUNT:
            raise UsageError(
                f"a goal of {format_plain(goal)} {what} is one that no run has",
                hint=f"give {LEAST_COUNT:,.0f} to {format_plain(MOST_COUNT)} {what}",
            )
        side = ("params", "tokens")[index]
        fixed = Limit(side, "=", goal, None, f"{side} = {exact(side, goal)}")
        replace(self, limits=(*self.limits, fixed)).require_consistent()
        self.require_choice()
        with numbers_of(self.preset):
            flops = self.frontier.flops_where(index, goal)
        within = " within these limits" if self.limits else ""
        never = UnreachableError(
            f"{exact(side, goal)} {what} are optimal at no budget by preset '{self.preset.id}'{within}",
            hint="relax the limits, or give the budget and fix this side of the plan" if self.limits else None,
        )
        if flops is None:
            raise never
        params, tokens, _ = self.best(flops)
        if abs((params, tokens)[index] / goal - 1) > _SAME:  # a limit holds the optimum above the goal
            raise never
        return self.optimal(self._reasonable(flops, f"an optimum of {exact(side, goal)} {what}"))

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
        require_loss(preset, loss)
        beyond = flops / preset.range.flops[1] if preset.range.flops else 1.0
        ratio = None if preset.conventions.params == "flops_per_token" else tokens / params
        with numbers_of(preset):
            intervals, doubts = self._intervals(outcome, solve, spent, beyond)
            facts, warnings = self._constrained(flops, outcome, budget, spent)
        if not all(map(math.isfinite, _numbers(outcome, intervals))):
            raise out_of_range(preset)
        self.require_plausible(params, tokens)
        if isinstance(total := facts.get("total_params"), float):  # with every expert of a mixture
            self.require_plausible(total, tokens)
        if intervals is not None and intervals.loss is not None:
            require_loss(preset, intervals.loss[0])
        values = {"flops": flops, "params": params, "tokens": tokens, "tokens_per_param": ratio, "loss": loss}
        return Plan(
            preset=preset.id,
            form=preset.form,
            flops=flops,
            params=params,
            tokens=tokens,
            loss=loss,
            params_convention=preset.conventions.params,
            flops_convention=preset.conventions.flops,
            loss_unit=preset.conventions.loss,
            converted=self._converted(params),
            interval=intervals,
            near_optimal=None,
            size_errors=None,
            optimum=None,
            excess_loss=None,
            compute_overhead=None,
            budget=budget,
            constraints=facts,
            loss_text=None if loss is None else preset.loss_text,
            bytes_per_token=preset.conventions.bytes_per_token,
            warnings=(*self.notices, *plan_notices(preset, values), *doubts, *warnings),
        )

    def _problem(self, surface: LossSurface) -> Problem:
        """Return the problem of a surface within the limits and constraints."""
        return problem_of(surface, self.cost, self.bounds, self.constraints.effective)

    def _intervals(
        self, outcome: Outcome[float], solve: Callable[[Law], Outcome[float]], spent: float | None, beyond: float
    ) -> tuple[Interval[float] | None, tuple[Notice, ...]]:
        """Return the intervals of a plan, of a forecast by its posterior and with what to doubt in it."""
        forecast = self.preset.forecast
        if forecast is None:
            return interval(self.preset, solve, level=self.level, factor=beyond), ()
        from scaleplan.planning.posterior import forecast_doubts, forecast_interval  # only fits have one

        problem = self._problem(forecast)
        found = forecast_interval(problem, outcome, level=self.level, spent=spent)
        return found, tuple(forecast_doubts(problem, outcome, found, spent))

    def _implausible(self, params: float, tokens: float) -> str | None:
        """Return what makes a run one that nobody trains, by its counts; None where they may be meant."""
        working = self.working_params(params)
        for value, what in ((working, "parameters"), (tokens, "tokens")):
            if not LEAST_COUNT <= value <= MOST_COUNT:
                beyond = f"above {format_plain(MOST_COUNT)}" if value > MOST_COUNT else f"below {LEAST_COUNT:,.0f}"
                return f"{format_count(value) if value >= 1 else f'{format_plain(value)}'} {what}, {beyond}"
        return None

    def require_plausible(self, params: float, tokens: float, *, given: bool = False) -> None:
        """Refuse a run that nobody trains: a budget, a size or an amount of data has lost or gained a suffix.

        ``given`` is whether the two are those of the question.
        """
        why = self._implausible(params, tokens)
        if why is not None:
            hint = "check the suffixes and the units of the amounts"
            few = min(params, tokens)
            if given and few < LEAST_COUNT:
                hint = f"a suffix may be lost: {format_plain(few)}{'B' if params < tokens else 'T'}?"
            raise ImplausibleError(f"this plan has {why}: no run is like that", hint=hint)

    def _constrained(
        self, flops: float, outcome: Outcome[float], budget: Budget, spent: float | None
    ) -> tuple[dict[str, object], tuple[Notice, ...]]:
        """Return the keys that the constraints add to a plan, and their warnings about it."""
        params, tokens, loss = outcome
        law = self.preset.law
        facts: dict[str, object] = {}
        warnings: list[Notice] = []
        if loss is None or not isinstance(law, LossSurface) or self.constraints == NONE:
            return facts, ()

        def changed(old: Constraint, new: Constraint | None) -> SolvedFrontier:
            frontier = replace(self, constraints=self.constraints.changed(old, new)).frontier
            assert isinstance(frontier, SolvedFrontier)
            return frontier

        point = Point(
            preset=self.preset,
            surface=law,
            params=params,
            tokens=tokens,
            flops=flops,
            loss=loss,
            budget=self.hardware or budget,
            spent=spent,
            changed=changed,
        )
        for item in self.constraints:
            facts |= item.facts(point)
            warnings += item.notices(point)
        stacked = self.constraints.stacked()
        return facts, (*warnings, *([stacked] if stacked else []))

    def _converted(self, params: float) -> Converted | None:
        """Return the size by the convention of ``count``; one that cannot be converted stays unknown, with why."""
        own, wanted = self.preset.conventions.params, self.count
        if wanted is None:
            return None
        reason = unconvertible(own, wanted)
        if reason is not None:
            return Converted(convention=wanted, params=None, method=f"not convertible from {own}: {reason}")
        method = "as the law counts" if own == wanted else "Pearce and Song 2024, Chinchilla's family of shapes"
        return Converted(convention=wanted, params=convert_params(params, source=own, target=wanted), method=method)

    def _against_optimum(self, plan: Plan, loss: float | None) -> Plan:
        """Measure a plan against the unbounded optimum at the same compute, where the law may name one.

        ``loss`` is that of the plan before its counts were whole, so that rounding is no distance.
        """
        if not self.preset.allocates or isinstance(self.preset.law, Allocation):
            return plan
        recipe = [quantity for quantity in self.constraints.effective if not quantity.scarcity]
        frontier = frontier_of(self.preset.law, self.preset.cost, UNBOUNDED, recipe)
        found = frontier.best(plan.flops)
        params, tokens, nearby = frontier.whole(found, plan.flops)
        plan = replace(plan, optimum=Reference(params=params, tokens=tokens, loss=nearby))
        if loss is None or found[2] is None:
            return plan
        overhead = frontier.overhead_of_loss(plan.flops, loss)
        return replace(plan, excess_loss=max(0.0, loss - found[2]), compute_overhead=overhead)


_APART = Notice(
    code="separate_fits",
    message="the loss of a chosen size and tokens, L(N, D) of early-stopped training, is another fit than the loss "
    "along the optimum of this law: do not compare the two",
)


def require_budget(flops: float) -> None:
    """Refuse a budget that is beyond any run; raises UsageError."""
    if not _LEAST_FLOPS <= flops <= UNLIMITED_FLOPS:
        raise UsageError(f"a budget of {format_flops(flops)} is beyond any run", hint="give 1 to 1e60 FLOP")


def require_loss(preset: Preset, loss: float | None) -> None:
    """Refuse a loss of 0 or below, which no run has; raises UsageError."""
    if loss is not None and loss <= 0:
        raise UsageError(
            f"preset '{preset.id}' gives a loss of {format_number(loss)} at these amounts, and no run has a "
            "loss of 0 or below",
            hint="check the amounts and the coefficients; the law says nothing so far from its runs",
        )


def out_of_range(preset: Preset) -> UsageError:
    """Return the error for coefficients and amounts that do not go together."""
    return UsageError(
        f"preset '{preset.id}' leaves the range of numbers at these amounts",
        hint="check the amounts and the coefficients",
    )


@contextmanager
def numbers_of(preset: Preset) -> Iterator[None]:
    """Refuse coefficients and amounts that do not go together, where a law's arithmetic overflows.

    A preset may hold any coefficients in the domain of its form, and some of them overflow; that is a fault of the
    file. Only arithmetic on the law's numbers counts as such: whatever else goes wrong is a bug and stays one.
    """
    try:
        yield
    except ArithmeticError as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = "" if trace is None else trace.tb_frame.f_globals.get("__name__", "")
        if where.startswith(_ARITHMETIC):
            raise out_of_range(preset) from error
        raise


_ARITHMETIC = (
    *(f"scaleplan.{name}" for name in ("laws.", "arrays", "presets.preset")),
    *(f"scaleplan.planning.{name}" for name in ("problem", "solver", "frontier", "uncertainty", "conflicts")),
    "scaleplan.planning.constraints.",
)
"""The modules that compute with a law's coefficients."""


def _numbers(outcome: Outcome[float], intervals: Interval[float] | None) -> Iterable[float]:
    """Yield the numbers of a plan, its intervals among them."""
    yield from (value for value in outcome if value is not None)
    if intervals is not None:
        for name in ("params", "tokens", "tokens_per_param", "loss", "expected_loss"):
            yield from getattr(intervals, name) or ()
