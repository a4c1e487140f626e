"""Which presets there are, and which file a name means."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from scaleplan.errors import FileError, ScaleplanError, UnknownNameError, quote
from scaleplan.files import DATA_FILES, data_folder, read_text, user_folder
from scaleplan.presets.reader import read_preset
from scaleplan.record import Record
from scaleplan.toml_table import as_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scaleplan.presets.preset import Preset

__all__ = ["DEFAULT_PRESET", "Library", "PresetPaths", "ValidatedFile", "Validation", "validate"]

DEFAULT_PRESET = "besiroglu-2024"


class Library:
    """The preset files of some folders; a later folder wins over an earlier one.

    Parameters
    ----------
    folders
        Folders of ``ID.toml`` files, each optional on disk; the bundled one and the user's own by default.

    """

    __slots__ = ("folders",)

    def __init__(self, folders: Sequence[Path] | None = None) -> None:
        self.folders = (data_folder() / "laws", user_folder()) if folders is None else tuple(folders)

    def load(self, name: str) -> Preset:
        """Return the preset of an id, an alias, or a path (with a separator or ending in ``.toml``).

        An id is the name of its file, so that one file is read; only an alias makes the others be read too. Raises
        UnknownNameError, or FileError for an invalid file.
        """
        if name.endswith(".toml") or "/" in name or os.sep in name:
            return read_preset(Path(name))
        wanted = name.casefold()
        files = self.files()
        for known, path in files.items():
            if known.casefold() == wanted:
                return _filed(path)
        found, _, _ = _by_alias(files, wanted)
        if found is not None:
            return found
        _, aliases, broken = _by_alias(files, wanted, every=True)
        unknown = UnknownNameError("preset", name, [*files, *aliases], listing="scaleplan presets list")
        if broken is not None:
            unknown.hint = f"{unknown.hint}; one file could not be read: {broken.message}"
        raise unknown

    def ids(self) -> tuple[str, ...]:
        """Return the ids of all presets, sorted."""
        return tuple(sorted(self.files()))

    def all(self) -> tuple[Preset, ...]:
        """Return all presets, sorted by id; raises FileError for the first invalid file."""
        return tuple(_filed(path) for _, path in sorted(self.files().items()))

    def files(self) -> dict[str, Path]:
        """Return the file of each id."""
        return {name[:-5]: folder / name for folder in self.folders for name in _listing(folder)}


def _by_alias(
    files: dict[str, Path], wanted: str, *, every: bool = False
) -> tuple[Preset | None, list[str], FileError | None]:
    """Return the preset with an alias, the aliases seen and the first error.

    Only files in which the text of the alias occurs are parsed, unless ``every`` alias is wanted.
    """
    aliases: list[str] = []
    broken: FileError | None = None
    for path in reversed(files.values()):  # the user's own first
        try:
            if not every and wanted not in read_text(path, what="preset").casefold():
                continue
            preset = _filed(path)
        except FileError as error:  # a broken neighbour must not hide a good preset
            broken = broken or error
            continue
        if wanted in (alias.casefold() for alias in preset.aliases):
            return preset, aliases, broken
        aliases += preset.aliases
    return None, aliases, broken


def _listing(folder: Path) -> list[str]:
    """Return the names of the law presets in a folder; none when it does not exist."""
    try:
        names = os.listdir(folder)  # noqa: PTH208  half the time of iterdir
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError) as error:
        raise FileError(f"cannot list the presets in {quote(folder)}: {error}") from None
    return sorted(
        name for name in names if name.endswith(".toml") and not name.startswith(".") and name not in DATA_FILES
    )


def _filed(path: Path) -> Preset:
    """Read a preset of a folder, where its id must be the name of its file."""
    preset = read_preset(path)
    if preset.id != path.stem:
        raise FileError(
            f"{preset.origin}: id: expected {quote(path.stem)}, the name of the file, found {quote(preset.id)}",
            hint="rename the file or change the id",
        )
    return preset


class PresetPaths(Record):
    """The file of a preset, or the folders that are searched."""

    schema: ClassVar[str] = "scaleplan/paths/1"

    paths: tuple[str, ...]

    @property
    def rows(self) -> list[dict[str, object]]:
        """One row a path."""
        return [{"path": path} for path in self.paths]

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that ``--json`` prints."""
        return as_record(self)


class ValidatedFile(Record):
    """A file that should be a preset: its id, or why it is none."""

    file: str
    valid: bool
    id: str | None
    problem: str | None


class Validation(Record):
    """Files that should be presets, and how many are not."""

    schema: ClassVar[str] = "scaleplan/validation/1"

    invalid: int
    files: tuple[ValidatedFile, ...]

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that ``--json`` prints."""
        return as_record(self)


def validate(files: Sequence[str]) -> Validation:
    """Read each file as a preset, and return what is wrong with those that are none."""
    found = []
    for file in files:
        try:
            preset = read_preset(Path(file))
            found.append(ValidatedFile(file=file, valid=True, id=preset.id, problem=None))
        except ScaleplanError as error:
            found.append(ValidatedFile(file=file, valid=False, id=None, problem=error.message))
    return Validation(invalid=sum(not each.valid for each in found), files=tuple(found))
