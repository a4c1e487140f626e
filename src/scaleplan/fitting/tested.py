"""How well the smaller runs of a file would have predicted the larger ones: the answer of ``scaleplan backtest``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from scaleplan.errors import UsageError
from scaleplan.fitting.additive import fit_additive
from scaleplan.fitting.backtest import backtest
from scaleplan.fitting.band import hold_out
from scaleplan.fitting.solving_columns import points_of
from scaleplan.fitting.writing import backtest_rows
from scaleplan.records import as_mapping

if TYPE_CHECKING:
    from collections.abc import Callable

    from scaleplan.fitting.backtest import Backtest, Cut
    from scaleplan.fitting.band import Holdout
    from scaleplan.fitting.objective import Objective
    from scaleplan.fitting.runs import Runs
    from scaleplan.laws.additive import Additive

__all__ = ["Tested", "run_backtest"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tested:
    """The ladder of cuts, its errors by factor of extrapolation, and the largest budget held out.

    Attributes
    ----------
    runs
        The runs that were read.
    law
        The fit to all of them.
    ladder
        The cuts and their errors.
    holdout
        The largest budget predicted with the combined band from the rest, or None where too few runs remain.

    """

    schema: ClassVar[str] = "scaleplan/backtest/1"

    runs: Runs
    law: Additive
    ladder: Backtest
    holdout: Holdout | None
    seed: int
    samples: int

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that ``--json`` prints."""
        tested = self.ladder
        return {
            "schema": self.schema,
            "file": self.runs.name,
            "sha256": self.runs.sha256,
            "rows_used": len(self.runs),
            "dropped": as_mapping(self.runs.dropped),
            "loss_unit": self.runs.loss_unit,
            "coefficients": as_mapping(self.law.coefficients()),
            "level": tested.level,
            "samples": self.samples,
            "seed": self.seed,
            "rms_inside": tested.inside,
            "one_sided": tested.one_sided,
            "largest_factor": tested.largest_factor,
            "by_factor": as_mapping(backtest_rows(tested)),
            "cuts": [_cut(cut) for cut in tested.cuts],
            "holdout": as_mapping(self.holdout),
        }


def run_backtest(
    runs: Runs,
    *,
    objective: Objective,
    tied: bool,
    floor: float | None,
    samples: int,
    seed: int,
    level: float,
    progress: Callable[[int], None] | None = None,
) -> Tested:
    """Fit below and predict above each cut of a ladder in compute, and hold out the largest budget.

    Raises
    ------
    UsageError
        When there are too few runs to hold any out, or a level that is none.

    """
    if not 0 < level < 1:
        raise UsageError(f"a confidence level lies between 0 and 1, not at {level:g}", hint="try 0.9")
    points = points_of(runs)
    base = fit_additive(points, objective=objective, tied=tied, floor=floor)
    ladder = backtest(points, base, samples=samples, seed=seed, level=level, progress=progress)
    if not ladder.cuts:
        raise UsageError(
            f"{len(points)} runs are too few to hold any out", hint="a backtest needs 12 runs below a cut, 3 above"
        )
    try:
        held = hold_out(
            points, objective=objective, tied=tied, floor=floor, samples=max(samples, 200), seed=seed, level=level
        )
    except UsageError:  # the ladder has what can be said
        held = None
    return Tested(runs=runs, law=base.law, ladder=ladder, holdout=held, seed=seed, samples=samples)


def _cut(cut: Cut) -> dict[str, object]:
    return {
        "flops": cut.flops,
        "runs": cut.runs,
        "predicted": len(cut.rows),
        "largest_factor": float(np.max(cut.factor)),
        "bias": float(np.mean(cut.error)),
        "rms": float(np.sqrt(np.mean(cut.error**2))),
        "coverage": None if cut.covered is None else float(np.mean(cut.covered)),
        "coefficients": as_mapping(cut.law.coefficients()),
        "rows": list(cut.rows),
        "errors": [float(error) for error in cut.error],
    }
