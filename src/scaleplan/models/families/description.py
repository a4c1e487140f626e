"""Read the description of a family or of one architecture, and make an architecture of it and a config's fields.

A description is a TOML table: ``[fields]`` are fields of a ``config.json``, ``[let]`` sizes that follow, ``[model]``
what stands outside of the layers, ``[[stack]]`` the order of layers, ``[part.NAME]`` what a layer is made of. The
language is explained in ``docs/architectures.md``.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.errors import FileError, did_you_mean, quote
from scaleplan.models.architecture import Architecture, Atom, Experts, Part, Stack
from scaleplan.models.config import NAMES, Fields
from scaleplan.models.families.expressions import ExpressionError, compiled, names_of
from scaleplan.models.families.parts import SHORTHANDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from scaleplan.toml_table import Table

__all__ = ["SCHEMA", "Description", "merged"]

SCHEMA = 1

_KEYS = ("schema", "name", "title", "model_types", "classes", "like", "ignored", "sources", "notes", "refuse")
_TABLES = ("fields", "defaults", "let", "model", "stack", "part")
_SIZES = ("cache", "state", "pairs", "keys", "window", "heads", "kv_heads", "head_size", "inner")
_MODEL_KEYS = (
    "vocab",
    "width",
    "tied",
    "atoms",
    "table_width",
    "head_rows",
    "head_width",
    "head_bias",
    "context",
    "causal",
    "extra",
)
_ADDED = ("cache", "state", "pairs", "keys")  # of several mixers in one part they add up

_LAYERS = (
    'layers = ["a"] or [["a", "b"]]; a choice is { if = "i < 3", then = "dense", else = "moe" } '
    'or { by = "types[i]", full = "full" }'
)
_ATOMS = "'label: matrix A -> B + bias', 'vector N', 'norm N + shift', 'conv C x K', 'table R x W'"
_NOT_COUNTED = "nothing is guessed: describe its layers in a file of your own, --arch ./mine.toml"

_MOST_LAYERS = 100_000
_MOST_ATOMS = 10_000  # of a part
_LONGEST = 2_000  # characters of an atom or a field
_LARGEST = 10**13
_MAIN = ("width", "layers", "heads", "vocab", "ffn_width")
"""Sizes that every published config states: where one is left out, its default is named with the count."""
_BUILT_IN = ("i", "model_type", "class_name")

_ATOM = re.compile(
    r"^(?:(?P<label>[^:]*):)?\s*(?P<kind>matrix|norm|vector|conv|table)\s+(?P<body>.*?)"
    r"(?:\s*\+\s*(?:bias|shift)(?:\s*\((?P<bias>.*)\)|(?P<always>)))?$"
)
_IN_TEXT = re.compile(r"\{([^{}]+)\}")
"""An expression in a note."""
_FIELD = re.compile(
    r"^(?:(?P<type>size|count|integer|number|flag|text|list|pattern|each|any|present)(?:\[(?P<length>\w+)\])?\s+)?"
    r"(?P<names>[\w.| -]+?)(?:\s*=\s*(?P<default>[^;]+?))?(?:\s*;\s*null\s*=\s*(?P<null>.+))?$"
)


class _Spec(NamedTuple):
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


class Description:
    """One description, as it stands in a file."""

    def __init__(self, table: Table, *, like: str | None = None) -> None:
        self.table = table
        self.like = like
        """The family over which it is laid, of which parts may stand in no layer."""
        self.source = table.source
        unknown = [key for key in table.data if key not in (*_KEYS, *_TABLES)]
        if unknown:
            close = did_you_mean(unknown[0], (*_KEYS, *_TABLES))
            raise FileError(
                f"{self.source}: {quote(unknown[0])} is no key of a description",
                hint=f"did you mean '{close}'?" if close else f"known: {', '.join((*_KEYS, *_TABLES))}",
            )
        if table.integer("schema") != SCHEMA:
            raise table.error("schema", f"expected {SCHEMA}")
        self.name = table.text("name")
        self.title = table.text("title", "")
        self.model_types = table.texts("model_types", (self.name,))
        self.classes = table.texts("classes", ())
        self.ignored = table.texts("ignored", ())
        self.sources = table.texts("sources", ())
        self.notes = self._remarks("notes")
        self.refuse = self._remarks("refuse")
        self.fields = {key: self._spec(key, value) for key, value in self._section("fields").items()}
        self.defaults = self._section("defaults")
        self.let = {key: self._expression(f"let.{key}", value) for key, value in self._section("let").items()}
        self.model = self._section("model")
        self.parts = {name: self._inner(f"part.{name}", part) for name, part in self._section("part").items()}
        stacks = table.data.get("stack", [])
        if not isinstance(stacks, list) or not stacks or not all(isinstance(stack, dict) for stack in stacks):
            raise FileError(f"{self.source}: expected at least one [[stack]] with layers")
        self.stacks: list[dict[str, Any]] = stacks

    def architecture(self, fields: Fields | None = None, *, family: str | None = None) -> Architecture:
        """Return the architecture of a config's fields; raises FileError for what is missing or malformed."""
        given = fields or Fields({}, source=self.source)
        try:
            self._require(given)
        except FileError as error:
            if fields is None:
                error.hint = f"they are fields of a config.json: --arch {self.source} config.json, or sizes in [let]"
            raise
        try:
            return _Expansion(self, given).architecture(family or self.name)
        except ExpressionError as error:
            raise FileError(f"{given.source}: {error.message}", hint=error.hint) from None
        except RecursionError:
            raise FileError(f"{self.source}: names that depend on too many others, one after the other") from None

    def known_fields(self) -> frozenset[str]:
        """Return the first parts of the names of all fields that the description reads or passes over."""
        used = (self.fields[key] for key in self._used if key in self.fields)
        return frozenset({name.split(".")[0] for spec in used for name in spec.names} | set(self.ignored))

    def uses(self, name: str) -> bool:
        """Return whether the layers use a name, directly or through others."""
        return name in self._used

    def reached(self) -> list[str]:
        """Return the parts that stand in layers, or are included by one that does."""
        return [name for name in self.parts if name in self._reached]

    @cached_property
    def _used(self) -> frozenset[str]:
        """The names that the layers use, directly or through others: a field that only an unused part has is not read."""
        found: set[str] = set()
        open_ = set().union(*(names_of(text) for text in self._texts()))
        while open_:
            found |= open_
            specs = [self.fields[key] for key in open_ if key in self.fields]
            open_ = set().union(
                *(names_of(self.let[key]) for key in open_ if key in self.let),
                *(names_of(text) for spec in specs for text in (spec.default, spec.null) if text is not None),
                (spec.length for spec in specs if spec.length is not None),
            )
            open_ -= found
        return frozenset(found)

    def _texts(self) -> Iterator[str]:
        """Yield the expressions of the model, of the stacks and of the parts that stand in them."""
        for condition, line in (*self.notes, *self.refuse):
            yield from (condition, *_IN_TEXT.findall(line))
        yield from (str(self.model.get(key, default)) for key, default in (("width", "d"), ("vocab", "vocab")))
        for key, value in self.model.items():
            yield from self._texts_of(key, value)
        for stack in self.stacks:
            yield str(stack.get("repeat", 1))
            yield from self._choices(stack.get("layers"))
        for name in self._reached:
            for key, value in self.parts.get(name, {}).items():
                if key == "parts":
                    yield from (str(item.get("times", 1)) for item in value if isinstance(item, dict))
                else:
                    yield from self._texts_of(key, value)

    @cached_property
    def _reached(self) -> dict[str, None]:
        """The parts that stand in layers, and those that they include."""
        open_ = [name for stack in self.stacks for name in self._named_in(stack.get("layers"))]
        found: dict[str, None] = {}
        while open_:
            name = open_.pop()
            if name not in found:
                found[name] = None
                open_ += [
                    item if isinstance(item, str) else str(item.get("part"))
                    for item in self.parts.get(name, {}).get("parts", ())
                ]
        return found

    def _texts_of(self, key: str, value: object) -> Iterator[str]:
        if isinstance(value, dict):
            for inner, entry in value.items():
                yield from self._texts_of(inner, entry)
        elif key == "atoms" and isinstance(value, list):
            for text in value:
                pieces = _atom_pieces(self.source, key, text)
                yield from (piece for piece in pieces[2:] if piece is not None)
        elif isinstance(value, str) and value:
            yield value

    def _choices(self, item: object) -> Iterator[str]:
        """Yield the expressions of the choices in the layers."""
        if isinstance(item, list):
            for one in item:
                yield from self._choices(one)
        elif isinstance(item, dict):
            for key, one in item.items():
                if key in ("by", "if"):
                    yield str(one)
                else:
                    yield from self._choices(one)

    def _named_in(self, item: object) -> Iterator[str]:
        """Yield the parts that layers name."""
        if isinstance(item, str):
            yield item.removeprefix("=")
        elif isinstance(item, list):
            for one in item:
                yield from self._named_in(one)
        elif isinstance(item, dict):
            for key, one in item.items():
                if key not in ("by", "if"):
                    yield from self._named_in(one)

    def _remarks(self, key: str) -> list[tuple[str, str]]:
        """Return lines with the condition of each: ``"text"``, or ``{ if = "condition", text = "text" }``."""
        value = self.table.data.get(key, [])
        lines = [{"if": True, "text": line} if isinstance(line, str) else line for line in _list(value)]
        if not isinstance(value, list) or any(
            not isinstance(one, dict) or one.keys() != {"if", "text"} for one in lines
        ):
            raise self.table.error(key, 'expected a list of texts, or of { if = "condition", text = "text" }')
        return [(self._expression(key, line["if"]), str(line["text"])) for line in lines]

    def check(self) -> None:
        """Raise FileError for what no config could make an architecture of: it names the key and what is wrong there.

        That is an expression that cannot be read, an unknown name or key, a part that is not there or holds itself.
        """
        scope = {*self.fields, *self.let, *_BUILT_IN, "largest_layer"}
        for key in (*self.fields, *self.let):
            if not key.isidentifier() or key in (*_BUILT_IN, "largest_layer", "true", "false", "none"):
                table = "fields" if key in self.fields else "let"
                raise FileError(
                    f"{self.source}: {table}.{key}: a name is letters, digits and underscores, not a word"
                )
        for key, spec in self.fields.items():
            for text in (spec.default, spec.null, spec.length):
                if text is not None:
                    self._check(f"fields.{key}", text, scope)
        for key, text in self.let.items():
            self._check(f"let.{key}", text, scope)
        for key, lines in (("notes", self.notes), ("refuse", self.refuse)):
            for condition, line in lines:
                for text in (condition, *_IN_TEXT.findall(line)):
                    self._check(key, text, scope)
        for key, value in {"width": "d", "vocab": "vocab", **self.model}.items():
            if key not in _MODEL_KEYS:
                raise self._unknown("model", key, _MODEL_KEYS)
            if key == "atoms":
                self._check_atoms("model.atoms", value, scope)
            else:
                self._check(f"model.{key}", value, scope)
        for index, stack in enumerate(self.stacks, 1):
            where = f"stack {index}"
            for key in stack:
                if key not in ("repeat", "layers", "encoder"):
                    raise self._unknown(where, key, ("repeat", "layers", "encoder"))
            if not isinstance(stack.get("encoder", False), bool):
                raise FileError(f"{self.source}: {where}.encoder: expected true or false")
            self._check(f"{where}.repeat", stack.get("repeat", 1), scope)
            self._check_item(f"{where}.layers", self._listed(f"{where}.layers", stack.get("layers")), scope)
        included = {name: self._check_part(name, part, scope) for name, part in self.parts.items()}
        circle = _circle(included)
        if circle:
            raise FileError(f"{self.source}: part {quote(circle)} holds itself")
        definitions = {key: names_of(text) for key, text in self.let.items()}
        for key, spec in self.fields.items():
            texts = (spec.default, spec.null, spec.length)
            definitions.setdefault(key, frozenset().union(*(names_of(text) for text in texts if text is not None)))
        circle = _circle(definitions)
        if circle:
            raise FileError(f"{self.source}: {quote(circle)} is defined by itself")
        unused = sorted(self.parts.keys() - self._reached.keys())
        if unused and self.like is None:
            raise FileError(f"{self.source}: part.{unused[0]} stands in no layer")

    def _listed(self, where: str, value: object) -> list[Any]:
        if not isinstance(value, list) or not value:
            raise FileError(f"{self.source}: {where}: expected a list", hint=_LAYERS)
        return value

    def _check(self, where: str, text: object, scope: set[str]) -> None:
        if isinstance(text, bool | int):
            return
        expression = self._expression(where, text)
        try:
            compiled(expression)
            missing = names_of(expression) - scope
        except ExpressionError as error:
            raise FileError(f"{self.source}: {where}: {error.message}", hint=error.hint) from None
        if missing:
            name = sorted(missing)[0]
            close = did_you_mean(name, scope)
            raise FileError(
                f"{self.source}: {where}: unknown name {quote(name)} in {quote(expression)}",
                hint=f"did you mean '{close}'?" if close else f"names: {', '.join(sorted(scope))}",
            )

    def _check_atoms(self, where: str, texts: object, scope: set[str]) -> None:
        if not isinstance(texts, list):
            raise FileError(f"{self.source}: {where}: expected a list of atoms", hint=_ATOMS)
        for text in texts:
            for piece in _atom_pieces(self.source, where, text)[2:]:
                if piece is not None:
                    self._check(where, piece, scope)

    def _check_part(self, name: str, part: dict[str, Any], scope: set[str]) -> list[str]:
        """Check one part, and return the parts that it includes."""
        where = f"part.{name}"
        inner = scope | set(self._inner(f"{where}.let", part.get("let", {})))
        known = ("atoms", "parts", "experts", "let", *_SIZES, *SHORTHANDS)
        included: list[str] = []
        for key, value in part.items():
            if key not in known:
                raise self._unknown(where, key, known)
            if key == "atoms":
                self._check_atoms(f"{where}.atoms", value, inner)
            elif key == "parts":
                for item in self._listed(f"{where}.parts", value):
                    held = item.get("part") if isinstance(item, dict) and item.keys() <= {"part", "times"} else item
                    if not isinstance(held, str):
                        raise FileError(
                            f"{self.source}: {where}.parts: expected names of parts, found {quote(item)}",
                            hint='"name", or { part = "name", times = 2 }',
                        )
                    _part_of(self, held)
                    included.append(held)
                    if isinstance(item, dict):
                        self._check(f"{where}.parts", item.get("times", 1), inner)
            elif key == "experts":
                for size, text in self._inner(f"{where}.experts", value).items():
                    if size not in ("count", "active", "width", "atoms"):
                        raise self._unknown(f"{where}.experts", size, ("count", "active", "width", "atoms"))
                    if size == "atoms":
                        self._check_atoms(f"{where}.experts.atoms", text, inner)
                    else:
                        self._check(f"{where}.experts.{size}", text, inner)
            elif key == "let" or key in SHORTHANDS:
                for size, text in self._inner(f"{where}.{key}", value).items():
                    self._check(f"{where}.{key}.{size}", text, inner)
                if key in SHORTHANDS:
                    _arguments(self.source, where, key, value)
            else:
                self._check(f"{where}.{key}", value, inner)
        return included

    def _check_item(self, where: str, item: object, scope: set[str]) -> None:
        if isinstance(item, str):
            if item:
                name, group = _shared(item)
                _part_of(self, name)
                self._check(where, group or 1, scope)
        elif isinstance(item, list):
            for one in item:
                self._check_item(where, one, scope)
        elif isinstance(item, dict) and (
            ("by" in item and len(item) > 1) or {"if", "then"} <= item.keys() <= {"if", "then", "else"}
        ):
            self._check(where, item.get("by", item.get("if")), scope)
            for key, one in item.items():
                if key not in ("by", "if"):
                    self._check_item(where, one, scope)
        else:
            raise FileError(f"{self.source}: {where}: expected names of parts, found {quote(item)}", hint=_LAYERS)

    def _unknown(self, where: str, key: str, known: Iterable[str]) -> FileError:
        close = did_you_mean(key, tuple(known))
        return FileError(
            f"{self.source}: {where}: unknown key {quote(key)}",
            hint=f"did you mean '{close}'?" if close else f"known: {', '.join(known)}",
        )

    def _require(self, fields: Fields) -> None:
        """Refuse a config that leaves out fields that always count, naming all of them at once."""
        missing = [
            fields.missing(spec.names[0])[0]
            for key, spec in self.fields.items()
            if spec.default is None and not spec.needed and spec.kind != "present" and key in self._used
            if not any(_has(fields, name) or (spec.null and _says(fields, name)) for name in spec.names)
            if _default_of(self.defaults, fields, spec) is None
        ]
        fields.refuse_missing(missing)

    def _section(self, key: str) -> dict[str, Any]:
        return self._inner(key, self.table.data.get(key, {}))

    def _inner(self, where: str, value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise FileError(f"{self.source}: {where}: expected a table")
        return value

    def _expression(self, where: str, value: object) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | str):
            return str(value)
        raise FileError(f"{self.source}: {where}: expected a size or an expression, found {quote(value)}")

    def _spec(self, key: str, value: object) -> _Spec:
        if not key.isidentifier():
            raise FileError(f"{self.source}: fields.{key}: a name is letters, digits and underscores")
        match = _FIELD.match(value) if isinstance(value, str) and len(value) <= _LONGEST else None
        if match is None:
            raise FileError(
                f"{self.source}: fields.{key}: expected the name of a field, found {quote(value)}",
                hint="'num_key_value_heads | n_kv_heads = h', or 'flag attention_bias = false'",
            )
        names = tuple(name.strip() for name in match["names"].split("|"))
        default = match["default"]
        needed = default == "needed"
        given = None if needed else default
        return _Spec(match["type"] or _kind(default), names, given, needed, match["length"], match["null"])


def merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table with another laid over it: tables are merged, everything else is replaced."""
    found = dict(base)
    for key, value in own.items():
        inner = found.get(key)
        found[key] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return found


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


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _has(fields: Fields, name: str) -> bool:
    found, last = fields.inside(name)
    return found is not None and last in found


def _default_of(defaults: Mapping[str, Any], fields: Fields, spec: _Spec) -> tuple[str, Any] | None:
    """Return the spelling and value that stand for a field of which the config says nothing, not even null."""
    if not defaults:
        return None
    spelled = [one for name in spec.names for one in NAMES.get(name, (name,))]
    found = next((name for name in spelled if name in defaults), None)
    if found is None or any(_says(fields, name) for name in spelled):
        return None
    return found, defaults[found]


def _says(fields: Fields, name: str) -> bool:
    found, last = fields.inside(name)
    return found is not None and any(spelling in found.data for spelling in NAMES.get(last, (last,)))


def _circle(names: Mapping[str, Iterable[str]]) -> str | None:
    """Return a name that leads back to itself, None where there is none."""
    done: set[str] = set()
    for start in names:
        path: dict[str, None] = {}
        open_ = [(start, False)]
        while open_:
            name, left = open_.pop()
            if left:
                path.popitem()
                done.add(name)
            elif name in path:
                return name
            elif name in names and name not in done:
                path[name] = None
                open_.append((name, True))
                open_ += [(other, False) for other in names[name]]
    return None


def _part_of(description: Description, name: str) -> dict[str, Any]:
    part = description.parts.get(name)
    if part is None:
        close = did_you_mean(name, description.parts)
        raise FileError(
            f"{description.source}: there is no part {quote(name)}",
            hint=f"did you mean '{close}'?" if close else f"parts: {', '.join(description.parts)}",
        )
    return part


def _arguments(source: str, where: str, name: str, values: Mapping[str, object]) -> None:
    """Refuse an argument that a shorthand does not have."""
    code = SHORTHANDS[name].__code__
    known = code.co_varnames[: code.co_kwonlyargcount]
    for key in values:
        if key not in known:
            close = did_you_mean(key, known)
            raise FileError(
                f"{source}: {where}.{name}: unknown size {quote(key)}",
                hint=f"did you mean '{close}'?" if close else f"known: {', '.join(known)}",
            )


class _AtomPieces(NamedTuple):
    label: str
    kind: str
    rows: str
    columns: str | None
    bias: str | None
    condition: str | None


def _shared(named: str) -> tuple[str, str | None]:
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


_read_atoms: dict[str, _AtomPieces] = {}


def _atom_pieces(source: str, where: str, text: object) -> _AtomPieces:
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
                found = _AtomPieces((match["label"] or kind).strip(), kind, pair[0], pair[1], bias, condition)
    if found is None or (found.kind in ("vector", "table") and found.bias is not None):
        raise FileError(
            f"{source}: {where}: cannot read {quote(text)}",
            hint=_ATOMS,
        )
    assert isinstance(text, str)
    _read_atoms[text] = found
    return found


class _Scope:
    """The names of a description with one config's values, each evaluated when it is first used."""

    def __init__(self, description: Description, fields: Fields) -> None:
        self.description = description
        self.fields = fields
        self.local: dict[str, Any] = {}
        self.uses_layer = False
        self.assumed: dict[str, Any] = {}
        self._values: dict[str, Any] = {}
        self._of_layer: dict[str, Any] = {}
        self._open: set[str] = set()

    def enter(self, index: int) -> None:
        """Go on to another layer: what depends on its number is evaluated anew."""
        self.local["i"] = index
        self._of_layer.clear()

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401  a number, flag, text or list
        if name in self.local:
            self.uses_layer = self.uses_layer or name == "i"
            return self.local[name]
        if name in self._values:
            return self._values[name]
        if name in self._of_layer:
            self.uses_layer = True
            return self._of_layer[name]
        if name in self._open:
            raise FileError(f"{self.description.source}: {quote(name)} is defined by itself")
        before, self.uses_layer = self.uses_layer, False
        self._open.add(name)
        value = self._value(name)
        self._open.discard(name)
        (self._of_layer if self.uses_layer else self._values)[name] = value
        self.uses_layer = self.uses_layer or before
        return value

    def _value(self, name: str) -> Any:  # noqa: ANN401
        description = self.description
        if name in description.let:
            return compiled(description.let[name])(self)
        if name in description.fields:
            return self._field(description.fields[name])
        if name == "model_type":
            return self.fields.text("model_type", "")
        if name == "class_name":
            classes = self.fields.sequence("architectures")
            return str(classes[0]) if classes else ""
        if name == "i":
            raise FileError(f"{description.source}: i, the number of a layer, stands outside of a layer")
        raise FileError(
            f"{description.source}: unknown name {quote(name)}",
            hint=f"names: {', '.join(sorted((*description.fields, *description.let)))}",
        )

    def _field(self, spec: _Spec) -> Any:  # noqa: ANN401
        if spec.kind == "present":
            return any(_has(self.fields, name) for name in spec.names)
        for name in spec.names:
            found, last = self.fields.inside(name)
            if found is not None and last in found:
                value = _typed(found, last, spec.kind)
                if spec.kind == "each" and not isinstance(value, list):
                    return self._each(spec, value)
                if spec.length is not None and value and len(value) != self[spec.length]:
                    raise FileError(f"{found.source}: {last} has {len(value)} entries for {self[spec.length]} layers")
                return value
        if spec.null is not None and any(_says(self.fields, name) for name in spec.names):
            return compiled(spec.null)(self)
        stated = self._by_default(spec)
        if stated is not None:
            return stated
        if spec.default is None:
            self.fields.refuse_missing(self.fields.missing(spec.names[0]))
        value = compiled(spec.default or "none")(self)
        return self._each(spec, value) if spec.kind == "each" and value is not None else value

    def _each(self, spec: _Spec, value: object) -> list[object]:
        """Return one value for each layer."""
        many = self[spec.length or "n"]
        if not isinstance(many, int) or not 0 <= many <= _MOST_LAYERS:
            raise FileError(f"{self.fields.source}: {spec.names[0]}: {quote(many)} is no number of layers")
        return [value] * many

    def _by_default(self, spec: _Spec) -> Any:  # noqa: ANN401
        """Return what the class of the family states for a field that is left out, None for nothing."""
        found = _default_of(self.description.defaults, self.fields, spec)
        if found is None:
            return None
        name, value = found
        if spec.names[0] in _MAIN:
            self.assumed[name] = value
        return self._each(spec, value) if spec.kind == "each" else value

    def size(self, where: str, value: object) -> int:
        """Evaluate a whole number of at least 0."""
        found = _whole(compiled(value)(self) if isinstance(value, str) else value)
        if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= _LARGEST:
            shown = quote(value) if isinstance(value, int | float) else f"{quote(value)} is {quote(found)}"
            raise FileError(
                f"{self.fields.source}: {where} of the family {self.description.name}: "
                f"{shown}, expected a whole number from 0 to {_LARGEST:,}"
            )
        return found

    def value(self, value: object) -> Any:  # noqa: ANN401
        """Evaluate anything."""
        return compiled(value)(self) if isinstance(value, str) else value


