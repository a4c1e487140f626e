"""The law of Farseer and the laws of 2026: their constants give the runs and the numbers they were published with."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scaleplan as sp
from scaleplan.advice.batch import advise_batch
from scaleplan.errors import UsageError
from scaleplan.laws.base import Units
from scaleplan.laws.farseer import Farseer
from scaleplan.presets.library import Library

DATA = Path(__file__).parents[2].parent / "shared" / "data"
LIBRARY = Library()
AUTHORS = LIBRARY.load("farseer-2025")


def runs(name):
    if not DATA.is_dir():
        pytest.skip("the folder with other people's runs is not here")
    with (DATA / name).open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {key: np.array([float(row[key]) for row in rows]) for key in rows[0]}


@pytest.fixture(scope="module")
def farseer():
    return runs("pools/farseer_train.csv")


def test_the_constants_of_the_authors_give_their_runs(farseer):
    """On 404 runs 0.226 % on average, 0.33 % rms, bias -0.06 %: computed from the law's formula by others."""
    missed = AUTHORS.law.loss(farseer["N"], farseer["D"]) / farseer["loss"] - 1
    assert len(missed) == 404
    assert np.mean(np.abs(missed)) == pytest.approx(0.00226, abs=5e-6)
    assert np.sqrt(np.mean(missed**2)) == pytest.approx(0.0033, abs=5e-5)
    assert np.mean(missed) == pytest.approx(-0.0006, abs=5e-5)


def test_the_refit_misses_the_runs_by_less(farseer):
    """0.25 % rms, as its note says."""
    law = LIBRARY.load("farseer-2025-refit").law
    missed = law.loss(farseer["N"], farseer["D"]) / farseer["loss"] - 1
    assert np.sqrt(np.mean(missed**2)) == pytest.approx(0.0025, abs=5e-5)


def test_the_refit_of_openeurollm_misses_its_runs_as_its_note_says():
    """0.18 % rms of the 45 runs that it is of, 0.60 % of the six larger ones."""
    table, law = runs("oellm_best.csv"), LIBRARY.load("openeurollm-2026").law
    missed = law.loss(table["params"], table["tokens"]) / table["loss"] - 1
    fitted = table["params"] < 1.05e9
    assert [np.count_nonzero(fitted), np.count_nonzero(~fitted)] == [45, 6]
    assert np.sqrt(np.mean(missed[fitted] ** 2)) == pytest.approx(0.0018, abs=5e-5)
    assert np.sqrt(np.mean(missed[~fitted] ** 2)) == pytest.approx(0.0060, abs=5e-5)


@pytest.mark.parametrize(
    ("flops", "loss", "digits"),
    [(1e18, 3.522, 5e-3), (3e20, 2.725, 5e-3), (1e21, 2.606, 5e-4), (1e23, 2.252, 5e-4)],
)
def test_the_curve_of_marin_gives_its_points_and_its_registered_forecasts(flops, loss, digits):
    """The forecasts to their digits, the fitted points to half a per cent of a nat."""
    assert LIBRARY.load("marin-moe-2026").law.value(flops=flops) == pytest.approx(loss, abs=digits)


@pytest.mark.parametrize(("flops", "ratio"), [(1e20, 25), (1e21, 26), (1e23, 84), (1e24, 224)])
def test_the_valley_of_farseer_rises_without_bound(flops, ratio):
    """Tokens per parameter of the inner minimum, and beside it a loss below: an endless model on no data."""
    sizes = np.geomspace(1e6, 1e13, 20001)
    losses = AUTHORS.law.loss(sizes, flops / 6 / sizes)
    inner = np.flatnonzero((losses[1:-1] < losses[:-2]) & (losses[1:-1] < losses[2:])) + 1
    assert len(inner) == 1
    size = sizes[inner[0]]
    assert flops / 6 / size / size == pytest.approx(ratio, rel=0.02)
    assert AUTHORS.law.loss(1e30, flops / 6 / 1e30) < losses[inner[0]]


def test_farseer_chooses_no_split_and_says_why():
    """It refuses, names the way out, and evaluates a plan in its own unit."""
    with pytest.raises(UsageError, match="endless model on no data"):
        sp.optimal(flops="1e21", preset="farseer-2025")
    plan = sp.loss(params="3B", tokens="100B", preset="farseer-2025")
    assert plan.loss_unit == "bits/character"
    assert plan.loss == pytest.approx(0.4757, abs=5e-5)
    assert sp.optimal(flops="1e21", preset="farseer-2025-refit").loss_unit == "bits/character"


@pytest.mark.parametrize("name", ["farseer-2025", "farseer-2025-refit"])
def test_rules_of_a_loss_in_nats_refuse_bits_per_character(name):
    """A batch from a loss of 0.48 bits per character taken for nats would be wrong without a sign of it."""
    advice = advise_batch(sp.loss(params="3B", tokens="100B", preset=name))
    found = next(item for item in advice.rules if item.rule == "minicpm-2024")
    assert found.batch_tokens is None
    assert f"it needs a loss in nats/token, and {name} gives one in bits/character" in found.reason
    assert any(item.learning_rate for item in advice.rules)


@given(
    st.floats(7.5, 10.5).map(lambda power: 10**power),
    st.floats(9, 12).map(lambda power: 10**power),
    st.floats(1.01, 10),
)
def test_more_data_always_lowers_the_loss(params, tokens, more):
    """At every size: the exponent of the data is negative whatever the coefficients."""
    assert AUTHORS.law.loss(params, tokens * more) < AUTHORS.law.loss(params, tokens)


def test_arrays_and_floats_agree():
    """The same law for NumPy and for plain numbers."""
    sizes, tokens = np.array([1e8, 3e9, 2.5e10]), np.array([1e9, 1e11, 1e12])
    found = AUTHORS.law.loss(sizes, tokens)
    assert found == pytest.approx(
        [AUTHORS.law.loss(float(n), float(d)) for n, d in zip(sizes, tokens, strict=True)], rel=1e-14
    )


def test_its_coefficients_are_of_raw_quantities():
    """With s = S = 0 and the exponents chosen, by hand; other units are refused, as no coefficient carries them."""
    law = Farseer(s=-1, q=0.5, S=1, B=1, b=-0.5, Q=-1, A=-1, a=0.5, E=1)
    assert law.loss(1.0, 4.0) == pytest.approx(1.25)
    assert law.floor == 0.0
    assert law.loss(4.0, 1.0) == pytest.approx(math.exp(-1) + math.exp(-0.5))
    with pytest.raises(NotImplementedError):
        law.in_raw_units(Units(params=1e9))
