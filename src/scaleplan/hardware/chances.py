"""The chance that a run keeps its limits on hours, days, money and energy, by the band of its utilisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.record import Record
from scaleplan.units import SECONDS_PER_DAY, format_hours, format_kwh, format_seconds, money_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from scaleplan.hardware.budget import Budget
    from scaleplan.units.limits import Limit

__all__ = ["UNCERTAIN", "LimitChance", "chance_text", "chances_of", "limit_chance", "limit_text", "percent"]

UNCERTAIN = ("gpu_hours", "days", "cost", "energy_kwh")
"""The quantities of a budget that scatter with the utilisation."""


class LimitChance(Record):
    """The probability that a quantity keeps its limits; ``most`` is the amount where that is an upper limit alone.

    ``currency`` is that of an amount of money, None of others.
    """

    limit: str
    chance: float
    most: float | None = None
    currency: str | None = None


def limit_chance(budget: Budget, value: float | None, limits: Iterable[Limit]) -> float | None:
    """Return the probability that a quantity, whose estimate is ``value``, keeps all of some limits on it.

    It scatters with the hours of ``budget``. None without a band, and for an equality.
    """
    low, high = 0.0, 1.0
    for limit in limits:
        below = budget.chance_below(limit.value / value) if value else None
        if below is None or limit.op == "=":
            return None
        if limit.op[0] == "<":
            high = min(high, below)
        else:
            low = max(low, below)
    return max(0.0, high - low)


def chances_of(budget: Budget, limits: Iterable[Limit]) -> dict[str, LimitChance]:
    """Return the chance of each quantity of a budget that has limits, by its name."""
    by_name: dict[str, list[Limit]] = {}
    for limit in limits:
        if limit.quantity in UNCERTAIN:
            by_name.setdefault(limit.quantity, []).append(limit)
    found: dict[str, LimitChance] = {}
    for name, several in by_name.items():
        chance = limit_chance(budget, getattr(budget, name), several)
        if chance is not None:
            upper = all(limit.op[0] == "<" for limit in several)
            found[name] = LimitChance(
                limit=" and ".join(dict.fromkeys(limit.text for limit in several)),
                chance=chance,
                most=min(limit.value for limit in several) if upper else None,
                currency=budget.currency if name == "cost" else None,
            )
    return found


_WRITERS: Mapping[str, Callable[[float], str]] = {
    "gpu_hours": lambda value: format_hours(value, unit="GPU-hours"),
    "days": lambda value: format_seconds(value * SECONDS_PER_DAY),
    "energy_kwh": format_kwh,
}


def limit_text(name: str, chance: LimitChance) -> str:
    """Write what a quantity is to keep: ``30.0 days``; limits that are more than the most as they are."""
    if chance.most is None:
        return chance.limit
    return money_in(chance.currency)(chance.most) if name == "cost" else _WRITERS[name](chance.most)


def chance_text(chances: Mapping[str, LimitChance]) -> str | None:
    """Return the line that tells the chances: ``chance of keeping 30.0 days: 61 %``; None where there is none."""
    parts = [f"{limit_text(name, each)}: {percent(each.chance)}" for name, each in chances.items()]
    return f"chance of keeping {', '.join(parts)}" if parts else None


def percent(chance: float) -> str:
    """Write a probability in whole percent, of which the ends are not certain."""
    whole = round(100 * chance)
    return "< 1 %" if whole < 1 else "> 99 %" if whole > 99 else f"{whole} %"
