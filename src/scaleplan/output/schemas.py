"""The JSON Schemas by name: of every result, of errors, and of the files that people write."""

from __future__ import annotations

from typing import Any, ClassVar

from scaleplan.errors import UnknownNameError
from scaleplan.output.declared import DIALECT, ERROR, result_schema, urn
from scaleplan.output.file_schemas import FILES
from scaleplan.project.saved import RESULTS
from scaleplan.record import Record, Result

__all__ = ["SchemaEntry", "SchemaList", "schema", "schema_list"]


class SchemaEntry(Record):
    """A schema: the name to ask for it by, its id, and what it describes."""

    name: str
    id: str
    describes: str


class SchemaList(Result, Record):
    """The schemas that there are, of files first."""

    schema: ClassVar[str] = "scaleplan/schemas/1"

    schemas: tuple[SchemaEntry, ...]


_OF_FILE = "scaleplan/file/"


def schema_list() -> SchemaList:
    """Return the schemas that there are; a result that shares its name with a file has a number too: ``preset/1``."""
    entries = [SchemaEntry(name=name, id=_OF_FILE + name, describes=what) for name, (what, _) in FILES.items()]
    for each in (*RESULTS, ERROR):
        name = each.split("/")[1]
        node = result_schema(each)
        entries.append(
            SchemaEntry(
                name=name if name not in FILES else each.removeprefix("scaleplan/"),
                id=each,
                describes=node.get("description", "").partition("\n")[0].partition(": ")[0].rstrip("."),
            )
        )
    return SchemaList(schemas=tuple(entries))


def schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a file, a result or an error.

    ``name`` is that of a file (``preset``, ``project``), of a result (``plan``, ``fit``), or a whole id
    (``scaleplan/plan/1``). Raises UnknownNameError when there is none.
    """
    wanted = name.removeprefix(_OF_FILE)
    if wanted in FILES:
        what, made = FILES[wanted]
        return {"$schema": DIALECT, "$id": urn(_OF_FILE + wanted), "title": what} | made()
    wanted = name.removeprefix("scaleplan/")
    for each in (*RESULTS, ERROR):
        if wanted in (each.split("/")[1], each.removeprefix("scaleplan/")):
            return result_schema(each)
    raise UnknownNameError(
        "schema", name, (*FILES, *(each.split("/")[1] for each in (*RESULTS, ERROR))), listing="scaleplan schema"
    )
