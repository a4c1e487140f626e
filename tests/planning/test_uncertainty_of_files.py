"""What a preset file's draws, backtest and range amount to in a plan, by arithmetic on the file's own numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

import scaleplan as sp

Z90 = 1.6448536269514722  # the 95 % quantile of the normal distribution
FACTORS, RMS = (1.0, 10.0), (0.004, 0.010)
FLOORS = np.random.default_rng(5).normal(1.8, 0.002, size=64)

LAW = """\
schema = 1
id = "drawn"
title = "A law with draws and a backtest"
form = "additive"
source = "made up"
status = "refit"
[coefficients]
E = 1.8
A = 400.0
B = 2000.0
alpha = 0.35
beta = 0.36
[conventions]
params = "total"
flops = "6ND"
loss = "nats/token"
"""


def preset(folder, *tables):
    """Write the law with further tables; return the path of the file."""
    path = folder / "drawn.toml"
    path.write_text("\n".join([LAW, *tables]), encoding="utf-8")
    return str(path)


def uncertainty(*, tested):
    """Return the table with draws of the floor alone, with a backtest or without."""
    lines = ["[uncertainty]", 'parameters = ["E"]', f"draws = {[[float(value)] for value in FLOORS]}"]
    lines += ['method = "made up"']
    if tested:
        lines += ["[uncertainty.backtest]", f"factors = {list(FACTORS)}", f"rms = {list(RMS)}"]
    return "\n".join(lines)


def loss_of(params, tokens, floor):
    """Return the loss of the law above with another floor."""
    return floor + 400.0 * params**-0.35 + 2000.0 * tokens**-0.36


@pytest.mark.parametrize("beyond, rms", [(1.0, 0.004), (10.0, 0.010), (math.sqrt(10), 0.007)])
def test_a_backtest_widens_an_interval_of_draws(tmp_path, beyond, rms):
    """Half the percentile interval of ln L and the missed share of the loss are added in quadrature.

    The floor moves no split, so the draws of the loss are the floors shifted by a constant; the error to expect lies
    on a line in the logarithm of the factor by which the compute exceeds the fitted range.
    """
    most = 1e21
    fitted = f"[range]\nflops = [1e18, {most!r}]"
    plan = sp.optimal(flops=most * beyond, preset=preset(tmp_path, uncertainty(tested=True), fitted))
    low, high = np.quantile(loss_of(plan.params, plan.tokens, FLOORS), [0.05, 0.95])
    middle, half = math.sqrt(low * high), math.log(high / low) / 2
    reach = math.hypot(half, Z90 * rms)
    assert reach > 5 * half  # the backtest is most of it
    assert plan.interval.loss == pytest.approx((middle * math.exp(-reach), middle * math.exp(reach)), rel=1e-9)


def test_without_a_backtest_an_interval_of_draws_is_that_of_its_percentiles(tmp_path):
    """As NumPy has them."""
    plan = sp.optimal(flops="1e22", preset=preset(tmp_path, uncertainty(tested=False)))
    expected = np.quantile(loss_of(plan.params, plan.tokens, FLOORS), [0.05, 0.95])
    assert plan.interval.loss == pytest.approx(tuple(expected), rel=1e-12)


@pytest.mark.parametrize(
    "flops, code, side, factor",
    [
        (1e18, "extrapolated_flops", "below the smallest", "100x"),
        (4e19, "extrapolated_flops", "below the smallest", "2.5x"),
        (1e24, "extrapolated_flops", "above the largest", "1,000x"),
        (4e21, "extrapolated_flops", "above the largest", "4.0x"),
    ],
)
def test_a_plan_outside_the_fitted_range_names_the_factor(tmp_path, flops, code, side, factor):
    """A factor above 1 on either side: the end over the value below it, the value over the end above it."""
    path = preset(tmp_path, "[range]\nflops = [1e20, 1e21]")
    (warning,) = (each for each in sp.optimal(flops=flops, preset=path).warnings if each.code == code)
    assert f"is {factor} {side}" in warning.message


def test_each_quantity_is_held_against_its_own_range(tmp_path):
    """A plan of 1B on 20B tokens, with ranges that it leaves by 2, 5 and 4 downwards and 10 upwards."""
    ranges = "params = [2e9, 1e11]\ntokens = [1e11, 1e12]\ntokens_per_param = [80, 90]\nflops = [1e18, 1.2e19]"
    plan = sp.loss(params="1B", tokens="20B", preset=preset(tmp_path, f"[range]\n{ranges}"))
    found = {each.code: each.message for each in plan.warnings}
    assert "is 2.0x below the smallest" in found["extrapolated_params"]
    assert "is 5.0x below the smallest" in found["extrapolated_tokens"]
    assert "is 4.0x below the smallest" in found["extrapolated_tokens_per_param"]
    assert "is 10x above the largest" in found["extrapolated_flops"]  # 6 x 1e9 x 2e10 = 1.2e20
