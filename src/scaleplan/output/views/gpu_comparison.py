"""Show GPUs side by side: what a run takes on each, or what a budget buys there, and whether it fits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scaleplan.hardware.budget import band_text, dated_price
from scaleplan.hardware.chances import limit_text, percent
from scaleplan.output import Report, ReportTable
from scaleplan.output.views.plan import format_loss
from scaleplan.units import (
    SECONDS_PER_DAY,
    USD,
    counted,
    format_count,
    format_factor,
    format_flops,
    format_fraction,
    format_hours,
    format_kilograms,
    format_kwh,
    format_number,
    format_range,
    format_seconds,
    format_usd,
    money_in,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scaleplan.advice.gpu_comparison import GpuChoice, GpuComparison

__all__ = ["gpu_comparison_report"]

_WORDS = {"gpu_hours": "GPU-hours", "energy_kwh": "energy", "carbon_kg": "carbon"}


def gpu_comparison_report(result: GpuComparison) -> Report:
    """Return the table of GPUs, and below it what its figures stand on."""
    columns = dict(_budget_columns(result) if _buys(result) else _goal_columns(result))
    cells = {name: [written(row) for row in result.compared] for name, written in columns.items()}
    filled = {name: column for name, column in cells.items() if any(column)}
    by = _WORDS.get(result.sort, result.sort)
    kinds = counted(len(result.compared), "kind") + " of GPU"
    return Report(
        title=f"{_subject(result)}: {kinds}, by {by}",
        grid=ReportTable([*filled], rows=[*zip(*filled.values(), strict=True)], text={"GPU", "memory"}),
        remarks=[*_remarks(result)],
    )


def _buys(result: GpuComparison) -> bool:
    """Return whether the GPUs buy different runs of one budget, rather than each take its own for one run."""
    flops = [row.flops for row in result.compared]
    return result.budget in _SPENT or not math.isclose(min(flops), max(flops), rel_tol=1e-9)


def _subject(result: GpuComparison) -> str:
    row = result.compared[0]
    if not _buys(result):
        size = f"{format_count(row.params)} on {format_count(row.tokens)} tokens"
        what = f"loss {format_loss(row.loss)}, {size}" if result.goal == "loss" and row.loss is not None else size
        return f"{what} ({format_flops(row.flops)})"
    amount = _budget_amount(result)
    if result.budget == "cost":
        return f"what {money_in(row.currency)(amount)} buys"
    if result.budget == "gpu_hours":
        return f"what {format_hours(amount, unit='GPU-hours')} buy"
    if result.budget == "time":
        return f"what {counted(row.gpus or 0, 'GPU')} do in {format_seconds(amount * SECONDS_PER_DAY)}"
    if result.goal == "loss":
        return f"loss {format_loss(row.loss or 0.0)}"
    return f"what {format_flops(amount)} buys"


def _budget_amount(result: GpuComparison) -> float:
    """Return what there is to spend; in a result that does not say so, the most that a row spends."""
    name = _SPENT.get(result.budget or "", "flops")
    return result.budget_amount or max(getattr(row, name) or 0.0 for row in result.compared)


Column = tuple[str, "Callable[[GpuChoice], str]"]


def _goal_columns(result: GpuComparison) -> Iterator[Column]:
    """Yield what reaching one goal takes on each GPU."""
    yield "GPU", lambda row: row.gpu
    yield "GPUs", lambda row: _cell(row.gpus, lambda number: f"{number:,}")
    if any(row.days is not None for row in result.compared):
        yield "days", lambda row: _cell(row.days, format_number)
    else:
        yield "GPU-hours", lambda row: _cell(row.gpu_hours, lambda hours: format_hours(hours, unit="").strip())
    currency = result.compared[0].currency
    # a table of another currency names it once, or its ranges need a table of their own
    money = format_usd if currency in (None, USD) else lambda value: format_usd(value).removeprefix("$")
    yield "cost" if currency in (None, USD) else f"cost, {currency}", lambda row: _cell(row.cost, money)
    if result.interval_level is not None:
        yield format_fraction(result.interval_level), lambda row: _span(row.cost_interval, money)
    if result.grid is None:
        yield "energy", lambda row: _cell(row.energy_kwh, format_kwh)
    else:
        yield "carbon", lambda row: _cell(row.carbon_kg, format_kilograms)
    yield "memory", _memory


def _budget_columns(result: GpuComparison) -> Iterator[Column]:
    """Yield what one budget buys on each GPU; a column that is the budget itself stands in the title."""
    spent = _SPENT.get(result.budget or "")
    amount = _budget_amount(result)
    whole = spent is not None and all(
        math.isclose(getattr(row, spent) or 0.0, amount, rel_tol=1e-6) for row in result.compared
    )
    hidden = spent if whole else None  # where limits leave a part of the budget, each spends its own
    yield "GPU", lambda row: row.gpu
    if result.budget != "time":
        yield "GPUs", lambda row: _cell(row.gpus, lambda number: f"{number:,}")
    if hidden != "days":
        yield "days", lambda row: _cell(row.days, format_number)
    if hidden != "cost":
        yield "cost", lambda row: _cell(row.cost, money_in(row.currency))
    if result.budget != "gpu_hours":
        yield "compute", lambda row: format_flops(row.flops)
    yield "params", lambda row: format_count(row.params)
    yield "tokens", lambda row: format_count(row.tokens)
    yield "loss", lambda row: _cell(row.loss, format_loss)
    yield "memory", _memory


def _memory(row: GpuChoice) -> str:
    """Write whether the GPUs hold the model, and how many do where these do not."""
    if row.fits:
        return "fits"
    if row.fits is None:
        return "" if row.fewest_gpus is None else f"{row.fewest_gpus:,} or more"
    return "never fits" if row.fewest_gpus is None else f"needs {row.fewest_gpus:,}"


def _cell(value: float | None, written: Callable[..., str]) -> str:
    return "" if value is None else written(value)


def _span(interval: tuple[float, float] | None, written: Callable[[float], str]) -> str:
    return "" if interval is None else format_range(*interval, written)


def _remarks(result: GpuComparison) -> Iterator[str]:
    sources = {row.gpus_source for row in result.compared}
    if result.deadline_days is not None and "given" not in sources:
        time = format_seconds(result.deadline_days * SECONDS_PER_DAY)
        held = ", or hold the model where that takes more" if "memory" in sources else ""
        yield f"GPUs: the fewest that finish in {time} in the median{held}{_to_be_sure(result)}"
    elif "memory" in sources:
        yield "GPUs: the fewest whose memory holds the model; --gpus or --time chooses other numbers"
    yield from _chances(result)
    bands = sorted({row.band for row in result.compared if row.band is not None})
    for band in bands:
        profiles = sorted({str(row.profile) for row in result.compared if row.band == band})
        what = "the compute that the budget buys" if result.budget in _SPENT else "days, cost and energy"
        yield f"{what}: {band_text(band)} (default utilisation, {' and '.join(profiles)})"
    if any(row.band is None for row in result.compared):
        given = sorted({str(row.utilisation_source) for row in result.compared if row.band is None})
        yield f"utilisation: {'; '.join(given)}"
    prices: dict[str, list[str]] = {}
    for row in result.compared:
        if row.price_per_hour is not None:
            dated = dated_price(row.price_per_hour, row.price_source, row.price_date, currency=row.currency)
            price, _, origin = dated.partition(", ")
            prices.setdefault(origin, []).append(f"{row.gpu} {price}")
    for origin, several in prices.items():
        yield f"price: {', '.join(several)}; {origin}"
    if result.grid is not None:
        intensity = (
            f"{format_number(result.grid_g_co2_per_kwh or 0.0)} g CO2e/kWh in {result.grid_year}, location-based"
        )
        yield f"carbon: {result.grid}, {intensity}"


def _to_be_sure(result: GpuComparison) -> str:
    """Return how many more GPUs keep the deadline at the upper end of the band, if it is one for all."""
    bands = {row.band for row in result.compared}
    band, *others = bands
    if band is None or others or result.interval_level is None:
        return ""
    return f"; {format_factor(band)} as many to be {format_fraction((1 + result.interval_level) / 2)} sure"


_SPENT = {"time": "days", "cost": "cost", "gpu_hours": "gpu_hours"}
"""The quantity that a budget of a form is, which every plan of it spends."""


def _chances(result: GpuComparison) -> Iterator[str]:
    """Yield the chances of keeping limits, of those that no number of GPUs was found for and that are no budget."""
    found = result.deadline_days is not None and not any(row.gpus_source == "given" for row in result.compared)
    known = {"days" if found else "", _SPENT.get(result.budget or "", "")}
    for name in dict.fromkeys(name for row in result.compared for name in row.chances if name not in known):
        several = [(row.gpu, row.chances[name]) for row in result.compared if name in row.chances]
        (_, first), *_ = several
        alike = len({percent(chance.chance) for _, chance in several}) == 1
        each = ", ".join(f"{gpu} {percent(chance.chance)}" for gpu, chance in several)
        shown = f"{percent(first.chance)} on each" if alike else each
        yield f"chance of keeping {limit_text(name, first)}: {shown}"
