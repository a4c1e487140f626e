"""The command that weighs the precisions of an accelerator against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.cli.command import Answer, command, single
from scaleplan.cli.options import BoundOptions, BudgetOptions, ConstraintOptions, LawOptions, words
from scaleplan.errors import UsageError
from scaleplan.formats import Rendering

if TYPE_CHECKING:
    from scaleplan.formats.report import Report

__all__ = ["APPS"]

APPS = {"precisions": single()}

_SET_HERE = ("precision", "train_bits", "bits_weights", "bits_activations", "bits_kv", "fp_format")


@command(
    APPS["precisions"],
    examples=[
        "scaleplan precisions --gpus 64 --time 30d --gpu h100-sxm",
        "scaleplan precisions --cost 250k --gpu b200 --mfu 0.35 --get best",
    ],
)
def precisions(
    budget: BudgetOptions, law: LawOptions, bounds: BoundOptions, constraints: ConstraintOptions
) -> Answer:
    """Tell whether fewer bits pay on an accelerator: their speed against what a parameter is then worth."""
    from scaleplan.advice.precisions import compare_precisions

    asked = words(budget, law, bounds, constraints)
    for name in _SET_HERE:
        if asked.pop(name) is not None:
            raise UsageError(
                f"--{name.replace('_', '-')} is what this command compares",
                hint="drop it, or ask 'scaleplan optimal'",
            )
    result = compare_precisions(**asked)

    def report() -> Report:
        from scaleplan.views.precisions import precisions_report

        return precisions_report(result)

    return Answer(rendering=Rendering(result.to_dict(), report=report), notices=result.warnings)
