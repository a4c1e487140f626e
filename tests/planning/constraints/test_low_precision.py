"""Few bits in training and after it (Kumar et al. 2024, arXiv:2411.04330; Sun et al. 2025, arXiv:2501.02423)."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan import api
from scaleplan.errors import UsageError
from scaleplan.laws.additive import Additive
from scaleplan.laws.base import Cost
from scaleplan.planning.constraints.floating_point import FloatingPoint
from scaleplan.planning.constraints.precision import TrainingPrecision, effective_fraction
from scaleplan.planning.constraints.quantisation import Quantisation
from scaleplan.planning.problem import Problem
from scaleplan.planning.solver import solve
from scaleplan.presets.library import Library

KUMAR = Library().load("kumar-2024").law


def fraction(bits):
    return effective_fraction(weights=bits, activations=bits, kv=bits)


@pytest.mark.parametrize("bits, expected", [(4.0, 0.19098819), (8.0, 0.82776008)])
def test_effective_parameters(bits, expected):
    """All three parts at the same bits, biases included."""
    assert fraction(bits) == pytest.approx(expected, rel=1e-7)


def test_weights_alone():
    """Weights of 4 bits, the other parts at 16."""
    assert effective_fraction(weights=4.0) == pytest.approx(0.69431585, rel=1e-7)


@given(st.floats(0.1, 64), st.floats(0.1, 64))
def test_more_bits_are_never_worth_less(few, more):
    """The fraction rises with the bits and stays between 0 and 1, also where the formula turns negative."""
    low, high = fraction(min(few, more)), fraction(max(few, more))
    assert 0 <= low <= high <= 1


def test_the_loss_at_eight_bits():
    """The source's own law at 1e9 parameters and 2.6e10 tokens."""
    assert KUMAR.loss(1e9 * fraction(8.0), 2.6e10) == pytest.approx(3.0471666, rel=1e-7)


def test_the_studys_own_law_takes_the_effective_size_as_published():
    """Beside it a plan's loss is the published one at 8 bits, and 16 bits too lose a little; without bits nothing."""
    given = {"params": 1e9, "tokens": 2.6e10, "preset": "kumar-2024"}
    eight = api.loss(train_bits=8, **given)
    assert eight.params_worth == pytest.approx(0.82776008, rel=1e-7)
    assert eight.loss == pytest.approx(3.0471666, rel=1e-7)
    assert api.loss(bits_weights=4, **given).params_worth == pytest.approx(0.69431585, rel=1e-7)
    assert api.loss(train_bits=16, **given).params_worth == pytest.approx(fraction(16.0), rel=1e-12)
    assert api.loss(**given).loss == pytest.approx(KUMAR.loss(1e9, 2.6e10), rel=1e-12)


def test_the_best_training_precision():
    """If compute fell in proportion to the bits, 7.00 of them would be best; the paper says 7 to 8."""
    around = [7.0021094 + step for step in (-1, -1e-3, 0, 1e-3, 1)]
    gains = [fraction(bits) / bits for bits in around]
    assert max(gains) == gains[2]


@pytest.mark.parametrize("bits, size, data", [(8.0, 1.5604961, 1.2816437), (6.0, None, 1.272043)])
def test_the_optimum_moves_as_its_closed_form_says(bits, size, data):
    """N*(P)/N*(16) = f^(-a/(a+b)) (16/P)^(b/(a+b)) and likewise D, by the solver, with compute like the bits."""
    law = Additive(E=1.8, A=500.0, B=2000.0, alpha=0.34731, beta=0.36717)
    map_at = TrainingPrecision(weights=bits, activations=bits, kv=bits).on(law)
    params, tokens = solve(Problem(surface=law, cost=Cost(per_param_token=6 * bits / 16), effective=(map_at,)), 1e22)
    plain = solve(Problem(surface=law), 1e22)
    assert tokens / plain[1] == pytest.approx(data, rel=1e-7)
    assert size is None or params / plain[0] == pytest.approx(size, rel=1e-7)


def test_quantisation_adds_to_the_loss():
    """3 bits after training 3e7 parameters on 2e10 tokens."""
    assert Quantisation(bits=3.0).increase(3e7, 2e10) == pytest.approx(0.51283178, rel=1e-7)


