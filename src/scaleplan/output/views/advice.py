"""Show advice: batch and learning rate by every rule, the size of the vocabulary, the choice of a precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.output import Fact, Report, ReportTable
from scaleplan.output.views.bill import band_remarks
from scaleplan.units import (
    counted,
    format_change,
    format_count,
    format_days,
    format_factor,
    format_flops,
    format_fraction,
    format_number,
    format_power,
    format_range,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.advice.batch import Advice, Critical, Outside, RuleAnswer, Trade
    from scaleplan.advice.precisions import PrecisionChoice, PrecisionRow
    from scaleplan.advice.vocabulary import Vocabulary

__all__ = ["hyperparameters_report", "precisions_report", "vocabulary_report"]

_SYMBOLS = {"params": "N", "tokens": "D", "flops": "C", "loss": "L", "experts": "E", "tokens_per_param": "D/N"}


def hyperparameters_report(advice: Advice) -> Report:
    """Return the report: the rules, then one section for each critical batch."""
    return Report(
        title=f"{format_count(advice.params)} on {format_count(advice.tokens)} tokens, "
        f"{format_flops(advice.flops)}, {advice.preset}",
        grid=ReportTable(
            ("rule", "rate", "batch", "kind", "at", "beyond range"),
            rows=[_row(answer) for answer in advice.rules if answer.reason is None or _answered(answer)],
            text={"rule", "kind", "at", "beyond range"},
        ),
        remarks=[*_remarks(advice), *band_remarks([advice.budget] if advice.budget else [], what="time")],
        sections=[_section(critical, advice) for critical in advice.critical],
    )


def _answered(answer: RuleAnswer) -> bool:
    return answer.learning_rate is not None or answer.batch_tokens is not None


def _mark(answer: RuleAnswer) -> str:
    return "" if answer.status == "verified" else "*"


def _row(answer: RuleAnswer) -> tuple[str, ...]:
    inputs = (
        f"{_SYMBOLS.get(name, name)}={format_count(value) if name in ('params', 'tokens') else format_number(value)}"
        for name, value in answer.asked_with.items()
    )
    return (
        answer.rule + _mark(answer),
        "–" if answer.learning_rate is None else format_power(answer.learning_rate),
        "–" if answer.batch_tokens is None else format_count(answer.batch_tokens),
        answer.batch_kind or "",
        " ".join(inputs),
        ", ".join(_outside(item) for item in answer.outside),
    )


def _outside(item: Outside) -> str:
    return f"{_SYMBOLS.get(item.quantity, item.quantity)} {format_factor(item.factor)} {item.side}"


def _remarks(advice: Advice) -> Iterator[str]:
    if advice.learning_rate is not None:
        spread = advice.learning_rate
        span = format_range(spread.low, spread.high, format_power)
        yield f"learning rate: {span}, {format_factor(spread.factor)} apart"
    if advice.batch_tokens is not None:
        spread = advice.batch_tokens
        span = format_range(spread.low, spread.high, format_count)
        yield f"batch: {span} tokens, {format_factor(spread.factor)} apart"
        whole = [a.batch_sequences for a in advice.rules if a.batch_kind == "optimal" and a.batch_sequences]
        if whole:
            yield (
                f"in sequences of {advice.sequence:,.0f} tokens that GPUs and micro-batches share evenly: "
                f"{format_range(min(whole), max(whole), '{:,.0f}'.format)}"
            )
    if advice.tuned is not None:
        tuned = advice.tuned
        yield (
            f"{format_count(tuned.batch_from)} tuned on {format_count(tuned.tokens_from)} tokens "
            f"→ {format_count(tuned.batch_tokens)} by the exponents of {tuned.rule}, "
            f"{tuned.batch_sequences or 0:,} sequences in round numbers"
        )
    if any(_mark(answer) and _answered(answer) for answer in advice.rules):
        yield "* known from a single source"
    for answer in advice.rules:
        if answer.reason is not None:
            yield f"{answer.rule}: {answer.reason}"


def _section(critical: Critical, advice: Advice) -> Report:
    timed = critical.best is not None
    columns = ("batch", "steps", "tokens", "extra compute", *(("GPUs", "time") if timed else ()))
    return Report(
        title=f"critical batch by {critical.rule}: {format_count(critical.batch_tokens)} tokens, "
        f"at least {format_count(critical.steps_min)} steps",
        grid=ReportTable(columns, rows=[_trade(trade, timed=timed) for trade in critical.trades]),
        remarks=[*_times(critical, advice)],
    )


def _trade(trade: Trade, *, timed: bool) -> tuple[str, ...]:
    counts = map(format_count, (trade.batch_tokens, trade.steps, trade.tokens))
    row = (*counts, format_fraction(trade.overhead))
    if not timed or trade.gpus is None or trade.days is None:
        return row
    return (*row, f"{trade.gpus:,.0f}", format_days(trade.days))


def _times(critical: Critical, advice: Advice) -> Iterator[str]:
    best, floor = critical.best, critical.floor_days
    if best is None or floor is None or best.gpus is None or best.days is None:
        return
    worth = "" if advice.gpus is not None else "worth having: "
    yield (
        f"shortest {worth}on {best.gpus:,.0f} x {advice.gpu}: {format_days(best.days)}, "
        f"a batch of {format_count(best.batch_tokens)}; any number of them: {format_days(floor)}"
    )
    busy = counted(advice.gpus_per_replica, "GPU")
    yield f"one sequence of {advice.sequence:,.0f} tokens is taken to keep a replica of {busy} busy"


def vocabulary_report(answer: Vocabulary) -> Report:
    """Return the report of one answer."""
    return Report(
        title=f"{format_count(answer.params)} non-vocabulary parameters of width {answer.width:,.0f}, "
        f"{format_flops(answer.flops)}",
        facts=(
            Fact("vocabulary", format_count(answer.vocabulary), unit="entries"),
            Fact("its parameters", format_count(answer.vocabulary_params)),
            Fact("by IsoFLOP", format_count(answer.isoflop)),
            Fact("by derivative", format_count(answer.derivative)),
            Fact("by fitted loss", format_count(answer.parametric)),
        ),
        remarks=(
            f"the middle of three approaches of Tao et al. 2024, {format_factor(answer.spread)} apart",
            "round to a multiple of 128 that your tokenizer can be trained to",
        ),
    )


def precisions_report(choice: PrecisionChoice) -> Report:
    """Return a row for each precision, and the verdict."""
    best = next(row for row in choice.rows if row.precision == choice.best)
    if choice.best == choice.reference:
        verdict = f"{choice.best}: fewer bits cost more than their speed buys here"
    else:
        gain = format_fraction(best.advantage)
        verdict = f"{choice.best}: its loss would take {gain} more compute in {choice.reference}"
    return Report(
        title=f"{choice.gpu}, {choice.preset}",
        grid=ReportTable(
            ("precision", "speed", "compute", "worth", "parameters", "tokens", "loss", f"vs {choice.reference}"),
            rows=[_precision_row(row) for row in choice.rows],
            text={"precision"},
        ),
        remarks=(
            verdict,
            f"speed is peak times utilisation, in {choice.reference}'s; worth is N_eff/N by Kumar et al. 2024",
            *band_remarks([row.budget for row in choice.rows if row.budget], what="the compute, hours and cost"),
        ),
    )


def _precision_row(row: PrecisionRow) -> tuple[str, ...]:
    return (
        row.precision,
        format_factor(row.speed, digits=3),
        format_flops(row.flops),
        format_number(row.params_worth),
        format_count(row.params),
        format_count(row.tokens),
        format_number(row.loss, digits=4),
        format_change(row.advantage, digits=2),
    )
