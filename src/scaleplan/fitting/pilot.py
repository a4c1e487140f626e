"""Design pilot runs: choose those to train within a budget, and predict how precisely they determine a target.

Runs of relative noise s with Jacobian rows j of ln L give the information F = F_prior + sum(j jᵀ)/s²; the standard
error of a quantity with gradient g is sqrt(gᵀ F⁻¹ g): local linearisation, in (ln A, ln B, E, alpha, beta), and in
gamma for a law that has it: the others are then those of its terms where either stands alone, gamma times its own.

The choice is greedy. Each step takes the run that lowers the variance of ln N* and of ln L at the target most for
its cost to the power 0.4 (Li et al. 2026, arXiv:2604.22753: V-optimal choice with that power came within a few
points of their full method), until the budget is spent. The best runs by the law alone are extreme in tokens per
parameter, where a law is trusted least, so the pool is bounded.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Self, Unpack

import numpy as np

from scaleplan.errors import UnknownNameError, UnreachableError, UsageError, quote
from scaleplan.fitting.fit_request import FitRequest, RunsKeywords, reading_arguments
from scaleplan.fitting.objective import typical_deviation
from scaleplan.fitting.reading import read_runs
from scaleplan.fitting.surface_fit import SurfaceLaw, fit_surface
from scaleplan.laws.additive import Additive, ThreeExponent
from scaleplan.laws.base import Cost
from scaleplan.planning.context import Context
from scaleplan.presets.library import DEFAULT_PRESET
from scaleplan.record import Record, Result
from scaleplan.units import parse_flops, parse_fraction, parse_integer
from scaleplan.units.limits import parse_limit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from scaleplan.arrays import Array, Index
    from scaleplan.errors import Notice
    from scaleplan.presets.preset import Preset
    from scaleplan.units import Amount

__all__ = ["PilotDesign", "PilotInformation", "Schedule", "StandardErrors", "Target", "design", "jacobian"]

_PRIOR = (10.0, 10.0, 1.0, 0.15, 0.15, 0.3)
"""Standard deviations before any run: scales within e^10, exponents as published laws differ (0.05 to 0.6).

Gamma is 0.3 to 1 in fits of public sweeps.
"""

_COST_POWER = 0.4

_LOSS_WEIGHT = 100.0  # errors of ln L are about a tenth of those of ln N*: both count alike

_STEP = math.sqrt(2.0)  # between neighbouring sizes and ratios: a finer grid adds no information

_MOST_RUNS, _MOST_SEEDS = 1000, 10

_NOISE = 0.005  # seeds of well-tuned runs differ by 0.1 to 0.5 % in loss

# sizes and ratios beyond these are the most informative by the law alone, and are where it is trusted least
_BOUNDS = {"params": (2e7, math.inf), "tokens": (1.0, math.inf), "tokens_per_param": (2.0, 500.0)}

_KINDS = {"params": "params", "tokens": "tokens", "tokens_per_param": "number"}

_SCHEDULES = ("cosine", "wsd")


class StandardErrors(Record):
    """Standard errors of ln N* and ln L at the target, and of a in N* ∝ C^a."""

    log_params: float
    log_loss: float
    exponent: float


class Target(Record, eq=False):
    """The gradients of ln N* and ln L at the optimum of a budget, and of a: the quantities to determine."""

    log_params: Array
    log_loss: Array
    exponent: Array

    @classmethod
    def of(cls, law: SurfaceLaw, product: float) -> Self:
        """Return the gradients at the optimum of ``params * tokens = product``.

        ln N* = (ln A - ln B + gamma ln(alpha/beta) + beta ln product)/(alpha + beta), in the coordinates of this
        module; the loss at the optimum does not feel its displacement to first order.
        """
        params, tokens = law.best_split(product)
        gamma = law.gamma if isinstance(law, ThreeExponent) else 1.0
        alpha, beta = gamma * law.alpha, gamma * law.beta
        total, place = alpha + beta, math.log(params)
        slopes = [1.0, -1.0, 0.0, gamma / alpha - place, math.log(product) - gamma / beta - place]
        powers = [0.0, 0.0, 0.0, -beta, alpha]
        if isinstance(law, ThreeExponent):
            slopes, powers = [*slopes, math.log(alpha / beta)], [*powers, 0.0]
        size, exponent = np.array(slopes) / total, np.array(powers) / total**2
        return cls(
            log_params=size, log_loss=jacobian(law, np.array([params]), np.array([tokens]))[0], exponent=exponent
        )


class PilotInformation(Record, eq=False):
    """The covariance (p, p) of the coordinates of a law, given runs of relative ``noise``."""

    covariance: Array
    noise: float

    @classmethod
    def prior(cls, law: SurfaceLaw, noise: float) -> Self:
        """Return the information before any run, for the coordinates of a law."""
        return cls(covariance=np.diag(np.square(_PRIOR[: len(law.coefficients())])), noise=noise)

    def with_runs(self, rows: Array) -> PilotInformation:
        """Return the information after runs with the Jacobian ``rows`` (n, p), one rank-one update each."""
        covariance = self.covariance
        for row in rows:
            moved = covariance @ row
            covariance = covariance - np.outer(moved, moved) / (self.noise**2 + row @ moved)
        return PilotInformation(covariance=0.5 * (covariance + covariance.T), noise=self.noise)

    def gain(self, rows: Array, gradient: Array) -> Array:
        """Return by how much each run would lower the variance of the quantity with this gradient."""
        moved = rows @ self.covariance
        gained: Array = (moved @ gradient) ** 2 / (self.noise**2 + np.sum(moved * rows, axis=1))
        return gained

    def precision(self, target: Target) -> StandardErrors:
        """Return the standard errors of the target's quantities."""
        gradients = {name: getattr(target, name) for name in ("log_params", "log_loss", "exponent")}
        variances = {name: float(gradient @ self.covariance @ gradient) for name, gradient in gradients.items()}
        return StandardErrors(**{name: math.sqrt(max(variance, 0.0)) for name, variance in variances.items()})


