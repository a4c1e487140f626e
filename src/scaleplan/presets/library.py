"""Find the file of a preset by its name, and read it; errors name the key that is wrong."""

from __future__ import annotations

import math
import os
import re
from contextlib import suppress
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from scaleplan.errors import FileError, ScaleplanError, UnknownNameError, quote
from scaleplan.files import DATA_FILES, is_file, names_in, preset_folders, read_table, read_text
from scaleplan.laws import LAWS, law_class
from scaleplan.laws.base import Allocation, Cost, Curve, LossSurface, Units
from scaleplan.presets.conventions import NATS
from scaleplan.presets.preset import (
    LN,
    NOT_STATED,
    PARAMS_CONVENTIONS,
    SCHEMA,
    STATUSES,
    BacktestRms,
    Conventions,
    FitRange,
    Line,
    Preset,
    Uncertainty,
)
from scaleplan.record import Record, Result
from scaleplan.units import format_factor, format_flops, format_fraction, format_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scaleplan.laws.base import Law
    from scaleplan.laws.forecast import Forecast
    from scaleplan.toml_table import Table

__all__ = [
    "DEFAULT_PRESET",
    "PRESET_NAME",
    "Library",
    "PresetPaths",
    "Validation",
    "preset_of",
    "range_of",
    "read_preset",
    "require_written_by_fit",
    "units_of",
    "validate",
]

DEFAULT_PRESET = "besiroglu-2024"

PRESET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
"""What an id or an alias is made of."""


class Library:
    """The preset files of some folders; a later folder wins over an earlier one.

    Parameters
    ----------
    folders
        Folders of ``ID.toml`` files, each optional on disk; the bundled one and the user's own by default.

    """

    __slots__ = ("folders",)

    def __init__(self, folders: Sequence[Path] | None = None) -> None:
        bundled, *own = preset_folders() if folders is None else folders
        self.folders = (bundled / "laws" if folders is None else bundled, *own)

    def load(self, name: str) -> Preset:
        """Return the preset of an id, an alias, or a path (with a separator or ending in ``.toml``).

        An id is the name of its file, so that one file is read; for an alias those that its text occurs in. Raises
        UnknownNameError, or FileError for an invalid file.
        """
        if name.endswith(".toml") or "/" in name or os.sep in name:
            return read_preset(Path(name))
        wanted = name.casefold()
        files = self.files()
        for known, path in files.items():
            if known.casefold() == wanted:
                return _filed(path)
        for path in reversed(files.values()):  # the user's own first
            with suppress(FileError):  # a broken neighbour must not hide a good preset
                if wanted in read_text(path, what="preset").casefold():
                    preset = _filed(path)
                    if wanted in map(str.casefold, preset.aliases):
                        return preset
        raise _unknown(name, files)

    def ids(self) -> tuple[str, ...]:
        """Return the ids of all presets, sorted."""
        return tuple(sorted(self.files()))

    def all(self) -> tuple[Preset, ...]:
        """Return all presets, sorted by id; raises FileError for the first invalid file."""
        return tuple(_filed(path) for _, path in sorted(self.files().items()))

    def files(self) -> dict[str, Path]:
        """Return the file of each id."""
        return {name[:-5]: folder / name for folder in self.folders for name in _listing(folder)}


def _unknown(name: str, files: Mapping[str, Path]) -> UnknownNameError:
    """Return the error for a name that is neither an id nor an alias."""
    names, broken = list(files), ""
    for path in reversed(list(files.values())):
        try:
            names += _filed(path).aliases
        except FileError as error:
            broken = broken or f"; one file could not be read: {error.message}"
    unknown = UnknownNameError("preset", name, names, listing="scaleplan presets list")
    unknown.hint = f"{unknown.hint}{broken}"
    return unknown


def _listing(folder: Path) -> list[str]:
    """Return the names of the law presets in a folder; none when it does not exist."""
    try:
        names = names_in(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError) as error:
        raise FileError(f"cannot list the presets in {quote(folder)}: {error}") from None
    return sorted(
        name for name in names if name.endswith(".toml") and not name.startswith(".") and name not in DATA_FILES
    )


