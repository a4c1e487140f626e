"""The commands about training runs: fit a law to them, backtest it, design the next ones."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

import typer

from scaleplan.cli.command import Answer, command, single
from scaleplan.cli.options import (
    EVERYDAY,
    MORE,
    PANELS,
    LimitOptions,
    keywords,
)
from scaleplan.errors import Notice, UsageError, quote
from scaleplan.files import is_file, require_writable
from scaleplan.laws.curves import ALIASES, FITTED
from scaleplan.presets.library import require_written_by_fit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

__all__ = ["APPS", "Progress"]

APPS = {name: single() for name in ("fit", "backtest", "design")}

Runs = Annotated[
    str,
    typer.Argument(
        metavar="RUNS",
        help="Training runs, one a row: CSV, TSV, JSON, Parquet, Arrow; or logs, or a folder "
        "of them. - for standard input.",
    ),
]

Level = Annotated[str, typer.Option(metavar="F", envvar="SCALEPLAN_LEVEL", help="Confidence level of the intervals.")]

Seed = Annotated[str, typer.Option(metavar="N", help="Seed of the resamples.")]

_QUIET_SECONDS, _BETWEEN_SECONDS = 1.0, 0.1


class Progress:
    """A line such as ``resamples 1,200 of 2,000``; used as a context, and called with the number done."""

    def __init__(self, what: str, total: int | None = None) -> None:
        self._what, self._total = what, total
        self._shown = False
        self._due = monotonic() + _QUIET_SECONDS

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def __call__(self, done: int) -> None:
        """Show the number done, unless it is too early or no terminal shows it."""
        now = monotonic()
        if now < self._due or not sys.stderr.isatty():
            return
        self._due, self._shown = now + _BETWEEN_SECONDS, True
        total = "" if self._total is None else f" of {self._total:,}"
        sys.stderr.write(f"\r{self._what} {done:,}{total}\x1b[K")
        sys.stderr.flush()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingOptions:
    """The reading of the file of runs."""

    TITLE: ClassVar[str] = "Reading the runs"

    map: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=COLUMN",
            help="Column of a role, repeatable: loss=eval/loss, 'tokens=steps*batch*2048'. Also 'flops=log10(C)', "
            "params=7B. Roles: params, tokens, flops, loss, tokens_per_param, unique_tokens, weight, name, state.",
        ),
        EVERYDAY,
    ] = None
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="CONDITION", help="Keep rows that meet it, repeatable: 'lr <= 1e-3', 'name ~ ^base'."),
        EVERYDAY,
    ] = None
    loss_unit: Annotated[
        str,
        typer.Option(
            metavar="UNIT",
            help="Unit of the loss column: nats, bits, ppl, bpb, …. Per token nats, bits or ppl; else bpb, bpc, bpw, "
            "word_ppl, byte_ppl, char_ppl, nats/byte, nats/character, nats/word.",
        ),
        EVERYDAY,
    ] = "nats"
    tokens_per_byte: Annotated[
        str | None, typer.Option(metavar="F", help="Converts a loss per byte to nats per token.")
    ] = None
    log10: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="This column (or role) holds log10, repeatable.")
    ] = None
    flops_convention: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="How compute is counted: 6ND, MD, '9.59ND + 2.3e8D'; by the file's own, or 6ND, if not given.",
        ),
    ] = None
    best: Annotated[
        bool, typer.Option("--best", help="Keep the best run of each sweep: of runs with equal sizes."), EVERYDAY
    ] = False
    last: Annotated[
        bool, typer.Option("--last", help="Keep the final row of each run, of a history with a row a step.")
    ] = False
    min_flops: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="Leave out runs below this compute: 1e19.")
    ] = None
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REASON", help="Keep what would be dropped: crashed, duplicate or diverged; repeatable."
        ),
    ] = None
    drop: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FLAG",
            help="Leave out rows with a flag, repeatable: diverged, outlier, compute_differs, or a column of flags.",
        ),
    ] = None
    drop_rows: Annotated[
        list[str] | None,
        typer.Option(metavar="ROWS", help="Leave out rows by number, repeatable: 492-494,501; the header is row 1."),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveOptions:
    """The objective, and the coefficients kept fixed."""

    TITLE: ClassVar[str] = "Objective"

    residual: Annotated[
        str, typer.Option(metavar="NAME", help="Differences of log loss or of loss: log, linear.")
    ] = "log"
    robust: Annotated[
        str, typer.Option(metavar="NAME", help="How outliers count: huber, l1, or none (least squares).")
    ] = "huber"
    delta: Annotated[
        str, typer.Option(metavar="F", help="Where Huber's function turns linear, in the unit of the residuals.")
    ] = "1e-3"
    tied: Annotated[
        bool, typer.Option("--tied", help="Fit the law with alpha = beta; a forecast keeps them apart.")
    ] = False
    floor: Annotated[
        str | None,
        typer.Option(
            metavar="E",
            help="Keep the irreducible loss at this value, in forecasts too: 0, 1.7; fitted if not given.",
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceOptions:
    """The form of the surface."""

    TITLE: ClassVar[str] = "Form and method"

    form: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="additive or three_exponent. The two terms of the latter combine with gamma."
        ),
        EVERYDAY,
    ] = "additive"


_SHORT = {form: f" ({alias.upper()})" for alias, form in ALIASES.items()}
_CURVES = ", ".join(form + _SHORT.get(form, "") for form in FITTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class LawFormOptions:
    """The form of the law, and the method of the fit."""

    TITLE: ClassVar[str] = "Form and method"

    form: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="additive, three_exponent, kaplan, allocation, data_constrained; "
            f"curves of --x: {_CURVES}, multiplicative.",
        ),
        EVERYDAY,
    ] = "additive"
    method: Annotated[
        str,
        typer.Option(metavar="NAME", help="surface, isoflop (parabolas), envelope, or all side by side."),
        EVERYDAY,
    ] = "surface"
    group: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="Fit each value of this column, with shared exponents and its own forecast."
        ),
        EVERYDAY,
    ] = None
    x: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Input of a curve, several with commas; flops if not given.")
    ] = None
    y: Annotated[str | None, typer.Option(metavar="COLUMN", help="Output of a curve; loss if not given.")] = None
    base: Annotated[
        str | None, typer.Option(metavar="NAME", help="Preset for fresh data, for --form data_constrained.")
    ] = None
    samples: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Bootstrap resamples, for intervals of the coefficients; if not given none for surfaces, whose "
            "forecast needs none, and 2000 for other forms.",
        ),
    ] = None
    seed: Seed = "0"
    jobs: Annotated[str, typer.Option(metavar="N", help="Processes that resample; the result is the same.")] = "1"
    cluster: Annotated[
        bool, typer.Option("--cluster", help="Points of one name are one training run, resampled together.")
    ] = False
    level: Level = "0.9"
    target: Annotated[
        str | None,
        typer.Option(metavar="AMOUNT", help="Budget to predict at; ten times the largest run if not given."),
        EVERYDAY,
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetOptions:
    """Entries of the preset that the runs do not give."""

    TITLE: ClassVar[str] = "Entries of the preset"

    id: Annotated[
        str | None, typer.Option(metavar="NAME", help="Id of the preset; the file's name if not given.")
    ] = None
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="Title of the preset.")] = None
    source: Annotated[str | None, typer.Option(metavar="TEXT", help="Where the runs come from.")] = None
    params_convention: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="How parameters are counted: total, non_embedding, active, …; by the column's name."
        ),
    ] = None
    tokenizer: Annotated[str, typer.Option(metavar="TEXT", help="Tokenizer of the runs.")] = "not stated"
    corpus: Annotated[str, typer.Option(metavar="TEXT", help="Text that the loss was measured on.")] = "not stated"


@command(
    APPS["fit"],
    examples=[
        "scaleplan fit runs.csv -o my-law.toml",
        "scaleplan fit wandb.csv --map loss=eval/loss --where 'State = finished' --best",
        "scaleplan fit sweep.csv --method all --report",
        "scaleplan fit runs.csv --form offset_power --x flops --y loss --json",
    ],
)
def fit(
    reading: ReadingOptions,
    objective: ObjectiveOptions,
    law: LawFormOptions,
    preset: PresetOptions,
    *,
    runs: Runs,
    output_file: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write the law as a preset file; law-{group}.toml with --group.",
            rich_help_panel=PANELS["output"],
        ),
    ] = None,
    report: Annotated[
        bool, typer.Option("--report", help="Add the reproducibility checklist, and the fit by other choices.")
    ] = False,
    residuals: Annotated[bool, typer.Option("--residuals", help="Add plots of the residuals.")] = False,
) -> Answer:
    """Fit a scaling law to training runs, with its uncertainty, and say what the runs do not determine."""
    _require_path(output_file, law, inputs=(runs, law.base))
    from scaleplan.fitting.fit import fit as fit_runs
    from scaleplan.fitting.fit_result import FitAnswer

    with Progress("resamples") as progress:
        fitted = fit_runs(runs, progress=progress, **keywords(reading, objective, law, preset))
    files = () if output_file is None else tuple(fitted.files(output_file))
    replaced = (Notice(code="replaced", message=f"replaced {quote(path)}") for path in files if is_file(path))
    warnings = (*fitted.warnings, *replaced)
    answer = FitAnswer(fit=fitted, report=report, residuals=residuals, written=files, warnings=warnings)
    write = None if output_file is None else partial(fitted.write_all, output_file)
    return Answer(result=answer, notices=warnings, write=write)


def _require_path(output: str | None, law: LawFormOptions, *, inputs: Sequence[str | None]) -> None:
    """Refuse a path or a form that cannot be written, before the work."""
    if output is None:
        return
    if (law.group is None) == ("{group}" in output):
        hint = "-o 'law-{group}.toml' goes with --group, and only with it"
        raise UsageError(f"output {quote(output)} does not say one file for each law", hint=hint)
    path = Path(output)
    if path.suffix != ".toml":
        raise UsageError(f"output {quote(output)} does not end in .toml", hint="presets are .toml files")
    require_writable(path, inputs=inputs)
    require_written_by_fit(path)


@command(APPS["backtest"], examples=["scaleplan backtest runs.csv", "scaleplan backtest runs.csv --tied --json"])
def backtest(
    reading: ReadingOptions,
    objective: ObjectiveOptions,
    law: SurfaceOptions,
    *,
    runs: Runs,
    samples: Annotated[
        str,
        typer.Option(metavar="N", help="Resamples of the plain law at each cut, for the coverage of their interval."),
        MORE,
    ] = "0",
    seed: Seed = "0",
    level: Level = "0.9",
) -> Answer:
    """Forecast the larger runs from the smaller ones, at every budget, and say how often the intervals held."""
    from scaleplan.fitting.fit import backtest as run_backtest

    with Progress("cuts") as progress:
        result = run_backtest(
            runs,
            samples=samples,
            seed=seed,
            level=level,
            progress=progress,
            **keywords(reading, objective, law),
        )
    return Answer(result=result, notices=result.runs.warnings)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """The choice from a pool of candidates."""

    TITLE: ClassVar[str] = "From a pool of candidates"

    pool: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Candidate runs to choose from, one a row; their losses are not looked at."
        ),
        EVERYDAY,
    ] = None
    target_runs: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Runs to predict, with the columns of the pool; by default the pool's own."
        ),
    ] = None
    inputs: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMNS", help="Columns that tell candidates apart: params,tokens,lr; all if not given."
        ),
    ] = None
    pool_cost: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="What a candidate costs: a column, COLUMN*COLUMN, or 1; compute if not given."
        ),
    ] = None

    def refuse_without_pool(self) -> None:
        """Refuse what says nothing without a pool."""
        for name in ("target_runs", "inputs", "pool_cost"):
            if getattr(self, name) is not None:
                raise UsageError(
                    f"--{name.replace('_', '-')} is about a pool of candidates", hint="--pool FILE names it"
                )


_OF_PILOTS = {"aim": "both", "seeds": "3", "schedule": "cosine", "cooldown": "0.2"}


def _refuse_without_use(**options: object) -> None:
    """Refuse the options of a design by a law, which a pool does not use."""
    usual = {**_OF_PILOTS, **keywords(ObjectiveOptions(), SurfaceOptions())}
    for name, value in options.items():
        if value != usual.get(name):
            raise UsageError(
                f"--{name.replace('_', '-')} is about a law, and a choice from a pool assumes none",
                hint="leave it out, or the pool",
            )


@command(
    APPS["design"],
    examples=[
        "scaleplan design --flops 1e21 --target 5.76e23",
        "scaleplan design --main 1e24",
        "scaleplan design runs.csv --flops 1e21 --target 1e24 --limit 'params <= 3B'",
        "scaleplan design --flops 1e21 --target 5.76e23 --schedule wsd --format csv > runs-to-train.csv",
        "scaleplan design --pool candidates.csv --flops 5% --format csv > runs-to-train.csv",
    ],
)
def design(
    reading: ReadingOptions,
    objective: ObjectiveOptions,
    law: SurfaceOptions,
    limits: LimitOptions,
    *,
    runs: Annotated[
        str | None,
        typer.Argument(metavar="[RUNS]", help="Runs or logs that are there already; - for standard input."),
    ] = None,
    there: Annotated[
        str | None, typer.Option("--runs", metavar="RUNS", help="The same, as an option: pilots.csv."), MORE
    ] = None,
    flops: Annotated[
        str | None,
        typer.Option(
            metavar="AMOUNT",
            help="Compute for all new runs: 1e21, or 5% of the pool's cost. What pilots are worth if not given.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", "--main", metavar="AMOUNT", help="The budget that they are to advise on: 5.76e23."),
    ] = None,
    pool: PoolOptions,
    preset: Annotated[
        str | None,
        typer.Option("--preset", "-p", metavar="NAME", help="Law to guess with, without runs; besiroglu-2024."),
    ] = None,
    aim: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What to know at the target: loss, params, waste or both. The size N*, or what a wrong one wastes, "
            "for which the list is that of params.",
        ),
    ] = "both",
    noise: Annotated[
        str | None,
        typer.Option(metavar="F", help="Relative noise of a loss: 0.5%; by default that of the runs."),
        MORE,
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="N", help="How often a run may be repeated."), MORE] = "3",
    most_runs: Annotated[
        str, typer.Option(metavar="N", help="The most runs of the list, repeats counted."), MORE
    ] = "48",
    run_cost: Annotated[
        str | None,
        typer.Option(
            metavar="AMOUNT",
            help="Cost of a run beside its compute, in FLOP or as a share of the budget: 1e17, 0.1%.",
        ),
        MORE,
    ] = None,
    schedule: Annotated[
        str, typer.Option(metavar="NAME", help="cosine: runs from scratch; wsd: branches of one trunk a size."), MORE
    ] = "cosine",
    cooldown: Annotated[
        str, typer.Option(metavar="F", help="Share of a branch that cools down, with wsd."), MORE
    ] = "0.2",
) -> Answer:
    """Choose the pilot runs that will tell most about a larger budget, and say how many are worth their compute.

    With --pool they are chosen from a file of candidates, so that the loss of the largest can be predicted best.
    """
    from scaleplan.fitting import candidate_pool, pilot

    if runs is not None and there is not None:
        raise UsageError("RUNS and --runs both name runs that are there", hint="give one of them")
    given = there if runs is None else runs
    if pool.pool is not None:
        _refuse_without_use(aim=aim, seeds=seeds, schedule=schedule, cooldown=cooldown)
        _refuse_without_use(run_cost=run_cost, **keywords(objective, law))
        if flops is None:
            raise UsageError("a choice from a pool needs a budget", hint="--flops 5% is a share of the pool's cost")
        chosen = candidate_pool.choose_runs(
            flops=flops,
            target=target,
            runs=given,
            preset=preset,
            noise=noise,
            most_runs=most_runs,
            **keywords(pool, reading, limits),
        )
        return Answer(result=chosen, notices=chosen.warnings)
    pool.refuse_without_pool()
    if target is None:
        raise UsageError(
            "a design needs a target", hint="--target 5.76e23 is the budget that the runs are to advise on"
        )
    found = pilot.design(
        given,
        flops=flops,
        target=target,
        preset=preset,
        aim=aim,
        noise=noise,
        seeds=seeds,
        most_runs=most_runs,
        run_cost=run_cost,
        schedule=schedule,
        cooldown=cooldown,
        **keywords(reading, objective, law, limits),
    )
    return Answer(result=found, notices=found.warnings)
