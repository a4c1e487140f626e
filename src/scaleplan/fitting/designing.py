"""A budget for pilot runs and a target → the runs to buy, and how precisely they will determine the target."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Unpack

import numpy as np

from scaleplan.cost import Cost
from scaleplan.errors import UnknownNameError, UsageError, quote
from scaleplan.fitting.asking import ObjectiveWords, ReadingWords, objective_of, read
from scaleplan.fitting.pilot import PilotRun, Pool, Rival, Schedule, choose_runs, rivals
from scaleplan.fitting.precision import Knowledge, Precision, Target, jacobian
from scaleplan.fitting.robust import typical_deviation
from scaleplan.fitting.solving_columns import points_of
from scaleplan.laws.additive import Additive
from scaleplan.presets.library import DEFAULT_PRESET, Library
from scaleplan.quantities import parse_flops, parse_fraction, parse_integer
from scaleplan.quantities.limits import parse_limit
from scaleplan.records import as_record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from scaleplan.planning.asking import Amount
    from scaleplan.presets.preset import Preset

__all__ = ["PilotDesign", "design"]

_NOISE = 0.005  # seeds of well-tuned runs differ by 0.1 to 0.5 % in loss
# sizes and ratios beyond these tell most by the law alone, and are where it is trusted least
_BOUNDS = {"params": (2e7, math.inf), "tokens": (1.0, math.inf), "tokens_per_param": (2.0, 500.0)}
_KINDS = {"params": "params", "tokens": "tokens", "tokens_per_param": "number"}
_SCHEDULES = ("cosine", "wsd")
_MOST_SEEDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class PilotDesign:
    """The runs to buy for a target.

    Attributes
    ----------
    law
        Where the guess of the law comes from: a preset's id, or the file of runs it was fitted to.
    flops, target
        The budget for the pilot runs together, and that of the run they are for, in FLOP.
    noise
        Relative standard deviation of a run's loss.
    runs, spent
        The runs, and their compute, with reuse of trunks where the schedule allows it.
    before, after
        Standard errors without the runs (None without runs that are already there), and with them.
    rivals
        Usual designs of the same compute.

    """

    schema: ClassVar[str] = "scaleplan/design/1"

    law: str
    flops: float
    target: float
    noise: float
    seeds: int
    schedule: str
    cooldown: float | None
    runs: tuple[PilotRun, ...]
    spent: float
    before: Precision | None
    after: Precision
    rivals: tuple[Rival, ...]

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that ``--json`` prints."""
        return as_record(self)


class _Words(ReadingWords, ObjectiveWords, total=False):
    pass


def design(
    runs: str | Path | None = None,
    *,
    flops: Amount,
    target: Amount,
    preset: str | Preset | None = None,
    noise: Amount | None = None,
    seeds: Amount = 3,
    schedule: str = "cosine",
    cooldown: Amount = 0.2,
    limit: Sequence[str] | None = None,
    **words: Unpack[_Words],
) -> PilotDesign:
    """Choose the pilot runs that determine the optimum of a target budget best.

    Parameters
    ----------
    runs
        Runs that are there already: the law is fitted to them, and they count. Reading and objective as for
        :func:`scaleplan.fit`.
    flops, target
        Budget of all pilot runs together, and the budget they are to advise on, in FLOP.
    preset
        The additive law to guess with, without runs; besiroglu-2024 if not given.
    noise
        Relative standard deviation of a run's loss; that of the runs, or 0.5 %.
    seeds
        How often a run may be repeated.
    schedule, cooldown
        ``cosine``: every run from scratch; ``wsd``: one trunk a size, and a cooldown of this share for each branch.
    limit
        Bounds of the pool, such as ``"params <= 1B"``; 20M parameters at least and 2 to 500 tokens a parameter
        unless given.

    Raises
    ------
    UsageError
        When a word is wrong, or the law is not an additive one.
    UnreachableError
        When no run is inside the limits and the budget.

    """
    budget, goal = parse_flops(flops), parse_flops(target)
    repeats = int(parse_integer(seeds))
    if repeats > _MOST_SEEDS:
        raise UsageError(f"{repeats} seeds", hint=f"{_MOST_SEEDS} are the most, 3 are usual")
    plan = _schedule(schedule, cooldown)
    law, name, cost, known, rows = _guess(runs, preset, noise, words)
    k = cost.per_param_token
    aim = Target.of(law, goal / k)
    pool = Pool.of(**_bounds(limit or ()), product=budget / k)
    have = known.with_runs(rows)
    chosen, after, spent = choose_runs(
        law, pool, known=have, target=aim, flops=budget, per_product=k, seeds=repeats, schedule=plan
    )
    return PilotDesign(
        law=name,
        flops=budget,
        target=goal,
        noise=known.noise,
        seeds=repeats,
        schedule=schedule,
        cooldown=plan.cooldown,
        runs=chosen,
        spent=spent,
        before=have.precision(aim) if len(rows) else None,
        after=after.precision(aim),
        rivals=rivals(law, known=have, target=aim, flops=budget, per_product=k),
    )


