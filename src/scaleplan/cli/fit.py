"""The commands about training runs: fit a law to them, backtest it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import typer

from scaleplan.cli.command import Answer, command, single
from scaleplan.cli.options import EVERYDAY, MORE, PANELS, keywords
from scaleplan.errors import Notice, UsageError, quote
from scaleplan.files import is_file, require_writable
from scaleplan.laws.curves import ALIASES, FITTED
from scaleplan.presets.library import require_written_by_fit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

__all__ = ["APPS", "ObjectiveOptions", "Progress", "ReadingOptions", "SurfaceOptions"]

APPS = {name: single() for name in ("fit", "backtest")}

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
    jobs: Annotated[
        str,
        typer.Option(
            metavar="N",
            help="Processes that share the work: a number, auto, or dask:ADDRESS; the answer is the same.",
        ),
    ] = "1"
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
        "scaleplan fit runs.csv --each corpus --each 'loss=eval/*' --format csv",
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
            help="Write the law as a preset file; law-{group}.toml with --group, law-{COLUMN}.toml with --each.",
            rich_help_panel=PANELS["output"],
        ),
    ] = None,
    each: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Fit each value of this column by itself, repeatable; loss=eval/* fits each such column.",
        ),
    ] = None,
    report: Annotated[
        bool, typer.Option("--report", help="Add the reproducibility checklist, and the fit by other choices.")
    ] = False,
    residuals: Annotated[bool, typer.Option("--residuals", help="Add plots of the residuals.")] = False,
) -> Answer:
    """Fit a scaling law to training runs, with its uncertainty, and say what the runs do not determine."""
    if each is not None:
        for name, given in (("report", report), ("residuals", residuals)):
            if given:
                raise UsageError(
                    f"--{name} is about one law, and --each has a row a law",
                    hint="--where 'COLUMN = VALUE' fits one group by itself",
                )
        return _fit_each(each, runs, output_file, keywords(reading, objective, law, preset))
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


def _fit_each(each: list[str], runs: str, output: str | None, options: dict[str, Any]) -> Answer:
    """Fit each group and metric of a table, and write a preset for each where a path is given."""
    from scaleplan.fitting.fleet import plan_fleet

    plan = plan_fleet(runs, each=each, **options)
    for path in () if output is None else plan.files(output):
        require_writable(path, inputs=(runs, options["base"]))
        require_written_by_fit(path)
    with Progress("laws", len(plan.pairs)) as progress:
        fitted = plan.fit(progress=progress, with_presets=output is not None)
    if output is None:
        return Answer(result=fitted.fleet, notices=fitted.warnings)
    found = fitted.to_be_written(output)
    return Answer(result=found, notices=found.warnings, write=partial(fitted.write, output))


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
