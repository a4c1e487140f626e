"""The Python API of fitting: runs in the words of the options → a law, its backtest, or the runs to buy next.

One request and one table of runs → one fitted law: which routine fits which form by which method.

Fits of columns rather than of a surface: curves, products of powers, measured optima, repetition.

How well the smaller runs of a file would have predicted the larger ones: the answer of ``scaleplan backtest``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, TypedDict, Unpack

import numpy as np

from scaleplan.errors import UsageError, quote
from scaleplan.fitting.backtest import backtest_points, hold_out
from scaleplan.fitting.fit_result import FitRequest, FitResult, Value, form_named, is_curve, on_bound, plain_values
from scaleplan.fitting.objective import Objective, central_interval, half_width
from scaleplan.fitting.preset_file import backtest_rows, curve_uncertainty, surface_uncertainty
from scaleplan.fitting.reading import NEEDED, read_runs
from scaleplan.fitting.runs import Points
from scaleplan.fitting.surface_fit import fit_additive
from scaleplan.presets.library import Library
from scaleplan.toml_table import as_mapping
from scaleplan.units import parse_flops, parse_fraction, parse_integer, parse_positive

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy import float64
    from numpy.typing import NDArray

    from scaleplan.fitting.approaches import MeasuredAllocation
    from scaleplan.fitting.backtest import Backtest, Cut, Holdout
    from scaleplan.fitting.curve_fit import CurveFit
    from scaleplan.fitting.runs import Runs
    from scaleplan.laws.additive import Additive
    from scaleplan.planning.request import Amount
    from scaleplan.presets.preset import Preset

    Array = NDArray[float64]
    Progress = Callable[[int], None]

__all__ = [
    "BacktestResult",
    "FitWords",
    "ObjectiveWords",
    "ReadingWords",
    "backtest",
    "fit",
    "needed_roles",
    "objective_of",
    "points_of",
    "read",
    "run_backtest",
    "solve",
    "solve_columns",
]

_SIZES = ("params", "tokens", "flops", "loss")

_ALLOCATION = {"a": "scale", "n": "exponent"}


def solve_columns(start: FitResult) -> FitResult:
    """Fit the form that was asked for: any but the surfaces."""
    known = {"allocation": _allocation, "data_constrained": _repetition, "multiplicative": _product}
    return known.get(start.request.form, _curve)(start)


def points_of(runs: Runs) -> Points:
    """Return the runs as the points of a surface."""
    return Points.of(runs.params, runs.tokens, runs.loss, flops=runs.flops, weight=runs.weight, rows=runs.rows)


def _allocation(start: FitResult) -> FitResult:
    from scaleplan.fitting.approaches import fit_allocation

    runs, request = start.runs, start.request
    found = fit_allocation(
        runs.flops,
        params=runs.params,
        tokens=runs.tokens,
        samples=request.samples,
        seed=request.seed,
    )
    sides = tuple(
        (f"{name}_", side) for name, side in (("params", found.params), ("tokens", found.tokens)) if side is not None
    )
    values = tuple(
        replace(value, name=prefix + _ALLOCATION[value.name])
        for prefix, side in sides
        for value in _values(side, request.level)
    )
    columns = {
        prefix + _ALLOCATION[name]: column
        for prefix, side in sides
        for name, column in zip(side.names, side.draws.T, strict=True)
    }
    return replace(
        start,
        law=found.law,
        values=values,
        remarks=("least squares on logarithms through measured optima; it has no loss",),
        uncertainty=curve_uncertainty(found.law, columns),
    )


def _repetition(start: FitResult) -> FitResult:
    from scaleplan.fitting.other_surfaces import fit_repetition
    from scaleplan.laws.additive import Additive

    runs, request = start.runs, start.request
    base = request.base
    assert base is not None
    if not isinstance(base.law, Additive):
        raise UsageError(f"preset '{base.id}' has form {base.form}; repetition is fitted over an additive law")
    if runs.unique_tokens is None:
        raise UsageError(
            "there is no column of distinct tokens", hint="--map unique_tokens=COLUMN says which one holds them"
        )
    known = np.isfinite(runs.unique_tokens)
    used = runs.select(known)
    assert used.unique_tokens is not None
    found = fit_repetition(
        points_of(used),
        used.unique_tokens,
        base=base.law,
        objective=request.objective,
        samples=request.samples,
        seed=request.seed,
    )
    values = tuple(
        Value(
            name=label,
            value=found.coefficients[name],
            interval=found.interval(name, level=request.level) if len(found.draws) else None,
        )
        for label, name in (("R_D", "tokens_decay"), ("R_N", "params_decay"))
    )
    remarks = [f"over {base.id}: D' = U + U*R_D*(1 - e^(-(D/U - 1)/R_D)), and the same for surplus parameters"]
    remarks += [f"as good within 1 %: R_D {tokens:.3g}, R_N {params:.3g}" for tokens, params, _ in found.rivals[:3]]
    if len(used) < len(runs):
        remarks.append(f"{len(runs) - len(used)} runs without a number of distinct tokens are left out")
    return replace(
        start,
        runs=used,
        values=values,
        score=found.score,
        residuals=found.residuals,
        converged=found.converged,
        bounds=found.bounds,
        remarks=(*remarks, *on_bound(found.bounds)),
    )


def _curve(start: FitResult) -> FitResult:
    from scaleplan.fitting.curve_fit import fit_curve

    runs, request = start.runs, start.request
    if len(request.x) != 1:
        raise UsageError(
            f"form '{request.form}' is a curve of one column", hint="--form multiplicative takes several"
        )
    found = fit_curve(
        request.form,
        _column(runs, request.x[0]),
        _column(runs, request.y),
        objective=request.objective,
        weight=runs.weight,
        quantities=(_quantity(request.x[0]), _quantity(request.y)),
        samples=request.samples,
        seed=request.seed,
    )
    return _from_curve(start, found)


def _product(start: FitResult) -> FitResult:
    from scaleplan.fitting.curve_fit import fit_product

    runs, request = start.runs, start.request
    found = fit_product(
        {_quantity(name): _column(runs, name) for name in request.x},
        _column(runs, request.y),
        objective=request.objective,
        quantity=_quantity(request.y),
        weight=runs.weight,
        samples=request.samples,
        seed=request.seed,
    )
    return _from_curve(start, found)


def _from_curve(start: FitResult, found: CurveFit) -> FitResult:
    return replace(
        start,
        law=found.law,
        values=(*_values(found, start.request.level), *_at_target(start, found)),
        score=found.score,
        residuals=found.residuals,
        converged=found.converged,
        bounds=found.bounds,
        remarks=on_bound(found.bounds),
        uncertainty=curve_uncertainty(found.law, dict(zip(found.names, found.draws.T, strict=True))),
    )


def _at_target(start: FitResult, found: CurveFit) -> tuple[Value, ...]:
    """Return what a curve over compute says at the target, with its interval over the resamples."""
    flops = start.target_flops
    if start.request.x != ("flops",) or flops is None:
        return ()
    name = f"at {flops:.3g} FLOP"
    value = float(found.law.value(flops=flops))
    if not len(found.draws):
        return (Value(name=name, value=value),)
    drawn = found.law.with_coefficients(dict(zip(found.names, found.draws.T, strict=True)))
    values = np.asarray(drawn.value(flops=np.full(len(found.draws), flops)))
    return (Value(name=name, value=value, interval=central_interval(values, start.request.level)),)


def _values(found: CurveFit, level: float) -> tuple[Value, ...]:
    known = found.law.coefficients()
    if not len(found.draws):
        return plain_values(known)
    return tuple(
        Value(
            name=name,
            value=known[name],
            error=half_width(found.draws[:, found.names.index(name)]),
            interval=found.interval(name, level=level),
        )
        for name in found.names
    )


def _column(runs: Runs, name: str) -> Array:
    if name in runs.extra:
        return np.asarray(runs.extra[name])
    if name in _SIZES:
        return np.asarray(getattr(runs, name))
    raise UsageError(f"there is no column {quote(name)}")


def _quantity(column: str) -> str:
    """Return a column's name as a preset writes a quantity: lower case, digits and underscores."""
    words = "".join(c if c.isascii() and c.isalnum() else "_" for c in column.lower()).strip("_")
    return (words if words[:1].isalpha() else f"x_{words}")[:40]


