"""Make commands of functions: expand shared options, write the result to stdout and notices to stderr.

A command is a function of option groups and options that *returns* an :class:`Answer`; it does not print::

    @command(app, examples=["scaleplan loss --params 7B --tokens 2T"])
    def loss(law: LawOptions, *, params: Annotated[str, typer.Option(...)]) -> Answer: ...
"""

from __future__ import annotations

import inspect
import os
import sys
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from scaleplan.cli.options import (
    OLD_NAMES,
    HardwareOptions,
    JudgingOptions,
    LaunchingOptions,
    OptionPlace,
    OutputOptions,
)
from scaleplan.cli.settings import from_environment
from scaleplan.errors import FileError, ScaleplanError, UnknownNameError, UsageError, escape_control
from scaleplan.files import discard_output, is_file
from scaleplan.output import FORMATS, JUDGING, LAUNCHING, Rendering
from scaleplan.output.text import message_lines, styled_lines, width_of
from scaleplan.planning.request import RIVALS
from scaleplan.record import Record
from scaleplan.units import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import ModuleType
    from typing import Self

    from scaleplan.errors import Notice
    from scaleplan.output import Report
    from scaleplan.project.saved import ResultRecord

__all__ = [
    "HELP",
    "Answer",
    "Commands",
    "chosen_format",
    "command",
    "completion",
    "group",
    "help_pages",
    "is_completing",
    "single",
]


T = TypeVar("T")


def chosen_format(output: OutputOptions, *, judges: bool = False) -> str:
    """Return the name of the format; a result that ``judges`` has those of CI services too.

    Raises UnknownNameError when there is none of that name; UsageError when it is for results that have been judged.
    """
    name = "json" if output.json else output.format
    if name in JUDGING and not judges:
        raise UsageError(f"format '{name}' is for commands that judge", hint="'scaleplan check' is one")
    if name in LAUNCHING:
        if isinstance(output, LaunchingOptions):
            return "text"
        raise UsageError(f"format '{name}' is for files that start runs", hint="'scaleplan design' writes them")
    if name not in FORMATS and name not in JUDGING:
        further = JUDGING if judges else LAUNCHING if isinstance(output, LaunchingOptions) else ()
        raise UnknownNameError("format", name, [*FORMATS, *further])
    return name


def _write(answer: Answer, output: OutputOptions, ctx: typer.Context) -> None:
    """Write an answer in its format to stdout, and its notices to stderr unless quiet.

    What cannot be shown, such as an unknown field, is refused before the files of the answer are written.
    """
    rendering = None if answer.result is None else Rendering(answer.result)
    name = answer.form or chosen_format(output, judges=rendering is not None and rendering.judges)
    colour = _colour(output)
    if output.verbose:
        _write_settings(ctx)
    chunks: Iterable[str] = answer.chunks or ()
    report = None
    if rendering is not None:
        if output.get is not None:
            chunks = list(rendering.bare_values(output.get))
        elif output.fields is not None:
            chunks = [
                _rendered(partial(rendering.write_fields, output.fields, name, width=width_of(sys.stdout)), answer)
            ]
        elif name == "text" and colour:
            report = _rendered(rendering.report, answer)
        else:
            chunks = [_rendered(partial(rendering.write, name, width=width_of(sys.stdout)), answer)]
    written = None if answer.write is None else answer.write()
    if written is not None and not output.quiet:
        _report_written([written] if isinstance(written, Path) else written)
    if report is not None:
        _write_styled(report)
    for chunk in chunks:
        sys.stdout.write(chunk)
        sys.stdout.flush()
    sys.stdout.flush()
    for notice in () if output.quiet else _one_a_cause(answer.notices):
        sys.stderr.write(message_lines(f"warning: {escape_control(notice.message)}", sys.stderr))


def _one_a_cause(notices: Iterable[Notice]) -> Iterable[Notice]:
    """Return the notices of an answer for a reader; only those of plans have several of a cause."""
    listed = list(notices)
    if not any(notice.code.startswith("extrapolated_") for notice in listed):
        return listed
    from scaleplan.planning.plan import one_a_cause  # of a plan, which is there then

    return one_a_cause(listed)


_MOST_LISTED = 24  # files that are named: a screen


def _report_written(paths: Iterable[Path]) -> None:
    """Write a line on standard error for each file that was written, with its size; of very many one for all."""
    written = [*filter(is_file, paths)]
    if len(written) > _MOST_LISTED:
        size = format_bytes(sum(path.stat().st_size for path in written))
        first, last = (escape_control(str(path)) for path in (written[0], written[-1]))
        sys.stderr.write(f"wrote {len(written):,} files, {first} to {last} ({size})\n")
        return
    for path in written:
        sys.stderr.write(f"wrote {escape_control(str(path))} ({format_bytes(path.stat().st_size)})\n")


