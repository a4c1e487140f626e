"""The help: of the program, of a group of commands, and of a command with its everyday options or with all.

It is made of the declarations of the options when somebody wants it; commands that run import nothing of it.
"""

from __future__ import annotations

import os
import re
import sys
from textwrap import wrap
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.ascii import spelled
from scaleplan.cli.options import PANELS
from scaleplan.output.text import width_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import typer

    from scaleplan.cli.options import OptionPlace

__all__ = ["DOCUMENTATION", "explained", "first_line", "help_of_command", "help_of_group", "help_of_program", "page"]

DOCUMENTATION = "https://scaleplan.readthedocs.io"
"""The site of the documentation, whose address stands in ``pyproject.toml`` too."""

FEW = 20
"""Options that are all shown at once: so many, with their examples, fill one screen of 40 lines."""

_INDENT = "  "

_LONGEST_NAME = 26  # columns of an option with its value; what is longer has a line of its own


_WHOLE = 30  # characters of a text with spaces that is not parted, if it is an example or a default

_QUOTED = re.compile(rf"(?<!\w)'[^']{{1,{_WHOLE}}}'(?!\w)")


class Row(NamedTuple):
    """A line of a panel: a name, and what it is."""

    name: str
    text: str


def page(name: str) -> str:
    """Return the address of a page of the documentation, of the version that its site shows first."""
    return f"{DOCUMENTATION}/page/{name}.html"


def help_of_program(ctx: typer.Context) -> str:
    """Return the help of the program: its commands, a line each, grouped by the job that they are for."""
    panels: dict[str, list[Row]] = {}
    rows: list[Row] = []
    root: Any = ctx.command  # the group of the whole program
    for name, (_, line) in root.table.items():
        if name in root.sections:
            rows = panels[root.sections[name][0]] = []
        rows.append(Row(name, line))
    options = [parameter for parameter in root.params if parameter.opts[0] != "--show-completion"]
    rows = [Row(_names(each), str(getattr(each, "help", ""))) for each in options]
    rows.append(Row("-h, --help", "Show this help; 'scaleplan help COMMAND' of a command."))
    examples = ("scaleplan optimal --gpus 64 --gpu h100-sxm --time 30d", "scaleplan optimal --help")
    return _written(
        [
            "Usage: scaleplan COMMAND [OPTIONS]",
            "",
            *_paragraph(root.help or ""),
            *_panels(panels),
            *_panels({"Options": rows}),
            *_examples(examples),
            "",
            f"Docs: {DOCUMENTATION}",
        ]
    )


def help_of_group(group: Any, ctx: typer.Context) -> str:  # noqa: ANN401  the class belongs to typer
    """Return the help of a group of commands, with a line for each."""
    rows, examples = [], []
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        rows.append(Row(name, first_line(command.help)))
        examples += command.examples[:1]
    return _written(
        [
            f"Usage: {ctx.command_path} COMMAND [OPTIONS]",
            "",
            *_paragraph(group.help or ""),
            *_panels({"Commands": rows}),
            *_examples(examples),
            "",
            *_documentation(ctx),
        ]
    )


def help_of_command(command: Any, ctx: typer.Context) -> str:  # noqa: ANN401
    """Return the help of a command: its everyday options unless all are wanted or they are few."""
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    wanted = bool((ctx.find_root().obj or {}).get("all"))
    everything = wanted or len(options) <= FEW
    panels: dict[str, list[Row]] = {title: [] for title in _titles(command.layout.values())}
    hidden = 0
    for parameter in command.params:
        place: OptionPlace = command.layout[parameter.name]
        if parameter.param_type_name == "argument":
            panels[PANELS["arguments"]].append(Row(_argument(parameter), parameter.help or ""))
        elif everything or parameter.required or place.is_everyday:
            panels[PANELS["required"] if parameter.required else _title(place)].append(
                Row(_names(parameter), _text(parameter, whole=wanted))
            )
        else:
            hidden += 1
    if everything:
        panels[PANELS["common"]] += [
            Row("-h, --help", "Show this help."),
            Row("--help-all", "Show it with every option and environment variable."),
        ]
    more = [] if everything else ["", f"{hidden} more options: {ctx.command_path} --help-all"]
    return _written(
        [
            *_usage(command, ctx),
            "",
            *_paragraph(command.help or ""),
            *_panels(panels),
            *more,
            *_examples(command.examples),
            "",
            *_documentation(ctx),
        ]
    )


def _titles(places: Iterable[OptionPlace]) -> list[str]:
    """Return the titles of all panels, in their order.

    Panels that only one command has stand beside its own options, or after the shared ones if declared after them.
    """
    shared = list(dict.fromkeys(PANELS.values()))
    usual = {PANELS["own"], PANELS["output"], PANELS["common"]}
    before: dict[str, None] = {}
    after: dict[str, None] = {}
    seen_shared = False
    for place in places:
        title = _title(place)
        if title in shared:
            seen_shared = seen_shared or title not in usual
        elif place.is_own or not seen_shared:
            before[title] = None
        elif title not in before:
            after[title] = None
    first, last = shared.index(PANELS["own"]) + 1, shared.index(PANELS["output"])
    return [*shared[:first], *before, *shared[first:last], *after, *shared[last:]]