_SHARED = 0.2  # the share of points with the name of another from which they look like checkpoints of one run

_ROLES = ("params", "tokens", "flops", "loss")


def needed_roles(request: FitRequest) -> tuple[str, ...]:
    """Return what every run must have for a request."""
    if request.form in ("additive", "kaplan", "data_constrained"):
        return _ROLES
    if request.form == "allocation":
        return ("params", "tokens", "flops")
    return tuple(role for role in _ROLES if role in (*request.x, request.y))


def solve(
    runs: Runs, request: FitRequest, *, reading: Mapping[str, object], progress: Progress | None = None
) -> FitResult:
    """Fit what was asked for.

    Raises
    ------
    UsageError
        When the runs are too few, or not of the kind that the form or the method needs.

    """
    start = FitResult(runs=runs, request=request, reading=reading, law=None)
    if runs.group is not None:
        return _grouped(start)
    if request.form == "additive":
        return _by_method(start, progress)
    return _kaplan(start) if request.form == "kaplan" else solve_columns(start)


def _by_method(start: FitResult, progress: Progress | None) -> FitResult:
    method = start.request.method
    if method == "isoflop":
        return _isoflop(start)
    if method == "envelope":
        return _envelope(start)
    fitted = _surface(start, progress)
    if method == "surface":
        return fitted
    from scaleplan.fitting.approaches import compare_methods

    points, flops = points_of(start.runs), fitted.target_flops
    assert flops is not None
    approaches = compare_methods(points, flops=flops, objective=start.request.objective)
    return replace(fitted, approaches=approaches)


