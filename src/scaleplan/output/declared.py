"""JSON Schema of every result, made from the annotations of its record, and the names of its fields.

There is no other list: what a record declares is what ``--json`` prints, what ``show`` reads, and what stands here.
"""

from __future__ import annotations

import ast
import inspect
import re
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import pairwise
from textwrap import dedent
from typing import Any, Literal, NotRequired, TypeVar, Union, get_args, get_origin, is_typeddict

from scaleplan.errors import ScaleplanError
from scaleplan.output import REPORTS
from scaleplan.output.fields import OPEN
from scaleplan.planning.constraints import constraint_keys
from scaleplan.project.saved import RESULTS, field_types, key_types, record_of
from scaleplan.record import Result

__all__ = ["DIALECT", "ERROR", "names_of", "result_schema", "urn"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

ERROR = "scaleplan/error/1"

_SCALARS = {float: "number", int: "integer", str: "string", bool: "boolean", type(None): "null"}

_KINDS = {"text": "string"}  # of keys of constraints; all others are numbers

Node = dict[str, Any]


def urn(schema: str) -> str:
    """Return the id of a schema as a URI, which validators want: ``urn:scaleplan:plan/1``."""
    return f"urn:scaleplan:{schema.removeprefix('scaleplan/')}"


@cache
def result_schema(schema: str, *, closed: bool = False) -> Node:
    """Return the JSON Schema of a kind of result by its schema, such as ``scaleplan/plan/1``.

    Objects may have further keys, which a newer version may write, unless it is ``closed``.
    """
    if schema == ERROR:
        return _error(closed=closed)
    return _Generator(closed=closed).document(schema)


def _error(*, closed: bool) -> Node:
    """Return the JSON Schema of an error, made from one: its keys are the same in all."""
    known = ScaleplanError("").to_dict()
    keys: Node = {name: {"type": ["string", "null"] if value is None else "string"} for name, value in known.items()}
    keys["schema"] = {"const": known["schema"]}
    node: Node = {"$schema": DIALECT, "$id": urn(ERROR), "title": "error", "description": _summary(ScaleplanError)}
    return node | _object(keys, list(keys), closed=closed)


def _object(keys: Node, required: list[str], *, closed: bool) -> Node:
    node: Node = {"type": "object", "properties": keys, "required": required}
    return node | ({"additionalProperties": False} if closed else {})


def _summary(record: type) -> str:
    """Return the text of a class's docstring as one paragraph a line."""
    return "\n".join(map(_as_text, inspect.cleandoc(record.__doc__ or "").split("\n\n")))


def _as_text(docstring: str) -> str:
    text = _ROLE.sub("", docstring.replace("``", "`"))
    return " ".join(_NONE.sub("null", text).split())


_ROLE, _NONE = re.compile(r":\w+:(?=`)"), re.compile(r"\bNone\b")

_SUBJECT = re.compile(r"(?:Units: )?((?:``\w+``(?:, and |, | and )?)+) ")
"""What a sentence of a docstring is about: the fields that it begins with."""

_SENTENCE = re.compile(r"(?<=[.;])\s+")


@cache
def _remarks(record: type) -> dict[str, str]:
    """Return what the docstrings of a record say of its fields: those below the fields, or sentences of its own."""
    found: dict[str, str] = {}
    for kind in reversed([each for each in record.__mro__ if is_dataclass(each)]):
        for sentence in _SENTENCE.split(kind.__doc__ or ""):
            if subject := _SUBJECT.match(sentence):
                found |= dict.fromkeys(re.findall(r"\w+", subject[1]), _as_text(sentence).rstrip(".;"))
        body = ast.parse(dedent(inspect.getsource(kind))).body[0].body  # type: ignore[attr-defined]
        for item, below in pairwise(body):
            text = getattr(getattr(below, "value", None), "value", None) if isinstance(below, ast.Expr) else None
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and isinstance(text, str):
                found[item.target.id] = _as_text(text)
    return found


class _Generator:
    """Turns types into JSON Schema; what a record is stands once, under its name."""

    def __init__(self, *, closed: bool) -> None:
        self.closed = closed
        self.parts: dict[str, Node] = {}
        self.names: dict[Any, str] = {}

    def document(self, schema: str) -> Node:
        """Return the schema of a kind of result."""
        record = record_of(RESULTS[schema])
        node = self._record(record, schema) if is_dataclass(record) else self._mapping(record, schema)
        head: Node = {"$schema": DIALECT, "$id": urn(schema), "title": schema.split("/")[1]}
        return head | node | ({"$defs": dict(sorted(self.parts.items()))} if self.parts else {})

    def of(self, kind: Any, *, whole: bool = False) -> Node:  # noqa: ANN401  any type there is in a record
        """Return the schema of a type; a ``whole`` result inside another one has its schema there too."""
        origin, inner = get_origin(kind), get_args(kind)
        record = origin or kind
        if origin is NotRequired:
            return self.of(inner[0], whole=whole)
        if is_typeddict(kind) or (isinstance(record, type) and is_dataclass(record)):
            return {"$ref": f"#/$defs/{self._part(record, getattr(record, 'schema', None) if whole else None)}"}
        if origin in (Union, types.UnionType):
            return _any([self.of(each, whole=whole) for each in inner])
        if origin is Literal:
            return {"enum": list(inner)}
        if origin in (tuple, list):
            return self._array(inner if origin is tuple else (*inner, ...))
        if record in (dict, Mapping):
            held = self.of(inner[1]) if inner else {}
            return {"type": "object", **({"additionalProperties": held} if held else {})}
        if isinstance(kind, TypeVar):
            return {"type": "number"}
        return {} if kind is object else {"type": _SCALARS[kind]}

    def _array(self, inner: tuple[Any, ...]) -> Node:
        if inner[-1] is Ellipsis:
            return {"type": "array", "items": self.of(inner[0])}
        each = [self.of(kind) for kind in inner]
        return {"type": "array", "prefixItems": each, "items": False, "minItems": len(each), "maxItems": len(each)}

    def _part(self, record: Any, schema: str | None = None) -> str:  # noqa: ANN401  a record or TypedDict
        """Return the name of a record among the parts, of which it becomes one."""
        known = self.names.get((record, schema))
        if known is None:
            name = record.__name__.lstrip("_")
            known = self.names[record, schema] = name if name not in self.parts else f"{name}{len(self.parts)}"
            self.parts[known] = {}  # a record may hold itself
            made = self._record(record, schema) if is_dataclass(record) else self._mapping(record, schema)
            self.parts[known] = made
        return known

    def _record(self, record: Any, schema: str | None) -> Node:  # noqa: ANN401  a class
        kinds, remarks = field_types(record), _remarks(record)
        keys: Node = {} if schema is None else {"schema": {"const": schema}}
        for item in fields(record):
            if item.name == "constraints":  # a plan writes these among its own keys
                keys |= {key.name: self._constraint(key) for key in constraint_keys()}
                continue
            node = self._item(record, kinds[item.name])
            keys[item.name] = node | ({"description": remarks[item.name]} if item.name in remarks else {})
        summary = _summary(record)
        return ({"description": summary} if summary else {}) | _object(keys, list(keys), closed=self.closed)

    def _item(self, record: Any, kind: Any) -> Node:  # noqa: ANN401  a class, and a type
        """Return the schema of a field; the items of a list that writes them itself have their schema."""
        held = get_args(kind)[0] if get_origin(kind) is tuple else None
        if held is not None and hasattr(held, "schema") and record.to_dict is not Result.to_dict:
            return {"type": "array", "items": {"$ref": f"#/$defs/{self._part(held, held.schema)}"}}
        return self.of(kind)

    def _constraint(self, key: Any) -> Node:  # noqa: ANN401  a key of a constraint
        node = self.of(record_of(key.record)) if key.record else {"type": _KINDS.get(key.kind, "number")}
        return _any([node, {"type": "null"}]) | ({"description": key.label} if key.label else {})

    def _mapping(self, kind: Any, schema: str | None) -> Node:  # noqa: ANN401  a TypedDict
        keys: Node = {} if schema is None else {"schema": {"const": schema}}
        keys |= {name: self.of(held, whole=True) for name, held in key_types(kind).items()}
        required = [name for name in keys if name == "schema" or name in kind.__required_keys__]
        summary = _summary(kind)
        return ({"description": summary} if summary else {}) | _object(keys, required, closed=self.closed)


def _any(nodes: list[Node]) -> Node:
    """Return the schema of a choice; plain types stand in one list."""
    if all(node.keys() == {"type"} for node in nodes):
        return {"type": [node["type"] for node in nodes]}
    return {"anyOf": nodes}


@cache
def names_of(schema: str | None) -> tuple[list[str], list[str]]:
    """Return the dotted names of the fields that a kind of result may have, and of those of its rows.

    What may hold anything ends in :data:`scaleplan.output.fields.OPEN`. Both are empty for no schema that is known.
    """
    if schema is None or schema not in RESULTS:
        return [], []
    node = result_schema(schema)
    parts = node.get("$defs", {})
    view = REPORTS.get(record_of(RESULTS[schema]).__name__)
    rows = node["properties"].get(view.rows) if view is not None and view.rows is not None else None
    of_rows = [] if rows is None else _names(rows["items"], parts, "", ())
    return list(dict.fromkeys(_names(node, parts, "", ()))), list(dict.fromkeys(of_rows))


def _names(node: Node, parts: Node, path: str, seen: tuple[str, ...]) -> list[str]:
    """Return the names of the fields in a schema, as they are flattened in a table."""
    if "$ref" in node:
        part = node["$ref"].rpartition("/")[2]
        return [] if part in seen else _names(parts[part], parts, path, (*seen, part))
    if "anyOf" in node:
        return [name for each in node["anyOf"] for name in _names(each, parts, path, seen)]
    if "properties" in node:
        start = f"{path}." if path else ""
        return [name for key, held in node["properties"].items() for name in _names(held, parts, start + key, seen)]
    if node.get("type") == "object" or not node:
        return [path + OPEN]
    if node.get("type") == "null":
        return []
    pair = node.get("prefixItems", ())
    if len(pair) == 2 and all(each == {"type": "number"} for each in pair):
        return [f"{path}.low", f"{path}.high"]
    return [path]
