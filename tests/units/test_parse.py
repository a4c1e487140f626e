"""Amounts written by people: what is read, what is refused, and where the caret points."""

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan import units as quantities
from scaleplan.errors import QuantityError, UnknownNameError
from scaleplan.units import KINDS


def refused(parser, value, **options):
    """Return the error a parser raises for a value."""
    with pytest.raises(QuantityError) as caught:
        parser(value, **options)
    return caught.value


@pytest.mark.parametrize(
    "text, flops",
    [
        ("1e21", 1e21),
        (" 1E21 ", 1e21),
        ("3.2 ZFLOP", 3.2e21),
        ("3.2ZFLOPs", 3.2e21),
        ("1 EF", 1e18),
        ("5 kFLOP", 5e3),
        ("2 RFLOP", 2e27),
        ("1e21 flops", 1e21),
        ("1 petaflop", 1e15),
        ("2 trillion FLOPs", 2e12),
        ("1 PF-day", 8.64e19),  # 1e15 FLOP/s * 86,400 s
        ("500 PF-days", 4.32e22),
        ("500 PFLOP/s-days", 4.32e22),
        ("500 petaflop/s-days", 4.32e22),
        ("0.5 EF-days", 4.32e22),
        ("1000 TF-days", 8.64e19),
        ("24 PF-hours", 8.64e19),
        ("86400 PFLOPS-seconds", 8.64e19),
        ("1_000", 1000),
        ("1,000.5", 1000.5),
        (".5", 0.5),
        ("2.5e3", 2500),
        ("1e+3", 1000),
        ("10^21", 1e21),
        ("10**21", 1e21),
        ("3 x 10^21", 3e21),
        ("3.2×10^21 FLOP", 3.2e21),
    ],
)
def test_compute_is_read_in_every_form(text, flops):
    """FLOP with prefixes, rates times a time, and plain numbers give FLOP."""
    assert quantities.parse_flops(text) == pytest.approx(flops, rel=1e-15)


@pytest.mark.parametrize(
    "text, pointed, hint",
    [
        ("1e21 FLOPS", "FLOPS", "1e21 FLOP for an amount"),
        ("1e21 FLOP/s", "FLOP/s", "PFLOP/s-days"),
        ("2 PFLOPS", "PFLOPS", "2 PFLOP"),
        ("2 petaflops", "petaflops", "2 petaflop"),
        ("1E", "E", "1 EFLOP"),
        ("1 E", "E", "1 EFLOP"),
        ("70B", "B", "70 GFLOP"),
        ("3.2Z", "Z", "3.2 ZFLOP"),
        ("3 zflop", "zflop", "upper and lower case matter"),
        ("3 F", "F", "for example"),
        ("2k H100-hours", "k H100-hours", "utilisation"),
        ("250k USD", "k USD", "price"),
        ("10^400", "10^400", "1e308"),
        ("10^21^2", "^", "with an e"),
        ("2^70", "^", "with an e"),
        ("1,5", ",", "1.5"),
        ("1,00", ",", "1.00"),
        ("0,125", ",", "0.125"),
        ("1.000.000", ".", "1,000,000"),
        ("1.000,5", ",", "1000.5"),
        ("1__0", "_", "groups of three"),
        ("1e21.5", ".", None),
        ("1e", "e", "1e21"),
        ("1e400", "1e400", "1e308"),
        ("1e-400", "1e-400", "1e-308"),
        ("-1", "-", "no sign"),
        ("+1", "+", "no sign"),
        ("0", "0", None),
        ("nan", "nan", "1e21"),
        ("-inf", "-inf", "1e21"),
        ("many", "many", "1e21"),
        ("\u0661e21", "\u0661", "plain text"),
        ("1e21\n", "\n", "plain space"),
        ("1\x00", "\x00", "plain text"),
        ("1\u00a0000", "\u00a0", "plain space"),
        ("3×10", "×", "1e21"),
        ("−1", "−", "above 0"),
        ("5€", "€", "250k EUR"),
        ("", "", "1e21"),
        ("   ", "   ", "1e21"),
    ],
)
def test_what_is_not_compute_is_refused_at_the_place(text, pointed, hint):
    """The span covers the offending characters, and the hint says what to write."""
    error = refused(quantities.parse_flops, text)
    assert text[slice(*error.span)] == pointed
    assert hint is None or hint in error.hint
    assert error.text == text