def jacobian(law: SurfaceLaw, params: Array, tokens: Array) -> Array:
    """Return the derivatives (n, p) of ln L by (ln A, ln B, E, alpha, beta), and by gamma for a law that has it."""
    size, data = law.A * params**-law.alpha, law.B * tokens**-law.beta
    columns = []
    if isinstance(law, ThreeExponent):
        both = size + data
        above = both**law.gamma
        entropy = (both * np.log(both) - size * np.log(size) - data * np.log(data)) / both
        columns = [above * entropy]
        size, data = above * size / both, above * data / both
    columns = [size, data, np.ones_like(size), -size * np.log(params), -data * np.log(tokens), *columns]
    rows: Array = np.stack(columns, axis=1) / np.asarray(law.loss(params, tokens))[:, None]
    return rows


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


class Schedule(Record):
    """The cost of several token counts of one size together.

    With ``cooldown`` None every run is trained from scratch. With a constant rate and a cooldown of the last share
    c of each branch (WSD), one trunk serves all: (1 - c)*D_max + c*sum(D_i) tokens instead of sum(D_i).
    """

    cooldown: float | None = None

    def added_tokens(self, tokens: Array, longest: Array, branches: Array) -> Array:
        """Return the tokens that a branch of ``tokens`` adds to trunks of the ``longest`` branch so far."""
        if self.cooldown is None:
            return tokens
        trunk = (1 - self.cooldown) * np.maximum(tokens - np.where(branches > 0, longest, 0.0), 0.0)
        added: Array = trunk + self.cooldown * tokens
        return added


class _Pool(Record, eq=False):
    """The runs that may be bought: a grid of sizes and tokens per parameter; ``size`` numbers the sizes."""

    params: Array
    tokens: Array
    size: Index

    @classmethod
    def of(
        cls, *, params: tuple[float, float], tokens: tuple[float, float], ratio: tuple[float, float], product: float
    ) -> _Pool:
        """Return the grid inside the bounds, each run of at most ``params * tokens = product``.

        Raises UnreachableError when no run is inside the bounds.
        """
        sizes = _grid(params[0], min(params[1], math.sqrt(product / ratio[0])))
        ratios = _grid(*ratio)
        size = np.repeat(np.arange(len(sizes)), len(ratios))
        count = sizes[size] * np.tile(ratios, len(sizes))
        inside = (count >= tokens[0]) & (count <= tokens[1]) & (sizes[size] * count <= product)
        if not inside.any():
            raise UnreachableError(
                "no run is inside the limits and affordable", hint="raise the budget, or allow smaller models"
            )
        return cls(params=sizes[size][inside], tokens=count[inside], size=size[inside])


