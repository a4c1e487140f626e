"""Answer a request on its hardware, where utilisation and model size depend on each other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scaleplan.errors import UsageError, quote
from scaleplan.planning.planner import Planner
from scaleplan.units import SECONDS_PER_DAY
from scaleplan.units.limits import upper_limit

if TYPE_CHECKING:
    from collections.abc import Callable

    from scaleplan.hardware.budget import Budget, ResolvedBudget
    from scaleplan.planning.context import Context
    from scaleplan.planning.plan import Plan
    from scaleplan.planning.request import Request

__all__ = ["budget_at", "plan_budget", "plan_goal", "plan_run"]

_ROUNDS = 4  # until the utilisation of a goal stays: it changes the plan by little
_ANY_TOKENS = 1e12  # training compute is in proportion to the tokens


def _measured_flops(planner: Planner, request: Request) -> float | None:
    """Return the training FLOP of a token of the model whose speed was measured: the one that the request fixes.

    None where the measurement has its own size, or there is none. Raises UsageError for the speed of a model whose
    size the request leaves open.
    """
    measured = request.measurement()
    if measured is None or not measured.needs_size:
        return None
    size = request.params if request.params is None else planner.law_params(request.params)
    for limit in planner.limits:
        if limit.quantity == "params" and limit.op == "=":
            size = limit.value
    if size is None:
        measured.flops_per_second(gpus=request.gpus, flops_per_token=None)  # refuses
        return None
    return planner.cost.training.flops(size, _ANY_TOKENS) / _ANY_TOKENS


def plan_budget(planner: Planner, request: Request) -> Plan:
    """Return the optimal plan of a budget; a default utilisation agrees with the size of the model it pays for."""
    request = request.with_deadline()
    _require_known_gpus(planner, request)
    found = request.plain()
    if found is None:
        from scaleplan.hardware.device_budget import resolve_consistently  # a budget in plain FLOP reads nothing

        found = resolve_consistently(
            planner.context,
            request,
            lambda paid: planner.working_params(planner.on(paid.budget).best(paid.flops)[0]),
            moe=planner.mixture,
            by_hardware=planner.by_hardware,
            flops_per_token=_measured_flops(planner, request),
        )
    plan = planner.on(found.budget).optimal(found.flops, budget=found.budget)
    if request.deadline is not None and plan.flops < found.flops:  # the deadline is that of the training, not of all
        budget = budget_at(planner, request, plan.flops, plan.params)
        plan = replace(plan, budget=replace(budget, source=found.budget.source))
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
    if request.gpu is None:
        for name in ("time", "cost"):
            if getattr(request, name) is not None:
                raise UsageError(f"--{name} says nothing about a run without GPUs", hint="add --gpu, or drop it")
    _require_known_gpus(planner, request)
    found = _paid(planner, request, 1.0) if planner.by_hardware else None
    for _ in range(_ROUNDS):
        plan = goal(planner if found is None else planner.on(found.budget))
        paid = _paid(planner, request, plan.flops, plan.params)
        if found is None or paid.budget.utilisation == found.budget.utilisation:
            break
        found = paid
    plan = replace(plan, budget=paid.budget, warnings=(*plan.warnings, *paid.notices))
    if request.cost is not None and plan.budget.cost is None:
        raise UsageError(
            f"--cost needs a price for {plan.budget.gpu}", hint=planner.context.prices.hint(plan.budget.gpu or "")
        )
    return _with_run(plan, planner, request.changed(time=None, deadline=request.time))


def budget_at(planner: Planner, request: Request, flops: float, params: float) -> Budget:
    """Return what some compute takes, for a model of ``params``, on the hardware of a request."""
    return _paid(planner, request, flops, params).budget


def _paid(planner: Planner, request: Request, flops: float, params: float | None = None) -> ResolvedBudget:
    """Return some compute on the hardware of a request, for a model of ``params``, if that is known."""
    per_token = _measured_flops(planner, request)
    request = request.paying(flops).changed(deadline=request.deadline or request.time)
    plain = request.plain()
    if plain is not None:
        return plain
    from scaleplan.hardware.device_budget import resolve_budget  # as above

    return resolve_budget(
        planner.context,
        request,
        params=None if params is None else planner.working_params(params),
        moe=planner.mixture,
        flops_per_token=per_token,
    )


def _with_chances(plan: Plan, planner: Planner, request: Request) -> Plan:
    """Return a plan with the chance that its hours, days and money stay within the limits and the budget given."""
    if plan.budget.band is None:
        return plan
    from scaleplan.hardware.chances import chances_of  # only for a plan on hardware with a band

    days = request.deadline or request.time
    amounts = {
        "gpu_hours": request.gpu_hours,
        "days": None if days is None else days / SECONDS_PER_DAY,
        "cost": request.cost,
    }
    currency = plan.budget.currency
    limits = [
        *request.limits(),
        *(
            upper_limit(name, most, currency=currency if name == "cost" else None)
            for name, most in amounts.items()
            if most is not None
        ),
    ]
    if planner.constraints.priced:  # the money is that of training and of inference, which scatters otherwise
        limits = [limit for limit in limits if limit.quantity != "cost"]
    chances = chances_of(plan.budget, limits)
    return replace(plan, chances=chances) if chances else plan


def _with_run(plan: Plan, planner: Planner, request: Request) -> Plan:
    """Return a plan with its run where the request has one, and the chances of its limits."""
    on_devices = plan.budget.gpu is not None and plan.budget.gpus is not None
    drawn = (request.shape, request.style, request.batch, request.region, request.context)
    placed = on_devices or request.margins or any(drawn)
    if placed and (any(drawn) or not _surely_fits(plan, planner, request)):
        from scaleplan.planning.placement import with_training_run  # reads architectures and devices

        def on(gpus: int) -> Budget:
            return budget_at(planner, request.changed(gpus=gpus), plan.flops, plan.params)

        plan = with_training_run(plan, request, planner.model, planner.context, on=on)
    return _with_chances(plan, planner, request)


def _surely_fits(plan: Plan, planner: Planner, request: Request) -> bool:
    """Whether the model of a plan is far from filling its devices, so that no shape of it need be found."""
    if planner.model is not None:
        return False
    from scaleplan.planning.size_memory import surely_fits  # only for a plan on devices

    return surely_fits(plan, request, planner.context)


def _require_known_gpus(planner: Planner, request: Request) -> None:
    """Refuse limits that need the number of GPUs where a deadline is to find it; raises UsageError."""
    if (request.deadline or request.time) is None or request.gpus is not None:
        return
    for limit in planner.limits:
        if limit.quantity in ("days", "memory_gb"):
            raise UsageError(
                f"{quote(limit.text)} needs --gpus: --time alone finds their number",
                hint="give --gpus, or a shorter --time" if limit.quantity == "days" else "give --gpus",
            )
