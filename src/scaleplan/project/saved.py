"""Read a saved JSON result back as its record, to show it in another format or compare it with a newer one.

Every result is a frozen record whose fields are its keys, so one reader serves all of them. Keys that this version
does not know are left out: a newer version may write more.
"""

from __future__ import annotations

import builtins
import json
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from importlib import import_module
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    Protocol,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from scaleplan.documents.document import json_lines, located
from scaleplan.errors import FileError, ScaleplanError, escape_control, quote
from scaleplan.files import read_text
from scaleplan.planning.constraints import constraint_keys
from scaleplan.planning.plan import Plan
from scaleplan.presets.preset import PARAMS_CONVENTIONS
from scaleplan.project.saved_fit import wrong_key
from scaleplan.project.source import display_name
from scaleplan.record import Result
from scaleplan.units.limits import QUANTITIES, parse_limit

if TYPE_CHECKING:
    from pathlib import Path

    from scaleplan.documents.key_path import Key

__all__ = [
    "MAX_SAVED_BYTES",
    "RESULTS",
    "ResultRecord",
    "SavedResult",
    "field_types",
    "key_types",
    "lines_of",
    "read_located",
    "read_saved",
    "read_saved_file",
    "record_of",
]

MAX_SAVED_BYTES = 64_000_000  # a check of a thousand runs is 3 MB


_AGAIN = "save it again with --json"


class ResultRecord(Protocol):
    """Any result: a record with a schema and a JSON form."""

    @property
    def schema(self) -> str:
        """The schema of the JSON form."""

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that ``--json`` prints."""


class SavedResult(Result):
    """A fit or a backtest as its JSON, because its own record holds the runs; ``target`` is the plan of a fit."""

    def __init__(self, data: dict[str, object], target: Plan | None) -> None:
        self.data, self.target = data, target

    @property
    def schema(self) -> str:  # type: ignore[override]
        """The schema that the result names."""
        return str(self.data["schema"])

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that was read."""
        return self.data


RESULTS: Mapping[str, str] = {
    "scaleplan/plan/1": "scaleplan.planning.plan:Plan",
    "scaleplan/plans/1": "scaleplan.planning.plan:Plans",
    "scaleplan/check/1": "scaleplan.project.check:Check",
    "scaleplan/diff/1": "scaleplan.project.diff:Difference",
    "scaleplan/marginal/1": "scaleplan.advice.marginal:Marginal",
    "scaleplan/conversion/1": "scaleplan.hardware.convert:Conversion",
    "scaleplan/memory/1": "scaleplan.models.memory_summary:MemorySummary",
    "scaleplan/ways/1": "scaleplan.advice.compared_ways:Ways",
    "scaleplan/design/1": "scaleplan.fitting.pilot:PilotDesign",
    "scaleplan/ladder/1": "scaleplan.ladder.ladder:Ladder",
    "scaleplan/pool-design/1": "scaleplan.fitting.candidate_pool:PoolDesign",
    "scaleplan/ladder-status/1": "scaleplan.ladder.status:LadderStatus",
    "scaleplan/forecast/1": "scaleplan.tracking.registered:RegisteredForecast",
    "scaleplan/outcome/1": "scaleplan.tracking.registered:Outcome",
    "scaleplan/forecasts/1": "scaleplan.tracking.registered:TrackRecord",
    "scaleplan/track/1": "scaleplan.tracking.tracked_run:Tracking",
    "scaleplan/hyperparameters/1": "scaleplan.advice.batch:Advice",
    "scaleplan/precisions/1": "scaleplan.advice.precisions:PrecisionChoice",
    "scaleplan/vocabulary/1": "scaleplan.advice.vocabulary:Vocabulary",
    "scaleplan/chart/1": "scaleplan.charts.chart:Chart",
    "scaleplan/preset/1": "scaleplan.presets.preset:PresetSummary",
    "scaleplan/presets/1": "scaleplan.presets.preset:PresetList",
    "scaleplan/gpu/1": "scaleplan.hardware.accelerators:PricedAccelerator",
    "scaleplan/gpus/1": "scaleplan.hardware.accelerators:AcceleratorList",
    "scaleplan/gpu-comparison/1": "scaleplan.advice.gpu_comparison:GpuComparison",
    "scaleplan/gpu-validation/1": "scaleplan.project.own_hardware:HardwareValidation",
    "scaleplan/family/1": "scaleplan.models.families.listing:FamilySummary",
    "scaleplan/families/1": "scaleplan.models.families.listing:FamilyList",
    "scaleplan/family-validation/1": "scaleplan.models.families.listing:FamilyValidation",
    "scaleplan/public-model/1": "scaleplan.models.public_models:PublicModel",
    "scaleplan/models/1": "scaleplan.models.public_models:PublicModelList",
    "scaleplan/validation/1": "scaleplan.presets.library:Validation",
    "scaleplan/paths/1": "scaleplan.presets.library:PresetPaths",
    "scaleplan/evaluation/1": "scaleplan.planning.evaluation:Evaluation",
    "scaleplan/init/1": "scaleplan.project.project:NewProject",
    "scaleplan/runs/1": "scaleplan.logs.logged_run:LoggedRuns",
    "scaleplan/fleet/1": "scaleplan.fitting.fleet_laws:Fleet",
    "scaleplan/fit/1": "scaleplan.project.saved_fit:SavedFit",
    "scaleplan/backtest/1": "scaleplan.project.saved_fit:SavedBacktest",
    "scaleplan/model/1": "scaleplan.models.model:ModelSummary",
    "scaleplan/model-body/1": "scaleplan.models.model:ModelBody",
    "scaleplan/shape/1": "scaleplan.models.shape:ShapeSummary",
    "scaleplan/schemas/1": "scaleplan.output.schemas:SchemaList",
}
"""The class of every result, or the types of its keys, by its schema, imported when one is read."""