def test_the_caret_stands_under_the_wrong_character():
    """A person sees the text and a marker below."""
    assert refused(quantities.parse_flops, "1e21 FLOPS").caret() == "1e21 FLOPS\n     ^^^^^"


@pytest.mark.parametrize("start, repeated", [("", "9"), ("1e", "9"), ("", "1_"), ("", " "), ("", "\x00"), ("1", "d")])
@pytest.mark.parametrize("kind", KINDS)
def test_enormous_text_is_refused_without_being_read(kind, start, repeated):
    """The length alone refuses it."""
    text = start + repeated * 10**6
    error = refused(KINDS[kind], text)
    assert "too long" in error.message
    assert len(error.message) < 200


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "value",
    [True, math.nan, math.inf, -math.inf, 0, 0.0, -1, pytest.param(10**5000, id="huge"), None, [1.0], np.True_],
)
def test_numbers_that_are_no_amounts_are_refused(kind, value):
    """Booleans, NaN, infinities, zero, negative and non-numbers are refused by every parser."""
    with pytest.raises(QuantityError):
        quantities.parse(kind, value)


@pytest.mark.parametrize("value", [3, 3.0, np.float64(3), np.float32(3), np.int64(3)])
def test_numbers_are_taken_as_they_are(value):
    """Python and NumPy scalars are amounts in the base unit."""
    for kind in set(KINDS) - {"fraction"}:
        parsed = quantities.parse(kind, value)
        assert parsed == 3
        assert type(parsed) is (int if kind == "integer" else float)


def test_other_number_types_are_refused_rather_than_guessed():
    """A Decimal is neither text nor a float."""
    assert "Decimal" in refused(quantities.parse_flops, Decimal(3)).message


@pytest.mark.parametrize(
    "text, count",
    [
        ("70B", 70e9),
        ("2.78B", 2.78e9),
        ("517k", 517e3),
        ("517K", 517e3),
        ("7G", 7e9),
        ("1.5 billion", 1.5e9),
        ("1.5 Billion params", 1.5e9),
        ("7B parameters", 7e9),
        ("7_000_000", 7e6),
        ("1 param", 1),
    ],
)
def test_counts_are_read_exactly(text, count):
    """A suffix shifts the decimal exponent, so that no digit is lost."""
    assert quantities.parse_count(text) == count


def test_the_unit_of_the_other_count_is_refused():
    """Tokens are not parameters."""
    assert quantities.parse_count("1.4T tokens", what="tokens") == 1.4e12
    assert "tokens where parameters" in refused(quantities.parse_count, "1.4T tokens").message
    assert "params where tokens" in refused(quantities.parse_count, "7B params", what="tokens").message


@pytest.mark.parametrize(
    "kind, text, value",
    [
        ("params", "7b", 7e9),
        ("params", "7bn", 7e9),
        ("params", "1.3 bn", 1.3e9),
        ("params", "70m", 70e6),
        ("params", "1.4t", 1.4e12),
        ("params", "10^9", 1e9),
        ("tokens", "300b tokens", 300e9),
        ("tokens", "2 trillion", 2e12),
        ("tokens", "2t tokens", 2e12),
        ("tokens", "1.5*10^12", 1.5e12),
        ("usd", "$1.2m", 1.2e6),
        ("usd", "2bn USD", 2e9),
        ("hours", "2bn GPU-hours", 2e9),
        ("gigabytes", "80gb", 80),
        ("gigabytes", "80 gib", 80 * 2**30 / 1e9),
    ],
)
def test_small_and_spoken_forms_are_read(kind, text, value):
    """A form with one reading is read, whatever its case."""
    assert quantities.parse(kind, text) == value


@pytest.mark.parametrize(
    "kind, text, hint",
    [
        ("params", "70 GB", "70B"),
        ("tokens", "2t", "2T or 2 tokens?"),
        ("gigabytes", "80B", "80 GB, or 80 bytes?"),
        ("gigabytes", "80b", "80 GB"),
        ("seconds", "30m", "30min or 30mo"),
    ],
)
def test_small_forms_of_two_readings_are_refused(kind, text, hint):
    """Tokens or trillions, bytes or billions, minutes or months."""
    assert hint in refused(KINDS[kind], text).hint


