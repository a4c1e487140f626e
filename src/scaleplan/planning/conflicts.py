"""Find the limits that shape a plan and the cost of each, or those that conflict where they leave no plan."""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING

from scaleplan.errors import UnreachableError
from scaleplan.planning.problem import EDGE, UNLIMITED_FLOPS
from scaleplan.planning.solver import least_budget, solve
from scaleplan.record import Record
from scaleplan.units import format_flops

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scaleplan.planning.frontier import Frontier
    from scaleplan.planning.problem import Bound, Bounds, Problem

__all__ = ["BindingLimit", "binding_limits", "conflict"]

_TOUCH = 1e-9

_NOTHING = 1e-12  # of the loss: rounding of the solver, and no cost


class BindingLimit(Record):
    """A limit that shapes a plan, against the best plan of the same budget without that one limit.

    ``excess_loss`` is what it adds to the loss, ``compute_overhead`` what the plan spends over the least that
    reaches its loss without the limit, minus 1. None for a law that has no loss.
    """

    limit: str
    quantity: str
    excess_loss: float | None
    compute_overhead: float | None


def binding_limits(
    build: Callable[[Bounds], Problem], bounds: Bounds, flops: float, split: tuple[float, float]
) -> tuple[BindingLimit, ...]:
    """Return the limits that the best plan touches and that cost something.

    Parameters
    ----------
    build
        The problem within some bounds.
    bounds
        The limits of the plan.
    flops
        The whole budget, in FLOP.
    split
        The best (params, tokens) within all limits.

    """
    problem = build(bounds)
    loss, used = problem.reducible(*split), problem.cost.flops(*split)
    found = []
    for part in bounds.parts:
        if not _touches(part, problem, split):
            continue
        relaxed = bounds.without(part)
        freer = build(relaxed)
        gain = loss - freer.reducible(*solve(freer, min(flops, relaxed.total.high)))
        if gain <= _NOTHING * loss:
            continue
        needed = least_budget(freer, problem.surface.floor + loss)
        found.append(
            BindingLimit(
                limit=part.text,
                quantity=part.quantity,
                excess_loss=gain,
                compute_overhead=None if needed is None else max(0.0, used / needed - 1),
            )
        )
    return tuple(found)


def _touches(part: Bound, problem: Problem, split: tuple[float, float]) -> bool:
    params, tokens = split
    value = {
        "params": params,
        "tokens": tokens,
        "tokens_per_param": tokens / params,
        "flops": problem.cost.training.flops(params, tokens),
        "total": problem.cost.flops(params, tokens),
    }.get(part.name)
    if value is None:
        return False
    return any(abs(value - edge) <= _TOUCH * edge for edge in (part.span.low, part.span.high))


def conflict(
    build: Callable[[Bounds], Frontier], bounds: Bounds, flops: float, *, is_plausible: Callable[[float, float], bool]
) -> UnreachableError:
    """Return the error that names the smallest set of limits that conflict, and the least budget that would do.

    Every set is tried, smallest first: in (ln N, ln D) the limits are convex, so three at most conflict (Helly).
    A budget whose best (params, tokens) are not plausible is not named.
    """
    names: list[Bound | None] = [None, *bounds.parts]  # None is the budget
    for size in range(1, len(names) + 1):
        for chosen in combinations(names, size):
            if _possible(build, bounds, chosen, flops):
                continue
            frontier = build(bounds)
            least = least_budget_within(frontier, bounds)
            if None not in chosen:
                hint = "no budget helps: relax one of them"
            elif least is None or not is_plausible(*frontier.best(_rounded_up(least))[:2]):
                hint = "relax one of them; no budget satisfies all limits"
            else:
                hint = f"the least budget that would do is {format_flops(_rounded_up(least), digits=_DIGITS)}"
                if len(chosen) > 1:
                    hint += "; or relax one of them"
            return UnreachableError(_sentence(chosen, flops), hint=hint)
    return UnreachableError("no model satisfies the limits within this budget", hint="raise the budget")


_DIGITS = 6  # of a least budget, which still does when it is typed


def _rounded_up(flops: float) -> float:
    step = 10.0 ** (math.floor(math.log10(flops)) + 1 - _DIGITS)
    return math.ceil(flops * (1 - 4 * EDGE) / step) * step  # what is less by rounding alone still does


def least_budget_within(frontier: Frontier, bounds: Bounds) -> float | None:
    """Return the least budget in FLOP with which all limits can hold; None where no budget does."""
    least = frontier.region.least_cost()
    if least is not None and bounds.loss.high < math.inf:
        reached = frontier.least_flops(bounds.loss.high)
        least = None if reached is None else max(least, reached)
    return None if least is None or least > bounds.total.high * (1 + EDGE) else least


def _possible(
    build: Callable[[Bounds], Frontier], bounds: Bounds, chosen: Sequence[Bound | None], flops: float
) -> bool:
    kept = bounds.without(*(part for part in bounds.parts if part not in chosen))
    frontier = build(kept)
    budget = min(flops if None in chosen else UNLIMITED_FLOPS, kept.total.high)
    if not frontier.region.possible(budget):
        return False
    if kept.loss.high == math.inf:
        return True
    loss = frontier.best(budget)[2]
    return loss is None or loss <= kept.loss.high * (1 + EDGE)


def _sentence(chosen: Sequence[Bound | None], flops: float) -> str:
    names = [f"'{part.text}'" for part in chosen if part is not None]
    if None in chosen:
        names.append(f"the budget of {format_flops(flops)}")
    if len(names) == 1:
        return f"no model fits {names[0]}"
    return f"{', '.join(names[:-1])} and {names[-1]} exclude each other"
