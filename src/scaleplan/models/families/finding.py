"""Find the family of a config among the described ones, and read the config by it."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from scaleplan.errors import FileError, did_you_mean, quote
from scaleplan.files import is_file, is_folder, names_in, preset_folders, read_table, read_text
from scaleplan.models.config import DESCRIBED, Fields, is_description
from scaleplan.models.count import count
from scaleplan.models.families.checking import check
from scaleplan.models.families.description import Description, merged
from scaleplan.models.families.expansion import expand
from scaleplan.models.families.multimodal import text_part
from scaleplan.models.families.unread import refuse_unread
from scaleplan.toml_table import Table

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from scaleplan.models.architecture import Architecture

__all__ = [
    "FamilyLibrary",
    "architecture_of",
    "described",
    "families",
    "read_description",
]

_TIED = "tie_word_embeddings"

_LISTED = "'scaleplan families list' lists the known ones"
INDEX = "index.json"
"""The file of a folder that has what :func:`index_of` finds in it; ``docs/write`` writes the bundled one."""

_DEEPEST = 8  # families that are like another, which is like another


class FamilyLibrary:
    """The families of some folders of ``NAME.toml`` files; a later folder wins over an earlier one."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = tuple(folders)
        self._read: dict[str, Description] = {}
        self._files: dict[str, Path] | None = None
        self._found: dict[str, dict[str, str]] | None = None

    def files(self) -> dict[str, Path]:
        """Return the file of each family, by the name of the file."""
        if self._files is None:
            self._files = {name: folder / f"{name}.toml" for folder in self.folders for name in _names(folder)}
        return self._files

    def model_types(self) -> list[str]:
        """Return every ``model_type`` that is known."""
        return sorted(self._index()["model_types"])

    def all(self) -> list[Description]:
        """Return every family, in the order of names."""
        return [self.load(name) for name in sorted(self.files())]

    def load(self, name: str) -> Description:
        """Return the family of a file's name; raises FileError for an invalid file."""
        if name not in self._read:
            files = self.files()
            found = _described(read_table(files[name], what="family"), files)
            if files[name].parent != self.folders[0]:  # the user's own; of the bundled ones the tests check each
                check(found)
            self._read[name] = found
        return self._read[name]

    def get(self, model_type: str) -> Description | None:
        """Return the family of a ``model_type``, None where no family has it."""
        if model_type in self.files() and model_type in self.load(model_type).model_types:
            return self.load(model_type)
        name = self._index()["model_types"].get(model_type)
        return None if name is None else self.load(name)

    def named(self, name: str) -> Description | None:
        """Return the family of a ``model_type`` or of a file's name, None where there is none."""
        return self.get(name) or (self.load(name) if name in self.files() else None)

    def of_class(self, class_name: str) -> Description | None:
        """Return the family of a class such as ``LlamaForCausalLM``: of all beginnings that match, the longest."""
        found = [
            (len(beginning), name)
            for beginning, name in self._index()["classes"].items()
            if class_name.startswith(beginning)
        ]
        return self.load(max(found)[1]) if found else None

    def _index(self) -> dict[str, dict[str, str]]:
        """Return the file of each model type and of each beginning of a class.

        The bundled folder has it as a file, so that not every family is read to find one.
        """
        if self._found is None:
            found: dict[str, dict[str, str]] = {"model_types": {}, "classes": {}}
            for folder in self.folders:
                stored = _stored_index(folder)
                missing = set(_names(folder)) - {*stored["model_types"].values()}
                for index in (stored, index_of(folder, missing)):
                    for key, values in index.items():
                        found[key] |= values
            self._found = found
        return self._found


def index_of(folder: Path, names: Collection[str] | None = None) -> dict[str, dict[str, str]]:
    """Return the file of each model type and class beginning that the families of a folder state."""
    found: dict[str, dict[str, str]] = {"model_types": {}, "classes": {}}
    for name in sorted(_names(folder) if names is None else names):
        head = read_table(folder / f"{name}.toml", what="family").data
        for key, default in (("model_types", [head.get("name", name)]), ("classes", [])):
            values = head.get(key, default)
            found[key] |= {str(text): name for text in values} if isinstance(values, list) else {}
    return found


def _stored_index(folder: Path) -> dict[str, dict[str, str]]:
    path = folder / INDEX
    if not is_file(path):
        return {"model_types": {}, "classes": {}}
    found: dict[str, dict[str, str]] = json.loads(read_text(path, what="index of families"))
    return found


def _names(folder: Path) -> list[str]:
    """Return the names of the families in a folder."""
    if not is_folder(folder):
        return []
    return sorted(name.removesuffix(".toml") for name in names_in(folder) if name.endswith(".toml"))