def _choose_runs(
    law: SurfaceLaw,
    pool: _Pool,
    *,
    known: PilotInformation,
    target: Target,
    flops: float,
    per_product: float,
    seeds: int,
    schedule: Schedule,
) -> tuple[tuple[PilotRun, ...], PilotInformation, float]:
    """Return the runs to buy, the information with them, and their cost in FLOP.

    ``known`` is the information before, ``flops`` the budget for all runs, ``per_product`` the FLOP for each params *
    tokens (6 by the usual convention). A run repeated, at most ``seeds`` times, needs a trunk of its own.
    """
    rows = jacobian(law, pool.params, pool.tokens)
    bought = np.zeros(len(rows), dtype=np.intp)
    longest = np.zeros((int(pool.size.max()) + 1, seeds))
    branches = np.zeros_like(longest)
    spent = 0.0
    for _ in range(_MOST_RUNS):
        trunk = np.minimum(bought, seeds - 1)
        at = (pool.size, trunk)
        cost = per_product * pool.params * schedule.added_tokens(pool.tokens, longest[at], branches[at])
        allowed = (bought < seeds) & (spent + cost <= flops * (1 + 1e-9))
        if not allowed.any():
            break
        gain = known.gain(rows, target.log_params) + _LOSS_WEIGHT * known.gain(rows, target.log_loss)
        best = int(np.argmax(np.where(allowed, gain / cost**_COST_POWER, -1.0)))
        spent += float(cost[best])
        place = (pool.size[best], trunk[best])
        longest[place] = max(longest[place], pool.tokens[best])
        branches[place] += 1
        bought[best] += 1
        known = known.with_runs(rows[best : best + 1])
    chosen = np.flatnonzero(bought)
    runs = tuple(
        PilotRun(
            params=round(float(pool.params[i])),
            tokens=round(float(pool.tokens[i])),
            flops=per_product * float(pool.params[i] * pool.tokens[i]),
            seeds=int(bought[i]),
        )
        for i in chosen[np.lexsort((pool.tokens[chosen], pool.params[chosen]))]
    )
    return runs, known, spent


def _rivals(
    law: SurfaceLaw, *, known: PilotInformation, target: Target, flops: float, per_product: float
) -> tuple[Rival, ...]:
    """Return the usual designs of the same total compute: IsoFLOP sweeps of several widths, rays."""
    product = flops / per_product
    designs = {f"6 IsoFLOP budgets, ±{width}x": _isoflop(law, product, width) for width in (2, 4, 8, 16)}
    designs["one ray, D/N = 20"] = _rays(product, (20.0,), repeats=3)
    designs["two rays, D/N = 5 and 80"] = _rays(product, (5.0, 80.0), repeats=1)
    return tuple(
        Rival(
            name=name,
            runs=len(params),
            flops=per_product * float(np.sum(params * tokens)),
            tokens_per_param=(float(np.min(tokens / params)), float(np.max(tokens / params))),
            precision=known.with_runs(jacobian(law, params, tokens)).precision(target),
        )
        for name, (params, tokens) in designs.items()
    )


def _isoflop(law: SurfaceLaw, product: float, width: float) -> tuple[Array, Array]:
    """Return seven sizes within ``width`` of the optimum of each of six budgets over a factor of 170."""
    shares = np.geomspace(1 / 170, 1.0, 6)
    budgets = product * shares / (7 * float(np.sum(shares)))
    params = np.concatenate([law.best_split(float(x))[0] * np.geomspace(1 / width, width, 7) for x in budgets])
    return params, np.repeat(budgets, 7) / params


def _rays(product: float, ratios: tuple[float, ...], *, repeats: int) -> tuple[Array, Array]:
    """Return 14 sizes over a factor of 40 at each ratio, repeated."""
    sizes = np.tile(np.repeat(np.geomspace(1 / 40, 1.0, 14), repeats), len(ratios))
    ratio = np.repeat(ratios, 14 * repeats)
    params = sizes * math.sqrt(product / float(np.sum(sizes**2 * ratio)))
    return params, params * ratio


def _grid(low: float, high: float) -> Array:
    """Return values from ``low`` to at most ``high``, a factor of sqrt(2) apart; none when that is empty."""
    if high < low:
        return np.empty(0)
    count = int(math.log(high / low) / math.log(_STEP) + 1e-9) + 1
    return np.asarray(low * _STEP ** np.arange(count), dtype=np.float64)


