"""Check files of GPUs and of prices, as they stand in a preset folder: what is wrong, at which key and line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from scaleplan.documents.document import located, toml_lines
from scaleplan.errors import FileError, ScaleplanError, quote
from scaleplan.files import read_table, read_text
from scaleplan.hardware.accelerators import Accelerators
from scaleplan.hardware.budget import Catalogue
from scaleplan.hardware.prices import Prices
from scaleplan.record import Record, Result

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scaleplan.toml_table import Table

__all__ = ["HardwareProblem", "HardwareValidation", "ValidatedHardware", "validate_hardware"]

_KINDS = {"accelerators": ("accelerator", "without_figures"), "prices": ("price", "default")}
"""The tables by which the kind of a file is known."""


class HardwareProblem(Record):
    """What is wrong with a file of hardware, the line where that stands if it is known, and the way out."""

    message: str
    line: int | None
    hint: str | None


class ValidatedHardware(Record):
    """A file of ``accelerators`` or ``prices``: the ids in it, and what is wrong; no kind where it is neither."""

    file: str
    kind: str | None
    valid: bool
    ids: tuple[str, ...]
    problems: tuple[HardwareProblem, ...]


class HardwareValidation(Result, Record):
    """Files that should hold GPUs or prices, and how many are invalid."""

    schema: ClassVar[str] = "scaleplan/gpu-validation/1"

    invalid: int
    files: tuple[ValidatedHardware, ...]


def validate_hardware(files: Sequence[str]) -> HardwareValidation:
    """Read files of GPUs and of prices, and return every table of them that cannot be used, with the reason.

    A price may name a GPU of the other files, or one that is known. Of a table with several faults the first is told.
    """
    catalogue = Catalogue()
    tables: dict[str, Table | FileError] = {}
    for file in files:
        try:
            tables[file] = read_table(Path(file), what="file")
        except FileError as error:
            tables[file] = error
    own = {
        str(ident)
        for top in tables.values()
        if not isinstance(top, FileError)
        for table in _entries(top, "accelerator")
        if isinstance(ident := table.data.get("id"), str)
    }
    found = [_validated(file, top, catalogue, own | set(catalogue.accelerators.ids())) for file, top in tables.items()]
    return HardwareValidation(invalid=sum(not each.valid for each in found), files=tuple(found))


def _validated(file: str, top: Table | FileError, catalogue: Catalogue, known: set[str]) -> ValidatedHardware:
    if isinstance(top, FileError):
        return _with_problems(file, None, (), [top], {})
    kinds = [kind for kind, names in _KINDS.items() if any(name in top for name in names)]
    lines = toml_lines(read_text(Path(file), what="file"))
    if len(kinds) != 1:
        what = "has both GPUs and prices" if kinds else "has no [[accelerator]], and no [[default]] or [[price]]"
        hint = "GPUs belong in accelerators.toml, prices in prices.toml"
        return _with_problems(file, None, (), [FileError(f"{top.source}: {what}", hint=hint)], lines)
    (kind,) = kinds
    problems: list[ScaleplanError] = []
    ids: list[str] = []
    try:
        top.require_schema()
    except FileError as error:
        problems.append(error)
    for problem, ident in (_of_accelerators(top, catalogue) if kind == "accelerators" else _of_prices(top, known)):
        if problem is not None:
            problems.append(problem)
        ids += [ident] if ident is not None else []
    return _with_problems(file, kind, tuple(dict.fromkeys(ids)), problems, lines)
