"""The price of an hour on owned hardware: its capital over the hours in which it is used, and its power."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scaleplan.errors import UsageError, quote
from scaleplan.record import Record
from scaleplan.units import (
    DAYS_PER_YEAR,
    USD,
    format_fraction,
    format_number,
    format_plain,
    money_in,
    parse_fraction,
    parse_positive,
    parse_ratio,
    parse_usd,
)
from scaleplan.units.pairs import read_pairs

if TYPE_CHECKING:
    from scaleplan.toml_table import Table
    from scaleplan.units import ExchangeRate

__all__ = ["MOST_YEARS", "OwnedPrice", "Ownership", "owned_price", "owned_text", "ownership_in", "read_owned"]

_EXAMPLE = "price=30k USD, years=4, use=70%, overhead=20%"

HOURS_PER_YEAR = 24.0 * DAYS_PER_YEAR

MOST_YEARS = 50.0  # no device has been used for longer


class Ownership(Record):
    """What an owned GPU costs: its capital, in the currency of the question, and the hours that pay for it.

    ``price`` is that of one GPU with its share of server, network and building, and ``overhead`` what comes on top of
    it over the ``years``, such as staff and maintenance, as a share of it. ``use`` is the share of all hours in which
    the GPU works for somebody. A price of None stands for capital that is paid for already: only power costs.
    """

    price: float | None
    years: float = 1.0
    use: float = 1.0
    overhead: float = 0.0
    power_price: float | None = None
    origin: str = "given"
    date: str = ""

    def at(self, rate: ExchangeRate | None) -> Ownership:
        """Return what is stated in US dollars in the currency of a rate."""
        if rate is None:
            return self
        price, power = (None if each is None else rate.of_usd(each) for each in (self.price, self.power_price))
        return replace(self, price=price, power_price=power)

    @property
    def capital_per_hour(self) -> float:
        """The capital of an hour in which the GPU is used."""
        if self.price is None:
            return 0.0
        return self.price * (1 + self.overhead) / (self.years * HOURS_PER_YEAR * self.use)


class OwnedPrice(Record):
    """The parts of the price of an hour on owned hardware, in the currency of the budget.

    ``capital_per_hour`` is ``price (1 + overhead) / (years * 8766 * use)``, and ``power_per_hour`` the power of a
    chip and its host times the PUE and ``power_price`` per kWh. None where the capital is paid for already, or the
    price of power is not given.
    """

    price: float | None
    years: float | None
    use: float | None
    overhead: float | None
    capital_per_hour: float
    power_price: float | None
    power_per_hour: float | None

    @property
    def per_hour(self) -> float:
        """The price of an hour."""
        return self.capital_per_hour + (self.power_per_hour or 0.0)


def read_owned(text: str, rate: ExchangeRate | None) -> Ownership:
    """Read what a GPU of one's own costs: ``price=30k USD, years=4, use=70%, overhead=20%``, or ``sunk``.

    Raises UsageError for a part that is missing, unknown or out of its domain.
    """
    if text.strip().casefold() == "sunk":
        return Ownership(price=None)
    hint = f"for example '{_EXAMPLE}', or sunk for capital that is paid for already"
    if "=" not in text:
        raise UsageError(f"--owned {quote(text)} does not say what a GPU costs", hint=hint)
    written = read_pairs(text, ("price", "years", "use", "overhead"), noun="part of --owned", example=_EXAMPLE)
    for name in ("price", "years", "use"):
        if name not in written:
            raise UsageError(f"--owned {quote(text)} lacks {name}", hint=hint)
    years = parse_positive(written["years"].removesuffix("years").removesuffix("y").strip())
    if years > MOST_YEARS:
        raise UsageError(f"--owned years={written['years']} is longer than any device is used", hint=hint)
    overhead = written.get("overhead", "0")
    return Ownership(
        price=parse_usd(written["price"], rate),
        years=years,
        use=parse_fraction(written["use"]),
        overhead=0.0 if overhead in {"0", "0%"} else parse_ratio(overhead),
    )


def ownership_in(table: Table) -> Ownership:
    """Return what an ``[[owned]]`` table of a file of prices says; its money is in US dollars."""
    return Ownership(
        price=table.number("price", above=0),
        years=table.number("years", above=0, at_most=MOST_YEARS),
        use=table.number("use", above=0, at_most=1),
        overhead=table.number("overhead", 0.0, at_least=0),
        power_price=table.optional_number("power_price", above=0),
        origin=table.text("source", table.source),
        date=table.text("date", ""),
    )


def owned_price(owned: Ownership, kw: float | None, power_price: float | None) -> OwnedPrice:
    """Return the price of an hour on a GPU that takes ``kw`` from the grid, None where that is not known.

    Raises UsageError for a price of power without a known power, and where nothing costs anything.
    """
    if power_price is not None and kw is None:
        raise UsageError(
            "the power of this accelerator is not known, so a price of power says nothing",
            hint="leave it out, or give tdp_w in an accelerators.toml of your own",
        )
    sunk = owned.price is None
    if sunk and power_price is None:
        raise UsageError("--owned sunk costs its power alone", hint="give --power-price, such as '0.08 USD/kWh'")
    return OwnedPrice(
        price=owned.price,
        years=None if sunk else owned.years,
        use=None if sunk else owned.use,
        overhead=None if sunk else owned.overhead,
        capital_per_hour=owned.capital_per_hour,
        power_price=power_price,
        power_per_hour=None if kw is None or power_price is None else kw * power_price,
    )


def owned_text(found: OwnedPrice, kw: float | None, *, currency: str | None, origin: str, power_origin: str) -> str:
    """Write where the price of an hour comes from: each part, its figures, and who says so."""
    money = money_in(currency)
    if found.price is None:
        text = f"capital paid for already ({origin})"
    else:
        more = f" and {format_fraction(found.overhead)} overhead" if found.overhead else ""
        text = (
            f"{money(found.price)} a GPU{more} over {format_plain(found.years or 0.0)} years at "
            f"{format_fraction(found.use or 0.0)} use is {money(found.capital_per_hour)}/h ({origin})"
        )
    if found.power_per_hour is None or kw is None:
        return f"{text}; power not included"
    drawn = f"{format_number(kw)} kW at {format_plain(found.power_price or 0.0, digits=3)} {currency or USD}/kWh"
    return f"{text}; power of {drawn} is {money(found.power_per_hour)}/h ({power_origin})"
