"""Advise on the batch and learning rate of a planned run by every rule of thumb, and on the time that batches leave.

Each rule gets its inputs by its own conventions: parameters are converted where that is known, and each answer
records its inputs. The rules disagree by large factors; the spread is part of the advice.

A rule for the critical batch gives the trade between steps and tokens around it. McCandlish et al. 2018
(arXiv:1812.06162): (S/S_min - 1)(E/E_min - 1) = 1, with E = B*S, so that a batch B takes S = S_min (1 + B_crit/B)
steps and E = E_min (1 + B/B_crit) tokens, where B_crit = E_min/S_min.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from scaleplan.arrays import whole
from scaleplan.errors import Notice, UsageError
from scaleplan.models.sequences import DEFAULT_CONTEXT, round_number
from scaleplan.planning.context import Context
from scaleplan.presets.conventions import Embedding, convert_params, unconvertible
from scaleplan.record import Record, Result
from scaleplan.units import SECONDS_PER_DAY, format_count, format_factor, format_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scaleplan.hardware.budget import Budget
    from scaleplan.laws.base import Curve
    from scaleplan.planning.plan import Plan
    from scaleplan.presets.rules import Rule

__all__ = [
    "Advice",
    "Cluster",
    "Critical",
    "Outside",
    "RuleAnswer",
    "RuleInput",
    "Trade",
    "Tradeoff",
    "advise_batch",
    "rule_answer",
    "whole_batch",
]

_TRADES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)  # the batches shown, over the critical one
_EDGE = 1.1  # the edge of a grid of experiments is not sharper than that
_LOSS_UNIT = "nats/token"

_LEAST_VOCABULARY = 2.0
_LARGE_SPREAD = 2.0  # beyond a factor of two no single rule is reliable
_COUNTS = ("params", "tokens", "experts")


class Outside(Record):
    """By what factor a quantity leaves the range a rule was fitted on; ``side`` is ``above`` or ``below``."""

    quantity: str
    factor: float
    side: str


class RuleAnswer(Record):
    """The learning rate and the batch in tokens by one rule; None where it has none, and ``reason`` why.

    ``asked_with`` holds the inputs by the rule's own conventions. ``batch_sequences`` is the batch as it can be used:
    whole sequences, a round number for each replica of the model.
    """

    rule: str
    status: str
    learning_rate: float | None
    batch_tokens: float | None
    batch_kind: str | None
    params_convention: str
    asked_with: dict[str, float]
    outside: tuple[Outside, ...]
    reason: str | None
    source: str
    batch_sequences: int | None = None


class RuleInput(Record):
    """What rules look at of a run: its sizes, by the conventions of ``law``, and the loss that is expected of it."""

    law: str
    params: float
    params_convention: str
    tokens: float
    flops: float
    loss: float | None = None
    loss_unit: str | None = None
    experts: float | None = None

    @classmethod
    def of(cls, plan: Plan) -> RuleInput:
        """Return the sizes of a plan."""
        return cls(
            law=plan.preset,
            params=plan.params,
            params_convention=plan.params_convention,
            tokens=plan.tokens,
            flops=plan.flops,
            loss=plan.loss,
            loss_unit=plan.loss_unit,
            experts=plan.experts,
        )


class Spread(Record):
    """The smallest and the largest answer, and their ratio."""

    low: float
    high: float
    factor: float


class Trade(Record):
    """A run with one batch; ``overhead`` is the share of extra tokens, the time is for a known cluster."""

    batch_tokens: float
    steps: float
    tokens: float
    overhead: float
    gpus: float | None
    days: float | None


class Critical(Record):
    """The trades around one rule's critical batch, the best on the cluster, and the least time of all."""

    rule: str
    batch_tokens: float
    steps_min: float
    trades: tuple[Trade, ...]
    best: Trade | None
    floor_days: float | None


class Tuned(Record):
    """A batch tuned on fewer tokens, carried to the plan's by published exponents; batches in tokens."""

    tokens_from: float
    batch_from: float
    batch_tokens: float
    rule: str
    batch_sequences: int | None = None


