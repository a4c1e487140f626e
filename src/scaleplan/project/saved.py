"""Read a saved JSON result back as its record, to show it in another format or compare it with a newer one.

Every result is a frozen record whose fields are its keys, so one reader serves all of them. Keys that this version
does not know are left out: a newer version may write more.
"""

from __future__ import annotations

import builtins
import json
import math
import sys
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

from scaleplan.errors import FileError, escape_control, quote
from scaleplan.files import read_text
from scaleplan.planning.constraints import constraint_keys
from scaleplan.planning.plan import Plan
from scaleplan.project.source import display_name

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["MAX_SAVED_BYTES", "RESULTS", "ResultRecord", "SavedResult", "read_saved", "read_saved_file"]

MAX_SAVED_BYTES = 64_000_000  # a check of a thousand runs is 3 MB


class ResultRecord(Protocol):
    """Any result: a record with a schema and a JSON form."""

    @property
    def schema(self) -> str:
        """The schema of the JSON form."""

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that ``--json`` prints."""


class SavedResult:
    """A fit or a backtest as its JSON, because its own record holds the runs; ``target`` is the plan of a fit."""

    def __init__(self, data: dict[str, object], target: Plan | None) -> None:
        self.data, self.target = data, target

    @property
    def schema(self) -> str:
        """The schema that the result names."""
        return str(self.data["schema"])

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that was read."""
        return self.data


RESULTS: Mapping[str, str | None] = {
    "scaleplan/plan/1": "scaleplan.planning.plan:Plan",
    "scaleplan/plans/1": "scaleplan.planning.plan:Plans",
    "scaleplan/check/1": "scaleplan.project.check:Check",
    "scaleplan/diff/1": "scaleplan.project.diff:Difference",
    "scaleplan/marginal/1": "scaleplan.advice.marginal:Marginal",
    "scaleplan/conversion/1": "scaleplan.hardware.convert:Conversion",
    "scaleplan/memory/1": "scaleplan.models.layout:MemorySummary",
    "scaleplan/design/1": "scaleplan.fitting.pilot:PilotDesign",
    "scaleplan/hyperparameters/1": "scaleplan.advice.batch:Advice",
    "scaleplan/precisions/1": "scaleplan.advice.precisions:PrecisionChoice",
    "scaleplan/vocabulary/1": "scaleplan.advice.vocabulary:Vocabulary",
    "scaleplan/chart/1": "scaleplan.charts.chart:Chart",
    "scaleplan/preset/1": "scaleplan.presets.preset:PresetSummary",
    "scaleplan/presets/1": "scaleplan.presets.preset:PresetList",
    "scaleplan/gpu/1": "scaleplan.hardware.accelerators:PricedAccelerator",
    "scaleplan/gpus/1": "scaleplan.hardware.accelerators:AcceleratorList",
    "scaleplan/validation/1": "scaleplan.presets.library:Validation",
    "scaleplan/paths/1": "scaleplan.presets.library:PresetPaths",
    "scaleplan/evaluation/1": "scaleplan.planning.evaluation:Evaluation",
    "scaleplan/init/1": "scaleplan.project.project:NewProject",
    "scaleplan/fit/1": None,
    "scaleplan/backtest/1": None,
    "scaleplan/model/1": "scaleplan.models.model:ModelSummary",
    "scaleplan/shape/1": "scaleplan.models.shape:ShapeSummary",
}
"""The class of every result, by its schema, imported when one is read; None where it is kept as its JSON."""

_PARTS = (
    "collections.abc",
    "scaleplan.errors",
    "scaleplan.hardware.budget",
    "scaleplan.laws.base",
    "scaleplan.models.memory",
    "scaleplan.models.walltime",
    "scaleplan.planning.conflicts",
    "scaleplan.planning.training_run",
    "scaleplan.planning.uncertainty",
    "scaleplan.project.project",
)
"""Modules of further records that results hold, whose names annotations use without importing them."""