_STEEPEST = 1000.0  # 2 to this power is a number still

_FARTHEST = 1e100  # differences and ratios of such values are numbers still

_JUDGED = ("pass", "warn", "fail", "error")

_ARCHITECTURE = {"family", "layers", "width", "heads", "kv_heads", "expert_width", "ffn_width", "params", "vocab"}


def _positive(value: float) -> bool:
    return value > 0


_DOMAINS: Mapping[str, Callable[[Any], bool]] = {
    "Plan.params_convention": PARAMS_CONVENTIONS.__contains__,
    "Plan.params": _positive,
    "Plan.tokens": _positive,
    "Plan.flops": _positive,
    "Marginal.flops": _positive,
    "ModelSummary.params": _positive,
    "ModelSummary.flops_per_token": _positive,
    "Marginal.exponent": lambda value: abs(value) <= _STEEPEST,
    "Memory.total": _positive,
    "PilotRun.params": _positive,
    "PilotDesign.runs": bool,
    "PilotDesign.params_convention": PARAMS_CONVENTIONS.__contains__,
    "Ladder.runs": bool,
    "LadderRun.params": _positive,
    "LadderRun.tokens": _positive,
    "Verdict.status": _JUDGED.__contains__,
    "Verdict.quantity": QUANTITIES.__contains__,
    "Verdict.limit": lambda text: _holds(lambda: parse_limit(text)),
    "Breach.status": _JUDGED.__contains__,
    "TrainingRun.architecture": lambda value: value.keys() >= _ARCHITECTURE and type(value["params"]) is int,
}
"""What a value must be beside its type, where a report relies on it, by record and field."""

_TOGETHER: Mapping[str, Callable[[Any], str | None]] = {
    "Chart": lambda chart: next((axis for axis in ("x", "y") if not _drawable(chart, axis)), None),
    "Conversion": lambda value: "grid" if (value.grid is None) != (value.grid_g_co2_per_kwh is None) else None,
    "Bill": lambda value: "grid" if (value.grid is None) != (value.grid_g_co2_per_kwh is None) else None,
    "PrecisionChoice": lambda choice: None if choice.best in [row.precision for row in choice.rows] else "best",
}
"""The key that does not agree with others, where a report relies on it, by record; None where all agree."""


