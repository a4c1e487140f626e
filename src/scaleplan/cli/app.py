"""The table of commands, and how their errors are reported.

Commands are listed with their one-line help and imported only when one runs, so that planning does not pay for
fitting, nor anything for the other's options.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from scaleplan.cli.command import HELP, completion, help_pages, is_completing
from scaleplan.cli.options import OLD_NAMES
from scaleplan.cli.settings import from_environment, load_defaults
from scaleplan.errors import (
    FileError,
    QuantityError,
    ScaleplanError,
    UnknownNameError,
    UsageError,
    did_you_mean,
    escape_control,
    quote,
)
from scaleplan.output.text import message_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["COMMANDS", "PAGES", "SECTIONS", "START", "build", "execute"]

COMMANDS: dict[str, tuple[str, str]] = {
    "optimal": ("plan", "this budget → parameters, tokens and expected loss"),
    "loss": ("plan", "this model on these tokens → loss, and how far from optimal"),
    "target": ("plan", "this loss, size or tokens → the least budget for it"),
    "sweep": ("plan", "a range of budgets → a table to pipe or plot"),
    "compare": ("plan", "this budget under several laws, side by side"),
    "marginal": ("plan", "what the next doubling buys, and what 0.01 less loss costs"),
    "break-even": ("plan", "this loss → the inference demand where a smaller model pays"),
    "convert": ("plan", "FLOP ↔ GPU-hours ↔ days on a cluster ↔ money ↔ energy"),
    "hyperparameters": ("advise", "this plan → batch and learning rate by every rule"),
    "plot": ("draw", "a picture of a plan, laws, a fit or a run: text or a file"),
    "report": ("draw", "one HTML page: the answer, its pictures, what moves it"),
    "model": ("model", "a config of any trainer, or a name → its exact parameters"),
    "memory": ("model", "this model on these GPUs → does it train, tune, serve? how?"),
    "shape": ("model", "a size → a concrete architecture, as a config.json"),
    "precisions": ("advise", "these GPUs → bf16 or fp8: speed against loss"),
    "vocab": ("advise", "this size → how large the vocabulary should be"),
    "design": ("design", "a budget for pilot runs → which ones, and the files to start"),
    "ladder": ("ladder", "pilot runs that were started → how far they are, what is left"),
    "runs": ("runs", "logs of any trainer or tracker → a table, one row a run"),
    "fit": ("fit", "training runs → a law with its uncertainty, as a preset"),
    "backtest": ("fit", "training runs → do the smaller predict the larger?"),
    "register": ("forecasts", "write a forecast down before its run, to score it later"),
    "track": ("track", "the log of a running training → its final loss; on course?"),
    "resolve": ("forecasts", "a registered forecast and what came out → its score"),
    "forecasts": ("forecasts", "registered forecasts → how often their intervals held"),
    "init": ("project", "write a scaleplan.toml with the training configs found here"),
    "check": ("project", "are this project's runs within policy? status 1 if not"),
    "diff": ("project", "what did a change do to the bill? two files, or a revision"),
    "show": ("project", "a saved JSON result → any format"),
    "presets": ("lists", "the scaling laws: list, show, validate, path"),
    "gpus": ("gpus", "the GPUs: list, show, compare for a plan, validate your own"),
    "models": ("lists", "the published models that are known by name: list, show"),
    "schema": ("schema", "the JSON Schema of a result or of a file"),
    "families": ("families", "the model families: list, show, validate your own"),
    "evaluate": ("lists", "any law at given values → its value, with interval"),
}
"""Every command: the module of this package that holds it, and its line in the help, at most 60 characters."""

SECTIONS = {
    "optimal": ("Plan", "guides/plan"),
    "model": ("Models and machines", "guides/models-and-machines"),
    "design": ("Your own runs", "guides/own-runs"),
    "init": ("Projects and CI", "guides/ci"),
    "presets": ("Look up", "reference/commands"),
}
"""The jobs that the commands are grouped by: a title and a page of the documentation, by the first command."""

PAGES = {
    "convert": "guides/hardware-and-prices",
    "plot": "guides/pictures",
    "report": "guides/report",
    "memory": "guides/memory",
    "design": "guides/pilots",
    "ladder": "guides/ladder",
    "runs": "guides/run-logs",
    "track": "guides/tracking",
    **dict.fromkeys(("register", "resolve", "forecasts"), "guides/registered-forecasts"),
    "presets": "reference/laws",
    "gpus": "guides/hardware-and-prices",
    "models": "guides/models-and-machines",
    "families": "guides/architectures",
    "schema": "guides/scripts",
    "evaluate": "guides/plan",
}
"""Pages of the documentation about one command, where the page of its section is not it."""

_LONGEST = 300  # characters of a message that quotes the command line

_READ_LOGS = frozenset({"fit", "backtest", "design"})
"""Commands that take logs as the table that ``runs`` makes of them with its options."""

START = """scaleplan plans the training of a language model within a compute budget.

  scaleplan optimal --flops 1e21                        what to train with it
  scaleplan memory llama-3.1-8b --gpu rtx-4090 --ways   what fits your GPU
  scaleplan fit runs.csv                                a law of your own runs