def _title(place: OptionPlace) -> str:
    title: str = place.option.rich_help_panel or place.panel or PANELS["own"]
    return title


def _usage(command: Any, ctx: typer.Context) -> list[str]:  # noqa: ANN401
    """Return the usage, with everything that a command needs."""
    words = [
        _names(each, short=True) for each in command.params if each.required and each.param_type_name == "option"
    ]
    words += [_argument(each) for each in command.params if each.param_type_name == "argument"]
    first = f"Usage: {ctx.command_path} "
    return _wrapped(" ".join([*words, "[OPTIONS]"]), first=first, rest=" " * len(first))


def _argument(parameter: Any) -> str:  # noqa: ANN401  of typer
    """Return the name of an argument, with dots where it may be repeated."""
    name: str = parameter.metavar
    return f"{name}..." if parameter.nargs == -1 and name[-1] not in ".]" else name


def _names(parameter: Any, *, short: bool = False) -> str:  # noqa: ANN401  of typer
    """Return how an option is typed: its names, the short one first, and its value."""
    names = sorted(parameter.opts, key=lambda name: name.startswith("--"))
    shown = max(names, key=len) if short else ", ".join(names)
    if parameter.secondary_opts:
        shown = " / ".join([shown, *parameter.secondary_opts])
    return shown if parameter.is_flag or not parameter.metavar else f"{shown} {parameter.metavar}"


def explained(parameter: Any) -> str:  # noqa: ANN401  of typer
    """Return what an option or an argument takes, for the hint of an error about its value."""
    is_argument = parameter.param_type_name == "argument"
    name = _argument(parameter) if is_argument else _names(parameter, short=True)
    text = _first_sentence(parameter.help or "").removesuffix(".")
    is_sentence = text[1:2].islower() or text.startswith("A ")
    return f"{name}: {text[:1].lower()}{text[1:]}" if is_sentence else f"{name}: {text}"


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=\.)\s", text, maxsplit=1)[0]


def _text(parameter: Any, *, whole: bool) -> str:  # noqa: ANN401
    """Return what an option is, and its default: the first sentence, or all with the variable that sets it."""
    notes = []
    text = parameter.help or ""
    if whole and parameter.envvar:
        notes.append(f"env var: {parameter.envvar}")
    if parameter.default not in (None, False, [], ()):
        notes.append(f"default: {parameter.default}")
    first = (text if whole else _first_sentence(text)).replace("….", "…")
    note = f"[{'; '.join(notes)}]"
    if len(note) <= _WHOLE:
        note = note.replace(" ", "\N{NO-BREAK SPACE}")
    return f"{first} {note}" if notes else first


def _panels(panels: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    """Yield the lines of panels, the texts of all in one column."""
    names = [len(row.name) for rows in panels.values() for row in rows if len(row.name) <= _LONGEST_NAME]
    column = max(names, default=0) + 2
    for title, rows in panels.items():
        if rows:
            yield from ("", f"{title}:")
        for row in rows:
            yield from _row(row, column)


def _row(row: Row, column: int) -> Iterator[str]:
    indent = " " * (column + len(_INDENT))
    lines = [line.strip() for line in _wrapped(row.text, first=indent, rest=indent)]
    if len(row.name) + 2 > column:
        yield _INDENT + row.name
    else:
        yield f"{_INDENT}{row.name.ljust(column)}{lines.pop(0) if lines else ''}".rstrip()
    yield from (indent + line for line in lines)


def _paragraph(text: str) -> Iterator[str]:
    """Yield paragraphs in lines of the width."""
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ""
        yield from _wrapped(" ".join(paragraph.split()))


def _wrapped(text: str, *, first: str = "", rest: str = "") -> list[str]:
    """Return text in lines of the width, in which an example in quotation marks stays whole."""
    whole = _QUOTED.sub(lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), text)
    lines = wrap(
        whole, width(), initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def _examples(examples: Sequence[str]) -> Iterator[str]:
    """Yield command lines, which stay whole so that they can be pasted."""
    if examples:
        yield from ("", "Examples:", *(_INDENT + example for example in examples))


def _documentation(ctx: typer.Context) -> Iterator[str]:
    """Yield the address of the page about a command."""
    root: Any = ctx.find_root().command
    yield f"Docs: {page(root.page_of(ctx.command_path.split()[1]))}"


def first_line(text: str) -> str:
    """Return what the first line of a help says."""
    return text.partition("\n")[0].rstrip(".")


def width() -> int:
    """Return the columns of a line of help."""
    return width_of(sys.stdout)


def _written(lines: Iterable[str]) -> str:
    """Return the text of lines, in the letters that standard output has; on a terminal the titles stand out."""
    text = "\n".join(lines) + "\n"
    text = spelled(text, getattr(sys.stdout, "encoding", None) or "utf-8")
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty()
    return (
        text
        if plain
        else re.sub(r"^(?:Usage(?=:)|\w[^\n:]*(?=:$))", "\x1b[1m\\g<0>\x1b[0m", text, flags=re.MULTILINE)
    )