def _surface(start: FitResult, progress: Progress | None) -> FitResult:
    from scaleplan.fitting.additive_fit import fit_points

    runs, request = start.runs, start.request
    if request.cluster and runs.labels is None:
        raise UsageError(
            "there is no column of names to tell one training run from another", hint="--map name=COLUMN says it"
        )
    found = fit_points(
        points_of(runs),
        objective=request.objective,
        tied=request.tied,
        floor=request.floor,
        samples=request.samples,
        seed=request.seed,
        clusters=runs.labels if request.cluster else None,
        jobs=request.jobs,
        progress=progress,
    )
    return replace(
        start,
        law=found.law,
        values=tuple(
            Value(name=item.name, value=item.value, error=item.error, interval=item.interval)
            for item in found.coefficients(level=request.level)
        ),
        score=found.solution.score,
        residuals=found.solution.residuals,
        converged=found.solution.converged,
        bounds=found.solution.bounds,
        remarks=(*(flag.message for flag in found.flags), *_shared_names(start)),
        uncertainty=surface_uncertainty(found),
        diagnosis=found,
    )


def _shared_names(start: FitResult) -> tuple[str, ...]:
    """Return the remark that several points seem to be of one training run, and were resampled apart."""
    labels = start.runs.labels
    if labels is None or start.request.cluster:
        return ()
    named = [label for label in labels if label]
    if len(named) - len(set(named)) <= _SHARED * len(labels):
        return ()
    return (f"{len(labels)} points have {len(set(named))} names: --cluster resamples points of one name together",)


def _kaplan(start: FitResult) -> FitResult:
    from scaleplan.fitting.other_surfaces import fit_kaplan

    found = fit_kaplan(points_of(start.runs), objective=start.request.objective)
    return replace(
        start,
        law=found.law,
        values=plain_values(found.law.coefficients()),
        score=found.score,
        residuals=found.residuals,
        converged=found.converged,
        bounds=found.bounds,
        remarks=(
            "this form has no floor, so extrapolated losses fall without end; it is fitted without intervals",
            *on_bound(found.bounds),
        ),
    )


