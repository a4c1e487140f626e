"""Design pilot runs: choose those to train within a budget, and predict how surely they determine a target.

What runs would leave unknown is predicted by the model of the forecasts (:mod:`~scaleplan.fitting.expected_error`),
with what the law misses; the list is searched by exchanges (:mod:`~scaleplan.fitting.exchange`) among runs within
bounds that scale with the budget, from greedy lists and from the best of the usual ones, which stand beside it.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Unpack

import numpy as np

from scaleplan.errors import Notice, UnknownNameError, UnreachableError, UsageError, quote
from scaleplan.fitting.discrepancy import MISFIT
from scaleplan.fitting.exchange import Candidates, Merit, Schedule, best_list, greedy_list
from scaleplan.fitting.expected_error import Aim, Belief, StandardErrors
from scaleplan.fitting.fit_request import FitRequest, RunsKeywords, reading_arguments
from scaleplan.fitting.forecaster import fit_forecast
from scaleplan.fitting.ladders import SMALL_MODEL
from scaleplan.fitting.pilot_worth import PilotWorth, Stage, worth_of_pilots
from scaleplan.fitting.reading import read_runs
from scaleplan.fitting.rival_designs import RunBounds, rival_lists
from scaleplan.fitting.surface_fit import SurfaceLaw, fit_surface
from scaleplan.laws.additive import Additive, ThreeExponent
from scaleplan.laws.base import Cost
from scaleplan.planning.context import Context
from scaleplan.presets.library import DEFAULT_PRESET
from scaleplan.record import Record, Result
from scaleplan.units import parse_count, parse_flops, parse_fraction, parse_integer
from scaleplan.units.limits import parse_limit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scaleplan.arrays import Array, Index
    from scaleplan.logs.logged_run import LoggedRuns
    from scaleplan.presets.preset import Preset
    from scaleplan.tables.frames import TableLike
    from scaleplan.units import Amount
    from scaleplan.units.limits import Limit

__all__ = ["AIMS", "PilotDesign", "PilotRun", "design"]

AIMS: Mapping[str, tuple[float, float]] = {
    "both": (2.0, 1.0),
    "loss": (1.0, 0.0),
    "params": (0.0, 1.0),
    "waste": (0.0, 1.0),
}
"""What a list is chosen for, as the weights of the variances of ln L and ln N* at the target.

An error of the loss counts twice in both, because one of N* costs loss to second order only. What a wrong N* wastes
is proportional to its variance, so that ``params`` and ``waste`` have one list.
"""

_STEPS = (math.sqrt(2.0), 2.0)  # between neighbouring sizes, and ratios: a finer grid adds little information

_MOST_SEEDS, _LIST, _MOST_LIST = 10, 48, 500  # a few dozen runs are what people train
_STAGE = 24  # runs of a stage of further pilots, of which there are many

_NOISE = 0.005  # seeds of well-tuned runs differ by 0.1 to 0.5 % in loss
_LEAST_NOISE = 1e-4  # losses are rounded; far below it a repeated run would be no second fact but a contradiction

_RUN_COST = 1e-3
"""Share of the budget that a run costs beside its compute: starting, compiling, evaluating and reading it. Without
such a cost hundreds of tiny runs would look free."""

_LEAST_RUN, _SMALLEST, _LARGEST = 5e-7, 2e-6, 1 / 8
"""Shares of the budget: of the least run, of the run whose optimal size is the least, and of the largest run.

