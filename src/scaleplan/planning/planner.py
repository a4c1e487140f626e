"""A law and a budget → a plan: the one entry point that the command line and the Python API share.

What is asked: a law, the limits and constraints of the plan, and the hardware they are counted by.

Plans by a law that leaves a quantity open: the best of several planners, one for each value.

Which numbers a question may lead to: what is said of budgets and laws that leave the range of any run.

A preset may hold any coefficients in the domain of its form, and some of them overflow. That is a fault of the
file, and is told as one.


From the words of a question to a planner, and from a planner to a plan with what it costs on hardware.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Protocol, Self, TypeVar

from scaleplan.errors import UnknownNameError, UnreachableError, UsageError
from scaleplan.hardware.budget import Budget, Catalogue, resolve_budget, resolve_consistently
from scaleplan.laws.base import Allocation, LossSurface
from scaleplan.planning import plan as notices
from scaleplan.planning.conflicts import binding_limits, conflict
from scaleplan.planning.constraints import NONE, VARIANTS, Constraints, constraints_of, home_preset
from scaleplan.planning.constraints.base import Point
from scaleplan.planning.frontier import Frontier, SolvedFrontier, frontier_of
from scaleplan.planning.plan import Converted, NearOptimal, Plan, Reference, SizeErrors, preset_switched
from scaleplan.planning.problem import HARDWARE, UNBOUNDED, UNLIMITED_FLOPS, Bounds, Situation, bounds_of_limits
from scaleplan.planning.request import HardwareRequest, limits_of, request_of
from scaleplan.planning.uncertainty import interval
from scaleplan.presets.conventions import convert_params, unconvertible
from scaleplan.presets.library import DEFAULT_PRESET, Library
from scaleplan.units import parse_fraction, parse_ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from scaleplan.cost import Cost
    from scaleplan.hardware.budget import BudgetRequest
    from scaleplan.laws.base import Law
    from scaleplan.models import Model
    from scaleplan.notices import Notice
    from scaleplan.planning.constraints.base import Constraint, Variant
    from scaleplan.planning.problem import Problem
    from scaleplan.planning.request import Amount
    from scaleplan.planning.uncertainty import Interval, Outcome
    from scaleplan.presets.preset import Preset
    from scaleplan.units.limits import Limit

__all__ = [
    "COUNTS",
    "LEAST_FLOPS",
    "ChoosingPlanner",
    "Planner",
    "Question",
    "in_range",
    "out_of_range",
    "plan_aim",
    "plan_budget",
    "planner_of",
    "require_budget",
    "require_finite",
    "require_run",
    "varied",
]

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


@dataclass(frozen=True, kw_only=True)
class Question:
    """A law, and what a plan by it must keep to.

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

    """

    preset: Preset
    limits: tuple[Limit, ...] = ()
    constraints: Constraints = NONE
    hardware: Budget | None = None

    @property
    def fixed(self) -> bool:
        """Whether one side of the split is given."""
        return bounds_of_limits(
            [each for each in self.limits if each.quantity in ("params", "tokens")], Situation()
        ).fixed

    @property
    def may_trade(self) -> bool:
        """Whether the law can weigh size against tokens, or nothing asks it to."""
        if not isinstance(self.preset.law, Allocation):
            return True
        return self.constraints == NONE and all(
            limit.quantity == "params" or (limit.quantity == "tokens" and limit.op[0] == ">") for limit in self.limits
        )

    @property
    def by_hardware(self) -> bool:
        """Whether the best plan depends on the hardware, beside its budget."""
        return self.constraints.priced or any(limit.quantity in HARDWARE for limit in self.limits)

    def on(self, hardware: Budget) -> Self:
        """Return the planner for some hardware."""
        return replace(self, hardware=hardware) if self.by_hardware else self

    @cached_property
    def bounds(self) -> Bounds:
        """What the limits leave."""
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
        """What turns GB on each device into the largest size; None without devices."""
        if self.hardware is None or self.hardware.gpu is None or self.hardware.gpus is None:
            return None
        from scaleplan.planning.training_run import sizes_in_memory  # only for a limit on memory

        return sizes_in_memory(self.preset, self.hardware)

    @cached_property
    def cost(self) -> Cost:
        """What the budget pays for: training by the law's convention, and the terms beside it."""
        cost = self.preset.cost
        for term in self.constraints.terms:
            cost = term.on(cost, self.hardware)
        return cost

    @property
    def frontier(self) -> Frontier:
        """The compute-optimal frontier of the law within the bounds."""
        return self.frontier_for(self.preset.law)

    def frontier_for(self, law: Law) -> Frontier:
        """Return the frontier of another law under the same conventions and bounds."""
        return frontier_of(law, self.cost, self.bounds, self.constraints.effective)

    @in_range
    def best(self, flops: float) -> tuple[float, float, float | None]:
        """Return the split with the least loss within ``flops``, and that loss.

        Raises
        ------
        UsageError
            For a budget that is beyond any run.
        UnreachableError
            When no model keeps the limits; it names those that conflict, and the least budget that would do.

        """
        require_budget(flops)
        try:
            found = self.frontier.best(min(flops, self.bounds.total.high))
        except UnreachableError:
            if isinstance(self.frontier, SolvedFrontier):
                raise conflict(self.problem, self.bounds, flops) from None
            raise
        if found[2] is not None and found[2] > self.bounds.loss.high * (1 + 1e-12):
            raise conflict(self.problem, self.bounds, flops)
        return found

    def problem(self, bounds: Bounds) -> Problem:
        """Return the problem of this question within other bounds."""
        frontier = frontier_of(self.preset.law, self.cost, bounds, self.constraints.effective)
        assert isinstance(frontier, SolvedFrontier)
        return frontier.problem

    def accounts(
        self, flops: float, outcome: Outcome[float], budget: Budget, spent: float | None
    ) -> tuple[dict[str, object], tuple[Notice, ...]]:
        """Return the keys that the constraints add to a plan, and what they say about it."""
        params, tokens, loss = outcome
        law = self.preset.law
        facts: dict[str, object] = {}
        said: list[Notice] = []
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
            said += item.notices(point)
        stacked = self.constraints.stacked()
        return facts, (*said, *([stacked] if stacked else []))

    def outcome(self, params: float, tokens: float) -> Callable[[Law], Outcome[float]]:
        """Return what a law says of a chosen split; raises UsageError for a law that says nothing."""

        def outcome(law: Law) -> Outcome[float]:
            frontier = self.frontier_for(law)
            if not isinstance(frontier, SolvedFrontier):
                raise UsageError(
                    f"preset '{self.preset.id}' gives no loss for a chosen size: it was fitted to optimal sizes only",
                    hint="choose a preset with a loss, such as besiroglu-2024",
                )
            return params, tokens, frontier.loss_at(params, tokens)

        return outcome