@pytest.mark.parametrize(
    "kind, text, hint",
    [
        ("tokens", "5e12T", "5T or 5e12?"),
        ("params", "7e9B", "7B or 7e9?"),
        ("params", "1e3k", "1k or 1e3?"),
        ("params", "10^9B", "1B or 1e9?"),
        ("tokens", "1.5e3 B tokens", "1.5B, 1.5e3 or 1.5e12?"),
        ("tokens", "2e12 trillion tokens", "2 trillion or 2e12?"),
        ("tokens", "1e0b", "1b, 1e0 or 1e9?"),
        ("flops", "1e3 billion FLOP", "1 billion, 1e3 or 1e12?"),
        ("usd", "$1e3k", "1k or 1e3?"),
        ("usd_per_hour", "1e0k USD/h", "1k, 1e0 or 1e3?"),
        ("hours", "1e6M GPU-hours", "1M or 1e6?"),
        ("integer", "1e3k", "1k or 1e3?"),
    ],
)
def test_a_power_of_ten_and_a_suffix_are_two_readings(kind, text, hint):
    """One of the two is a mistake, and which one decides over a million million times the amount."""
    error = refused(KINDS[kind], text)
    assert error.hint == hint
    assert "has both a power of ten and the suffix" in error.message


@given(
    digits=st.integers(min_value=1, max_value=999),
    mark=st.sampled_from(["e", "E", "e+"]),
    exponent=st.integers(min_value=0, max_value=15),
    suffix=st.sampled_from(["k", "K", " m", "M", " b", "B", "G", "T", "bn", " thousand", "million", "trillion"]),
    kind=st.sampled_from(["params", "tokens"]),
)
def test_no_amount_has_both(digits, mark, exponent, suffix, kind):
    """However it is written; each alone is an amount."""
    refused(KINDS[kind], f"{digits}{mark}{exponent}{suffix}")
    assert quantities.parse("number", f"{digits}{mark}{exponent}") == pytest.approx(digits * 10.0**exponent)
    assert quantities.parse(kind, f"{digits}{suffix}") >= 1e3


@pytest.mark.parametrize("value", ["1.01e16", "5e22", 5e22, "20000T", np.float64(1e17), 10**17])
@pytest.mark.parametrize("kind", ["params", "tokens"])
def test_counts_beyond_any_run_are_refused(kind, value):
    """A count above 1e16 is a suffix too many; at 1e16 it may still be meant."""
    assert "than any run has" in refused(KINDS[kind], value).message
    assert quantities.parse(kind, 1e16) == quantities.MOST_COUNT


@pytest.mark.parametrize("text, number", [("1,024", 1024), ("1e3", 1000), ("2k", 2000), ("512 GPUs", 512)])
def test_whole_numbers(text, number):
    """Devices are counted in whole numbers."""
    assert quantities.parse_integer(text) == number


@pytest.mark.parametrize("value", ["2.5", 2.5, "0.5", "1e30", "64x", 1e300])
def test_fractions_of_a_device_are_refused(value):
    """A whole number is neither a fraction nor beyond 2**53."""
    refused(quantities.parse_integer, value)


@pytest.mark.parametrize(
    "text, hours, accelerator",
    [
        ("2k H100-hours", 2000, "H100"),
        ("2kH100-hours", 2000, "H100"),
        ("10k GPU-hours", 10_000, None),
        ("10k GPUh", 10_000, None),
        ("10kGPUh", 10_000, None),
        ("5000 h", 5000, None),
        ("5000", 5000, None),
        ("2k", 2000, None),
        ("1.5 million GPU hours", 1.5e6, None),
        ("2 T4-hours", 2, "T4"),
        ("4 B200h", 4, "B200"),
        ("4 h100-sxm hours", 4, "h100-sxm"),
        ("100 A100-days", 2400, "A100"),
    ],
)
def test_accelerator_hours_name_their_accelerator(text, hours, accelerator):
    """The hours, and the accelerator when one is named; T4 is a device, not a trillion."""
    assert quantities.parse_hours(text) == (hours, accelerator)