def _rendered(render: Callable[[], T], answer: Answer) -> T:
    """Return what a result gives in some form; what cannot be shown of a saved one is an error of its file."""
    try:
        return render()
    except ScaleplanError:
        raise
    except Exception as error:
        if answer.source is None:
            raise
        message = f"{answer.source}: holds values that no result has ({type(error).__name__})"
        raise FileError(message, hint="save it again with --json") from None


def _colour(output: OutputOptions) -> bool:
    choice = "never" if output.no_color else output.color
    if choice not in ("auto", "always", "never"):
        raise UnknownNameError("colour choice", choice, ("auto", "always", "never"))
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (sys.stdout.isatty() and os.environ.get("TERM") != "dumb")


_STYLES = {"title": "bold", "head": "dim", "body": "", "remark": "dim"}


def _write_styled(report: Report) -> None:
    from rich.console import Console
    from rich.text import Text

    # colour is decided: TERM and NO_COLOR must not decide again
    console = Console(
        file=sys.stdout, force_terminal=True, color_system="standard", no_color=False, highlight=False, soft_wrap=True
    )
    for line, style in styled_lines(report, width=width_of(sys.stdout)):
        console.print(Text(line, style=_STYLES[style]))


def _write_settings(ctx: typer.Context) -> None:
    sources = {
        "COMMANDLINE": "command line",
        "ENVIRONMENT": "environment",
        "DEFAULT_MAP": "settings file",
        "DEFAULT": "default",
    }
    names = {option.name: max(option.opts, key=len).lstrip("-").replace("-", "_") for option in ctx.command.params}
    for name, value in ctx.params.items():
        source = ctx.get_parameter_source(name)
        if source is not None and value not in (None, False, [], ()):
            shown = sources.get(source.name, source.name.lower())
            if source.name == "DEFAULT_MAP" and name in from_environment():
                shown = sources["ENVIRONMENT"]
            sys.stderr.write(f"setting: {names.get(name, name)} = {escape_control(str(value))} ({shown})\n")


class Answer(Record):
    """The result of a command.

    ``result`` is a record that has a view; a command that streams gives ``chunks`` of finished text instead.
    ``write`` writes its files and returns their paths. ``exit_status`` is 1 where the answer is "no", and ``source``
    the file of a result that was saved. ``failure`` is reported after the result, as an error. ``form`` is the format
    of the result where that of the options is one of files.
    """

    result: ResultRecord | None = None
    chunks: Iterator[str] | None = None
    write: Callable[[], Path | Iterable[Path]] | None = None
    notices: Iterable[Notice] = ()
    exit_status: int = 0
    source: str | None = None
    save: Callable[[], object] | None = None
    failure: ScaleplanError | None = None
    form: str | None = None


class Commands(typer.Typer):
    """An application whose commands are put together when it runs: reading the options of each costs milliseconds."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401
        super().__init__(**settings)
        self.waiting: list[Callable[[], None]] = []

    def ready(self) -> Self:
        """Put the commands together and return the application."""
        while self.waiting:
            self.waiting.pop(0)()
        if is_completing():
            for each in self.registered_commands:
                completion().complete_values(each.callback.layout)  # type: ignore[union-attr]
        return self


_APP: dict[str, Any] = {"rich_markup_mode": None, "pretty_exceptions_enable": False, "add_completion": False}

HELP = {"help_option_names": ["-h", "--help", "--help-all"]}
"""The options that show the help; the last with every option of a command."""


def help_pages() -> ModuleType:
    """Return the module that writes the help, which commands that run do not need."""
    from scaleplan.cli import help as pages

    return pages


def completion() -> ModuleType:
    """Return the module that completes what is typed, which only a shell needs."""
    from scaleplan.cli import completion as module

    return module


def is_completing() -> bool:
    """Return whether a shell runs this process to complete what is typed."""
    return "_SCALEPLAN_COMPLETE" in os.environ


def single() -> Commands:
    """Return an application for one command, in this program's style."""
    return Commands(**_APP, no_args_is_help=False)


def group(help_text: str) -> Commands:
    """Return an application for a group of commands, in this program's style."""
    settings: dict[str, Any] = {"help": help_text, "no_args_is_help": True, "context_settings": HELP}
    return Commands(**_APP, cls=_Group, callback=_of_group, **settings)


