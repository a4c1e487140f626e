"""How often the intervals of forecasts held on public runs: the backtest of every set, by family and by factor.

Run on demand: ``python -m tests.benchmarks.forecast_public``, from the root; about ten seconds. The runs are other
people's and not part of the project: they are read from ``../shared/data``, and without it there is nothing to do.

Of each set the runs at or below every budget (eight cuts of scattered runs) predict all runs above, as ``scaleplan
backtest`` does. Numbers are in per cent of the loss, at 90 %: the share of runs inside the interval of one run, its
mean width, its mean score (Gneiting and Raftery 2007), the root mean square error of the forecast, and that of the
plain law fitted to the same runs. Predictions of a set are averaged, then the sets of a family, then the families.
"""

from __future__ import annotations

import csv
import math
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from scaleplan.fitting.backtest import Scores, backtest_points
from scaleplan.fitting.runs import Points
from scaleplan.fitting.surface_fit import Coordinates, fit_surface

DATA = Path(__file__).parents[2].parent / "shared" / "data"
FACTORS = (1.0, 3.0, 8.0, 15.0, math.inf)
COLUMNS = ("coverage", "width", "score", "rms", "law_rms")

PORIAN = (
    "owt2/base/short/chinchilla/standard/val",
    "owt2/tuned/short/const/standard/val",
    "rw/base/long/kaplan/standard/val",
    "rw/tuned/short/const/standard/val",
)
GADRE = ("c4_original", "rpj", "rw_original")


def read(name, *, loss="loss", **where):
    """Return a file of runs as points, of the rows with these values and with all sizes, and its columns."""
    with (DATA / name).open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if all(row[key] == value for key, value in where.items())]
    rows = [row for row in rows if row["params"] and row["tokens"] and row[loss]]
    params, tokens, flops, losses = (
        np.array([float(row[key]) for row in rows]) for key in ("params", "tokens", "flops", loss)
    )
    return Points.of(params, tokens, losses, flops=flops), rows


def best_of_sweeps(points):
    """Return the run of least loss at each pair of sizes."""
    best = {}
    for i, cell in enumerate(zip(points.params.tolist(), points.tokens.tolist(), strict=True)):
        if cell not in best or points.loss[i] < points.loss[best[cell]]:
            best[cell] = i
    return points.select(np.array(sorted(best.values())))


def public_sets():
    """Yield the family, the name and the runs of each set."""
    points, _ = read("chinchilla_epoch.csv")
    yield "chinchilla_epoch", "all but the five worst", points.select(points.loss < np.sort(points.loss)[-5])
    yield "chinchilla_isoflop", "all", read("chinchilla_isoflop.csv")[0]
    for group in PORIAN:
        yield "porian", group, read("porian_isoflop.csv", group=group)[0]
    for dataset in GADRE:
        yield "gadre", dataset, read("gadre.csv", dataset=dataset)[0]
    yield "misfitting", "best of each sweep", best_of_sweeps(read("misfitting_final.csv")[0])
    yield "llama3", "all", read("llama3_isoflop.csv", loss="loss_exp")[0]
    points, rows = read("datablations.csv")
    once = np.array([float(row["epochs"]) <= 1 for row in rows])
    yield "datablations", "one epoch", points.select(once & (points.loss < 8))


def averaged(scores):
    """Return the mean of each column."""
    return {name: float(np.mean([score[name] for score in scores])) for name in COLUMNS}


def by_family(sets, *, low=0.0, high=math.inf):
    """Return for each family the averages of its sets over the predictions at factors from low to high."""
    families = {}
    for family, _, cuts in sets:
        factor = np.concatenate([cut.factor for cut in cuts])
        where = (factor >= low) & (factor < high)
        if where.any():
            found = Scores.of(cuts, where)
            families.setdefault(family, []).append({name: getattr(found, name) for name in COLUMNS})
    return {family: averaged(scores) for family, scores in families.items()}


def line(label, count, scores):
    """Return one line of the tables."""
    coverage, *others = (100 * scores[name] for name in COLUMNS)
    return f"{label:22} {count:5} {coverage:8.0f}% " + " ".join(f"{value:7.2f}" for value in others)


def main():
    """Print the tables."""
    if not DATA.is_dir():
        sys.exit(f"the folder with other people's runs is not here: {DATA}")
    sets, began = [], time.perf_counter()
    for family, name, points in public_sets():
        tested = backtest_points(points, fit_surface(points, Coordinates()))
        sets.append((family, name, tested.cuts))
    took = time.perf_counter() - began
    print(f"{'':22} {'':5} {'coverage':>9} {'width':>7} {'score':>7} {'rms':>7} {'law rms':>7}")
    families = by_family(sets)
    for family, scores in families.items():
        print(line(family, sum(of == family for of, *_ in sets), scores))
    print(line("average of families", len(sets), averaged(families.values())))
    for low, high in pairwise(FACTORS):
        found = by_family(sets, low=low, high=high)
        label = f"×{low:g} – ×{high:g}" if high < math.inf else f"beyond ×{low:g}"
        if found:
            print(line(label, len(found), averaged(found.values())))
    predictions = sum(len(cut.rows) for *_, cuts in sets for cut in cuts)
    print(f"{len(sets)} sets, {sum(len(cuts) for *_, cuts in sets)} cuts, {predictions:,} predictions; {took:.1f} s")


if __name__ == "__main__":
    main()
