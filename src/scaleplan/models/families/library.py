"""Find the family of a config among the described ones, and read the config by it."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from scaleplan.errors import FileError, did_you_mean, quote
from scaleplan.files import is_folder, names_in, preset_folders, read_table, read_text
from scaleplan.models.config import Fields
from scaleplan.models.count import count
from scaleplan.models.families.description import Description, merged
from scaleplan.models.families.multimodal import text_part
from scaleplan.models.families.unread import refuse_unread
from scaleplan.toml_table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from scaleplan.models.architecture import Architecture

__all__ = [
    "FamilyLibrary",
    "architecture_of",
    "families",
    "is_description",
]

_TIED = "tie_word_embeddings"

_DEEPEST = 8  # families that are like another, which is like another


class FamilyLibrary:
    """The families of some folders of ``NAME.toml`` files; a later folder wins over an earlier one."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = tuple(folders)
        self._files: dict[str, Path] | None = None
        self._read: dict[str, Description] = {}
        self._heads: dict[str, dict[str, object]] | None = None

    def files(self) -> dict[str, Path]:
        """Return the file of each family, by the name of the file."""
        if self._files is None:
            self._files = {
                name.removesuffix(".toml"): folder / name
                for folder in self.folders
                if is_folder(folder)
                for name in sorted(names_in(folder))
                if name.endswith(".toml")
            }
        return self._files

    def model_types(self) -> list[str]:
        """Return every ``model_type`` that is known."""
        return sorted(
            {name for head in self._headers().values() for name in _texts(head, "model_types", head["name"])}
        )

    def all(self) -> list[Description]:
        """Return every family, in the order of names."""
        return [self.load(name) for name in sorted(self.files())]

    def load(self, name: str) -> Description:
        """Return the family of a file's name; raises FileError for an invalid file."""
        if name not in self._read:
            files = self.files()
            self._read[name] = _described(files[name], files)
        return self._read[name]

    def get(self, model_type: str) -> Description | None:
        """Return the family of a ``model_type``, None where no family has it."""
        if re.fullmatch(r"[A-Za-z0-9_.-]{1,80}", model_type) is None:
            return None
        if model_type in self.files() and model_type in self.load(model_type).model_types:
            return self.load(model_type)
        for name, head in self._headers().items():
            if model_type in _texts(head, "model_types", head["name"]):
                return self.load(name)
        return None

    def of_class(self, class_name: str) -> Description | None:
        """Return the family of a class such as ``LlamaForCausalLM``: of all beginnings that match, the longest."""
        found = [
            (len(beginning), name)
            for name, head in self._headers().items()
            for beginning in _texts(head, "classes")
            if class_name.startswith(beginning)
        ]
        return self.load(max(found)[1]) if found else None

    def _headers(self) -> dict[str, dict[str, object]]:
        """Return the keys above the first table of each file, so that not every file is read whole."""
        if self._heads is None:
            self._heads = {}
            for name, path in self.files().items():
                head = read_text(path, what="family").split("\n[", 1)[0]
                self._heads[name] = {"name": name, **_head(head, path)}
        return self._heads


def _head(text: str, path: Path) -> dict[str, object]:
    import tomllib  # only where a family is looked for

    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise FileError(f"family {quote(path)} is not valid TOML: {error}") from None


def _texts(head: Mapping[str, object], key: str, default: object = None) -> list[str]:
    found = head.get(key, [] if default is None else [default])
    return [str(text) for text in found] if isinstance(found, list) else []


def _described(path: Path, files: Mapping[str, Path]) -> Description:
    """Read a description, laid over those that it is like."""
    table = read_table(path, what="family")
    data = dict(table.data)
    inherits = "like" in data
    for _ in range(_DEEPEST):
        base = data.pop("like", None)
        if base is None:
            return Description(Table(data, source=table.source), inherits=inherits)
        if not isinstance(base, str) or base not in files:
            raise FileError(f"{table.source}: like: there is no family {quote(base)}")
        inherited = dict(read_table(files[base], what="family").data)
        for key in ("model_types", "classes", "title", "sources", "notes", "ignored", "name"):
            if key != "ignored" or key in data:
                inherited.pop(key, None)
        data = merged(inherited, data)
    raise FileError(f"{table.source}: like: families are like each other in a circle, or more than {_DEEPEST} deep")


def families() -> FamilyLibrary:
    """Return the library of the bundled families and the user's own, each file read once a process."""
    return _library(preset_folders())


