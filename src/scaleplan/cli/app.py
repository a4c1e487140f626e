"""The table of commands, and how their errors are reported.

Commands are listed with their one-line help and imported only when one runs, so that planning does not pay for
fitting, nor anything for the other's options.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from scaleplan.cli.settings import from_environment, load_defaults
from scaleplan.errors import FileError, QuantityError, ScaleplanError, UsageError, did_you_mean, escape_control, quote
from scaleplan.output.screen import message_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["COMMANDS", "build", "execute"]

COMMANDS: dict[str, tuple[str, str]] = {
    "optimal": ("plan", "this budget → parameters, tokens and expected loss"),
    "loss": ("plan", "this model on these tokens → loss, and distance from the optimum"),
    "target": ("plan", "this loss (or size, or tokens) → the least budget that reaches it"),
    "sweep": ("plan", "a range of budgets → a table to pipe or plot"),
    "compare": ("plan", "this budget under many laws, side by side"),
    "marginal": ("plan", "what more compute buys: the next doubling, the next percent, 0.01 less loss"),
    "break-even": ("plan", "this loss → the inference demand from which a smaller model pays"),
    "convert": ("plan", "FLOPs ↔ GPU-hours ↔ PF-days ↔ days on a cluster ↔ money ↔ energy"),
    "hyperparameters": ("advise", "this plan → batch and learning rate by every rule, and their spread"),
    "precisions": ("advise", "this cluster → bf16 or fp8: speed against the worth of a parameter"),
    "vocab": ("advise", "this size → how large the vocabulary should be"),
    "evaluate": ("lists", "any law at given values → its value, with interval"),
    "model": ("model", "a config of any trainer, or a name → exact parameters, FLOP per token, cache"),
    "memory": ("model", "a model on these GPUs → does it train, tune, serve? which way, how long, for how much"),
    "shape": ("model", "a size → a concrete architecture, as a config.json"),
    "design": ("fit", "a budget for pilot runs → which to train to know the law where it matters"),
    "runs": ("runs", "training logs of any trainer or tracker → a table with one row a run"),
    "fit": ("fit", "training runs → a law with its uncertainty, as a preset"),
    "backtest": ("fit", "training runs → how well the smaller would have predicted the larger"),
    "register": ("forecasts", "write a forecast down before its run, so that it can be scored"),
    "track": ("track", "the log of a running training → its final loss, on course or not, what is left"),
    "resolve": ("forecasts", "a registered forecast and what came out → its error and score"),
    "forecasts": ("forecasts", "a folder of registered forecasts → how often their intervals held"),
    "plot": ("draw", "pictures of a plan, of laws, a fit and a run: as text, or a png, svg or pdf file"),
    "report": ("draw", "one self-contained HTML page: the answer, its pictures, and what moves it"),
    "show": ("project", "a saved JSON result → any format"),
    "check": ("project", "are the runs of this project within policy? exit status 1 where they are not"),
    "diff": ("project", "what did a change do to the bill? two files, or a git revision"),
    "init": ("project", "write a scaleplan.toml with the training configs found here"),
    "presets": ("lists", "the scaling laws: list, show, validate, path"),
    "gpus": ("lists", "the GPUs: list, show"),
    "families": ("families", "the model families: list, show, validate a description of your own"),
    "models": ("lists", "the published models that are known by name: list, show"),
}
"""Every command: the module of this package that holds it, and its line in the help."""

_SECTIONS = {
    "optimal": "Plan",
    "hyperparameters": "Choose and evaluate",
    "model": "Models and memory",
    "design": "The life of a run, from its pilots to its outcome",
    "plot": "Pictures and reports",
    "check": "A repository, in review and in CI",
    "presets": "What there is",
}
"""The sections of the help, by their first commands."""

_LONGEST = 300  # characters of a message that quotes the command line

_READ_LOGS = frozenset({"fit", "backtest", "design"})
"""Commands that take logs as the table that ``runs`` makes of them with its options."""

_EPILOG = """Examples:

scaleplan optimal --flops 1e21