def _isoflop(start: FitResult) -> FitResult:
    from scaleplan.fitting.approaches import fit_isoflop
    from scaleplan.fitting.surface_fit import fit_additive
    from scaleplan.laws.allocation import PowerAllocation

    points, request = points_of(start.runs), start.request
    surface = fit_additive(points, objective=request.objective).law
    size, data = (
        fit_isoflop(points, quantity=quantity, law=surface, samples=request.samples, seed=request.seed)
        for quantity in ("params", "tokens")
    )
    law = PowerAllocation(
        params_scale=size.scale,
        params_exponent=size.exponent,
        tokens_scale=data.scale,
        tokens_exponent=data.exponent,
    )
    refused = [f"{budget.flops:.3g} FLOP: {budget.refused}" for budget in size.budgets if budget.refused]
    used = len(size.budgets) - len(refused)
    remark = (
        f"parabolas through {used} budgets measure the split alone, not the loss; the displacement of a parabola's "
        "vertex is taken off with the exponents of a surface fit"
    )
    remarks = [remark]
    if refused:
        remarks.append(f"budgets without a usable vertex: {'; '.join(refused)}")
    return replace(start, law=law, values=(*_side("params", size), *_side("tokens", data)), remarks=tuple(remarks))


def _side(quantity: str, found: MeasuredAllocation) -> tuple[Value, Value]:
    exponent = Value(name=f"{quantity}_exponent", value=found.exponent, error=found.error, interval=found.interval)
    return exponent, Value(name=f"{quantity}_scale", value=found.scale)


def _envelope(start: FitResult) -> FitResult:
    from scaleplan.fitting.approaches import fit_envelope
    from scaleplan.laws.allocation import PowerAllocation

    found = fit_envelope(points_of(start.runs))
    law = PowerAllocation(params_scale=found.scale, params_exponent=found.exponent)
    remark = (
        f"a line through the {len(found.rows)} best runs of bins of compute: noise chooses among them; "
        "use it to look at runs, not to plan"
    )
    return replace(start, law=law, values=plain_values(law.coefficients()), remarks=(remark,))


def _grouped(start: FitResult) -> FitResult:
    from scaleplan.fitting.other_surfaces import fit_grouped

    runs, request = start.runs, start.request
    if request.form != "additive" or request.method != "surface" or request.tied or request.floor is not None:
        raise UsageError(
            "groups share the exponents of the additive surface with a floor",
            hint="--where 'COLUMN = VALUE' fits one group by itself in any form",
        )
    assert runs.group is not None
    found = fit_grouped(points_of(runs), runs.group, objective=request.objective)
    groups = np.array(runs.group, dtype=object)
    members = tuple(
        replace(
            start,
            runs=runs.select(groups == name),
            law=law,
            values=plain_values(law.coefficients()),
            residuals=found.residuals[groups == name],
            converged=found.converged,
            remarks=("the exponents are shared with the other groups; fitted without intervals",),
            group=name,
        )
        for name, law in found.laws.items()
    )
    first = members[0].law
    assert first is not None
    shared = {name: value for name, value in first.coefficients().items() if name in ("alpha", "beta")}
    return replace(
        start,
        values=plain_values(shared),
        score=found.score,
        residuals=found.residuals,
        converged=found.converged,
        remarks=(_sharing(found.aicc_excess),),
        members=members,
    )


def _sharing(excess: float | None) -> str:
    if excess is None:
        return "a group has too few runs for a fit of its own, so sharing the exponents was not tested"
    verdict = "the runs support sharing" if excess < 0 else "the groups differ more than sharing allows"
    return f"AICc of shared exponents less that of separate fits: {excess:+.1f}; {verdict}"


