"""Forms for people's own fits: what their papers' formulas imply."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.errors import FileError
from scaleplan.laws.additive import ShapedLoss, ThreeExponent
from scaleplan.laws.base import Units
from scaleplan.laws.curves import Logarithmic, MultiPower
from scaleplan.laws.downstream import (
    FilteredPool,
    LossToLoss,
    Mixture,
    RewardSigmoid,
    SaturatingMultiEpoch,
    TaskSigmoid,
)
from scaleplan.laws.mixtures import Abnar, Clark, JointMoE
from scaleplan.toml_table import Table

UNITS = Units(params=1e9, tokens=1e12, flops=8.64e19)
THREE = ThreeExponent(E=1.2, A=3355.0, alpha=0.408, B=18186.0, beta=0.431, gamma=0.452)


def table(**data):
    return Table(data, source="own.toml", path="coefficients")


@given(st.floats(6, 12), st.floats(8, 14))
def test_the_outer_exponent_keeps_the_optimum(size, data):
    """The optimum is that of the sum inside, and the least product undoes its loss."""
    params, tokens = 10**size, 10**data
    loss = THREE.loss(params, tokens)
    best = THREE.best_split(params * tokens)
    least = THREE.loss(*best)
    assert least <= loss * (1 + 1e-12)
    assert THREE.least_product(least) == pytest.approx(params * tokens, rel=1e-6)
    wrong = THREE.loss(2 * best[0], best[1] / 2)
    overhead = THREE.size_overhead(2.0)
    assert params * tokens / THREE.least_product(wrong) == pytest.approx(1 + overhead, rel=1e-5)


def test_laws_in_other_units_are_the_same_laws():
    """Coefficients stated for billions give the same value at the same point."""
    assert THREE.in_raw_units(UNITS).loss(7e9, 2e12) == pytest.approx(THREE.loss(7.0, 2.0), rel=1e-12)
    clark = Clark(a=-0.08, b=-0.1, c=0.01, d=1.1, E_start=1.8, E_max=300.0)
    assert clark.in_raw_units(UNITS).value(params=7e9, experts=8.0) == pytest.approx(
        clark.value(params=7.0, experts=8.0), rel=1e-12
    )
    abnar = Abnar(a=1.0, alpha=0.5, b=2.0, beta=0.4, c=0.3, lam=-0.1, d=0.2, delta=0.1, gamma=0.2, e=1.0)
    assert abnar.in_raw_units(UNITS).value(params=7e9, tokens=2e12, sparsity=0.5) == pytest.approx(
        abnar.value(params=7.0, tokens=2.0, sparsity=0.5), rel=1e-12
    )
    shaped = ShapedLoss(E=1.0, A=2.0, B=3.0, alpha=0.3, beta=0.4, epsilon=0.01, gamma=0.5)
    assert shaped.in_raw_units(UNITS).value(params=7e9, tokens=2e12, aspect_ratio=64.0) == pytest.approx(
        shaped.value(params=7.0, tokens=2.0, aspect_ratio=64.0), rel=1e-12
    )
    epochs = SaturatingMultiEpoch(E=1.0, L0=10.0, a=0.1, alpha=0.3, b=0.2, beta=0.3, c=0.01, gamma=0.2, delta=0.3)
    assert epochs.in_raw_units(UNITS).value(params=7e9, tokens=2e12, unique_tokens=1e12) == pytest.approx(
        epochs.value(params=7.0, tokens=2.0, unique_tokens=1.0), rel=1e-12
    )
    reward = RewardSigmoid(A=0.61, B=1.5, C_mid=2.0, R_0=0.2)
    assert reward.in_raw_units(UNITS).value(flops=3 * 8.64e19) == pytest.approx(reward.value(flops=3.0), rel=1e-12)
    rate = Logarithmic(a=0.003, b=-0.0001, x="params", y="learning_rate")
    assert rate.in_raw_units(UNITS).value(params=7e9) == pytest.approx(rate.value(params=7.0), rel=1e-9)


def test_a_sigmoid_is_half_way_at_its_middle():
    """Reward: (A + R_0)/2 at C_mid (arXiv:2510.13786). Accuracy: a/2 + b at L0 (arXiv:2412.04403)."""
    assert RewardSigmoid(A=0.61, B=1.9, C_mid=1e4, R_0=0.21).value(flops=1e4) == pytest.approx(0.41)
    task = TaskSigmoid(a=-0.75, b=1.0, k=8.0, L0=0.9)
    assert task.value(loss=0.9) == pytest.approx(0.625)
    assert task.value(loss=0.5) > task.value(loss=1.5)  # a lower loss is a better score
    assert task.value(loss=np.array([0.9])) == pytest.approx([0.625])


def test_the_first_pass_over_a_pool_is_a_power_law():
    """y = a*n^b + d up to the pool's size (arXiv:2404.07177)."""
    pool = FilteredPool(a=2.0, b=-0.3, d=0.1, tau=5.0)
    assert pool.value(samples=1e6, pool=1e7) == pytest.approx(2.0 * 1e6**-0.3 + 0.1)