'scaleplan --help' lists the commands, 'scaleplan COMMAND --help' explains one.
"""
"""What the program prints without arguments."""


class LazyGroup(TyperGroup):
    """A group that imports a command only when it runs, and lists the others from the table above."""

    table, sections = COMMANDS, SECTIONS

    def page_of(self, name: str) -> str:
        """Return the page of the documentation about a command: its own, or that of its section."""
        pages = [SECTIONS[each][1] for each in list(COMMANDS)[: list(COMMANDS).index(name) + 1] if each in SECTIONS]
        return PAGES.get(name, pages[-1])

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Return the names, in the order of the table."""
        return [*COMMANDS, "help"]

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]  # noqa: ANN401
        """Import and build one command; None when there is none of this name."""
        if cmd_name == "help":
            return _help_command()
        if cmd_name not in COMMANDS:
            return None
        command = build(cmd_name)
        inner, settings = getattr(command, "commands", {}), ctx.default_map
        if settings is not None and inner and not inner.keys() <= settings[cmd_name].keys():
            settings[cmd_name] = dict.fromkeys(inner, settings[cmd_name])  # they are the settings of each of them
        return command

    def shell_complete(self, ctx: typer.Context, incomplete: str) -> Any:  # type: ignore[override]  # noqa: ANN401
        """Complete a command, without importing any, or an option."""
        if incomplete.startswith("-"):
            return completion().complete_options(self.params, TyperCommand.shell_complete(self, ctx, incomplete))
        rows = [*((name, line) for name, (_, line) in COMMANDS.items()), ("help", "this help, or that of a command")]
        return completion().complete_commands(rows, incomplete)

    def format_help(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]  # noqa: ANN401
        """Write the help, the commands without importing any."""
        formatter.write(help_pages().help_of_program(ctx))


def build(name: str) -> Any:  # noqa: ANN401  the class belongs to the vendored part of typer
    """Return the parser of one command, made once: it is most of what a further call in one process costs."""
    return _built(name, completing=is_completing())


@cache
def _built(name: str, *, completing: bool) -> Any:  # noqa: ANN401, ARG001  completing changes what a command knows
    module = import_module(f"scaleplan.cli.{COMMANDS[name][0]}")
    command = get_command(module.APPS[name].ready())
    command.name = name
    return command


def _root() -> Any:  # noqa: ANN401
    app = typer.Typer(
        cls=LazyGroup,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=True,
        context_settings=HELP,
    )

    @app.callback()
    def scaleplan(
        *, version: bool = typer.Option(False, "--version", "-V", help="Show the version and exit.")
    ) -> None:
        """Plan the training of a language model: a compute budget in; parameters, tokens and expected loss out."""

    return get_command(app)


