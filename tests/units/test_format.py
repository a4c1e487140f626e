"""Amounts written for people and for machines read back as what they were."""

import math

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from scaleplan import units as q
from scaleplan.errors import QuantityError

ANY = st.floats(min_value=5e-324, max_value=1.7e308)
SENSIBLE = st.floats(min_value=1e-9, max_value=1e40)


@given(kind=st.sampled_from(sorted(set(q.KINDS) - {"fraction", "integer"})), value=ANY)
@example(kind="params", value=2.78e9)
@example(kind="usd", value=999999999999999.9)
def test_exact_text_reads_back_as_the_same_float(kind, value):
    """Not one bit is lost, for any positive float; counts end where no run reaches."""
    assume(kind not in ("params", "tokens") or value <= q.MOST_COUNT)
    assert q.parse(kind, q.exact(kind, value)) == value


@given(value=st.floats(min_value=5e-324, max_value=1))
def test_exact_fractions_read_back(value):
    """Fractions end at 1."""
    assert q.parse("fraction", q.exact("fraction", value)) == value


@given(value=st.integers(min_value=1, max_value=2**53))
def test_exact_integers_read_back(value):
    """Whole numbers end at 2**53."""
    assert q.parse("integer", q.exact("integer", value)) == value


@pytest.mark.parametrize(
    "kind, value, text",
    [
        ("params", 70e9, "70B"),
        ("params", 2.78e9, "2.78B"),
        ("tokens", 123456789.0, "123456789"),
        ("params", 1e20, "1e20"),
        ("flops", 1e21, "1e21 FLOP"),
        ("usd", 250e3, "250k USD"),
        ("usd_per_hour", 2.95, "2.95 USD/h"),
        ("seconds", 129600, "129600 s"),
        ("days", 30, "30"),
        ("number", 0.1 + 0.2, "0.30000000000000004"),
        ("fraction", 0.4, "0.4"),
        ("gigabytes", 80, "80 GB"),
    ],
)
def test_exact_text_is_short(kind, value, text):
    """The form a person would choose, when it loses nothing."""
    assert q.exact(kind, value) == text


def test_exact_refuses_what_no_parser_reads():
    """There is no text for NaN."""
    with pytest.raises(QuantityError):
        q.exact("flops", math.nan)


WRITERS = [
    (q.format_number, q.parse_positive),
    (q.format_count, lambda text: q.parse_count(text, most=math.inf)),
    (q.format_flops, q.parse_flops),
    (q.format_pf_days, q.parse_flops),
    (q.format_seconds, q.parse_seconds),
    (q.format_hours, lambda text: q.parse_hours(text)[0]),
    (lambda value: q.format_hours(value, unit="GPU-hours"), lambda text: q.parse_hours(text)[0]),
    (q.format_usd, q.parse_usd),
    (q.format_usd_per_hour, q.parse_usd_per_hour),
    (q.format_fraction, q.parse_ratio),
    (q.format_kwh, q.parse_kwh),
    (q.format_kilograms, q.parse_kilograms),
    (q.format_gigabytes, q.parse_gigabytes),
]


@pytest.mark.parametrize("write, read", WRITERS)
@given(value=SENSIBLE)
@example(value=999.5e6)
@example(value=999_999.0)
@example(value=86_399.99)
@example(value=0.00009995)
def test_human_text_reads_back_to_three_digits(write, read, value):
    """Three significant digits are within 0.5 %; the margin is for the rounding of the unit's factor."""
    assert read(write(value)) == pytest.approx(value, rel=0.005 + 1e-12)


@pytest.mark.parametrize(
    "write, value, text",
    [
        (q.format_count, 2.78e9, "2.78B"),
        (q.format_count, 60e9, "60.0B"),
        (q.format_count, 517e3, "517k"),
        (q.format_count, 1.4e12, "1.40T"),
        (q.format_count, 999.6e6, "1.00B"),
        (q.format_flops, 1e21, "1e21 FLOP"),
        (q.format_flops, 3.168e23, "3.17e23 FLOP"),
        (q.format_flops, 0, "0 FLOP"),
        (q.format_pf_days, 1e21, "11.6 PF-days"),
        (q.format_seconds, 30 * 86400, "30.0 days"),
        (q.format_seconds, 3.2 * 3600, "3.20 hours"),
        (q.format_seconds, 300, "5.00 minutes"),
        (q.format_seconds, 90, "90.0 seconds"),
        (q.format_seconds, 3 * 365.25 * 86400, "3.00 years"),
        (q.format_usd, 1.23e6, "$1.23M"),
        (q.format_usd, 2950, "$2,950"),
        (q.format_usd_per_hour, 2.95, "$2.95/h"),
        (q.format_hours, 12345, "12,300 h"),
        (q.format_fraction, 0.4, "40 %"),
        (q.format_fraction, 0.385, "38.5 %"),
        (q.format_kwh, 1234, "1.23 MWh"),
        (q.format_kilograms, 500, "500 kg"),
        (q.format_gigabytes, 80, "80.0 GB"),
        (q.format_number, 21.62, "21.6"),
        (q.format_number, -5.2, "-5.20"),
        (q.format_number, 0, "0"),
        (q.format_number, math.inf, "inf"),
        (q.format_count, 0, "0"),
    ],
)
def test_human_text(write, value, text):
    """The forms that tables and summaries show."""
    assert write(value) == text


def test_more_digits_on_request():
    """A loss is read to four digits."""
    assert q.format_number(2.30649, digits=4) == "2.306"


@pytest.mark.parametrize("value, text", [(2.5, "2.50"), (250e3, "250,000"), (1.23e6, "1.23M"), (0.0982, "0.0982")])
def test_money_is_written_alike_in_any_currency(value, text):
    """The sign of dollars before, the code of another currency behind."""
    assert q.money_in("EUR")(value) == f"{text} EUR"
    assert q.money_in("USD")(value) == q.money_in(None)(value) == f"${text}"
