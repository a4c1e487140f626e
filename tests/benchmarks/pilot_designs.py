"""How right the plan of a target is after the pilots that ``design`` lists, beside the usual lists, by simulation.

Run on demand: ``python -m tests.benchmarks.pilot_designs [REPETITIONS]``, 40 by default, some five minutes.

Each list has 1e21 FLOP of runs for a target of 1e24, chosen with the default guess; the truth is another law, with
another gamma, floor and exponents, and 0.5 % of noise. The runs are forecast as ``fit`` does, for the target, and N*
and the loss of the plan compared with the truth. The last rows add what laws miss: a smooth error of 1 %, drawn from
the kernels of the forecast in turn.
"""

from __future__ import annotations

import math
import sys

import numpy as np
from tests.benchmarks.forecast_simulation import Z90, true_vertex, vertex

import scaleplan as sp
from scaleplan.fitting.forecaster import KERNELS, fit_forecast
from scaleplan.fitting.rival_designs import rival_lists
from scaleplan.fitting.runs import Points
from scaleplan.laws.additive import Additive, ThreeExponent
from scaleplan.laws.forecast import HALF

NOISE, PILOTS, TARGET = 0.005, 1e21, 1e24
GUESS = Additive(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)  # of besiroglu-2024


def law(gamma, *, floor=1.7, alpha=0.34, beta=0.36, size=0.5, data=0.55):
    """Return a law whose terms alone are ``size`` at 300M parameters and ``data`` at 6B tokens."""
    return ThreeExponent(
        E=floor,
        A=(size ** (1 / gamma)) * 3e8 ** (alpha / gamma),
        B=(data ** (1 / gamma)) * 6e9 ** (beta / gamma),
        alpha=alpha / gamma,
        beta=beta / gamma,
        gamma=gamma,
    )


LAWS = {
    "gamma 0.8": law(0.8),
    "gamma 0.6": law(0.6),
    "gamma 1": law(1.0),
    "gamma 0.8, E = 1.3": law(0.8, floor=1.3),
    "gamma 0.8, E = 2.0": law(0.8, floor=2.0),
    "gamma 0.8, 0.29 and 0.40": law(0.8, alpha=0.29, beta=0.40),
    "gamma 0.7, 0.42 and 0.31": law(0.7, alpha=0.42, beta=0.31),
}


def designed(**words):
    """Return the parameters and tokens of every run that ``design`` lists."""
    runs = [run for run in sp.design(flops=PILOTS, target=TARGET, **words).runs for _ in range(run.seeds)]
    return np.array([[run.params, run.tokens] for run in runs], dtype=float).T


def missed(params, tokens, generator, number, size):
    """Return a smooth relative error of ``size`` at runs, and on the budget line of the target, of one kernel."""
    line = np.exp(np.linspace(math.log(2e9), math.log(2e12), 60))
    x = np.log(np.concatenate([params, line]))
    y = np.log(np.concatenate([tokens, TARGET / 6 / line]))
    covariance = KERNELS[number % len(KERNELS)].between((x, y), (x, y)) + 1e-9 * np.eye(len(x))
    error = size * np.linalg.cholesky(covariance) @ generator.normal(size=len(x))
    return error[: len(params)], (np.log(line), error[len(params) :])


def repetition(params, tokens, truth, seed, misfit=0.0):
    """Return the errors of ln N* and ln L of the plan by one set of runs, and whether their 90 % intervals held."""
    generator = np.random.default_rng(seed)
    error, (line, beyond) = missed(params, tokens, generator, seed, misfit)
    loss = truth.loss(params, tokens) * np.exp(error + NOISE * generator.normal(size=len(params)))
    surface = fit_forecast(Points.of(params, tokens, loss)).surface(TARGET / 6)
    x, spread, size, data = vertex(surface, TARGET / 6)

    def log_loss(x):
        return math.log(truth.loss(math.exp(x), TARGET / 6 / math.exp(x))) + float(np.interp(x, line, beyond))

    if misfit:
        grid = np.linspace(math.log(4e9), math.log(1e12), 400)
        best = float(grid[np.argmin([log_loss(x + HALF) + log_loss(x - HALF) + log_loss(x) for x in grid])])
    else:
        best = true_vertex(truth, TARGET / 6)
    off = surface.log_loss(size, data) - log_loss(x)
    return (
        x - best,
        off,
        abs(x - best) <= Z90 * spread,
        abs(off) <= Z90 * float(surface.deviation(size, data)),
    )


def row(name, runs, truth, count, misfit=0.0):
    """Print the errors of one list under one truth."""
    params, tokens = runs
    table = np.array([repetition(params, tokens, truth, seed, misfit) for seed in range(count)], dtype=float)
    bias, rms, held = 100 * table.mean(axis=0), 100 * np.sqrt(np.mean(table**2, axis=0)), table.mean(axis=0)
    print(
        f"{name:58s} {len(params):5d} {bias[0]:+7.1f} {rms[0]:6.1f} {held[2]:6.0%} {bias[1]:+7.2f} {rms[1]:6.2f} "
        f"{held[3]:6.0%}",
        flush=True,
    )


def main():
    """Print one table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    print(f"{'':58s}  runs   N* bias  rms  inside  loss bias  rms inside   (%)")
    listed = designed()
    for name, truth in LAWS.items():
        row(f"design, {name}", listed, truth, count)
    for aim in ("loss", "waste"):
        row(f"design for {aim}, gamma 0.8", designed(aim=aim), LAWS["gamma 0.8"], count)
    bounds = sp.design(flops=PILOTS, target=TARGET).bounds
    for name, *runs in rival_lists(GUESS, bounds, flops=PILOTS, per_product=6, each=PILOTS / 1000):
        row(f"{name}, gamma 0.8", runs, LAWS["gamma 0.8"], count)
        row(f"{name}, gamma 0.8, missed by 1 %", runs, LAWS["gamma 0.8"], count, 0.01)
    row("design, gamma 0.8, missed by 0.3 %", listed, LAWS["gamma 0.8"], count, 0.003)
    row("design, gamma 0.8, missed by 1 %", listed, LAWS["gamma 0.8"], count, 0.01)


if __name__ == "__main__":
    main()
