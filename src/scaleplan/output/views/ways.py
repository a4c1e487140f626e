"""Show every way to train or tune a model on some devices: what fits, how long, and what it costs."""

from __future__ import annotations

import re
import shlex
from functools import partial
from typing import TYPE_CHECKING

from scaleplan.hardware.budget import band_text, dated_price
from scaleplan.output import Report, ReportTable
from scaleplan.units import (
    GIGA,
    SECONDS_PER_HOUR,
    format_count,
    format_fraction,
    format_gigabytes,
    format_kwh,
    format_number,
    format_plain,
    format_range,
    format_seconds,
    format_usd,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.advice.compared_ways import Way, Ways

__all__ = ["ways_report"]


def ways_report(found: Ways) -> Report:
    """Return the answer in one line, the ways that fit, those that do not, and what serving takes."""
    fitting = [way for way in found.ways if way.fits and not way.from_scratch]
    others = [way for way in found.ways if not way.fits and not way.from_scratch]
    scratch = [way for way in found.ways if way.from_scratch]
    sections = []
    if fitting:
        sections.append(Report(title="what fits, cheapest first", grid=_table(found, fitting)))
    if others:
        rows = [(_name(way), _memory(way), format_gigabytes(-way.spare * _usable(way))) for way in others]
        table = ReportTable(("way", "memory", "over"), rows=rows, text={"way"})
        usable = format_gigabytes(_usable(others[0]))
        sections.append(Report(title=f"what does not fit {usable}, what --margins leaves of a GPU", grid=table))
    sections += [Report(title=_scratch_title(way), lines=()) for way in scratch]
    if found.serving:
        rows = [(way.weights, format_gigabytes(way.memory_bytes / GIGA), _yes(way.fits)) for way in found.serving]
        table = ReportTable(("weights", "memory", "fits"), rows=rows, text={"weights", "fits"})
        sections.append(Report(title=f"to serve it, one sequence of {found.context:,} tokens", grid=table))
    return Report(title=_headline(found), remarks=[*_remarks(found)], sections=sections)


def _headline(found: Ways) -> str:
    """Return the answer in one line."""
    devices = f"{found.gpus:,} x {found.gpu}"
    best, size = found.best, format_gigabytes(found.memory_bytes / GIGA)
    if not found.fits:
        near = f"closest: {best.name}, which needs {_memory(best)}"
        served = next((way.weights for way in found.serving if way.fits), None)
        ways = [*found.ways_out, *([f"to serve it in {served} only"] if served else [])]
        out = f"; it fits {', or '.join(_with(way) for way in ways)}" if ways else ""
        return f"no: no way to train {found.model} fits {devices} with {size}; {near}{out}"
    return f"yes, {found.model} on {devices}: {best.name}, {_memory(best)} of {size}{_bill(found, best)}"


def _with(way: str) -> str:
    return f"with {way}" if way.startswith("--") else way


def _bill(found: Ways, way: Way) -> str:
    """Return the time and the money of a way with their ranges, as clauses."""
    if way.hours is None:
        return ""
    if way.possible_tokens is not None:
        span = way.possible_tokens_interval
        low_high = f" ({format_range(*span, format_count)})" if span else ""
        return f", {format_count(way.possible_tokens)} tokens{low_high} {_limit(found)}"
    span, alike = way.hours_interval, partial(_time, like=way.hours)
    time = f", {_time(way.hours)}{' or more' * way.on_host}" + (f" ({format_range(*span, alike)})" if span else "")
    return time + (f", {format_usd(way.cost)}" if way.cost is not None else "")


def _limit(found: Ways) -> str:
    parts = [] if found.limit_hours is None else [_time(found.limit_hours)]
    parts += [] if found.limit_cost is None else [format_usd(found.limit_cost)]
    return f"in {' and '.join(parts)}"


def _table(found: Ways, rows: list[Way]) -> ReportTable:
    """Return the ways that fit; money where a price is known, else energy; with a limit the tokens within it."""
    columns = ["way", "memory", "tokens/s"]
    cells = [[_name(way), _memory(way), _number(way.tokens_per_second)] for way in rows]
    if rows[0].possible_tokens is not None:
        columns.append(f"tokens {_limit(found)}")
        for row, way in zip(cells, rows, strict=True):
            row.append(format_count(way.possible_tokens or 0.0))
        if found.data_tokens:
            columns.append("epochs")
            for row, way in zip(cells, rows, strict=True):
                row.append(_number(way.possible_epochs))
    else:
        money = found.price_per_hour is not None
        columns += ["time", "cost" if money else "energy"]
        for row, way in zip(cells, rows, strict=True):
            row.append("" if way.hours is None else _time(way.hours) + "+" * way.on_host)
            if money:
                row.append("" if way.cost is None else format_usd(way.cost))
            else:
                row.append("" if way.energy_kwh is None else format_kwh(way.energy_kwh))
    if all(not row[2] for row in cells):
        columns, cells = columns[:2], [row[:2] for row in cells]
    return ReportTable(columns, rows=cells, text={"way"})


def _scratch_title(way: Way) -> str:
    fits = _memory(way) if way.fits else f"{_memory(way)}, which does not fit"
    time = "" if way.hours is None else f"; {_time(way.hours)} if it did" if not way.fits else f", {_time(way.hours)}"
    cost = "" if way.cost is None else f", {format_usd(way.cost)}"
    return f"from scratch on {format_count(way.tokens)} tokens (compute-optimal): {fits}{time}{cost}"


def _remarks(found: Ways) -> Iterator[str]:
    """Yield what the figures stand for."""
    limited = found.limit_hours is not None or found.limit_cost is not None
    run = "" if limited and found.tokens_source == "default" else f"for {format_count(found.tokens)} tokens "
    yield (
        f"{run}({_source(found)}), in sequences of {found.context:,}" if run else f"in sequences of {found.context:,}"
    )
    yield from _speed(found)
    if found.price_per_hour is not None:
        yield f"price: {dated_price(found.price_per_hour, found.price_source, found.price_date)}"
    if any(way.fits and way.on_host and way.hours is not None for way in found.ways):
        yield "+: at least so long, for its states come from host memory in each step"
    if found.fits:
        yield from _first(found)
    if found.unified_memory:
        shared = f"the memory of {found.gpu} is shared with the processor and the system"
        yield f"{shared}: offloading frees nothing, and --margins leaves them room"


def _source(found: Ways) -> str:
    """Return how the tokens came about."""
    if found.epochs is not None and found.data_tokens is not None:
        source = f"{format_plain(found.epochs, digits=4)} x {format_count(found.data_tokens)}"
        return source if found.tokens_source == "given" else f"{source}, {found.tokens_source}"
    if found.tokens_source == "default":
        return "give --tokens, or --epochs and --data-tokens"
    return found.tokens_source


def _speed(found: Ways) -> Iterator[str]:
    """Yield the utilisation behind the hours, or why there are none."""
    if found.no_hours is not None:
        yield f"no hours: {found.no_hours}"
    elif found.band is not None:
        yield f"hours and cost {band_text(found.band)}; utilisation {format_fraction(found.utilisation or 0.0)}"
    elif found.utilisation is not None:
        yield f"utilisation {format_fraction(found.utilisation)}, {found.utilisation_source}"


def _first(found: Ways) -> Iterator[str]:
    """Yield what else to know of the first way that fits, and of the one that needs the least."""
    best = found.best
    if found.ways[0].fits and found.ways[0] is not best and not found.ways[0].from_scratch:
        yield f"cheaper than {best.name} are only ways that train a part of the model, or by plain SGD"
    least = min((way for way in found.ways if way.fits), key=lambda way: way.memory_bytes)
    if least.memory_bytes < best.memory_bytes:
        yield f"least memory: {least.name}, {_memory(least)}"
    if best.longest_context is not None and best.longest_context > found.context:
        yield f"longest sequence of {best.name}: {best.longest_context:,} tokens"
    yield f"in detail: scaleplan memory {_typed(found.model)} --gpu {found.gpu} {best.options}"


def _typed(model: str) -> str:
    """Return what was typed for a model, of what a result calls it."""
    return "-" if model == "standard input" else shlex.quote(re.sub(r" \(.*\)$| in the \w+ style$", "", model))


def _usable(way: Way) -> float:
    """Return the gigabytes that a demand of 1 stands for, by what is needed and spare."""
    return way.memory_bytes / GIGA / (1 - way.spare)


def _name(way: Way) -> str:
    return f"{way.name} (config)" if way.configured else way.name


def _memory(way: Way) -> str:
    return format_gigabytes(way.memory_bytes / GIGA)


def _number(value: float | None) -> str:
    return "" if value is None else format_number(value)


def _time(hours: float, *, like: float | None = None) -> str:
    """Return a time in the unit that suits it, or that suits another number of hours."""
    return format_seconds(hours * SECONDS_PER_HOUR, like=None if like is None else like * SECONDS_PER_HOUR)


def _yes(fits: bool) -> str:
    return "yes" if fits else "no"
