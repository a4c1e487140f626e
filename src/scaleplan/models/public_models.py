"""Published models by name: the fields of their config.json, where a reader has no such file."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from scaleplan.errors import UnknownNameError, did_you_mean, quote
from scaleplan.files import data_folder, read_data
from scaleplan.record import Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scaleplan.toml_table import Table

__all__ = ["LISTING", "PublicModel", "PublicModelEntry", "PublicModelList", "PublicModels"]

LISTING = "scaleplan models list"
"""The command that lists the names."""

_VERSIONS = frozenset({"base", "instruct", "chat", "it", "hf"})
"""Words of a name that say how a model was tuned or stored, which leaves its sizes as they are."""

_WORDS = re.compile(r"[^\W_]+")

_SIZE = re.compile(r"(?<![a-z0-9.])(?P<number>\d+(?:\.\d+)?)(?P<unit>[mbt])(?![a-z0-9])")
"""The size in a name; not the active parameters, as in 30b-a3b."""

_UNITS = {"m": 1e6, "b": 1e9, "t": 1e12}

_LONGEST = 200  # characters of a name
_BEGINNING = 5  # characters of a name from which on its beginning says which one is meant


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicModelEntry:
    """A published model in a list: what it is, and where that is from."""

    id: str
    name: str
    aliases: tuple[str, ...]
    family: str
    """The ``model_type`` of its config."""
    params: float | None
    """The total as published; None where no source at hand states it."""
    params_exact: bool
    """Whether that is a count and not a rounded figure."""
    year: int | None
    sources: tuple[str, ...]
    """Where its config can be read."""
    note: str
    origin: str
    """The file that has it."""
    params_sources: tuple[str, ...]
    """Who prints the total; nobody where it is not stated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicModel(Result, PublicModelEntry):
    """A published model with the fields of its config.json that decide the counts."""

    schema: ClassVar[str] = "scaleplan/public-model/1"

    config: Mapping[str, object]

    @property
    def source(self) -> str:
        """What a result says that it is about: the model, and whose description of it was read."""
        shipped = Path(self.origin).parent == data_folder()
        return f"{self.id} ({'as published' if shipped else self.origin})"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicModelList(Result):
    """The published models that are known by name."""

    schema: ClassVar[str] = "scaleplan/models/1"

    models: tuple[PublicModelEntry, ...]

    @classmethod
    def of(cls, models: Iterable[PublicModel]) -> PublicModelList:
        """List models by family and size, without their configs."""
        names = [item.name for item in fields(PublicModelEntry)]
        return cls(
            models=tuple(
                PublicModelEntry(**{name: getattr(each, name) for name in names})
                for each in sorted(models, key=_rank)
            )
        )


def _rank(model: PublicModelEntry) -> tuple[str, float, str]:
    """Return what orders a list: family, size (where none is published, that in the name, or the last), name."""
    size = model.params
    if size is None:
        named = _SIZE.search(model.id)
        size = float(named["number"]) * _UNITS[named["unit"]] if named else math.inf
    return model.family, size, model.id


class PublicModels:
    """The published models by name: the bundled ones, and the user's own, which win."""

    def __init__(self, folders: Iterable[Path] | None = None) -> None:
        self._tables: dict[str, tuple[Table, Table]] = {}
        self._names: dict[str, str] = {}
        self._undotted: dict[str, set[str]] = {}
        self._shown: list[str] = []
        for top in read_data("models.toml", folders):
            self._add(top)

    def ids(self) -> tuple[str, ...]:
        """Return the ids in the order of the files."""
        return tuple(self._tables)

    def all(self) -> tuple[PublicModel, ...]:
        """Return every model."""
        return tuple(_model(*pair) for pair in self._tables.values())

    def find(self, name: str) -> PublicModel | None:
        """Return the model of an id or alias, whatever its case, separators and organisation; None if unknown."""
        if len(name) > _LONGEST or name.startswith((".", "/", "~")) or name.count("/") > 1:
            return None  # a path
        key = _squeeze(name)
        found = self._names.get(key)
        if found is None:  # 3.1 may be written 31, as long as no other model is meant by that
            meant = self._undotted.get(key.replace(".", ""), set())
            found = next(iter(meant)) if len(meant) == 1 else None
        return None if found is None else _model(*self._tables[found])

    def get(self, name: str) -> PublicModel:
        """Return the model that :meth:`find` finds; raises UnknownNameError if there is none."""
        found = self.find(name)
        if found is not None:
            return found
        error = UnknownNameError("model", name, self._shown, listing=LISTING)
        close = self.close_to(name)
        if close is not None:
            error.hint = f"did you mean '{close}'? '{LISTING}' lists them"
        raise error

    def close_to(self, name: str) -> str | None:
        """Return the name that is meant by the beginning of one or by a misspelt one, if any."""
        key = _squeeze(name)
        begun = [ident for ident in self._tables if len(key) >= _BEGINNING and _squeeze(ident).startswith(key)]
        return min(begun, key=len) if begun else did_you_mean(name, self._shown)

    def _add(self, top: Table) -> None:
        top.table("sources")
        names: dict[str, str] = {}
        for table in top.tables("model"):
            ident = table.text("id")
            for position, name in enumerate((ident, *table.texts("aliases", ()))):
                key = _squeeze(name)
                if not key:
                    raise table.error("aliases" if position else "id", "expected names with letters or digits")
                if names.setdefault(key, ident) != ident or (not position and ident in self._added(top)):
                    raise table.error("aliases" if position else "id", f"{quote(name)} already names {names[key]}")
                self._shown.append(name)
            self._tables[ident] = (top, table)
        self._names |= names
        for key, ident in names.items():
            self._undotted.setdefault(key.replace(".", ""), set()).add(ident)
        top.done()

    def _added(self, top: Table) -> set[str]:
        """Return the ids that a file has added so far."""
        return {ident for ident, (file, _) in self._tables.items() if file is top}


def _squeeze(name: str) -> str:
    """Reduce a name to what tells models apart: ``meta-llama/Llama-3.1-8B-Instruct`` and ``llama3_1-8b`` are one.

    What parts two digits stays, as a point: opt-1.3b is another model than opt-13b.
    """
    own = name.rstrip("/").rpartition("/")[2]
    words = [word for word in _WORDS.findall(own.casefold()) if word not in _VERSIONS]
    return "".join(
        f".{word}" if before[-1:].isdigit() and word[0].isdigit() else word for before, word in pairwise(["", *words])
    )


def _model(top: Table, table: Table) -> PublicModel:
    known = top.table("sources")
    config = _config(table)
    exact = isinstance(table.raw("params"), int)
    params = table.optional_number("params", above=0)
    sources = table.texts("sources")
    printed = table.texts("params_sources", sources if params is not None else ())
    if printed and params is None:
        raise table.error("params_sources", "there is no params that they could print")
    found = PublicModel(
        id=table.text("id"),
        name=table.text("name"),
        aliases=table.texts("aliases", ()),
        family=str(config.get("model_type", "")),
        params=int(params) if params is not None and exact else params,
        params_exact=exact,
        year=table.integer("year", at_least=1990) if "year" in table else None,
        sources=tuple(known.text(key, key) for key in sources),
        note=table.text("note", ""),
        origin=table.source,
        params_sources=tuple(known.text(key, key) for key in printed),
        config=config,
    )
    table.done()
    return found


def _config(table: Table) -> dict[str, object]:
    """Return the fields of a config, which stand in the file as the JSON that they are published as."""
    try:
        config = json.loads(table.text("config"))
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict) or not config:
        raise table.error("config", "expected the fields of a config.json, in braces")
    return config
