"""What stands in the texts of a description: a field of a config, a tensor, and the name of a part.

A field is ``[kind] names [= default] [; null = value]``, a tensor ``label: kind sizes [+ bias] [if condition]``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.errors import FileError, did_you_mean, quote
from scaleplan.models.config import NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.models.config import Fields

__all__ = [
    "IN_TEXT",
    "AtomText",
    "FieldSpec",
    "atom_text",
    "class_default",
    "field_spec",
    "has",
    "says",
    "shared_name",
]

_LONGEST = 2_000  # characters of a tensor or a field
_LONGEST_NAME = 80

_ATOMS = "'label: matrix A -> B + bias', 'vector N', 'norm N + shift', 'conv C x K', 'table R x W'"

_ATOM = re.compile(
    r"^(?:(?P<label>[^:]*):)?\s*(?P<kind>matrix|norm|vector|conv|table)\s+(?P<body>.*?)"
    r"(?:\s*\+\s*(?:bias|shift)(?:\s*\((?P<bias>.*)\)|(?P<always>)))?$"
)
IN_TEXT = re.compile(r"\{([^{}]+)\}")
"""An expression in a note."""
_KINDS = ("size", "count", "integer", "number", "flag", "text", "list", "pattern", "each", "any", "present")
_FIELD = re.compile(
    rf"^(?:(?P<type>{'|'.join(_KINDS)})(?:\[(?P<length>\w+)\])?\s+)?"
    r"(?P<names>[\w.| -]+?)(?:\s*=\s*(?P<default>[^;]+?))?(?:\s*;\s*null\s*=\s*(?P<null>.+))?$"
)


class FieldSpec(NamedTuple):
    """One entry of ``[fields]``: the kind of value, the names under which it may stand, and its default."""

    kind: str
    names: tuple[str, ...]
    default: str | None
    """An expression; None for a field that must be there."""
    needed: bool
    """Whether the field is missed only where its value is used."""
    length: str | None = None
    """The name of the number of entries that a list must have."""
    null: str | None = None
    """An expression for a field that is there and null, where that is not what its absence means."""


def field_spec(source: str, key: str, value: object) -> FieldSpec:
    """Read one entry of ``[fields]``."""
    if not key.isidentifier():
        raise FileError(f"{source}: fields.{key}: a name is letters, digits and underscores")
    match = _FIELD.match(value) if isinstance(value, str) and len(value) <= _LONGEST else None
    if match is None:
        raise FileError(
            f"{source}: fields.{key}: expected the name of a field, found {quote(value)}",
            hint="'num_key_value_heads | n_kv_heads = h', or 'flag attention_bias = false'",
        )
    names = tuple(name.strip() for name in match["names"].split("|"))
    if not all(0 < len(name) <= _LONGEST_NAME for name in names):
        raise FileError(f"{source}: fields.{key}: expected names of fields, found {quote(value)}")
    kind, gap, _ = names[0].partition(" ")
    if gap:
        close = did_you_mean(kind, _KINDS)
        hint = f"did you mean '{close}'?" if close else f"known: {', '.join(_KINDS)}"
        raise FileError(f"{source}: fields.{key}: unknown kind of field {quote(kind)}", hint=hint)
    default = match["default"]
    needed = default == "needed"
    given = None if needed else default
    return FieldSpec(match["type"] or _kind(default), names, given, needed, match["length"], match["null"])


def _kind(default: str | None) -> str:
    """Return the kind of value that a default stands for."""
    if default is None or default in ("needed", "none"):
        return "size"
    if default in ("true", "false"):
        return "flag"
    if default.startswith("["):
        return "list"
    if default.startswith(("'", '"')):
        return "text"
    return "count" if default == "0" else "size"


def has(fields: Fields, name: str) -> bool:
    """Return whether a config states a field by a dotted name."""
    found, last = fields.inside(name)
    return found is not None and last in found


def says(fields: Fields, name: str) -> bool:
    """Return whether a config has a field by a dotted name, be it null."""
    found, last = fields.inside(name)
    return found is not None and any(spelling in found.data for spelling in NAMES.get(last, (last,)))


def class_default(defaults: Mapping[str, Any], fields: Fields, spec: FieldSpec) -> tuple[str, Any] | None:
    """Return the spelling and value that stand for a field of which the config says nothing, not even null."""
    if not defaults:
        return None
    spelled = [one for name in spec.names for one in NAMES.get(name, (name,))]
    found = next((name for name in spelled if name in defaults), None)
    if found is None or any(says(fields, name) for name in spelled):
        return None
    return found, defaults[found]


class AtomText(NamedTuple):
    """The pieces of a tensor, each an expression."""

    label: str
    kind: str
    rows: str
    columns: str | None
    bias: str | None
    condition: str | None


def shared_name(named: str) -> tuple[str, str | None]:
    """Return the name of a part in ``name``, ``=name`` or ``=name[group]``, and the expression of the group."""
    name, _, group = named.removeprefix("=").partition("[")
    return name, group.removesuffix("]") or None


def _split(text: str, mark: str) -> tuple[str, str] | None:
    """Split at the last mark that stands outside of parentheses."""
    depth = 0
    for at in range(len(text) - 1, -1, -1):
        depth += (text[at] in ")]") - (text[at] in "([")
        if depth == 0 and text.startswith(mark, at):
            return text[:at], text[at + len(mark) :]
    return None


_read_atoms: dict[str, AtomText] = {}


def atom_text(source: str, where: str, text: object) -> AtomText:
    """Return the pieces of ``label: kind sizes [+ bias[(EXPR)]] [if EXPR]``."""
    if isinstance(text, str) and text in _read_atoms:
        return _read_atoms[text]
    found = None
    if isinstance(text, str) and len(text) <= _LONGEST:
        body, condition = text.strip(), None
        split = _split(body, " if ")
        if split is not None and _split(split[1], " else ") is None:
            body, condition = split
        match = _ATOM.match(body)
        if match is not None:
            kind, sizes = match["kind"], match["body"]
            bias = "true" if match["always"] is not None else match["bias"]
            mark = {"matrix": "->", "conv": " x ", "table": " x "}.get(kind)
            pair = _split(sizes, mark) if mark else (sizes, None)
            if pair is not None and pair[0].strip():
                found = AtomText((match["label"] or kind).strip(), kind, pair[0], pair[1], bias, condition)
    if found is None or (found.kind in ("vector", "table") and found.bias is not None):
        raise FileError(
            f"{source}: {where}: cannot read {quote(text)}",
            hint=_ATOMS,
        )
    assert isinstance(text, str)
    _read_atoms[text] = found
    return found
