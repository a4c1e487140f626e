"""The commands that advise: on batch and learning rate, on the precision, on the size of the vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from scaleplan import api
from scaleplan.advice.batch import advise_batch
from scaleplan.advice.precisions import compare_precisions
from scaleplan.advice.vocabulary import advise_vocabulary
from scaleplan.cli.command import Answer, command, single
from scaleplan.cli.options import (
    MORE,
    BoundOptions,
    BudgetOptions,
    ConstraintOptions,
    HardwareOptions,
    LawOptions,
    keywords,
)
from scaleplan.errors import UsageError
from scaleplan.models.sequences import DEFAULT_CONTEXT
from scaleplan.planning.request import SWEPT
from scaleplan.units import parse_count, parse_flops, parse_integer, parse_positive

if TYPE_CHECKING:
    from scaleplan.planning.plan import Plan

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
    if (tuned_batch is None) != (tuned_tokens is None):
        raise UsageError(
            "--tuned-batch and --tuned-tokens belong together", hint="give the batch and the tokens it was tuned on"
        )
    tuned = None
    if tuned_batch is not None and tuned_tokens is not None:
        tuned = parse_count(tuned_batch, what="tokens"), parse_count(tuned_tokens, what="tokens")
    advice = advise_batch(
        _plan(budget, law, bounds, constraints),
        batch=None if batch is None else parse_count(batch, what="tokens"),
        tuned=tuned,
        vocabulary=None if vocabulary is None else parse_count(vocabulary, what="tokens"),
        context=parse_count(context, what="tokens"),
        gpus_per_replica=parse_integer(gpus_per_replica),
    )
    return Answer(result=advice, notices=advice.warnings)


def _plan(budget: BudgetOptions, law: LawOptions, bounds: BoundOptions, constraints: ConstraintOptions) -> Plan:
    """Return the plan of a model on some tokens when both are given, else the optimum of a budget."""
    given = keywords(budget, law, bounds, constraints)
    has_budget = any(given[name] is not None for name in SWEPT)
    if has_budget or bounds.params is None or bounds.tokens is None:
        return api.optimal(**given)
    if bounds.limit:
        raise UsageError("--limit bounds nothing where --params and --tokens are given", hint="drop --limit")
    hardware = keywords(law, constraints) | {name: given[name] for name in HardwareOptions.__dataclass_fields__}
    return api.loss(params=bounds.params, tokens=bounds.tokens, gpus=budget.gpus, **hardware)


_SET_HERE = ("precision", "measured", "train_bits", "bits_weights", "bits_activations", "bits_kv", "fp_format")


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
    given = keywords(budget, law, bounds, constraints)
    for name in _SET_HERE:
        if given.pop(name) is not None:
            raise UsageError(
                f"--{name.replace('_', '-')} is what this command compares",
                hint="drop it, or ask 'scaleplan optimal'",
            )
    result = compare_precisions(**given)
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
    answer = advise_vocabulary(
        parse_count(params, what="params"),
        flops=None if flops is None else parse_flops(flops),
        width=None if width is None else parse_positive(width),
    )
    return Answer(result=answer, notices=answer.warnings)
