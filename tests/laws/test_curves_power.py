"""Power laws between named quantities."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan.errors import FileError
from scaleplan.laws.base import Units
from scaleplan.laws.curves import MultiplicativePower, OffsetPower, Power
from scaleplan.presets.library import Library
from scaleplan.toml_table import Table

UNITS = Units(params=1e9, tokens=1e12, flops=8.64e19)


def table(**data):
    return Table(data, source="own.toml", path="coefficients")


def test_a_power_law_reads_its_input_by_name():
    """DeepSeek's learning rate 0.3118*C^-0.1250 at 1e20 FLOP is 9.86e-4 (arXiv:2401.02954)."""
    law = Power.from_table(table(a=0.3118, n=-0.125, x="flops", y="learning_rate"))
    assert law.value(flops=1e20) == pytest.approx(9.86e-4, rel=1e-3)
    assert law.value(flops=np.array([1e20]))[0] == law.value(flops=1e20)


def test_an_offset_is_what_remains():
    """Cerebras-GPT (arXiv:2304.03208): (f/5.984e22)^-0.0737 + 0.5066 is 1.5066 at 5.984e22 FLOP."""
    assert Library().load("cerebras-gpt-2023").law.value(flops=5.984e22) == pytest.approx(1.5066, rel=1e-12)


def test_a_product_of_powers():
    """Step Law (arXiv:2503.04715): 1.79*N^-0.713*D^0.307 for 1e9 parameters and 1e11 tokens is 1.632e-3."""
    law = MultiplicativePower.from_table(
        table(a=1.79, exponents={"params": -0.713, "tokens": 0.307}, y="learning_rate")
    )
    assert law.value(params=1e9, tokens=1e11) == pytest.approx(1.632e-3, rel=1e-3)
    assert law.coefficients() == {"a": 1.79, "exponents.params": -0.713, "exponents.tokens": 0.307}
    moved = law.with_coefficients({"a": 2.0, "exponents.tokens": 0.3})
    assert moved.value(params=1e9, tokens=1e11) == pytest.approx(2 * 1e9**-0.713 * 1e11**0.3)


def test_units_of_inputs_and_outputs_are_applied():
    """Each law gives the same answer for the same quantity in raw units."""
    power = Power(a=2.0, n=0.5, x="flops", y="params")
    assert power.in_raw_units(UNITS).value(flops=8.64e21) == pytest.approx(1e9 * power.value(flops=100.0))
    offset = OffsetPower(a=2.0, c=0.5, e=3.0, x="tokens", y="loss")
    assert offset.in_raw_units(UNITS).value(tokens=4e12) == pytest.approx(offset.value(tokens=4.0))
    product = MultiplicativePower(a=2.0, exponents=(("params", 0.5), ("width", 2.0)), y="tokens")
    raw = product.in_raw_units(UNITS)
    assert raw.value(params=9e9, width=3.0) == pytest.approx(1e12 * product.value(params=9.0, width=3.0))


@pytest.mark.parametrize(
    "form, data, message",
    [
        (Power, {"a": 1.0, "n": 1.0, "x": "flops"}, "coefficients.y: this key is missing"),
        (Power, {"a": 1.0, "n": 1.0, "x": "the compute", "y": "loss"}, "coefficients.x: expected the name"),
        (Power, {"a": 0.0, "n": 1.0, "x": "flops", "y": "loss"}, "coefficients.a: expected a finite number above 0"),
        (OffsetPower, {"a": 1.0, "c": -1.0, "e": 0.0, "x": "x", "y": "y"}, "coefficients.c"),
        (MultiplicativePower, {"a": 1.0, "y": "loss"}, "coefficients.exponents: expected a number for each"),
        (
            MultiplicativePower,
            {"a": 1.0, "y": "loss", "exponents": {"x": "1"}},
            "coefficients.exponents.x: expected a fin",
        ),
    ],
)
def test_bad_coefficients_are_refused_with_their_key(form, data, message):
    """Names, exponents and scales are checked."""
    with pytest.raises(FileError, match=message):
        form.from_table(table(**data))
