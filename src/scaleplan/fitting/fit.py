"""From runs to a law with its diagnosis: the one entry point of an additive fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.fitting.additive import fit_additive
from scaleplan.fitting.backtest import backtest
from scaleplan.fitting.bootstrap import bootstrap
from scaleplan.fitting.design import describe, isoflop_budgets
from scaleplan.fitting.diagnosis import diagnose, information
from scaleplan.fitting.influence import find_outliers, leave_one_out
from scaleplan.fitting.likelihood import aicc
from scaleplan.fitting.result import Alternative, Fit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scaleplan.fitting.additive import Solution
    from scaleplan.fitting.objective import Objective
    from scaleplan.fitting.points import Points

__all__ = ["fit"]

_EVERY_RUN = 1000  # runs up to which each is left out in turn


def fit(
    points: Points,
    *,
    objective: Objective | None = None,
    tied: bool = False,
    floor: float | None = None,
    samples: int = 2000,
    seed: int = 0,
    clusters: Sequence[object] | None = None,
    jobs: int = 1,
    test_cuts: bool = True,
    progress: Callable[[int], None] | None = None,
) -> Fit:
    """Fit L = E + A/N^alpha + B/D^beta to runs, and say how far to trust it.

    Parameters
    ----------
    points
        The runs.
    objective
        Huber 1e-3 on log loss unless given.
    tied, floor
        alpha = beta; E kept at a value.
    samples, seed
        Bootstrap resamples (0 for none) and their seed. The number of runs per budget of an IsoFLOP sweep is kept.
    clusters
        A label for each point; points of one training run are drawn together.
    jobs
        How many processes work on the resamples; the result does not depend on it.
    test_cuts
        Whether to backtest.
    progress
        Called with the number of resamples done.

    Raises
    ------
    UsageError
        For too few runs, or a floor outside the losses.

    """
    solution = fit_additive(points, objective=objective, tied=tied, floor=floor)
    design, known = describe(points), information(points, solution)
    budgets = isoflop_budgets(points) if clusters is None else None
    resamples = (
        bootstrap(
            points,
            solution,
            samples=samples,
            seed=seed,
            clusters=clusters,
            strata=None if budgets is None else budgets.tolist(),
            jobs=jobs,
            progress=progress,
        )
        if samples
        else None
    )
    return Fit(
        points=points,
        solution=solution,
        design=design,
        known=known,
        flags=diagnose(points, solution, design=design, known=known, resamples=resamples),
        outliers=find_outliers(points, solution),
        influence=leave_one_out(points, solution) if len(points) <= _EVERY_RUN else None,
        alternatives=_alternatives(points, solution),
        resamples=resamples,
        tested=backtest(points, solution, seed=seed, clusters=clusters) if test_cuts else None,
    )


def _alternatives(points: Points, solution: Solution) -> tuple[Alternative, ...]:
    """Fit the simpler nested forms: tied exponents, no floor, both."""
    coordinates, objective, runs = solution.coordinates, solution.objective, len(points)
    own = aicc(solution.score, runs=runs, coefficients=coordinates.count, objective=objective)
    out = []
    for name, tied, floor in (
        ("alpha = beta", True, None),
        ("E = 0", False, 0.0),
        ("alpha = beta, E = 0", True, 0.0),
    ):
        simpler = (tied or not coordinates.tied) and (floor is not None or coordinates.floor is None)
        if not simpler or (tied, floor) == (coordinates.tied, coordinates.floor):
            continue
        other = fit_additive(points, objective=objective, tied=tied, floor=floor)
        criterion = aicc(other.score, runs=runs, coefficients=other.coordinates.count, objective=objective)
        excess = criterion - own if criterion < float("inf") else float("inf")
        out.append(Alternative(name=name, law=other.law, score=other.score, aicc_excess=excess))
    return tuple(out)