class Advice(Record, Result):
    """Batch and learning rate of a plan by several rules; None where not available."""

    schema: ClassVar[str] = "scaleplan/hyperparameters/1"

    preset: str
    params: float
    tokens: float
    flops: float
    loss: float | None
    rules: tuple[RuleAnswer, ...]
    learning_rate: Spread | None
    batch_tokens: Spread | None
    critical: tuple[Critical, ...]
    tuned: Tuned | None
    sequence: float
    gpus_per_replica: float
    gpu: str | None
    gpus: float | None
    warnings: tuple[Notice, ...] = ()
    budget: Budget | None = None


class Tradeoff(Record):
    """Steps and tokens of one run as functions of its batch.

    ``tokens_min`` is E_min, the tokens in the limit of small batches; ``critical`` is B_crit, the batch in tokens at
    which both steps and tokens are twice their minimum.
    """

    tokens_min: float
    critical: float

    @property
    def steps_min(self) -> float:
        """Steps in the limit of large batches."""
        return self.tokens_min / self.critical

    def steps(self, batch: float) -> float:
        """Return the steps with a batch in tokens."""
        return self.steps_min * (1 + self.critical / batch)

    def tokens(self, batch: float) -> float:
        """Return the tokens with a batch in tokens."""
        return self.tokens_min * (1 + batch / self.critical)


class Cluster(Record):
    """GPUs in replicas of the model that each take whole sequences, by which a batch becomes time.

    ``flops_per_second`` is the peak of one GPU times utilisation; ``gpus`` is None for as many as the batch
    can feed; ``sequence`` is the tokens of one sequence, and ``gpus_per_replica`` hold one copy of the model.
    """

    flops_per_second: float
    gpus: float | None
    sequence: float
    gpus_per_replica: float

    def fed(self, batch: float) -> float:
        """Return the number of GPUs that a batch keeps busy, with one sequence or more a replica."""
        feedable = max(1.0, batch / self.sequence) * self.gpus_per_replica
        return feedable if self.gpus is None else min(self.gpus, feedable)

    def seconds(self, flops: float, trade: Tradeoff, batch: float) -> float:
        """Return the time of a run that needs ``flops`` at small batches, with this batch."""
        spent = flops * trade.tokens(batch) / trade.tokens_min
        return spent / (self.fed(batch) * self.flops_per_second)

    def floor_seconds(self, flops: float, trade: Tradeoff) -> float:
        """Return the time that no number of GPUs undercuts: S_min steps of one sequence a replica."""
        step = flops / trade.tokens_min * self.sequence / (self.gpus_per_replica * self.flops_per_second)
        return trade.steps_min * step

    def best_batch(self, trade: Tradeoff) -> float:
        """Return the batch with the shortest time.

        Below the batch that feeds every GPU the time falls as 1/B + 1/B_crit, above it rises: the best
        batch feeds exactly all of them. Without a number of GPUs it is the critical batch, where the
        time is twice the floor; larger ones gain at most that factor and waste the tokens.
        """
        if self.gpus is None:
            return max(trade.critical, self.sequence)
        return math.floor(max(1.0, self.gpus / self.gpus_per_replica)) * self.sequence

    @property
    def replicas(self) -> int:
        """Whole copies of the model that its GPUs hold; 1 for any number of them."""
        return 1 if self.gpus is None else max(1, math.floor(self.gpus / self.gpus_per_replica))


