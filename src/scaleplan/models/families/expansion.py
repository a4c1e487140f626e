"""Make an architecture of a description and the fields of a config.

Names are evaluated when they are first used, those that depend on the number of a layer once for each layer; parts
that do not are made once.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from scaleplan.errors import FileError, quote
from scaleplan.models.architecture import Architecture, Atom, Experts, Part, Stack
from scaleplan.models.config import NAMES, Fields
from scaleplan.models.families.expressions import ExpressionError, SizesError, compiled
from scaleplan.models.families.notation import IN_TEXT, FieldSpec, atom_text, class_default, has, says, shared_name
from scaleplan.models.families.parts import SHORTHANDS, SIZES, check_sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from scaleplan.models.families.description import Description

__all__ = ["expand"]

_ADDED = ("cache", "state", "pairs", "keys")  # of several mixers in one part they add up

_NOT_COUNTED = "nothing is guessed: describe its layers in a file of your own, --arch ./mine.toml"

_MOST_LAYERS = 10_000  # the deepest published network has a thousand
_MOST_ATOMS = 10_000  # of a part
_LARGEST = 10**13
_MAIN = ("width", "layers", "heads", "vocab", "ffn_width")
"""Sizes that every published config states: where one is left out, its default is named with the count."""


def expand(description: Description, fields: Fields | None = None, *, family: str | None = None) -> Architecture:
    """Return the architecture of a config's fields; raises FileError for what is missing or malformed."""
    given = fields or Fields({}, source=description.source)
    try:
        _require(description, given)
    except FileError as error:
        if fields is None:
            named = f"'scaleplan model --arch {description.source} config.json'"
            error.hint = f'name a config in the file (config = "config.json"), put sizes in [let], or {named}'
        raise
    try:
        return _Expansion(description, given).architecture(family or description.name)
    except SizesError as error:
        raise FileError(f"{given.source}: {error.message}", hint=error.hint) from None
    except RecursionError:
        raise FileError(f"{description.source}: names that depend on too many others, one after the other") from None


def _require(description: Description, fields: Fields) -> None:
    """Refuse a config that leaves out fields that always count, naming all of them at once."""
    missing = [
        fields.missing(spec.names[0])[0]
        for key, spec in description.fields.items()
        if spec.default is None and not spec.needed and spec.kind != "present" and description.uses(key)
        if not any(has(fields, name) or (spec.null and says(fields, name)) for name in spec.names)
        if class_default(description.defaults, fields, spec) is None
    ]
    fields.refuse_missing(missing)


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
            return self._evaluated(f"let.{name}", description.let[name])
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

    def _field(self, spec: FieldSpec) -> Any:  # noqa: ANN401
        if spec.kind == "present":
            return any(has(self.fields, name) for name in spec.names)
        for name in spec.names:
            found, last = self.fields.inside(name)
            if found is not None and last in found:
                value = _typed(found, last, spec.kind)
                if spec.kind == "each" and not isinstance(value, list):
                    return self._each(spec, value)
                if spec.length is not None and value and len(value) != self[spec.length]:
                    raise FileError(f"{found.source}: {last} has {len(value)} entries for {self[spec.length]} layers")
                return value
        if spec.null is not None and any(says(self.fields, name) for name in spec.names):
            return self._evaluated(spec.names[0], spec.null)
        stated = self._by_default(spec)
        if stated is not None:
            return stated
        if spec.default is None:
            self.fields.refuse_missing(self.fields.missing(spec.names[0]))
        value = self._evaluated(spec.names[0], spec.default or "none")
        return self._each(spec, value) if spec.kind == "each" and value is not None else value

    def _each(self, spec: FieldSpec, value: object) -> list[object]:
        """Return one value for each layer."""
        many = self[spec.length or "n"]
        if not isinstance(many, int) or not 0 <= many <= _MOST_LAYERS:
            raise FileError(f"{self.fields.source}: {spec.names[0]}: {quote(many)} is no number of layers")
        return [value] * many

    def _by_default(self, spec: FieldSpec) -> Any:  # noqa: ANN401
        """Return what the class of the family states for a field that is left out, None for nothing."""
        found = class_default(self.description.defaults, self.fields, spec)
        if found is None:
            return None
        name, value = found
        if spec.names[0] in _MAIN:
            self.assumed[name] = value
        return self._each(spec, value) if spec.kind == "each" else value

    def size(self, where: str, value: object) -> int:
        """Evaluate a whole number of at least 0."""
        return self.checked(where, value, self.value(where, value))

    def checked(self, where: str, text: object, value: object) -> int:
        """Return a value as a whole number of at least 0."""
        found = _whole(value)
        if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found <= _LARGEST:
            shown = quote(found) if text == found else f"{quote(text)} is {quote(found)}"
            raise FileError(
                f"{self.fields.source}: {where} of the family {self.description.name}: "
                f"{shown}, expected a whole number from 0 to {_LARGEST:,}"
            )
        return found

    def value(self, where: str, value: object) -> Any:  # noqa: ANN401
        """Evaluate anything."""
        return self._evaluated(where, value) if isinstance(value, str) else value

    def _evaluated(self, where: str, text: str) -> Any:  # noqa: ANN401
        try:
            return compiled(text)(self)
        except ExpressionError as error:
            message = f"{self.fields.source}: {where} of the family {self.description.name}: {error.message}"
            raise FileError(message, hint=error.hint) from None


