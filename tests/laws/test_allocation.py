"""Allocation-only power laws: what the papers say they give."""

from __future__ import annotations

import pytest

from scaleplan.errors import FileError
from scaleplan.laws.allocation import PowerAllocation
from scaleplan.presets.library import Library
from scaleplan.toml_table import Table


def test_llama3s_law_is_one_of_the_tokens():
    """At 3.8e25 FLOP: 16.29T tokens, 1.6 % below the paper's 16.55T (arXiv:2407.21783); 6ND leaves 389B."""
    params, tokens = Library().load("llama3-2024").law.split(3.8e25)
    assert tokens == pytest.approx(16.29e12, rel=1e-3)
    assert params == pytest.approx(389e9, rel=1e-3)


def test_porians_sizes_leave_the_tokens_the_authors_fit():
    """D = 1.401426*C^0.503105 (arXiv:2406.19146) is what 6ND leaves."""
    tokens = Library().load("porian-2024").law.split(1e19)[1]
    assert tokens == pytest.approx(1.401426 * 1e19**0.503105, rel=1e-5)


def test_deepseeks_printed_tokens_overspend_by_their_rounding():
    """0.1715*5.8316 = 1.00012 (arXiv:2401.02954): a plan spends C, the law's own tokens stay available."""
    law = Library().load("deepseek-llm-2024").law
    for flops in (1e18, 1e24):
        assert law.tokens_by_law(flops) / law.split(flops)[1] == pytest.approx(1.00012, abs=1e-5)


def test_hunyuans_two_fits_meet_at_the_budget_of_the_paper():
    """At 3.109e24 FLOP 58.1B on 5.6T (arXiv:2411.02265); at 1e22 its tokens would leave 14 % unspent."""
    preset = Library().load("hunyuan-large-2024")
    params, tokens = preset.law.split(3.109e24)
    assert params == pytest.approx(58.1e9, rel=2e-3)
    assert tokens == pytest.approx(5.6e12, rel=5e-3)
    small, _ = preset.law.split(1e22)
    assert preset.cost.flops(small, preset.law.tokens_by_law(1e22)) / 1e22 == pytest.approx(0.86, abs=0.005)


@pytest.mark.parametrize(
    "data, message",
    [
        ({}, "expected the size, the tokens or both"),
        ({"params_scale": 0.1}, "params_exponent: this key is missing"),
        ({"tokens_exponent": 0.5}, "tokens_scale: this key is missing"),
        ({"params_scale": 0.1, "params_exponent": -0.5}, "expected a finite number above 0"),
        ({"params_scale": 0.1, "params_exponent": 0.5, "param_scale": 1}, "unknown key"),
    ],
)
def test_a_side_needs_its_scale_and_its_exponent(data, message):
    """Half a power law is refused with the missing key."""
    with pytest.raises(FileError, match=message):
        PowerAllocation.from_table(Table(data, source="own.toml"))
