"""The Python API of fitting: fit a law to runs, and backtest it on the larger ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Unpack

import numpy as np

from scaleplan.errors import UsageError
from scaleplan.fitting.backtest import backtest_points, hold_out
from scaleplan.fitting.fit_request import (
    FitKeywords,
    FitRequest,
    RunsKeywords,
    parse_whole,
    reading_arguments,
    require_samples,
)
from scaleplan.fitting.fit_tables import backtest_data
from scaleplan.fitting.methods import fit_runs, resampled_together
from scaleplan.fitting.objective import rms
from scaleplan.fitting.reading import read_runs
from scaleplan.fitting.surface_fit import fit_surface
from scaleplan.planning.uncertainty import require_level
from scaleplan.record import Record, as_mapping
from scaleplan.units import parse_fraction

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scaleplan.fitting.backtest import Backtest, Cut, Holdout
    from scaleplan.fitting.fit_result import FitResult
    from scaleplan.fitting.runs import Runs
    from scaleplan.fitting.surface_fit import SurfaceLaw
    from scaleplan.units import Amount

    Progress = Callable[[int], None]

__all__ = ["BacktestResult", "backtest", "fit"]


@np.errstate(all="ignore")  # a search tries laws beyond the floats, and no user can act on a warning of it
def fit(runs: str | Path, *, progress: Progress | None = None, **keywords: Unpack[FitKeywords]) -> FitResult:
    """Fit a law to training runs, with its errors and reservations.

    Parameters
    ----------
    runs
        A CSV, TSV, JSON or JSON Lines file with one run a row, or ``-`` for standard input.
    progress
        Called with the number of resamples done.
    keywords
        Reading: ``map`` (``{"loss": "eval/loss"}`` or ``["loss=eval/loss"]``), ``where``, ``loss_unit``,
        ``tokens_per_byte``, ``log10``, ``flops_convention``, ``best``, ``last``, ``min_flops`` (FLOP), ``keep``,
        ``drop``, ``drop_rows``. The law:
        ``form``, ``method``, ``group``, ``tied``, ``floor`` (a loss), ``x`` and ``y`` (columns of a curve),
        ``base``. The objective: ``residual``, ``robust``, ``delta``. Uncertainty: ``samples``, ``seed``,
        ``jobs`` (processes), ``cluster``, ``level``; ``target`` (FLOP) is the budget to predict at. The preset:
        ``id``, ``title``, ``source``, ``params_convention``, ``tokenizer``, ``corpus``.

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
    return fit_runs(request, read, source=str(runs), progress=progress)


@np.errstate(all="ignore")
def backtest(
    runs: str | Path,
    *,
    samples: Amount = 200,
    seed: Amount = 0,
    level: Amount = 0.9,
    progress: Progress | None = None,
    **keywords: Unpack[RunsKeywords],
) -> BacktestResult:
    """Fit a law to the smaller runs, predict the larger ones, and measure the errors.

    Parameters
    ----------
    runs
        As for :func:`fit`.
    samples, seed, level
        Resamples at each cut for the coverage of their interval (0 for none), their seed, and its level.
    progress
        Called with the number of cuts done.
    keywords
        Reading, objective and ``form`` (additive or three_exponent), as for :func:`fit`.

    Raises
    ------
    ScaleplanError
        When the file cannot be read, a keyword is wrong, or there are too few runs to hold any out.

    """
    count = parse_whole(samples)
    require_samples(count, usual=200)
    request = FitRequest.parse(keywords)
    read = read_runs(runs, **reading_arguments(keywords))
    start, share = parse_whole(seed), require_level(parse_fraction(level))
    points = read.points()
    base = fit_surface(points, request.coordinates, objective=request.objective)
    clusters = resampled_together(read)
    ladder = backtest_points(
        points, base, samples=count, seed=start, level=share, clusters=clusters, every=True, progress=progress
    )
    if not ladder.cuts:
        raise UsageError(
            f"{len(points)} runs are too few to hold any out",
            hint="a backtest needs 12 runs of two budgets or more below a cut, and larger runs above",
        )
    try:
        held = hold_out(points, base, samples=max(count, 200), seed=start, level=share, clusters=clusters)
    except UsageError:  # the cuts were possible, and the rest below the largest budget is too small
        held = None
    return BacktestResult(runs=read, law=base.law, ladder=ladder, holdout=held, seed=start, samples=count)


class BacktestResult(Record, eq=False):
    """The law fitted to all runs, the ladder of cuts with their errors, and the largest budget held out.

    ``holdout`` is None where too few runs remain below the largest budget.
    """

    schema: ClassVar[str] = "scaleplan/backtest/1"

    runs: Runs
    law: SurfaceLaw
    ladder: Backtest
    holdout: Holdout | None
    seed: int
    samples: int

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that ``--json`` prints."""
        ladder = self.ladder
        return {
            "schema": self.schema,
            "file": self.runs.name,
            "sha256": self.runs.sha256,
            "rows_used": len(self.runs),
            "dropped": as_mapping(self.runs.dropped),
            "loss_unit": self.runs.loss_unit,
            "coefficients": as_mapping(self.law.coefficients()),
            "level": ladder.level,
            "samples": self.samples,
            "seed": self.seed,
            **backtest_data(ladder),
            "cuts": [_cut(cut) for cut in ladder.cuts],
            "holdout": as_mapping(self.holdout),
            "notes": list(self.runs.notes),
            "flagged": as_mapping(self.runs.flagged),
            "warnings": as_mapping(self.runs.warnings),
        }


def _cut(cut: Cut) -> dict[str, object]:
    return {
        "flops": cut.flops,
        "runs": cut.runs,
        "predicted": len(cut.rows),
        "largest_factor": float(np.max(cut.factor)),
        "gap": float(np.min(cut.factor)),
        "bias": float(np.mean(cut.error)),
        "rms": rms(cut.error),
        "coverage": None if cut.covered is None else float(np.mean(cut.covered)),
        "coefficients": as_mapping(cut.law.coefficients()),
        "rows": list(cut.rows),
        "errors": [float(error) for error in cut.error],
    }