def _filed(path: Path) -> Preset:
    """Read a preset of a folder, where its id must be the name of its file."""
    preset = read_preset(path)
    if preset.id != path.stem:
        raise FileError(
            f"{preset.origin}: id: expected {quote(path.stem)}, the name of the file, found {quote(preset.id)}",
            hint="rename the file or change the id",
        )
    return preset


def require_written_by_fit(path: Path) -> None:
    """Refuse, by a FileError, to replace a file that is no preset that a fit wrote: no fit can restore that."""
    if not is_file(path) or path.stat().st_size == 0:
        return
    with suppress(FileError):
        if "fit" in read_table(path, what="preset"):
            return
    raise FileError(
        f"cannot write {quote(path)}: it is there, and was not written by fit", hint="name another file, or remove it"
    )


def read_preset(path: Path) -> Preset:
    """Read and check one preset file; raises FileError that names the key."""
    return preset_of(read_table(path, what="preset"))


def preset_of(top: Table) -> Preset:
    """Check the table of a preset file that has been read already; raises as :func:`read_preset` does."""
    schema = top.integer("schema")
    if not 1 <= schema <= SCHEMA:
        raise top.error("schema", f"expected 1 or {SCHEMA}", hint="a newer scaleplan may be needed to read this file")
    form = top.choice("form", LAWS)
    conventions, cost = _conventions(top.table("conventions"))
    units = units_of(top.table("units"))
    published = law_class(form).from_table(top.table("coefficients"))
    if isinstance(published, Allocation):
        published = published.with_cost(cost)
    try:
        law = published.in_raw_units(units)
    except NotImplementedError as error:
        raise top.error("units", str(error)) from None
    except ArithmeticError:
        raise top.error("units", "with these the coefficients are out of range") from None
    uncertainty = _uncertainty(top.table("uncertainty"), published) if "uncertainty" in top else None
    notes, caveats = _notes(top)
    span = range_of(top.table("range"))
    forecast = None
    if "forecast" in top:
        if schema < _FORECASTS:
            raise top.error(
                "forecast", f"expected none before schema {_FORECASTS}", hint=f"write schema = {_FORECASTS}"
            )
        if form not in _FORECAST_FORMS or units is not None:
            raise top.error("forecast", f"expected none but with form {' or '.join(_FORECAST_FORMS)}, in raw units")
        law = forecast = _forecast(top, span)
    question = _as_logarithms(law, span)
    name = top.text("id")
    if not PRESET_NAME.fullmatch(name):
        raise top.error("id", "expected letters, digits, '.', '_' and '-' only")
    preset = Preset(
        id=name,
        aliases=_aliases(top),
        title=_line(top, "title"),
        form=form,
        source=_line(top, "source"),
        status=top.choice("status", STATUSES),
        law=law,
        published=published,
        forecast=forecast,
        units=units,
        uncertainty=uncertainty,
        conventions=conventions,
        cost=cost,
        range=span,
        line=_line_of(top.table("line")) if "line" in top else None,
        refusal=_refusal(top.table("use")),
        notes=notes,
        caveats=caveats if question is None else (*caveats, question),
        fit=_fit(top) if "fit" in top else None,
        origin=top.source,
    )
    top.done()
    _require_usable(preset, top)
    return preset


def _forecast(top: Table, known: FitRange) -> Forecast:
    """Read the forecast of a fit; raises FileError where it vouches for more than the runs of the range allow.

    The range of compute is that of the file of runs, which may count more or less than 6ND, and says nothing here.
    """
    from scaleplan.laws.forecast import MARGIN, Forecast  # only fits have one

    forecast = Forecast.from_table(top.table("forecast"))
    _, farthest, narrow, wide = forecast.span
    room = math.log(forecast.reach) + _ROUNDED
    beyond = False
    if known.params is not None and known.tokens is not None:
        beyond = farthest > room + math.log(known.params[1]) + math.log(known.tokens[1])
    if known.tokens_per_param is not None:
        low, high = map(math.log, known.tokens_per_param)
        beyond = beyond or max(low - narrow, wide - high) > MARGIN + _ROUNDED
    if beyond:
        hint = (
            f"it ends at {format_factor(forecast.reach)} the largest run, and a factor of "
            f"{format_number(math.exp(MARGIN), digits=2)} beyond "
            "their ratios"
        )
        raise FileError(f"{top.source}: forecast.span: reaches farther than the runs of 'range' allow", hint=hint)
    return forecast