def _schedule(name: str, cooldown: Amount) -> Schedule:
    if name not in _SCHEDULES:
        raise UnknownNameError("schedule", name, _SCHEDULES)
    share = parse_fraction(cooldown)
    return Schedule(cooldown=share if name == "wsd" else None)


def _guess(
    runs: str | Path | None, preset: str | Preset | None, noise: Amount | None, words: _Words
) -> tuple[Additive, str, Cost, Knowledge, np.ndarray[tuple[int, int], np.dtype[np.float64]]]:
    """Return the law to plan with, its name, its cost, what is known before, and the rows of runs that are there."""
    given = None if noise is None else parse_fraction(noise)
    if runs is None:
        used = [name for name, value in words.items() if value and name in ("map", "where", "min_flops", "keep")]
        if used:
            raise UsageError(f"--{used[0].replace('_', '-')} needs a file of runs")
        wanted = DEFAULT_PRESET if preset is None else preset
        found = Library().load(wanted) if isinstance(wanted, str) else wanted
        if not isinstance(found.law, Additive) or not found.cost.is_product:
            raise UsageError(
                f"preset {quote(found.id)} has form {found.form}; a design needs an additive law with C = kND",
                hint="besiroglu-2024 is one",
            )
        known = Knowledge.prior(given or _NOISE)
        return found.law, found.id, found.cost, known, np.empty((0, 5))
    if preset is not None:
        raise UsageError("a preset and runs both say which law to guess with", hint="give one of them")
    return _from_runs(runs, given, words)


def _from_runs(
    source: str | Path, noise: float | None, words: _Words
) -> tuple[Additive, str, Cost, Knowledge, np.ndarray[tuple[int, int], np.dtype[np.float64]]]:
    from scaleplan.fitting.additive import fit_additive

    tied, floor, objective = objective_of(words)
    reading = {key: value for key, value in words.items() if key in ReadingWords.__annotations__}
    there = read(source, **reading)  # type: ignore[arg-type]
    points = points_of(there)
    solution = fit_additive(points, objective=objective, tied=tied, floor=floor)
    cost = Cost.from_convention(there.flops_convention)
    assert cost is not None  # the reader has checked it
    if not cost.is_product:
        raise UsageError(f"a design needs C = kND, not {quote(there.flops_convention)}")
    spread = typical_deviation(np.log(solution.law.loss(points.params, points.tokens) / points.loss))
    known = Knowledge.prior(noise or max(spread, 1e-4))
    return solution.law, there.name, cost, known, jacobian(solution.law, points.params, points.tokens)


def _bounds(limits: Sequence[str]) -> Mapping[str, tuple[float, float]]:
    bounds = dict(_BOUNDS)
    for text in limits:
        for limit in parse_limit(text, quantities=_KINDS):
            low, high = bounds[limit.quantity]
            if limit.op in ("<=", "<", "="):
                high = limit.value
            if limit.op in (">=", ">", "="):
                low = limit.value
            if low > high:
                raise UsageError(f"the limits leave no {limit.quantity}: {quote(text)}")
            bounds[limit.quantity] = (low, high)
    return {"params": bounds["params"], "tokens": bounds["tokens"], "ratio": bounds["tokens_per_param"]}
