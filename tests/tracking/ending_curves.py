"""Loss curves of public runs and of simulated ones, for the tests and the scores of forecasts of their ends.

The public ones are other people's and not part of the project: they are read from ``../shared/data``.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np

from scaleplan.logs.learning_rate import LearningRate
from scaleplan.tracking.loss_curve import LossCurve
from scaleplan.tracking.seen_part import level_at_end, seen_part

DATA = Path(__file__).parents[2].parent / "shared" / "data"

MPL_WARMUP = 2160  # steps, which the file does not hold: the rate rises over them


def schedule(kind, total, *, warmup=0.01, floor=0.1, decay=0.2, knots=300):
    """Return a schedule that the user stated, relative to its peak."""
    at = np.linspace(warmup, 1.0, knots)
    share = (at - warmup) / (1 - warmup)
    rates = {
        "constant": np.ones(knots),
        "cosine": floor + (1 - floor) * 0.5 * (1 + np.cos(np.pi * share)),
        "linear": 1 - (1 - floor) * share,
        "wsd": np.where(at < 1 - decay, 1.0, 1 - (1 - floor) * (at - 1 + decay) / decay),
    }[kind]
    return LearningRate(
        kind=kind,
        peak=1.0,
        end=float(rates[-1]),
        total=float(total),
        warmup=warmup * total,
        decay_from=(1 - decay) * total,
        knots=np.concatenate([[0.0], at]) * total,
        rates=np.concatenate([[0.0], rates]),
        stated=True,
    )


def annealed(plan, steps, *, exponent, gain, speed=2500.0):
    """Return S^-a - b G of the multi-power law, with the exponents 0.6 and 0.65, straight from its formula."""
    knots, rates = plan.knots[1:], plan.rates[1:]
    total = plan.integral(steps) / plan.total
    middle = 0.5 * (knots[1:] + knots[:-1])
    gained = np.zeros(len(steps))
    pieces = zip(-np.diff(rates), 0.5 * (rates[1:] + rates[:-1]), plan.integral(middle) / plan.total, strict=True)
    for drop, rate, at in pieces:
        since = np.maximum(total - at, 0.0)
        gained += drop * (1 - (1 + speed * max(rate, 0.01) ** -0.65 * since) ** -0.6)
    return total**-exponent - gain * gained


def ladder(
    seed,
    *,
    kind="cosine",
    points=100,
    noise=0.002,
    sizes=(7e7, 1.6e8, 4.1e8, 1e9, 2.8e9, 6.9e9, 13e9),
    tokens=None,
    scatter=0.01,
    known=False,
):
    """Return simulated curves by name, smallest first, and their losses without noise at the end.

    Chinchilla's law for the floor and the fall, the multi-power law along the run; ``scatter`` of every term is each
    run's own. ``tokens`` of a run, or 20 for each parameter.
    """
    rng = np.random.default_rng(seed)
    floor, size, data = rng.uniform(1.6, 1.9), 400 * rng.uniform(0.7, 1.3), 410 * rng.uniform(0.7, 1.3)
    exponent, gain, warmup = rng.uniform(0.28, 0.5), rng.uniform(0.4, 0.9), rng.uniform(0.003, 0.02)
    curves, ends = {}, {}
    for params in sizes:
        total = tokens or 20 * params
        plan = schedule(kind, total, warmup=warmup)
        steps = np.linspace(0, total, points + 1)[1:]
        own = np.exp(rng.normal(0, scatter, 3))
        fall = annealed(plan, steps, exponent=exponent * own[0], gain=gain * own[1])
        loss = floor + size / params**0.34 + data / total**0.28 * own[2] * fall
        name = f"{params:g}"
        ends[name] = float(loss[-1])
        curves[name] = LossCurve(
            name=name,
            steps=steps,
            loss=loss * np.exp(rng.normal(0, noise, points)),
            total=float(total),
            schedule=plan if known else None,
            params=params,
            tokens=float(total),
        )
    return curves, ends


def drifting_ladder(seed, *, most_noise=0.01):
    """Return a simulated ladder of 4 to 8 runs, the losses logged at their ends, and the traits drawn by the seed.

    Apart from :func:`ladder` runs drift: up to 0.3 % of the loss, slowly along the run. They have one number of
    tokens, 20 for each parameter or any; 10 to 150 points, at the same shares or at other ones; and noise of their
    own or, where they see the same data, in common. The end is the mean of what is logged over the last 2 %.
    """
    rng = np.random.default_rng((31, seed))
    sizes = np.sort(
        rng.choice([7e7, 1.6e8, 4.1e8, 1e9, 1.4e9, 2.8e9, 6.9e9, 13e9], rng.integers(4, 9), replace=False)
    )
    kind = ("cosine", "linear", "wsd")[seed % 3]
    tokens = ("one", "20N", "any")[rng.integers(3)]
    points = round(np.exp(rng.uniform(np.log(10), np.log(150))))
    noise = np.exp(rng.uniform(np.log(5e-4), np.log(most_noise)))
    common, drift, own = rng.choice([0, 0, 0.8]), rng.choice([0, 0.001, 0.003]), rng.choice([0, 0.01, 0.02])
    floor, size, data = rng.uniform(1.55, 1.95), 400 * rng.uniform(0.7, 1.4), 410 * rng.uniform(0.7, 1.4)
    exponent, gain, power = rng.uniform(0.3, 0.55), rng.uniform(0.35, 0.95), rng.uniform(0.22, 0.36)
    warmup, decay, last = rng.uniform(0.002, 0.02), rng.uniform(0.1, 0.3), rng.choice([0.0, 0.1])
    even, shared, waves = rng.integers(2), rng.normal(size=points), np.array([0.5, 1, 2, 4])
    curves, ends = {}, {}
    for params in sizes:
        total = {"one": 3e11, "20N": 20 * params, "any": 20 * params * np.exp(rng.normal(1, 0.7))}[tokens]
        count = points if even else max(points + rng.integers(-points // 4, points // 4 + 1), 8)
        shares = np.linspace(0, 1, count + 1)[1:]
        plan = schedule(kind, total, warmup=warmup, floor=last, decay=decay)
        each = np.exp(rng.normal(0, own, 3))
        fall = annealed(plan, shares * total, exponent=exponent * each[0], gain=gain * each[1])
        loss = floor + size / params**0.34 + data * 3e9 ** (power - 0.28) / total**power * each[2] * fall
        size_of_waves = drift * rng.normal(size=4) / (0.85 * np.sqrt(waves))
        drifted = size_of_waves @ np.sin(2 * np.pi * np.outer(waves, shares) + rng.uniform(0, 2 * np.pi, (4, 1)))
        values = rng.normal(size=count)
        if even:
            values = np.sqrt(common) * shared + np.sqrt(1 - common) * values
        logged = loss * np.exp(drifted + noise * values)
        name = f"{params:g}"
        ends[name] = float(np.exp(np.mean(np.log(logged[-max(round(0.02 * count), 1) :]))))
        curves[name] = LossCurve(
            name=name, steps=shares * total, loss=logged, total=float(total), params=params, tokens=float(total)
        )
    return curves, ends, {"points": points, "noise": noise, "drift": drift}


def cut(curve, share):
    """Return the part of a curve up to a share of its run."""
    keep = curve.steps <= share * curve.total * (1 + 1e-9)
    return replace(curve, steps=curve.steps[keep], loss=curve.loss[keep])


def smaller(curves, name, *, alike=lambda _: True):
    """Return the curves of smaller runs, smallest first."""
    below = [one for key, one in curves.items() if one.params < 0.99 * curves[name].params and alike(key)]
    return sorted(below, key=lambda one: one.params)


def end_of(curve):
    """Return the loss at the end of a run seen to it, as a forecast defines it."""
    return float(np.exp(level_at_end(seen_part(curve))[0]))


def rows(name):
    """Return the rows of a file of shared data."""
    with (DATA / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _grouped(table, key):
    groups = {}
    for row in table:
        groups.setdefault(key(row), []).append(row)
    return groups


def _column(group, name):
    return np.array([float(row[name]) for row in group])


def multi_power():
    """Return 27 training curves: 25M, 100M and 400M by nine schedules, all of which are known."""
    curves = {}
    for name, group in _grouped(rows("mpl_curves.csv"), lambda row: row["run"]).items():
        steps, rates = _column(group, "step"), _column(group, "lr")
        later = steps > MPL_WARMUP
        plan = LearningRate(
            kind="table",
            peak=3e-4,
            end=float(rates[-1]),
            total=float(steps[-1]),
            warmup=MPL_WARMUP,
            decay_from=MPL_WARMUP,
            knots=np.concatenate([[0, MPL_WARMUP], steps[later]]),
            rates=np.concatenate([[0, 3e-4], rates[later]]),
            stated=True,
        )
        curves[name] = LossCurve(
            name=name,
            steps=steps,
            loss=_column(group, "loss"),
            total=float(steps[-1]),
            schedule=plan,
            params=float(group[0]["params"]),
            tokens=float(steps[-1]),
        )
    return curves


def opt():
    """Return the validation curves of OPT, 125M to 175B: 15 to 36 noisy points, one number of tokens."""
    curves = {}
    for name, group in _grouped(rows("raw/opt_trajectories_log10.csv"), lambda row: row["model_size"]).items():
        tokens, first = np.unique(10 ** _column(group, "num_token"), return_index=True)
        curves[name] = LossCurve(
            name=name,
            steps=tokens,
            loss=np.log(_column(group, "ppl"))[first],
            total=float(tokens[-1]),
            params=float(name[:-1]) * {"m": 1e6, "b": 1e9}[name[-1]],
            tokens=float(tokens[-1]),
        )
    return dict(sorted(curves.items(), key=lambda item: item[1].params))


def misfitting(total_steps, rate):
    """Return the curves of one number of steps and one learning rate of a sweep, 12M to 1B, smallest first."""
    table = [
        row for row in rows("misfitting_curves.csv") if row["total_steps"] == str(total_steps) and row["lr"] == rate
    ]
    curves = {}
    for name, group in _grouped(table, lambda row: row["model"]).items():
        tokens, first = np.unique(_column(group, "tokens"), return_index=True)
        if len(tokens) >= 10 and max(_column(group, "portion")) > 0.9:
            curves[name] = LossCurve(
                name=name,
                steps=tokens,
                loss=_column(group, "loss")[first],
                total=float(tokens[-1]),
                params=float(group[0]["params_non_embedding"]),
                tokens=float(tokens[-1]),
            )
    return dict(sorted(curves.items(), key=lambda item: item[1].params))


def speedrun(group_name):
    """Return the validation curves of runs of one recipe that differ by seed or variant only."""
    curves = {}
    table = [row for row in rows("speedrun_curves.csv") if row["group"] == group_name and float(row["step"]) > 0]
    for name, group in _grouped(table, lambda row: row["run"]).items():
        steps, total = _column(group, "step"), float(group[0]["total_steps"])
        curves[name] = LossCurve(
            name=name,
            steps=steps,
            loss=_column(group, "loss"),
            total=total,
            params=124e6,
            tokens=total * float(group[0]["tokens_per_step"]),
        )
    return curves


def llmc():
    """Return the training and the validation curve of one run of GPT-2 124M, with its schedule."""
    table = rows("llmc_gpt2_124m.csv")
    train = [row for row in table if row["kind"] == "train"]
    steps, rates = _column(train, "step"), _column(train, "lr")
    peak = float(rates.max())
    plan = LearningRate(
        kind="table",
        peak=peak,
        end=float(rates[-1]),
        total=float(steps[-1]),
        warmup=float(steps[rates.argmax()]),
        decay_from=0.0,
        knots=steps,
        rates=rates,
        stated=True,
    )
    curves = {}
    for kind in ("train", "val"):
        group = [row for row in table if row["kind"] == kind and float(row["step"]) > 0]
        curves[kind] = LossCurve(
            name=kind,
            steps=_column(group, "step"),
            loss=_column(group, "value"),
            total=float(steps[-1]),
            schedule=plan,
            params=124e6,
            tokens=10.26e9,
        )
    return curves
