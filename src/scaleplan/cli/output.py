"""Who writes what, where: results to standard output, notices to standard error."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from scaleplan.cli.settings import from_environment
from scaleplan.errors import UnknownNameError, UnreachableError, UsageError, inert
from scaleplan.formats import FORMATS, JUDGING, render

if TYPE_CHECKING:
    from collections.abc import Sequence

    import typer

    from scaleplan.cli.command import Answer
    from scaleplan.cli.options import OutputOptions
    from scaleplan.formats import Rendering

__all__ = ["chosen_format", "require_known", "write"]


def chosen_format(output: OutputOptions, *, judges: bool = False) -> str:
    """Return the format asked for; one that ``judges`` has those of CI services too.

    Raises
    ------
    UnknownNameError
        When there is none of that name.
    UsageError
        When it is for results that have been judged.

    """
    name = "json" if output.json else output.format
    if name in JUDGING and not judges:
        raise UsageError(f"format '{name}' is for commands that judge", hint="'scaleplan check' is one")
    if name not in FORMATS and name not in JUDGING:
        raise UnknownNameError("format", name, [*FORMATS, *JUDGING] if judges else FORMATS)
    return name


def require_known(output: OutputOptions, *, judges: bool) -> None:
    """Refuse an unknown format or choice of colour, before the work and before a file is written.

    Raises
    ------
    UnknownNameError
        When there is none of that name.
    UsageError
        When the format is for results that have been judged.

    """
    chosen_format(output, judges=judges)
    _colour(output)


def write(answer: Answer, output: OutputOptions, ctx: typer.Context) -> None:
    """Write an answer in the format asked for, and its notices unless quiet was asked for."""
    name = chosen_format(output, judges=answer.rendering is not None and answer.rendering.cases is not None)
    colour = _colour(output)
    if output.verbose:
        _tell_settings(ctx)
    if answer.chunks is not None:
        for chunk in answer.chunks:
            sys.stdout.write(chunk)
            sys.stdout.flush()
    elif answer.rendering is not None:
        if output.get is not None:
            records = _holding(output.get, answer.rendering)
            sys.stdout.write("".join(f"{pick(record, output.get)}\n" for record in records))
        elif name == "text" and colour:
            _write_styled(answer.rendering)
        else:
            sys.stdout.write(render(answer.rendering, name))
    sys.stdout.flush()
    if not output.quiet:
        for notice in answer.notices:
            sys.stderr.write(f"warning: {inert(notice.message)}\n")


def _holding(field: str, rendering: Rendering) -> Sequence[dict[str, object]]:
    """Return the records to pick a field from: the result itself where only that has it, else its rows."""
    name = field.partition(".")[0]
    only_whole = name in rendering.data and not any(name in record for record in rendering.records[:1])
    return [rendering.data] if only_whole else rendering.records


def pick(record: dict[str, object], field: str) -> str:
    """Return one bare value of a record by dotted key.

    Raises
    ------
    UnknownNameError
        When the record has no such field.
    UsageError
        When the field holds several values.
    UnreachableError
        When the field is null: a script must not go on with an empty number.

    """
    from scaleplan.formats.delimited import flat

    scalars = dict(flat(record))
    if field in scalars:
        value = scalars[field]
        if value is None:
            raise UnreachableError(
                f"'{field}' is not available for this answer", hint="--json shows what is, and why"
            )
        return (
            str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, str) else repr(value)
        )
    inside = [key for key in scalars if key.startswith(f"{field}.")]
    if inside:
        raise UsageError(f"'{field}' holds several values", hint=f"name one of {', '.join(inside)}")
    parent = field
    while "." in parent:  # a field inside something that is null here is not available, rather than unknown
        parent = parent.rpartition(".")[0]
        if parent in scalars and scalars[parent] is None:
            raise UnreachableError(
                f"'{field}' is not available for this answer", hint="--json shows what is, and why"
            )
    raise UnknownNameError("field", field, scalars)


def _colour(output: OutputOptions) -> bool:
    choice = "never" if output.no_color else output.color
    if choice not in ("auto", "always", "never"):
        raise UnknownNameError("colour choice", choice, ("auto", "always", "never"))
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()


_STYLES = {"title": "bold", "head": "dim", "body": "", "remark": "dim"}


def _write_styled(rendering: Rendering) -> None:
    from rich.console import Console
    from rich.text import Text

    from scaleplan.formats.text import styled_lines

    # that there is to be colour is decided: neither TERM nor NO_COLOR is asked again
    console = Console(
        file=sys.stdout, force_terminal=True, color_system="standard", no_color=False, highlight=False, soft_wrap=True
    )
    for line, style in styled_lines(rendering.report()):
        console.print(Text(line, style=_STYLES[style]))


def _tell_settings(ctx: typer.Context) -> None:
    sources = {
        "COMMANDLINE": "command line",
        "ENVIRONMENT": "environment",
        "DEFAULT_MAP": "settings file",
        "DEFAULT": "default",
    }
    for name, value in ctx.params.items():
        source = ctx.get_parameter_source(name)
        if source is not None and value not in (None, False, [], ()):
            shown = sources.get(source.name, source.name.lower())
            if source.name == "DEFAULT_MAP" and name in from_environment():
                shown = sources["ENVIRONMENT"]
            sys.stderr.write(f"setting: {name} = {inert(str(value))} ({shown})\n")