def test_each_pass_over_a_pool_is_worth_less():
    """The second pass has the exponent b*(1/2)^(1/tau); infinite tau makes repeats as good as new samples."""
    pool = FilteredPool(a=2.0, b=-0.3, d=0.1, tau=1.0)
    assert pool.value(samples=2e7, pool=1e7) == pytest.approx(2.0 * 1e7**-0.3 * 2**-0.15 + 0.1)
    fresh = FilteredPool(a=2.0, b=-0.3, d=0.1, tau=1e12)
    assert fresh.value(samples=3.5e7, pool=1e7) == pytest.approx(2.0 * 3.5e7**-0.3 + 0.1)
    assert pool.mixed_with(3).tau == 3


def test_a_mixture_answers_by_domain():
    """L = c + k*exp(sum of t*r) (arXiv:2403.16952), with the domains named by the file."""
    law = Mixture.from_table(table(c=1.0, k=2.0, weights={"web": -1.0, "code": 0.5}))
    assert law.inputs == ("web", "code")
    assert law.value(web=0.5, code=0.5) == pytest.approx(1 + 2 * np.exp(-0.25))
    moved = law.with_coefficients({"k": 3.0, "weights.code": 0.0})
    assert moved.coefficients() == {"c": 1.0, "k": 3.0, "weights.web": -1.0, "weights.code": 0.0}
    with pytest.raises(FileError, match="expected a number for each quantity"):
        Mixture.from_table(table(c=1.0, k=2.0))


def test_a_shape_costs_by_its_aspect():
    """With epsilon = 0 the shape plays no part; wider costs more where gamma is positive (arXiv:2501.18107)."""
    law = ShapedLoss(E=1.0, A=400.0, B=400.0, alpha=0.3, beta=0.3, epsilon=0.001, gamma=0.3)
    plain = 1.0 + 400.0 * 1e9**-0.3 + 400.0 * 2e10**-0.3
    at = law.value(params=1e9, tokens=2e10, aspect_ratio=64.0)
    assert at == pytest.approx(plain * (1 + 0.001 * 64**0.3))
    assert law.value(params=1e9, tokens=2e10, aspect_ratio=128.0) > at


@given(st.floats(6, 12), st.floats(7, 13), st.floats(6, 13))
def test_the_saturating_law_stays_between_floor_and_ignorance(size, seen, unique):
    """Whatever is repeated, the loss stays between E and L0, and more unique data never hurt (arXiv:2605.09189)."""
    law = SaturatingMultiEpoch(E=1.7, L0=10.4, a=50.0, alpha=0.35, b=200.0, beta=0.37, c=0.002, gamma=0.5, delta=0.4)
    at = {"params": 10**size, "tokens": 10**seen, "unique_tokens": 10**unique}
    loss = law.value(**at)
    assert 1.7 < loss < 10.4
    assert law.value(**{**at, "unique_tokens": 2 * at["unique_tokens"]}) <= loss


def test_one_loss_translates_into_another():
    """At the first floor it is the second floor (arXiv:2411.12925)."""
    law = LossToLoss(K=1.1, kappa=0.9, E_0=1.5, E_1=0.9)
    assert law.value(loss=1.5) == pytest.approx(0.9)
    assert law.value(loss=2.5) == pytest.approx(0.9 + 1.1)


def test_a_constant_rate_gains_nothing_by_decay():
    """Without a change of rate the multi-power law is the power of the cumulative rate (arXiv:2503.12811)."""
    law = MultiPower(L0=2.0, A=0.6, alpha=0.5, B=400.0, C=2.0, beta=0.6, gamma=0.6)
    rates = np.full(1000, 3e-4)
    assert law.value(rates=rates) == pytest.approx(2.0 + 0.6 * 0.3**-0.5)
    decayed = rates.copy()
    decayed[800:] = np.linspace(3e-4, 3e-5, 200)
    assert law.value(rates=decayed) < 2.0 + 0.6 * decayed.sum() ** -0.5


JOINT = {
    "a": 35.91, "alpha": -0.1889, "delta": -0.2285, "gamma": 0.0098, "b": 35.98, "beta": -0.1775,
    "omega": 0.5529, "zeta": -0.0259, "E_start": 2.0732, "E_max": 290.4521, "c": 1.3637,
}  # fmt: skip


@pytest.mark.parametrize(
    "change, message",
    [
        ({"E_max": 2.0}, "E_max: expected more than E_start"),
        ({"alpha": -0.01}, "alpha: expected an exponent that stays below 0"),
        ({"zeta": 0.2}, "beta: expected an exponent that stays below 0"),
        ({"experts": 0.5}, "experts: expected a finite number of at least 1"),
    ],
)
def test_a_joint_law_that_would_not_fall_is_refused(change, message):
    """Exponents must stay negative from a dense model to infinitely many experts."""
    assert JointMoE.from_table(table(**JOINT)).experts == 8
    with pytest.raises(FileError, match=message):
        JointMoE.from_table(table(**{**JOINT, **change}))