_ROUNDED = 1e-3  # of a logarithm: ranges may be written with four digits

_FORECASTS = 2
"""The schema from which preset files may hold a forecast."""

_FORECAST_FORMS = ("additive", "three_exponent")
"""The forms of which a fit forecasts, which need no quantity but params and tokens."""


def _line(table: Table, key: str, default: str | None = None) -> str:
    """Return one line of text that is safe to print."""
    text = table.text(key, default)
    if not text.strip() or not text.isprintable():
        raise table.error(key, "expected one line of printable text")
    return text


def _aliases(top: Table) -> tuple[str, ...]:
    aliases = top.texts("aliases", ())
    if not all(PRESET_NAME.fullmatch(alias) for alias in aliases):
        raise top.error("aliases", "expected names of letters, digits, '.', '_' and '-' only")
    return aliases


def _conventions(table: Table) -> tuple[Conventions, Cost]:
    params = table.choice("params", PARAMS_CONVENTIONS)
    flops = table.text("flops", "6ND")
    cost = Cost.from_convention(flops)
    if cost is None or cost.per_param_token <= 0:
        raise table.error("flops", "expected a compute convention such as 6ND, MD or 9.59ND + 2.3e8D")
    if (params == "flops_per_token") != (flops == "MD"):
        raise table.error("flops", f"does not go with params = '{params}'", hint="MD goes with flops_per_token only")
    conventions = Conventions(
        params=params,
        flops=flops,
        loss=_line(table, "loss", NOT_STATED),
        tokenizer=_line(table, "tokenizer", NOT_STATED),
        corpus=_line(table, "corpus", NOT_STATED),
        bytes_per_token=table.optional_number("bytes_per_token", at_least=1),
    )
    if conventions.bytes_per_token is not None and conventions.loss != NATS:
        raise table.error("bytes_per_token", f"goes with loss = '{NATS}' alone")
    table.done()
    return conventions, cost


def units_of(table: Table) -> Units | None:
    """Read the units of the coefficients; None where the file states none, so that they are raw."""
    if not table.data:
        return None
    units = Units(**{item.name: table.number(item.name, 1.0, above=0) for item in fields(Units)})
    table.done()
    return units


def range_of(table: Table) -> FitRange:
    """Read the range that a law was fitted on."""
    found = FitRange(**{item.name: table.interval(item.name) for item in fields(FitRange)})
    table.done()
    return found


def _line_of(table: Table) -> Line:
    """Read the line on which alone a law is determined."""
    params, tokens = table.numbers("params"), table.numbers("tokens")
    if len(params) < 2 or len(params) != len(tokens):
        raise table.error("params", "expected two points or more, with as many tokens as params")
    for name, values in (("params", params), ("tokens", tokens)):
        if not all(0 < value < math.inf for value in values):
            raise table.error(name, "expected numbers above 0")
    points = list(zip(params, tokens, strict=True))
    if any(one == other for one, other in pairwise(points)):
        raise table.error("params", "expected different points")
    found = Line(params=params, tokens=tokens, within=table.number("within", above=1))
    table.done()
    return found


def _refusal(table: Table) -> str | None:
    allocate = table.boolean("allocate", default=True)
    reason = _line(table, "reason", "-")
    if not allocate and "reason" not in table:
        raise table.error(
            "reason", "this key is missing", hint="say why the law must not choose tokens per parameter"
        )
    table.done()
    return None if allocate else reason