class ReadingWords(TypedDict, total=False):
    """How a file of runs is read."""

    map: Mapping[str, str] | Sequence[str] | None
    where: Sequence[str] | None
    loss_unit: str
    tokens_per_byte: Amount | None
    log10: Sequence[str] | None
    flops_convention: str
    best: bool
    min_flops: Amount | None
    keep: Sequence[str] | None


class ObjectiveWords(TypedDict, total=False):
    """What a fit minimises, and what is kept fixed."""

    residual: str
    robust: str
    delta: Amount
    tied: bool
    floor: Amount | None


class FitWords(ReadingWords, ObjectiveWords, total=False):
    """Everything that can be asked of a fit."""

    group: str | None
    form: str
    method: str
    samples: Amount
    seed: Amount
    jobs: Amount
    level: Amount
    target: Amount | None
    x: str | Sequence[str] | None
    y: str | None
    cluster: bool
    base: str | Preset | None
    params_convention: str | None
    tokenizer: str
    corpus: str
    id: str | None
    title: str | None
    source: str | None


def fit(runs: str | Path, *, progress: Progress | None = None, **words: Unpack[FitWords]) -> FitResult:
    """Fit a law to training runs, and say how far to trust it.

    Parameters
    ----------
    runs
        A CSV, TSV, JSON or JSON Lines file with one run a row, or ``-`` for standard input.
    progress
        Called with the number of resamples done.
    words
        Reading: ``map`` (``{"loss": "eval/loss"}`` or ``["loss=eval/loss"]``), ``where``, ``loss_unit``,
        ``tokens_per_byte``, ``log10``, ``flops_convention``, ``best``, ``min_flops`` (FLOP), ``keep``. The law:
        ``form``, ``method``, ``group``, ``tied``, ``floor`` (a loss), ``x`` and ``y`` (columns of a curve),
        ``base``. The objective: ``residual``, ``robust``, ``delta``. Uncertainty: ``samples``, ``seed``,
        ``jobs`` (processes), ``cluster``, ``level``; ``target`` (FLOP) is the budget at which the law is told. The
        preset: ``id``, ``title``, ``source``, ``params_convention``, ``tokenizer``, ``corpus``.

    Raises
    ------
    ScaleplanError
        When the file cannot be read or its runs do not support the form, or a word is wrong.

    Examples
    --------
    >>> import scaleplan as sp
    >>> fitted = sp.fit("runs.csv")  # doctest: +SKIP
    >>> sp.optimal(preset=fitted.preset, flops="1e23").params  # doctest: +SKIP
    >>> fitted.write("my-law.toml")  # doctest: +SKIP

    """
    request = _request(words)
    reading = reading_of(words)
    needed = needed_roles(request)
    if words.get("best") and "loss" not in needed:
        needed = (*needed, "loss")  # the best of a sweep is the one of least loss
    columns = () if needed == NEEDED else (*request.x, request.y)
    extra = [name for name in columns if name not in NEEDED]
    table = _read(runs, words, group=words.get("group"), extra=extra, needed=needed)
    return solve(table, request, reading=reading, progress=progress)


def backtest(
    runs: str | Path,
    *,
    samples: Amount = 200,
    seed: Amount = 0,
    level: Amount = 0.9,
    progress: Progress | None = None,
    **words: Unpack[_BacktestWords],
) -> BacktestResult:
    """Fit the additive law to the smaller runs, predict the larger ones, and say how well that went.

    Parameters
    ----------
    runs
        As for :func:`fit`.
    samples, seed, level
        Resamples at each cut for the coverage of their interval (0 for none), their seed, and its level.
    progress
        Called with the number of cuts done.
    words
        Reading and objective, as for :func:`fit`.

    Raises
    ------
    ScaleplanError
        When the file cannot be read, a word is wrong, or there are too few runs to hold any out.

    """
    count = _whole(samples)
    if count == 1:
        raise UsageError("1 resample gives no interval", hint="200 are usual, 0 are none")
    tied, floor, objective = objective_of(words)
    return run_backtest(
        _read(runs, words),
        objective=objective,
        tied=tied,
        floor=floor,
        samples=count,
        seed=_whole(seed),
        level=parse_fraction(level),
        progress=progress,
    )


