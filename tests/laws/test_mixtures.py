"""Laws of mixtures of experts: the joint law and the fine-grained one."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.laws.base import Units
from scaleplan.laws.mixtures import ExpertShape
from scaleplan.presets.library import Library

JOINT = Library().load("joint-moe-2025").law
FINE = Library().load("fine-grained-moe-2024").law

# arXiv:2502.05172, Table 4: experts → m, mu, n, nu of L = m N^mu + n D^nu + c
TABLE_4 = {
    1: (30.3640, -0.1817, 53.9838, -0.1965),
    2: (27.7982, -0.1780, 66.8401, -0.2065),
    4: (24.8462, -0.1731, 87.7022, -0.2192),
    8: (21.8330, -0.1676, 119.9126, -0.2338),
    16: (19.0159, -0.1617, 167.5073, -0.2494),
    32: (16.5424, -0.1557, 234.6726, -0.2652),
}
# Table 1: budget, experts → active parameters, tokens
TABLE_1 = [
    (1e20, 1, 1.7e9, 9.7e9),
    (1e20, 8, 990e6, 17e9),
    (1e20, 32, 669e6, 24.9e9),
    (1e21, 1, 5.7e9, 29.3e9),
    (1e21, 8, 3.8e9, 44.3e9),
    (1e21, 32, 2.85e9, 58.4e9),
    (1e22, 1, 18.8e9, 88.6e9),
    (1e22, 8, 14.4e9, 115.8e9),
    (1e22, 32, 12.2e9, 136.9e9),
]
# arXiv:2402.07871, Table 2: active parameters, tokens, granularity, FLOP
TABLE_2 = [
    (1e8, 4.37e9, 8, 2.95e18),
    (1e9, 28.94e9, 16, 1.93e20),
    (7e9, 137.6e9, 32, 6.46e21),
    (7e10, 941e9, 32, 4.16e23),
    (1e12, 7.94e12, 64, 4.97e25),
]


@pytest.mark.parametrize("experts, loss", [(1, 2.5776), (4, 2.5351564), (8, 2.5087773), (32, 2.4545612)])
def test_the_joint_law(experts, loss):
    """The eleven coefficients as printed, at 1e9 active parameters and 2e10 tokens."""
    assert JOINT.choose(float(experts)).loss(1e9, 2e10) == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("experts", TABLE_4)
def test_the_reduced_law_is_that_of_table_4(experts):
    """The paper's reduced coefficients come from more digits than it prints: they agree to 0.3 %."""
    law = JOINT.choose(float(experts)).reduced
    assert (law.A, -law.alpha, law.B, -law.beta) == pytest.approx(TABLE_4[experts], rel=3e-3)


@pytest.mark.parametrize("flops, experts, params, tokens", TABLE_1)
def test_the_optima_of_table_1(flops, experts, params, tokens):
    """Within 1.6 %: it prints two or three digits, and comes from more digits than the coefficients have."""
    assert JOINT.choose(float(experts)).best_split(flops / 6) == pytest.approx((params, tokens), rel=0.016)


def test_the_optimum_at_32_experts():
    """F = 1e21, evaluated from the eleven coefficients."""
    assert JOINT.choose(32.0).best_split(1e21 / 6)[0] == pytest.approx(2.877521e9, rel=1e-6)


@given(st.floats(7, 13), st.floats(0, 8))
def test_total_and_active_parameters_are_told_apart(power, doublings):
    """One expert makes them equal; of E experts the inactive ones hold 9 (E - 1) layers*width^2."""
    params, experts = 10**power, 2.0**doublings
    shape = ExpertShape.of_active(params)
    assert shape.active_params() == pytest.approx(params, rel=1e-12)
    assert JOINT.choose(1.0).total_params(params) == pytest.approx(params, rel=1e-12)
    inactive = 9 * (experts - 1) * shape.width**3 / 64
    assert JOINT.choose(experts).total_params(params) == pytest.approx(params + inactive, rel=1e-12)


@given(st.floats(8, 13), st.sampled_from([1.0, 8.0, 32.0]), st.sampled_from([0.0, 16384.0]))
def test_the_largest_model_fills_the_memory(power, experts, cached):
    """All parameters and the cache, 2*T*layers*width numbers, make up the memory exactly."""
    law, memory = JOINT.choose(experts), 10**power
    params = law.largest(memory, cached_tokens=cached)
    shape = ExpertShape.of_active(params)
    assert law.total_params(params) + 2 * cached * shape.width**2 / 64 == pytest.approx(memory, rel=1e-9)


@pytest.mark.parametrize(
    "active, tokens, granularity, loss",
    [(1e9, 2.894e10, 16, 2.4713877), (3e9, 7.29e10, 16, 2.226439), (7e10, 9.4107e11, 32, 1.6801513)],
)
def test_the_fine_grained_law(active, tokens, granularity, loss):
    """With 43 times the active parameters in all, as the paper counts."""
    assert FINE.choose(float(granularity)).loss(active, tokens) == pytest.approx(loss, rel=1e-6)
    assert FINE.total_params(active) == pytest.approx(43 * active)


@pytest.mark.parametrize("active, tokens, granularity, flops", TABLE_2)
def test_routing_explains_the_budgets_of_table_2(active, tokens, granularity, flops):
    """6*N*D and 14 FLOP per routing parameter add up to the printed budgets within 0.3 %."""
    law = FINE.choose(float(granularity))
    assert (6 * active + law.routing_flops * active ** (2 / 3)) * tokens == pytest.approx(flops, rel=3e-3)


def test_the_derived_cost_of_routing_is_said_to_be_derived():
    """It is no number of the paper, so whoever reads the preset must learn where it comes from."""
    notes = " ".join(Library().load("fine-grained-moe-2024").notes)
    assert f"cost of routing, {FINE.routing:g} FLOP" in notes
    assert "derived and not quoted" in notes


@pytest.mark.parametrize("active, tokens, granularity, flops", TABLE_2)
def test_the_optima_of_table_2(active, tokens, granularity, flops):
    """The best granularity is the paper's, and the best size within the 3 % that its printed digits allow."""

    def least(value):
        law = FINE.choose(value)

        def at(power):
            params = 10**power
            return law.loss(params, flops / (6 * params + law.routing_flops * params ** (2 / 3)))

        middle = math.log10(active)
        return min((at(middle + i / 500), 10 ** (middle + i / 500)) for i in range(-250, 251))

    best = {value: least(value) for value in FINE.choices}
    assert min(best, key=best.get) == granularity
    assert best[granularity][1] == pytest.approx(active, rel=0.03)


@pytest.mark.parametrize("law", [JOINT, FINE])
@given(st.floats(6, 13), st.floats(8, 15))
def test_the_additive_forms_agree_with_the_surface(law, size, data):
    """The optimum of the additive form is one of the surface."""
    params, tokens = 10**size, 10**data
    loss = law.loss(params, tokens)
    product = params * tokens
    best = law.loss(*law.best_split(product))
    assert best <= loss * (1 + 1e-12)
    assert law.least_product(best) == pytest.approx(product, rel=1e-6)


@pytest.mark.parametrize("law", [JOINT, FINE])
def test_units_do_not_change_the_law(law):
    """Coefficients stated for billions give the same loss at the same point."""
    units = Units(params=1e9, tokens=1e12)
    assert law.in_raw_units(units).loss(7e9, 1.4e12) == pytest.approx(law.loss(7.0, 1.4), rel=1e-12)