def read_saved(text: str, *, name: str) -> ResultRecord:
    """Return the result in a JSON text, or the plans in JSON Lines, one a line; ``name`` is the file, for errors.

    Raises FileError when it is not JSON, of no schema that can be read, or lacks a key.
    """
    try:
        data = _parse(text)
    except json.JSONDecodeError as error:
        raise FileError(f"{name}: not valid JSON at line {error.lineno}: {error.msg.lower()}") from None
    except (ValueError, RecursionError):
        reason = "a number that is not finite or too long, or nested too deeply"
        raise FileError(f"{name}: not valid JSON: {reason}") from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(schema, str) or schema not in RESULTS:
        found = f"schema {quote(schema)} cannot be read" if isinstance(schema, str) else "no schema that can be read"
        known = ", ".join(each.split("/")[1] for each in RESULTS)
        raise FileError(f"{name}: {found}", hint=f"saved results are scaleplan/NAME/1 of {known}")
    place = RESULTS[schema]
    decoder = _Decoder(name)
    if place is None:
        return SavedResult(data, decoder.value(Plan | None, data.get("target"), "target"))
    result: ResultRecord = decoder.value(_load(place), data, "")
    return result


def read_saved_file(path: Path) -> ResultRecord:
    """Return the result in a file of JSON; raises FileError like :func:`read_saved`."""
    return read_saved(read_text(path, what="saved result", limit=MAX_SAVED_BYTES), name=display_name(path))


def _load(place: str) -> Any:  # noqa: ANN401  a class
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


def _finite(text: str) -> float:
    """Return a number that a result can have; ValueError for NaN, Infinity and what overflows to it."""
    if not math.isfinite(value := float(text)):
        raise ValueError(text)
    return value


def _whole(text: str) -> int:
    _finite(text)
    return int(text)


class _Decoder:
    """Turns JSON values into what records declare; ``name`` is the file, for errors."""

    def __init__(self, name: str) -> None:
        self.name = name

    def value(self, kind: Any, value: object, path: str) -> Any:  # noqa: ANN401  any type there is in a record
        """Return a JSON value as the type that a record declares."""
        origin, inner = get_origin(kind), get_args(kind)
        record = origin or kind
        if origin in (Union, types.UnionType):
            return self._union(inner, value, path)
        if origin is tuple:
            return self._tuple(inner, value, path)
        if isinstance(record, type) and is_dataclass(record):
            return self._record(record, value, path)
        if record in (dict, Mapping):
            if isinstance(value, dict):
                held = inner[1] if inner else object
                return {key: self.value(held, item, f"{path}.{key}") for key, item in value.items()}
        elif isinstance(kind, TypeVar) or kind is float:
            if isinstance(value, int | float) and not isinstance(value, bool):
                return value
        elif kind is object or (value in inner if origin is Literal else type(value) is kind):
            return value
        raise FileError(f"{self.name}: {path}: not a value that this key can have: {quote(value)}")

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
            raise FileError(f"{self.name}: {path}: expected a list, found {quote(value)}")
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else list(inner)
        if len(kinds) != len(value):
            raise FileError(f"{self.name}: {path}: expected {len(kinds)} values, found {len(value)}")
        pairs = enumerate(zip(kinds, value, strict=True))
        return tuple(self.value(kind, item, f"{path}[{i}]") for i, (kind, item) in pairs)

    def _record(self, record: type, value: object, path: str) -> Any:  # noqa: ANN401
        if not isinstance(value, dict):
            raise FileError(f"{self.name}: {path}: expected an object, found {quote(value)}")
        hints = _hints(record)
        values = {}
        for field in fields(record):
            where = f"{path}.{field.name}" if path else field.name
            if not field.init:  # computed from the others
                continue
            if field.name in value:
                values[field.name] = self.value(hints[field.name], value[field.name], where)
            elif field.default is MISSING and field.default_factory is MISSING:
                raise FileError(f"{self.name}: {escape_control(where)}: this key is missing")
        if "constraints" in hints and "constraints" not in value:  # a plan writes these among its own keys
            values["constraints"] = self._constraints(value, set(hints), path)
        return record(**values)

    def _constraints(self, plan: dict[str, object], own: set[str], path: str) -> dict[str, object]:
        known = {item.name: item for item in constraint_keys()}
        found = {}
        for key, value in plan.items():
            if key in own:
                continue
            kind: object = None
            if key in known and value is not None:
                place = known[key].record
                kind = _load(place) if place else str if known[key].kind == "text" else float
            where = f"{path}.{key}" if path else key
            found[key] = value if kind is None else self.value(kind, value, where)
        return found


@cache
def _hints(record: type) -> dict[str, Any]:
    """Return the types of a record's fields, with the names that its module imports for type checkers alone."""
    return get_type_hints(record, localns=_Names(vars(sys.modules[record.__module__])))


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
