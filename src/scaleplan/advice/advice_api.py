"""The Python API of advice: batch and learning rate, the precision, the size of the vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from scaleplan.advice.batch import advise_batch
from scaleplan.advice.precisions import compare_precisions
from scaleplan.advice.vocabulary import advise_vocabulary
from scaleplan.api import loss, optimal
from scaleplan.errors import UsageError
from scaleplan.models.sequences import DEFAULT_CONTEXT
from scaleplan.planning.request import SWEPT
from scaleplan.units import parse_count, parse_flops, parse_integer, parse_positive

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.advice.batch import Advice
    from scaleplan.advice.precisions import PrecisionChoice
    from scaleplan.advice.vocabulary import Vocabulary
    from scaleplan.planning.plan import Plan
    from scaleplan.planning.request import QuestionKeywords
    from scaleplan.units import Amount

__all__ = ["hyperparameters", "precisions", "vocab"]

_SET_HERE = ("precision", "measured", "train_bits", "bits_weights", "bits_activations", "bits_kv", "fp_format")


def hyperparameters(
    *,
    batch: Amount | None = None,
    tuned_batch: Amount | None = None,
    tuned_tokens: Amount | None = None,
    vocabulary: Amount | None = None,
    context: Amount = DEFAULT_CONTEXT,
    gpus_per_replica: Amount = 1,
    **options: Unpack[QuestionKeywords],
) -> Advice:
    """Return batch and learning rate by every published rule, their spread, and the time the critical batch allows.

    Parameters
    ----------
    batch
        A batch in tokens to show among the trades.
    tuned_batch, tuned_tokens
        A batch that was tuned by experiment, and the training tokens it was tuned on, to carry over.
    vocabulary
        The vocabulary of the model, where a rule counts parameters otherwise; 32,000 if not given.
    context
        Tokens in a training sequence.
    gpus_per_replica
        GPUs that hold one copy of the model.
    options
        A budget as for :func:`scaleplan.optimal`, or ``params`` and ``tokens`` as for :func:`scaleplan.loss`.

    """
    if (tuned_batch is None) != (tuned_tokens is None):
        raise UsageError(
            "--tuned-batch and --tuned-tokens belong together", hint="give the batch and the tokens it was tuned on"
        )
    tuned = None
    if tuned_batch is not None and tuned_tokens is not None:
        tuned = parse_count(tuned_batch, what="tokens"), parse_count(tuned_tokens, what="tokens")
    return advise_batch(
        _plan(options),
        batch=None if batch is None else parse_count(batch, what="tokens"),
        tuned=tuned,
        vocabulary=None if vocabulary is None else parse_count(vocabulary, what="tokens"),
        context=parse_count(context, what="tokens"),
        gpus_per_replica=parse_integer(gpus_per_replica),
    )


def _plan(options: Mapping[str, Any]) -> Plan:
    """Return the plan of a model on some tokens when both are given, else the optimum of a budget."""
    has_budget = any(options.get(name) is not None for name in SWEPT)
    if has_budget or options.get("params") is None or options.get("tokens") is None:
        return optimal(**options)
    if options.get("limit"):
        raise UsageError("--limit bounds nothing where --params and --tokens are given", hint="drop --limit")
    return loss(**{name: value for name, value in options.items() if name not in (*SWEPT, "limit")})


def precisions(**options: Unpack[QuestionKeywords]) -> PrecisionChoice:
    """Return whether fewer bits pay on a GPU: their speed against what a parameter is then worth.

    Parameters
    ----------
    options
        A budget in time or money on a ``gpu``, as for :func:`scaleplan.optimal`; the bits are what is compared.

    """
    for name in _SET_HERE:
        if options.get(name) is not None:
            raise UsageError(
                f"--{name.replace('_', '-')} is what this command compares",
                hint="drop it, or ask 'scaleplan optimal'",
            )
    return compare_precisions(**{name: value for name, value in options.items() if name not in _SET_HERE})


def vocab(params: Amount, *, flops: Amount | None = None, width: Amount | None = None) -> Vocabulary:
    """Return how large the vocabulary of a model should be, by three published approaches.

    Parameters
    ----------
    params
        The model size without the vocabulary: ``"7B"``.
    flops
        The training compute; the optimal one for the size if not given.
    width
        The width of the model; the paper's for the size if not given.

    """
    return advise_vocabulary(
        parse_count(params, what="params"),
        flops=None if flops is None else parse_flops(flops),
        width=None if width is None else parse_positive(width),
    )
