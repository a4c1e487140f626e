"""Runs that the project makes itself, with a known truth: ladders, groups, repeats, and files as people keep them.

Everything follows from its arguments and a seed. Losses are those of a law times the exponential of an error, so that
log losses have the errors as they are drawn.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from scaleplan.fitting.runs import Points
from scaleplan.laws.additive import Additive

LAWS = {
    "even": Additive(E=1.7, A=460.0, B=1500.0, alpha=0.34, beta=0.35),
    "floor-heavy": Additive(E=2.1, A=30.0, B=5000.0, alpha=0.22, beta=0.40),
    "low-floor": Additive(E=0.6, A=25.0, B=700.0, alpha=0.17, beta=0.31),
    "steep": Additive(E=1.2, A=9.0e4, B=2.5e5, alpha=0.62, beta=0.58),
}
"""Truths that differ in floor, in slopes, and in the share of the budget that goes into size."""


def trunks(law, *, noise, common, seed=0, count=12, checkpoints=6):
    """Return checkpoints of a few runs, each of which carries an error of its own, and the run of each."""
    generator = np.random.default_rng([seed, 7])
    params = np.repeat(np.geomspace(1e8, 2e9, count), checkpoints)
    tokens = np.tile(np.geomspace(4, 80, checkpoints), count) * params
    groups = np.repeat(np.arange(count), checkpoints)
    error = common * generator.normal(size=count)[groups] + noise * generator.normal(size=len(groups))
    return Points.of(params, tokens, law.loss(params, tokens) * np.exp(error)), groups.tolist()


def measured(law, params, tokens, *, noise, generator, tails=None):
    """Return runs of a law with errors of standard deviation ``noise``: normal, or Student's t with ``tails``."""
    size = len(params)
    error = generator.normal(size=size) if tails is None else generator.standard_t(tails, size=size)
    if tails is not None:
        error /= np.sqrt(tails / (tails - 2))
    return Points.of(params, tokens, law.loss(params, tokens) * np.exp(noise * error))


def grid(law, *, noise=0.0, seed=0, sizes=(5e7, 3e9, 8), tokens=(1e9, 6e10, 8)):
    """Return every size with every number of tokens."""
    params, data = (axis.ravel() for axis in np.meshgrid(np.geomspace(*sizes), np.geomspace(*tokens)))
    return measured(law, params, data, noise=noise, generator=np.random.default_rng(seed))


def isoflop(law, *, noise=0.0, seed=0, budgets=(6e18, 1e21, 6), sizes=7, factor=8.0):
    """Return budgets with as many sizes each, evenly spaced within a factor of the best one."""
    params, tokens = [], []
    for flops in np.geomspace(*budgets):
        line = law.best_split(flops / 6)[0] * np.geomspace(1 / factor, factor, sizes)
        params.append(line)
        tokens.append(flops / 6 / line)
    generator = np.random.default_rng(seed)
    return measured(law, np.concatenate(params), np.concatenate(tokens), noise=noise, generator=generator)


def cloud(law, *, noise=0.0, seed=0, count=160, budgets=(1e18, 2e21), spread=0.9, tails=None):
    """Return scattered runs: budgets even in the logarithm, sizes log-normal around the best."""
    generator = np.random.default_rng([seed, 1])
    flops = np.exp(generator.uniform(*np.log(budgets), size=count))
    best = law.best_split(flops / 6)[0]
    params = best * np.exp(spread * generator.normal(size=count))
    return measured(law, params, flops / 6 / params, noise=noise, generator=generator, tails=tails)


LADDERS = {"grid": grid, "isoflop": isoflop, "cloud": cloud}
"""The ways to buy runs, by name: each takes a law, ``noise`` and ``seed``."""


def ray(law, *, ratio=20.0, noise=0.0, seed=0, sizes=(5e7, 5e9, 24)):
    """Return runs at one number of tokens per parameter."""
    params = np.geomspace(*sizes)
    return measured(law, params, ratio * params, noise=noise, generator=np.random.default_rng(seed))


def with_outliers(points, *, rows=(3, 17, 40, 71, 110), factor=0.85):
    """Return the runs with some losses multiplied, as of a mistake in an export; rows count from 1."""
    wrong = np.isin(points.rows, rows)
    return Points.of(points.params, points.tokens, np.where(wrong, points.loss * factor, points.loss))


def joined(*parts):
    """Return the runs of several ladders one after the other."""
    return Points.of(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("params", "tokens", "loss"))
    )


def repeats(base, *, tokens_decay, params_decay, count=80, noise=0.0, seed=0):
    """Return runs with 1 to 60 epochs, and their unique tokens, by Muennighoff et al. 2023 (arXiv:2305.16264)."""
    generator = np.random.default_rng(seed)
    unique = 10 ** generator.uniform(8.5, 9.5, count)
    epochs = 10 ** generator.uniform(0, 1.8, count)
    params = unique * 0.05 * 10 ** generator.uniform(-0.5, 1.2, count)
    # the best size for the unique tokens: where alpha A / N^alpha = beta B / U^beta
    usable = (base.alpha * base.A / (base.beta * base.B)) ** (1 / base.alpha) * unique ** (base.beta / base.alpha)
    usable = np.minimum(params, usable)
    size = usable * (1 + params_decay * (1 - np.exp(-(params / usable - 1) / params_decay)))
    data = unique * (1 + tokens_decay * (1 - np.exp(-(epochs - 1) / tokens_decay)))
    loss = base.loss(size, data) * np.exp(noise * generator.normal(size=count))
    return Points.of(params, unique * epochs, loss), unique