@pytest.mark.parametrize("text", ["3 days", "2k H100", "7 bananas", "4 grid", "h", "1e400 h"])
def test_what_is_not_accelerator_hours_is_refused(text):
    """Days of an unknown number of devices, a device without a time, and other units."""
    refused(quantities.parse_hours, text)


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("30d", 2_592_000),
        ("2 weeks", 1_209_600),
        ("36h", 129_600),
        ("90 min", 5400),
        ("1.5 months", 1.5 * 30.4375 * 86400),
        ("1y", 365.25 * 86400),
        ("1d12h", 129_600),
        ("1 day 12 hours", 129_600),
        ("5s", 5),
    ],
)
def test_times_are_read_with_their_units(text, seconds):
    """A month is 30.4375 days, a year 365.25."""
    assert quantities.parse_seconds(text) == seconds


@pytest.mark.parametrize(
    "text, pointed, hint",
    [
        ("30", "30", "30d or 30h?"),
        ("1d12", "12", "12d or 12h?"),
        ("5m", "m", "5min or 5mo"),
        ("12h1d", "d", "largest first"),
        ("1d 1d", "d", "once"),
        ("3 fortnights", "fortnights", "30d"),
        ("1d-12h", "-", "no sign"),
        ("10:30", ":30", "1d12h"),
    ],
)
def test_times_without_a_clear_unit_are_refused(text, pointed, hint):
    """No unit, an ambiguous one, or one out of order."""
    error = refused(quantities.parse_seconds, text)
    assert text[slice(*error.span)] == pointed
    assert hint in error.hint


def test_times_too_long_to_add_up_are_refused():
    """A sum beyond the largest float is not an amount."""
    assert refused(quantities.parse_seconds, "1e303h 1.79e308s").text == "1e303h 1.79e308s"


def test_days_may_leave_out_the_unit():
    """Where the name says days, a plain number is days."""
    assert [quantities.parse_days(text) for text in ("30", "30d", "2 weeks", "36h")] == [30, 30, 14, 1.5]


@pytest.mark.parametrize(
    "text, usd",
    [
        ("250k USD", 250e3),
        ("$250k", 250e3),
        ("250,000", 250e3),
        ("1.2M$", 1.2e6),
        ("USD 250k", 250e3),
        ("US$5", 5),
        ("$1.5 million", 1.5e6),
        ("2 kUSD", 2e3),
        ("40 dollars", 40),
    ],
)
def test_money_is_us_dollars(text, usd):
    """The currency may stand before or after, or be left out."""
    assert quantities.parse_usd(text) == usd


@pytest.mark.parametrize("text", ["250k EUR", "€250k", "EUR 5", "5 pounds", "100 kCHF"])
def test_other_currencies_ask_for_a_rate(text):
    """There is no exchange rate that would not be out of date; a symbol is written as its code."""
    hint = refused(quantities.parse_usd, text).hint
    assert "--exchange-rate" in hint or "250k EUR" in hint


EURO = quantities.ExchangeRate("EUR", 1.08)


@pytest.mark.parametrize("text", ["1 EUR = 1.08 USD", "$1.08 = 1 euro", "100 EUR = 108 USD", "EUR 1 = USD 1.08"])
def test_an_exchange_rate_is_an_equation_of_two_currencies(text):
    """In either direction, of any amounts."""
    assert quantities.parse_exchange_rate(text) == pytest.approx(EURO)


@pytest.mark.parametrize(
    "text",
    ["1.08", "1 EUR", "1 EUR = 1.08", "1 EUR = 0.86 GBP", "1 USD = 1 USD", "1 EUR = 1 EUR", "=", "1 EUR = 0 USD"],
)
def test_what_is_no_exchange_rate_is_refused(text):
    """It takes US dollars on one side and another currency on the other."""
    assert refused(quantities.parse_exchange_rate, text).text == text


@pytest.mark.parametrize(
    "text, euros",
    [("250k EUR", 250e3), ("EUR 250k", 250e3), ("1.5 million euros", 1.5e6), ("$108", 100), ("5.4 USD", 5)],
)
def test_beside_a_rate_money_is_in_its_currency(text, euros):
    """Dollars are divided by the rate, once."""
    assert quantities.parse_usd(text, EURO) == pytest.approx(euros, rel=1e-15)
    assert quantities.parse_usd_per_hour(f"{text}/h", EURO) == pytest.approx(euros, rel=1e-15)
    assert quantities.parse_usd_per_kwh(f"{text}/kWh", EURO) == pytest.approx(euros, rel=1e-15)