def advise_batch(
    plan: Plan,
    *,
    batch: float | None = None,
    tuned: tuple[float, float] | None = None,
    vocabulary: float | None = None,
    context: float = DEFAULT_CONTEXT,
    gpus_per_replica: float = 1.0,
) -> Advice:
    """Return batch and learning rate for a plan by every rule that applies to it.

    ``batch`` in tokens is added to the trades; ``tuned`` is a batch tuned by experiment and the tokens it was tuned
    on, to be carried to the plan's tokens. ``vocabulary`` is that of the plan's model, where a rule counts its
    parameters without the embedding or with it: 32,000 when None, as in Chinchilla's family; a byte-level model has
    256. The GPU of the plan's budget, if any, turns batches into time, by sequences of ``context``
    tokens and ``gpus_per_replica``.
    """
    if batch is not None and not 1 <= batch <= plan.tokens:
        raise UsageError(
            f"a batch of {format_count(batch)} tokens is no step of {format_count(plan.tokens)} tokens",
            hint=f"give 1 to {format_count(plan.tokens)} tokens",
        )
    for name, amount in {"context": context, "tuned batch": min(tuned or (1.0,))}.items():
        if amount < 1:
            raise UsageError(
                f"a {name} of {format_plain(amount)} tokens is less than one", hint="give 1 token or more"
            )
    rules = Context().rules.all()
    when = {"always"} if plan.experts is None else {"always", "experts"}
    if vocabulary is not None and vocabulary < _LEAST_VOCABULARY:
        raise UsageError(
            f"a vocabulary of {format_plain(vocabulary)} tells nothing apart",
            hint="bytes have 256, usual ones 32,000",
        )
    family = Embedding() if vocabulary is None else Embedding.of(vocabulary=vocabulary)
    cluster = _cluster(plan, context, gpus_per_replica)
    replicas = 1 if cluster is None else cluster.replicas

    def usable(tokens: float) -> int:
        return whole_batch(tokens / context, replicas)

    run = RuleInput.of(plan)
    answers = tuple(
        rule_answer(rule, run, family, usable) for rule in rules if not rule.exponents and rule.advise in when
    )
    rates = [answer.learning_rate for answer in answers if answer.learning_rate is not None]
    optimal = [answer.batch_tokens for answer in answers if answer.batch_kind == "optimal" and answer.batch_tokens]
    return Advice(
        preset=plan.preset,
        params=plan.params,
        tokens=plan.tokens,
        flops=plan.flops,
        loss=plan.loss,
        rules=answers,
        learning_rate=_spread(rates),
        batch_tokens=_spread(optimal),
        critical=tuple(
            _critical(answer.rule, answer.batch_tokens, plan, cluster, batch)
            for answer in answers
            if answer.batch_kind == "critical" and answer.batch_tokens
        ),
        tuned=None if tuned is None else _tuned(rules, plan, *tuned, usable),
        sequence=float(context),
        gpus_per_replica=gpus_per_replica,
        gpu=plan.budget.gpu,
        gpus=plan.budget.gpus,
        budget=None if plan.budget.gpu is None else plan.budget,
        warnings=(*plan.warnings, *_disagreement(rates, optimal)),
    )


def whole_batch(sequences: float, replicas: int) -> int:
    """Return the number of sequences nearest to a batch that some replicas, and their micro-batches, share evenly.

    A batch that is too small to give each replica one is for as many replicas as it has sequences.
    """
    return replicas * round_number(sequences / replicas) if sequences >= replicas else round_number(sequences)


def rule_answer(rule: Rule, run: RuleInput, family: Embedding, usable: Callable[[float], int]) -> RuleAnswer:
    """Return what a rule says of a run.

    ``family`` converts its parameters to the convention of the rule, ``usable`` makes whole sequences of a batch.
    """
    given, reason = _inputs(rule, run, family)
    rate, batch = _value(rule.learning_rate, given), _value(rule.batch, given)
    if rate is not None and rate <= 0:
        rate, reason = None, "its learning rate is negative at this size"
    answered = rate is not None or batch is not None
    return RuleAnswer(
        rule=rule.id,
        status=rule.status,
        learning_rate=rate,
        batch_tokens=None if batch is None else _count(batch * rule.tokens_each),
        batch_kind=rule.batch_kind,
        params_convention=rule.params,
        asked_with={
            name: whole(given[name]) if name in _COUNTS else given[name] for name in _needed(rule) if name in given
        },
        outside=_outside(rule, {**given, "flops": run.flops, "tokens": run.tokens}) if answered else (),
        reason=reason,
        source=rule.source,
        batch_sequences=None if batch is None else usable(batch * rule.tokens_each),
    )


def _count(value: float) -> float:
    """Return a number of tokens, steps or GPUs as the nearest whole one, 1 at least."""
    return max(1, whole(value))


def _needed(rule: Rule) -> tuple[str, ...]:
    curves = [curve for curve in (rule.learning_rate, rule.batch) if curve is not None]
    return tuple(dict.fromkeys(name for curve in curves for name in curve.inputs))