COUNTS = ("total", "non_embedding")
"""The conventions that sizes can be given in and converted to."""


@dataclass(frozen=True, kw_only=True)
class Planner(Question):
    """Plans runs by one law under one set of limits and constraints.

    Parameters
    ----------
    preset, limits, constraints, hardware
        See :class:`scaleplan.planning.planner.Question`.
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


Found = TypeVar("Found")


def varied(planner: Planner, variant: Variant) -> Planner:
    """Return the planner for the values that a law's quantity may take, each with the limit that follows from it."""
    made = []
    for preset in variant.presets(planner.preset):
        limit = variant.limit(preset)
        limits = planner.limits if limit is None else (*planner.limits, limit)
        made.append(replace(planner, preset=preset, limits=limits))
    if len(made) == 1:
        return made[0]
    own = {name: getattr(made[0], name) for name in made[0].__dataclass_fields__}
    return ChoosingPlanner(**own, options=tuple(made))


@dataclass(frozen=True, kw_only=True)
class ChoosingPlanner(Planner):
    """Plans by the best of some ``options``; what is not a plan is told of the first of them."""

    options: tuple[Planner, ...] = ()

    def on(self, hardware: Budget) -> Self:
        """Return the planner for some hardware."""
        return replace(self, options=tuple(option.on(hardware) for option in self.options))

    @property
    def frontier(self) -> Frontier:
        """Refuse: what is told of all budgets at once needs the quantity to be chosen."""
        raise UsageError(
            "this question needs one number of experts or one granularity", hint="give it in place of auto"
        )

    def best(self, flops: float) -> tuple[float, float, float | None]:
        """Return the split with the least loss of all options."""
        return self._least(lambda option: option.best(flops), lambda found: found[2])

    def optimal(self, flops: float, *, budget: Budget | None = None) -> Plan:
        """Return the plan with the least loss of all options."""
        option, _ = self._least(lambda option: (option, option.best(flops)), lambda found: found[1][2])
        return option.optimal(flops, budget=budget)

    def loss(self, params: float, tokens: float, *, budget: Budget | None = None) -> Plan:
        """Return the plan for a given model and data with the least loss of all options."""
        return self._least(lambda option: option.loss(params, tokens, budget=budget), lambda plan: plan.loss)

    def target_loss(self, loss: float) -> Plan:
        """Return the plan with the least budget of all options."""
        return self._least(lambda option: option.target_loss(loss), lambda plan: plan.flops)

    def _target(self, index: int, goal: float, what: str) -> Plan:
        """Refuse: each option is optimal at a budget of its own."""
        raise UsageError(
            f"{goal:g} {what} are optimal at another budget for each number of experts or granularity",
            hint="give it in place of auto",
        )

    def _least(self, ask: Callable[[Planner], Found], value: Callable[[Found], float | None]) -> Found:
        """Return the answer of least value; the error of the first option where none has an answer."""
        answers: list[Found] = []
        failures: list[UnreachableError] = []
        for option in self.options:
            try:
                answers.append(ask(option))
            except UnreachableError as error:
                failures.append(error)
        if not answers:
            raise failures[0]
        return min(answers, key=lambda found: value(found) or 0.0)