@given(bits=st.floats(3, 8), power=st.floats(7, 11))
def test_the_critical_tokens_are_those_of_the_closed_form(bits, power):
    """(b B N^g_N exp(P/g - b)/(g_D C_T))^(1/(g_D + b)) for the additive law."""
    params = 10**power
    inside = KUMAR.beta * KUMAR.B * params**0.3439 * math.exp(bits / 0.5907 - 1.1277) / (0.5068 * 0.0598)
    found = Quantisation(bits=bits).critical_tokens(KUMAR, params)
    assert found == pytest.approx(inside ** (1 / (0.5068 + KUMAR.beta)), rel=1e-5)


@pytest.mark.parametrize(
    "name, loss, critical", [((4, 3), 2.5630699, 2.7329045e13), ((2, 1), 2.5978659, 3.9284524e11)]
)
def test_floating_point_formats(name, loss, critical):
    """E4M3 and E2M1, blocks of 128: the loss of 1e9 parameters on 1e11 tokens, and where training starts to hurt."""
    found = FloatingPoint(exponent=name[0], mantissa=name[1])
    assert found.loss(1e9, 1e11) == pytest.approx(loss, rel=1e-7)
    assert found.critical_tokens(1e9) == pytest.approx(critical, rel=1e-7)
    at = found.critical_tokens(1e9)
    assert found.loss(1e9, at) < min(found.loss(1e9, at * 0.9), found.loss(1e9, at * 1.1))


def codes(plan):
    return {notice.code for notice in plan.warnings}


def test_few_bits_lower_what_a_parameter_is_worth():
    """At 16 bits nothing changes; at 8 the loss is that of fewer parameters, and the law is another's."""
    plain, full = api.optimal(flops=1e21), api.optimal(flops=1e21, train_bits=16)
    eight = api.optimal(flops=1e21, train_bits=8)
    assert full.params == pytest.approx(plain.params, rel=1e-9)
    assert full.loss == pytest.approx(plain.loss, rel=1e-12)
    assert eight.params_worth == pytest.approx(fraction(8.0) / fraction(16.0))
    assert eight.loss > plain.loss
    assert "carried_over" in codes(eight) - codes(full)
    law = Library().load("besiroglu-2024").law
    assert eight.loss == pytest.approx(law.loss(eight.params * eight.params_worth, eight.tokens), rel=1e-12)


def test_parts_override_all():
    """--train-bits for the parts that nothing else is said of."""
    plan = api.optimal(flops=1e20, train_bits=8, bits_weights=4)
    assert (plan.bits_weights, plan.bits_activations, plan.bits_kv) == (4, 8, 8)


def test_quantisation_and_formats_change_no_plan_and_warn():
    """They are told beside it: the loss added, and tokens beyond which training hurts."""
    plain = api.optimal(flops=1e21, preset="kumar-2024")
    three = api.optimal(flops=1e21, preset="kumar-2024", ptq_bits=3)
    assert (three.params, three.tokens, three.loss) == pytest.approx((plain.params, plain.tokens, plain.loss))
    assert three.ptq_loss == pytest.approx(three.loss + three.ptq_loss_increase)
    assert three.tokens > three.ptq_critical_tokens
    assert "quantisation_hurts" in codes(three)
    assert "quantisation_hurts" not in codes(api.optimal(flops=1e21, preset="kumar-2024", ptq_bits=8))
    small = api.loss(params=1e9, tokens=1e12, fp_format="e2m1")
    assert small.fp_critical_tokens == pytest.approx(3.9284524e11, rel=1e-7)
    assert "format_critical_tokens" in codes(small)
    assert "format_critical_tokens" not in codes(api.loss(params=1e9, tokens=1e12, fp_format="E4M3"))


@pytest.mark.parametrize(
    "words, message",
    [
        ({"train_bits": 3}, "activations of 3 bits"),
        ({"bits_kv": 3.9}, "kv of 3.9 bits"),
        ({"bits_weights": 2.9}, "weights of 2.9 bits"),
        ({"train_bits": 32}, "16, bf16, is the most"),
        ({"ptq_bits": 2}, "outside the 3 to 16"),
        ({"fp_format": "fp8"}, "no floating-point format"),
        ({"quant_block": 128}, "says nothing without a format"),
        ({"fp_format": "E4M3", "quant_block": 1}, "shares no scale"),
    ],
)
def test_what_was_never_measured_is_refused(words, message):
    """Runs of fewer bits diverged; more were not made."""
    with pytest.raises(UsageError, match=message):
        api.optimal(flops=1e20, **words)
