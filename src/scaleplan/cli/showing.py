"""The command that shows a saved result again: show."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scaleplan.cli.command import Answer, command, single
from scaleplan.cli.judging import JudgingOptions  # noqa: TC001  the command's options are read from its signature
from scaleplan.formats import Rendering

if TYPE_CHECKING:
    from scaleplan.formats.report import Report
    from scaleplan.planning.plan import Plan, Plans
    from scaleplan.policy.saved import Result

__all__ = ["APPS"]

APPS = {"show": single()}

_LARGEST = 64_000_000


@command(
    APPS["show"],
    examples=[
        "scaleplan show plan.json --format markdown",
        "scaleplan check --json | scaleplan show - --format junit",
    ],
)
def show(
    output: JudgingOptions,  # noqa: ARG001  what writes the answer reads it
    *,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A saved JSON result; - is standard input.")],
) -> Answer:
    """Show a saved JSON result in any format; a saved check keeps its verdict but not its exit status."""
    from scaleplan.config.tree import display_name
    from scaleplan.files import read_text
    from scaleplan.policy.saved import read_saved

    if file == "-":
        result = read_saved(sys.stdin.read(_LARGEST), name="standard input")
    else:
        path = Path(file)
        result = read_saved(read_text(path, what="saved result", limit=_LARGEST), name=display_name(path))
    return Answer(rendering=_rendering(result))


def _rendering(result: Result) -> Rendering:
    from scaleplan.advice.marginal import Marginal
    from scaleplan.planning.plan import Plan, Plans
    from scaleplan.policy.difference import Difference
    from scaleplan.policy.verdict import Check

    if isinstance(result, Check):
        from scaleplan.cli.checking import check_rendering

        return check_rendering(result)
    if isinstance(result, Difference):
        from scaleplan.cli.differing import diff_rendering

        return diff_rendering(result)
    if isinstance(result, Marginal):
        from scaleplan.cli.marginal import marginal_rendering

        return marginal_rendering(result)
    if isinstance(result, Plans):
        return _plans(result)
    assert isinstance(result, Plan)
    return _plan(result)


def _plan(plan: Plan) -> Rendering:
    def report() -> Report:
        from scaleplan.views.plan import plan_report

        return plan_report(plan)

    return Rendering(plan.to_dict(), report=report)


def _plans(plans: Plans) -> Rendering:
    def report() -> Report:
        from scaleplan.views.plan import comparison_report, plans_report

        laws = {plan.preset for plan in plans}
        if len(laws) > 1 and all(plan.converted is not None for plan in plans):
            return comparison_report(plans)
        return plans_report(plans.plans, title=f"{len(plans)} budgets, {', '.join(sorted(laws))}")

    return Rendering(plans.to_dict(), records=[plan.to_dict() for plan in plans], report=report)