Six decades of compute tell how the loss falls, and a list does not hang on one run of an eighth. At 1e21 FLOP the
least model has some 3M to 5M parameters: smaller ones are known to bend away from the law of larger ones.
"""

_WIDTH = 36.0
"""Tokens per parameter from the optimum of the budget either way: sizes six times off. The IsoFLOP sweeps of Hoffmann
et al. 2022 and of Llama 3 hold 0.4 to 640 tokens per parameter; beyond, runs would tell more by a law that is trusted
least there."""

_SEARCHED = 0.5
"""Of the misfit that is expected: a list is chosen for a law that misses by half of it, between one that holds and
one that misses as expected. Errors are printed for all of it."""

_LEAST_PARAMS = 5e4
"""Smaller models have been in no law of language models: a budget that affords none is none for pilots."""

_CENTRAL = ((1 / 2000, 1), (1 / 200, 3), (1 / 20, 1))
"""Shares of the budget and seeds of runs near the optimum, on every list that begins a study: they test the law where
it is used, and their repeats tell the noise from what the law misses."""

_KINDS = {"params": "params", "tokens": "tokens", "tokens_per_param": "number"}

_SCHEDULES = ("cosine", "wsd")

_WORSE = 1.01  # times the error of the best rival: less is no difference that anyone would see


_MEASURES = {
    "log_params": "N*",
    "log_loss": "the loss",
    "log_params_by_law": "N* if the law holds",
    "log_loss_by_law": "the loss if the law holds",
}


class PilotRun(Record):
    """A run to train, ``seeds`` times; ``flops`` is the compute of one, without reuse of a trunk."""

    params: int
    tokens: int
    flops: float
    seeds: int


class Rival(Record):
    """Another design of the same total compute, for comparison."""

    name: str
    runs: int
    flops: float
    tokens_per_param: tuple[float, float]
    precision: StandardErrors


class PilotDesign(Record, Result):
    """The runs to buy for a target, and other designs of the same compute.

    ``law`` is where the guess of the law comes from: a preset's id, or the file of runs it was fitted to. ``flops``
    is the budget of all pilot runs, ``target`` that of the run they are for, ``spent`` what they cost with reuse of
    trunks and ``run_cost`` for each, all in FLOP; ``noise`` is the relative standard deviation of a run's loss,
    ``misfit`` that of the law. ``aim`` is a name of :data:`AIMS`, ``bounds`` are those of every run. ``before`` and
    ``after`` are standard errors without and with the runs, the first None unless there were runs already; ``worth``
    is what further pilots save and cost; ``warnings`` are about the runs that are there. ``params_convention`` is how
    the law counts parameters; None in a design that was saved before there was this key.
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
    before: StandardErrors | None
    after: StandardErrors
    rivals: tuple[Rival, ...]
    warnings: tuple[Notice, ...] = ()
    aim: str | None = None
    run_cost: float | None = None
    misfit: float | None = None
    bounds: RunBounds | None = None
    worth: PilotWorth | None = None
    params_convention: str | None = None

    def better_rivals(self) -> list[tuple[str, str]]:
        """Return the measures by which a rival is better than the list, each with the name of the best."""
        found = []
        for field, measure in _MEASURES.items():
            own = getattr(self.after, field)
            others = [(getattr(rival.precision, field), rival.name) for rival in self.rivals]
            if own is None or not others or any(value is None for value, _ in others):
                continue
            value, name = min(others)
            if own > _WORSE * value:
                found.append((measure, name))
        return found


class _Guess(Record, eq=False):
    """What is known before the new runs: a law, the sizes of noise and misfit, and the runs that are there."""

    law: SurfaceLaw
    name: str
    cost: Cost
    noise: float
    params: Array
    tokens: Array
    misfit: float = MISFIT
    convention: str = "total"
    warnings: tuple[Notice, ...] = ()

    def belief(self, params: Array, tokens: Array, aim: Aim, middle: tuple[float, float]) -> Belief:
        """Return what is believed of runs at sizes, and of the aim, with the runs that are there."""
        there = len(self.params)
        sizes = np.concatenate([self.params, params, aim.params])
        data = np.concatenate([self.tokens, tokens, aim.tokens])
        prior = Belief.prior(self.law, sizes, data, noise=self.noise, misfit=self.misfit, centre=middle)
        return prior.given(np.arange(there)).only(np.arange(there, len(sizes)))

    def with_runs(self, params: Array, tokens: Array) -> _Guess:
        """Return the same with further runs."""
        return replace(
            self, params=np.concatenate([self.params, params]), tokens=np.concatenate([self.tokens, tokens])
        )


