"""How far forecasts of the end of a run miss, by data set and share seen, and how often their intervals hold.

Run on demand: ``python -m tests.benchmarks.ending_scores [WORD...]``, from the root; about two minutes for all sets,
or those whose name holds a word. Public curves are read from ``../shared/data``; without it only simulated ladders
are scored. Numbers are in per cent of the loss at the end: median and largest error, mean error, share of intervals
of 90 % that hold it, half their mean width, and the median error of each method alone.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import replace

import numpy as np
from tests.tracking import ending_curves
from tests.tracking.ending_curves import cut, drifting_ladder, end_of, ladder, smaller

from scaleplan.tracking.ending import forecast_end

SHARES = (0.2, 0.3, 0.5, 0.8)


def unknown(curve):
    """Return a curve whose schedule nobody knows."""
    return replace(curve, schedule=None)


def by_size(curves, *, least=1, truth=None):
    """Yield each curve with the smaller ones, of which there are ``least``, and its loss at the end."""
    for name, curve in curves.items():
        references = smaller(curves, name)
        if len(references) >= least:
            yield curve, references, truth[name] if truth else end_of(curve)


def multi_power(references, *, known=True, sizes=("100M", "400M")):
    """Yield runs of the multi-power study, each with the ``references`` that it may use."""
    curves = ending_curves.multi_power()
    for name, curve in curves.items():
        size, plan = name.split("/")
        if size in sizes and not plan.startswith("wsdcon"):
            chosen = [one for key, one in curves.items() if key != name and references(curve, plan, one, key)]
            yield (
                (curve, chosen, end_of(curve))
                if known
                else (
                    unknown(curve),
                    [unknown(one) for one in chosen],
                    end_of(curve),
                )
            )


def same_smaller(curve, plan, one, key):
    """Choose smaller runs of the same schedule."""
    return one.params < curve.params and key.endswith(f"/{plan}")


def next_smaller(curve, plan, one, key):
    """Choose the next smaller run of the same schedule."""
    return same_smaller(curve, plan, one, key) and one.params * 4 == curve.params


def seeds(group, count):
    """Yield runs of one recipe, each with ``count`` others."""
    curves = list(ending_curves.speedrun(group).values())
    for curve in curves:
        yield curve, [one for one in curves if one is not curve][:count], float(curve.loss[-1])


def ladders(kind, noise, points, *, tokens, known=False):
    """Yield the larger runs of eight simulated ladders, each with all smaller ones."""
    for seed in range(8):
        curves, ends = ladder(
            seed,
            kind=kind,
            noise=noise,
            points=points,
            tokens=tokens,
            known=known,
            scatter=(0.0, 0.01, 0.02)[seed % 3],
        )
        yield from by_size(curves, least=3, truth=ends)


def drifting(least, most, *, sparse=None, noisy=None):
    """Yield runs of 100 simulated ladders that drift, each with ``least`` to ``most`` smaller ones."""
    for seed in range(100):
        curves, ends, traits = drifting_ladder(seed)
        if sparse in (None, traits["points"] < 40) and noisy in (None, traits["noise"] > 0.002):
            runs = list(curves.items())
            for count in range(least, min(most, len(runs) - 1) + 1):
                name, curve = runs[count]
                yield curve, [one for _, one in runs[:count]], ends[name]


def sweep(rates, least_steps, most_steps):
    """Yield runs of the groups of one rate and number of steps of the sweep, each with all smaller ones."""
    groups = sorted({(int(row["total_steps"]), row["lr"]) for row in ending_curves.rows("misfitting_curves.csv")})
    for steps, rate in groups:
        if rate in rates and least_steps <= steps <= most_steps:
            yield from by_size(ending_curves.misfitting(steps, rate))


EVERY = ("25M", "100M", "400M")
PUBLIC = {
    "multi-power: next smaller, same schedule": lambda: multi_power(next_smaller),
    "multi-power: smaller, same schedule": lambda: multi_power(same_smaller),
    "multi-power: all smaller": lambda: multi_power(lambda curve, _, one, __: one.params < curve.params),
    "multi-power: smaller, other schedules": lambda: multi_power(
        lambda curve, plan, one, key: one.params < curve.params and not key.endswith(f"/{plan}")
    ),
    "multi-power: leave one run out": lambda: multi_power(lambda *_: True, sizes=EVERY),
    "multi-power: leave one schedule out": lambda: multi_power(
        lambda _, plan, __, key: not key.endswith(f"/{plan}"), sizes=EVERY
    ),
    "multi-power: no references": lambda: multi_power(lambda *_: False, sizes=EVERY),
    "multi-power: smaller, schedule unknown": lambda: multi_power(same_smaller, known=False),
    "multi-power: nothing known": lambda: multi_power(lambda *_: False, sizes=EVERY, known=False),
    "OPT 1.3B-175B": lambda: by_size(ending_curves.opt()),
    **{
        f"misfitting, {steps} steps": lambda steps=steps, rate=rate: by_size(ending_curves.misfitting(steps, rate))
        for steps, rate in ((1500, "0.002"), (4000, "0.001"), (6000, "0.001"), (16000, "0.001"))
    },
    **{
        f"sweep at {' and '.join(rates)}, {span[0]} to {span[1]} steps": lambda rates=rates, span=span: sweep(
            rates, *span
        )
        for rates in (("0.001", "0.004"), ("0.0004", "0.002"))
        for span in ((1200, 3500), (4000, 20000))
    },
    **{
        f"speedrun {group}, {count} others": lambda group=group, count=count: seeds(group, count)
        for group, counts in (("unet_1480", (1, 2, 3, 8)), ("shortcuts_3200", (3,)))
        for count in counts
    },
    "llm.c GPT-2 124M, schedule known": lambda: ((one, [], end_of(one)) for one in ending_curves.llmc().values()),
}
SIMULATED = {
    f"simulated {kind}, {points} points, noise {noise:.1%}, D {'300B' if tokens else '20 N'}": (
        lambda kind=kind, noise=noise, points=points, tokens=tokens: ladders(kind, noise, points, tokens=tokens)
    )
    for kind in ("cosine", "linear", "wsd")
    for noise, points in ((0.0005, 100), (0.002, 60), (0.005, 15), (0.01, 150))
    for tokens in (None, 3e11)
} | {
    f"drifting ladders, {least}-{most} smaller, {'sparse' if sparse else 'dense'}, {'noisy' if noisy else 'clean'}": (
        lambda least=least, most=most, sparse=sparse, noisy=noisy: drifting(least, most, sparse=sparse, noisy=noisy)
    )
    for least, most in ((1, 1), (2, 2), (3, 5), (6, 7))
    for sparse in (False, True)
    for noisy in (False, True)
}


def scores(cases):
    """Print the scores of one set, and return (share, number, held) of each share."""
    cases = list(cases)
    for share in SHARES:
        errors, held, widths, methods = [], [], [], {}
        for curve, references, loss in cases:
            ending = forecast_end(cut(curve, share), references)
            if ending is None:
                continue
            errors.append(100 * math.log(ending.loss / loss))
            held.append(ending.interval[0] <= loss <= ending.interval[1])
            widths.append(50 * math.log(ending.interval[1] / ending.interval[0]))
            for method in ending.methods:
                methods.setdefault(method.name, []).append(100 * abs(math.log(method.loss / loss)))
        if errors:
            alone = ", ".join(f"{name} {np.median(each):.2f}" for name, each in methods.items())
            print(
                f"  {share:4.0%} {len(errors):4d} {np.median(np.abs(errors)):7.3f} {np.max(np.abs(errors)):6.2f}"
                f" {np.mean(errors):+7.3f} {np.mean(held):6.2f} {np.mean(widths):6.2f}   {alone}"
            )
            yield share, len(errors), sum(held)


def main(words):
    """Print the tables of all sets whose name holds one of the words."""
    sets = {**(PUBLIC if ending_curves.DATA.is_dir() else {}), **SIMULATED}
    totals = {}
    for name, cases in sets.items():
        if words and not any(word in name for word in words):
            continue
        began = time.perf_counter()
        print(f"{name}\n  seen    n  median  worst    bias  holds  width   methods")
        for share, count, held in scores(cases()):
            before = totals.get(share, (0, 0))
            totals[share] = before[0] + count, before[1] + held
        print(f"  {time.perf_counter() - began:.1f} s")
    for share, (count, held) in totals.items():
        print(f"{share:.0%} seen: {held / count:.3f} of {count} intervals hold")


if __name__ == "__main__":
    main(sys.argv[1:])
