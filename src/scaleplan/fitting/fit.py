"""The Python API of fitting: fit a law to runs, and backtest it on the larger ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Unpack

import numpy as np

from scaleplan.errors import UsageError
from scaleplan.fitting.backtest import backtest_points
from scaleplan.fitting.fit_request import (
    FitKeywords,
    FitRequest,
    RunsKeywords,
    parse_whole,
    reading_arguments,
    require_samples,
)
from scaleplan.fitting.fit_tables import backtest_data, holdout_data
from scaleplan.fitting.logged import logged_table
from scaleplan.fitting.methods import fit_runs, named_groups, resampled_together
from scaleplan.fitting.reading import read_runs
from scaleplan.fitting.surface_fit import fit_surface
from scaleplan.record import Record, Result, as_mapping
from scaleplan.tables.frames import is_path

if TYPE_CHECKING:
    from collections.abc import Callable

    from scaleplan.fitting.backtest import Backtest, Holdout
    from scaleplan.fitting.fit_result import FitResult
    from scaleplan.fitting.runs import Runs
    from scaleplan.fitting.surface_fit import SurfaceLaw
    from scaleplan.fitting.table import RawTable
    from scaleplan.logs.logged_run import LoggedRuns
    from scaleplan.tables.frames import TableLike
    from scaleplan.units import Amount

    Progress = Callable[[int], None]

__all__ = ["BacktestResult", "backtest", "fit", "fit_logs"]


@np.errstate(all="ignore")  # a search tries laws beyond the floats, and no user can act on a warning of it
def fit(
    runs: TableLike | LoggedRuns | RawTable, *, progress: Progress | None = None, **keywords: Unpack[FitKeywords]
) -> FitResult:
    """Fit a law to training runs, with its errors and reservations.

    Parameters
    ----------
    runs
        One run a row: a data frame of pandas, Polars or Arrow, a dict of columns, a list of dicts, or what
        :func:`scaleplan.runs` gave; the path of a file (CSV, JSON, Parquet, Arrow), ``-`` for standard input; or
        the path of a training log, or of a folder of them.
    progress
        Called with the number of resamples done.
    keywords
        Reading: ``map`` (``{"loss": "eval/loss"}`` or ``["loss=eval/loss"]``), ``where``, ``loss_unit``,
        ``tokens_per_byte``, ``log10``, ``flops_convention``, ``best``, ``last``, ``min_flops`` (FLOP), ``keep``,
        ``drop``, ``drop_rows``. The law:
        ``form``, ``method``, ``group``, ``tied``, ``floor`` (a loss), ``x`` and ``y`` (columns of a curve),
        ``base``. The objective: ``residual``, ``robust``, ``delta``. Uncertainty: ``samples``, ``seed``,
        ``jobs`` (a number of processes, ``"auto"``, ``"dask:ADDRESS"``), ``cluster``, ``level``; ``target`` (FLOP)
        is the budget to predict at. The preset: ``id``, ``title``, ``source``, ``params_convention``, ``tokenizer``,
        ``corpus``.

    Raises
    ------
    ScaleplanError
        When the file cannot be read or its runs do not support the form, or a keyword is wrong.

    Examples
    --------
    >>> import scaleplan as sp
    >>> fitted = sp.fit("runs.csv")  # doctest: +SKIP
    >>> sp.optimal(preset=fitted.preset, flops="1e23").params  # doctest: +SKIP
    >>> fitted.write("my-law.toml")  # doctest: +SKIP

    """
    request = FitRequest.parse(keywords)
    read = read_runs(runs, extra=request.extra_columns, needed=request.needed_roles, **reading_arguments(keywords))
    return fit_runs(request, read, source=str(runs) if is_path(runs) else read.name, progress=progress)


def fit_logs(path: TableLike, **keywords: Unpack[FitKeywords]) -> FitResult:
    """Fit a law to the runs of logs, one row each, also where their file is a table with a row a step."""
    return fit(logged_table(path), **keywords)


@np.errstate(all="ignore")
def backtest(
    runs: TableLike | LoggedRuns | RawTable,
    *,
    samples: Amount = 0,
    seed: Amount = 0,
    level: Amount = 0.9,
    progress: Progress | None = None,
    **keywords: Unpack[RunsKeywords],
) -> BacktestResult:
    """Forecast the larger runs from the smaller ones, at every budget, and say how often the intervals held.

    Parameters
    ----------
    runs
        As for :func:`fit`.
    samples, seed
        Resamples of the plain law at each cut, for the coverage of their interval beside that of the forecast (none
        unless given), and their seed.
    level
        The level of the interval of one run.
    progress
        Called with the number of cuts done.
    keywords
        Reading; for the plain law beside the forecast the objective and ``form`` (additive or three_exponent), as for
        :func:`fit`.

    Raises
    ------
    ScaleplanError
        When the file cannot be read, a keyword is wrong, or there are too few runs to hold any out.

    """
    count, start = parse_whole(samples), parse_whole(seed)
    require_samples(count, usual=200)
    request = FitRequest.parse({"seed": start, "level": level, **keywords})
    read = read_runs(runs, **reading_arguments(keywords))
    points = read.points()
    base = fit_surface(points, request.coordinates, objective=request.objective)
    ladder = backtest_points(
        points,
        base,
        level=request.level,
        groups=named_groups(read),
        samples=count,
        seed=start,
        clusters=resampled_together(read),
        progress=progress,
    )
    if not ladder.cuts:
        raise UsageError(
            f"none of these {len(points)} runs can be held out",
            hint="a backtest needs six different runs below a cut, not all on one line, and larger ones above",
        )
    return BacktestResult(runs=read, law=base.law, ladder=ladder, seed=start, samples=count)


class BacktestResult(Record, Result, eq=False):
    """The forecasts of the larger runs from the smaller ones, and the plain ``law`` fitted to all of them."""

    schema: ClassVar[str] = "scaleplan/backtest/1"

    runs: Runs
    law: SurfaceLaw
    ladder: Backtest
    seed: int
    samples: int

    @property
    def holdout(self) -> Holdout | None:
        """The largest runs, as predicted from all others."""
        return self.ladder.holdout

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that ``--json`` prints."""
        return {
            "schema": self.schema,
            "file": self.runs.name,
            "sha256": self.runs.sha256,
            "rows_used": len(self.runs),
            "dropped": as_mapping(self.runs.dropped),
            "loss_unit": self.runs.loss_unit,
            "coefficients": as_mapping(self.law.coefficients()),
            "level": self.ladder.level,
            "samples": self.samples,
            "seed": self.seed,
            **backtest_data(self.ladder),
            "holdout": holdout_data(self.ladder),
            "notes": list(self.runs.notes),
            "flagged": as_mapping(self.runs.flagged),
            "warnings": as_mapping(self.runs.warnings),
        }
