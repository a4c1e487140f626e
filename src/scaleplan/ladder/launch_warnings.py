"""Warn, before runs are submitted, of what may keep them from starting, make them longer, or make them tell less."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from scaleplan.errors import Notice, quote
from scaleplan.ladder.engines import engine_of
from scaleplan.ladder.sized_run import SLOW_LAYER
from scaleplan.models.styles import STYLES
from scaleplan.units import counted, format_factor, format_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from scaleplan.advice.batch import Outside
    from scaleplan.ladder.command import CommandTemplate
    from scaleplan.ladder.sized_run import SizedRun

__all__ = ["launch_warnings"]

_FEW_STEPS = 100
"""Steps below which a run hardly leaves its warm-up: 100 in nanoGPT's recipe for the smallest models."""


def launch_warnings(
    sized: Sequence[SizedRun],
    *,
    engine: str,
    command: CommandTemplate,
    rule: str,
    style: str,
    vocab: int | None,
    gpus: int,
) -> Iterator[Notice]:
    """Yield a warning for each cause; ``vocab`` is the vocabulary that the user gives, ``gpus`` those of each run."""
    yield from dict.fromkeys(notice for each in sized for notice in each.notices)
    yield from _of_folder(engine)
    if vocab is None:
        yield from _of_vocabulary(sized, style)
    yield from _of_command(sized, command, gpus)
    yield from _of_rule(sized, rule)
    yield from _of_kernels(sized, gpus)
    yield from _of_gpus(sized, gpus)
    yield from _of_steps(sized)


def _of_folder(engine: str) -> Iterator[Notice]:
    """Warn of a folder whose path has a character that the engine reads as a mark of its own."""
    with suppress(OSError):  # without a present folder nothing is read of its path
        place = str(Path.cwd())
        for mark in [each for each in engine_of(engine).marks if each in place][:1]:
            yield Notice(
                code="mark_in_folder",
                message=f"{engine} starts no run from this folder, reading {quote(mark)} in its path as a mark: "
                "submit with --output=/PLACE/slurm-%A.out, or design from a folder without one",
            )


def _of_vocabulary(sized: Sequence[SizedRun], style: str) -> Iterator[Notice]:
    common = sized[0].model.architecture.vocab
    if common < STYLES[style].vocab:
        yield Notice(
            code="small_vocabulary",
            message=f"all runs have a vocabulary of {common:,}, as suits the smallest, so that losses compare: "
            "--vocab gives that of your tokenizer, --limit 'params >= …' leaves out sizes too small for it",
        )


def _of_command(sized: Sequence[SizedRun], command: CommandTemplate, gpus: int) -> Iterator[Notice]:
    """Warn of values that the command does not hand to the program."""
    lacking = [*_lacking(sized, command)]
    if lacking:
        yield Notice(
            code="values_unused",
            message=f"--command has no {', no '.join(lacking)}: what the runs have of their own there does not "
            "reach the program",
        )
    if gpus > 1 and not command.has("gpus"):
        yield Notice(
            code="gpus_unused",
            message=f"each run has {gpus} GPUs, and --command has no {{gpus}} that tells the program: "
            "'torchrun --nproc-per-node {gpus} train.py …' starts a process on each",
        )


def _lacking(sized: Sequence[SizedRun], command: CommandTemplate) -> Iterator[str]:
    """Yield the placeholders by which runs differ and that the command does not have, nor their name."""
    if command.has("name"):  # by which a program may look the run up
        return
    for names, values in (
        (("layers", "width", "params"), {each.model.params for each in sized}),
        (("tokens", "steps"), {each.tokens for each in sized}),
        (("batch", "batch_sequences"), {each.sequences for each in sized}),
        (("lr",), {each.rate for each in sized}),
        (("seed",), set(range(max(each.seeds for each in sized)))),
    ):
        if len(values) > 1 and not command.has(*names):
            *others, last = (f"{{{name}}}" for name in names)
            yield f"{', '.join(others)} or {last}" if others else last


def _of_rule(sized: Sequence[SizedRun], rule: str) -> Iterator[Notice]:
    """Warn of runs beyond what the rule for batch and rate was fitted on."""
    outside = [each for each in sized if each.answer.outside]
    if outside:
        farthest = _farthest(gone for each in outside for gone in each.answer.outside)
        yield Notice(
            code="rule_range",
            message=f"{_share(outside, sized)} are beyond what rule {rule} was fitted on: {'; '.join(farthest)}; try "
            "a run at a quarter of its rate first",
        )


_QUANTITIES = {"params": "parameters", "tokens": "tokens", "flops": "compute", "tokens_per_param": "tokens/param"}


def _farthest(outside: Iterable[Outside]) -> list[str]:
    """Return how far quantities leave their ranges, by the farthest on either side of each."""
    most: dict[str, dict[str, float]] = {}
    for gone in outside:
        sides = most.setdefault(gone.quantity, {})
        sides[gone.side] = max(gone.factor, sides.get(gone.side, 1.0))
    return [
        f"{_QUANTITIES.get(quantity, quantity)} up to "
        + " and ".join(f"{format_factor(factor)} {side}" for side, factor in sorted(sides.items()))
        for quantity, sides in sorted(most.items())
    ]


def _of_kernels(sized: Sequence[SizedRun], gpus: int) -> Iterator[Notice]:
    """Warn of steps so short that starting their kernels may take longer than they do."""
    short = [(each, each.hours) for each in sized if each.hours is not None and each.hours < each.least_hours]
    if short:
        step = min(hours / each.steps for each, hours in short) * 3600
        total = sum(each.seeds * max(each.hours or 0.0, each.least_hours) for each in sized) * gpus
        yield Notice(
            code="short_steps",
            message=f"{_share([each for each, _ in short], sized)} are predicted at "
            f"{format_number(1e3 * step, digits=2)} ms a step and up, and a program that starts one kernel after "
            f"another takes up to {format_number(1e3 * SLOW_LAYER, digits=2)} ms a layer: together the runs may "
            f"take {format_number(total, digits=2)} GPU-hours; a compiled step or CUDA graphs are faster",
        )


def _of_gpus(sized: Sequence[SizedRun], gpus: int) -> Iterator[Notice]:
    """Warn of GPUs that have no sequence of a batch."""
    idle = [each for each in sized if each.sequences < gpus]
    if idle:
        least = min(each.sequences for each in idle)
        yield Notice(
            code="idle_gpus",
            message=f"{_share(idle, sized)} have batches of fewer sequences than their {gpus} GPUs, the least "
            f"{least}, and take longer than predicted where GPUs take whole sequences: --gpus {least}, or a shorter "
            "--context",
        )


def _of_steps(sized: Sequence[SizedRun]) -> Iterator[Notice]:
    """Warn of runs that end in their warm-up."""
    few = [each for each in sized if each.steps < _FEW_STEPS]
    if few:
        yield Notice(
            code="few_steps",
            message=f"{_share(few, sized)} have fewer than {_FEW_STEPS} steps, the least "
            f"{min(each.steps for each in few)}, as many as a warm-up takes: --limit 'tokens_per_param >= …' leaves "
            "them out",
        )


def _share(some: Sequence[SizedRun], sized: Sequence[SizedRun]) -> str:
    """Return how many of all runs some are, seeds counted."""
    number, total = (sum(each.seeds for each in runs) for runs in (some, sized))
    return f"{number} of {counted(total, 'run')}"
