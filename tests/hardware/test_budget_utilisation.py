"""The circle between the utilisation and the size of the model it pays for."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaleplan.hardware.device_budget import consistent_mfu
from scaleplan.hardware.utilisation import Utilisation


def smooth(level, jump=None):
    """Return utilisation as the rule has it: rising with the size; above ``jump`` it is two thirds of that."""

    def at(params):
        mfu = level / (1 + math.sqrt(20e6 / params)) * (1 if jump is None or params < jump else 2 / 3)
        return Utilisation(mfu=mfu, goodput=0.9, profile="project", source="test", band=1.6)

    return at


@settings(max_examples=200)
@given(level=st.floats(0.05, 0.7), reference=st.floats(1e4, 1e12), exponent=st.floats(0, 1))
def test_the_answer_agrees_with_itself(level, reference, exponent):
    """For any size that grows no faster than the compute: the size's own utilisation is the one that was assumed."""
    at = smooth(level)
    calls = []

    def params_at(utilisation):
        calls.append(utilisation)
        return reference * (utilisation / 0.3) ** exponent

    found = consistent_mfu(at, params_at)
    assert found.consistent
    assert found.utilisation == at(found.params)
    assert params_at(found.utilisation.value) == pytest.approx(found.params, rel=1e-9)
    assert len(calls) <= 60


def test_a_large_model_takes_few_rounds():
    """Each round is a plan: above a billion parameters a handful agree to twelve digits."""
    calls = []
    consistent_mfu(smooth(0.24), lambda u: calls.append(u) or 20e9 * (u / 0.24) ** 0.5)
    assert len(calls) <= 8


@settings(max_examples=200)
@given(jump=st.floats(1e9, 1e11), reference=st.floats(1e8, 1e12), exponent=st.floats(0.1, 1))
def test_beside_a_jump_it_errs_on_the_low_side(jump, reference, exponent):
    """Where the larger value buys a model that reaches less and the smaller one that reaches more: the smaller."""
    at = smooth(0.5, jump=jump)

    def params_at(utilisation):
        return reference * (utilisation / 0.3) ** exponent

    found = consistent_mfu(at, params_at)
    reached = at(params_at(found.utilisation.value)).value
    assert reached >= found.utilisation.value * (1 - 1e-9)
    if found.consistent:
        assert reached == pytest.approx(found.utilisation.value, rel=1e-9)


def test_a_size_that_jumps_is_told():
    """The best size itself may jump, as between numbers of experts: then no size agrees with its utilisation."""
    found = consistent_mfu(smooth(0.5), lambda u: 1e12 if u < 0.443 else 1e9)
    assert not found.consistent
    assert found.utilisation.value == pytest.approx(0.443, rel=1e-6)
    assert found.params == 1e12
