"""How often the intervals of a forecast hold where the law is true: coverage, width and score by design of the runs.

Run on demand: ``python -m tests.benchmarks.forecast_simulation [REPETITIONS]``, 60 by default, about a minute.

Each repetition draws a law, trains runs of it and plans ten times beyond the largest: the truth is the expected loss
of the plan, and the size of the vertex on its budget line. The score is the interval score of Gneiting and Raftery
2007, width + 20 times the miss, and all three are in per cent of the loss.
"""

from __future__ import annotations

import math
import sys

import numpy as np

from scaleplan.fitting.forecaster import fit_forecast
from scaleplan.fitting.runs import Points
from scaleplan.laws.additive import Additive
from scaleplan.laws.forecast import HALF
from scaleplan.planning.posterior import LEAST_BEND

Z90 = 1.6448536269514722
NOISE = 0.005
BEYOND = 10.0


def drawn_law(generator):
    """Return a law like the published ones, whose two terms weigh about the same at 300M parameters and 6B tokens."""
    alpha, beta = generator.uniform(0.25, 0.45, 2)
    size, data = generator.uniform(0.3, 0.9, 2)
    return Additive(E=generator.uniform(1.3, 2.1), A=size * 3e8**alpha, B=data * 6e9**beta, alpha=alpha, beta=beta)


def isoflop(budgets, sizes):
    """Return the sizes of budgets from 1e18 to 1e20 FLOP, with as many sizes each."""

    def design(law, generator):
        flops = np.repeat(np.geomspace(1e18, 1e20, budgets), sizes)
        off = np.tile(np.linspace(-1.8, 1.8, sizes), budgets) + generator.uniform(-0.2, 0.2, len(flops))
        params = np.sqrt(flops / 6 / 20) * np.exp(off)
        return params, flops / 6 / params

    return design


def scattered(count):
    """Return sizes at random: compute from 1e18 to 1e20 FLOP, D/N from 4 to 100."""

    def design(law, generator):
        flops = np.exp(generator.uniform(np.log(1e18), np.log(1e20), count))
        params = np.sqrt(flops / 6 / np.exp(generator.uniform(np.log(4), np.log(100), count)))
        return params, flops / 6 / params

    return design


def rays(*ratios, sizes):
    """Return a ladder of sizes with as many tokens per parameter each."""

    def design(law, generator):
        params = np.tile(np.geomspace(3e7, 1e9, sizes), len(ratios))
        return params, params * np.repeat(ratios, sizes)

    return design


def trunks(law, generator, count=12, checkpoints=6):
    """Return checkpoints of a few runs."""
    params = np.repeat(np.geomspace(5e7, 1.2e9, count) * np.exp(generator.uniform(-0.1, 0.1, count)), checkpoints)
    return params, np.tile(np.geomspace(4, 80, checkpoints), count) * params