def _of_group() -> None:
    """Do nothing before a command of a group: with it one command alone makes a group too."""


def command(
    app: Commands,
    name: str | None = None,
    *,
    examples: Sequence[str] = (),
    shows: Mapping[str, str] = MappingProxyType({}),
) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Register a function that returns an :class:`Answer` as a command, with the output options added.

    ``shows`` has when the help shows some options of groups, where this command needs them more or less than others.
    """

    def build(function: Callable[..., Answer]) -> None:
        taken_apart = _Parameters(function)
        groups, parameters = taken_apart.groups, taken_apart.parameters

        def run(ctx: typer.Context, **values: Any) -> None:  # noqa: ANN401
            if values.get("gpu") is None:
                _drop_hardware_settings(ctx, values)
            _drop_rival_settings(ctx, values)
            _drop_idle_settings(ctx, values)
            taken = {
                group: kind(**{member: values.pop(member) for member in members})
                for group, (kind, members) in groups.items()
            }
            output: OutputOptions = taken["output"] if taken_apart.wants_output else taken.pop("output")
            _refuse_two_formats(ctx, output)
            _refuse_get_beside_fields(output)
            chosen_format(output, judges=isinstance(output, JudgingOptions))  # refuse these before a file is written
            _colour(output)
            answer = function(**taken, **values)
            try:
                _write(answer, output, ctx)
            except BrokenPipeError:
                if not answer.exit_status and answer.failure is None:
                    raise
                discard_output()  # the answer is "no" whether its reader stays or goes
            if answer.failure is not None:
                raise answer.failure
            raise typer.Exit(answer.exit_status)

        context = _parameter("ctx", typer.Context, inspect.Parameter.empty)
        run.__signature__ = inspect.Signature([context, *parameters])  # type: ignore[attr-defined]
        run.__annotations__ = {item.name: item.annotation for item in (context, *parameters)}
        run.__doc__ = function.__doc__
        run.__name__ = function.__name__
        layout = taken_apart.layout
        layout |= {each: layout[each]._replace(shows=mark) for each, mark in shows.items()}
        run.layout, run.examples = layout, examples  # type: ignore[attr-defined]
        app.command(name, cls=_Command, context_settings=HELP)(run)

    def register(function: Callable[..., Answer]) -> Callable[..., Answer]:
        app.waiting.append(partial(build, function))
        return function

    return register


class _Parameters:
    """The parameters of a function with those of its groups in their place, and those of output at the end."""

    def __init__(self, function: Callable[..., Answer]) -> None:
        self.groups: dict[str, tuple[type, list[str]]] = {}
        self.parameters: list[inspect.Parameter] = []
        self.layout: dict[str, OptionPlace] = {}
        signature = inspect.signature(function, eval_str=True)
        self.wants_output = "output" in signature.parameters
        added = () if self.wants_output else (_parameter("output", OutputOptions, inspect.Parameter.empty),)
        last = "output"  # what all commands have stands last in the help
        for parameter in sorted((*signature.parameters.values(), *added), key=lambda each: each.name == last):
            group = parameter.annotation
            if isinstance(group, type) and is_dataclass(group):
                hints = get_type_hints(group, include_extras=True)
                members = [_parameter(item.name, hints[item.name], item.default) for item in fields(group)]
                self.groups[parameter.name] = (group, [member.name for member in members])
                title = getattr(group, "TITLE", None)
                self.layout |= {member.name: OptionPlace(member.annotation, title) for member in members}
                self.parameters += members
            else:
                self.layout[parameter.name] = OptionPlace(group, is_own=True)
                self.parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))


class _Command(TyperCommand):
    """A command with the help of this program; old names of options are read and shown nowhere."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401
        super().__init__(**settings)
        self.with_old_names: list[tuple[Any, list[str]]] = []
        for parameter in self.params:
            if not OLD_NAMES.isdisjoint(parameter.opts):
                names = [name for name in parameter.opts if name not in OLD_NAMES]
                if names:  # without another it is no old name here
                    self.with_old_names.append((parameter, parameter.opts))
                    parameter.opts = names

    @property
    def layout(self) -> Mapping[str, OptionPlace]:
        """The place of each option in the help, by the option's name."""
        found: Mapping[str, OptionPlace] = self.callback.layout  # type: ignore[union-attr]
        return found

    @property
    def examples(self) -> Sequence[str]:
        """Command lines to begin with."""
        found: Sequence[str] = self.callback.examples  # type: ignore[union-attr]
        return found

    def make_parser(self, ctx: typer.Context) -> Any:  # type: ignore[override]  # noqa: ANN401
        """Return the parser, which knows old names too."""
        shown = [(parameter, parameter.opts) for parameter, _ in self.with_old_names]
        for parameter, names in self.with_old_names:
            parameter.opts = names
        parser = super().make_parser(ctx)
        for parameter, names in shown:
            parameter.opts = names
        return parser

    def format_help(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]  # noqa: ANN401
        """Write the help: the everyday options, or all."""
        formatter.write(help_pages().help_of_command(self, ctx))

    def shell_complete(self, ctx: typer.Context, incomplete: str) -> Any:  # type: ignore[override]  # noqa: ANN401
        """Complete an option; where nothing is typed yet an everyday one, since a command has dozens."""
        found = super().shell_complete(ctx, incomplete or "--")
        shown = {name for each in self.params if self.layout[str(each.name)].is_everyday for name in each.opts}
        return completion().complete_options(
            self.params, [each for each in found if incomplete or each.value in shown]
        )