scaleplan optimal --gpus 64 --gpu h100-sxm --time 30d

scaleplan target --loss 2.1 --json

scaleplan memory llama-3.1-8b --gpu rtx-4090 --ways

scaleplan track train.log --steps 20000
"""


class LazyGroup(TyperGroup):
    """A group that imports a command only when it runs, and lists the others from the table above."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Return the names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]  # noqa: ANN401
        """Import and build one command; None when there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        command = build(cmd_name)
        inner, settings = getattr(command, "commands", {}), ctx.default_map
        if settings is not None and inner and not inner.keys() <= settings[cmd_name].keys():
            settings[cmd_name] = dict.fromkeys(inner, settings[cmd_name])  # they are the settings of each of them
        return command

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]  # noqa: ANN401
        """Write the table of commands without importing any."""
        width = max(map(len, COMMANDS))
        sections: list[tuple[str, list[tuple[str, str]]]] = []
        for name, (_, line) in COMMANDS.items():
            if name in _SECTIONS:
                sections.append((_SECTIONS[name], []))
            sections[-1][1].append((name.ljust(width), line))
        for title, rows in sections:
            with formatter.section(title):
                formatter.write_dl(rows)


def build(name: str) -> Any:  # noqa: ANN401  the class belongs to the vendored part of typer
    """Return the parser of one command."""
    module = import_module(f"scaleplan.cli.{COMMANDS[name][0]}")
    command = get_command(module.APPS[name].ready())
    command.name = name
    return command


def _root() -> Any:  # noqa: ANN401
    app = typer.Typer(
        cls=LazyGroup,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        add_completion=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(epilog=_EPILOG)
    def scaleplan(
        *, version: bool = typer.Option(False, "--version", "-V", help="Show the version and exit.")
    ) -> None:
        """Plan the training of a language model: a compute budget in; parameters, tokens and expected loss out.

        From pilot runs to the end of the large one: which to train, what came out, and will it get there.
        """

    return get_command(app)


def execute(arguments: Sequence[str]) -> int:
    """Run the command line and return the exit status; errors of the user are printed, bugs are raised."""
    root = _root()
    defaults = from_environment()
    try:
        defaults = load_defaults() | defaults
        status = root.main(
            args=list(arguments),
            prog_name="scaleplan",
            standalone_mode=False,
            default_map=dict.fromkeys(COMMANDS, defaults),
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
        return _report(_from_parser(error), arguments, defaults)
    return status if isinstance(status, int) else 0


def _from_parser(error: Any) -> UsageError:  # noqa: ANN401
    """Return the parser's error with the message and the hint of this program."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "scaleplan"
    hint = f"'{path} --help' lists the options"
    message = escape_control(str(error.format_message())).partition(" Did you mean ")[0].strip().rstrip(".")
    unknown = re.fullmatch(r"No such (command|option):? '?(.*?)'?(?: \(.*Possible options.*\))?", message)
    if unknown is not None and context is not None:
        kind, name = unknown.groups()
        command = context.command
        options = (word for option in command.get_params(context) for word in option.opts)
        close = did_you_mean(name, command.list_commands(context) if kind == "command" else options)
        message = f"unknown {kind} {quote(name)}"
        hint = f"did you mean '{close}'?" if close is not None else hint
        if context.info_name in _READ_LOGS and context.parent is not None:
            runs = context.parent.command.get_command(context.parent, "runs")
            if any(name in option.opts for option in runs.params):
                way = f"'scaleplan runs LOGS {name} … -o runs.csv' takes it"
                hint = f"{way}, and '{context.info_name} runs.csv' its table"
    if len(message) > _LONGEST:
        message = f"{message[:_LONGEST]}…"
    return UsageError(message[:1].lower() + message[1:], hint=hint)


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
    if caret:
        sys.stderr.write("".join(f"  {line}\n" for line in caret.splitlines()))
    if error.hint:
        sys.stderr.write(message_lines(f"hint: {escape_control(error.hint)}", sys.stderr))
    return error.exit_status


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
