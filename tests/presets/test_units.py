"""A preset in other units plans as the same law in raw units: coefficients rescaled by hand."""

from __future__ import annotations

import pytest

import scaleplan as sp

FILE = """\
schema = 1
id = "scaled"
title = "A law in other units"
form = "{form}"
source = "made up"
status = "refit"
[coefficients]
{coefficients}
[conventions]
params = "total"
flops = "6ND"
loss = "nats/token"
[units]
{units}
"""


def preset(folder, form, coefficients, units=""):
    """Write a preset file; return its path."""
    path = folder / f"{form}-{len(units)}.toml"
    path.write_text(FILE.format(form=form, coefficients=coefficients, units=units), encoding="utf-8")
    return str(path)


def test_an_allocation_in_exaflop_and_millions(tmp_path):
    """N in millions is 26.1 (C/1e18)^0.49: at 1e22 FLOP 26.1e6 x (1e4)^0.49 parameters."""
    sizes = "params_scale = 26.1\nparams_exponent = 0.49"
    path = preset(tmp_path, "power_allocation", sizes, "params = 1e6\nflops = 1e18")
    plan = sp.optimal(preset=path, flops=1e22)
    assert plan.params == pytest.approx(26.1e6 * 1e4**0.49, abs=0.5)
    assert plan.tokens == pytest.approx(1e22 / 6 / plan.params, abs=0.5)


def test_an_allocation_of_tokens_in_billions(tmp_path):
    """D in billions is 2.2 (C/1e20)^0.53: at 1e24 FLOP 2.2e9 x (1e4)^0.53 tokens."""
    data = "tokens_scale = 2.2\ntokens_exponent = 0.53"
    path = preset(tmp_path, "power_allocation", data, "tokens = 1e9\nflops = 1e20")
    plan = sp.optimal(preset=path, flops=1e24)
    assert plan.tokens == pytest.approx(2.2e9 * 1e4**0.53, rel=1e-9)


def test_an_additive_law_in_millions_and_billions(tmp_path):
    """N/1e6 and D/1e9: the loss of 7B parameters on 1T tokens is that of 7,000 and 1,000."""
    terms = "E = 1.9\nA = 4.0\nB = 1.05\nalpha = 0.35\nbeta = 0.45"
    path = preset(tmp_path, "additive", terms, "params = 1e6\ntokens = 1e9")
    plan = sp.loss(preset=path, params="7B", tokens="1T")
    assert plan.loss == pytest.approx(1.9 + 4.0 * 7000**-0.35 + 1.05 * 1000**-0.45, rel=1e-12)
