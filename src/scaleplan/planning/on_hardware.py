"""Answer a request on its hardware, where utilisation and model size depend on each other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scaleplan.errors import UsageError
from scaleplan.planning.planner import Planner

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
    found = _paid(planner, request, 1.0) if planner.by_hardware else None
    for _ in range(_ROUNDS):
        plan = goal(planner if found is None else planner.on(found.budget))
        paid = _paid(planner, request, plan.flops, plan.params)
        if found is None or paid.budget.utilisation == found.budget.utilisation:
            break
        found = paid
    plan = replace(plan, budget=paid.budget, warnings=(*plan.warnings, *paid.notices))
    return _with_run(plan, planner, request)


def budget_at(planner: Planner, request: Request, flops: float, params: float) -> Budget:
    """Return what some compute takes, for a model of ``params``, on the hardware of a request."""
    return _paid(planner, request, flops, params).budget


def _paid(planner: Planner, request: Request, flops: float, params: float | None = None) -> ResolvedBudget:
    """Return some compute on the hardware of a request, for a model of ``params``, if that is known."""
    per_token, request = _measured_flops(planner, request), request.paying(flops)
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


def _with_run(plan: Plan, planner: Planner, request: Request) -> Plan:
    """Return a plan, checked against the memory of its devices, with its training run where the request has one."""
    on_devices = plan.budget.gpu is not None and plan.budget.gpus is not None
    drawn = (request.shape, request.style, request.batch, request.region, request.context)
    if not (on_devices or request.margins or any(drawn)):
        return plan
    if not any(drawn) and planner.model is None:
        from scaleplan.planning.size_memory import surely_fits  # only for a plan on devices

        if surely_fits(plan, request, planner.context):
            return plan
    from scaleplan.planning.placement import with_training_run  # reads architectures and devices

    return with_training_run(plan, request, planner.model, planner.context)
