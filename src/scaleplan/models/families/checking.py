"""Check a description whole, before any config is read by it: every error names the file and the key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scaleplan.errors import FileError, did_you_mean, quote
from scaleplan.models.families.expressions import ExpressionError, compiled, names_of
from scaleplan.models.families.notation import IN_TEXT, atom_text, shared_name
from scaleplan.models.families.parts import SHORTHANDS, SIZES, check_sizes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scaleplan.models.families.description import Description

__all__ = ["check"]

_MODEL: tuple[str, ...] = ("vocab", "width", "tied", "atoms", "table_width", "head_rows", "head_width", "head_bias")
_MODEL += ("headless", "context", "causal", "extra")
_USUAL = {"width": "d", "vocab": "vocab"}
_STACK = ("repeat", "layers", "encoder")
_PART = ("atoms", "parts", "experts", "let", *SIZES, *SHORTHANDS)
_EXPERTS = ("count", "active", "width", "atoms")
_BUILT_IN = ("i", "model_type", "class_name", "largest_layer")
_WORDS = ("true", "false", "none")

_LAYERS = (
    'layers = ["a"] or [["a", "b"]]; a choice is { if = "i < 3", then = "dense", else = "moe" } '
    'or { by = "types[i]", full = "full" }'
)


def check(description: Description) -> None:
    """Raise FileError for what no config could make an architecture of: it names the key and what is wrong there.

    That is an expression that cannot be read, an unknown name or key, a part that is not there or holds itself.
    """
    _Check(description).run()


class _Check:
    """The check of one description."""

    def __init__(self, description: Description) -> None:
        self.description = description
        self.source = description.source
        self.scope = {*description.fields, *description.let, *_BUILT_IN}

    def run(self) -> None:
        self._names()
        self._model()
        for index, stack in enumerate(self.description.stacks, 1):
            self._stack(f"stack {index}", stack)
        parts = self.description.parts
        included = {name: self._part(f"part.{name}", part) for name, part in parts.items()}
        circle = _circle(included)
        if circle:
            raise FileError(f"{self.source}: part {quote(circle)} holds itself")
        unused = sorted(parts.keys() - set(self.description.reached()))
        if unused and self.description.like is None:
            raise FileError(f"{self.source}: part.{unused[0]} stands in no layer")

    def _names(self) -> None:
        """Check fields, names and lines, and that none is defined by itself."""
        found = self.description
        definitions: dict[str, frozenset[str]] = {}
        for key, spec in found.fields.items():
            texts = [text for text in (spec.default, spec.null, spec.length) if text is not None]
            for text in texts:
                self._expression(f"fields.{key}", text)
            definitions[key] = frozenset().union(*map(names_of, texts))
        for key, text in found.let.items():
            self._expression(f"let.{key}", text)
            definitions[key] = names_of(text)
        for key in definitions:
            if not key.isidentifier() or key in (*_BUILT_IN, *_WORDS):
                table = "let" if key in found.let else "fields"
                raise FileError(
                    f"{self.source}: {table}.{key}: a name is letters, digits and underscores, not a word"
                )
        for key, lines in (("notes", found.notes), ("refuse", found.refuse)):
            for condition, line in lines:
                for text in (condition, *IN_TEXT.findall(line)):
                    self._expression(key, text)
        circle = _circle(definitions)
        if circle:
            raise FileError(f"{self.source}: {quote(circle)} is defined by itself")

    def _model(self) -> None:
        model = self.description.model
        self._keys("model", model, _MODEL)
        for key, value in (*model.items(), *((key, _USUAL[key]) for key in _USUAL if key not in model)):
            self._sizes_or_atoms("model", key, value, self.scope)

    def _stack(self, where: str, stack: dict[str, Any]) -> None:
        self._keys(where, stack, _STACK)
        if not isinstance(stack.get("encoder", False), bool):
            raise FileError(f"{self.source}: {where}.encoder: expected true or false")
        self._expression(f"{where}.repeat", stack.get("repeat", 1))
        self._layers(f"{where}.layers", self._listed(f"{where}.layers", stack.get("layers")))

    def _layers(self, where: str, item: object) -> None:
        """Check one item of the layers: a part, several, or a choice."""
        if isinstance(item, str):
            if item:
                name, group = shared_name(item)
                self.description.part(name)
                self._expression(where, group or 1)
        elif isinstance(item, list):
            for one in item:
                self._layers(where, one)
        elif isinstance(item, dict) and (
            ("by" in item and len(item) > 1) or {"if", "then"} <= item.keys() <= {"if", "then", "else"}
        ):
            self._expression(where, item.get("by", item.get("if")))
            for key, one in item.items():
                if key not in ("by", "if"):
                    self._layers(where, one)
        else:
            raise FileError(f"{self.source}: {where}: expected names of parts, found {quote(item)}", hint=_LAYERS)

    def _part(self, where: str, part: dict[str, Any]) -> list[str]:
        """Check one part, and return the parts that it includes."""
        self._keys(where, part, _PART)
        scope = self.scope | set(self.description.inner(f"{where}.let", part.get("let", {})))
        for key, value in part.items():
            if key in ("experts", "let", *SHORTHANDS):
                inner = self.description.inner(f"{where}.{key}", value)
                if key == "experts":
                    self._keys(f"{where}.experts", inner, _EXPERTS)
                elif key in SHORTHANDS:
                    check_sizes(self.source, f"{where}.{key}", key, inner)
                for size, text in inner.items():
                    self._sizes_or_atoms(f"{where}.{key}", size, text, scope)
            elif key != "parts":
                self._sizes_or_atoms(where, key, value, scope)
        return self._included(f"{where}.parts", part["parts"], scope) if "parts" in part else []

    def _included(self, where: str, items: object, scope: set[str]) -> list[str]:
        found = []
        for item in self._listed(where, items):
            held = item.get("part") if isinstance(item, dict) and item.keys() <= {"part", "times"} else item
            if not isinstance(held, str):
                raise FileError(
                    f"{self.source}: {where}: expected names of parts, found {quote(item)}",
                    hint='"name", or { part = "name", times = 2 }',
                )
            self.description.part(held)
            found.append(held)
            if isinstance(item, dict):
                self._expression(where, item.get("times", 1), scope)
        return found

    def _sizes_or_atoms(self, where: str, key: str, value: object, scope: set[str]) -> None:
        if key != "atoms":
            self._expression(f"{where}.{key}", value, scope)
            return
        if not isinstance(value, list):
            raise FileError(f"{self.source}: {where}.atoms: expected a list of atoms")
        for text in value:
            for piece in atom_text(self.source, f"{where}.atoms", text)[2:]:
                if piece is not None:
                    self._expression(f"{where}.atoms", piece, scope)

    def _expression(self, where: str, text: object, scope: set[str] | None = None) -> None:
        """Check one expression: that it can be read, and that its names are there."""
        if isinstance(text, bool | int):
            return
        known = self.scope if scope is None else scope
        expression = self.description.expression(where, text)
        try:
            compiled(expression)
            missing = names_of(expression) - known
        except ExpressionError as error:
            raise FileError(f"{self.source}: {where}: {error.message}", hint=error.hint) from None
        if missing:
            name = min(missing)
            close = did_you_mean(name, known)
            raise FileError(
                f"{self.source}: {where}: unknown name {quote(name)} in {quote(expression)}",
                hint=f"did you mean '{close}'?" if close else f"names: {', '.join(sorted(known))}",
            )

    def _keys(self, where: str, table: Mapping[str, object], known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                close = did_you_mean(key, known)
                raise FileError(
                    f"{self.source}: {where}: unknown key {quote(key)}",
                    hint=f"did you mean '{close}'?" if close else f"known: {', '.join(known)}",
                )

    def _listed(self, where: str, value: object) -> list[Any]:
        if not isinstance(value, list) or not value:
            raise FileError(f"{self.source}: {where}: expected a list", hint=_LAYERS)
        return value


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