def _notes(top: Table) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return all notes, and those among them that every plan must repeat (``warn = true``)."""
    notes, caveats = [], []
    for table in top.tables("notes"):
        notes.append(_line(table, "text"))
        if table.boolean("warn", default=False):
            caveats.append(notes[-1])
        table.done()
    return tuple(notes), tuple(caveats)


def _fit(top: Table) -> Mapping[str, object]:
    provenance = top.table("fit")
    if not _printable(provenance.data):
        raise top.error("fit", "expected printable texts only")
    return provenance.data


def _printable(value: object) -> bool:
    if isinstance(value, dict):
        return _printable([*value, *value.values()])
    if isinstance(value, list):
        return all(map(_printable, value))
    return not isinstance(value, str) or value.isprintable()


def _uncertainty(table: Table, law: Law) -> Uncertainty:
    parameters = table.texts("parameters")
    known = law.coefficients()
    for name in parameters:
        coefficient = name.removeprefix(LN)
        if coefficient not in known:
            raise table.error("parameters", f"expected coefficients of form {law.form}: {', '.join(known)}")
        if name != coefficient and known[coefficient] <= 0:
            raise table.error("parameters", f"'{name}' is not defined: {coefficient} is not positive")
    if not parameters or len({name.removeprefix(LN) for name in parameters}) < len(parameters):
        raise table.error("parameters", "expected each uncertain coefficient once")
    if ("covariance" in table) == ("draws" in table):
        raise table.error("covariance", "expected either covariance or draws")
    key = "covariance" if "covariance" in table else "draws"
    rows = table.matrix(key)
    if not rows or len(rows[0]) != len(parameters):
        raise table.error(key, f"expected rows of {len(parameters)} numbers")
    if key == "covariance" and not _is_covariance(rows):
        raise table.error(key, "expected a square, symmetric, positive semidefinite matrix")
    centre = table.numbers("centre", ())
    if len(centre) not in (0, len(parameters)):
        raise table.error("centre", f"expected {len(parameters)} numbers")
    found = Uncertainty(
        parameters=parameters,
        covariance=rows if key == "covariance" else (),
        draws=rows if key == "draws" else (),
        centre=centre,
        method=_line(table, "method", "not stated"),
        samples=table.integer("samples", at_least=1) if "samples" in table else None,
        freedom=table.integer("freedom", at_least=1) if "freedom" in table else None,
        backtest=_backtest(table.table("backtest")) if "backtest" in table else None,
    )
    table.done()
    return found


def _backtest(table: Table) -> BacktestRms:
    found = BacktestRms(factors=table.numbers("factors"), rms=table.numbers("rms"))
    if not found.factors or len(found.factors) != len(found.rms):
        raise table.error("rms", "expected one error for each factor")
    if min(found.factors) < 1 or len(set(found.factors)) < len(found.factors):
        raise table.error("factors", "expected different numbers of at least 1")
    if min(found.rms) < 0:
        raise table.error("rms", "expected numbers of at least 0")
    table.done()
    return found


def _is_covariance(rows: Sequence[Sequence[float]]) -> bool:
    """Whether the matrix is square, symmetric and positive semidefinite, by an LDL factorisation."""
    size = len(rows)
    if len(rows[0]) != size:
        return False
    scale = [math.sqrt(abs(rows[i][i])) for i in range(size)]
    rest = [list(row) for row in rows]
    for i in range(size):
        if rows[i][i] < 0 or any(abs(rows[i][j] - rows[j][i]) > 1e-12 * scale[i] * scale[j] for j in range(i)):
            return False
    for k in range(size):
        pivot = rest[k][k]
        if pivot < -1e-12 * rows[k][k]:
            return False
        if pivot <= 1e-14 * rows[k][k]:  # nothing is left to vary, so nothing may covary
            if any(abs(rest[i][k]) > 1e-6 * scale[i] * scale[k] for i in range(k + 1, size)):
                return False
            continue
        for i in range(k + 1, size):
            for j in range(k + 1, size):
                rest[i][j] -= rest[i][k] * rest[k][j] / pivot
    return True


_LARGEST_LOGARITHM = 35.0
"""The natural logarithm of 1e15: no source states a scale of a loss, in N or D, beyond it."""

_LEAST_SHARE = 0.1
"""Of what the loss of the smallest runs has above its floor, in the floor; at 1e18 FLOP published laws have 0.32."""

_SMALL_RUN = 1e18
"""FLOP of a small run, where a law states no range: all published laws reach down to it or further."""


def _as_logarithms(law: Law, span: FitRange) -> str | None:
    """Return the question whether scales of a loss are given as their logarithms; None where nothing hints at it.

    Sources that fit in logarithms print a = ln A and b = ln B. Taken for A and B these make a law that all but stands
    on its floor whatever the size of the model.
    """
    known = law.coefficients()
    names = [name for name in ("A", "B", "a", "b", "loss_scale") if name in known]
    if not names or isinstance(law, Curve) or not all(known[name] <= _LARGEST_LOGARITHM for name in names):
        return None
    flops = span.flops[0] if span.flops else _SMALL_RUN
    try:
        share = _share_above_floor(law, flops)
    except ArithmeticError:  # such a law is refused as a whole
        return None
    if share is None or share >= _LEAST_SHARE:
        return None
    return (
        f"{' and '.join(names)} look like logarithms: at {format_flops(flops)} the loss is only "
        f"{format_fraction(share)} above its "
        f"floor; if the source states ln {names[0]}, write {names[0]}"
    )


def _share_above_floor(law: Law, flops: float) -> float | None:
    """Return how far the best loss of a budget lies above the floor of a law, as a share of the floor."""
    floor = float(getattr(law, "floor", 0.0))
    if floor <= 0:
        return None
    if isinstance(law, Allocation):
        loss = law.frontier_loss(flops)
        return None if loss is None else loss / floor - 1
    split = law.best_split(flops / 6) if isinstance(law, LossSurface) else None
    return None if split is None or not isinstance(law, LossSurface) else law.reducible(*split) / floor


def _require_usable(preset: Preset, top: Table) -> None:
    """Refuse coefficients inside their domains that still give no finite answer between 1e12 and 1e30 FLOP."""
    laws = [preset.law]
    if preset.uncertainty:
        laws += [_moved(preset, draw, top) for draw in preset.uncertainty.draws]
    for law in laws:
        try:
            values = [value for flops in (1e12, 1e30) for value in _answers(law, flops)]
        except ArithmeticError:
            values = [math.nan]
        if not all(math.isfinite(value) and value > 0 for value in values):
            key = "coefficients" if preset.forecast is None else "forecast"
            raise top.error(key, "these give no finite answer between 1e12 and 1e30 FLOP")


def _moved(preset: Preset, draw: Sequence[float], top: Table) -> Law:
    try:
        law = preset.law_at(draw)
    except ArithmeticError:
        raise top.error("uncertainty", "a draw is out of range") from None
    for item in fields(law):
        value, low, least = getattr(law, item.name), item.metadata.get("above"), item.metadata.get("at_least")
        if value is None:  # an optional coefficient that the source does not give
            continue
        if (low is not None and value <= low) or (least is not None and value < least):
            raise top.error("uncertainty", f"a draw takes {item.name} outside its domain")
    return law


def _answers(law: Law, flops: float) -> tuple[float, ...]:
    if isinstance(law, Allocation):
        return law.split(flops)
    if isinstance(law, LossSurface):
        side = math.sqrt(flops / 6)
        return (law.loss(side, side), *(law.best_split(flops / 6) or ()))
    return (1.0,) if all(math.isfinite(value) for value in law.coefficients().values()) else (math.nan,)


class PresetPaths(Result, Record):
    """The file of a preset, or the folders that are searched."""

    schema: ClassVar[str] = "scaleplan/paths/1"

    paths: tuple[str, ...]

    @property
    def rows(self) -> list[dict[str, object]]:
        """One row a path."""
        return [{"path": path} for path in self.paths]


class ValidatedFile(Record):
    """A file that should be a preset: its id, or its problem; that of a valid one is a doubtful value."""

    file: str
    valid: bool
    id: str | None
    problem: str | None


class Validation(Result, Record):
    """Files that should be presets, and how many are not."""

    schema: ClassVar[str] = "scaleplan/validation/1"

    invalid: int
    files: tuple[ValidatedFile, ...]


def validate(files: Sequence[str]) -> Validation:
    """Read each file as a preset, and return what is wrong with those that are none."""
    found = []
    for file in files:
        try:
            preset = read_preset(Path(file))
            question = _as_logarithms(preset.law, preset.range)
            found.append(ValidatedFile(file=file, valid=True, id=preset.id, problem=question))
        except ScaleplanError as error:
            found.append(ValidatedFile(file=file, valid=False, id=None, problem=error.message))
    return Validation(invalid=sum(not each.valid for each in found), files=tuple(found))