class _Group(TyperGroup):
    """A group of commands with the help of this program."""

    def format_help(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]  # noqa: ANN401
        """Write the help, with a line for each command."""
        formatter.write(help_pages().help_of_group(self, ctx))

    def shell_complete(self, ctx: typer.Context, incomplete: str) -> Any:  # type: ignore[override]  # noqa: ANN401
        """Complete a command of the group."""
        rows = ((name, str(command.help)) for name, command in self.commands.items())
        return completion().complete_commands(rows, incomplete)


def _refuse_two_formats(ctx: typer.Context, output: OutputOptions) -> None:
    """Refuse a short form beside another choice of the same thing; over a setting it wins."""
    for short, name, value, meant in (
        ("json", "format", output.format, "json"),
        ("no_color", "color", output.color, "never"),
    ):
        source = ctx.get_parameter_source(name)
        if short == "json" and isinstance(output, LaunchingOptions) and ctx.params.get("folder") is not None:
            continue  # the format is that of the files in the folder
        if getattr(output, short) and source is not None and source.name == "COMMANDLINE" and value != meant:
            flag = short.replace("_", "-")
            raise UsageError(
                f"--{flag} and --{name} {escape_control(value)} exclude each other", hint="give one of them"
            )


def _refuse_get_beside_fields(output: OutputOptions) -> None:
    if output.get is not None and output.fields is not None:
        raise UsageError(
            "--get and --fields exclude each other", hint="--get prints one bare value, --fields a table of several"
        )


def _drop_hardware_settings(ctx: typer.Context, values: dict[str, Any]) -> None:
    """Drop the hardware of the environment and of settings files where no GPU is given.

    On the command line ``--mfu`` without ``--gpu`` is a mistake; as a standing setting it has no effect.
    """
    for item in fields(HardwareOptions):
        source = ctx.get_parameter_source(item.name) if item.name in values else None
        if source is not None and source.name in ("ENVIRONMENT", "DEFAULT_MAP"):
            values[item.name] = None


def _drop_rival_settings(ctx: typer.Context, values: dict[str, Any]) -> None:
    """Drop a standing setting beside an option that excludes it: what is typed wins."""
    for name, rivals in RIVALS.items():
        source = ctx.get_parameter_source(name) if values.get(name) is not None else None
        if source is None or source.name != "COMMANDLINE":
            continue
        for rival in rivals:
            other = ctx.get_parameter_source(rival)
            if other is not None and other.name in ("ENVIRONMENT", "DEFAULT_MAP"):
                values[rival] = None


_SWITCHED = {
    **dict.fromkeys(("price", "mfu"), ("ways", "folder")),
    **dict.fromkeys(("gpu", "exchange_rate"), ("folder",)),
    "profile": ("ways",),
}
"""Options that mean something beside another only, in a command that has the other: a flag, a folder to write."""


def _drop_idle_settings(ctx: typer.Context, values: dict[str, Any]) -> None:
    """Drop standing settings of options that have the name of one and another meaning, or lack their switch."""
    for parameter in ctx.command.params:
        name = str(parameter.name)
        source = ctx.get_parameter_source(name) if values.get(name) is not None else None
        if source is None or source.name not in ("ENVIRONMENT", "DEFAULT_MAP"):
            continue
        off = any(values.get(switch, True) in (False, None) for switch in _SWITCHED.get(name, ()))
        if parameter.envvar is None or off:
            values[name] = parameter.default


def _parameter(name: str, annotation: object, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