class _BacktestWords(ReadingWords, ObjectiveWords, total=False):
    pass


def read(runs: str | Path, **words: Unpack[ReadingWords]) -> Runs:
    """Return the runs of a file, as the words of :func:`fit` say."""
    return _read(runs, words)


def objective_of(words: ObjectiveWords) -> tuple[bool, float | None, Objective]:
    """Return whether the exponents are tied, the fixed floor or None, and the objective."""
    floor = words.get("floor")
    objective = Objective(
        residual=words.get("residual", "log"),  # type: ignore[arg-type]
        robust=words.get("robust", "huber"),  # type: ignore[arg-type]
        delta=parse_positive(words.get("delta", 1e-3)),
    )
    return bool(words.get("tied", False)), None if floor is None else _floor(floor), objective


def reading_of(words: FitWords) -> dict[str, object]:
    """Return the words about reading that differ from their defaults, as a preset repeats them."""
    found: dict[str, object] = {}
    for name in ("group", *ReadingWords.__annotations__):
        value = words.get(name)
        if value in (None, False, "nats", "6ND", [], (), {}):
            continue
        if name == "map":
            value = [f"{role}={column}" for role, column in mapping_of(words.get("map")).items()]
        found[name] = list(value) if isinstance(value, tuple) else value
    return found


def mapping_of(given: Mapping[str, str] | Sequence[str] | None) -> dict[str, str]:
    """Return which column plays which role, from a mapping or from texts such as ``loss=eval/loss``.

    Raises
    ------
    UsageError
        For a text without ``=``, or a role that is given twice.

    """
    if given is None:
        return {}
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list | tuple):
        return dict(given)  # type: ignore[arg-type]
    found: dict[str, str] = {}
    for text in given:
        role, sign, column = text.partition("=")
        if not sign or not role.strip() or not column.strip():
            raise UsageError(f"mapping {quote(text)}", hint="write ROLE=COLUMN, as in 'loss=eval/loss'")
        if role.strip() in found:
            raise UsageError(f"role {quote(role.strip())} is mapped twice")
        found[role.strip()] = column.strip()
    return found


def _read(
    runs: str | Path,
    words: ReadingWords,
    *,
    group: str | None = None,
    extra: Sequence[str] = (),
    needed: Sequence[str] = NEEDED,
) -> Runs:
    bytes_ratio = words.get("tokens_per_byte")
    return read_runs(
        runs,
        mapping=mapping_of(words.get("map")),
        where=words.get("where") or (),
        group=group,
        extra=extra,
        loss_unit=words.get("loss_unit", "nats"),
        tokens_per_byte=None if bytes_ratio is None else parse_positive(bytes_ratio),
        log10=words.get("log10") or (),
        flops_convention=words.get("flops_convention", "6ND"),
        best=bool(words.get("best", False)),
        min_flops=words.get("min_flops"),
        keep=words.get("keep") or (),
        needed=needed,
    )


def _request(words: FitWords) -> FitRequest:
    tied, floor, objective = objective_of(words)
    target, base, x = words.get("target"), words.get("base"), words.get("x")
    if isinstance(x, str):
        x = [name.strip() for name in x.split(",") if name.strip()]
    form = form_named(words.get("form", "additive"))
    for name in ("x", "y"):
        if words.get(name) is not None and not is_curve(form):
            raise UsageError(f"--{name} is for curves, and form '{form}' has its own columns")
    return FitRequest(
        form=form,
        method=words.get("method", "surface"),
        objective=objective,
        tied=tied,
        floor=floor,
        samples=_whole(words.get("samples", 2000)),
        seed=_whole(words.get("seed", 0)),
        jobs=_whole(words.get("jobs", 1)),
        level=parse_fraction(words.get("level", 0.9)),
        target=None if target is None else parse_flops(target),
        x=tuple(x or ("flops",)),
        y=words.get("y") or "loss",
        cluster=bool(words.get("cluster", False)),
        base=Library().load(base) if isinstance(base, str) else base,
        params_convention=words.get("params_convention"),
        tokenizer=words.get("tokenizer", "not stated"),
        corpus=words.get("corpus", "not stated"),
        id=words.get("id"),
        title=words.get("title"),
        source=words.get("source"),
    )