def planner_of(
    *,
    preset: str | Preset | None = None,
    level: Amount = 0.9,
    overhead: Amount = 0.05,
    batch_regime: str | None = None,
    count: str | None = None,
    params: Amount | None = None,
    tokens: Amount | None = None,
    limit: Sequence[str] | None = None,
    model: Model | None = None,
    **constraints: Amount | None,
) -> Planner:
    """Return the planner for a law, its limits and constraints, and how to tell its answers.

    Without a preset the law is the default one, or the one that a constraint was measured on.

    Raises
    ------
    ScaleplanError
        For an unknown preset, an amount that cannot be read, bounds that exclude each other.

    """
    said: tuple[Notice, ...] = ()
    if preset is None:
        home = home_preset(constraints)
        portable = all(entry.preset != home for entry in VARIANTS.values())
        said = () if home is None else (preset_switched(home, DEFAULT_PRESET if portable else None),)
        preset = home or DEFAULT_PRESET
    law = Library().load(preset) if isinstance(preset, str) else preset
    if batch_regime is not None:
        law = law.with_regime(batch_regime)
    if model is not None:
        from scaleplan.planning.training_run import size_by

        if params is not None:
            raise UsageError("the size is given twice: --params and --model", hint="give one of them")
        params, asides = size_by(law, model)
        said = (*said, *asides)
    asked = constraints_of(constraints, law)
    planner = Planner(
        preset=law,
        limits=limits_of(params=params, tokens=tokens, limits=limit or ()),
        constraints=asked,
        level=parse_fraction(level),
        overhead=parse_ratio(overhead),
        count=count,
        said=said,
        model=model,
    )
    if not asked.variants:
        return planner

    return varied(planner, *asked.variants)


def plan_budget(
    planner: Planner, request: BudgetRequest, *, moe: bool | None = None, catalogue: Catalogue | None = None
) -> Plan:
    """Return the optimal plan; a default utilisation is settled with the size of the model it pays for.

    Parameters
    ----------
    planner
        The law and what the plan must keep to.
    request
        The budget and the hardware.
    moe
        Whether the model is a mixture of experts; None when the law says so.
    catalogue
        What is known of hardware; read from disk by default.

    """
    funding = resolve_consistently(
        request,
        lambda paid: planner.working_params(planner.on(paid.budget).best(paid.flops)[0]),
        moe=planner.mixture if moe is None else moe,
        by_hardware=planner.by_hardware,
        catalogue=catalogue,
    )
    plan = planner.on(funding.budget).optimal(funding.flops, budget=funding.budget)
    return replace(plan, warnings=(*plan.warnings, *funding.notices))


def plan_aim(
    planner: Planner,
    hardware: HardwareRequest,
    aim: Callable[[Planner], Plan],
    *,
    moe: bool | None = None,
    catalogue: Catalogue | None = None,
) -> Plan:
    """Return the plan for a goal, with what its compute costs on the hardware asked for.

    Where the plan depends on the hardware, its utilisation is that of the size of the plan before, until it stays.
    Parameters as for :func:`plan_budget`; ``aim`` asks a planner for the plan.
    """
    moe = planner.mixture if moe is None else moe
    catalogue = catalogue or Catalogue()
    funding = None
    if planner.by_hardware:
        funding = resolve_budget(request_of(hardware, flops=1.0), moe=moe, catalogue=catalogue)
    for _ in range(4):
        plan = aim(planner if funding is None else planner.on(funding.budget))
        request = request_of(hardware, flops=plan.flops)
        found = resolve_budget(request, params=planner.working_params(plan.params), moe=moe, catalogue=catalogue)
        if funding is None or found.budget.utilisation == funding.budget.utilisation:
            break
        funding = found
    return replace(plan, budget=found.budget, warnings=(*plan.warnings, *found.notices))
