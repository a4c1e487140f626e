"""The value of a law at given inputs: the number and its interval, then the formula and its conventions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.output.report import Fact, Report
from scaleplan.units import format_count, format_flops, format_fraction, format_number

if TYPE_CHECKING:
    from scaleplan.planning.evaluation import Evaluation

__all__ = ["evaluation_report"]

_WHOLE = 1e4  # counts such as experts are written without decimals


def evaluation_report(result: Evaluation) -> Report:
    """Return the report of one evaluation."""
    inputs = ", ".join(
        _written(name, value) if name == "flops" else f"{_words(name)} {_written(name, value)}"
        for name, value in result.inputs.items()
    )
    low, high = ("", "")
    interval = result.interval
    if interval is not None and interval.value[0] < interval.value[1]:
        low, high = (_written(result.quantity, end) for end in interval.value)
    fact = Fact(
        label=_words(result.quantity),
        value=_written(result.quantity, result.value),
        low=low,
        high=high,
        unit=result.unit or "",
    )
    named = {*result.inputs, result.quantity}
    remarks = [result.formula]
    if any(name.endswith("params") for name in named):
        remarks.append(f"parameters: {result.params_convention.replace('_', ' ')}")
    if "flops" in named:
        remarks.append(f"compute: {result.flops_convention}")
    if result.others:
        remarks.append(f"also of these inputs, by --quantity: {', '.join(result.others)}")
    return Report(
        title=f"{result.preset} at {inputs}",
        facts=(fact,),
        level=format_fraction(interval.level) if interval else "",
        remarks=tuple(remarks),
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def _written(name: str, value: float | tuple[float, ...]) -> str:
    if isinstance(value, tuple):
        return f"of {len(value):,} steps"
    if name.endswith(("params", "tokens")):
        return format_count(value)
    if name == "flops":
        return format_flops(value)
    return f"{value:g}" if value.is_integer() and value < _WHOLE else format_number(value, digits=4)
