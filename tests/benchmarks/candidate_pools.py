"""How well the runs that ``design --pool`` chooses predict larger ones, beside the cheapest rows and random ones.

Run on demand: ``python -m tests.benchmarks.candidate_pools [SHARE ...]``, of the pool's cost, 2 %, 5 % and 10 % by
default, some six minutes. The pools are other people's and not part of the project: they are read from
``../shared/data``, and without it there is nothing to do.

Of each pool the most expensive fifth, the most expensive tenth and the largest sizes are held out in turn, then each
of five random folds; the rest is the pool to choose from. Laws of the kinds in the benchmark of Li et al. 2026
(arXiv:2604.22753), and for sizes alone the forecast of ``fit``, are fitted to the chosen rows, and the mean relative
error of the rows held out is shown in per cent, as the mean over the laws; of random rows the median of four draws.
The folds are shown as their mean, with one draw each, and last by how much the choice differs from the cheapest rows,
with the standard error over the folds: a difference below two of these is none. No choice has seen a loss.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from itertools import product
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

import scaleplan as sp
from scaleplan.fitting.forecaster import fit_forecast
from scaleplan.fitting.pool_choice import cheapest, random_runs
from scaleplan.fitting.runs import Points

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "pools"
SHARES = ("2%", "5%", "10%")
DRAWS, FOLDS = 4, 5


def _exp(values):
    return np.exp(np.clip(values, -50.0, 50.0))


def additive(t, size, data):
    """Return E + A/N^a + B/D^b of (ln E, ln A, ln B, ln a, ln b) about 1B parameters on 10B tokens."""
    return _exp(t[0]) + _exp(t[1] - _exp(t[3]) * np.log(size / 1e9)) + _exp(t[2] - _exp(t[4]) * np.log(data / 1e10))


def farseer(t, size, data):
    """Return the law of Farseer: a floor, a factor and an exponent of D that each depend on N."""
    n, d = np.log(size / 1e9), np.log(data / 1e10)
    power = -_exp(np.clip(t[7] * _exp(t[8] * n) + t[0], -50, 5))
    return _exp(t[1] * _exp(t[2] * n) + t[3]) + _exp(t[4] * _exp(t[5] * n) + t[6] + power * d)


def repeated(t, size, data, unique):
    """Return the additive law with repeats that lose their worth (Muennighoff et al. 2023)."""
    fresh = np.minimum(data, unique)
    worth = _exp(np.clip(t[5], -3.0, 12.0))
    return additive(t, size, fresh * (1.0 + worth * (1.0 - np.exp(-(data / fresh - 1.0) / worth))))


def diluted(t, size, data, unique):
    """Return the additive law of D^(1-g) U^g."""
    return additive(t, size, unique ** t[5] * data ** (1.0 - t[5]))


def power(t, *inputs):
    """Return c + exp(a) times a power of each input."""
    logs = np.stack([np.log(values) for values in inputs], axis=1)
    return t[0] + _exp(t[1] + (logs - CENTRES[len(inputs)]) @ t[2:])


CENTRES = {2: np.log([1e8, 16.0]), 3: np.log([2e8, 1e10, 1e4])}


def saturating(t, size, experts):
    """Return c + A/N^a ((1 + B E^g)/(1 + B))^-b."""
    n, e, b = np.log(size / 1e8), np.log(experts), _exp(t[3])
    return t[0] + _exp(t[1] - t[2] * n - t[5] * (np.log1p(b * _exp(t[4] * e)) - np.log1p(b)))


def two_terms(t, size, data, vocab):
    """Return A (N V^k)^-a + B (D V^l)^-b + c."""
    n, d, v = np.log(size / 2e8), np.log(data / 1e10), np.log(vocab / 1e4)
    return _exp(t[0] - t[1] * (n + t[2] * v)) + _exp(t[3] - t[4] * (d + t[5] * v)) + t[6]


def _fitted(law, starts):
    def fit(inputs, loss, aims):
        scale = np.mean(np.abs(loss)) / 100.0
        found = None
        for start in starts(loss):
            try:
                end = least_squares(
                    lambda t: (law(t, *inputs) - loss) / scale, start, loss="soft_l1", max_nfev=400, x_scale="jac"
                )
            except ValueError:
                continue
            found = end if found is None or end.cost < found.cost else found
        return law(found.x, *aims)

    return fit


def _forecast(inputs, loss, aims):
    return np.exp(fit_forecast(Points.of(*inputs, loss)).predict(*aims, noise=False)[0])


def _additive_starts(*more):
    def starts(loss):
        low = np.log(np.min(np.abs(loss)))
        return [
            np.array([low + np.log(floor), low - 1.5, low - 1.5, np.log(0.35), np.log(0.35), *extra])
            for floor in (0.5, 0.8)
            for extra in (more or ((),))
        ]

    return starts


FARSEER = [
    np.array([1.5, -0.5, 0.13, floor, size, -0.17, -3.0, bend, 0.05])
    for floor in (0.0, 0.4)
    for size in (2.0, 6.0)
    for bend in (-1.0, -3.0)
]

POOLS = {
    "farseer": (
        ("N", "D"),
        "loss",
        lambda n, d: n * d,
        {"forecast": _forecast, "farseer": _fitted(farseer, lambda _: FARSEER)},
    ),
    "moe": (
        ("dense_parameter_count", "num_experts"),
        "loss_validation",
        lambda n, _: n,
        {
            "power": _fitted(
                power, lambda y: [np.array([c * min(y), 0, -b, -0.05]) for c in (0.5, 0.8) for b in (0.1, 0.3)]
            ),
            "saturating": _fitted(
                saturating,
                lambda y: [np.array([c * min(y), 0, b, 0, 0.7, 0.1]) for c in (0.5, 0.8) for b in (0.1, 0.3)],
            ),
        },
    ),
    "data_constrained": (
        ("params", "tokens", "unique_tokens"),
        "loss",
        lambda n, d, _: n * d,
        {
            "repeated": _fitted(repeated, _additive_starts((1.0,), (3.0,))),
            "diluted": _fitted(diluted, _additive_starts((0.1,), (0.4,))),
        },
    ),
    "vocab": (
        ("non_vocab_parameters", "num_characters", "vocab_size"),
        "unigram_normalized_loss",
        lambda n, d, _: n * d,
        {
            "power": _fitted(
                power, lambda y: [np.array([min(y) - c, 0, -b, -0.2, 0]) for c in (0.3, 1) for b in (0.1, 0.3)]
            ),
            "two terms": _fitted(
                two_terms,
                lambda y: [np.array([a, 0.2, 0, a, 0.4, 0, min(y) - c]) for c in (0.3, 1) for a in (-1, -0.2)],
            ),
        },
    ),
}
POOLS["moe by dense_parameter_count*num_experts"] = (*POOLS["moe"][:2], lambda n, e: n * e, POOLS["moe"][3])


def held_out(inputs, cost):
    """Yield the ways to hold rows out, each with its masks."""
    yield "dearest fifth", [cost >= np.quantile(cost, 0.8)]
    yield "dearest tenth", [cost >= np.quantile(cost, 0.9)]
    yield "largest sizes", [inputs[0] >= np.quantile(inputs[0], 0.85)]
    fold = np.random.default_rng(100).permutation(len(cost)).argsort() % FOLDS
    yield "random folds", [fold == i for i in range(FOLDS)]


def by_design(rows, kept, share, path, pool_cost):
    """Return the positions that the program chooses among the rows that are kept."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows[i] for i in kept)
    chosen = sp.choose_runs(path, flops=share, pool_cost=pool_cost)
    return [int(kept[run.row - 2]) for run in chosen.runs]


