"""The best vocabulary for people: three approaches and the middle one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.formats.report import Fact, Report
from scaleplan.quantities import format_count, format_flops, format_number

if TYPE_CHECKING:
    from scaleplan.advice.vocabulary import Vocabulary

__all__ = ["vocabulary_report"]


def vocabulary_report(answer: Vocabulary) -> Report:
    """Return the report of one answer."""
    return Report(
        title=f"{format_count(answer.params)} non-vocabulary parameters of width {answer.width:,.0f}, "
        f"{format_flops(answer.flops)}",
        facts=(
            Fact(label="vocabulary", value=format_count(answer.vocabulary), unit="entries"),
            Fact(label="its parameters", value=format_count(answer.vocabulary_params)),
            Fact(label="by IsoFLOP", value=format_count(answer.isoflop)),
            Fact(label="by derivative", value=format_count(answer.derivative)),
            Fact(label="by fitted loss", value=format_count(answer.parametric)),
        ),
        remarks=(
            f"the middle of three approaches of Tao et al. 2024, {format_number(answer.spread)}x apart",
            "round to a multiple of 128 that your tokenizer can be trained to",
        ),
    )