@np.errstate(all="ignore")
def design(
    runs: TableLike | LoggedRuns | None = None,
    *,
    target: Amount,
    flops: Amount | None = None,
    preset: str | Preset | None = None,
    aim: str = "both",
    noise: Amount | None = None,
    seeds: Amount = 3,
    most_runs: Amount = _LIST,
    run_cost: Amount | None = None,
    schedule: str = "cosine",
    cooldown: Amount = 0.2,
    limit: Sequence[str] | None = None,
    least_params: Amount | None = None,
    **keywords: Unpack[RunsKeywords],
) -> PilotDesign:
    """Choose the pilot runs that determine the optimum of a target budget best.

    Parameters
    ----------
    runs
        Runs that are there already: the law is fitted to them, and they count. Reading, objective and ``form``
        (additive or three_exponent) as for :func:`scaleplan.fit`.
    target
        The budget that the runs are to advise on, in FLOP.
    flops
        Budget of all pilot runs together, in FLOP; where a further pilot saves no more than it costs if not given.
    preset
        The additive or three-exponent law to guess with, without runs; besiroglu-2024 if not given.
    aim
        What the list is chosen for: ``loss``, ``params`` (N*), ``waste`` (of a wrong N*), or ``both``.
    noise
        Relative standard deviation of a run's loss, at least 0.01 %; that of the runs, or 0.5 %, if not given.
    seeds, most_runs
        How often a run may be repeated, and how many runs a list may have.
    run_cost
        What a run costs beside its compute, in FLOP or as a share of the budget below 1; 0.1 % if not given.
    schedule, cooldown
        ``cosine``: every run from scratch; ``wsd``: one trunk a size, and a cooldown of this share for each branch.
    limit
        Bounds of the runs, such as ``"params <= 1B"``, in place of those that scale with the budget.
    least_params
        The size below which no model can be made; a limit on ``params`` goes before it.

    Raises
    ------
    UsageError
        When a keyword is wrong, or the law is of another form.
    UnreachableError
        When no run is inside the limits and the budget.

    """
    goal = parse_flops(target)
    options = _Options.parse(
        aim=aim,
        seeds=seeds,
        most_runs=most_runs,
        run_cost=run_cost,
        schedule=schedule,
        cooldown=cooldown,
        limits=(limit,) if isinstance(limit, str) else tuple(limit or ()),
        least=least_params,
    )
    given = None if flops is None else parse_flops(flops)
    guess = _guess(runs, preset, noise, keywords)
    k = guess.cost.per_param_token
    try:
        at = Aim.of(guess.law, goal, k)
    except (ArithmeticError, ValueError):
        at = None
    if at is None or not at.determined:
        raise UsageError(
            "the law to guess with puts the optimum beyond any number", hint="leave out the runs, or name a --preset"
        )

    def further(budget: float, have: _Guess) -> tuple[_Guess, Stage] | None:
        """Return what is known after the best further runs of a budget, and the runs as a stage."""
        try:
            pool, _ = _pool(have, replace(options, most=min(options.most, _STAGE)), budget)
        except (UnreachableError, UsageError):  # of so small a budget; that of the list says so
            return None
        belief = have.belief(pool.params, pool.tokens, at, _middle(pool))
        counts, after = greedy_list(pool, belief, _merit(options, at, ()))
        if not counts.any():
            return None
        more = have.with_runs(np.repeat(pool.params, counts), np.repeat(pool.tokens, counts))
        return more, Stage(
            flops=pool.cost(counts), runs=int(np.sum(counts)), after=at.errors(after.variances(at.rows))
        )

    worth = worth_of_pilots(further, guess, goal, before=_before(guess, at))
    budget = worth.stop_flops if given is None else given
    if not budget:
        raise UnreachableError(
            "no further pilot runs would save what they cost", hint="give --flops to design some all the same"
        )
    return _designed(guess, at, options, budget, aim=aim, schedule=schedule, worth=worth)


