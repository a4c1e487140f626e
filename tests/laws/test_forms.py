"""What holds for every form: documented coefficients, units, arrays, and the registry."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.errors import UnknownNameError
from scaleplan.laws import LAWS, law_class
from scaleplan.laws.allocation import PowerAllocation
from scaleplan.laws.base import Allocation, Cost, Curve, Law, LossSurface, Units
from scaleplan.presets.library import Library

SURFACES = ["besiroglu-2024", "gadre-2024-c4", "minicpm-2024", "kaplan-2020"]
SPLITS = [
    "hoffmann-2022-a1",
    "llama3-2024",
    "deepseek-llm-2024",
    "hunyuan-large-2024",
    "kaplan-2020",
    "henighan-2020-math",
]
BUDGETS = st.floats(12, 30).map(lambda power: 10.0**power)


@pytest.mark.parametrize("form", LAWS)
def test_a_form_is_registered_under_its_own_name(form):
    """The registry, the class and the kinds of laws agree, and every coefficient says what it means."""
    found = law_class(form)
    assert found.form == form
    assert issubclass(found, LossSurface | Allocation | Curve)
    assert found.formula
    for item in fields(found):
        if "meaning" in item.metadata:
            assert item.metadata["meaning"]


def test_an_unknown_form_is_met_with_the_known_ones():
    """The error suggests the closest form."""
    with pytest.raises(UnknownNameError) as caught:
        law_class("aditive")
    assert "did you mean 'additive'?" in caught.value.hint


@pytest.mark.parametrize("name", SPLITS)
@given(flops=BUDGETS)
def test_a_split_spends_the_budget(name, flops):
    """By the law's own compute convention, to rounding."""
    preset = Library().load(name)
    params, tokens = preset.law.split(flops)
    assert preset.cost.flops(params, tokens) == pytest.approx(flops, rel=1e-12)
    more = preset.law.split(flops * 1.01)
    assert more[0] > params > 0
    assert more[1] > tokens > 0


@pytest.mark.parametrize("name", SURFACES)
@given(size=st.floats(3, 14), data=st.floats(3, 16))
def test_a_loss_falls_with_size_and_with_data(name, size, data):
    """More of either never hurts, and the loss stays above its floor."""
    law = Library().load(name).law
    params, tokens = 10.0**size, 10.0**data
    loss = law.loss(params, tokens)
    assert loss > law.floor
    assert law.loss(params * 2, tokens) <= loss >= law.loss(params, tokens * 2)
    assert law.reducible(params, tokens) == pytest.approx(loss - law.floor, rel=1e-9)


@pytest.mark.parametrize("name", SURFACES)
def test_one_formula_serves_numbers_and_arrays(name):
    """Arrays give the numbers that single values give."""
    law = Library().load(name).law
    sizes, data = np.array([1e8, 1e9, 1e10]), np.array([1e10, 2e10, 3e11])
    assert law.loss(sizes, data) == pytest.approx(
        [law.loss(float(n), float(d)) for n, d in zip(sizes, data, strict=True)]
    )


@pytest.mark.parametrize("name", SPLITS)
def test_splits_serve_arrays(name):
    """Allocations take arrays of budgets."""
    law = Library().load(name).law
    budgets = np.array([1e18, 1e21, 1e24])
    params, tokens = law.split(budgets)
    assert params == pytest.approx([law.split(float(flops))[0] for flops in budgets])
    assert tokens == pytest.approx([law.split(float(flops))[1] for flops in budgets])


UNITS = Units(params=1e9, tokens=1e12, flops=8.64e19)


@pytest.mark.parametrize("name", ["besiroglu-2024", "gadre-2024-c4"])
def test_a_surface_in_other_units_is_the_same_surface(name):
    """Coefficients stated for N in billions and D in trillions give the same loss at the same point."""
    law = Library().load(name).law
    assert law.in_raw_units(UNITS).loss(7e9, 1.4e12) == pytest.approx(law.loss(7.0, 1.4), rel=1e-12)


def test_kaplans_law_in_other_units_is_the_same_law():
    """Sizes, tokens and compute keep their meaning for every relation of the paper."""
    law = Library().load("kaplan-2020").law
    raw = law.in_raw_units(UNITS)
    assert raw.loss(7e9, 1.4e12) == pytest.approx(law.loss(7.0, 1.4), rel=1e-12)
    assert raw.optimal_params(8.64e19) == pytest.approx(1e9 * law.optimal_params(1.0), rel=1e-12)
    assert raw.optimal_tokens(8.64e19) == pytest.approx(1e12 * law.optimal_tokens(1.0), rel=1e-12)
    assert raw.frontier_loss(8.64e20) == pytest.approx(law.frontier_loss(10.0), rel=1e-12)
    assert raw.learning_rate(2e9) == pytest.approx(law.learning_rate(2.0), rel=1e-12)
    assert raw.loss_of_params(2e9) == pytest.approx(law.loss_of_params(2.0), rel=1e-12)
    assert raw.loss_of_tokens(2e12) == pytest.approx(law.loss_of_tokens(2.0), rel=1e-12)
    assert raw.loss_of_steps(2e9, 1e5) == pytest.approx(law.loss_of_steps(2.0, 1e5), rel=1e-12)


def test_a_modality_in_other_units_is_the_same_law():
    """N in billions and C in PF-days."""
    law = Library().load("henighan-2020-math").published
    raw = law.in_raw_units(UNITS)
    assert raw.split(8.64e19)[0] == pytest.approx(1e9 * law.split(1.0)[0], rel=1e-12)
    assert raw.frontier_loss(8.64e19) == pytest.approx(law.frontier_loss(1.0), rel=1e-12)
    assert raw.converged_loss(3e9) == pytest.approx(law.converged_loss(3.0), rel=1e-12)


def test_an_allocation_in_other_units_is_the_same_law():
    """Both sides keep their meaning."""
    law = PowerAllocation(params_scale=2.0, params_exponent=0.5, tokens_scale=3.0, tokens_exponent=0.5)
    raw = law.in_raw_units(UNITS)
    assert raw.params_by_law(8.64e21) == pytest.approx(2e10, rel=1e-12)
    assert raw.tokens_by_law(8.64e21) == pytest.approx(3e13, rel=1e-12)


@given(st.floats(1e12, 1e30))
def test_a_law_of_the_tokens_leaves_the_rest_to_the_size(flops):
    """With a term per token, the size is what the budget leaves."""
    cost = Cost(per_param_token=9.59, per_token=2.3)
    law = PowerAllocation(tokens_scale=0.3, tokens_exponent=0.5).with_cost(cost)
    params, tokens = law.split(flops)
    assert tokens == pytest.approx(0.3 * flops**0.5)
    assert cost.flops(params, tokens) == pytest.approx(flops, rel=1e-12)
    assert law.params_by_law(flops) is None


def test_a_law_without_units_refuses_them():
    """A form that cannot be rescaled says so rather than ignoring the units."""
    with pytest.raises(NotImplementedError, match="task_error"):
        Library().load("gadre-2024-c4-error17").law.in_raw_units(UNITS)
    assert isinstance(Library().load("gadre-2024-c4-error17").law.in_raw_units(Units()), Law)
