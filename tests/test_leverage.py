"""Compute that a mixture saves against a dense model (Ling Team 2025, arXiv:2507.17702)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.errors import UsageError
from scaleplan.leverage import BEST_GRANULARITY, efficiency_leverage

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
