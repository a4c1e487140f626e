"""Columns that tell runs of one law from runs of several, judged by what they do to the loss."""

import itertools

import numpy as np
import pytest

import scaleplan as sp
from scaleplan.fitting.reading import read_runs

SIZES, RATIOS = (5e7, 1e8, 2e8, 4e8, 8e8), (5, 20, 80)


def runs(tmp_path, names, rows, *, noise=0.0015, seed=0):
    """Write runs whose loss is the law times the factor that each row begins with."""
    rng = np.random.default_rng(seed)
    lines = [f"params,tokens,{names},loss"]
    for factor, n, d, *cells in rows:
        loss = (1.8 + 420 / n**0.34 + 1300 / d**0.345) * factor * np.exp(rng.normal() * noise)
        lines.append(",".join(map(str, (n, d, *cells, round(loss, 6)))))
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def grid():
    return [(n, n * r) for n, r in itertools.product(SIZES, RATIOS)]


def codes(path, **options):
    return {notice.code: notice.message for notice in read_runs(path, **options).warnings}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("lr", (3e-4, 1e-3, 3e-3)),
        ("optim.lr", (1e-3, 2e-3)),
        ("global_batch_size", (32, 128)),
        ("warmup", (100, 500)),
    ],
)
def test_a_swept_setting_is_named_with_the_flag_to_paste(tmp_path, name, values):
    """Each size has a run for each value; only the best of them is a run of the law."""
    rows = [(1 + 0.006 * (i != 1), n, d, value) for n, d in grid() for i, value in enumerate(values)]
    path = runs(tmp_path, name, rows)
    message = codes(path)["sweep"]
    assert f"differ in '{name}'" in message
    assert "; --best keeps" in message
    assert codes(path, best=True) == {}


def test_an_unknown_setting_is_a_sweep_when_the_loss_depends_on_it(tmp_path):
    """A name that nobody knows is judged by its effect; without one it says nothing."""
    for effect, expected in ((0.02, {"sweep"}), (0.0, set())):
        rows = [(1 + effect * i, n, d, 0.1 * i) for n, d in grid() for i in range(3)]
        assert set(codes(runs(tmp_path, "zeta", rows))) == expected


@pytest.mark.parametrize("name", ["corpus", "tokenizer", "Group", "whatever"])
def test_groups_are_named_with_the_flag_to_paste(tmp_path, name):
    """The same sizes on two corpora: no one law fits both."""
    rows = [(1 + 0.05 * i, n, d, text) for n, d in grid() for i, text in enumerate(("web", "books"))]
    assert f"--group '{name}' fits each apart" in codes(runs(tmp_path, name, rows))["groups"]


@pytest.mark.parametrize(("name", "values"), [("family", ("deep", "wide")), ("context", (1024, 4096))])
def test_groups_of_other_sizes_are_noticed_by_their_shift(tmp_path, name, values):
    """No cell repeats: half of the sizes are of one family, half of the other."""
    rows = [(1 + 0.03 * (i % 2), n * (1 + 0.3 * (i % 2)), d, values[i % 2]) for i, (n, d) in enumerate(grid() * 2)]
    rows = [(f, n * (1 + 0.05 * (k >= 15)), d, cell) for k, (f, n, d, cell) in enumerate(rows)]
    path = runs(tmp_path, name, rows)
    assert f"--group '{name}'" in codes(path)["groups"]
    assert "groups" not in codes(path, group=name)


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("seed", lambda i, n: i),
        ("job", lambda i, n: f"run-{i}"),
        ("n_layers", lambda i, n: round(n / 1e7)),
        ("phase", lambda i, n: "small" if n < 3e8 else "large"),
        ("train_hours", lambda i, n: i * 1.7),
        ("acc_lsat_lr", lambda i, n: 0.2 + 0.01 * i),
    ],
)
def test_what_says_nothing_beside_the_sizes_is_no_group(tmp_path, name, cells):
    """Seeds, names, the shape of a size, a range of sizes, and results."""
    rows = [(1, n, d, cells(i, n)) for i, (n, d) in enumerate(grid() * 2)]
    assert codes(runs(tmp_path, name, rows)) == {}


def test_a_name_made_of_the_swept_setting_is_no_group(tmp_path):
    """``N_lr`` differs with the learning rate, and says no more."""
    rows = [
        (1 + 0.01 * (i != 1), n, d, lr, f"tag_{lr}") for n, d in grid() for i, lr in enumerate((1e-4, 1e-3, 1e-2))
    ]
    assert set(codes(runs(tmp_path, "lr,tag", rows))) == {"sweep"}


def test_the_headline_and_the_preset_repeat_it(tmp_path):
    """The title of the report, a warning of the fit, and a note of every plan."""
    rows = [(1 + 0.01 * i, n, d, lr) for n, d in grid() for i, lr in enumerate((1e-3, 2e-3, 4e-3))]
    fitted = sp.fit(runs(tmp_path, "lr", rows), samples=0)
    assert any("--best" in remark for remark in fitted.remarks[:1])
    assert any(notice.code == "sweep" for notice in fitted.warnings)
    assert any("--best" in notice.message for notice in sp.optimal(preset=fitted.preset, flops="1e20").warnings)


def test_repeats_are_resampled_together(tmp_path):
    """Five seeds of a cell share what the law misses there: as runs of their own they would halve the interval."""
    rng = np.random.default_rng(3)
    miss = {cell: np.exp(rng.normal() * 0.02) for cell in grid()}
    rows = [(miss[cell], *cell, seed) for cell in grid() for seed in range(5)]
    fitted = sp.fit(runs(tmp_path, "seed", rows, noise=1e-4), samples=120)
    assert fitted.diagnosis.resamples.unit == "cluster"
    width = {value.name: value.interval[1] - value.interval[0] for value in fitted.values}
    single = sp.fit(runs(tmp_path, "seed", [(miss[cell], *cell, 0) for cell in grid()], noise=1e-4), samples=120)
    alone = {value.name: value.interval[1] - value.interval[0] for value in single.values}
    assert width["alpha"] > 0.6 * alone["alpha"]


@pytest.mark.parametrize(("seeds", "code"), [((0, 1), "noisy_seeds"), ((0, 0), "sweep")])
def test_seeds_that_differ_widely_are_no_sweep_to_take_the_best_of(tmp_path, seeds, code):
    """The better of two seeds is the luckier one; equal seeds, or none, do not say why runs differ."""
    rows = [(1 + 0.025 * (i if n < 2e8 else -i), n, d, seed) for n, d in grid() for i, seed in enumerate(seeds)]
    found = codes(runs(tmp_path, "seed", rows))
    assert list(found) == [code]
    assert ("--best" in found[code]) == (code == "sweep")
    assert "(rms), more than seeds" in found[code]