def _drawable(chart: Any, axis: str) -> bool:  # noqa: ANN401  charts need not be known here
    """Return whether the values of an axis can be drawn: of a size that has ticks, and above 0 on a log scale."""
    least = 1 / _FARTHEST if getattr(chart, axis).scale == "log" else -_FARTHEST
    return all(least <= value <= _FARTHEST for value in chart.values(axis))


def _holds(question: Callable[[], object]) -> bool:
    try:
        question()
    except ScaleplanError:
        return False
    return True


_PARTS = (
    "collections.abc",
    "scaleplan.errors",
    "scaleplan.hardware.bill",
    "scaleplan.hardware.budget",
    "scaleplan.hardware.chances",
    "scaleplan.hardware.deadline",
    "scaleplan.hardware.interruptions",
    "scaleplan.hardware.owned",
    "scaleplan.laws.base",
    "scaleplan.models.memory",
    "scaleplan.models.walltime",
    "scaleplan.planning.conflicts",
    "scaleplan.planning.training_run",
    "scaleplan.planning.uncertainty",
    "scaleplan.documents.key_path",
    "scaleplan.project.project",
    "scaleplan.tracking.ending",
    "scaleplan.tracking.planned",
    "scaleplan.tracking.verdict",
)
"""Modules of further records that results hold, whose names annotations use without importing them."""


def read_saved(text: str, *, name: str) -> ResultRecord:
    """Return the result in a JSON text, or the plans in JSON Lines, one a line; ``name`` is the file, for errors.

    Raises FileError when it is not JSON, of no schema that can be read, or lacks a key.
    """
    try:
        data = _parse(text)
    except json.JSONDecodeError as error:
        reason = f"not valid JSON at line {error.lineno}: {error.msg.lower()}"
        raise FileError(f"{name}: {reason}", hint=_AGAIN) from None
    except RecursionError:
        raise FileError(f"{name}: not valid JSON: nested too deeply", hint=_AGAIN) from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(schema, str) or schema not in RESULTS:
        raise _unknown_schema(schema, name)
    decoder = _Decoder(name)
    decoder.require_usable(data, "")
    found = decoder.value(record_of(RESULTS[schema]), data, "")
    if isinstance(found, dict):
        wrong = wrong_key(found) if schema == "scaleplan/fit/1" else None
        if wrong is not None:
            raise FileError(f"{name}: {escape_control(wrong)}: does not agree with the other values", hint=_AGAIN)
        return SavedResult(found, decoder.value(Plan | None, found.get("target"), "target"))
    result: ResultRecord = found
    return result


def read_located(text: str, *, name: str) -> ResultRecord:
    """Return the result in a text as :func:`read_saved` does; its error has the line where that is known."""
    try:
        return read_saved(text, name=name)
    except FileError as error:
        raise located(error, name=name, lines=lines_of(text)) from None


_MOST_LINED = 2_000_000  # characters of a saved result whose lines are found: a second of work


def lines_of(text: str) -> dict[Key, int]:
    """Return the lines of the keys of a JSON text; none of a long one, or of one that is no JSON."""
    try:
        json.loads(text[: _MOST_LINED + 1])
    except (ValueError, RecursionError):
        return {}
    return json_lines(text)


def _unknown_schema(schema: object, name: str) -> FileError:
    """Return the error for a schema that is none, or that of another version."""
    if not isinstance(schema, str):
        found = "no schema that can be read"
    else:
        found = f"schema {quote(schema)} cannot be read"
        if f"{schema.rpartition('/')[0]}/1" in RESULTS:
            return FileError(f"{name}: {found}", hint="a newer scaleplan wrote it, and can show it")
    known = ", ".join(each.split("/")[1] for each in RESULTS)
    return FileError(f"{name}: {found}", hint=f"saved results are scaleplan/NAME/1 of {known}")


def read_saved_file(path: Path) -> ResultRecord:
    """Return the result in a file of JSON; raises FileError like :func:`read_located`."""
    return read_located(read_text(path, what="saved result", limit=MAX_SAVED_BYTES), name=display_name(path))