def _whole(value: object) -> object:
    """Return a whole number as one, whatever division it came from."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _typed(fields: Fields, name: str, kind: str) -> Any:  # noqa: ANN401
    if kind in ("size", "count"):
        return fields.size(name, at_least=1 if kind == "size" else 0)
    if kind == "integer":
        return fields.size(name, at_least=-_LARGEST)
    if kind == "number":
        return fields.number(name)
    stated = next((fields.data[key] for key in NAMES.get(name, (name,)) if fields.data.get(key) is not None), None)
    if kind == "each":
        if not isinstance(stated, list):
            return fields.size(name, at_least=0)
        return [Fields({name: one}, source=fields.source).size(name, at_least=0) for one in stated]
    if kind == "pattern" and isinstance(stated, str):
        return list(stated)
    if kind == "flag":
        return fields.flag(name, default=False)
    if kind == "text":
        return fields.text(name, "")
    return fields.data[name] if kind == "any" else fields.sequence(name)


class _Expansion:
    """The making of one architecture."""

    def __init__(self, description: Description, fields: Fields) -> None:
        self.description = description
        self.scope = _Scope(description, fields)
        self.source = fields.source
        self._parts: dict[str, Part] = {}
        self._of_layer: dict[str, Part] = {}

    def architecture(self, family: str) -> Architecture:
        model, scope = self.description.model, self.scope
        for line in self._remarks(self.description.refuse):
            raise FileError(f"{self.source}: {line}", hint=_NOT_COUNTED)
        width, vocab = (
            self._at_least_one(key, model.get(key, name)) for key, name in (("width", "d"), ("vocab", "vocab"))
        )
        stacks = tuple(self._stacks())
        if not stacks:
            raise FileError(f"{self.source}: the family {self.description.name} has no layer: every repeat is 0")
        if "extra" in model:
            scope.local["largest_layer"] = max(sum(part.params for part in stack.parts) for stack in stacks)
        architecture = Architecture(
            family=family,
            vocab=vocab,
            width=width,
            tied=bool(scope.value(model.get("tied", False))),
            stacks=stacks,
            atoms=tuple(self._atoms("model", model.get("atoms", ()))),
            table_width=scope.size("table_width", model.get("table_width", 0)),
            head_rows=scope.size("head_rows", model.get("head_rows", 0)),
            head_width=scope.size("head_width", model.get("head_width", 0)),
            head_bias=scope.size("head_bias", model.get("head_bias", 0)),
            context=self._context(model.get("context", "none")),
            causal=bool(scope.value(model.get("causal", True))),
            extra_params=scope.size("extra", model.get("extra", 0)),
            notes=tuple(self._remarks(self.description.notes)),
        )
        if scope.assumed:
            taken = ", ".join(f"{name} {value}" for name, value in scope.assumed.items())
            note = f"not stated, and taken as the family's class has it: {taken}"
            architecture = replace(architecture, notes=(*architecture.notes, note))
        scope.local.pop("largest_layer", None)
        return architecture

    def _at_least_one(self, where: str, value: object) -> int:
        found = self.scope.size(where, value)
        if not found:
            raise FileError(f"{self.source}: {where} of the family {self.description.name} is 0")
        return found

    def _context(self, value: object) -> int | None:
        found = self.scope.value(value)
        return None if found is None else self.scope.size("context", found) or None

    def _remarks(self, lines: list[tuple[str, str]]) -> Iterator[str]:
        """Yield the lines whose condition holds, with the values of the expressions in them."""
        for condition, line in lines:
            if self.scope.value(condition):
                yield _IN_TEXT.sub(lambda found: _shown(self.scope.value(found[1])), line)

    def _stacks(self) -> Iterator[Stack]:
        """Yield the runs of equal layers, in order."""
        layers = 0
        for number, stack in enumerate(self.description.stacks, 1):
            where = f"stack {number}"
            repeat, kinds = self.scope.size(where, stack.get("repeat", 1)), stack.get("layers")
            if not isinstance(kinds, list) or not kinds:
                raise FileError(f"{self.description.source}: {where}: expected a list of layers")
            layers += repeat * len(kinds)
            if layers > _MOST_LAYERS:
                raise FileError(f"{self.source}: {layers:,} layers, expected at most {_MOST_LAYERS:,}")
            held: tuple[Part, ...] | None = None
            many = 0
            for index in range(repeat * len(kinds)):
                self.scope.enter(index)
                self._of_layer.clear()
                parts = tuple(self._named(kinds[index % len(kinds)], where))
                if held is not None and parts != held:
                    yield Stack(many, held, bool(stack.get("encoder", False)))
                    many = 0
                held, many = parts, many + 1
            if held is not None:
                yield Stack(many, held, bool(stack.get("encoder", False)))
            self.scope.local.pop("i", None)

    def _named(self, item: object, where: str) -> Iterator[Part]:
        """Yield the parts that an item of a layer names; a choice is made for this layer."""
        if isinstance(item, str):
            if item:
                yield self._part(item)
        elif isinstance(item, list):
            for one in item:
                yield from self._named(one, where)
        elif isinstance(item, dict) and "by" in item:
            kind = self.scope.value(item["by"])
            key = str(kind) if not isinstance(kind, bool) else str(kind).lower()
            if key not in item or key == "by":
                known = ", ".join(name for name in item if name != "by")
                raise FileError(
                    f"{self.source}: {quote(key)} is no kind of layer that the family {self.description.name} has",
                    hint=f"its kinds: {known}",
                )
            yield from self._named(item[key], where)
        elif isinstance(item, dict) and "if" in item:
            yield from self._named(item["then"] if self.scope.value(item["if"]) else item.get("else", ""), where)
        else:
            raise FileError(f"{self.description.source}: {where}: expected a part, found {quote(item)}")

    def _part(self, named: str, path: tuple[str, ...] = ()) -> Part:
        if named in self._parts:
            return self._parts[named]
        if named in self._of_layer:
            self.scope.uses_layer = True
            return self._of_layer[named]
        name, group = _shared(named)
        if name in path:
            raise FileError(f"{self.description.source}: part {quote(name)} holds itself")
        before, self.scope.uses_layer = self.scope.uses_layer, False
        part = self._made(name, (*path, name))
        if named.startswith("="):
            part = replace(part, shared=True, name=f"{name} {self.scope.value(group)}" if group else name)
        (self._of_layer if self.scope.uses_layer else self._parts)[named] = part
        self.scope.uses_layer = self.scope.uses_layer or before
        return part

    def _made(self, name: str, path: tuple[str, ...]) -> Part:
        table, scope = _part_of(self.description, name), self.scope
        outer = dict(scope.local)
        for key, value in table.get("let", {}).items():
            scope.local[key] = scope.value(value)
        pieces: dict[str, Any] = {"atoms": list(self._atoms(f"part.{name}", table.get("atoms", ())))}
        for item in table.get("parts", ()):
            times = 1 if isinstance(item, str) else scope.size(f"part.{name}", item.get("times", 1))
            inner = self._part(item if isinstance(item, str) else str(item.get("part")), path)
            if times * max(len(inner.atoms), 1) > _MOST_ATOMS:
                raise FileError(f"{self.description.source}: part.{name}: more than {_MOST_ATOMS:,} atoms")
            for _ in range(times):
                _join(pieces, {key: getattr(inner, key) for key in Part.__slots__ if key not in ("name", "shared")})
            if len(pieces["atoms"]) > _MOST_ATOMS:
                raise FileError(f"{self.description.source}: part.{name}: more than {_MOST_ATOMS:,} atoms")
        for key, make in SHORTHANDS.items():
            if key in table:
                _join(pieces, self._shorthand(name, key, make, table[key]))
        if "experts" in table:
            pieces["experts"] = self._experts(name, table["experts"])
        for key in _SIZES:
            if key in table:
                found = scope.value(table[key])
                pieces[key] = scope.size(f"part.{name}.{key}", found) if found else (None if key == "window" else 0)
        scope.local = outer
        pieces.setdefault("keys", 0)
        pieces["keys"] = pieces["keys"] or pieces.get("cache", 0)
        return Part(name=name, **{**pieces, "atoms": tuple(pieces["atoms"])})

    def _shorthand(self, part: str, key: str, make: Any, table: Mapping[str, object]) -> dict[str, Any]:  # noqa: ANN401
        _arguments(self.description.source, f"part.{part}", key, table)
        values = {"width": self.scope.size("width", self.description.model.get("width", "d"))}
        values |= {name: self._argument(f"part.{part}.{key}.{name}", value) for name, value in table.items()}
        required = {*SHORTHANDS[key].__code__.co_varnames[: SHORTHANDS[key].__code__.co_kwonlyargcount]}
        missing = sorted(required - values.keys() - (SHORTHANDS[key].__kwdefaults__ or {}).keys())
        if missing:
            raise FileError(f"{self.description.source}: part.{part}.{key}: {missing[0]} is missing")
        try:
            return dict(make(**values))
        except ValueError as error:
            raise FileError(f"{self.source}: {error}") from None

    def _argument(self, where: str, value: object) -> Any:  # noqa: ANN401  a size, a flag, or None for none
        found = self.scope.value(value)
        return found if found is None or isinstance(found, bool) else self.scope.size(where, found)

    def _experts(self, part: str, table: Mapping[str, Any]) -> Experts:
        where = f"part.{part}.experts"
        count, active = (self.scope.size(where, table.get(key, 0)) for key in ("count", "active"))
        if active > count:
            raise FileError(f"{self.source}: a token cannot use {active} of {count} experts")
        atoms = tuple(self._atoms(where, table.get("atoms", ())))
        width = self.scope.size(where, table["width"]) if "width" in table else atoms[-1].rows if atoms else 0
        return Experts(count, active, atoms, width)

    def _atoms(self, where: str, texts: Iterable[object]) -> Iterator[Atom]:
        for text in texts:
            found = _atom_pieces(self.description.source, where, text)
            if found.condition is not None and not self.scope.value(found.condition):
                continue
            rows = self.scope.size(where, found.rows.strip())
            columns = 1 if found.columns is None else self.scope.size(where, found.columns.strip())
            biased = found.bias is not None and bool(self.scope.value(found.bias))
            if rows and columns:
                bias = 0 if not biased else columns if found.kind == "matrix" else rows
                yield Atom(found.label, found.kind, rows, columns, bias)


def _join(pieces: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add the fields of one more mixer or block to those of a part."""
    for key, value in more.items():
        if key == "atoms":
            pieces["atoms"] += value
        elif key in _ADDED:
            pieces[key] = pieces.get(key, 0) + value
        elif value:
            pieces[key] = value
