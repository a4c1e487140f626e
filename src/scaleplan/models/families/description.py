"""Hold the description of a family or of one architecture, as it stands in a file.

A description is a TOML table: ``[fields]`` are fields of a ``config.json``, ``[let]`` sizes that follow, ``[model]``
what stands outside of the layers, ``[[stack]]`` the order of layers, ``[part.NAME]`` what a layer is made of. The
language is explained in ``docs/guides/architectures.md``.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from scaleplan.errors import FileError, did_you_mean, quote
from scaleplan.models.families.expressions import names_of
from scaleplan.models.families.notation import IN_TEXT, atom_text, field_spec, shared_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scaleplan.toml_table import Table

__all__ = ["KEYS", "SCHEMA", "TABLES", "Description", "merged"]

SCHEMA = 1

KEYS = (
    "schema",
    "name",
    "title",
    "model_types",
    "classes",
    "like",
    "config",
    "ignored",
    "sources",
    "notes",
    "refuse",
)
TABLES = ("fields", "defaults", "let", "model", "stack", "part")
_LONGEST_NOTE = 500


class Description:
    """One description, as it stands in a file."""

    def __init__(self, table: Table, *, like: str | None = None) -> None:
        self.table = table
        self.like = like
        """The family over which it is laid, of which parts may stand in no layer."""
        self.source = table.source
        unknown = [key for key in table.data if key not in (*KEYS, *TABLES)]
        if unknown:
            close = did_you_mean(unknown[0], (*KEYS, *TABLES))
            raise FileError(
                f"{self.source}: {quote(unknown[0])} is no key of a description",
                hint=f"did you mean '{close}'?" if close else f"known: {', '.join((*KEYS, *TABLES))}",
            )
        if table.integer("schema") != SCHEMA:
            raise table.error("schema", f"expected {SCHEMA}")
        self.name = table.text("name")
        self.title = table.text("title", "")
        self.model_types = table.texts("model_types", (self.name,))
        self.classes = table.texts("classes", ())
        self.ignored = table.texts("ignored", ())
        self.sources = table.texts("sources", ())
        self.notes = self._lines("notes")
        self.refuse = self._lines("refuse")
        self.defaults = self._section("defaults")
        self.let = {key: self.expression(f"let.{key}", value) for key, value in self._section("let").items()}
        fields = {key: field_spec(self.source, key, value) for key, value in self._section("fields").items()}
        self.fields = {
            key: spec for key, spec in fields.items() if key not in self.let
        }  # a size that is set is no field
        self.model = self._section("model")
        self.parts = {name: self.inner(f"part.{name}", part) for name, part in self._section("part").items()}
        stacks = table.data.get("stack", [])
        if not isinstance(stacks, list) or not stacks or not all(isinstance(stack, dict) for stack in stacks):
            raise FileError(f"{self.source}: expected at least one [[stack]] with layers")
        self.stacks: list[dict[str, Any]] = stacks

    def part(self, name: str) -> dict[str, Any]:
        """Return the table of a part; raises FileError where there is none."""
        found = self.parts.get(name)
        if found is None:
            close = did_you_mean(name, self.parts)
            raise FileError(
                f"{self.source}: there is no part {quote(name)}",
                hint=f"did you mean '{close}'?" if close else f"parts: {', '.join(self.parts)}",
            )
        return found

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
        """The names that the layers use, directly or through others: a field of an unused part is none."""
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
            yield from (condition, *IN_TEXT.findall(line))
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
                pieces = atom_text(self.source, key, text)
                yield from (piece for piece in pieces[2:] if piece is not None)
        elif isinstance(value, str) and value:
            yield value

    def _choices(self, item: object) -> Iterator[str]:
        """Yield the expressions of the choices in the layers, and of the groups of shared parts."""
        if isinstance(item, str):
            group = shared_name(item)[1]
            if group:
                yield group
        elif isinstance(item, list):
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
            yield shared_name(item)[0]
        elif isinstance(item, list):
            for one in item:
                yield from self._named_in(one)
        elif isinstance(item, dict):
            for key, one in item.items():
                if key not in ("by", "if"):
                    yield from self._named_in(one)

    def _lines(self, key: str) -> list[tuple[str, str]]:
        """Return lines with the condition of each: ``"text"``, or ``{ if = "condition", text = "text" }``."""
        value = self.table.data.get(key, [])
        listed = value if isinstance(value, list) else []
        lines = [{"if": True, "text": line} if isinstance(line, str) else line for line in listed]
        if not isinstance(value, list) or any(
            not isinstance(one, dict) or one.keys() != {"if", "text"} or not isinstance(one["text"], str)
            for one in lines
        ):
            raise self.table.error(key, 'expected a list of texts, or of { if = "condition", text = "text" }')
        if any(len(str(line["text"])) > _LONGEST_NOTE for line in lines):
            raise FileError(f"{self.source}: {key}: a text longer than {_LONGEST_NOTE} characters")
        return [(self.expression(key, line["if"]), str(line["text"])) for line in lines]

    def _section(self, key: str) -> dict[str, Any]:
        return self.inner(key, self.table.data.get(key, {}))

    def inner(self, where: str, value: object) -> dict[str, Any]:
        """Return a value that must be a table."""
        if not isinstance(value, dict):
            raise FileError(f"{self.source}: {where}: expected a table")
        return value

    def expression(self, where: str, value: object) -> str:
        """Return the text of an expression, which may be a number or a flag."""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | str):
            return str(value)
        raise FileError(f"{self.source}: {where}: expected a size or an expression, found {quote(value)}")


def merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table with another laid over it: tables are merged, everything else is replaced."""
    found = dict(base)
    for key, value in own.items():
        inner = found.get(key)
        found[key] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return found
