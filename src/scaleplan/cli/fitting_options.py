"""The options of the commands that read training runs, in groups that they take whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

__all__ = ["RUNS", "ObjectiveOptions", "ReadingOptions"]

RUNS = typer.Argument(
    metavar="RUNS", help="Training runs, one a row: CSV, TSV, JSON or JSON Lines; - for standard input."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingOptions:
    """How the file of runs is read."""

    map: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=COLUMN",
            help="Column of a role, repeatable: loss=eval/loss, 'tokens=D*1e9', 'flops=log10(C)', params=7B. "
            "Roles: params, tokens, flops, loss, tokens_per_param, unique_tokens, weight, name, state.",
        ),
    ] = None
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="CONDITION", help="Keep rows that meet it, repeatable: 'lr <= 1e-3', 'name ~ ^base'."),
    ] = None
    loss_unit: Annotated[
        str, typer.Option(metavar="UNIT", help="Unit of the loss column: nats, bits, ppl or bpb.")
    ] = "nats"
    tokens_per_byte: Annotated[
        str | None, typer.Option(metavar="F", help="Converts bits per byte to nats per token.")
    ] = None
    log10: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="This column (or role) holds log10, repeatable.")
    ] = None
    flops_convention: Annotated[
        str, typer.Option(metavar="NAME", help="How compute is counted: 6ND, MD, '9.59ND + 2.3e8D'.")
    ] = "6ND"
    best: Annotated[
        bool, typer.Option("--best", help="Keep the best run of each sweep: of runs with equal sizes.")
    ] = False
    min_flops: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="Leave out runs below this compute: 1e19.")
    ] = None
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REASON", help="Keep what would be dropped: crashed, duplicate or diverged; repeatable."
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveOptions:
    """What is minimised, and what is kept fixed."""

    residual: Annotated[
        str, typer.Option(metavar="NAME", help="Differences of log loss or of loss: log, linear.")
    ] = "log"
    robust: Annotated[
        str, typer.Option(metavar="NAME", help="How outliers count: huber, l1, or none (least squares).")
    ] = "huber"
    delta: Annotated[
        str, typer.Option(metavar="F", help="Where Huber's function turns linear, in the unit of the residuals.")
    ] = "1e-3"
    tied: Annotated[bool, typer.Option("--tied", help="Fit with alpha = beta.")] = False
    floor: Annotated[
        str | None,
        typer.Option(metavar="E", help="Keep the irreducible loss at this value: 0, 1.7; fitted if not given."),
    ] = None