class _Entries(list[Any]):
    """A list of a config, which each layer may be looked for in."""

    def __contains__(self, value: object) -> bool:
        try:
            return value in self._known
        except TypeError:  # a list or a table among them
            return list.__contains__(self, value)

    @cached_property
    def _known(self) -> frozenset[Any]:
        return frozenset(self)


def _whole(value: object) -> object:
    """Return a whole number as one, whatever division it came from."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _typed(fields: Fields, name: str, kind: str) -> Any:  # noqa: ANN401
    """Return a field as the kind of value that it is."""
    stated = next((fields.data[key] for key in NAMES.get(name, (name,)) if fields.data.get(key) is not None), None)
    if kind == "any":
        return stated
    if kind == "pattern" and isinstance(stated, str):
        return list(stated)
    if kind == "each" and isinstance(stated, list):
        return [Fields({name: one}, source=fields.source).size(name, at_least=0) for one in stated]
    if kind in _LEAST:
        return fields.size(name, at_least=_LEAST[kind])
    return _GETTERS[kind](fields, name) if kind in _GETTERS else _Entries(fields.sequence(name))


_LEAST = {"size": 1, "count": 0, "each": 0, "integer": -_LARGEST}
_GETTERS: dict[str, Callable[[Fields, str], Any]] = {
    "number": Fields.number,
    "flag": lambda fields, name: fields.flag(name, default=False),
    "text": lambda fields, name: fields.text(name, ""),
}


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
            tied=bool(scope.value("model.tied", model.get("tied", False))),
            stacks=stacks,
            atoms=tuple(self._atoms("model", model.get("atoms", ()))),
            table_width=scope.size("table_width", model.get("table_width", 0)),
            head_rows=scope.size("head_rows", model.get("head_rows", 0)),
            head_width=scope.size("head_width", model.get("head_width", 0)),
            headless=bool(scope.value("model.headless", model.get("headless", False))),
            head_bias=scope.size("head_bias", model.get("head_bias", 0)),
            context=self._context(model.get("context", "none")),
            causal=bool(scope.value("model.causal", model.get("causal", True))),
            extra_params=scope.size("extra", model.get("extra", 0)),
            notes=tuple(self._remarks(self.description.notes)),
        )
        if scope.assumed:
            taken = ", ".join(f"{name} {value}" for name, value in scope.assumed.items())
            note = f"not stated, and taken as the family's class has it: {taken}"
            architecture = replace(architecture, notes=(*architecture.notes, note))
        if not any(stack.encoder for stack in stacks):
            architecture = replace(architecture, notes=(*architecture.notes, *self._twice()))
        scope.local.pop("largest_layer", None)
        return architecture

    def _twice(self) -> Iterator[str]:
        """Yield a note on each tensor that may be meant for one that is there anyway: the word table, or the head."""
        model = self.description.model
        vocab, width = str(model.get("vocab", "vocab")), str(model.get("width", "d"))
        for text in model.get("atoms", ()):
            atom = atom_text(self.description.source, "model.atoms", text)
            sizes = {"table": (vocab, width), "matrix": (width, vocab)}.get(atom.kind)
            if sizes == (atom.rows.strip(), (atom.columns or "").strip()) and atom.condition is None:
                there = "word table" if atom.kind == "table" else "output head"
                yield f"'{atom.label}' is counted beside the {there}, which vocab and width make by themselves"

    def _at_least_one(self, where: str, value: object) -> int:
        found = self.scope.size(where, value)
        if not found:
            raise FileError(f"{self.source}: {where} of the family {self.description.name} is 0")
        return found

    def _context(self, value: object) -> int | None:
        found = self.scope.value("model.context", value)
        return None if found is None else self.scope.checked("model.context", value, found) or None

    def _remarks(self, lines: list[tuple[str, str]]) -> Iterator[str]:
        """Yield the lines whose condition holds, with the values of the expressions in them."""
        for condition, line in lines:
            if self.scope.value("a note", condition):
                yield IN_TEXT.sub(lambda found: _shown(self.scope.value("a note", found[1])), line)

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
            kind = self.scope.value(where, item["by"])
            key = str(kind) if not isinstance(kind, bool) else str(kind).lower()
            if key not in item or key == "by":
                known = ", ".join(name for name in item if name != "by")
                raise FileError(
                    f"{self.source}: {quote(key)} is no kind of layer that the family {self.description.name} has",
                    hint=f"its kinds: {known}",
                )
            yield from self._named(item[key], where)
        elif isinstance(item, dict) and "if" in item:
            yield from self._named(
                item["then"] if self.scope.value(where, item["if"]) else item.get("else", ""), where
            )
        else:
            raise FileError(f"{self.description.source}: {where}: expected a part, found {quote(item)}")

    def _part(self, named: str, path: tuple[str, ...] = ()) -> Part:
        if named in self._parts:
            return self._parts[named]
        if named in self._of_layer:
            self.scope.uses_layer = True
            return self._of_layer[named]
        name, group = shared_name(named)
        if name in path:
            raise FileError(f"{self.description.source}: part {quote(name)} holds itself")
        before, self.scope.uses_layer = self.scope.uses_layer, False
        part = self._made(name, (*path, name))
        if named.startswith("="):
            number = self.scope.value(named, group) if group else 0
            part = replace(part, shared=True, name=f"{name} {number}" if number else name)
        (self._of_layer if self.scope.uses_layer else self._parts)[named] = part
        self.scope.uses_layer = self.scope.uses_layer or before
        return part

    def _made(self, name: str, path: tuple[str, ...]) -> Part:
        table, scope = self.description.part(name), self.scope
        outer = dict(scope.local)
        for key, value in table.get("let", {}).items():
            scope.local[key] = scope.value(f"part.{name}.let.{key}", value)
        pieces: dict[str, Any] = {"atoms": list(self._atoms(f"part.{name}", table.get("atoms", ())))}
        for item in table.get("parts", ()):
            self._include(pieces, name, {"part": item} if isinstance(item, str) else item, path)
        for key, make in SHORTHANDS.items():
            if key in table:
                _join(pieces, self._shorthand(name, key, make, table[key]))
        if "experts" in table:
            pieces["experts"] = self._experts(name, table["experts"])
        for key in SIZES:
            if key in table:
                where = f"part.{name}.{key}"
                found = scope.value(where, table[key])
                pieces[key] = scope.checked(where, table[key], found) if found else (None if key == "window" else 0)
        scope.local = outer
        pieces.setdefault("keys", 0)
        pieces["keys"] = pieces["keys"] or pieces.get("cache", 0)
        return Part(name=name, **{**pieces, "atoms": tuple(pieces["atoms"])})

    def _include(self, pieces: dict[str, Any], name: str, item: Mapping[str, object], path: tuple[str, ...]) -> None:
        """Add another part to the pieces of this one, as often as stated."""
        times = self.scope.size(f"part.{name}.parts", item.get("times", 1))
        inner = self._part(str(item["part"]), path)
        if len(pieces["atoms"]) + times * max(len(inner.atoms), 1) > _MOST_ATOMS:
            raise FileError(f"{self.description.source}: part.{name}: more than {_MOST_ATOMS:,} atoms")
        for _ in range(times):
            _join(pieces, {key: getattr(inner, key) for key in Part.__slots__ if key not in ("name", "shared")})

    def _shorthand(self, part: str, key: str, make: Any, table: Mapping[str, object]) -> dict[str, Any]:  # noqa: ANN401
        check_sizes(self.description.source, f"part.{part}.{key}", key, table)
        values = {"width": self.scope.size("width", self.description.model.get("width", "d"))}
        values |= {name: self._argument(f"part.{part}.{key}.{name}", value) for name, value in table.items()}
        try:
            return dict(make(**values))
        except ValueError as error:
            raise FileError(f"{self.source}: {error}") from None
        except TypeError:
            raise FileError(f"{self.description.source}: part.{part}.{key}: its sizes are not numbers") from None

    def _argument(self, where: str, value: object) -> Any:  # noqa: ANN401  a size, a flag, or None for none
        found = self.scope.value(where, value)
        return found if found is None or isinstance(found, bool) else self.scope.checked(where, value, found)

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
            found = atom_text(self.description.source, where, text)
            if found.condition is not None and not self.scope.value(where, found.condition):
                continue
            rows = self.scope.size(where, found.rows.strip())
            columns = 1 if found.columns is None else self.scope.size(where, found.columns.strip())
            biased = found.bias is not None and bool(self.scope.value(where, found.bias))
            if rows and columns:
                bias = 0 if not biased else columns if found.kind == "matrix" else rows
                yield Atom(found.label, found.kind, rows, columns, bias)


def _join(pieces: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add the fields of one more mixer or block to those of a part."""
    for key, value in more.items():
        if key == "atoms":
            pieces["atoms"] += value
        elif key == "fused":
            pieces["fused"] = (*pieces.get("fused", ()), *value)
        elif key in _ADDED:
            pieces[key] = pieces.get(key, 0) + value
        elif value:
            pieces[key] = value


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
