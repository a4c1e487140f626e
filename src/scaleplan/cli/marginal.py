"""The command that shows diminishing returns: marginal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from scaleplan.cli.command import Answer, command, single
from scaleplan.cli.options import BoundOptions, BudgetOptions, LawOptions, words
from scaleplan.formats import Rendering
from scaleplan.records import as_mapping

if TYPE_CHECKING:
    from scaleplan.advice.marginal import Marginal
    from scaleplan.formats.report import Report

__all__ = ["APPS", "marginal_rendering"]

APPS = {"marginal": single()}


@command(
    APPS["marginal"],
    examples=[
        "scaleplan marginal --flops 1e21",
        "scaleplan marginal --cost '250k USD' --gpu h100-sxm --get cost_per_hundredth",
    ],
)
def marginal(
    budget: BudgetOptions,
    law: LawOptions,
    bounds: BoundOptions,
    *,
    doublings: Annotated[str, typer.Option(metavar="N", help="How many doublings of the budget to show.")] = "6",
) -> Answer:
    """Show what more compute buys: the gain of a doubling, the price of the next percent and of 0.01 less loss."""
    from scaleplan.advice.marginal import marginal as asked

    result = asked(doublings=doublings, **words(budget, law, bounds))
    return Answer(rendering=marginal_rendering(result), notices=result.warnings)


def marginal_rendering(result: Marginal) -> Rendering:
    """Return the result on its way to a format; a row is a doubling of the budget."""

    def report() -> Report:
        from scaleplan.views.marginal import marginal_report

        return marginal_report(result)

    steps = as_mapping(result.steps)
    assert isinstance(steps, list)
    return Rendering(result.to_dict(), records=steps, report=report)
