"""Score the alarms of a running training: false alarms over whole runs, and faults found, with the delay.

``python tests/benchmarks/alarm_scores.py FOLDER`` takes the folder of the shared curves (``mpl_curves.csv``,
``speedrun_curves.csv``, ``misfitting_curves.csv``); ``--null`` prints the deviates that a healthy run exceeds, which
``scaleplan.tracking.alarm`` holds as a table.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from scaleplan.logs.learning_rate import schedule_of
from scaleplan.logs.schedule_recognition import recognise_schedule
from scaleplan.tracking import alarm
from scaleplan.tracking.alarm import check_course
from scaleplan.tracking.loss_curve import LossCurve

LOOKS = 16
"""Looks at each run, evenly spread; the alarm also says at which step it could first have been told."""


def cut(curve, share):
    seen = curve.steps <= share * curve.total * (1 + 1e-9)
    return LossCurve(**{**vars(curve), "steps": curve.steps[seen], "loss": curve.loss[seen]})


def fault(curve, size, at=0.25):
    return LossCurve(**{**vars(curve), "loss": curve.loss * (1 + size * (curve.steps >= at * curve.total))})


def ever(curve, references=(), looks=LOOKS):
    """Return the first alarm of any look, and the share of the run of that look."""
    for share in np.linspace(1 / looks, 1, looks):
        part = cut(curve, share)
        if len(part.steps) > 2:
            found = check_course(part, references)
            if found.alarm is not None:
                return found.alarm, share
    return None


def score(title, cases, sizes=(0.01, 0.02, 0.05), at=0.25):
    """Print a line: how many healthy runs are flagged, and for each fault how many are found and when."""
    flagged = [ever(curve, references) for curve, references in cases]
    line = [f"{title:44s} {len(cases):4d} runs, false {100 * np.mean([each is not None for each in flagged]):5.1f} %"]
    for size in sizes:
        found, late, soon = 0, [], 0
        for curve, references in cases:
            faulty = fault(curve, size, at)
            result = ever(faulty, references)
            if result is None:
                continue
            told, _ = result
            points = curve.steps[curve.steps >= at * curve.total]
            if told.kind == "worse" and told.found >= points[0] - 1e-9:
                found += 1
                late.append((told.found - points[0]) / curve.total)
                soon += late[-1] <= 0.02
        line.append(
            f"+{100 * size:g}%: {100 * found / len(cases):5.1f} % (in .02: {100 * soon / len(cases):5.1f} %),"
            f" delay {np.median(late) if late else np.nan:.3f}"
        )
    print(" | ".join(line), flush=True)


def simulated(rng, *, points, noise, kind, correlation=0.0, params=1e8, level=0.0, total=10_000.0, seen=1.0):
    """Return a run of a power law with a floor, whose loss follows the decay of the rate, and its noise."""
    steps = np.linspace(total / points, total, points)
    schedule = schedule_of(
        kind, total=total, warmup=0.01 * total, end=0.1, decay_from=0.8 * total if kind == "wsd" else None
    )
    floor, exponent = rng.uniform(1.6, 2.2), rng.uniform(0.25, 0.6)
    amount = rng.uniform(0.4, 1.2) * (params / 1e8) ** -0.1
    work = schedule.integral(steps) / schedule.integral(np.array([total]))
    loss = floor + amount * (0.01 + work) ** -exponent - 0.08 * (1 - schedule.at(steps)) * (steps > 0.02 * total)
    shocks = noise_of(rng, points, correlation)
    return LossCurve(
        name=kind,
        steps=steps,
        loss=loss * np.exp(noise * shocks + level),
        total=total,
        schedule=schedule,
        params=params,
    )


def simulated_recipe(rng, *, references, points, noise, between, sizes, correlation=0.0):
    """Return a run and references of one recipe: one law, levels of their own, of one size or rising ones."""
    seed = int(rng.integers(1 << 31))
    ladder = [1e9] * (references + 1) if sizes == "one" else (1e9 / 2.0 ** np.arange(references + 1)).tolist()
    runs = []
    for params in ladder:
        clean = simulated(np.random.default_rng(seed), points=points, noise=0.0, kind="cosine", params=params)
        drift = np.cumsum(rng.normal(size=points)) / np.sqrt(points)
        shocks = noise * noise_of(rng, points, correlation)
        loss = clean.loss * np.exp(between * (rng.normal() + 0.5 * drift) + shocks)
        runs.append(LossCurve(**{**vars(clean), "loss": loss, "schedule": None}))
    return runs[0], runs[1:]


def noise_of(rng, points, correlation):
    """Return noise of variance 1 whose neighbours are correlated."""
    shocks = rng.normal(size=points)
    for index in range(1, points):
        shocks[index] = correlation * shocks[index - 1] + np.sqrt(1 - correlation**2) * shocks[index]
    return shocks


def read(path, run, *, total=None, lr=None):
    rows = defaultdict(list)
    for row in csv.DictReader(path.open()):
        name = run(row)
        if name is not None:
            rows[name].append(row)
    curves = {}
    for name, found in rows.items():
        points = {float(row["step"] if "step" in row else row["steps"]): row for row in found}
        steps = np.array(sorted(points))
        loss = np.array([float(points[each]["loss"]) for each in steps])
        end = float(found[-1][total]) if total else steps[-1]
        rates = np.array([float(points[each][lr] or "nan") for each in steps]) if lr else None
        curves[name] = LossCurve(
            name=name,
            steps=steps,
            loss=loss,
            total=max(end, steps[-1]),
            params=float(found[0]["params"]) if found[0].get("params") else None,
            schedule=None if rates is None else recognise_schedule(steps, rates, max(end, steps[-1])),
        )
    return curves


def alone(folder):
    mpl = read(folder / "mpl_curves.csv", lambda row: row["run"], lr="lr")
    score("alone: mpl, schedule known", [(curve, ()) for curve in mpl.values()])
    bare = [LossCurve(**{**vars(curve), "schedule": None}) for curve in mpl.values()]
    score("alone: mpl, schedule not known", [(curve, ()) for curve in bare])
    speed = read(folder / "speedrun_curves.csv", lambda row: row["run"], total="total_steps", lr="lr_rel")
    score("alone: speedrun, 25 points or more", [(c, ()) for c in speed.values() if len(c.steps) >= 25])
    rng = np.random.default_rng(0)
    for points in (40, 100, 300, 1000):
        for noise in (0.002, 0.005):
            for correlation in (0.0, 0.7):
                runs = [
                    simulated(rng, points=points, noise=noise, kind=kind, correlation=correlation)
                    for kind in ("cosine", "wsd", "linear", "constant")
                    for _ in range(10)
                ]
                title = f"alone: simulated, {points} points, noise {noise}, r {correlation}"
                score(title, [(run, ()) for run in runs], sizes=(0.01, 0.02))


def compared(folder):
    speed = read(
        folder / "speedrun_curves.csv", lambda row: row["run"] if "unet" in row["run"] else None, total="total_steps"
    )
    seeds = list(speed.values())
    rng = np.random.default_rng(1)
    for count in (2, 3, 5, 8, 29):
        cases = []
        for _ in range(3 if count < 29 else 1):
            for curve in seeds:
                others = [each for each in seeds if each is not curve]
                cases.append((curve, [others[i] for i in rng.permutation(len(others))[:count]]))
        score(f"references: {count} seeds of unet_1480", cases, sizes=(0.005, 0.01, 0.02))
    mpl = read(folder / "mpl_curves.csv", lambda row: row["run"])
    cases = [
        (
            curve,
            [each for each in mpl.values() if each is not curve and each.name.split("/")[1] == name.split("/")[1]],
        )
        for name, curve in mpl.items()
    ]
    score("references: mpl, two other sizes", cases)
    large = [case for case in cases if case[0].params == 4e8]
    score("references: mpl, two smaller sizes", large)
    for sizes in ("one", "ladder"):
        for count in (3, 5, 8):
            for between, noise in ((0.001, 0.002), (0.002, 0.005)):
                cases = [
                    simulated_recipe(rng, references=count, points=150, noise=noise, between=between, sizes=sizes)
                    for _ in range(60)
                ]
                score(
                    f"references: simulated {sizes}, {count}, sd {between}, noise {noise}", cases, sizes=(0.01, 0.02)
                )


def null():
    """Print what the largest deviate of healthy runs exceeds, by the number of points."""
    rng = np.random.default_rng(1)
    for points, count in ((25, 2000), (50, 1500), (100, 1000), (200, 600), (400, 400), (800, 300), (2000, 200)):
        largest = []
        for _ in range(count):
            steps = np.arange(1, points + 1.0) * 1000 / points
            logs = np.log(2 + 3 * steps**-0.4) + 0.01 * rng.normal(size=points)
            begin = 0 if points <= alarm.FEWEST_POINTS else int(0.02 * points)
            largest.append(max(tried.deviate.max() for tried in alarm.all_windows(steps[begin:], logs[begin:])))
        print(points, np.quantile(largest, [0.5, 0.9, 0.95, 0.975]).round(2))


if __name__ == "__main__":
    if "--null" in sys.argv:
        null()
    else:
        shared = Path(sys.argv[1])
        if "--compared" not in sys.argv:
            alone(shared)
        if "--alone" not in sys.argv:
            compared(shared)
