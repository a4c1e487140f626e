"""The price of an accelerator-hour: dated prices from ``prices.toml``, or the user's own figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.errors import UnknownNameError, UsageError
from scaleplan.files import read_data
from scaleplan.hardware.owned import owned_price, owned_text, ownership_in

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from scaleplan.hardware.owned import OwnedPrice, Ownership
    from scaleplan.toml_table import Table
    from scaleplan.units import ExchangeRate

__all__ = ["HourlyPrice", "Price", "Prices", "default_prices", "listed_price", "owned_prices"]

_DEFAULT, _GIVEN = "default", "given"


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price of one accelerator for one hour in US dollars, with its provider and date.

    ``commitment`` is ``on-demand``, ``reserved-1y``, ``reserved-3y`` or ``spot``; ``provider_class`` is
    ``hyperscaler``, ``specialist``, ``peer-to-peer``, ``market`` or ``paper``; a default price has
    ``commitment`` "default". ``date`` is as precise as the source.
    """

    accelerator: str
    usd_per_hour: float
    commitment: str
    provider_class: str
    provider: str
    date: str
    confidence: str
    source: str

    @property
    def origin(self) -> str:
        """What kind of price it is, of whom, and who says so."""
        known = (
            self.provider
            if self.provider.startswith(self.provider_class)
            else f"{self.provider_class} {self.provider}"
        )
        whose = "" if self.provider_class == _DEFAULT else f", {known.strip()}"
        return f"{self.commitment}{whose}: {self.source}"


class HourlyPrice(NamedTuple):
    """The price of an accelerator-hour in the currency of the question, where it comes from, and its date.

    ``owned`` are its parts on owned hardware, None for a rented one.
    """

    per_hour: float
    origin: str = _GIVEN
    date: str = ""
    owned: OwnedPrice | None = None

    @classmethod
    def of(cls, price: Price, rate: ExchangeRate | None) -> HourlyPrice:
        """Return a price in US dollars in the currency of a rate."""
        per_hour = price.usd_per_hour if rate is None else rate.of_usd(price.usd_per_hour)
        return cls(per_hour, price.origin, price.date)


class Prices:
    """The prices by accelerator: the bundled ones, and the user's own, which come first."""

    def __init__(self, folders: Iterable[Path] | None = None) -> None:
        self._defaults: dict[str, Price] = {}
        self._listed: list[Price] = []
        self._owned: dict[str, Ownership] = {}
        for top in read_data("prices.toml", folders):
            for table in top.tables("default"):
                for price in default_prices(table):
                    self._defaults[price.accelerator] = price
                    self._owned.pop(price.accelerator, None)
            for table in top.tables("owned"):
                self._owned |= owned_prices(table)
            newer = [listed_price(table) for table in top.tables("price")]
            own = {(price.accelerator, price.commitment) for price in newer}
            self._listed = newer + [p for p in self._listed if (p.accelerator, p.commitment) not in own]
            top.done()

    def default(self, accelerator: str) -> Price | None:
        """Return the default price of an accelerator id; None when there is none, for none is made up."""
        return self._defaults.get(accelerator)

    def owned(self, accelerator: str) -> Ownership | None:
        """Return what an accelerator id of the user's own costs, by a file of theirs; None where none says so."""
        return self._owned.get(accelerator)

    def has_price(self, accelerator: str) -> bool:
        """Whether an accelerator id has a price where a question gives none."""
        return accelerator in self._owned or accelerator in self._defaults

    def usual(self, accelerator: str, kw: float | None) -> Price | None:
        """Return the price where a question gives none: that of owned hardware before the default.

        ``kw`` is the power that the accelerator takes from the grid, None where that is not known.
        """
        owned = self.owned(accelerator)
        if owned is None:
            return self.default(accelerator)
        parts = owned_price(owned, kw, owned.power_price)
        return Price(
            accelerator=accelerator,
            usd_per_hour=parts.per_hour,
            commitment="owned",
            provider_class="",
            provider="",
            date=owned.date,
            confidence="",
            source=owned_text(parts, kw, currency=None, origin=owned.origin, power_origin=owned.origin),
        )

    def listed(self, accelerator: str | None = None) -> tuple[Price, ...]:
        """Return the dated prices of an accelerator id, or of all."""
        return tuple(p for p in self._listed if accelerator is None or p.accelerator == accelerator)

    def named(self, accelerator: str, name: str) -> Price:
        """Return the newest price of an accelerator id that ``name`` describes, of one date the cheapest.

        ``name`` is ``default``, a commitment, a class of providers, or both (``"spot"``, ``"reserved-1y
        hyperscaler"``). Raises UnknownNameError for any other word, and UsageError for an accelerator without such a
        price.
        """
        words = name.casefold().replace(",", " ").split()
        known = sorted({word for p in self._listed for word in (p.commitment, p.provider_class)})
        for word in words or [name]:
            if word not in known and word != _DEFAULT:
                raise UnknownNameError("price", word, [_DEFAULT, *known])
        found = [
            p for p in self.listed(accelerator) if all(word in {p.commitment, p.provider_class} for word in words)
        ]
        if words == [_DEFAULT] and accelerator in self._defaults:
            found = [self._defaults[accelerator]]
        if not found:
            raise UsageError(f"there is no {' '.join(words)} price for {accelerator}", hint=self.hint(accelerator))
        newest = max(p.date for p in found)
        return min((p for p in found if p.date == newest), key=lambda p: p.usd_per_hour)

    def hint(self, accelerator: str) -> str:
        """Return the hint for a missing price: give a figure, or a name that this accelerator has a price by."""
        names = sorted({p.commitment for p in self.listed(accelerator)})
        known = f"; known for {accelerator}: {', '.join(names)}" if names else ""
        return f"give --price in USD per GPU-hour{known}"


def default_prices(table: Table) -> list[Price]:
    """Return the price of each accelerator that a table of defaults names; raises FileError for what is none."""
    found = [_default(table, accelerator) for accelerator in table.texts("accelerators")]
    table.done()
    return found


def _default(table: Table, accelerator: str) -> Price:
    return Price(
        accelerator=accelerator,
        usd_per_hour=table.number("usd_per_hour", above=0),
        commitment=_DEFAULT,
        provider_class=_DEFAULT,
        provider="",
        date=table.text("date"),
        confidence="",
        source=table.text("source"),
    )


def owned_prices(table: Table) -> dict[str, Ownership]:
    """Return what each owned accelerator that a table names costs; raises FileError for what is none."""
    found = dict.fromkeys(table.texts("accelerators"), ownership_in(table))
    table.done()
    return found


def listed_price(table: Table) -> Price:
    """Return a dated price; raises FileError for what is none."""
    price = Price(
        accelerator=table.text("accelerator"),
        usd_per_hour=table.number("usd_per_hour", above=0),
        commitment=table.text("commitment"),
        provider_class=table.text("provider_class"),
        provider=table.text("provider", ""),
        date=table.text("date"),
        confidence=table.text("confidence", ""),
        source=table.text("source"),
    )
    table.done()
    return price