class _Options(Record, eq=False):
    """What a list may be, beside its budget."""

    seeds: int
    most: int
    overhead: float
    schedule: Schedule
    limits: tuple[Limit, ...]
    weights: tuple[float, float]
    least: float

    @classmethod
    def parse(
        cls,
        *,
        aim: str,
        seeds: Amount,
        most_runs: Amount,
        run_cost: Amount | None,
        schedule: str,
        cooldown: Amount,
        limits: tuple[str, ...],
        least: Amount | None,
    ) -> _Options:
        """Read the options; raises UsageError for what is wrong with one."""
        repeats, most, share = int(parse_integer(seeds)), int(parse_integer(most_runs)), parse_fraction(cooldown)
        if repeats > _MOST_SEEDS:
            raise UsageError(f"{repeats} seeds", hint=f"{_MOST_SEEDS} are the most, 3 are usual")
        if most > _MOST_LIST:
            raise UsageError(f"{most} runs", hint=f"{_MOST_LIST} are the most, a few dozen are usual")
        if schedule not in _SCHEDULES:
            raise UnknownNameError("schedule", schedule, _SCHEDULES)
        if aim not in AIMS:
            raise UnknownNameError("aim", aim, AIMS)
        return cls(
            seeds=repeats,
            most=most,
            overhead=_RUN_COST if run_cost is None else _overhead(run_cost),
            schedule=Schedule(cooldown=share if schedule == "wsd" else None),
            limits=tuple(limit for text in limits for limit in parse_limit(text, quantities=_KINDS)),
            weights=AIMS[aim],
            least=0.0 if least is None else parse_count(least),
        )

    def each(self, budget: float) -> float:
        """Return the cost of a run beside its compute: a number below 1 is a share of the budget."""
        return self.overhead * budget if self.overhead < 1 else self.overhead


def _designed(
    guess: _Guess, at: Aim, options: _Options, budget: float, *, aim: str, schedule: str, worth: PilotWorth
) -> PilotDesign:
    """Return the best list of a budget found, beside its rivals."""
    pool, bounds = _pool(guess, options, budget)
    middle, k = _middle(pool), pool.per_product
    searched = replace(guess, misfit=_SEARCHED * guess.misfit)
    rivals, variances, starts = [], [], []
    for name, params, tokens in rival_lists(guess.law, bounds, flops=budget, per_product=k, each=pool.each):
        every = np.arange(len(params))
        variances.append(searched.belief(params, tokens, at, middle).given(every).variances(at.rows))
        starts.append(pool.nearest(params, tokens))
        rivals.append(
            Rival(
                name=name,
                runs=len(params),
                flops=k * float(np.sum(params * tokens)) + pool.each * len(params),
                tokens_per_param=(float(np.min(tokens / params)), float(np.max(tokens / params))),
                precision=at.errors(guess.belief(params, tokens, at, middle).given(every).variances(at.rows)),
            )
        )
    merit = _merit(options, at, variances)
    best = {int(i) for i in np.argmin(np.array(variances)[:, :, :2], axis=0).ravel()} if variances else set()
    kept = _central(guess.law, pool) if not len(guess.params) else np.zeros(len(pool.params), dtype=np.intp)
    belief = searched.belief(pool.params, pool.tokens, at, middle)
    counts, _ = best_list(pool, belief, merit, kept=kept, starts=[starts[i] for i in sorted(best)])
    chosen = np.flatnonzero(counts)
    after = guess.belief(pool.params, pool.tokens, at, middle).given(chosen, seeds=counts[chosen])
    return PilotDesign(
        law=guess.name,
        flops=budget,
        target=at.flops,
        noise=guess.noise,
        seeds=options.seeds,
        schedule=schedule,
        cooldown=options.schedule.cooldown,
        runs=tuple(
            PilotRun(
                params=round(float(pool.params[i])),
                tokens=round(float(pool.tokens[i])),
                flops=k * float(pool.params[i] * pool.tokens[i]),
                seeds=int(counts[i]),
            )
            for i in chosen[np.lexsort((pool.tokens[chosen], pool.params[chosen]))]
        ),
        spent=pool.cost(counts),
        before=_before(guess, at),
        after=at.errors(after.variances(at.rows)),
        rivals=tuple(rivals),
        warnings=guess.warnings,
        aim=aim,
        run_cost=pool.each,
        misfit=guess.misfit,
        bounds=bounds,
        worth=worth,
        params_convention=guess.convention,
    )


