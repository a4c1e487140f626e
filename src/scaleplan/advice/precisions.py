"""Choose between precisions such as fp8 and bf16: the speed of fewer bits against their cost in effective size.

The same money or time buys more FLOP at fewer bits (peak times utilisation by precision); with them a parameter is
worth less (Kumar et al. 2024, :mod:`scaleplan.planning.constraints.precision`). Each precision gets its own best
plan.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from scaleplan.api import optimal, target
from scaleplan.arrays import whole
from scaleplan.errors import Notice, UsageError
from scaleplan.planning.constraints.floating_point import FloatingPoint
from scaleplan.planning.context import Context
from scaleplan.record import Record, Result
from scaleplan.units import format_count

if TYPE_CHECKING:
    from scaleplan.hardware.budget import Budget
    from scaleplan.planning.plan import Plan

__all__ = ["PrecisionChoice", "PrecisionRow", "compare_precisions"]

_BITS = {"bf16": 16.0, "fp16": 16.0, "fp8": 8.0, "fp4": 4.0}
"""The bits of the matrix products in each precision that models are trained in."""

_FORMATS = {"fp8": FloatingPoint(exponent=4, mantissa=3), "fp4": FloatingPoint(exponent=2, mantissa=1)}

_REFERENCES = ("bf16", "fp16")
_LAW_OPTIONS = frozenset({"preset", "unique_tokens", "compute_multiplier", "experts", "granularity"})


class PrecisionRow(Record):
    """The best plan in one precision.

    ``speed`` is its rate of FLOP over the reference's; ``advantage`` is the reference compute that its loss would
    need, over what the reference gets, minus 1: above 0 the precision wins.
    """

    precision: str
    bits: float
    peak_flops_per_s: float
    utilisation: float
    speed: float
    flops: float
    params_worth: float
    params: float
    tokens: float
    loss: float
    advantage: float
    fp_critical_tokens: float | None
    budget: Budget | None = None


class PrecisionChoice(Record, Result):
    """The plans of one budget in each precision of an accelerator, and the precision of the least loss."""

    schema: ClassVar[str] = "scaleplan/precisions/1"

    preset: str
    gpu: str
    reference: str
    best: str
    loss_unit: str
    rows: tuple[PrecisionRow, ...]
    warnings: tuple[Notice, ...] = ()


def compare_precisions(**options: Any) -> PrecisionChoice:  # noqa: ANN401  those of api.optimal
    """Return the best plan of a budget in device time or money for each precision of the accelerator.

    The keywords are those of :func:`scaleplan.api.optimal`, without ``flops``, ``precision`` and bits of training.
    Raises UsageError when the budget is FLOP, which low precision does not multiply, or the accelerator has no 16-bit
    peak.
    """
    if options.get("flops") is not None:
        raise UsageError(
            "a budget in FLOP is the same at every precision",
            hint="give --gpus with --time, --gpu-hours or --cost: fewer bits buy more FLOP for it",
        )
    if options.get("gpu") is None and options.get("gpu_hours") is None:
        raise UsageError("the precisions of which GPU?", hint="name it with --gpu")
    context = Context()
    plans, left_out = _plans(options, context)
    reference = next((name for name in _REFERENCES if name in plans), None)
    if reference is None:
        raise UsageError("there is no plan in 16 bits to compare with", hint="choose another GPU or give --mfu")
    base = plans[reference]
    rows = tuple(_row(name, plan, base, options, context) for name, plan in plans.items())
    best = min(rows, key=lambda row: row.loss)
    # the warnings of the best plan, and once those of few bits
    carried = {notice.code: notice for plan in plans.values() for notice in plan.warnings}.get("carried_over")
    shown = [] if carried is None else [carried]
    shown += [notice for notice in plans[best.precision].warnings if notice.code != "carried_over"]
    shown += [notice for row in rows if (notice := _beyond(row)) is not None]
    return PrecisionChoice(
        preset=base.preset,
        gpu=base.budget.gpu or "",
        reference=reference,
        best=best.precision,
        loss_unit=base.loss_unit,
        rows=rows,
        warnings=(*left_out, *shown),
    )


def _plans(options: dict[str, Any], context: Context) -> tuple[dict[str, Plan], list[Notice]]:
    """Return the plan in each precision, and why others have none."""
    options = {name: value for name, value in options.items() if name != "precision"}
    first = optimal(data=context, **options)
    assert first.budget.gpu is not None
    if first.loss is None:
        raise UsageError(
            f"preset '{first.preset}' has no loss to compare by", hint="choose one, such as besiroglu-2024"
        )
    plans, left_out = {}, []
    peaks = context.accelerators.get(first.budget.gpu).peaks
    for name, bits in _BITS.items():
        if name not in peaks or (name == "fp16" and "bf16" in peaks):
            continue
        try:
            plans[name] = optimal(data=context, **options, precision=name, train_bits=bits)
        except UsageError as error:
            left_out.append(Notice(code="left_out", message=f"{name} is left out: {error.message}"))
    return plans, left_out


def _row(name: str, plan: Plan, base: Plan, options: dict[str, Any], context: Context) -> PrecisionRow:
    budget, other = plan.budget, base.budget
    assert budget.peak_flops_per_s is not None
    assert budget.utilisation is not None
    assert other.peak_flops_per_s is not None
    assert other.utilisation is not None
    assert plan.loss is not None
    rate = budget.peak_flops_per_s * budget.utilisation
    law = {key: value for key, value in options.items() if key in _LAW_OPTIONS}
    needed = target(loss=plan.loss, data=context, **law).flops if plan is not base else plan.flops
    return PrecisionRow(
        precision=name,
        bits=_BITS[name],
        peak_flops_per_s=budget.peak_flops_per_s,
        utilisation=budget.utilisation,
        speed=rate / (other.peak_flops_per_s * other.utilisation),
        flops=plan.flops,
        params_worth=plan.params_worth,
        params=plan.params,
        tokens=plan.tokens,
        loss=plan.loss,
        advantage=needed / base.flops - 1,
        fp_critical_tokens=whole(_FORMATS[name].critical_tokens(plan.params)) if name in _FORMATS else None,
        budget=budget,
    )


def _beyond(row: PrecisionRow) -> Notice | None:
    """Return the warning about more tokens than a format trains on, by Sun et al. 2025."""
    if row.fp_critical_tokens is None or row.tokens <= row.fp_critical_tokens:
        return None
    message = (
        f"{_FORMATS[row.precision].name} does harm beyond {format_count(row.fp_critical_tokens)} tokens at "
        f"{format_count(row.params)} parameters (Sun et al. 2025); the plan in {row.precision} has more"
    )
    return Notice(code="format_critical_tokens", message=message)
