"""Find the inference demand from which a smaller, longer-trained model pays: plans over demands at one loss."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Unpack

from scaleplan.api import evenly_spaced, target
from scaleplan.errors import UsageError, either
from scaleplan.planning.constraints import home_preset
from scaleplan.planning.context import Context
from scaleplan.planning.plan import Plans
from scaleplan.planning.planner import Planner
from scaleplan.planning.request import Request
from scaleplan.units import format_plain, parse_count, parse_integer

if TYPE_CHECKING:
    from scaleplan.planning.request import LimitedKeywords
    from scaleplan.units import Amount

__all__ = ["break_even"]

_MOST_POINTS = 1000

_DEMANDS = (1e10, 1e14)
"""The range of demands in tokens if none is given: of a model of research, and of a service that everyone uses."""


def break_even(
    *,
    loss: Amount | None = None,
    params: Amount | None = None,
    from_: Amount | None = None,
    to: Amount | None = None,
    points: Amount = 9,
    start: Amount | None = None,
    stop: Amount | None = None,
    **options: Unpack[LimitedKeywords],
) -> Plans:
    """Return the cheapest plan for training and serving at one loss, for demands evenly spaced in the logarithm.

    Each plan's ``training_only`` holds the optimum for training alone, the ratios to it, what the plan saves, and
    the demand from which it does.

    Parameters
    ----------
    loss
        The loss that every plan reaches.
    params
        Instead of it, the size whose training optimum has that loss: as good as a 7B model.
    from_, to
        The smallest and the largest demand, in tokens; 10B and 100T if not given.
    points
        How many demands, at least 2.
    start, stop
        Earlier names of ``from_`` and ``to``.
    options
        As for :func:`scaleplan.target`, without a demand.

    Raises
    ------
    UsageError
        When not exactly one of ``loss`` and ``params`` is given, or the demands are no range.

    """
    if (loss is None) == (params is None):
        raise UsageError(
            "the loss to compare at is missing or given twice", hint="give --loss, or --params for its loss"
        )
    first: Amount | None = either("from_", from_, "start", start)
    last: Amount | None = either("to", to, "stop", stop)
    ends: tuple[Amount, Amount] = (_DEMANDS[0] if first is None else first, _DEMANDS[1] if last is None else last)
    low, high = (parse_count(end, what="tokens", most=math.inf) for end in ends)
    number = int(parse_integer(points))
    if not 1 <= low < high or not 2 <= number <= _MOST_POINTS:
        raise UsageError(
            f"{number:,} demands from {format_plain(low)} to {format_plain(high)} are no range",
            hint="2 to 1000 points, the smaller demand first, of one token or more",
        )
    context = Context()
    if loss is None:
        kept = {name: options.get(name) for name in ("preset", "batch_regime", "count")}
        if kept["preset"] is None:
            kept["preset"] = (home_preset(options) or (None,))[0]
        reference = Planner.of(Request.of(kept, context), context)
        assert params is not None
        loss = reference.target_params(reference.law_params(parse_count(params, what="params"))).loss
        if loss is None:
            raise UsageError("this law has no loss to compare at", hint="choose a preset with a loss")
    demands = evenly_spaced(low, high, number)
    return Plans(
        plans=tuple(target(loss=loss, data=context, **(options | {"inference_tokens": each})) for each in demands)
    )
