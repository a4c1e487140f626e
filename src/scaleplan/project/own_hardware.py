"""Check files of GPUs and of prices, as they stand in a preset folder: what is wrong, at which key and line."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

from scaleplan.documents.document import located, toml_lines
from scaleplan.errors import FileError, escape_control, quote
from scaleplan.files import data_folder, read_table, read_text, require_schema
from scaleplan.hardware.accelerators import Accelerators, read_accelerator
from scaleplan.hardware.prices import default_prices, listed_price, owned_prices
from scaleplan.hardware.utilisation import UtilisationTable
from scaleplan.record import Record, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from scaleplan.documents.key_path import Key
    from scaleplan.toml_table import Table

__all__ = ["HardwareProblem", "HardwareValidation", "ValidatedHardware", "validate_hardware"]

_Data = TypeVar("_Data")

_KINDS = {"accelerators": ("accelerator", "without_figures"), "prices": ("price", "default", "owned")}
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

    A price may name a known GPU, or one of the other files. Of several faults in one table the first is reported.
    """
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
    known, classes = own | set(_usable(Accelerators).ids()), _usable(UtilisationTable).classes()
    found = [_validated(file, top, classes, known) for file, top in tables.items()]
    return HardwareValidation(invalid=sum(not each.valid for each in found), files=tuple(found))


def _usable(kind: Callable[[Iterable[Path] | None], _Data]) -> _Data:
    """Return the data of all preset folders, or the bundled alone where a file of the user's is what is broken."""
    try:
        return kind(None)
    except FileError:
        return kind((data_folder(),))


def _validated(file: str, top: Table | FileError, classes: Sequence[str], known: set[str]) -> ValidatedHardware:
    if isinstance(top, FileError):
        return _with_problems(file, None, (), [top], {})
    kinds = [kind for kind, names in _KINDS.items() if any(name in top for name in names)]
    lines = toml_lines(read_text(Path(file), what="file"))
    if len(kinds) != 1:
        what = (
            "has both GPUs and prices"
            if kinds
            else "has no [[accelerator]], and no [[default]], [[price]] or [[owned]]"
        )
        hint = "GPUs belong in accelerators.toml, prices in prices.toml"
        return _with_problems(file, None, (), [FileError(f"{top.source}: {what}", hint=hint)], lines)
    (kind,) = kinds
    problems: list[FileError] = []
    ids: list[str] = []
    for read in _readings(top, kind, classes, known):
        try:
            ids += read()
        except FileError as error:
            if error.message not in [problem.message for problem in problems]:
                problems.append(error)
    return _with_problems(file, kind, tuple(dict.fromkeys(ids)), problems, lines)


def _readings(top: Table, kind: str, classes: Sequence[str], known: set[str]) -> Iterator[Callable[[], list[str]]]:
    """Yield what must succeed for a file to be usable, each giving the ids that it reads."""
    yield partial(_schema, top)
    if kind == "accelerators":
        for table in _entries(top, "accelerator"):
            yield partial(_accelerator, top, table, classes)
        yield partial(_names, top)
        return
    for name, (key, read) in _PRICES.items():
        for table in _entries(top, name):
            yield partial(_prices, table, key, read, known)
    yield partial(_nothing_else, top)


def _schema(top: Table) -> list[str]:
    require_schema(top)
    return []


def _names(top: Table) -> list[str]:
    """Read the names of all accelerators together, which must not be those of two."""
    Accelerators(()).add(top)
    return []


def _accelerator(top: Table, table: Table, classes: Sequence[str]) -> list[str]:
    found = read_accelerator(top, table)
    if found.utilisation_class is not None and found.utilisation_class not in classes:
        raise table.error("class", f"expected one of {', '.join(classes)}, or none with --mfu")
    return [found.id]


_PRICES: Mapping[str, tuple[str, Callable[[Table], dict[str, str]]]] = {
    "default": ("accelerators", lambda table: {price.accelerator: price.date for price in default_prices(table)}),
    "owned": ("accelerators", lambda table: {name: own.date for name, own in owned_prices(table).items()}),
    "price": ("accelerator", lambda table: {(price := listed_price(table)).accelerator: price.date}),
}
"""The tables of a file of prices: the key of their GPUs, and what reads the GPUs and the date of one."""


def _prices(table: Table, key: str, read: Callable[[Table], dict[str, str]], known: set[str]) -> list[str]:
    dates = read(table)
    for name, date in dates.items():
        if name not in known:
            hint = "'scaleplan gpus list' lists the ids; a GPU of your own: validate its file together with this one"
            raise table.error(key, f"no GPU has the id {quote(name)}", hint=hint)
        if date and not _DATE.fullmatch(date):
            raise table.error("date", "expected a date as 2026-05-31, 2026-05 or 2026")
    return [*dates]


def _nothing_else(top: Table) -> list[str]:
    for name in _PRICES:
        top.tables(name)
    top.done()
    return []


def _entries(top: Table, name: str) -> list[Table]:
    """Return the tables of a name; none for another value, which the check of the whole file reports."""
    try:
        return top.tables(name)
    except FileError:
        return []


def _with_problems(
    file: str, kind: str | None, ids: tuple[str, ...], errors: Sequence[FileError], lines: Mapping[Key, int]
) -> ValidatedHardware:
    """Return the verdict about a file, each error with its line where that is known."""
    problems = []
    for error in errors:
        placed = located(error, name=escape_control(file), lines=lines)
        problems.append(HardwareProblem(message=placed.message, line=placed.line, hint=placed.hint))
    return ValidatedHardware(file=file, kind=kind, valid=not problems, ids=ids, problems=tuple(problems))


_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")