def _errors(laws, inputs, loss, chosen, out):
    """Return the mean relative error of the rows held out, as the mean over the laws fitted to the chosen ones."""
    fitted = [fit([z[chosen] for z in inputs], loss[chosen], [z[out] for z in inputs]) for fit in laws.values()]
    return np.mean([np.mean(np.abs(values / loss[out] - 1)) for values in fitted])


def main(shares):
    """Print the errors of every pool."""
    if not DATA.is_dir():
        sys.exit(f"no pools in {DATA}")
    with tempfile.TemporaryDirectory() as folder:
        for title, (columns, target, cost_of, laws) in POOLS.items():
            name, _, pool_cost = title.partition(" by ")
            with (DATA / f"{name}_train.csv").open(encoding="utf-8", newline="") as stream:
                rows = list(csv.DictReader(stream))
            inputs = [np.array([float(row[column]) for row in rows]) for column in columns]
            loss = np.array([float(row[target]) for row in rows])
            cost = cost_of(*inputs)
            path = Path(folder) / f"{name}.csv"
            print(f"{title}: mean relative error in per cent ({', '.join(laws)})")
            print(f"  {'held out':16s} {'share':>5s} {'design':>14s} {'cheapest':>14s} {'random':>14s}")
            for (way, masks), share in product(held_out(inputs, cost), shares):
                tried = []
                for draw, out in enumerate(masks):
                    kept = np.flatnonzero(~out)
                    budget = float(share.rstrip("%")) / 100 * float(np.sum(cost[kept]))
                    seeds = range(DRAWS) if len(masks) == 1 else [draw]
                    lists = [
                        [by_design(rows, kept, share, path, pool_cost or None)],
                        [kept[cheapest(cost[kept], budget)]],
                        [kept[random_runs(cost[kept], budget, len(kept), seed)] for seed in seeds],
                    ]
                    errors = [
                        np.median([_errors(laws, inputs, loss, list(one), out) for one in some]) for some in lists
                    ]
                    tried.append([*(len(some[0]) for some in lists), *(100 * error for error in errors)])
                runs, errors = np.split(np.mean(tried, axis=0), 2)
                line = " ".join(f"{count:5.0f} {error:6.2f} %" for count, error in zip(runs, errors, strict=True))
                if len(tried) > 1:
                    apart = np.array(tried) @ [0, 0, 0, 1, -1, 0]
                    line += f"  {np.mean(apart):+.2f} +- {np.std(apart, ddof=1) / np.sqrt(len(apart)):.2f}"
                print(f"  {way:16s} {share:>5s} {line}", flush=True)


if __name__ == "__main__":
    with np.errstate(all="ignore"):
        main(sys.argv[1:] or SHARES)
