"""The Python API of fitting: runs in the words of the options → a law, its backtest, or the runs to buy next."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, Unpack

from scaleplan.errors import UsageError, quote
from scaleplan.fitting.objective import Objective
from scaleplan.fitting.reading import NEEDED, read_runs
from scaleplan.fitting.request import FitRequest, form_named, is_curve
from scaleplan.fitting.solving import needed_roles, solve
from scaleplan.presets.library import Library
from scaleplan.quantities import parse_flops, parse_fraction, parse_integer, parse_positive

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from scaleplan.fitting.fitted import Fitted
    from scaleplan.fitting.runs import Runs
    from scaleplan.fitting.tested import Tested
    from scaleplan.planning.asking import Amount
    from scaleplan.presets.preset import Preset

    Progress = Callable[[int], None]

__all__ = ["FitWords", "ObjectiveWords", "ReadingWords", "backtest", "fit", "objective_of", "read"]


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


def fit(runs: str | Path, *, progress: Progress | None = None, **words: Unpack[FitWords]) -> Fitted:
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
) -> Tested:
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
    from scaleplan.fitting.tested import run_backtest

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