def _before(guess: _Guess, at: Aim) -> StandardErrors | None:
    """Return the standard errors by the runs that are there; None without runs."""
    if not len(guess.params):
        return None
    nothing = np.empty(0)
    middle = float(np.mean(np.log(guess.params))), float(np.mean(np.log(guess.tokens)))
    return at.errors(guess.belief(nothing, nothing, at, middle).variances(at.rows))


def _merit(options: _Options, at: Aim, rivals: Sequence[Array]) -> Merit:
    """Return the merit of a list: the aim's errors, with and without a misfit, none of them above a rival's."""
    loss, size = options.weights
    limits = np.full((2, len(at.rows)), np.inf)
    if rivals:
        limits[:, :2] = np.min(rivals, axis=0)[:, :2]
    weights = np.zeros((2, len(at.rows)))
    weights[:, :2] = np.array([loss, size]) / (2.0 * (loss + size))
    return Merit(rows=at.rows, weights=weights, limits=limits)


def _middle(pool: Candidates) -> tuple[float, float]:
    """Return the middle of the runs that may be."""
    return float(np.mean(np.log(pool.params))), float(np.mean(np.log(pool.tokens)))


def _central(law: SurfaceLaw, pool: Candidates) -> Index:
    """Return how often each run is on every list: those nearest the optimum of some shares of the budget."""
    kept = np.zeros(len(pool.params), dtype=np.intp)
    spent = 0.0
    for share, seeds in _CENTRAL:
        product = share * pool.flops / pool.per_product
        params = float(law.best_split(product)[0])
        at = pool.nearest(np.array([params]), np.array([product / params]))
        spent += seeds * float(np.max(pool.added_cost(0 * kept)[at > 0]))
        if spent <= 0.25 * pool.flops:  # limits may leave nothing near
            kept = np.minimum(kept + min(seeds, pool.seeds) * at, pool.seeds)
    return kept if np.sum(kept) <= pool.most // 2 else 0 * kept


def _pool(guess: _Guess, options: _Options, budget: float) -> tuple[Candidates, RunBounds]:
    """Return the runs that a list may have, of sizes and tokens of two digits, and their bounds.

    Raises UnreachableError when no run is inside the bounds.
    """
    k, each = guess.cost.per_param_token, options.each(budget)
    bounds = _bounds(guess, options.limits, budget, options.least)
    sizes = np.exp(np.arange(math.log(bounds.params[0]), math.log(bounds.params[1]) + _EDGE, math.log(_STEPS[0])))
    few, many = bounds.tokens_per_param
    ratios = np.exp(np.arange(math.log(few), math.log(many) + _EDGE, math.log(_STEPS[1])))
    params = _two_digits(np.repeat(sizes, len(ratios)))
    tokens = _two_digits(np.repeat(sizes, len(ratios)) * np.tile(ratios, len(sizes)))
    held = bounds.hold(params, tokens, k) & (k * params * tokens + each <= budget)
    held &= (params >= 1) & (tokens >= 1)  # runs of any sizes may have been fitted
    if not held.any():
        raise UnreachableError(
            "no run is inside the limits and affordable", hint="raise the budget, or allow smaller models"
        )
    cells = np.unique(np.stack([params[held], tokens[held]], axis=1), axis=0)
    pool = Candidates(
        params=cells[:, 0],
        tokens=cells[:, 1],
        size=np.unique(cells[:, 0], return_inverse=True)[1],
        per_product=k,
        each=each,
        schedule=options.schedule,
        seeds=options.seeds,
        most=options.most,
        flops=budget,
    )
    return pool, bounds


_EDGE = 1e-9  # of a logarithm


def _two_digits(values: Array) -> Array:
    return np.array([float(f"{value:.1e}") for value in values.tolist()])


