"""The request of a fit: every setting of form, method, objective and resampling, parsed once from keywords."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypedDict

from scaleplan.errors import UnknownNameError, UsageError, quote
from scaleplan.fitting.objective import Objective
from scaleplan.fitting.parallel import ALONE, Jobs
from scaleplan.fitting.surface_fit import Coordinates
from scaleplan.laws.curves import ALIASES, FITTED
from scaleplan.planning.context import Context
from scaleplan.planning.uncertainty import require_level
from scaleplan.presets.preset import PARAMS_CONVENTIONS, Preset
from scaleplan.units import parse_flops, parse_fraction, parse_integer, parse_positive

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scaleplan.units import Amount

__all__ = [
    "CURVES",
    "SURFACES",
    "FitKeywords",
    "FitRequest",
    "ObjectiveKeywords",
    "ReadingKeywords",
    "RunsKeywords",
    "changed_reading",
    "parse_whole",
    "reading_arguments",
]


class ReadingKeywords(TypedDict, total=False):
    """The reading of a file of runs."""

    map: Mapping[str, str] | Sequence[str] | None
    where: Sequence[str] | None
    loss_unit: str
    tokens_per_byte: Amount | None
    log10: Sequence[str] | None
    flops_convention: str | None
    best: bool
    last: bool
    min_flops: Amount | None
    keep: Sequence[str] | None
    drop: Sequence[str] | None
    drop_rows: Sequence[str] | None


class ObjectiveKeywords(TypedDict, total=False):
    """The objective of a fit, and the coefficients that are kept fixed."""

    residual: str
    robust: str
    delta: Amount
    tied: bool
    floor: Amount | None


class RunsKeywords(ReadingKeywords, ObjectiveKeywords, total=False):
    """The keywords of every function of runs, such as :func:`scaleplan.backtest`."""

    form: str


class FitKeywords(RunsKeywords, total=False):
    """The keywords of :func:`scaleplan.fit`."""

    group: str | None
    method: str
    samples: Amount | None
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


SURFACES = ("additive", "three_exponent")
"""The surfaces that are fitted with a diagnosis and a forecast, backtested, and designed for."""

FORMS = (*SURFACES, "kaplan", "allocation", "data_constrained", "multiplicative", *FITTED)
"""The forms that can be fitted, by the name that ``--form`` takes."""

CURVES = frozenset({*FITTED, "multiplicative"})
"""The forms that relate columns which the user names."""

METHODS = ("surface", "isoflop", "envelope", "all")

PRESET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
"""What a preset may be called."""

_ROLES = ("params", "tokens", "flops", "loss")

_MOST_SAMPLES = 100_000
_USUAL_SAMPLES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRequest:
    """The settings of a fit, which a preset repeats in its ``[fit]`` table.

    ``tied`` is alpha = beta, ``floor`` a value at which E is kept. ``jobs`` share the resamples, and with
    ``cluster`` points of one name are one training run, resampled together. ``target`` is the budget in FLOP to
    predict at, ten times the largest run when None. ``x`` and ``y`` are the columns of a curve or a product, by role
    or by name; ``base`` is the law over which repetition is fitted. ``id``, ``title`` and ``source`` are made from
    the name of the file when None; ``reading`` holds the keywords of reading that differ from their defaults, as a
    preset repeats them.
    """

    objective: Objective
    form: str = "additive"
    method: str = "surface"
    tied: bool = False
    floor: float | None = None
    samples: int = 0
    seed: int = 0
    jobs: Jobs = ALONE
    level: float = 0.9
    target: float | None = None
    x: tuple[str, ...] = ("flops",)
    y: str = "loss"
    cluster: bool = False
    base: Preset | None = None
    params_convention: str | None = None
    tokenizer: str = "not stated"
    corpus: str = "not stated"
    id: str | None = None
    title: str | None = None
    source: str | None = None
    reading: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def parse(cls, keywords: Mapping[str, object]) -> Self:
        """Return the request that keywords make; those of reading are only repeated, and None is not given.

        Raises ScaleplanError when a value cannot be read, or contradicts another.
        """
        given = {name: parse(value) for name, parse in _PARSERS.items() if (value := keywords.get(name)) is not None}
        objective = {name: given.pop(name) for name in ("delta", "residual", "robust") if name in given}
        given["objective"] = Objective(**objective)
        form = given.get("form", "additive")
        # plans by a surface have the intervals of its forecast, and a curve has no others than those of resamples
        given.setdefault("samples", 0 if form in SURFACES else _USUAL_SAMPLES)
        for name in ("x", "y"):
            if name in given and form not in CURVES:
                raise UsageError(f"--{name} is for curves, and form '{form}' has its own columns")
        given = {name: value for name, value in given.items() if name not in ("x", "y") or value}
        return cls(**given, reading=changed_reading(keywords))

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UnknownNameError("method", self.method, METHODS)
        require_level(self.level)
        require_samples(self.samples)
        if self.seed < 0:
            raise UsageError(f"seed {self.seed} is negative", hint="any whole number from 0 will do")
        floored = self.floor is not None and self.form not in FITTED
        of_surfaces = (self.tied, floored, self.cluster)
        if self.form != "additive" and self.method != "surface":
            raise UsageError(f"--method is for the additive form, not for '{self.form}'")
        if self.form not in SURFACES and any(of_surfaces):
            name = ("--tied", "--floor", "--cluster")[of_surfaces.index(True)]
            taken = [*SURFACES, *(["curves"] if name == "--floor" else [])]
            forms = f"{', '.join(taken[:-1])} and {taken[-1]}"
            raise UsageError(f"{name} is for {forms}, not for '{self.form}'")
        if (self.form == "data_constrained") != (self.base is not None):
            what = "a law for fresh data is needed" if self.base is None else "a base law says nothing here"
            raise UsageError(what, hint="--form data_constrained and --base PRESET go together")
        if self.target is not None and ((self.form in CURVES and self.x != ("flops",)) or self.base is not None):
            raise UsageError("a target is a budget in FLOP, and this form says nothing of one")
        self._require_names()

    def _require_names(self) -> None:
        if self.params_convention is not None and self.params_convention not in PARAMS_CONVENTIONS:
            raise UnknownNameError("convention of parameters", self.params_convention, PARAMS_CONVENTIONS)
        for text in (self.tokenizer, self.corpus, self.title, self.source):
            if text is not None and (not text.strip() or not text.isprintable()):
                raise UsageError(f"{quote(text)} is not one line of printable text")
        if self.id is not None and not PRESET_NAME.fullmatch(self.id):
            raise UsageError(f"id {quote(self.id)}", hint="use letters, digits, '.', '_' and '-' only")

    @property
    def coordinates(self) -> Coordinates:
        """What is fitted of a surface; raises UsageError for another form."""
        if self.form not in SURFACES:
            raise UsageError(f"form '{self.form}' is none for this", hint=f"known: {', '.join(SURFACES)}")
        return Coordinates(tied=self.tied, floor=self.floor, outer=self.form == "three_exponent")

    @property
    def needed_roles(self) -> tuple[str, ...]:
        """The quantities that every run must have, of params, tokens, flops, loss and unique tokens."""
        if self.form == "allocation":
            used: tuple[str, ...] = ("params", "tokens", "flops")
        else:
            used = (*self.x, self.y) if self.form in CURVES else _ROLES
        best = ("loss",) if self.reading.get("best") else ()  # the best of a sweep is the one of least loss
        repeated = ("unique_tokens",) if self.form == "data_constrained" else ()
        return (*(role for role in _ROLES if role in (*used, *best)), *repeated)

    @property
    def extra_columns(self) -> tuple[str, ...]:
        """The columns of a curve that play no role."""
        return tuple(name for name in (*self.x, self.y) if name not in _ROLES) if self.form in CURVES else ()


def _form(name: str) -> str:
    """Return the form that a name or an alias (M1 to M4) stands for."""
    form = ALIASES.get(name.casefold(), name.casefold())
    if form not in FORMS:
        raise UnknownNameError("form", name, [*FORMS, *(alias.upper() for alias in ALIASES)])
    return form


def _columns(names: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        return tuple(name.strip() for name in names.split(",") if name.strip())
    return tuple(names)


def parse_whole(amount: Amount) -> int:
    """Return a whole number of at least 0; the parsers of amounts leave 0 out, and no resamples is a choice."""
    try:
        return 0 if float(amount) == 0 else parse_integer(amount)
    except ValueError:
        return parse_integer(amount)


def require_samples(samples: int, *, usual: int = 2000) -> None:
    """Refuse a number of resamples that gives no interval, or takes more memory than there is."""
    if samples == 1 or not 0 <= samples <= _MOST_SAMPLES:
        raise UsageError(f"{samples} resamples", hint=f"{usual:,} are usual, 0 are none, {_MOST_SAMPLES:,} the most")


def _floor(amount: Amount) -> float:
    try:
        number = float(amount)
    except ValueError:
        number = float("nan")
    if not 0 <= number < float("inf"):
        raise UsageError(f"floor {quote(amount)} is not a loss of at least 0", hint="0 fits a law without a floor")
    return number


_TEXTS = ("params_convention", "tokenizer", "corpus", "id", "title", "source")

_PARSERS: dict[str, Callable[[Any], Any]] = {
    "floor": _floor,
    "delta": parse_positive,
    "tied": bool,
    "form": _form,
    "x": _columns,
    "samples": parse_whole,
    "seed": parse_whole,
    "jobs": Jobs.parse,
    "level": parse_fraction,
    "target": parse_flops,
    "cluster": bool,
    "base": lambda base: Context().preset(base),
    **dict.fromkeys(("residual", "robust", "method", "y", *_TEXTS), lambda value: value),
}
"""How each keyword is read, in the order in which wrong ones are reported."""


_LISTS = frozenset({"where", "log10", "keep", "drop", "drop_rows"})
"""The keywords of reading that may be given several times."""


def reading_arguments(keywords: Mapping[str, object]) -> dict[str, Any]:
    """Return the arguments of :func:`scaleplan.fitting.reading.read_runs` among keywords.

    A text alone stands for a list of it. Raises UsageError for a mapping without ``=``, or a role given twice.
    """
    found: dict[str, Any] = {}
    for name in ("group", *ReadingKeywords.__annotations__):
        value: Any = keywords.get(name)
        if value is None:
            continue
        if name == "map":
            found["mapping"] = _mapping(value)
        else:
            found[name] = [value] if name in _LISTS and isinstance(value, str) else value
    return found


def changed_reading(keywords: Mapping[str, object]) -> dict[str, object]:
    """Return the keywords of reading that differ from their defaults, as a preset repeats them."""
    found: dict[str, object] = {}
    for name, value in reading_arguments(keywords).items():
        if value in (False, "nats", [], (), {}):
            continue
        if name == "mapping":
            found["map"] = [f"{role}={column}" for role, column in value.items()]
        else:
            found[name] = list(value) if isinstance(value, tuple) else value
    return found


def _mapping(given: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    """Return which column plays which role, from a mapping or from texts such as ``loss=eval/loss``."""
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
