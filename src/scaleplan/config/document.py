"""A config that exists already - TOML, JSON or YAML - asked for single values and the lines they stand on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Protocol

from scaleplan.errors import FileError, inert

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.config.keypath import Key

__all__ = ["DataDocument", "Document", "Found", "parse_document"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A value of a document and its line, counted from 1; None where that is not known."""

    value: object
    line: int | None


class Document(Protocol):
    """A parsed config file."""

    name: str

    def find(self, key: Key) -> Found | None:
        """Return the value at a key path and its line, None when there is no such key."""

    def names(self, key: Key) -> list[str]:
        """Return the keys of the mapping at a key path, for hints."""


class DataDocument:
    """A document whose data is at hand, with a table of lines."""

    def __init__(self, data: object, lines: Mapping[Key, int], *, name: str) -> None:
        self.data = data
        self.lines = lines
        self.name = name

    def find(self, key: Key) -> Found | None:
        """Return the value at a key path and its line, None when there is no such key."""
        value = self.data
        for part in key:
            if isinstance(value, dict) and str(part) in value:
                value = value[str(part)]
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
        return Found(value=value, line=self.lines.get(key))

    def names(self, key: Key) -> list[str]:
        """Return the keys of the mapping at a key path, for hints."""
        found = self.find(key)
        return list(found.value) if found is not None and isinstance(found.value, dict) else []


def parse_document(text: str, *, name: str) -> Document:
    """Return the document of a text, by the ending of its file's name.

    Raises
    ------
    FileError
        When the ending is unknown, or the text is not of that format.

    """
    ending = PurePath(name).suffix.casefold()
    if ending == ".toml":
        return _toml(text, name)
    if ending == ".json":
        return _json(text, name)
    if ending in (".yaml", ".yml"):
        from scaleplan.config.yaml_nodes import YamlDocument

        return YamlDocument(text, name=name)
    raise FileError(
        f"{name}: not a config that can be read", hint="values come from .toml, .json, .yaml or .yml files"
    )


def _toml(text: str, name: str) -> DataDocument:
    import tomllib

    from scaleplan.config.toml_lines import toml_lines

    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else inert(str(error))
        raise FileError(f"{name}: not valid TOML: {reason}") from None
    return DataDocument(data, toml_lines(text), name=name)


def _json(text: str, name: str) -> DataDocument:
    from scaleplan.config.json_lines import json_lines

    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise FileError(f"{name}: not valid JSON at line {error.lineno}: {error.msg.lower()}") from None
    except (ValueError, RecursionError):
        raise FileError(f"{name}: not valid JSON: a number too long, or nested too deeply") from None
    return DataDocument(data, json_lines(text), name=name)
