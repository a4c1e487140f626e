"""Plan a budget, a run or a goal by a law within limits and constraints: the one path to every plan.

:class:`Planner` answers in FLOP. :func:`plan_budget`, :func:`plan_run` and :func:`plan_goal` answer a request on its
hardware, where utilisation and model size depend on each other.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from scaleplan.errors import Notice, UnknownNameError, UnreachableError, UsageError
from scaleplan.hardware.budget import Budget, resolve_budget, resolve_consistently
from scaleplan.laws.base import Allocation, LossSurface
from scaleplan.planning.conflicts import binding_limits, conflict
from scaleplan.planning.constraints import NONE, Constraints, constraints_of, home_preset
from scaleplan.planning.constraints.base import Point
from scaleplan.planning.context import Context
from scaleplan.planning.frontier import SolvedFrontier, frontier_of
from scaleplan.planning.plan import (
    Converted,
    NearOptimal,
    Plan,
    Reference,
    SizeErrors,
    budget_left,
    plan_notices,
    preset_switched,
)
from scaleplan.planning.problem import HARDWARE, UNBOUNDED, UNLIMITED_FLOPS, Situation, bounds_of_limits
from scaleplan.planning.uncertainty import interval, require_level
from scaleplan.presets.conventions import convert_params, unconvertible
from scaleplan.presets.library import DEFAULT_PRESET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Self

    from scaleplan.laws.base import Cost, Law
    from scaleplan.models import Model
    from scaleplan.planning.constraints.base import Constraint, Variant
    from scaleplan.planning.frontier import Frontier
    from scaleplan.planning.problem import Bounds, Problem
    from scaleplan.planning.request import Request
    from scaleplan.planning.uncertainty import Interval, Outcome
    from scaleplan.presets.preset import Preset
    from scaleplan.units.limits import Limit

__all__ = [
    "Planner",
    "budget_at",
    "out_of_range",
    "plan_budget",
    "plan_goal",
    "plan_run",
    "require_budget",
    "require_loss",
]

_COUNTS = ("total", "non_embedding")  # the conventions that sizes can be given in and converted to
_LEAST_FLOPS = 1.0  # less than any run costs
_ROUNDS = 4

Answer = TypeVar("Answer")


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
                f"a near-optimal overhead lies between 0 and 10, not at {self.overhead:g}", hint="try 0.05"
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
        return self.frontier_for(self.preset.law)

    def frontier_for(self, law: Law) -> Frontier:
        """Return the frontier of another law under the same conventions and bounds."""
        return self._frontier(law, self.bounds)

    def _frontier(self, law: Law, bounds: Bounds) -> Frontier:
        require = None if self.preset.line is None else self.preset.require_on_line
        return frontier_of(law, self.cost, bounds, self.constraints.effective, require=require)

    def problem(self, bounds: Bounds) -> Problem:
        """Return the problem of this question within other bounds."""
        frontier = self._frontier(self.preset.law, bounds)
        assert isinstance(frontier, SolvedFrontier)
        return frontier.problem

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
        with _numbers_of(self.preset):
            frontier = self.frontier
            try:
                found = frontier.best(min(flops, self.bounds.total.high))
            except UnreachableError:
                if isinstance(frontier, SolvedFrontier):
                    raise conflict(self.problem, self.bounds, flops) from None
                raise
            if found[2] is not None and found[2] > self.bounds.loss.high * (1 + 1e-12):
                raise conflict(self.problem, self.bounds, flops)
        require_loss(self.preset, found[2])
        return found

    def optimal(self, flops: float, *, budget: Budget | None = None) -> Plan:
        """Return the plan with the least loss within ``flops``.

        Raises UsageError when this law must not choose how to split a budget; UnreachableError when no model
        satisfies the bounds.
        """
        if self.choices:
            option, _ = self._least(lambda option: (option, option.best(flops)), lambda found: found[1][2])
            return option.optimal(flops, budget=budget)
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
            plan = replace(plan, warnings=(*plan.warnings, budget_left(flops, used)))
        with _numbers_of(self.preset):
            if not self.bounds.free or self.constraints.scarce or self.constraints.terms:
                plan = self._against_optimum(plan)
                if self.bounds.parts and self.preset.allocates and isinstance(frontier, SolvedFrontier):
                    plan = replace(plan, binding=binding_limits(self.problem, self.bounds, flops, (params, tokens)))
            elif loss is not None and self.preset.allocates:
                half, double = (frontier.overhead_of_size(flops, factor) for factor in (0.5, 2.0))
                errors = SizeErrors(half=half, double=double)
                plan = replace(plan, excess_loss=0.0, compute_overhead=0.0, size_errors=errors)
            size = self.bounds.params.low == self.bounds.params.high
            data = self.bounds.tokens.low == self.bounds.tokens.high
            sizes = (
                None
                if size or data or not self.preset.allocates
                else frontier.near_optimal(min(spent, used), self.overhead)
            )
        if sizes is None:
            return plan
        return replace(plan, near_optimal=NearOptimal(compute_overhead=self.overhead, params=sizes))

    def loss(self, params: float, tokens: float, *, budget: Budget | None = None) -> Plan:
        """Return the plan for a given model and data: its loss, and its distance from the optimum.

        Raises UsageError when the law has no loss for a chosen size.
        """
        if self.choices:
            return self._least(lambda option: option.loss(params, tokens, budget=budget), lambda plan: plan.loss)
        for value, what in ((params, "parameter"), (tokens, "token")):
            if value < 1:
                raise UsageError(f"{value:g} {what}s are less than one {what}")

        def outcome(law: Law) -> Outcome[float]:
            frontier = self.frontier_for(law)
            if not isinstance(frontier, SolvedFrontier):
                raise UsageError(
                    f"preset '{self.preset.id}' gives no loss for a chosen size: it was fitted to optimal sizes only",
                    hint="choose a preset with a loss, such as besiroglu-2024",
                )
            return params, tokens, frontier.loss_at(params, tokens)

        with _numbers_of(self.preset):
            flops = self.cost.training.flops(params, tokens)
            chosen = outcome(self.preset.law)
        require_budget(flops)
        plan = self._plan(flops, chosen, outcome, budget or Budget(source="plan"))
        with _numbers_of(self.preset):
            return self._against_optimum(plan)

    def target_loss(self, loss: float) -> Plan:
        """Return the plan with the least budget that reaches ``loss``.

        Raises UnreachableError when no budget reaches it.
        """
        if self.choices:
            return self._least(lambda option: option.target_loss(loss), lambda plan: plan.flops)
        self.require_choice()
        if not self.frontier.has_loss:
            raise UsageError(
                f"preset '{self.preset.id}' has no loss to aim for: it was fitted to optimal sizes only",
                hint="aim for --params or --tokens, or choose a preset with a loss such as besiroglu-2024",
            )
        with _numbers_of(self.preset):
            flops = self.frontier.least_flops(loss)
        if flops is None:
            law = self.preset.law
            floor = law.floor if isinstance(law, LossSurface) else 0.0
            why = f": it stays above {floor:.6g} {self.preset.conventions.loss}" if floor > 0 else ""
            raise UnreachableError(
                f"no budget reaches a loss of {loss:g} by preset '{self.preset.id}'{why}",
                hint="aim for a higher loss, or relax the limits" if self.limits else "aim for a higher loss",
            )
        return self.optimal(flops)

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
                f"{goal:g} {what} are optimal at another budget for each number of experts or granularity",
                hint="give it in place of auto",
            )
        self.require_choice()
        if goal < 1:
            raise UsageError(f"a goal of {goal:g} {what} is less than one")
        with _numbers_of(self.preset):
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
        require_loss(preset, loss)
        beyond = flops / preset.range.flops[1] if preset.range.flops else 1.0
        ratio = None if preset.conventions.params == "flops_per_token" else tokens / params
        with _numbers_of(preset):
            intervals = interval(preset, solve, level=self.level, factor=beyond)
            facts, warnings = self._constrained(flops, outcome, budget, spent)
        if not all(map(math.isfinite, _numbers(outcome, intervals))):
            raise out_of_range(preset)
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
            warnings=(*self.notices, *plan_notices(preset, values), *warnings),
        )

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
        overhead = frontier.overhead_of_loss(plan.flops, plan.loss)
        return replace(plan, excess_loss=max(0.0, plan.loss - loss), compute_overhead=overhead)


def plan_budget(planner: Planner, request: Request) -> Plan:
    """Return the optimal plan of a budget; a default utilisation agrees with the size of the model it pays for."""
    found = resolve_consistently(
        planner.context,
        request,
        lambda paid: planner.working_params(planner.on(paid.budget).best(paid.flops)[0]),
        moe=planner.mixture,
        by_hardware=planner.by_hardware,
    )
    plan = planner.on(found.budget).optimal(found.flops, budget=found.budget)
    return _with_run(replace(plan, warnings=(*plan.warnings, *found.notices)), planner, request)


def plan_run(request: Request, context: Context) -> Plan:
    """Return the plan of training the size or the model of a request on its tokens.

    Raises UsageError without tokens, or without exactly one of a size and a model.
    """
    if (request.params is None) == (request.model is None):
        what = "there is no model size" if request.params is None else "the size is given twice: --params and --model"
        raise UsageError(what, hint="give exactly one of --params and --model")
    if request.tokens is None:
        raise UsageError("there are no training tokens", hint="give --tokens")
    planner, tokens = Planner.of(request.changed(params=None, tokens=None), context), request.tokens
    if request.params is None:
        size = next(limit.value for limit in planner.limits if limit.quantity == "params")  # the model's
    else:
        size = planner.law_params(request.params)
    return plan_goal(planner, request, lambda on: on.loss(size, tokens))


def plan_goal(planner: Planner, request: Request, goal: Callable[[Planner], Plan]) -> Plan:
    """Return the plan for a goal, with what its compute costs on the hardware of a request.

    Where the plan depends on the hardware, its utilisation is that of the size of the plan before, until it stays.

    Parameters
    ----------
    planner
        The law, and what the plan must keep to.
    request
        The hardware.
    goal
        Gets the plan from a planner.

    """
    found = None
    if planner.by_hardware:
        found = resolve_budget(planner.context, request.paying(1.0), moe=planner.mixture)
    for _ in range(_ROUNDS):
        plan = goal(planner if found is None else planner.on(found.budget))
        paid = resolve_budget(
            planner.context,
            request.paying(plan.flops),
            params=planner.working_params(plan.params),
            moe=planner.mixture,
        )
        if found is None or paid.budget.utilisation == found.budget.utilisation:
            break
        found = paid
    plan = replace(plan, budget=paid.budget, warnings=(*plan.warnings, *paid.notices))
    return _with_run(plan, planner, request)


def budget_at(planner: Planner, request: Request, flops: float, params: float) -> Budget:
    """Return what some compute takes, for a model of ``params``, on the hardware of a request."""
    size = planner.working_params(params)
    return resolve_budget(planner.context, request.paying(flops), params=size, moe=planner.mixture).budget


def _with_run(plan: Plan, planner: Planner, request: Request) -> Plan:
    """Return a plan, with its training run where the request has one."""
    if not (request.shape or request.style or request.batch or request.region or request.context):
        return plan
    from scaleplan.planning.placement import with_training_run  # reads architectures and devices

    return with_training_run(plan, request, planner.model, planner.context)


def require_budget(flops: float) -> None:
    """Refuse a budget that is beyond any run; raises UsageError."""
    if not _LEAST_FLOPS <= flops <= UNLIMITED_FLOPS:
        raise UsageError(f"a budget of {flops:g} FLOP is beyond any run", hint="give 1 to 1e60 FLOP")


def require_loss(preset: Preset, loss: float | None) -> None:
    """Refuse a loss of 0 or below, which no run has; raises UsageError."""
    if loss is not None and loss <= 0:
        raise UsageError(
            f"preset '{preset.id}' gives a loss of {loss:.3g} at these amounts, and no run has a loss of 0 or below",
            hint="check the amounts and the coefficients; the law says nothing so far from its runs",
        )


def out_of_range(preset: Preset) -> UsageError:
    """Return the error for coefficients and amounts that do not go together."""
    return UsageError(
        f"preset '{preset.id}' leaves the range of numbers at these amounts",
        hint="check the amounts and the coefficients",
    )


@contextmanager
def _numbers_of(preset: Preset) -> Iterator[None]:
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
        yield from (*intervals.params, *intervals.tokens, *intervals.tokens_per_param, *(intervals.loss or ()))