def record_of(place: str) -> Any:  # noqa: ANN401  a class
    """Import the class, or the types of the keys, of a result, or of a part of one, by ``"module:name"``."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def _parse(text: str) -> object:
    """Read JSON; several objects, one a line, are the plans of several budgets."""
    decoder = json.JSONDecoder(parse_int=_whole, parse_float=_finite, parse_constant=_finite)
    try:
        return decoder.decode(text)
    except json.JSONDecodeError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if error.msg != "Extra data" or not all(line.startswith('{"schema": "scaleplan/plan/1"') for line in lines):
            raise
        return {"schema": "scaleplan/plans/1", "plans": [decoder.decode(line) for line in lines], "warnings": []}


_LARGEST = 1e300  # no result has a larger number, and it can still be written in another unit


class _Unusable(str):
    """A number that no result has: NaN, an infinity, what overflows to one."""

    __slots__ = ()


def _finite(text: str) -> float | _Unusable:
    value = float(text)
    return value if abs(value) <= _LARGEST else _Unusable(text)  # false for NaN too


def _whole(text: str) -> int | _Unusable:
    return _Unusable(text) if isinstance(_finite(text), _Unusable) else int(text)


class _Decoder:
    """Turns JSON values into what records declare; ``name`` is the file, for errors."""

    def __init__(self, name: str) -> None:
        self.name = name

    def value(self, kind: Any, value: object, path: str) -> Any:  # noqa: ANN401  any type there is in a record
        """Return a JSON value as the type that a record declares."""
        origin, inner = get_origin(kind), get_args(kind)
        record = origin or kind
        if is_typeddict(kind):
            return self._mapping(kind, value, path)
        if origin in (Union, types.UnionType):
            return self._union(inner, value, path)
        if origin in (tuple, list):
            return self._tuple(inner if origin is tuple else (*inner, ...), value, path)
        if isinstance(record, type) and is_dataclass(record):
            return self._record(record, value, path)
        return self._plain(kind, value, path)

    def _plain(self, kind: Any, value: object, path: str) -> Any:  # noqa: ANN401  as for value
        """Return a value of a type that is no record, no choice and no list: a mapping, a number, a text."""
        origin, inner = get_origin(kind), get_args(kind)
        if (origin or kind) in (dict, Mapping):
            if isinstance(value, dict):
                held = inner[1] if inner else object
                return {key: self.value(held, item, f"{path}.{key}") for key, item in value.items()}
        elif isinstance(kind, TypeVar) or kind is float:
            if isinstance(value, int | float) and not isinstance(value, bool):
                return value
        elif kind is object or (value in inner if origin is Literal else type(value) is kind):
            return value
        raise self._wrong(path, value)

    def _wrong(self, path: str, value: object) -> FileError:
        message = f"{self.name}: {escape_control(path)}: not a value that this key can have: {quote(value)}"
        return FileError(message, hint=_AGAIN)

    def require_usable(self, value: object, path: str) -> None:
        """Refuse a number that no result has, by a FileError with its key."""
        if isinstance(value, _Unusable):
            raise self._wrong(path, value)
        if isinstance(value, dict):
            for key, item in value.items():
                self.require_usable(item, f"{path}.{key}" if path else key)
        elif isinstance(value, list):
            for i, item in enumerate(value):
                self.require_usable(item, f"{path}[{i}]")

    def _union(self, inner: tuple[Any, ...], value: object, path: str) -> Any:  # noqa: ANN401
        """Return a value of the first alternative that it can be; the error is that of the last."""
        *others, last = [kind for kind in inner if kind is not type(None)]
        if value is None and len(others) + 1 < len(inner):
            return None
        for kind in others:
            try:
                return self.value(kind, value, path)
            except FileError:
                continue
        return self.value(last, value, path)

    def _tuple(self, inner: tuple[Any, ...], value: object, path: str) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise FileError(f"{self.name}: {path}: expected a list, found {quote(value)}", hint=_AGAIN)
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else list(inner)
        if len(kinds) != len(value):
            raise FileError(f"{self.name}: {path}: expected {len(kinds)} values, found {len(value)}", hint=_AGAIN)
        pairs = enumerate(zip(kinds, value, strict=True))
        return tuple(self.value(kind, item, f"{path}[{i}]") for i, (kind, item) in pairs)

    def _record(self, record: type, value: object, path: str) -> Any:  # noqa: ANN401
        if not isinstance(value, dict):
            raise FileError(f"{self.name}: {path}: expected an object, found {quote(value)}", hint=_AGAIN)
        hints = field_types(record)
        values = {}
        for field in fields(record):
            where = f"{path}.{field.name}" if path else field.name
            if not field.init:  # computed from the others
                continue
            if field.name in value:
                values[field.name] = self.value(hints[field.name], value[field.name], where)
                allowed = _DOMAINS.get(f"{record.__name__}.{field.name}")
                if allowed is not None and values[field.name] is not None and not allowed(values[field.name]):
                    raise self._wrong(where, value[field.name])
            elif field.default is MISSING and field.default_factory is MISSING:
                raise self._missing(where)
        if "constraints" in hints and "constraints" not in value:  # a plan writes these among its own keys
            values["constraints"] = self._constraints(value, set(hints), path)
        try:
            made = record(**values)
            wrong = _TOGETHER.get(record.__name__, lambda _: None)(made)
        except (ArithmeticError, ValueError, ScaleplanError) as error:
            place = f"{path}: " if path else ""
            reason = escape_control(str(error))
            raise FileError(f"{self.name}: {place}values that no result has: {reason}", hint=_AGAIN) from None
        if wrong is not None:
            where = f"{path}.{wrong}" if path else wrong
            raise FileError(f"{self.name}: {where}: does not agree with the other values", hint=_AGAIN)
        return made

    def _missing(self, path: str) -> FileError:
        return FileError(f"{self.name}: {escape_control(path)}: this key is missing", hint=_AGAIN)

    def _mapping(self, kind: Any, value: object, path: str) -> dict[str, object]:  # noqa: ANN401  a TypedDict
        """Return an object as it is, after a check of the keys that a report reads."""
        if not isinstance(value, dict):
            raise FileError(f"{self.name}: {path}: expected an object, found {quote(value)}", hint=_AGAIN)
        for key, held in key_types(kind).items():
            where = f"{path}.{key}" if path else key
            if key in value:
                self.value(held, value[key], where)
            elif key in kind.__required_keys__:
                raise self._missing(where)
        return value

    def _constraints(self, plan: dict[str, object], own: set[str], path: str) -> dict[str, object]:
        known = {item.name: item for item in constraint_keys()}
        found = {}
        for key, value in plan.items():
            if key in own:
                continue
            kind: object = None
            if key in known and value is not None:
                place = known[key].record
                kind = record_of(place) if place else str if known[key].kind == "text" else float
            where = f"{path}.{key}" if path else key
            found[key] = value if kind is None else self.value(kind, value, where)
        return found


@cache
def field_types(record: type) -> dict[str, Any]:
    """Return the types of a record's fields, with the names that its module imports for type checkers alone."""
    return get_type_hints(record, localns=_Names(vars(sys.modules[record.__module__])))


@cache
def key_types(kind: Any) -> dict[str, Any]:  # noqa: ANN401  a TypedDict
    """Return the types of the keys of a saved fit or backtest."""
    return get_type_hints(kind)


class _Names(dict[str, object]):
    """Names of annotations that a module lacks at run time: those of the records' modules, whose names are unique."""

    def __init__(self, own: Mapping[str, object]) -> None:
        super().__init__()
        self._own = own

    def __missing__(self, name: str) -> object:
        if name not in self._own and not hasattr(builtins, name):
            for module in (*_PARTS, *(place.partition(":")[0] for place in RESULTS.values() if place)):
                if hasattr(found := import_module(module), name):
                    return getattr(found, name)
        raise KeyError(name)
