"""The command that advises on batch and learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from scaleplan import api
from scaleplan.advice.hyperparameters import advise
from scaleplan.cli.command import Answer, command, single
from scaleplan.cli.options import BoundOptions, BudgetOptions, ConstraintOptions, HardwareOptions, LawOptions, words
from scaleplan.errors import UsageError
from scaleplan.formats import Rendering
from scaleplan.quantities import parse_count, parse_integer

if TYPE_CHECKING:
    from scaleplan.formats.report import Report
    from scaleplan.planning.plan import Plan

__all__ = ["APPS"]

APPS = {"hyperparameters": single()}


@command(
    APPS["hyperparameters"],
    examples=[
        "scaleplan hyperparameters --flops 1e21",
        "scaleplan hyperparameters --params 7B --tokens 1.4T --gpu h100-sxm --gpus 1024",
        "scaleplan hyperparameters --flops 1e22 --tuned-batch 512k --tuned-tokens 10B",
    ],
)
def hyperparameters(
    budget: BudgetOptions,
    law: LawOptions,
    bounds: BoundOptions,
    constraints: ConstraintOptions,
    *,
    batch: Annotated[str | None, typer.Option(metavar="TOKENS", help="A batch to show among the trades: 4M.")] = None,
    tuned_batch: Annotated[
        str | None, typer.Option(metavar="TOKENS", help="A batch you tuned on --tuned-tokens, to carry over.")
    ] = None,
    tuned_tokens: Annotated[
        str | None, typer.Option(metavar="TOKENS", help="The training tokens --tuned-batch was tuned on.")
    ] = None,
    sequence: Annotated[str, typer.Option(metavar="TOKENS", help="Tokens of one sequence.")] = "4096",
    gpus_per_replica: Annotated[
        str, typer.Option(metavar="N", help="Accelerators that hold one copy of the model.")
    ] = "1",
) -> Answer:
    """Give batch and learning rate by every published rule, their spread, and the time the critical batch allows."""
    if (tuned_batch is None) != (tuned_tokens is None):
        raise UsageError(
            "--tuned-batch and --tuned-tokens belong together", hint="give the batch and the tokens it was tuned on"
        )
    advice = advise(
        _plan(budget, law, bounds, constraints),
        batch=None if batch is None else parse_count(batch, what="tokens"),
        tuned=None
        if tuned_batch is None or tuned_tokens is None
        else (parse_count(tuned_batch, what="tokens"), parse_count(tuned_tokens, what="tokens")),
        sequence=parse_count(sequence, what="tokens"),
        gpus_per_replica=parse_integer(gpus_per_replica),
    )

    def report() -> Report:
        from scaleplan.views.hyperparameters import hyperparameters_report

        return hyperparameters_report(advice)

    return Answer(rendering=Rendering(advice.to_dict(), report=report), notices=advice.warnings)


def _plan(budget: BudgetOptions, law: LawOptions, bounds: BoundOptions, constraints: ConstraintOptions) -> Plan:
    """Return the plan asked about: a model on some tokens when both are given, else the optimum of a budget."""
    asked = words(budget, law, bounds, constraints)
    given = [name for name in ("flops", "gpu_hours", "time", "cost") if asked[name] is not None]
    if given or bounds.params is None or bounds.tokens is None:
        return api.optimal(**asked)
    if bounds.limit:
        raise UsageError("--limit bounds nothing where --params and --tokens are given", hint="drop --limit")
    hardware = words(law, constraints) | {name: asked[name] for name in HardwareOptions.__dataclass_fields__}
    return api.loss(params=bounds.params, tokens=bounds.tokens, gpus=budget.gpus, **hardware)