class PilotDesign(Record, Result):
    """The runs to buy for a target, and other designs of the same compute.

    ``law`` is where the guess of the law comes from: a preset's id, or the file of runs it was fitted to. ``flops``
    is the budget of all pilot runs, ``target`` that of the run they are for, ``spent`` what they cost with reuse of
    trunks, all in FLOP; ``noise`` is the relative standard deviation of a run's loss. ``before`` and ``after`` are
    standard errors without and with the runs, the first None unless there were runs already; ``warnings`` are about
    those.
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


@np.errstate(all="ignore")
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
    **keywords: Unpack[RunsKeywords],
) -> PilotDesign:
    """Choose the pilot runs that determine the optimum of a target budget best.

    Parameters
    ----------
    runs
        Runs that are there already: the law is fitted to them, and they count. Reading, objective and ``form``
        (additive or three_exponent) as for :func:`scaleplan.fit`.
    flops, target
        Budget of all pilot runs together, and the budget they are to advise on, in FLOP.
    preset
        The additive or three-exponent law to guess with, without runs; besiroglu-2024 if not given.
    noise
        Relative standard deviation of a run's loss; that of the runs, or 0.5 %.
    seeds
        How often a run may be repeated.
    schedule, cooldown
        ``cosine``: every run from scratch; ``wsd``: one trunk a size, and a cooldown of this share for each branch.
    limit
        Bounds of the pool, such as ``"params <= 1B"``; 20M parameters, or the smallest of the runs, at least and 2
        to 500 tokens a parameter unless given.

    Raises
    ------
    UsageError
        When a keyword is wrong, or the law is of another form.
    UnreachableError
        When no run is inside the limits and the budget.

    """
    budget, goal = parse_flops(flops), parse_flops(target)
    repeats = int(parse_integer(seeds))
    if repeats > _MOST_SEEDS:
        raise UsageError(f"{repeats} seeds", hint=f"{_MOST_SEEDS} are the most, 3 are usual")
    if schedule not in _SCHEDULES:
        raise UnknownNameError("schedule", schedule, _SCHEDULES)
    share = parse_fraction(cooldown)
    costs = Schedule(cooldown=share if schedule == "wsd" else None)
    law, name, cost, known, rows, smallest, warnings = _guess(runs, preset, noise, keywords)
    k = cost.per_param_token
    try:
        aim = Target.of(law, goal / k)
    except (ArithmeticError, ValueError):
        raise UsageError(
            "the law to guess with puts the optimum beyond any number", hint="leave out the runs, or name a --preset"
        ) from None
    pool = _Pool.of(**_bounds(limit or (), smallest), product=budget / k)
    have = known.with_runs(rows)
    chosen, after, spent = _choose_runs(
        law, pool, known=have, target=aim, flops=budget, per_product=k, seeds=repeats, schedule=costs
    )
    return PilotDesign(
        law=name,
        flops=budget,
        target=goal,
        noise=known.noise,
        seeds=repeats,
        schedule=schedule,
        cooldown=costs.cooldown,
        runs=chosen,
        spent=spent,
        before=have.precision(aim) if len(rows) else None,
        after=after.precision(aim),
        rivals=_rivals(law, known=have, target=aim, flops=budget, per_product=k),
        warnings=warnings,
    )


_OF_A_FILE = ("map", "where", "best", "last", "min_flops", "keep", "drop", "drop_rows")


def _guess(
    runs: str | Path | None, preset: str | Preset | None, noise: Amount | None, keywords: Mapping[str, object]
) -> tuple[SurfaceLaw, str, Cost, PilotInformation, Array, float, tuple[Notice, ...]]:
    """Return the law to plan with, its name, cost and prior information, and Jacobian and least size of the runs."""
    given = None if noise is None else parse_fraction(noise)
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
        known = PilotInformation.prior(law, given or _NOISE)
        return law, found.id, found.cost, known, jacobian(law, np.empty(0), np.empty(0)), math.inf, ()
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
    spread = typical_deviation(np.log(law.loss(points.params, points.tokens) / points.loss))
    known = PilotInformation.prior(law, given or max(spread, 1e-4))
    smallest = float(np.min(points.params))
    return law, read.name, cost, known, jacobian(law, points.params, points.tokens), smallest, read.warnings


def _bounds(limits: Sequence[str], smallest: float) -> Mapping[str, tuple[float, float]]:
    """Return the bounds of the pool: a ladder of smaller models goes on at the size of its ``smallest``."""
    low, high = _BOUNDS["params"]
    bounds = {**_BOUNDS, "params": (min(low, smallest), high)}
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
