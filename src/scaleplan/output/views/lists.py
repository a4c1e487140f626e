"""Reports of laws and accelerators: lists, one in full, the value of a law at given inputs, and a picture."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from scaleplan.charts.terminal import CHART_WIDTH, chart_lines
from scaleplan.files import data_folder
from scaleplan.hardware.prices import Prices
from scaleplan.output import Fact, Report, ReportTable
from scaleplan.output.views.plan import SIZES, loss_facts, loss_remark
from scaleplan.presets.library import DEFAULT_PRESET
from scaleplan.units import (
    counted,
    format_count,
    format_flops,
    format_fraction,
    format_gigabytes,
    format_number,
    format_plain,
    format_range,
    format_usd_per_hour,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from scaleplan.charts.chart import Chart
    from scaleplan.hardware.accelerators import AcceleratorList, PricedAccelerator
    from scaleplan.models.public_models import PublicModel, PublicModelList
    from scaleplan.output.schemas import SchemaList
    from scaleplan.planning.evaluation import Evaluation
    from scaleplan.presets.library import PresetPaths, Validation
    from scaleplan.presets.preset import PresetList, PresetSummary
    from scaleplan.project.own_hardware import HardwareValidation

__all__ = [
    "chart_report",
    "evaluation_report",
    "gpu_report",
    "gpus_report",
    "hardware_validation_report",
    "paths_report",
    "preset_report",
    "presets_report",
    "public_model_report",
    "public_models_report",
    "schemas_report",
    "validation_report",
]


_ALLOCATIONS = ("power_allocation",)
"""Forms that split compute and know no loss of another split."""

_MIXTURES = ("fine_grained_moe", "joint_moe")
"""Forms whose laws choose experts too."""

_USES: Mapping[str, Callable[[PresetSummary], bool]] = {
    "to plan with, and intervals": lambda law: law.allocates and bool(law.uncertainty or law.forecast),
    "to plan mixtures of experts": lambda law: law.allocates and law.form in _MIXTURES,
    "to plan with; no uncertainty is published, so without intervals": lambda law: (
        law.allocates and law.form not in (*_ALLOCATIONS, "modality")
    ),
    "to plan size and tokens by; no loss": lambda law: law.form in _ALLOCATIONS,
    "to plan images, video, text and mathematics as Henighan et al.": lambda law: law.form == "modality",
    "for 'scaleplan loss' and 'scaleplan evaluate'; they choose no size": lambda law: (
        law.form in ("additive", "farseer", "overtraining")
    ),
    "for 'scaleplan evaluate': a loss or an error rate along one quantity": lambda _: True,
}
"""What a law is for, by the first line that fits it."""

_YEAR = re.compile(r"\b(?:19|20)\d\d\b")


def presets_report(result: PresetList) -> Report:
    """Return the laws by what they are for, each with its year and its title."""
    sections: dict[str, list[tuple[str, ...]]] = {use: [] for use in _USES}
    for preset in result.presets:
        use = next(use for use, fits in _USES.items() if fits(preset))
        year = _YEAR.search(f"{preset.id.replace('-', ' ')} {preset.source}")
        title = f"{preset.title}; the default" if preset.id == DEFAULT_PRESET else preset.title
        sections[use].append((preset.id, year[0] if year else "", title))
    columns = ("id", "year", "title")
    return Report(
        title=counted(len(result.presets), "scaling law"),
        remarks=(
            (
                "'scaleplan presets show ID' says where one comes from; aliases such as chinchilla and kaplan work; "
                "'scaleplan compare' shows several side by side"
            ),
        ),
        sections=[
            Report(title=use, grid=ReportTable(columns, rows=rows, text=columns))
            for use, rows in sections.items()
            if rows
        ],
    )


def validation_report(result: Validation) -> Report:
    """Return a verdict for each file."""
    rows = [
        (each.file, "valid" if each.valid else "invalid", ": ".join(filter(None, (each.id, each.problem))))
        for each in result.files
    ]
    columns = ("file", "verdict", "id or problem")
    title = f"{counted(len(rows), 'file')}, {result.invalid} invalid"
    return Report(title=title, grid=ReportTable(columns, rows=rows, text=columns))


def hardware_validation_report(result: HardwareValidation) -> Report:
    """Return a verdict for each file, and a line for each of its problems, at the place where it stands."""
    lines = []
    for each in result.files:
        ids = f": {', '.join(each.ids)}" if each.ids else ""
        lines.append(f"{each.file}: valid {each.kind}{ids}" if each.valid else f"{each.file}: invalid")
        for problem in each.problems:
            lines.append(f"  {problem.message}")
            if problem.hint:
                lines.append(f"    hint: {problem.hint}")
    return Report(title=f"{counted(len(result.files), 'file')}, {result.invalid} invalid", lines=lines)


def paths_report(result: PresetPaths) -> Report:
    """Return one path a line."""
    return Report(lines=result.paths)


_RANGES: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "params": ("parameters", format_count),
    "tokens": ("tokens", format_count),
    "flops": ("compute", format_flops),
    "tokens_per_param": ("tokens/param", format_number),
}


def preset_report(preset: PresetSummary) -> Report:
    """Return one law in full: source, formula, coefficients, conventions, range and notes."""
    entries = {
        "source": preset.source,
        "status": preset.status,
        "form": preset.formula,
        **{f"  {name}": format_plain(value, digits=10) for name, value in preset.coefficients.items()},
        "parameters": preset.conventions.params.replace("_", " "),
        "compute": preset.conventions.flops,
        "loss": preset.conventions.loss,
        "tokenizer": preset.conventions.tokenizer,
        "corpus": preset.conventions.corpus,
    }
    for name in _RANGES:
        span = getattr(preset.range, name)
        if span is not None:
            label, written = _RANGES[name]
            entries[f"fitted {label}"] = format_range(span[0], span[1], written)
    entries["uncertainty"] = "none published" if preset.uncertainty is None else preset.uncertainty.method
    if preset.forecast is not None:
        entries["plans"] = (
            "by a forecast: a law with a correction for what it misses; the coefficients are for citing"
        )
        entries["uncertainty"] = "of the forecast: its law, the correction and the noise of one run together"
    facts = [Fact(label, value, prose=True) for label, value in entries.items()]
    remarks = [*preset.notes]
    if preset.refusal is not None:
        remarks.insert(0, f"does not choose a model size: {preset.refusal}")
    if preset.line is not None:
        remarks.insert(0, f"determined by its runs along {preset.line}, and nowhere else")
    if preset.aliases:
        remarks.append(f"also known as {', '.join(preset.aliases)}")
    remarks.append(preset.origin)
    return Report(title=f"{preset.id}: {preset.title}", facts=facts, remarks=remarks)


def gpus_report(result: AcceleratorList) -> Report:
    """Return the table of GPUs, with the dense peak in 16 bits."""
    rows = [
        (
            gpu.id,
            gpu.name,
            str(gpu.year),
            format_gigabytes(gpu.memory_bytes / 1e9),
            _peak(gpu),
            "" if gpu.default_usd_per_hour is None else format_usd_per_hour(gpu.default_usd_per_hour),
        )
        for gpu in result.gpus
    ]
    open_figures = any(gpu.status != "verified" for gpu in result.gpus)
    return Report(
        title=f"{counted(len(rows), 'GPU')}; dense TFLOP/s in 16 bits, with fp32 accumulation",
        grid=ReportTable(("id", "name", "year", "memory", "TFLOP/s", "price"), rows=rows, text={"id", "name"}),
        remarks=(
            *(("* not every figure is confirmed by a second source",) if open_figures else ()),
            *dict.fromkeys(
                f"prices of {gpu.price_date}: {gpu.price_source}" for gpu in result.gpus if gpu.price_date
            ),
            "'scaleplan gpus show ID' has the other precisions, and says where the figures come from",
        ),
    )


def gpu_report(gpu: PricedAccelerator) -> Report:
    """Return the figures of one accelerator, and the prices that are listed for it."""
    catalogue = Prices()
    prices = catalogue.listed(gpu.id)
    facts = [*_device_facts(gpu)]
    if gpu.link_bandwidth is not None:
        facts.append(Fact(gpu.link, format_number(gpu.link_bandwidth / 1e9), unit="GB/s both ways"))
    if gpu.default_usd_per_hour is not None:
        facts.append(Fact("default price", format_usd_per_hour(gpu.default_usd_per_hour), unit=gpu.price_date or ""))
        if gpu.price_source:
            facts.append(Fact("", gpu.price_source, prose=True))
    for label, watts in (("chip while training", gpu.power_w), ("host for each chip", gpu.host_power_w)):
        if watts is not None:
            facts.append(Fact(label, format_number(watts), unit="W, measured"))
    grid = None
    if prices:
        columns = ("commitment", "from", "date", "price", "source")
        rows = [
            (
                p.commitment,
                p.provider if p.provider.startswith(p.provider_class) else f"{p.provider_class} {p.provider}".strip(),
                p.date,
                format_usd_per_hour(p.usd_per_hour),
                p.source,
            )
            for p in prices
        ]
        grid = ReportTable(columns, rows=rows, text={*columns} - {"price"})
    title = f"{gpu.id}: {gpu.name}, {gpu.vendor} {gpu.year}"
    return Report(title=title, facts=facts, grid=grid, remarks=[*_device_remarks(gpu)])


def _device_facts(gpu: PricedAccelerator) -> Iterator[Fact]:
    """Yield memory, power and peaks, or that there are none to rely on."""
    shared = "shared with the processor and the system" if gpu.unified_memory else ""
    yield Fact("memory", format_gigabytes(gpu.memory_bytes / 1e9), unit=shared)
    yield Fact("memory bandwidth", format_number(gpu.bandwidth / 1e9, digits=4), unit="GB/s")
    if gpu.tdp_w is None:
        yield Fact("design power", "none that is confirmed")
    else:
        label = "maximum power" if gpu.tdp_basis == "measured maximum" else "design power"
        unit = "W" if gpu.tdp_basis == "design" else f"W, {gpu.tdp_basis.partition(' ')[0]}"
        yield Fact(label, format_number(gpu.tdp_w), unit=unit)
    if not gpu.peaks:
        yield Fact("peak", "not published")
    for name, rate in gpu.peaks.items():
        yield Fact(f"peak {name}", _tera(rate), unit="TFLOP/s dense")


def _device_remarks(gpu: PricedAccelerator) -> Iterator[str]:
    """Yield what the figures stand on, and its other names."""
    if gpu.note:
        yield gpu.note
    if gpu.status != "verified":
        yield f"{gpu.status}: one source or arithmetic stands behind some of these figures"
    if not gpu.peaks:
        yield "without a peak only questions about memory are answered: 'scaleplan memory'"
    if gpu.power_source:
        yield f"power: {gpu.power_source}"
    yield f"sources: {'; '.join(gpu.sources)}" + (f" ({gpu.as_of})" if gpu.as_of else "")
    if gpu.aliases:
        yield f"also known as {', '.join(gpu.aliases)}"
    if gpu.origin and Path(gpu.origin).parent != data_folder():
        yield f"from {gpu.origin}"


def _peak(gpu: PricedAccelerator) -> str:
    """Return the peak in 16 bits, marked where the figures are not confirmed."""
    peak = gpu.peaks.get("bf16") or gpu.peaks.get("fp16")
    return "" if peak is None else format_number(peak / 1e12) + ("" if gpu.status == "verified" else "*")


def _tera(rate: float | None) -> str:
    return "" if rate is None else format_number(rate / 1e12, digits=4)


def public_models_report(result: PublicModelList) -> Report:
    """Return the table of the models that are known by name."""
    dated = any(model.year is not None for model in result.models)
    rows = [
        (
            model.id,
            model.family,
            *(("" if model.year is None else str(model.year),) if dated else ()),
            "" if model.params is None else format_count(model.params),
        )
        for model in result.models
    ]
    columns = ("id", "family", *(("year",) if dated else ()), "published")
    return Report(
        title=counted(len(rows), "published model"),
        grid=ReportTable(columns, rows=rows, text={"id", "family"}),
        remarks=("'scaleplan model ID' counts one; organisation, case and -Instruct, -Chat or -it do not matter",),
    )


def public_model_report(model: PublicModel) -> Report:
    """Return one published model: its size as published, and the fields of its config."""
    size = f"printed by no source at hand; 'scaleplan model {model.id}' counts them"
    if model.params is not None:
        size = f"{model.params:,.0f}" if model.params_exact else f"{format_count(model.params)}, rounded"
    entries = {
        "parameters": size,
        **({} if model.year is None else {"year": str(model.year)}),
        **{f"  {name}": json.dumps(value, ensure_ascii=False) for name, value in model.config.items()},
    }
    remarks = [model.note] if model.note else []
    if model.params_sources and model.params_sources != model.sources:
        remarks.append(f"parameters: {'; '.join(model.params_sources)}")
    remarks.append(f"config: {'; '.join(model.sources)}")
    if model.aliases:
        remarks.append(f"also known as {', '.join(model.aliases)}")
    remarks.append(model.origin)
    facts = [Fact(label, value, prose=True) for label, value in entries.items()]
    return Report(title=f"{model.id}: {model.name}", facts=facts, remarks=remarks)


_WHOLE = 1e4  # counts such as experts are written without decimals


_SAID = ("parameters", "tokens", "FLOP per token")  # units that the label names


def evaluation_report(result: Evaluation) -> Report:
    """Return the report of one evaluation."""
    inputs = ", ".join(
        _written(name, value) if name == "flops" else f"{_words(name)} {_written(name, value)}"
        for name, value in result.inputs.items()
    )
    quantity, interval = result.quantity, result.interval
    fact = Fact.of(
        SIZES[result.params_convention] if quantity == "params" else _words(quantity),
        result.value,
        lambda value: _written(quantity, value),
        None if interval is None else interval.value,
        unit="" if result.unit in (None, *_SAID) else result.unit,
    )
    named = {*result.inputs, result.quantity}
    remarks = [result.formula, *loss_remark(result.loss_text, interval=interval is not None)]
    if any(name.endswith("params") for name in named):
        remarks.append(f"parameters: {result.params_convention.replace('_', ' ')}")
    if "flops" in named:
        remarks.append(f"compute: {result.flops_convention}")
    if result.others:
        remarks.append(f"these inputs also give {', '.join(result.others)}: --quantity {result.others[0]}")
    return Report(
        title=f"{result.preset} at {inputs}",
        facts=(fact, *loss_facts(result)),
        level=format_fraction(interval.level) if interval else "",
        remarks=remarks,
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def _written(name: str, value: float | tuple[float, ...]) -> str:
    if isinstance(value, tuple):
        return f"of {len(value):,} steps"
    if "params" in name or "tokens" in name:
        return format_count(value)
    if name == "flops":
        return format_flops(value)
    return format_plain(value) if float(value).is_integer() and value < _WHOLE else format_number(value, digits=4)


def schemas_report(result: SchemaList) -> Report:
    """Return the table of JSON Schemas."""
    rows = [(each.name, each.describes) for each in result.schemas]
    return Report(
        title=counted(len(rows), "JSON Schema"),
        grid=ReportTable(("name", "describes"), rows=rows, text={"name", "describes"}),
        remarks=("'scaleplan schema NAME' prints one; --json has their ids",),
    )


def chart_report(chart: Chart) -> Report:
    """Return the report of a chart."""
    lines = chart_lines(chart)  # now, so that a chart that cannot be drawn is refused here
    return Report(
        title=chart.title,
        drawing=lambda width: ("", *(lines if width >= CHART_WIDTH else chart_lines(chart, width=width))),
        remarks=tuple(filter(None, (chart.caption, chart.source))),
    )
