"""The command that prints JSON Schemas."""

from __future__ import annotations

from typing import Annotated

import typer

from scaleplan.cli.command import Answer, chosen_format, command, single
from scaleplan.cli.options import OutputOptions  # noqa: TC001  read at run time, for its options
from scaleplan.errors import UsageError
from scaleplan.output.data import render_json
from scaleplan.output.schemas import schema as json_schema
from scaleplan.output.schemas import schema_list

__all__ = ["APPS"]

APPS = {"schema": single()}


@command(
    APPS["schema"],
    examples=[
        "scaleplan schema",
        "scaleplan schema plan",
        "scaleplan schema project > scaleplan.schema.json",
    ],
)
def schema(
    output: OutputOptions,
    *,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="plan, preset, project, fit, …; the list if not given.")
    ] = None,
) -> Answer:
    """Print the JSON Schema of a result or of a file that you write; without a name, list them."""
    if name is None:
        return Answer(result=schema_list())
    if chosen_format(output) not in ("text", "json") or output.get is not None or output.fields is not None:
        raise UsageError("a JSON Schema is JSON and nothing else", hint="leave out --format, --get and --fields")
    return Answer(chunks=iter([render_json(json_schema(name))]))
