"""Compute that a mixture saves against a dense model (Ling Team 2025, arXiv:2507.17702)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan import api
from scaleplan.errors import UsageError
from scaleplan.laws.mixtures import efficiency_leverage

BEST_GRANULARITY = 2 ** (0.117 / (2 * 0.0167))  # of the greatest leverage, at every activation ratio and compute

# activation, granularity, compute → leverage: the formula with log2 for G and log10 for C
POINTS = [
    (0.031, 12, 1e22, 7.244898),
    (0.034, 12, 1e22, 6.9614416),
    (0.031, 8, 1e21, 5.6720361),
]


@pytest.mark.parametrize("activation, granularity, flops, expected", POINTS)
def test_the_formula(activation, granularity, flops, expected):
    """Evaluated with the coefficients as printed; the first is the paper's "exceeds 7"."""
    found = efficiency_leverage(activation=activation, granularity=granularity, flops=flops)
    assert found == pytest.approx(expected, rel=1e-6)


def test_a_dense_model_saves_nothing():
    """The formula gives 0.98956 there, which is 1 by definition."""
    assert efficiency_leverage(activation=1.0, granularity=12, flops=1e22) == 1


@given(st.floats(1, 256))
def test_no_granularity_beats_the_best(granularity):
    """2^(0.117/(2*0.0167)) = 11.3, inside the paper's 8 to 12."""
    best = efficiency_leverage(activation=0.03, granularity=BEST_GRANULARITY, flops=1e22)
    assert efficiency_leverage(activation=0.03, granularity=granularity, flops=1e22) <= best * (1 + 1e-12)
    assert 8 <= BEST_GRANULARITY <= 12


@pytest.mark.parametrize(
    "activation, granularity", [(0, 12), (1.1, 12), (-0.1, 12), (0.03, 0.5), (0.03, float("nan"))]
)
def test_what_cannot_be_is_refused(activation, granularity):
    """Ratios outside 0 to 1, granularities below 1."""
    with pytest.raises(UsageError):
        efficiency_leverage(activation=activation, granularity=granularity, flops=1e22)


def test_a_dense_plan_is_told_what_a_mixture_would_save():
    """The plan is the dense one; C_moe times its leverage is the dense compute (arXiv:2507.17702)."""
    plain, told = api.optimal(flops=1e22), api.optimal(flops=1e22, moe_leverage="0.031,12")
    assert (told.params, told.tokens, told.loss) == pytest.approx((plain.params, plain.tokens, plain.loss))
    factor = efficiency_leverage(activation=0.031, granularity=12, flops=told.moe_flops)
    assert told.moe_leverage == pytest.approx(factor, rel=1e-9)
    assert told.moe_flops * factor == pytest.approx(1e22, rel=1e-9)
    assert any(notice.code == "carried_over" for notice in told.warnings)
    assert api.optimal(flops=1e22, moe_leverage="100%,12").moe_leverage == pytest.approx(1)


@pytest.mark.parametrize(
    "words, message",
    [
        ({"moe_leverage": "0.03"}, "not a share and a granularity"),
        ({"moe_leverage": "1.5,12"}, "1.5"),
        ({"moe_leverage": "0.03,0.5"}, "a granularity is at least 1"),
        ({"moe_leverage": "0.03,12", "preset": "joint-moe-2025"}, "a law of mixtures"),
    ],
)
def test_a_leverage_that_cannot_be_is_refused(words, message):
    """Two numbers in their domains, on a dense law."""
    with pytest.raises(UsageError, match=message):
        api.optimal(flops=1e22, **words)
