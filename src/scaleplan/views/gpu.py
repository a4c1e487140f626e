"""Accelerators for people: the list, and one with its peaks, memory, power, prices and sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.formats.report import Fact, Grid, Report
from scaleplan.quantities import format_gigabytes, format_number, format_usd_per_hour

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scaleplan.hardware.accelerators import Accelerator
    from scaleplan.hardware.prices import Price

__all__ = ["gpu_report", "gpus_report"]

_SHOWN = ("bf16", "fp16", "fp8")


def gpus_report(gpus: Sequence[Accelerator], prices: Mapping[str, Price | None]) -> Report:
    """Return the table of accelerators, dense TFLOP/s."""
    rows = []
    for gpu in gpus:
        price = prices[gpu.id]
        rows.append(
            (
                gpu.id,
                str(gpu.year),
                format_gigabytes(gpu.memory_bytes / 1e9),
                *(_tera(gpu.peaks.get(name)) for name in _SHOWN),
                "" if price is None else format_usd_per_hour(price.usd_per_hour),
            )
        )
    return Report(
        title=f"{len(rows)} accelerators, dense TFLOP/s with fp32 accumulation",
        grid=Grid(columns=("id", "year", "memory", *_SHOWN, "price"), rows=tuple(rows), text=frozenset({"id"})),
        remarks=("'scaleplan gpus show ID' says where the figures come from; prices are dated defaults",),
    )


def gpu_report(gpu: Accelerator, prices: Sequence[Price], default: Price | None) -> Report:
    """Return everything a person should know of one accelerator."""
    facts = [
        Fact(label="memory", value=format_gigabytes(gpu.memory_bytes / 1e9)),
        Fact(label="memory bandwidth", value=format_number(gpu.bandwidth / 1e9, digits=4), unit="GB/s"),
        Fact(label="design power", value=format_number(gpu.tdp_w), unit="W, estimated" if gpu.tdp_estimated else "W"),
        *(Fact(label=f"peak {name}", value=_tera(rate), unit="TFLOP/s dense") for name, rate in gpu.peaks.items()),
    ]
    if gpu.link_bandwidth is not None:
        facts.append(Fact(label=gpu.link, value=format_number(gpu.link_bandwidth / 1e9), unit="GB/s both ways"))
    if default is not None:
        facts.append(Fact(label="default price", value=format_usd_per_hour(default.usd_per_hour), unit=default.date))
    remarks = [gpu.note] if gpu.note else []
    remarks.append(f"sources: {'; '.join(gpu.sources)} ({gpu.as_of})")
    if gpu.aliases:
        remarks.append(f"also known as {', '.join(gpu.aliases)}")
    grid = None
    if prices:
        columns = ("commitment", "from", "date", "price", "source")
        rows = tuple(
            (
                p.commitment,
                p.provider if p.provider.startswith(p.provider_class) else f"{p.provider_class} {p.provider}".strip(),
                p.date,
                format_usd_per_hour(p.usd_per_hour),
                p.source,
            )
            for p in prices
        )
        grid = Grid(columns=columns, rows=rows, text=frozenset(columns) - {"price"})
    title = f"{gpu.id}: {gpu.name}, {gpu.vendor} {gpu.year}"
    return Report(title=title, facts=tuple(facts), grid=grid, remarks=tuple(remarks))


def _tera(rate: float | None) -> str:
    return "" if rate is None else format_number(rate / 1e12, digits=4)
