"""A saved JSON result → the result that it was, to be shown in another format or compared with a newer one.

Every result is a frozen record whose fields are its keys, so one reader serves all of them. Keys that this version
does not know are left out: a newer version may write more.
"""

from __future__ import annotations

import ast
import json
import math
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from importlib import import_module
from inspect import getsource
from typing import Any, ClassVar, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

from scaleplan.advice.marginal import Marginal
from scaleplan.errors import FileError, escape_control, quote
from scaleplan.planning.constraints import keys
from scaleplan.planning.plan import Plan, Plans
from scaleplan.project.check import Check
from scaleplan.project.diff import Difference

__all__ = ["KINDS", "Result", "read_saved"]


class Result(Protocol):
    """Any result: a record with a schema and a JSON form."""

    schema: ClassVar[str]

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that ``--json`` prints."""


KINDS: Mapping[str, type[Result]] = {kind.schema: kind for kind in (Plan, Plans, Check, Difference, Marginal)}
"""The results that can be read back, by their schema."""


def read_saved(text: str, *, name: str) -> Result:
    """Return the result in a JSON text.

    Parameters
    ----------
    text
        What ``--json`` printed.
    name
        Where it comes from, for errors.

    Raises
    ------
    FileError
        When it is not JSON, of no schema that can be read, or lacks a key.

    """
    try:
        data = json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
    except json.JSONDecodeError as error:
        raise FileError(f"{name}: not valid JSON at line {error.lineno}: {error.msg.lower()}") from None
    except (ValueError, RecursionError):
        raise FileError(
            f"{name}: not valid JSON: a number that is not finite or too long, or nested too deeply"
        ) from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if not isinstance(schema, str) or schema not in KINDS:
        found = f"schema {quote(schema)}" if isinstance(schema, str) else "no schema"
        raise FileError(f"{name}: {found} that can be read", hint=f"saved results have one of {', '.join(KINDS)}")
    result: Result = _decode(KINDS[schema], data, name, "")
    return result


def _finite(text: str) -> float:
    """Return a number that a result can have; ValueError for NaN, Infinity and what overflows to it."""
    if not math.isfinite(value := float(text)):
        raise ValueError(text)
    return value


def _whole(text: str) -> int:
    _finite(text)
    return int(text)


def _decode(kind: Any, value: object, name: str, path: str) -> Any:  # noqa: ANN401  any type there is in a record
    """Return a JSON value as the type that a record declares."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        return _decode(next(each for each in inner if each is not type(None)), value, name, path)
    if origin is tuple:
        return _decode_tuple(inner, value, name, path)
    record = origin if origin is not None and is_dataclass(origin) else kind
    if isinstance(record, type) and is_dataclass(record):
        return _decode_record(record, value, name, path)
    if origin in (dict, Mapping) or kind in (dict, Mapping):
        if isinstance(value, dict):
            return value
    elif isinstance(kind, TypeVar) or kind is float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
    elif isinstance(kind, type) and type(value) is kind:
        return value
    raise FileError(f"{name}: {path}: not a value that this key can have: {quote(value)}")


def _decode_tuple(inner: tuple[Any, ...], value: object, name: str, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise FileError(f"{name}: {path}: expected a list, found {quote(value)}")
    kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else list(inner)
    if len(kinds) != len(value):
        raise FileError(f"{name}: {path}: expected {len(kinds)} values, found {len(value)}")
    return tuple(
        _decode(kind, item, name, f"{path}[{i}]") for i, (kind, item) in enumerate(zip(kinds, value, strict=True))
    )


def _decode_record(record: type, value: object, name: str, path: str) -> Any:  # noqa: ANN401
    if not isinstance(value, dict):
        raise FileError(f"{name}: {path}: expected an object, found {quote(value)}")
    hints = get_type_hints(record, localns=_annotated_by(record.__module__))
    values = {}
    for field in fields(record):
        where = f"{path}.{field.name}" if path else field.name
        if field.name in value:
            values[field.name] = _decode(hints[field.name], value[field.name], name, where)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise FileError(f"{name}: {escape_control(where)}: this key is missing")
    if "constraints" in hints and "constraints" not in value:  # a plan writes these among its own keys
        values["constraints"] = _decode_constraints(value, set(hints), name, path)
    return record(**values)


def _decode_constraints(plan: dict[str, object], own: set[str], name: str, path: str) -> dict[str, object]:
    known = {item.name: item for item in keys()}
    found = {}
    for key, value in plan.items():
        if key in own:
            continue
        kind: object = None
        if key in known and value is not None:
            module, _, record = known[key].record.partition(":")
            kind = getattr(import_module(module), record) if record else str if known[key].kind == "text" else float
        found[key] = value if kind is None else _decode(kind, value, name, f"{path}.{key}" if path else key)
    return found


@cache
def _annotated_by(module: str) -> dict[str, object]:
    """Return the names that a module imports for its annotations alone, which exist only for type checkers."""
    names: dict[str, object] = {}
    for block in ast.walk(ast.parse(getsource(import_module(module)))):
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING":
            for line in block.body:
                if isinstance(line, ast.ImportFrom) and line.module is not None:
                    found = import_module(line.module)
                    names |= {alias.asname or alias.name: getattr(found, alias.name) for alias in line.names}
    return names
