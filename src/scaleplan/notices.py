"""What a plan warns about: one function a kind, with its numbers and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaleplan.presets import Preset

__all__ = ["Notice", "budget_left", "for_plan", "left_out"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A warning that belongs to a result: a code for scripts and a sentence for people."""

    code: str
    message: str


def for_plan(
    preset: Preset, *, flops: float, params: float, tokens: float, ratio: float | None, loss: float | None
) -> tuple[Notice, ...]:
    """Return what must be said about a plan by this preset."""
    notices = [
        notice
        for name, value, span in (
            ("flops", flops, preset.range.flops),
            ("params", params, preset.range.params),
            ("tokens", tokens, preset.range.tokens),
            ("tokens_per_param", ratio, preset.range.tokens_per_param),
        )
        if value is not None and span is not None and (notice := _extrapolated(name, value, span)) is not None
    ]
    if loss is None:
        notices.append(
            Notice(
                code="loss_unavailable",
                message=f"{preset.id} was fitted to optimal sizes only and has no loss; besiroglu-2024 has one",
            )
        )
    notices.extend(Notice(code="caveat", message=caveat) for caveat in preset.caveats)
    return tuple(notices)


def budget_left(flops: float, used: float) -> Notice:
    """Say that the limits keep the plan from spending its budget."""
    return Notice(
        code="budget_left",
        message=f"the limits leave {1 - used / flops:.1%} of the budget unspent; relax them or lower the budget",
    )


def left_out(preset: str, reason: str) -> Notice:
    """Say that a law is not among those compared."""
    return Notice(code="left_out", message=f"{preset} is left out: it must not choose a model size ({reason})")


_NAMES = {"flops": "compute", "params": "model size", "tokens": "tokens", "tokens_per_param": "tokens per parameter"}


def _extrapolated(name: str, value: float, span: tuple[float, float]) -> Notice | None:
    low, high = span
    if low <= value <= high:
        return None
    factor, side, edge = (
        (value / high, "above the largest", high) if value > high else (low / value, "below the smallest", low)
    )
    return Notice(
        code=f"extrapolated_{name}",
        message=f"{_NAMES[name]} of {value:.3g} is {_times(factor)} {side} this law was fitted on ({edge:.3g})",
    )


def _times(factor: float) -> str:
    return f"{factor:.1f}x" if factor < 10 else f"{factor:,.0f}x" if factor < 1e6 else f"{factor:.1e}x"
