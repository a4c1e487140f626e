"""The broken power law, the bending learning curves and Kaplan's surface: formulas, limits, files."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaleplan.laws.base import Units
from scaleplan.laws.curves import BNSL, Break, ChancePower, OffsetPower, ShiftedPower
from scaleplan.laws.kaplan import KaplanSurface

BROKEN = BNSL(a=0.1, b=2.0, c0=0.1, breaks=(Break(c=0.5, d=1e3, f=0.5), Break(c=-0.3, d=1e6, f=1.0)), x="x", y="y")


def test_the_broken_law_is_its_formula():
    """Computed in logarithms, equal to a + b x^-c0 prod (1 + (x/d)^(1/f))^(-c f) (arXiv:2210.14891, equation 1)."""
    for x in (1.0, 1e3, 1e5, 1e8):
        product = 1.0
        for bend in BROKEN.breaks:
            product *= (1 + (x / bend.d) ** (1 / bend.f)) ** (-bend.c * bend.f)
        assert BROKEN.value(x=x) == pytest.approx(0.1 + 2.0 * x**-0.1 * product, rel=1e-12)


def test_a_sharp_break_does_not_overflow():
    """(x/d)^(1/f) is 1e3000 here; the value is a power law of the later slope."""
    law = BNSL(a=0.0, b=1.0, c0=0.1, breaks=(Break(c=0.5, d=1.0, f=1e-3),), x="x", y="y")
    assert law.value(x=1e3) == pytest.approx(1e3**-0.6)


def test_coefficients_of_breaks_have_numbers():
    """They are listed and changed by c1, d1, f1, ..."""
    assert BROKEN.coefficients()["d2"] == 1e6
    changed = BROKEN.with_coefficients({"c2": 0.25, "a": 0.2})
    assert changed.breaks[1] == Break(c=0.25, d=1e6, f=1.0)
    assert changed.breaks[0] == BROKEN.breaks[0]
    assert changed.a == 0.2
    assert changed.inputs == ("x",)


@settings(max_examples=60)
@given(
    fall=st.tuples(st.floats(1e-6, 1e12), st.floats(0.05, 3.0)),
    ends=st.tuples(st.floats(0.0, 1.0), st.floats(0.1, 5.0)),
    k=st.floats(0.01, 6.0),
    x=st.floats(1.0, 1e10),
)
def test_the_curve_from_chance_solves_its_equation(fall, ends, k, x):
    """(y - e)/(y0 - y)^k = a x^-c wherever y is clear of both ends, and floats and arrays agree."""
    (a, c), (floor, span) = fall, ends
    law = ChancePower(a=a, c=c, e=floor, y0=floor + span, k=k, x="x", y="y")
    y = law.value(x=x)
    assert floor <= y <= law.y0 * (1 + 1e-12)
    assert law.value(x=np.array([x]))[0] == pytest.approx(y, rel=1e-12)
    if 1e-4 * span < y - floor < (1 - 1e-4) * span:
        left = math.log(y - floor) - k * math.log(law.y0 - y)
        assert left == pytest.approx(math.log(a) - c * math.log(x), abs=1e-8 + 1e-8 * k)


def test_without_the_bend_the_curves_are_power_laws_with_a_floor():
    """M3 at g = 0 and M4 at k = 0 are M2."""
    plain = OffsetPower(a=30.0, c=0.3, e=0.7, x="x", y="y")
    x = np.geomspace(1e5, 1e9, 7)
    shifted = ShiftedPower(a=30.0, g=0.0, c=0.3, e=0.7, x="x", y="y")
    chance = ChancePower(a=30.0, c=0.3, e=0.7, y0=9.0, k=0.0, x="x", y="y")
    assert shifted.value(x=x) == pytest.approx(plain.value(x=x), rel=1e-12)
    assert chance.value(x=x) == pytest.approx(plain.value(x=x), rel=1e-9)
    assert shifted.inputs == chance.inputs == ("x",)


def test_kaplans_surface_has_the_limits_of_the_paper():
    """With unlimited data it is (N_c/N)^alpha_N, and units rescale the scales (arXiv:2001.08361, equation 1.5)."""
    law = KaplanSurface(N_c=6.4e13, D_c=1.8e13, alpha_N=0.076, alpha_D=0.103)
    assert law.loss(1e9, 1e40) == pytest.approx((6.4e13 / 1e9) ** 0.076)
    assert law.loss(1e40, 1e10) == pytest.approx((1.8e13 / 1e10) ** 0.103)
    billions = KaplanSurface(N_c=6.4e4, D_c=1.8e4, alpha_N=0.076, alpha_D=0.103)
    assert billions.in_raw_units(Units(params=1e9, tokens=1e9)).loss(1e9, 1e10) == pytest.approx(law.loss(1e9, 1e10))
