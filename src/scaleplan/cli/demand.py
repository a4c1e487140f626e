"""The command about inference demand: break-even."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from scaleplan.cli.command import Answer, command, single
from scaleplan.cli.options import ConstraintOptions, HardwareOptions, LawOptions, LimitOptions, words
from scaleplan.errors import UsageError
from scaleplan.formats import Rendering

if TYPE_CHECKING:
    from scaleplan.formats.report import Report

__all__ = ["APPS"]

APPS = {"break-even": single()}


@command(
    APPS["break-even"],
    examples=[
        "scaleplan break-even --params 7B",
        "scaleplan break-even --loss 2.1 --from 100B --to 10T --points 5 --format csv",
    ],
)
def break_even(
    law: LawOptions,
    limits: LimitOptions,
    constraints: ConstraintOptions,
    hardware: HardwareOptions,
    *,
    loss: Annotated[str | None, typer.Option(metavar="L", help="The loss that every plan reaches.")] = None,
    params: Annotated[
        str | None, typer.Option(metavar="N", help="Instead: as good as the training optimum of this size.")
    ] = None,
    start: Annotated[str, typer.Option("--from", metavar="D", help="The smallest demand in tokens.")] = "10B",
    stop: Annotated[str, typer.Option("--to", metavar="D", help="The largest demand.")] = "100T",
    points: Annotated[str, typer.Option(metavar="N", help="How many demands, evenly spaced in the logarithm.")] = "9",
) -> Answer:
    """Show for which inference demand a smaller model on more tokens pays, at the same loss."""
    from scaleplan.advice.demand import break_even as ask

    asked = words(law, limits, constraints, hardware)
    if asked.pop("inference_tokens") is not None:
        raise UsageError("the demand is what this table ranges over", hint="give --from and --to")
    result = ask(loss=loss, params=params, start=start, stop=stop, points=points, **asked)

    def report() -> Report:
        from scaleplan.views.demand import demand_report

        return demand_report(result)

    return Answer(
        rendering=Rendering(result.to_dict(), records=[plan.to_dict() for plan in result], report=report),
        notices=result.warnings,
    )
