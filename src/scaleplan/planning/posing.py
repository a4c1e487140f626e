"""From the words of a question to a planner, and from a planner to a plan with what it costs on hardware."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scaleplan.errors import UsageError
from scaleplan.hardware.funding import Catalogue, resolve, settle
from scaleplan.planning.asking import Hardware, limits_of, request_of
from scaleplan.planning.constraints import constraints_of, home_preset
from scaleplan.planning.notices import preset_switched
from scaleplan.planning.planner import Planner
from scaleplan.planning.variants import VARIANTS
from scaleplan.presets.library import DEFAULT_PRESET, Library
from scaleplan.quantities import parse_fraction, parse_ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scaleplan.hardware.budget import BudgetRequest
    from scaleplan.models import Model
    from scaleplan.notices import Notice
    from scaleplan.planning.asking import Amount
    from scaleplan.planning.plan import Plan
    from scaleplan.presets.preset import Preset

__all__ = ["plan_aim", "plan_budget", "planner_of"]


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
        from scaleplan.planning.modelled import size_by

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
    from scaleplan.planning.choosing import varied  # for laws of mixtures alone

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
    funding = settle(
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
    hardware: Hardware,
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
        funding = resolve(request_of(hardware, flops=1.0), moe=moe, catalogue=catalogue)
    for _ in range(4):
        plan = aim(planner if funding is None else planner.on(funding.budget))
        request = request_of(hardware, flops=plan.flops)
        found = resolve(request, params=planner.working_params(plan.params), moe=moe, catalogue=catalogue)
        if funding is None or found.budget.utilisation == funding.budget.utilisation:
            break
        funding = found
    return replace(plan, budget=found.budget, warnings=(*plan.warnings, *found.notices))
