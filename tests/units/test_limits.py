"""Limits: the grammar, the canonical form, and where an error points."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.errors import QuantityError, UnknownNameError, UsageError
from scaleplan.units import KINDS
from scaleplan.units.limits import QUANTITIES, parse_limit


@pytest.mark.parametrize(
    "text, canonical",
    [
        ("params <= 70B", ["params <= 70B"]),
        ("params<=70e9", ["params <= 70B"]),
        ("params ≤ 70B", ["params <= 70B"]),
        ("70B >= params", ["params <= 70B"]),
        ("tokens_per_param >= 20", ["tokens_per_param >= 20"]),
        ("days <= 2 weeks", ["days <= 14"]),
        ("days <= 30", ["days <= 30"]),
        ("cost <= $250k", ["cost <= 250k USD"]),
        ("flops < 500 PF-days", ["flops < 4.32e22 FLOP"]),
        ("tokens == 1T", ["tokens = 1T"]),
        ("1T = tokens", ["tokens = 1T"]),
        ("1B <= params <= 7B", ["params >= 1B", "params <= 7B"]),
        ("7B ≥ params > 1B", ["params > 1B", "params <= 7B"]),
        ("7B <= params <= 7B", ["params >= 7B", "params <= 7B"]),
        ("loss@90% <= 2.0", ["loss@90% <= 2"]),
        ("loss @ 0.9 <= 2.0", ["loss@90% <= 2"]),
        ("compute_overhead <= 10%", ["compute_overhead <= 0.1"]),
        ("gpus <= 64", ["gpus <= 64"]),
        ("gpu_hours <= 2k GPU-hours", ["gpu_hours <= 2000 h"]),
        ("energy_kwh <= 1 MWh", ["energy_kwh <= 1000 kWh"]),
        ("carbon_kg <= 2 t", ["carbon_kg <= 2000 kg"]),
        ("memory_gb <= 80GB", ["memory_gb <= 80 GB"]),
    ],
)
def test_limits_have_a_canonical_form_that_means_the_same(text, canonical):
    """However it is written, a limit has one text, and that text parses to the same limit."""
    limits = parse_limit(text)
    assert [limit.text for limit in limits] == canonical
    assert [parse_limit(limit.text)[0] for limit in limits] == list(limits)


@pytest.mark.parametrize(
    "text, pointed",
    [
        ("params <= 7x", "x"),
        ("params ≤ 7x", "x"),
        ("1x ≤ params ≤ 7B", "x"),
        ("params <= 70 GB", "GB"),
        ("gpu_hours <= 2k H100-hours", "H100"),
        ("cost <= 5 EUR USD", "EUR"),
        ("cost <= 5€", "€"),
        ("params <= tokens", "tokens"),
        ("params => 3", "=>"),
        ("params != 3", "!="),
        ("params < = 3", "="),
        ("1B <= params >= 3", ">="),
        ("1B = params = 3", "="),
        ("1 <= 2 <= 3", "2"),
        ("params tokens <= 3", "3"),
        ("1 < params < 2 < 3", "<"),
        ("7B <= params <= 1B", "7B <= params <= 1B"),
        ("1 < params < 1", "1 < params < 1"),
        ("loss@90 <= 2", "90"),
        ("loss@1 <= 2", "1"),
        ("loss@ <= 2", "@ "),
        ("params", "params"),
        ("", ""),
    ],
)
def test_an_error_points_at_its_place_in_the_limit(text, pointed):
    """Also behind a range or a ≤, the span is that of the text as written."""
    with pytest.raises(QuantityError) as caught:
        parse_limit(text)
    assert caught.value.text == text
    assert text[slice(*caught.value.span)] == pointed


@pytest.mark.parametrize("text", ["params <= ", "<= 3", "params <=", "=", "@ <= 3", "x" * 10_000, "params <= 1\x00"])
def test_incomplete_limits_are_refused(text):
    """A missing side is an error with a place."""
    with pytest.raises(QuantityError):
        parse_limit(text)


def test_unknown_quantities_suggest_the_closest():
    """The names are the caller's."""
    with pytest.raises(UnknownNameError) as caught:
        parse_limit("parms <= 70B")
    assert caught.value.hint == "did you mean 'params'?"
    assert parse_limit("vram <= 80GB", quantities={"vram": "gigabytes"})[0].value == 80
    with pytest.raises(UnknownNameError):
        parse_limit("params <= 70B", quantities={"vram": "gigabytes"})


def test_every_known_quantity_has_a_kind():
    """The default table names kinds that exist."""
    assert set(QUANTITIES.values()) <= set(KINDS)


@pytest.mark.parametrize(
    "text, kept, broken",
    [
        ("params <= 7B", 7e9 * (1 + 1e-15), 7.001e9),
        ("params >= 7B", 7e9 * (1 - 1e-15), 6.999e9),
        ("params < 7B", 6.999e9, 7e9),
        ("params > 7B", 7.001e9, 7e9),
        ("params = 7B", 7e9 * (1 + 1e-15), 7.001e9),
        ("params <= 7B", 1.0, math.nan),
    ],
)
def test_a_limit_judges_a_value(text, kept, broken):
    """Bounds that include their end allow for rounding, strict ones do not; NaN keeps no limit."""
    (limit,) = parse_limit(text)
    assert limit.holds(kept)
    assert not limit.holds(broken)


def outcome(text):
    """Return the limits, or the error that refuses them."""
    try:
        return parse_limit(text)
    except UsageError as error:
        return error


@given(text=st.text(alphabet="params<=>≤@%70B 1.e", max_size=25) | st.text(max_size=120))
def test_any_text_is_a_limit_or_a_usage_error(text):
    """No input leaves with another exception, and every span lies inside its text."""
    result = outcome(text)
    if isinstance(result, QuantityError):
        start, stop = result.span
        assert 0 <= start <= stop <= max(1, len(result.text))
    else:
        assert isinstance(result, UnknownNameError) or 1 <= len(result) <= 2
