"""What a run's plan amounts to, in each of the quantities that a policy can limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.errors import UsageError
from scaleplan.quantities.limits import QUANTITIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.config.run import Place
    from scaleplan.planning.plan import Plan
    from scaleplan.policy.estimate import Estimate

__all__ = ["ADDITIVE", "culprits", "interval_of", "measure", "measures", "measures_of"]

ADDITIVE = ("flops", "gpu_hours", "cost", "energy_kwh", "carbon_kg")
"""The quantities of which several runs have a sum that means something."""

_UNKNOWN: Mapping[str, str] = {
    "loss": "choose a preset with a loss, such as besiroglu-2024",
    "excess_loss": "choose a preset with a loss that may choose sizes, such as besiroglu-2024",
    "compute_overhead": "choose a preset with a loss that may choose sizes, such as besiroglu-2024",
    "tokens_per_param": "this law counts the FLOP per token in place of parameters",
    "gpu_hours": "add gpu to the run",
    "gpus": "add gpu and gpus to the run",
    "days": "add gpu and gpus to the run",
    "cost": "add gpu to the run, and price where there is no default",
    "energy_kwh": "add gpu to the run",
    "carbon_kg": 'add gpu and grid to the run, such as grid = "FRA"',
    "unique_tokens": "add unique_tokens to the run",
    "epochs": "add unique_tokens to the run",
    "memory_gb": "add gpu and gpus to the run, and a law that counts all parameters",
}

_CAUSES: Mapping[str, tuple[str, ...]] = {
    "params": ("params", "model"),
    "tokens": ("tokens",),
    "unique_tokens": ("unique_tokens",),
    "epochs": ("tokens", "unique_tokens"),
    "gpus": ("gpus",),
    "days": ("tokens", "params", "model", "gpus"),
    "memory_gb": ("params", "model", "gpus"),
    "carbon_kg": ("tokens", "params", "model", "grid"),
}
_SIDES = ("tokens", "params", "model")
_BUDGETS = ("flops", "gpu_hours", "time", "cost", "gpus")


def measures(estimate: Estimate) -> dict[str, float | None]:
    """Return every quantity of a run's plan, in base units; None for what is not known."""
    return measures_of(estimate.plan, carbon_kg=estimate.carbon_kg, memory_gb=estimate.memory_gb)


def measures_of(
    plan: Plan, *, carbon_kg: float | None = None, memory_gb: float | None = None
) -> dict[str, float | None]:
    """Return every quantity of a plan, in base units; None for what is not known."""
    budget = plan.budget
    return {
        "params": plan.params,
        "tokens": plan.tokens,
        "unique_tokens": plan.unique_tokens,
        "flops": plan.flops,
        "tokens_per_param": plan.tokens_per_param,
        "epochs": plan.epochs,
        "loss": plan.loss,
        "excess_loss": plan.excess_loss,
        "compute_overhead": plan.compute_overhead,
        "gpus": budget.gpus,
        "gpu_hours": budget.gpu_hours,
        "days": budget.days,
        "cost": budget.cost,
        "energy_kwh": budget.energy_kwh,
        "carbon_kg": carbon_kg,
        "memory_gb": memory_gb,
    }


def measure(estimate: Estimate, quantity: str) -> float:
    """Return one quantity of a run's plan, in its base unit.

    Raises
    ------
    UsageError
        When it is not known, with what to add to the run.

    """
    value = measures(estimate)[quantity]
    if value is None:
        raise UsageError(f"{quantity} is not known for this run", hint=_UNKNOWN[quantity])
    return value


def interval_of(estimate: Estimate, quantity: str, level: float) -> tuple[float, float]:
    """Return the interval of a quantity at a level, as the plan shows it.

    Raises
    ------
    UsageError
        When the law's source gives no uncertainty, or none that reaches this quantity.

    """
    measure(estimate, quantity)
    intervals = estimate.interval(level)
    if intervals is None:
        raise UsageError(
            f"preset '{estimate.plan.preset}' has no uncertainty to take {quantity}@{level:g} from",
            hint=f"ask for the estimate: {quantity} without '@', or choose a preset with uncertainty",
        )
    known = {name: getattr(intervals, name, None) for name in QUANTITIES}
    found: tuple[float, float] | None = known[quantity]
    if found is None:
        names = ", ".join(name for name, span in known.items() if span is not None)
        raise UsageError(f"{quantity} has no interval", hint=f"quantities with one: {names}")
    return found


def culprits(estimate: Estimate, quantity: str) -> tuple[Place, ...]:
    """Return the places of the values that a quantity follows from, the foremost first."""
    places = estimate.places
    causes = _CAUSES.get(quantity, _SIDES)
    found = [place for word in causes for place in places.get(word, ())]
    if not found:  # the plan of a budget: its sides were not given
        found = [place for word in _BUDGETS for place in places.get(word, ())]
    return tuple(dict.fromkeys(found))
