"""Score the alarms of a running training: healthy runs that are ever flagged, steps of the loss that are found.

Run on demand: ``python -m tests.benchmarks.alarm_scores [WORD...] [--half 0|1]``, from the root; sets whose name
holds a word, or all. Public curves are read from ``../shared/data``; the half takes every other run and other seeds,
so that what is chosen on the one is measured on the other. ``--null 200`` prints the deviates that healthy runs alone
exceed, of which ``scaleplan.tracking.alarm`` holds a table.

A run is looked at twelve times; a step begins at a quarter of the run, or at three fifths, by turns. In a line: runs,
per cent of them flagged when healthy, and for each step the per cent found, those found within 0.02 of the run (or at
the first point), the median delay, and the median error of ``since`` in points.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
from tests.tracking import ending_curves
from tests.tracking.ending_curves import cut, ladder, smaller

from scaleplan.logs.learning_rate import schedule_of
from scaleplan.tracking import alarm
from scaleplan.tracking.alarm import check_course
from scaleplan.tracking.loss_curve import LossCurve

LOOKS = np.linspace(1 / 12, 1, 12)
PLACES = (0.25, 0.6)
STEPS = (0.01, 0.02, 0.05, -0.01)


def stepped(curve, size, at):
    """Return a curve whose loss is higher by a share from a place on."""
    return replace(curve, loss=curve.loss * (1 + size * (curve.steps >= at * curve.total)))


def first_alarm(curve, references, looks):
    """Return the first alarm of any look; None without one."""
    for share in looks:
        part = cut(curve, share)
        if len(part.steps) > 2:
            found = check_course(part, references).alarm
            if found is not None:
                return found
    return None


def score(title, cases, half, steps):
    """Print the line of one set."""
    began = time.perf_counter()
    cases = [case for index, case in enumerate(cases) if half is None or index % 2 == half]
    if not cases:
        return
    flagged = np.mean([first_alarm(curve, references, LOOKS) is not None for curve, references in cases])
    cells = []
    for size in steps:
        late, missed = [], []
        for index, (curve, references) in enumerate(cases):
            place = PLACES[index % 2] if half is None else PLACES[index // 2 % 2]
            points = curve.steps[curve.steps >= place * curve.total]
            begin = points[0] / curve.total
            looks = np.unique([*LOOKS, begin, *np.minimum(1, begin + np.array([0.01, 0.02, 0.04]))])
            told = first_alarm(stepped(curve, size, place), references, looks[looks >= begin - 0.05])
            if (
                told is None
                or told.kind != ("worse" if size > 0 else "better")
                or told.found < points[0] * (1 - 1e-9)
            ):
                continue
            late.append((told.found - points[0]) / curve.total)
            missed.append(abs(int((curve.steps < told.since * (1 - 1e-9)).sum() - (curve.steps < points[0]).sum())))
        soon = np.mean([*(np.array(late) <= 0.02 + 1e-9), *[False] * (len(cases) - len(late))])
        cells.append(
            f"{size:+.0%}: {100 * len(late) / len(cases):3.0f} {100 * soon:3.0f}"
            f" {np.median(late) if late else np.nan:5.3f} {np.median(missed) if missed else np.nan:3.0f}"
        )
    print(
        f"{title:52s} {len(cases):4d} {100 * flagged:5.1f} | {' | '.join(cells)}"
        f" | {time.perf_counter() - began:3.0f} s",
        flush=True,
    )


# --- runs ----------------------------------------------------------------------------------------------------------


def noise_of(rng, points, correlation):
    """Return noise of variance 1 whose neighbours are correlated."""
    shocks = rng.normal(size=points)
    for index in range(1, points):
        shocks[index] = correlation * shocks[index - 1] + np.sqrt(1 - correlation**2) * shocks[index]
    return shocks


def disturbed(curve, rng, *, noise, correlation, scatter):
    """Return a curve with noise, and a level and a smooth drift of its own."""
    share = curve.steps / curve.total
    drift = sum(rng.normal() / k * np.cos(np.pi * k * share + rng.uniform(0, np.pi)) for k in (1, 2, 3))
    shocks = noise * noise_of(rng, len(share), correlation)
    return replace(curve, loss=curve.loss * np.exp(scatter * (rng.normal() + 0.5 * drift) + shocks))


def alone(kind, points, noise, correlation, *, count, seed):
    """Yield simulated runs of a power law with a floor, whose loss follows the decay of the rate."""
    for number in range(count):
        rng = np.random.default_rng([seed, points, number])
        total = 10_000.0
        steps = np.linspace(total / points, total, points)
        plan = schedule_of(
            kind, total=total, warmup=0.01 * total, end=0.1, decay_from=0.8 * total if kind == "wsd" else None
        )
        work = plan.integral(steps) / plan.integral(np.array([total]))
        loss = rng.uniform(1.6, 2.2) + rng.uniform(0.4, 1.2) * (0.01 + work) ** -rng.uniform(0.25, 0.6)
        loss -= 0.08 * (1 - plan.at(steps)) * (steps > 0.02 * total)
        curve = LossCurve(name=kind, steps=steps, loss=loss, total=total, schedule=plan)
        yield disturbed(curve, rng, noise=noise, correlation=correlation, scatter=0.0), ()


def recipe(count, kind, *, runs, seed):
    """Yield simulated runs of 410M, each with others that differ by what seeds differ by."""
    points, noise, correlation, scatter = kind
    for number in range(runs):
        rng = np.random.default_rng([seed, points, number, 1])
        curves, _ = ladder(int(rng.integers(1 << 30)), points=points, noise=0.0, sizes=(4.1e8,), scatter=0.0)
        (clean,) = curves.values()
        more = {"noise": noise, "correlation": correlation, "scatter": scatter}
        first, *others = [disturbed(clean, rng, **more) for _ in range(count + 1)]
        yield first, others


def sizes(schedule, kind, tokens, *, runs, seed):
    """Yield the largest runs of simulated ladders of 70M to 13B, each with at least five smaller ones."""
    points, noise, correlation, scatter = kind
    for number in range(runs):
        rng = np.random.default_rng([seed, points, number, 2])
        curves, _ = ladder(
            int(rng.integers(1 << 30)), kind=schedule, points=points, noise=0.0, tokens=tokens, scatter=2 * scatter
        )
        more = {"noise": noise, "correlation": correlation, "scatter": scatter}
        curves = {name: disturbed(one, rng, **more) for name, one in curves.items()}
        for name in list(curves)[5:]:
            yield curves[name], smaller(curves, name)


def left_out(curves, allow=lambda *_: True):
    """Yield each run with the others that it may be compared with."""
    for key, curve in curves.items():
        yield curve, [one for name, one in curves.items() if name != key and allow(key, name)]


def bare(curves):
    """Return curves whose schedule nobody knows."""
    return {key: replace(one, schedule=None) for key, one in curves.items()}


def seeds(count):
    """Yield the seeds of one recipe, each with some others drawn at random."""
    curves = list(ending_curves.speedrun("unet_1480").values())
    rng = np.random.default_rng(1)
    for curve in curves * 2:
        others = [one for one in curves if one is not curve]
        yield curve, [others[index] for index in rng.permutation(len(others))[:count]]


def language():
    """Return the language models of the published learning curves, 17M to 1B: 21 to 119 points by tokens."""
    groups = {}
    for row in ending_curves.rows("learning_curves_lang.csv"):
        if row["domain"] == "LM":
            groups.setdefault(row["group"], []).append(row)
    curves = {}
    for name, group in groups.items():
        steps = np.array([float(row["seen"]) for row in group])
        order = np.unique(steps, return_index=True)[1]
        loss = np.array([float(row["loss"]) for row in group])
        curves[name] = LossCurve(
            name=name,
            steps=steps[order],
            loss=loss[order],
            total=float(steps.max()),
            params=float(group[0]["params"]),
        )
    return curves


def by_size(curves, least):
    """Yield each curve with the smaller ones, of which there are ``least``."""
    for name, curve in curves.items():
        below = smaller(curves, name)
        if len(below) >= least:
            yield curve, below


SWEEPS = ((1500, "0.002"), (4000, "0.001"), (4000, "0.002"), (6000, "0.001"), (16000, "0.001"))
SMALLER_RUNS = {
    **{f"seeds of one recipe, {count} others": lambda count=count: seeds(count) for count in (3, 5, 8)},
    "variants of one recipe, 5 others": lambda: left_out(ending_curves.speedrun("shortcuts_3200")),
    "multi-power, all others": lambda: left_out(ending_curves.multi_power()),
    "multi-power, all others, schedules not known": lambda: left_out(bare(ending_curves.multi_power())),
    "OPT, smaller": lambda: by_size(ending_curves.opt(), 3),
    "OPT, all others": lambda: left_out(ending_curves.opt()),
    "language models, all others": lambda: left_out(language()),
    "sweep, all others": lambda: (
        case for steps, rate in SWEEPS for case in left_out(ending_curves.misfitting(steps, rate)) if len(case[1]) > 2
    ),
    "sweep, smaller": lambda: (
        case for steps, rate in SWEEPS for case in by_size(ending_curves.misfitting(steps, rate), 3)
    ),
}
PUBLIC_ALONE = {
    "alone: multi-power, schedule known": lambda: ((one, ()) for one in ending_curves.multi_power().values()),
    "alone: multi-power, not known": lambda: ((one, ()) for one in bare(ending_curves.multi_power()).values()),
    "alone: validation curves of 27 to 51 points": lambda: (
        (one, ())
        for group in ("soap_6000", "muon_6200", "muon_5100", "shortcuts_3200")
        for one in ending_curves.speedrun(group).values()
    ),
    "alone: language models": lambda: ((one, ()) for one in language().values()),
    "alone: sweep, 25 points or more": lambda: (
        (one, ())
        for steps, rate in SWEEPS
        for one in ending_curves.misfitting(steps, rate).values()
        if len(one.steps) >= 25
    ),
    "alone: llm.c": lambda: ((one, ()) for one in ending_curves.llmc().values()),
}


def simulated(seed):
    """Return the simulated sets by name, from a seed."""
    sets = {}
    for points, noise, correlation, scatter in (
        (15, 0.001, 0.0, 0.001),
        (50, 0.0005, 0.0, 0.003),
        (50, 0.002, 0.0, 0.001),
        (200, 0.002, 0.7, 0.001),
        (200, 0.005, 0.0, 0.002),
        (1000, 0.005, 0.0, 0.002),
        (5000, 0.01, 0.7, 0.002),
    ):
        told = f"{points} points, noise {noise:.2%}, r {correlation:g}, scatter {scatter:.1%}"
        for count in (3, 5):
            sets[f"recipe of {count}: {told}"] = lambda count=count, a=(points, noise, correlation, scatter): recipe(
                count, a, runs=20, seed=seed
            )
        for kind, tokens in (("cosine", None), ("wsd", 3e11)):
            sets[f"ladder, {kind}: {told}"] = (
                lambda kind=kind, tokens=tokens, a=(points, noise, correlation, scatter): sizes(
                    kind, a, tokens, runs=10, seed=seed
                )
            )
    for points in (30, 100, 300, 1000, 5000):
        for noise in (0.0005, 0.002, 0.005, 0.01):
            for correlation in (0.0, 0.7, 0.9):
                sets[f"alone: {points} points, noise {noise:.2%}, r {correlation:g}"] = (
                    lambda a=(points, noise, correlation): (
                        case
                        for number, kind in enumerate(("cosine", "wsd", "linear", "constant"))
                        for case in alone(kind, *a, count=5, seed=10 * seed + number)
                    )
                )
    return sets


NULL_LOOKS = (0.3, 0.55, 0.8, 1.0)


def null(count):
    """Print what the largest deviate of healthy runs at any of four looks exceeds, by points and memory of the noise.

    The seed is 1; ``count`` runs of each length and memory.
    """
    rng = np.random.default_rng(1)
    for points in (25, 50, 100, 200, 400, 1000):
        for correlation in (0.0, 0.7, 0.9):
            largest = []
            for _ in range(count):
                steps = np.arange(1, points + 1.0) * 1000 / points
                logs = np.log(2 + 3 * steps**-0.4) + 0.01 * noise_of(rng, points, correlation)
                begin = 0 if points <= alarm.FEWEST_POINTS else int(0.02 * points)
                stops = {max(alarm.FEWEST_POINTS, round(look * points)) for look in NULL_LOOKS}
                largest.append(
                    max(
                        tried.deviate.max()
                        for stop in stops
                        for tried in alarm.all_windows(steps[begin:stop], logs[begin:stop])
                        if len(tried.deviate)
                    )
                )
            print(points, correlation, np.quantile(largest, [0.5, 0.9, 0.95, 0.975]).round(2), flush=True)


def main():
    """Print the lines of the sets asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("words", nargs="*")
    parser.add_argument("--half", type=int, choices=(0, 1))
    parser.add_argument("--null", type=int, metavar="RUNS")
    parser.add_argument("--steps", type=float, nargs="*", default=STEPS)
    told = parser.parse_args()
    if told.null:
        null(told.null)
        return
    public = {**SMALLER_RUNS, **PUBLIC_ALONE} if ending_curves.DATA.is_dir() else {}
    for name, cases in {**public, **simulated(13 if told.half else 7)}.items():
        if not told.words or any(word in name for word in told.words):
            score(name, cases(), None if name not in public else told.half, told.steps)


if __name__ == "__main__":
    main()
