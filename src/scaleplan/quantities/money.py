"""How much money: US dollars, and US dollars per accelerator-hour."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scaleplan.errors import quote
from scaleplan.quantities.amounts import SCALE_WORDS, SCALES, case_hint
from scaleplan.quantities.numeral import checked, convert, refuse, scan, within

if TYPE_CHECKING:
    from typing import SupportsFloat

__all__ = ["parse_usd", "parse_usd_per_hour"]

_BEFORE = r" *(?:US\$|\$|USD(?= |[0-9.]))"
_AFTER = (
    r"(?:(?P<letter>[kKMBT])|(?P<word>(?i:thousand|million|billion|trillion)))?"
    r" ?(?:US\$|\$|(?i:usd|(?:us )?dollars?))?"
)
_OTHER_CURRENCY = r"(?i)eur(?:os?)?|gbp|pounds?|chf|jpy|yen|cny|rmb|inr|cad|aud|sek|nok|dkk|pln|krw|sgd"
_PER_HOUR = r" ?(?:/|per ) ?(?:(?i:gpu|accelerator|device|chip)[- ]?)?(?:h|hr|hour)"


def parse_usd(value: str | SupportsFloat) -> float:
    """Return an amount of US dollars.

    Parameters
    ----------
    value
        ``250k USD``, ``$250k``, ``250,000``, ``1.2M$``, ``$1.5 million``, or a number.

    Raises
    ------
    QuantityError
        For another currency, which must be converted first, and for anything else.

    Examples
    --------
    >>> parse_usd("$250k")
    250000.0

    """
    if not isinstance(value, str):
        return convert(value)
    example = "250k USD"
    checked(value, example=example)
    if other := re.search(_OTHER_CURRENCY, value):
        hint = f"amounts of money are in US dollars: convert first, and write {example}"
        raise refuse(value, f"{quote(value)} is in another currency", span=other.span(), hint=hint)
    before = re.match(_BEFORE, value)
    scanned = scan(value, start=before.end() if before else 0, example=example)
    match = re.fullmatch(_AFTER, scanned.unit)
    if match is None:
        hint = case_hint(scanned, ("k", "M", "B", "T")) or f"for example {example}"
        message = f"{quote(scanned.unit)} in {quote(value)} is not an amount of US dollars"
        raise scanned.refuse_unit(message, hint=hint)
    shift = SCALES[match["letter"]] if match["letter"] else SCALE_WORDS.get((match["word"] or "").casefold(), 0)
    return scanned.value(shift=shift)


def parse_usd_per_hour(value: str | SupportsFloat) -> float:
    """Return a price in US dollars per accelerator-hour: ``2.95``, ``$2.95/h``, ``2.95 USD/GPU-hour``.

    Raises
    ------
    QuantityError
        For a price per anything else, for another currency, and for what is not an amount of money.

    """
    if not isinstance(value, str):
        return convert(value)
    checked(value, example="$2.95/h")
    stop = len(value.rstrip(" "))
    per = re.search(r" ?(?:/|per )", value)
    if per is None:
        return parse_usd(value)
    if re.fullmatch(_PER_HOUR, value[per.start() : stop]) is None:
        hint = "prices are per hour of one accelerator, as in $2.95/h"
        raise refuse(value, f"{quote(value)} is not a price per hour", span=(per.start(), stop), hint=hint)
    return within(value, 0, per.start(), parse_usd)