def _whole(amount: Amount) -> int:
    """Return a whole number of at least 0; the parsers of amounts leave 0 out, and no resamples is a choice."""
    try:
        return 0 if float(amount) == 0 else int(parse_integer(amount))
    except ValueError:
        return int(parse_integer(amount))


def _floor(amount: Amount) -> float:
    try:
        number = float(amount)
    except ValueError:
        number = float("nan")
    if not 0 <= number < float("inf"):
        raise UsageError(f"floor {quote(amount)} is not a loss of at least 0", hint="0 fits a law without a floor")
    return number


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BacktestResult:
    """The ladder of cuts, its errors by factor of extrapolation, and the largest budget held out.

    Attributes
    ----------
    runs
        The runs that were read.
    law
        The fit to all of them.
    ladder
        The cuts and their errors.
    holdout
        The largest budget predicted with the combined band from the rest, or None where too few runs remain.

    """

    schema: ClassVar[str] = "scaleplan/backtest/1"

    runs: Runs
    law: Additive
    ladder: Backtest
    holdout: Holdout | None
    seed: int
    samples: int

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that ``--json`` prints."""
        tested = self.ladder
        return {
            "schema": self.schema,
            "file": self.runs.name,
            "sha256": self.runs.sha256,
            "rows_used": len(self.runs),
            "dropped": as_mapping(self.runs.dropped),
            "loss_unit": self.runs.loss_unit,
            "coefficients": as_mapping(self.law.coefficients()),
            "level": tested.level,
            "samples": self.samples,
            "seed": self.seed,
            "rms_inside": tested.inside,
            "one_sided": tested.one_sided,
            "largest_factor": tested.largest_factor,
            "by_factor": as_mapping(backtest_rows(tested)),
            "cuts": [_cut(cut) for cut in tested.cuts],
            "holdout": as_mapping(self.holdout),
        }


def run_backtest(
    runs: Runs,
    *,
    objective: Objective,
    tied: bool,
    floor: float | None,
    samples: int,
    seed: int,
    level: float,
    progress: Callable[[int], None] | None = None,
) -> BacktestResult:
    """Fit below and predict above each cut of a ladder in compute, and hold out the largest budget.

    Raises
    ------
    UsageError
        When there are too few runs to hold any out, or a level that is none.

    """
    if not 0 < level < 1:
        raise UsageError(f"a confidence level lies between 0 and 1, not at {level:g}", hint="try 0.9")
    points = points_of(runs)
    base = fit_additive(points, objective=objective, tied=tied, floor=floor)
    ladder = backtest_points(points, base, samples=samples, seed=seed, level=level, progress=progress)
    if not ladder.cuts:
        raise UsageError(
            f"{len(points)} runs are too few to hold any out", hint="a backtest needs 12 runs below a cut, 3 above"
        )
    try:
        held = hold_out(
            points, objective=objective, tied=tied, floor=floor, samples=max(samples, 200), seed=seed, level=level
        )
    except UsageError:  # the ladder has what can be said
        held = None
    return BacktestResult(runs=runs, law=base.law, ladder=ladder, holdout=held, seed=seed, samples=samples)


def _cut(cut: Cut) -> dict[str, object]:
    return {
        "flops": cut.flops,
        "runs": cut.runs,
        "predicted": len(cut.rows),
        "largest_factor": float(np.max(cut.factor)),
        "bias": float(np.mean(cut.error)),
        "rms": float(np.sqrt(np.mean(cut.error**2))),
        "coverage": None if cut.covered is None else float(np.mean(cut.covered)),
        "coefficients": as_mapping(cut.law.coefficients()),
        "rows": list(cut.rows),
        "errors": [float(error) for error in cut.error],
    }
