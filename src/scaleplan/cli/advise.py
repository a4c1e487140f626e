"""The commands that advise: on batch and learning rate, on the precision, on the size of the vocabulary."""

from __future__ import annotations

from typing import Annotated

import typer

from scaleplan.advice import advice_api
from scaleplan.cli.command import Answer, command, single
from scaleplan.cli.options import (
    MORE,
    BoundOptions,
    BudgetOptions,
    ConstraintOptions,
    LawOptions,
    keywords,
)
from scaleplan.models.sequences import DEFAULT_CONTEXT

__all__ = ["APPS"]

APPS = {name: single() for name in ("hyperparameters", "precisions", "vocab")}


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
    vocabulary: Annotated[
        str | None,
        typer.Option(metavar="N", help="Vocabulary, where a rule counts parameters otherwise; 32,000, of bytes 256."),
        MORE,
    ] = None,
    context: Annotated[
        str, typer.Option("--context", "--sequence", metavar="T", help="Tokens in a training sequence.")
    ] = str(DEFAULT_CONTEXT),
    gpus_per_replica: Annotated[
        str, typer.Option(metavar="N", help="GPUs that hold one copy of the model."), MORE
    ] = "1",
) -> Answer:
    """Give batch and learning rate by every published rule, their spread, and the time the critical batch allows."""
    advice = advice_api.hyperparameters(
        batch=batch,
        tuned_batch=tuned_batch,
        tuned_tokens=tuned_tokens,
        vocabulary=vocabulary,
        context=context,
        gpus_per_replica=gpus_per_replica,
        **keywords(budget, law, bounds, constraints),
    )
    return Answer(result=advice, notices=advice.warnings)


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
    """Tell whether fewer bits pay on a GPU: their speed against what a parameter is then worth."""
    result = advice_api.precisions(**keywords(budget, law, bounds, constraints))
    return Answer(result=result, notices=result.warnings)


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
    answer = advice_api.vocab(params, flops=flops, width=width)
    return Answer(result=answer, notices=answer.warnings)
