"""The command that advises on the size of the vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from scaleplan.advice.vocabulary import advise
from scaleplan.cli.command import Answer, command, single
from scaleplan.formats import Rendering
from scaleplan.quantities import parse_count, parse_flops, parse_positive

if TYPE_CHECKING:
    from scaleplan.formats.report import Report

__all__ = ["APPS"]

APPS = {"vocab": single()}


@command(
    APPS["vocab"],
    examples=[
        "scaleplan vocab --params 7B",
        "scaleplan vocab --params 3B --flops 1e23 --width 3072 --get vocabulary",
    ],
)
def vocab(
    *,
    params: Annotated[str, typer.Option(metavar="N", help="Model size without the vocabulary: 7B.")],
    flops: Annotated[
        str | None,
        typer.Option(metavar="AMOUNT", help="Training compute; the optimal one for the size if not given."),
    ] = None,
    width: Annotated[
        str | None, typer.Option(metavar="D", help="Width of the model; the paper's for the size if not given.")
    ] = None,
) -> Answer:
    """Advise on the size of the vocabulary for a model, by three published approaches."""
    answer = advise(
        parse_count(params, what="params"),
        flops=None if flops is None else parse_flops(flops),
        width=None if width is None else parse_positive(width),
    )

    def report() -> Report:
        from scaleplan.views.vocabulary import vocabulary_report

        return vocabulary_report(answer)

    return Answer(rendering=Rendering(answer.to_dict(), report=report), notices=answer.warnings)