def _bounds(guess: _Guess, limits: Sequence[Limit], budget: float, least_params: float) -> RunBounds:
    """Return the bounds of the runs of a budget: those that scale with it, or the limits that are given.

    A ladder of smaller models goes on at the size of its smallest.
    """
    k = guess.cost.per_param_token

    def best(share: float) -> float:
        return float(guess.law.best_split(share * budget / k)[0])

    size = best(1.0)
    ratio = budget / k / size**2
    smallest = float(np.min(guess.params)) if len(guess.params) else math.inf
    floor = _LEAST_PARAMS
    if len(guess.params):  # a ladder without tiny models is not given any
        floor = min(SMALL_MODEL, best(_LARGEST))
    found = {
        "params": (max(min(max(best(_SMALLEST), floor), smallest), least_params), best(_LARGEST) * math.sqrt(_WIDTH)),
        "tokens": (1.0, math.inf),
        "tokens_per_param": (ratio / _WIDTH, ratio * _WIDTH),
    }
    least = _LEAST_RUN * budget
    if len(guess.params):
        least = min(least, k * float(np.min(guess.params * guess.tokens)))
    largest = {name: high for name, (_, high) in found.items()}
    for limit in limits:
        low, high = found[limit.quantity]
        if limit.op in ("<=", "<", "="):
            high = limit.value
        if limit.op in (">=", ">", "="):
            low = limit.value
            if high == largest[limit.quantity]:  # it is no limit, and gives way to one
                high = max(high, low * _STEPS[0])
        if low > high:
            raise UsageError(f"the limits leave no {limit.quantity}: {quote(limit.text)}")
        found[limit.quantity] = (low, high)
    (low, high), (few, many) = found["params"], found["tokens_per_param"]
    fewest, most = found["tokens"]
    return RunBounds(
        params=(low, high),
        tokens=(max(fewest, low * few), min(most, high * many)),
        tokens_per_param=(few, many),
        flops=(least, _LARGEST * budget),
    )


def _overhead(value: Amount) -> float:
    """Return the cost of a run beside its compute: an amount in FLOP, or below 1 a share of the budget."""
    text = str(value).strip()
    if text.endswith("%"):
        return parse_fraction(value)
    try:
        zero = float(text) == 0
    except ValueError:
        zero = False
    return 0.0 if zero else parse_flops(value)


_OF_A_FILE = ("map", "where", "best", "last", "min_flops", "keep", "drop", "drop_rows")


def _guess(
    runs: TableLike | LoggedRuns | None,
    preset: str | Preset | None,
    noise: Amount | None,
    keywords: Mapping[str, object],
) -> _Guess:
    """Return what is known before: of a preset, or of the runs that are there."""
    given = None if noise is None else max(parse_fraction(noise), _LEAST_NOISE)
    if runs is None:
        form = ["form"] if keywords.get("form", "additive") != "additive" else []  # a preset has its own
        used = form + [name for name, value in keywords.items() if value and name in _OF_A_FILE]
        if used:
            raise UsageError(f"--{used[0].replace('_', '-')} needs a file of runs")
        found = Context().preset(DEFAULT_PRESET if preset is None else preset)
        found.require_everywhere()
        law = found.published.in_raw_units(found.units)
        if not isinstance(law, Additive | ThreeExponent) or not found.cost.is_product:
            raise UsageError(
                f"preset {quote(found.id)} has form {found.form}; a design needs an additive or three-exponent law "
                "with C = kND",
                hint="besiroglu-2024 is one",
            )
        nothing = np.empty(0)
        return _Guess(
            law=law,
            name=found.id,
            cost=found.cost,
            noise=given or _NOISE,
            params=nothing,
            tokens=nothing,
            convention=found.conventions.params,
        )
    if preset is not None:
        raise UsageError("a preset and runs both say which law to guess with", hint="give one of them")
    request = FitRequest.parse(keywords)
    read = read_runs(runs, **reading_arguments(keywords))
    points = read.points()
    law = fit_surface(points, request.coordinates, objective=request.objective).law
    cost = Cost.from_convention(read.flops_convention)
    assert cost is not None  # the reader has checked it
    if not cost.is_product:
        hint = "--flops-convention 6ND counts by 6ND"
        raise UsageError(f"a design needs C = kND, not {quote(read.flops_convention)}", hint=hint)
    forecaster = fit_forecast(points, floor=request.floor)
    return _Guess(
        law=law,
        name=read.name,
        cost=cost,
        noise=given or max(forecaster.noise, _LEAST_NOISE),
        params=points.params[forecaster.used],
        tokens=points.tokens[forecaster.used],
        misfit=forecaster.misfit,
        convention=read.params_convention,
        warnings=read.warnings,
    )
