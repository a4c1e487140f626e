"""The command that evaluates a law at given values."""

from __future__ import annotations

from typing import Annotated

import typer

from scaleplan.cli.command import Answer, command, single
from scaleplan.errors import UsageError, quote
from scaleplan.planning import evaluation

APPS = {"evaluate": single()}


@command(
    APPS["evaluate"],
    examples=[
        "scaleplan evaluate besiroglu-2024 params=7B tokens=2T",
        "scaleplan evaluate gadre-2024-c4-error17 loss=2.9",
        "scaleplan evaluate kaplan flops=1e21 --quantity batch_tokens --get value",
        "scaleplan evaluate my-curve.toml flops=1e22",
    ],
)
def evaluate(
    *,
    preset: Annotated[str, typer.Argument(metavar="PRESET", help="An id, an alias or a .toml file.")],
    values: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE...", help="The inputs: params=7B tokens=2T, loss=2.9.")
    ] = None,
    quantity: Annotated[
        str | None, typer.Option(metavar="NAME", help="What to evaluate, where these inputs give several quantities.")
    ] = None,
    level: Annotated[
        str, typer.Option(metavar="F", envvar="SCALEPLAN_LEVEL", help="Confidence level of the interval.")
    ] = "0.9",
) -> Answer:
    """Evaluate a law or a curve at given values: its loss, optimal size, accuracy or whatever it gives."""
    given: dict[str, str] = {}
    for word in values or ():
        name, sign, value = word.partition("=")
        if not (name and sign and value):
            raise UsageError(f"{quote(word)} is not name=value", hint="for example params=7B")
        if name in given:
            raise UsageError(f"{quote(name)} is given twice")
        given[name] = value
    if clash := given.keys() & {"quantity", "level"}:
        raise UsageError(f"{clash.pop()} is an option", hint="write it with two dashes")
    result = evaluation.evaluate(preset, quantity=quantity, level=level, **given)
    return Answer(result=result, notices=result.warnings)