@cache
def _library(folders: tuple[Path, ...]) -> FamilyLibrary:
    return FamilyLibrary([folder / "families" for folder in folders])


def is_description(table: Mapping[str, object]) -> bool:
    """Whether a TOML file describes an architecture."""
    return "stack" in table and "part" in table


def read_description(path: Path) -> Description:
    """Return the description in a file that a user names."""
    library = families()
    return _described(path, library.files())


def architecture_of(data: Mapping[str, object], *, source: str, arch: str | None = None) -> Architecture:
    """Return the architecture that a config describes.

    The text part of a multimodal config is read, the rest of it is left out, which a note says. ``source`` is its
    name in errors; ``arch`` is the family to read it as where the config states no ``model_type``, or the path of a
    description. Raises FileError for an unknown family, and for fields that are missing, malformed or contradictory.
    """
    part = text_part(data, source)
    if not part.multimodal:
        return _read(part.data, source=part.source, arch=arch)
    decided = {} if part.tied is None else {_TIED: part.tied}
    architecture = _read({**part.data, **decided}, source=part.source, arch=arch)
    notes = (*architecture.notes, "only the language model of this multimodal config is counted")
    reason = part.doubt(lambda: _read(part.data, source=part.source, arch=arch).tied)
    if reason:
        notes += (_tie_note(architecture, reason),)
    return replace(architecture, notes=notes)


def _read(data: Mapping[str, object], *, source: str, arch: str | None) -> Architecture:
    found = _find(data, source=source, arch=arch)
    stated = data.get("model_type")
    name = stated if isinstance(stated, str) and stated in found.model_types else found.model_types[0]
    fields = Fields({**data, "model_type": name}, source=source)
    architecture = found.architecture(fields, family=name)
    refuse_unread(fields, architecture, found.known_fields())
    return architecture


def _tie_note(architecture: Architecture, reason: str) -> str:
    """Return the line with the total that a config has if the other of two places decides on tying the head."""
    table = architecture.vocab * architecture.table_width
    total = count(architecture).params
    ties, other = ("tied", total + table) if architecture.tied else ("not tied", total - table)
    return f"{reason} ({ties}); else {other:,}"


def _find(data: Mapping[str, object], *, source: str, arch: str | None = None) -> Description:
    """Return the family of a config by ``arch``, its ``model_type``, or the class that it names."""
    library = families()
    stated = data.get("model_type")
    if arch is not None:
        return _named(arch, stated, data, source)
    if isinstance(stated, str):
        found = library.get(stated)
        if found is not None:
            return found
    if stated is not None:
        raise _unknown(stated, data, source=source)
    classes = data.get("architectures")
    first = classes[0] if isinstance(classes, list) and classes else None
    found = library.of_class(first) if isinstance(first, str) else None
    if found is not None:
        return found
    raise FileError(
        f"{source}: missing field model_type{_lacking(data, source)}",
        hint=f"name the family with --arch; known: {', '.join(library.model_types())}",
    )


def _named(arch: str, stated: object, data: Mapping[str, object], source: str) -> Description:
    """Return the family that ``arch`` names; a config that states another one is not read as it."""
    if arch.endswith(".toml") or "/" in arch:
        from pathlib import Path  # a file, and not a name

        return read_description(Path(arch))
    found = families().get(arch)
    if found is None:
        raise _unknown(arch, data, source="arch")
    if stated is not None and stated not in found.model_types:
        known = isinstance(stated, str) and families().get(stated) is not None
        raise FileError(
            f"{source}: model_type {quote(stated)} is {'a known' if known else 'another'} family: "
            f"it is not read as {quote(arch)}",
            hint="leave out --arch" if known else "describe its layers: --arch ./mine.toml ('scaleplan families')",
        )
    return found


def _unknown(name: object, data: Mapping[str, object], *, source: str) -> FileError:
    known = families().model_types()
    close = did_you_mean(name, known) if isinstance(name, str) else None
    advice = f"did you mean '{close}'? " if close else ""
    advice += "describe its layers in a file of your own: --arch ./mine.toml; known: "
    return FileError(
        f"{source}: unknown model family {quote(name)}{_lacking(data, source)}", hint=advice + ", ".join(known)
    )


def _lacking(data: Mapping[str, object], source: str) -> str:
    missing = Fields(data, source=source).missing("layers", "width", "heads", "ffn_width", "vocab")
    return f"; of the fields that most families need it lacks {', '.join(missing)}" if missing else ""
