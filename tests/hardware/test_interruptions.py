"""Goodput from interruptions: Daly's model against a simulation and a minimiser, and what the grammar refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import lambertw

import scaleplan as sp
from scaleplan.errors import UsageError
from scaleplan.hardware.interruptions import daly_interval, goodput_of, read_interruptions, young_interval

TIMES = st.floats(0.01, 100)


@pytest.mark.parametrize("every, published", [(24 * 60, 117), (6 * 60, 57), (15, 9.1)])
def test_the_best_interval_is_the_published_one(every, published):
    """The captions of figures 3 to 5 of Daly (2006), in minutes: dumps of 5, restarts of 10."""
    assert daly_interval(5, every) == pytest.approx(published, rel=0.006)  # as many digits as are printed


def test_youngs_interval_is_the_square_root():
    """Of twice the time of a save and of that between interruptions."""
    assert young_interval(2, 100) == 20
    assert daly_interval(1e-6, 1e6) == pytest.approx(young_interval(1e-6, 1e6), rel=1e-5)
    assert daly_interval(40, 20) == daly_interval(60, 20) == 20  # saves of more than 2 M: Daly's rule is M


def simulated(tau, *, save, restart, every, rng, segments):
    """Return the share of the time that does new work, one random interruption after another."""
    spent = 0.0
    for _ in range(segments):
        left = rng.exponential(every)
        while left < tau + save:
            spent += left
            left = rng.exponential(every)
            while left < restart:  # a restart may be interrupted too
                spent += left
                left = rng.exponential(every)
            spent += restart
            left = rng.exponential(every)  # no memory
        spent += tau + save
    return segments * tau / spent


@pytest.mark.parametrize("tau, save, restart, every", [(30, 2, 10, 360), (9.1, 5, 10, 15), (60, 5, 10, 360)])
def test_the_closed_form_is_what_a_simulation_gives(tau, save, restart, every):
    """Within four standard errors of some ten thousand interruptions."""
    rng = np.random.default_rng(1974)
    many = [
        simulated(tau, save=save, restart=restart, every=every, rng=rng, segments=1000 if every < 60 else 6000)
        for _ in range(8)
    ]
    expected = goodput_of(tau, save=save, restart=restart, every=every)
    assert abs(np.mean(many) - expected) < 4 * np.std(many, ddof=1) / math.sqrt(len(many))


@given(save=st.floats(0.01, 10), every=st.floats(20, 1e5))
def test_dalys_interval_is_nearly_the_best(save, every):
    """The exact optimum is by the Lambert function, or a search; Daly's loses less than 0.1 % to it."""
    exact = every * (1 + lambertw(-math.exp(-save / every - 1)).real)
    searched = minimize_scalar(
        lambda tau: -goodput_of(tau, save=save, restart=0, every=every), bounds=(1e-9, 5 * every), method="bounded"
    ).x
    best = goodput_of(exact, save=save, restart=0, every=every)
    assert goodput_of(searched, save=save, restart=0, every=every) <= best * (1 + 1e-9)
    assert goodput_of(daly_interval(save, every), save=save, restart=0, every=every) >= best * (1 - 1e-3)


@given(tau=TIMES, save=TIMES, restart=TIMES, every=st.floats(0.1, 1e6))
def test_goodput_is_a_share_that_grows_with_the_time_between_interruptions(tau, save, restart, every):
    """And without interruptions it is what saving leaves."""
    options = {"save": save, "restart": restart}
    here, rarer = (goodput_of(tau, every=each, **options) for each in (every, 1.5 * every))
    assert 0 <= here <= rarer <= tau / (tau + save) * (1 + 1e-12)
    assert goodput_of(tau, every=1e12, **options) == pytest.approx(tau / (tau + save), rel=1e-9)


@given(every=st.floats(3600, 1e7), save=st.floats(1, 600), restart=st.floats(1, 600))
def test_the_shares_of_the_time_add_up(every, save, restart):
    """Training, saving, redoing and restarting are all of it."""
    found = read_interruptions(f"every={every}s, save={save}s, restart={restart}s", None)
    shares = found.goodput, found.saving, found.redone, found.restarting
    assert all(0 <= share <= 1 for share in shares)
    assert sum(shares) == pytest.approx(1, abs=1e-12)
    assert found.interval_seconds == found.best_interval_seconds == daly_interval(save, every)


@pytest.mark.parametrize(
    "text, said",
    [
        ("every=6h, save=2min", "lacks restart"),
        ("every=6h, save=2min, restart=0, every=7h", "given twice"),
        ("every=6h, save=2min, restart=1min, at=3", "no part"),
        ("every=50k GPU-hours, save=2min, restart=0", "needs the number of GPUs"),
        ("every=1min, save=10min, restart=0", "less than 1 %"),
        ("every=1s, save=10min, restart=10h", "less than 1 %"),
        ("every=6, save=2min, restart=0", "no unit of time"),
        ("6h", "no part"),
    ],
)
def test_what_is_no_interruption_is_refused(text, said):
    """With the part that is wrong."""
    with pytest.raises(UsageError, match=said):
        sp.convert(flops=1e22, gpu="h100-sxm", interruptions=text)


def test_interruptions_are_the_goodput():
    """The hours are those of that goodput; as many GPUs are interrupted as often as they are many."""
    options = {"flops": 1e23, "gpu": "h100-sxm", "gpus": 512, "mfu": 0.4}
    plain = sp.convert(**options, goodput=1)
    found = sp.convert(**options, interruptions="every=50k GPU-hours, save=2min, restart=10min")
    assert found.interruptions.every_hours == pytest.approx(50_000 / 512)
    assert found.goodput == found.interruptions.goodput < 1
    assert found.gpu_hours == pytest.approx(plain.gpu_hours / found.goodput)
    assert found.expected_interruptions == pytest.approx(found.gpu_hours / 50_000)
    same = sp.convert(**options, interruptions=f"every={50_000 / 512}h, save=2min, restart=10min")
    assert same.goodput == pytest.approx(found.goodput)
    assert same.expected_interruptions == pytest.approx(found.expected_interruptions)


def test_interruptions_replace_the_lost_time_of_a_profile():
    """Its speed and its band stay: the default goodput of whole projects is not counted twice."""
    options = {"flops": 1e23, "gpu": "h100-sxm", "gpus": 64, "model_params": 7e9}
    plain, found = sp.convert(**options), sp.convert(**options, interruptions="every=6h, save=2min, restart=10min")
    assert plain.goodput == 0.9
    assert (found.mfu, found.band, found.profile) == (plain.mfu, plain.band, plain.profile)
    assert found.goodput == found.interruptions.goodput
    assert "in place of 0.9" in found.utilisation_source


def test_two_shares_of_the_time_are_refused():
    """Both say what part of the paid time trains."""
    with pytest.raises(UsageError, match="--goodput and --interruptions"):
        sp.optimal(flops=1e22, gpu="h100", goodput=0.9, interruptions="every=6h, save=2min, restart=10min")


def test_interruptions_go_with_a_deadline():
    """More GPUs are interrupted more often: the number found is the least that finishes, with its own goodput."""
    options = {"flops": "1e23", "gpu": "h100-sxm", "mfu": 0.4}
    each = "every=20k GPU-hours, save=2min, restart=10min"
    found = sp.convert(**options, time="10d", interruptions=each)
    assert found.days <= 10
    assert found.interruptions.every_hours == pytest.approx(20_000 / found.gpus)
    assert sp.convert(**options, gpus=found.gpus, interruptions=each).gpu_hours == found.gpu_hours
    assert sp.convert(**options, gpus=found.gpus - 1, interruptions=each).days > 10
