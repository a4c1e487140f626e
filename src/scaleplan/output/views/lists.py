"""Reports of what ships with the program: lists of scaling laws and of accelerators, and one of each in full."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.output.report import Fact, Report, ReportTable
from scaleplan.units import format_count, format_gigabytes, format_number, format_usd_per_hour

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scaleplan.hardware.accelerators import Accelerator
    from scaleplan.hardware.prices import Price
    from scaleplan.presets.preset import Preset

__all__ = ["gpu_report", "gpus_report", "preset_report", "presets_report"]


def presets_report(presets: Sequence[Preset]) -> Report:
    """Return the table of presets."""
    columns = ("id", "form", "status", "plans", "intervals", "counts")
    rows = tuple(
        (
            preset.id,
            preset.form,
            preset.status,
            "yes" if preset.allocates else "no",
            "yes" if preset.uncertainty else "no",
            preset.conventions.params.replace("_", " "),
        )
        for preset in presets
    )
    return Report(
        title=f"{len(rows)} scaling laws",
        grid=ReportTable(
            columns=columns,
            rows=rows,
            text=frozenset(columns),
        ),
        remarks=(
            "'scaleplan presets show ID' says where one comes from; aliases such as chinchilla and kaplan work",
        ),
    )


def preset_report(preset: Preset) -> Report:
    """Return one law: source, coefficients, conventions, range, uncertainty and notes."""
    entries = {
        "source": preset.source,
        "status": preset.status,
        "form": preset.law.formula,
        **{f"  {name}": f"{value:.10g}" for name, value in preset.published.coefficients().items()},
        "parameters": preset.conventions.params.replace("_", " "),
        "compute": preset.conventions.flops,
        "loss": preset.conventions.loss,
        "tokenizer": preset.conventions.tokenizer,
        "corpus": preset.conventions.corpus,
    }
    for name in ("params", "tokens", "flops", "tokens_per_param"):
        span = getattr(preset.range, name)
        if span is not None:
            written = format_count if name in ("params", "tokens") else format_number
            entries[f"fitted {name}"] = f"{written(span[0])} – {written(span[1])}"
    entries["uncertainty"] = "none published" if preset.uncertainty is None else preset.uncertainty.method
    facts = (Fact(label=label, value=value, prose=True) for label, value in entries.items())
    remarks = [*preset.notes]
    if preset.refusal is not None:
        remarks.insert(0, f"does not choose a model size: {preset.refusal}")
    if preset.aliases:
        remarks.append(f"also known as {', '.join(preset.aliases)}")
    remarks.append(preset.origin)
    return Report(title=f"{preset.id}: {preset.title}", facts=tuple(facts), remarks=tuple(remarks))


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
        grid=ReportTable(
            columns=("id", "year", "memory", *_SHOWN, "price"), rows=tuple(rows), text=frozenset({"id"})
        ),
        remarks=("'scaleplan gpus show ID' says where the figures come from; prices are dated defaults",),
    )


def gpu_report(gpu: Accelerator, prices: Sequence[Price], default: Price | None) -> Report:
    """Return one accelerator: peaks, memory, power, prices and sources."""
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
        grid = ReportTable(columns=columns, rows=rows, text=frozenset(columns) - {"price"})
    title = f"{gpu.id}: {gpu.name}, {gpu.vendor} {gpu.year}"
    return Report(title=title, facts=tuple(facts), grid=grid, remarks=tuple(remarks))


def _tera(rate: float | None) -> str:
    return "" if rate is None else format_number(rate / 1e12, digits=4)