def _inputs(rule: Rule, run: RuleInput, family: Embedding) -> tuple[dict[str, float], str | None]:
    """Return the quantities by the rule's conventions, and why one that it needs is missing."""
    given = {"tokens": run.tokens, "flops": run.flops}
    if run.experts is not None:
        given["experts"] = run.experts
    reason = None
    own = run.params_convention
    target = own if rule.params == "not stated" else rule.params
    cause = unconvertible(own, target)
    if own == "flops_per_token":
        cause = "the plan's law counts FLOP per token, not parameters"
    if cause is None:
        given["params"] = convert_params(run.params, source=own, target=target, embedding=family)
    elif "params" in _needed(rule):
        reason = f"it counts {target.replace('_', ' ')} parameters: {cause}"
    if run.loss is not None and run.loss_unit == _LOSS_UNIT:
        given["loss"] = run.loss
    elif "loss" in _needed(rule):
        instead = "none" if run.loss is None else f"one in {run.loss_unit}"
        reason = f"it needs a loss in {_LOSS_UNIT}, and {run.law} gives {instead}"
    return given, reason


def _value(curve: Curve | None, given: dict[str, float]) -> float | None:
    if curve is None or not set(curve.inputs) <= set(given):
        return None
    return curve.value(**{name: given[name] for name in curve.inputs})


def _outside(rule: Rule, given: dict[str, float]) -> tuple[Outside, ...]:
    found = []
    ratio = {"tokens_per_param": given["tokens"] / given["params"]} if "params" in given else {}
    for name, value in {**given, **ratio}.items():
        low, high = getattr(rule.range, name, None) or (0.0, math.inf)
        if value > high * _EDGE:
            found.append(Outside(quantity=name, factor=value / high, side="above"))
        elif value < low / _EDGE:
            found.append(Outside(quantity=name, factor=low / value, side="below"))
    return tuple(found)


def _spread(values: Sequence[float]) -> Spread | None:
    if not values:
        return None
    return Spread(low=min(values), high=max(values), factor=max(values) / min(values))


def _disagreement(rates: Sequence[float], batches: Sequence[float]) -> tuple[Notice, ...]:
    factors = {
        name: max(values) / min(values) for name, values in (("learning rate", rates), ("batch", batches)) if values
    }
    wide = " and ".join(
        f"the {name} by {format_factor(factor)}" for name, factor in factors.items() if factor > _LARGE_SPREAD
    )
    message = f"the rules disagree: {wide}; tune at small scale"
    return (Notice(code="rules_disagree", message=message),) if wide else ()


def _tuned(
    rules: Sequence[Rule], plan: Plan, batch: float, tokens: float, usable: Callable[[float], int]
) -> Tuned | None:
    for rule in rules:
        if "batch" in rule.exponents:
            factor = rule.ratio("batch", {"tokens": tokens}, {"tokens": plan.tokens})
            return Tuned(
                tokens_from=tokens,
                batch_from=batch,
                batch_tokens=_count(batch * factor),
                rule=rule.id,
                batch_sequences=usable(batch * factor),
            )
    return None


def _cluster(plan: Plan, sequence: float, gpus_per_replica: float) -> Cluster | None:
    budget = plan.budget
    if budget.peak_flops_per_s is None or budget.utilisation is None:
        return None
    return Cluster(
        flops_per_second=budget.peak_flops_per_s * budget.utilisation,
        gpus=budget.gpus,
        sequence=sequence,
        gpus_per_replica=gpus_per_replica,
    )


def _critical(rule: str, critical: float, plan: Plan, cluster: Cluster | None, batch: float | None) -> Critical:
    trade = Tradeoff(tokens_min=plan.tokens, critical=critical)
    batches = sorted({share * trade.critical for share in _TRADES} | ({batch} if batch else set()))
    return Critical(
        rule=rule,
        batch_tokens=_count(critical),
        steps_min=_count(trade.steps_min),
        trades=tuple(_trade(trade, plan.flops, cluster, size) for size in batches),
        best=None if cluster is None else _trade(trade, plan.flops, cluster, cluster.best_batch(trade)),
        floor_days=None if cluster is None else cluster.floor_seconds(plan.flops, trade) / SECONDS_PER_DAY,
    )


def _trade(trade: Tradeoff, flops: float, cluster: Cluster | None, batch: float) -> Trade:
    return Trade(
        batch_tokens=_count(batch),
        steps=_count(trade.steps(batch)),
        tokens=_count(trade.tokens(batch)),
        overhead=batch / trade.critical,
        gpus=None if cluster is None else _count(cluster.fed(batch)),
        days=None if cluster is None else cluster.seconds(flops, trade, batch) / SECONDS_PER_DAY,
    )