@pytest.mark.parametrize("text", ["250k", 250e3, "250 GBP", "$250 EUR"])
def test_beside_a_rate_money_names_its_currency(text):
    """A bare amount could be either, a third currency has no rate, and two are a contradiction."""
    refused(quantities.parse_usd, text, rate=EURO)


@pytest.mark.parametrize("text", ["2.95", "$2.95", "$2.95/h", "2.95 USD/h", "$2.95/GPU-hour", "2.95 $ per hour"])
def test_prices_are_per_hour(text):
    """The hour may be left out."""
    assert quantities.parse_usd_per_hour(text) == 2.95


@pytest.mark.parametrize("text, pointed", [("$2.95/day", "/day"), ("$2,95/h", ","), ("x/h", "x"), ("2 EUR/h", "EUR")])
def test_other_prices_are_refused_at_the_place(text, pointed):
    """The caret points into the price as written."""
    error = refused(quantities.parse_usd_per_hour, text)
    assert error.text[slice(*error.span)] == pointed


def test_fractions_and_percentages():
    """0.4 and 40% are the same; 40 is a question."""
    assert (
        quantities.parse_fraction("0.4")
        == quantities.parse_fraction("40%")
        == quantities.parse_fraction("40 %")
        == 0.4
    )
    assert quantities.parse_ratio("250%") == 2.5
    for value in ("40", 40):
        assert refused(quantities.parse_fraction, value).hint == "40% or 0.4?"
    refused(quantities.parse_fraction, "140%")
    refused(quantities.parse_positive, "40%")


@pytest.mark.parametrize(
    "kind, text, value",
    [
        ("kwh", "800", 800),
        ("kwh", "1.001 MWh", 1001),
        ("kwh", "2 GWh", 2e6),
        ("kilograms", "1.2 t", 1200),
        ("kilograms", "3 tCO2e", 3000),
        ("kilograms", "3 kg CO2", 3),
        ("gigabytes", "80GB", 80),
        ("gigabytes", "80 GiB", 80 * 2**30 / 1e9),
        ("gigabytes", "1.5TB", 1500),
        ("number", "2.306", 2.306),
    ],
)
def test_energy_mass_memory_and_loss(kind, text, value):
    """Each in its base unit; GB and GiB differ by 7 %."""
    assert quantities.parse(kind, text) == value


@pytest.mark.parametrize(
    "kind, text",
    [
        ("kwh", "3 kW"),
        ("kwh", "3 kwh"),
        ("kilograms", "3 lb"),
        ("gigabytes", "80Gb"),
        ("gigabytes", "80G"),
        ("gigabytes", "80b"),
        ("hours", "2 H100-hours"),
    ],
)
def test_wrong_units_are_refused(kind, text):
    """A power is not an energy, bits are not bytes, and a bound on hours names no accelerator."""
    refused(KINDS[kind], text)


def test_an_unknown_kind_is_named():
    """A table of a caller cannot invent kinds."""
    with pytest.raises(UnknownNameError, match="parms"):
        quantities.parse("parms", 1)
    with pytest.raises(UnknownNameError, match="parms"):
        quantities.exact("parms", 1)


def outcome(kind, text):
    """Return the amount, or the error that refuses it."""
    try:
        return quantities.parse(kind, text)
    except QuantityError as error:
        return error


ALMOST_AMOUNTS = st.from_regex(r"[0-9.,_eE+-]{1,12} ?[kKMBGTPEZFLOPsdayhour$/%-]{0,8}", fullmatch=True)


@given(text=st.text(max_size=120) | ALMOST_AMOUNTS, kind=st.sampled_from(sorted(KINDS)))
def test_any_text_is_an_amount_or_a_quantity_error(text, kind):
    """No input leaves with another exception, and every span lies inside its text."""
    result = outcome(kind, text)
    if isinstance(result, QuantityError):
        start, stop = result.span
        assert 0 <= start <= stop <= len(result.text)
    else:
        assert 0 < result < math.inf