def _help_command() -> Any:  # noqa: ANN401
    """Return the command that shows the help of the program, or of the command that its words name."""
    app = typer.Typer(rich_markup_mode=None, add_completion=False)

    @app.command("help", context_settings=HELP)
    def show(
        ctx: typer.Context,
        words: Annotated[list[str] | None, typer.Argument(metavar="[COMMAND]...", autocompletion=_named)] = None,
    ) -> None:
        """Show the help of the program, or of a command."""
        context: Any = ctx.parent
        for word in words or ():
            group = context.command
            if not isinstance(group, TyperGroup):
                path = context.command_path
                raise UsageError(f"'{path}' has no commands of its own", hint=f"'scaleplan help{path[9:]}' shows it")
            inner = group.get_command(context, word)
            if inner is None:
                raise UnknownNameError("command", word, group.list_commands(context))
            context = inner.make_context(word, [], parent=context, resilient_parsing=True)
        sys.stdout.write(f"{context.command.get_help(context)}\n")

    return get_command(app)


def _named(ctx: typer.Context) -> list[str]:
    """Return the commands that the words so far can go on with."""
    words = ctx.params.get("words") or ()
    if not words:
        return list(COMMANDS)
    return list(getattr(build(words[0]), "commands", ())) if len(words) == 1 and words[0] in COMMANDS else []