def table(points, *, header="params,tokens,loss", **columns):
    """Return runs as the text of a CSV file with every digit, and further columns after the three."""
    rows = [",".join([header, *columns])]
    for place, run in enumerate(zip(points.params, points.tokens, points.loss, strict=True)):
        rows.append(",".join([*(repr(float(value)) for value in run), *(str(of[place]) for of in columns.values())]))
    return "\n".join(rows) + "\n"


# ---- files as people keep them ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """A row of a messy file: what it is, and what a careful reader takes from it."""

    row: int
    status: str
    params: float
    tokens: float
    loss: float


def short(value):
    """Write a size for people, with three digits: ``529M``, ``2.67B``."""
    for letter, unit in (("T", 1e12), ("B", 1e9), ("M", 1e6)):
        if value >= unit:
            return f"{value / unit:.3g}{letter}"
    return f"{value:.0f}"


def tracker_export(*, seed=0):
    """Return the text of a tracker's CSV export, and the answer for each row.

    Sizes stand in full, shortened or with commas; every size and number of tokens has five learning rates. Some
    losses are blank, some rows are there twice, in another spelling, and some runs diverged.
    """
    generator, law = np.random.default_rng(seed), LAWS["even"]
    header = '"Name","State","Notes","N","D (tokens)","optim.lr","global_batch_size","train/loss","eval/web/loss"'
    lines, answers = [header], []

    def add(status, name, params, tokens, *, rate, loss):
        written = [f"{params:.0f}", short(params), f"{params:,.0f}"][generator.integers(3)]
        data = [f"{tokens:.0f}", short(tokens)][generator.integers(2)]
        cells = [name, "finished", "-", written, data, f"{rate:g}", "256", "", "" if loss is None else f"{loss:.6f}"]
        lines.append(",".join(f'"{cell}"' for cell in cells))
        answers.append(Answer(len(lines), status, params, tokens, float("nan") if loss is None else round(loss, 6)))

    for size in np.geomspace(2e7, 2e9, 6).round(-3):
        for data in np.geomspace(1e9, 4e10, 5).round(-6):
            first = None
            for place, rate in enumerate((3e-4, 6e-4, 1e-3, 2e-3, 4e-3)):
                loss = float(law.loss(size, data) * np.exp(abs(0.004 * generator.normal()) + 0.002 * abs(place - 2)))
                name = f"n{size:.0f}-d{data:.0f}-lr{rate:g}"
                chance = generator.random()
                if chance < 0.05:
                    add("missing_loss", name, size, data, rate=rate, loss=None)
                elif chance < 0.2 and place == 4:
                    add("diverged", name, size, data, rate=rate, loss=loss * 2.1)
                else:
                    add("ok", name, size, data, rate=rate, loss=loss)
                    first = first or {"name": name, "rate": rate, "loss": loss}
            if first is not None and generator.random() < 0.3:
                add("duplicate", params=size, tokens=data, **first)
    return "\n".join(lines) + "\n", answers


def nested_lines(*, seed=0):
    """Return the text of JSON lines with nested keys, the answer for each line, and the unique tokens.

    Unfinished runs have a loss of 0, some lines have no size, and numbers stand as numbers or as text.
    """
    generator, base = np.random.default_rng(seed), LAWS["even"]
    points, unique = repeats(base, tokens_decay=15.0, params_decay=5.0, count=90, seed=seed)
    lines, answers = [], []
    for place in range(len(points)):
        params, tokens, once = (float(f"{column[place]:.3g}") for column in (points.params, points.tokens, unique))
        loss, status = round(float(points.loss[place]), 6), "ok"
        config = {"data": {"train_tokens": [tokens, short(tokens)][generator.integers(2)], "unique_tokens": once}}
        chance = generator.random()
        if chance < 0.06:
            status, loss = "zero_loss", 0.0
        if 0.06 <= chance < 0.12:
            status = "missing_size"
        else:
            config["n_params"] = [params, short(params)][generator.integers(2)]
        run = {"run": f"r{place:03d}", "state": "finished", "config": config, "summary": {"val/loss": loss}}
        lines.append(json.dumps(run))
        answers.append(Answer(place + 1, status, params, tokens, loss))
    return "\n".join(lines) + "\n", answers, unique


def spreadsheet(*, law=LAWS["even"]):
    """Return the text of a sheet with a section row for each size, four loss columns, and rows without a loss."""
    lines = [
        "Params,lr,Web PPL,Wiki PPL,Web Eval Loss,Wiki Eval Loss,Code Eval Loss,Avg Train Loss,Est C,C,D,N,N_w_emb"
    ]
    expected = []
    for size in (12_047_168, 53_217_280, 208_912_384):
        with_tables = size + 28_672_000
        lines.append(f"{short(size)},,,,,,,,,,,{size},{with_tables}")
        for steps in (200, 1000, 5000):
            tokens = steps * 1_048_576
            flops, more = 6 * size * tokens, 6 * with_tables * tokens
            for rate in (1e-3, 2e-3, 4e-3):
                loss = round(float(law.loss(size, tokens)) + 10 * abs(rate - 2e-3), 3)
                if (size, steps, rate) in ((12_047_168, 5000, 4e-3), (208_912_384, 200, 1e-3)):
                    lines.append(f",{rate:g},,,,,,,{more:.2E},{flops:.2E},{tokens},{size},{with_tables}")
                    continue
                cells = [
                    f"{np.exp(loss):.3f}",
                    f"{np.exp(loss + 0.3):.3f}",
                    loss,
                    loss + 0.3,
                    loss - 0.9,
                    loss - 0.02,
                ]
                values = ",".join(str(cell) for cell in cells)
                lines.append(f",{rate:g},{values},{more:.2E},{flops:.2E},{tokens},{size},{with_tables}")
                expected.append(Answer(len(lines), "ok", size, tokens, loss))
    return "\n".join(lines) + "\n", expected
