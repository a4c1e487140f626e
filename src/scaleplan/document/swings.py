"""The section about sensitivity: what moves the parameters, the loss and the cost, the largest range first."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scaleplan.document.parts import exact_value, table
from scaleplan.markup import Markup, element, joined
from scaleplan.quantities import format_count, format_number, format_usd
from scaleplan.views.plan import format_loss

if TYPE_CHECKING:
    from collections.abc import Callable

    from scaleplan.advice.sensitivity import Case, Swing
    from scaleplan.document.subject import Subject

__all__ = ["sensitivity_tables"]

_WRITTEN: dict[str, tuple[str, Callable[[float], str]]] = {
    "params": ("parameters", format_count),
    "loss": ("loss", format_loss),
    "cost": ("cost", format_usd),
}


def sensitivity_tables(subject: Subject) -> list[Markup]:
    """Return what moves the answer: a sentence, and a table with bars for each quantity that moves."""
    tables, most = [], []
    for quantity in _WRITTEN:
        found = _swing_table(subject, quantity)
        if found is not None:
            tables.append(found)
            most.append(f"the {_WRITTEN[quantity][0]} with {_ranked(subject, quantity)[0].assumption}")
    if not tables:
        return []
    said = f"The plan again, with one assumption changed at a time. What moves most: {'; '.join(most)}."
    return [element("p", said), *tables]


def _ranked(subject: Subject, quantity: str) -> list[Swing]:
    """Return the assumptions that move a quantity, the largest first."""
    moving = (swing for swing in subject.swings if swing.factor(quantity) > 1)
    return sorted(moving, key=lambda swing: -swing.factor(quantity))


def _swing_table(subject: Subject, quantity: str) -> Markup | None:
    """Return how far each assumption moves one quantity, the largest first; None where nothing does."""
    swings = _ranked(subject, quantity)
    if not swings:
        return None
    label, show = _WRITTEN[quantity]
    own = subject.plan.budget.cost if quantity == "cost" else getattr(subject.plan, quantity)
    if own is None:
        return None
    values = [getattr(case, quantity) for swing in swings for case in (swing.low, swing.high)]
    ends = min([own, *values]), max([own, *values])
    rows = [
        (
            joined(swing.assumption, _bar(swing, quantity, own, ends), element("span", swing.why, class_="why")),
            _end(swing.low, quantity, show),
            _end(swing.high, quantity, show),
        )
        for swing in swings
    ]
    return table(
        f"What moves the {label}, {show(own)} as planned",
        ("assumption", "one end", "other end"),
        rows,
        words=frozenset({"one end", "other end"}),
    )


def _end(case: Case, quantity: str, show: Callable[[float], str]) -> Markup:
    value = getattr(case, quantity)
    return joined(exact_value(value, show(value)), element("span", case.assumed, class_="why"))


def _bar(swing: Swing, quantity: str, own: float, ends: tuple[float, float]) -> Markup:
    """Draw the range of a swing on the scale of all of them, with a line at the plan."""

    def place(value: float) -> float:
        return 2 + 196 * math.log(value / ends[0]) / (math.log(ends[1] / ends[0]) or 1.0)

    low, high = sorted((getattr(swing.low, quantity), getattr(swing.high, quantity)))
    return element(
        "svg",
        element("rect", x=place(low), y=3, width=max(place(high) - place(low), 1.0), height=14),
        element("line", x1=place(own), x2=place(own), y1=0, y2=20),
        class_="bar",
        viewBox="0 0 200 20",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"times {format_number(swing.factor(quantity))} from end to end",
    )
