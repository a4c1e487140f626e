"""Gadre et al. 2024 (arXiv:2403.08540): over-trained models and task errors."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.laws.additive import Additive
from scaleplan.presets.library import Library

TRAIN_SETS = ["c4", "redpajama", "refinedweb"]


@pytest.mark.parametrize("name", TRAIN_SETS)
@given(flops=st.floats(12, 30), ratio=st.floats(0, 4))
def test_it_is_an_additive_law_with_equal_exponents(name, flops, ratio):
    """alpha = beta = 2 eta, A = a*6^-eta, B = b*6^-eta: same loss, same optimum, same inverse."""
    law = Library().load(f"gadre-2024-{name}").law
    same = Additive(
        E=law.E, A=law.a * 6**-law.eta, B=law.b * 6**-law.eta, alpha=2 * law.eta, beta=2 * law.eta
    )  # fmt: skip
    product, per = 10**flops / 6, 10**ratio
    params = math.sqrt(product / per)
    assert law.loss(params, params * per) == pytest.approx(same.loss(params, params * per), rel=1e-12)
    assert law.loss_at(10**flops, per) == pytest.approx(law.loss(params, params * per), rel=1e-12)
    assert law.best_split(product) == pytest.approx(same.best_split(product), rel=1e-12)
    loss = same.loss(*same.best_split(product))
    # above 1e25 FLOP rounding against E costs digits of the inverse
    assert law.least_product(loss) == pytest.approx(product, rel=1e-6)


@pytest.mark.parametrize("name, ratio", [("c4", 3.4), ("redpajama", 7.4), ("refinedweb", 5.8)])
def test_its_own_optimum_lies_far_below_the_ratio_it_was_tuned_at(name, ratio):
    """sqrt(b/a)^(1/eta); the presets therefore refuse to choose the ratio."""
    preset = Library().load(f"gadre-2024-{name}")
    assert preset.law.best_ratio == pytest.approx(ratio, abs=0.05)
    assert not preset.allocates


def test_the_error_of_a_model_that_knows_nothing_is_the_limit():
    """Err approaches epsilon for a large loss and falls with the loss."""
    law = Library().load("gadre-2024-c4-error17").law
    assert law.value(loss=100.0) == pytest.approx(0.84974203, rel=1e-12)
    assert law.value(loss=2.0) < law.value(loss=3.0) < law.epsilon