def execute(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit status; errors of the user are printed, bugs are raised."""
    if not arguments and not is_completing():
        sys.stdout.write(START)
        return 0
    root = _root()
    if is_completing():
        return int(completion().complete(root))
    defaults = from_environment()
    try:
        defaults = load_defaults() | defaults
        status = root.main(
            args=list(arguments),
            prog_name="scaleplan",
            standalone_mode=False,
            default_map=dict.fromkeys(COMMANDS, defaults),
            obj={"all": "--help-all" in arguments},
        )
    except ScaleplanError as error:
        return _report(error, arguments, defaults)
    except typer.Abort:
        return 130
    except SystemExit as done:
        if isinstance(done.__context__, BrokenPipeError):  # the parser would make it status 1, which means "no" here
            raise done.__context__ from None
        raise
    except Exception as error:
        if not hasattr(error, "format_message"):  # everything else of the parser's derives from one class
            raise
        if type(error).__name__ == "NoArgsIsHelpError":  # vendored, so there is no stable place to import it from
            sys.stderr.write(f"{error.ctx.get_help()}\n")  # type: ignore[attr-defined]
            return UsageError.exit_status
        return _report(_from_parser(error, arguments), arguments, defaults)
    return status if isinstance(status, int) else 0


def _from_parser(error: Any, arguments: Sequence[str]) -> UsageError:  # noqa: ANN401
    """Return the parser's error with the message and the hint of this program."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "scaleplan"
    is_group = isinstance(getattr(context, "command", None), TyperGroup)
    hint = f"'{path} --help' lists the commands" if is_group else f"'{path} --help-all' lists the options"
    commands = list(getattr(context.command, "commands", ())) if is_group and context is not None else []
    if len(commands) == 1:
        hint = f"its one command is '{path} {commands[0]}'"
    message = escape_control(str(error.format_message())).partition(" Did you mean ")[0].strip().rstrip(".")
    lacking = _lacking(error, arguments)
    if lacking is not None:
        hint = help_pages().explained(lacking)
    unknown = re.fullmatch(r"No such (command|option):? '?(.*?)'?(?: \(.*Possible options.*\))?", message)
    if unknown is not None and context is not None:
        kind, name = unknown.groups()
        command = context.command
        options = (word for option in command.get_params(context) for word in option.opts)
        close = did_you_mean(name, command.list_commands(context) if kind == "command" else options)
        message = f"unknown {kind} {quote(name)}"
        hint = f"did you mean '{close}'?" if close is not None else hint
        if context.parent is None and kind == "command" and any(f"--{name}" in each.opts for each in command.params):
            hint = f"did you mean '--{name}'?"
        elif context.parent is None and close is None and kind == "option" and name in _options_of("optimal"):
            hint = f"the command comes first: 'scaleplan optimal {name} …'"
        elif close is None and kind == "option" and context.parent is not None and (others := _having(name)):
            more = ", …" if len(others) > 3 else ""
            hint = f"it is an option of {', '.join(others[:3])}{more}; {hint}"
        if context.info_name in _READ_LOGS and context.parent is not None:
            runs = context.parent.command.get_command(context.parent, "runs")
            if any(name in option.opts for option in runs.params):
                way = f"'scaleplan runs LOGS {name} … -o runs.csv' takes it"
                hint = f"{way}, and '{context.info_name} runs.csv' its table"
    if len(message) > _LONGEST:
        message = f"{message[:_LONGEST]}…"
    return UsageError(message[:1].lower() + message[1:], hint=hint)


def _options_of(name: str) -> set[str]:
    return {word for option in build(name).params for word in option.opts}


def _having(name: str) -> list[str]:
    """Return the commands that have an option, in the order of the table; all are imported, so for an error alone."""
    found = []
    for first in COMMANDS:
        command = build(first)
        inner = {f"{first} {second}": each for second, each in getattr(command, "commands", {}).items()}
        found += [path for path, each in (inner or {first: command}).items() if name in _shown(each)]
    return found


def _shown(command: Any) -> set[str]:  # noqa: ANN401
    return {word for option in command.params for word in option.opts if word.startswith("--")} - OLD_NAMES


def _lacking(error: Any, arguments: Sequence[str]) -> Any:  # noqa: ANN401  parameters of the vendored parser
    """Return the option or argument that is missing, or whose value is; None in an error about anything else."""
    if type(error).__name__ == "MissingParameter":
        return error.param
    if type(error).__name__ != "BadOptionUsage" or arguments[0] not in COMMANDS:
        return None
    command = build(arguments[0])
    command = getattr(command, "commands", {}).get("".join(arguments[1:2]), command)
    return next((option for option in command.params if error.option_name in option.opts), None)


def _report(error: ScaleplanError, arguments: Sequence[str], defaults: Mapping[str, str]) -> int:
    if "--debug" in arguments:
        raise error
    if not error.hint and error.exit_status == UsageError.exit_status:
        error.hint = _where_to_look(error, arguments)
    if _wants_json(arguments, defaults):
        from scaleplan.output.data import encode

        sys.stderr.write(encode(error.to_dict()) + "\n")
        return error.exit_status
    sys.stderr.write(message_lines(f"error: {escape_control(error.message)}", sys.stderr))
    caret = error.caret() if isinstance(error, QuantityError) else None
    if isinstance(error, QuantityError) and caret:
        option = _option_of(error.text, arguments)
        given = f"{option} " if option else ""
        for line, before in zip(caret.splitlines(), (given, " " * len(given)), strict=True):
            sys.stderr.write(f"  {before}{line}\n")
    if error.hint:
        sys.stderr.write(message_lines(f"hint: {escape_control(error.hint)}", sys.stderr))
    return error.exit_status


def _option_of(text: str, arguments: Sequence[str]) -> str | None:
    """Return the one option that was given a text; None where none was, or several."""
    pairs = [word.split("=", 1) for word in arguments if word.startswith("--") and "=" in word]
    pairs += [[word, value] for word, value in pairwise(arguments) if re.fullmatch(r"--?[a-z][a-z-]*", word)]
    given = {word for word, value in pairs if value.strip() == text.strip()}
    return given.pop() if len(given) == 1 else None


def _where_to_look(error: ScaleplanError, arguments: Sequence[str]) -> str:
    """Return the hint of an error that has none of its own."""
    if isinstance(error, FileError):
        return "correct the file, or name another one"
    words = ["scaleplan", *(word for word in arguments[:1] if word in COMMANDS)]
    return f"'{' '.join(words)} --help' shows what can be given"


def _wants_json(arguments: Sequence[str], defaults: Mapping[str, str]) -> bool:
    """Return whether JSON is the format, by the arguments alone: parsing may be what failed."""
    named = defaults.get("format", "")
    for word, following in zip(arguments, [*arguments, ""][1:], strict=True):
        if word == "--json":
            return True
        if word in ("--format", "-f"):
            named = following
        elif word.startswith("--format="):
            named = word.removeprefix("--format=")
    return named in ("json", "jsonl")
