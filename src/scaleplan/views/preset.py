"""Scaling laws for people: the list, and one with everything its file says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.formats.report import Fact, Grid, Report
from scaleplan.quantities import format_count, format_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scaleplan.presets.preset import Preset

__all__ = ["preset_report", "presets_report"]


def presets_report(presets: Sequence[Preset]) -> Report:
    """Return the table of presets."""
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
        grid=Grid(
            columns=("id", "form", "status", "plans", "intervals", "counts"),
            rows=rows,
            text=frozenset({"id", "form", "status", "plans", "intervals", "counts"}),
        ),
        remarks=(
            "'scaleplan presets show ID' says where one comes from; aliases such as chinchilla and kaplan work",
        ),
    )


def preset_report(preset: Preset) -> Report:
    """Return everything a person should know of one law."""
    told = {
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
            told[f"fitted {name}"] = f"{written(span[0])} – {written(span[1])}"
    sure = preset.uncertainty
    told["uncertainty"] = "none published" if sure is None else sure.method
    facts = (Fact(label=label, value=value, prose=True) for label, value in told.items())
    remarks = [*preset.notes]
    if preset.refusal is not None:
        remarks.insert(0, f"does not choose a model size: {preset.refusal}")
    if preset.aliases:
        remarks.append(f"also known as {', '.join(preset.aliases)}")
    remarks.append(preset.origin)
    return Report(title=f"{preset.id}: {preset.title}", facts=tuple(facts), remarks=tuple(remarks))