def cells(law, generator, count=12, repeats=4):
    """Return repeats of a few cells, in clusters that share an error."""
    params, tokens = isoflop(3, count // 3)(law, generator)
    return np.repeat(params, repeats), np.repeat(tokens, repeats)


def plain(params, tokens, generator):
    """Return independent errors."""
    return NOISE * generator.normal(size=len(params))


def wild(params, tokens, generator):
    """Return errors of which four are 5 to 20 % above."""
    error = plain(params, tokens, generator)
    error[generator.choice(len(error), 4, replace=False)] += generator.uniform(0.05, 0.20, 4)
    return error


def falling(params, tokens, generator):
    """Return errors from 1.5 % of the smallest run to 0.25 % of the largest."""
    compute = np.log(params * tokens)
    share = (compute - compute.min()) / np.ptp(compute)
    return 0.015 * (0.0025 / 0.015) ** share * generator.normal(size=len(params))


def by_group(own, common):
    """Return errors of which a part is common to the runs of a group."""

    def error(params, tokens, generator, groups):
        return common * generator.normal(size=max(groups) + 1)[groups] + own * generator.normal(size=len(groups))

    return error


SCENARIOS = {
    "48 runs, 6 budgets": (isoflop(6, 8), plain),
    "20 runs, 4 budgets": (isoflop(4, 5), plain),
    "ladder of 3 rays, 24 runs": (rays(8.0, 20.0, 60.0, sizes=8), plain),
    "6 runs": (scattered(6), plain),
    "8 runs": (scattered(8), plain),
    "4 outliers of 48": (isoflop(6, 8), wild),
    "noise falling with size": (isoflop(6, 8), falling),
    "one ray, 12 runs": (rays(20.0, sizes=12), plain),
    "12 trunks x 6, given": (trunks, "given", (0.001, 0.006)),
    "12 trunks x 6, unnamed": (trunks, "unnamed", (0.001, 0.006)),
    "12 trunks x 6, noise only": (trunks, plain),
    "12 cells x 4, given": (cells, "given", (0.001, 0.006)),
    "12 cells x 4, unnamed": (cells, "unnamed", (0.001, 0.006)),
}


def vertex(surface, product):
    """Return ln N* of a stored surface with its standard deviation, and the plan."""
    params, tokens = surface.best_split(product)
    x = math.log(params)
    sides = [(math.exp(x + shift), math.exp(math.log(tokens) - shift)) for shift in (-HALF, 0.0, HALF)]
    means = [surface.log_loss(*side) for side in sides]
    laws = [math.log(surface.base.loss(*side)) for side in sides]
    bend = max(*(m[0] + m[2] - 2 * m[1] for m in (means, laws)), LEAST_BEND * HALF**2) / HALF**2
    slope = surface.spread([a - b for a, b in zip(surface.basis(*sides[2]), surface.basis(*sides[0]), strict=True)])
    return x, slope / (2 * HALF) / bend, params, tokens


def true_vertex(law, product):
    """Return ln N where twice the size and half of it do equally well."""
    low, high = 0.0, math.log(product)
    for _ in range(80):
        x = 0.5 * (low + high)
        up, down = (law.loss(math.exp(x + s), math.exp(math.log(product) - x - s)) for s in (HALF, -HALF))
        low, high = (x, high) if up < down else (low, x)
    return x


def repetition(scenario, seed):
    """Return (inside, width, score) of the loss and (inside, half width, error) of N*."""
    design, noise, *sizes = scenario
    generator = np.random.default_rng(seed)
    law = drawn_law(generator)
    params, tokens = design(law, generator)
    groups = None
    if isinstance(noise, str):
        _, codes = np.unique(params, return_inverse=True)
        error = by_group(*sizes[0])(params, tokens, generator, codes)
        groups = codes.tolist() if noise == "given" else None
    else:
        error = noise(params, tokens, generator)
    forecaster = fit_forecast(Points.of(params, tokens, law.loss(params, tokens) * np.exp(error)), groups)
    product = BEYOND * float(np.max(params * tokens))
    x, spread, size, data = vertex(forecaster.surface(), product)
    mean, sd = (float(value[0]) for value in forecaster.predict([size], [data], noise=False))
    off, best = math.log(law.loss(size, data)) - mean, true_vertex(law, product)
    width = 100 * (math.exp(Z90 * sd) - math.exp(-Z90 * sd))
    score = width + 20 * 100 * max(abs(off) - Z90 * sd, 0.0)
    return abs(off) <= Z90 * sd, width, score, abs(best - x) <= Z90 * spread, Z90 * spread, best - x


def main():
    """Print one table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    print(f"{'runs':26s} coverage  width  score  N* coverage half width   rms")
    for name, scenario in SCENARIOS.items():
        table = np.array([repetition(scenario, i) for i in range(count)], dtype=float)
        inside, _, score, inside_n, _, _ = table.mean(axis=0)
        width, half = np.median(table[:, [1, 4]], axis=0)
        rms = math.sqrt(np.mean(table[:, 5] ** 2))
        print(
            f"{name:26s} {inside:8.0%} {width:6.2f} {score:6.2f}  {inside_n:11.0%} {half:10.2f} {rms:5.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