def _described(table: Table, files: Mapping[str, Path]) -> Description:
    """Return a description, laid over those that it is like."""
    data = dict(table.data)
    like = data.get("like")
    for _ in range(_DEEPEST):
        base = data.pop("like", None)
        if base is None:
            return Description(Table(data, source=table.source), like=like if isinstance(like, str) else None)
        if not isinstance(base, str) or base not in files:
            close = did_you_mean(base, files) if isinstance(base, str) else None
            raise FileError(
                f"{table.source}: like: there is no family {quote(base)}",
                hint=f"did you mean '{close}'?" if close else "'scaleplan families list' has them",
            )
        inherited = dict(read_table(files[base], what="family").data)
        for key in ("model_types", "classes", "title", "sources", "notes", "defaults", "config", "ignored", "name"):
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


def described(data: Mapping[str, object], *, source: str) -> Description:
    """Return what a user describes, checked whole."""
    if not is_description(data):
        raise FileError(f"{source}: describes no architecture", hint=f"it needs {DESCRIBED}")
    found = _described(Table(data, source=source), families().files())
    check(found)
    return found


def read_description(path: Path) -> Description:
    """Return the description in a file that a user names."""
    table = read_table(path, what="description of a model")
    return described(table.data, source=table.source)


def architecture_of(
    data: Mapping[str, object], *, source: str, arch: str | Description | None = None
) -> Architecture:
    """Return the architecture that a config describes.

    The text part of a multimodal config is read, the rest of it is left out, which a note says. ``source`` is its
    name in errors; ``arch`` is the family to read it as where the config states no ``model_type``, a description, or
    the path of one. Raises FileError for an unknown family, and for fields that are missing, malformed or
    contradictory.
    """
    if is_description(data):
        if arch is not None:
            raise FileError(f"{source}: describes its own layers", hint="leave out --arch, or name a config.json")
        found, config = described(data, source=source), data.get("config")
        if config is None:
            return expand(found)
        if not isinstance(config, dict):
            raise FileError(f"{source}: config: expected the name of a config.json beside the file")
        return architecture_of(config, source=f"{source}: config", arch=found)
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


def _read(data: Mapping[str, object], *, source: str, arch: str | Description | None) -> Architecture:
    found = _find(data, source=source, arch=arch)
    stated = data.get("model_type")
    name = stated if isinstance(stated, str) and stated in found.model_types else found.model_types[0]
    fields = Fields({**data, "model_type": name}, source=source)
    architecture = expand(found, fields, family=name)
    by_name = isinstance(arch, str) and found is families().named(arch)
    guessed = by_name and stated is None and not _class(data)
    refuse_unread(fields, architecture, found.known_fields(), guessed=guessed)
    return architecture


def _tie_note(architecture: Architecture, reason: str) -> str:
    """Return the line with the total that a config has if the other of two places decides on tying the head."""
    table = architecture.vocab * architecture.table_width
    total = count(architecture).params
    ties, other = ("tied", total + table) if architecture.tied else ("not tied", total - table)
    return f"{reason} ({ties}); else {other:,}"


def _find(data: Mapping[str, object], *, source: str, arch: str | Description | None = None) -> Description:
    """Return the family of a config by ``arch``, its ``model_type``, or the class that it names."""
    if isinstance(arch, Description):
        return arch
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
    found = library.of_class(_class(data))
    if found is not None:
        return found
    raise FileError(
        f"{source}: missing field model_type{_lacking(data, source)}",
        hint=f"name the family with --arch; {_LISTED}",
    )


def _named(arch: str, stated: object, data: Mapping[str, object], source: str) -> Description:
    """Return the family that ``arch`` names; a config that states another one is not read as it."""
    if arch.endswith(".toml") or "/" in arch:
        return read_description(Path(arch))
    library = families()
    found = library.named(arch)
    if found is None:
        raise _unknown(arch, data, source="arch")
    named = _class(data)
    if stated is not None:
        word, value, of, own = "model_type", stated, stated, stated in found.model_types
    else:
        other = library.of_class(named)
        word, value, of, own = "architectures", named, other and other.model_types[0], other in (found, None)
        own = not named or (own and (not found.classes or named.startswith(found.classes)))
    if not own:
        known = isinstance(of, str) and library.get(of) is not None
        raise FileError(
            f"{source}: {word} {quote(value)} is {'a known' if known else 'another'} family: "
            f"it is not read as {quote(arch)}",
            hint="leave out --arch"
            if known
            else f'describe its layers: --arch ./mine.toml, where like = "{arch}" says that they are the same',
        )
    return found


def _class(data: Mapping[str, object]) -> str:
    """Return the first class that a config names; an empty text without one."""
    classes = data.get("architectures")
    return classes[0] if isinstance(classes, list) and classes and isinstance(classes[0], str) else ""


def _unknown(name: object, data: Mapping[str, object], *, source: str) -> FileError:
    known = families().model_types()
    close = did_you_mean(name, known) if isinstance(name, str) else None
    advice = f"did you mean '{close}'? " if close else ""
    advice += f"describe its layers in a file of your own: --arch ./mine.toml; {_LISTED}"
    return FileError(f"{source}: unknown model family {quote(name)}{_lacking(data, source)}", hint=advice)


def _lacking(data: Mapping[str, object], source: str) -> str:
    missing = Fields(data, source=source).missing("layers", "width", "heads", "ffn_width", "vocab")
    return f"; of the fields that most families need it lacks {', '.join(missing)}" if missing else ""
