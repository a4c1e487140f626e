"""How a function becomes a command: shared options are expanded, its answer is written, its notices are said.

A command is a function of option groups and options that *returns* an :class:`Answer`; it does not print::

    @command(app, examples=["scaleplan loss --params 7B --tokens 2T"])
    def loss(law: LawOptions, *, params: Annotated[str, typer.Option(...)]) -> Answer: ...
"""

from __future__ import annotations

import inspect
from dataclasses import fields, is_dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, get_type_hints

import typer

from scaleplan.cli.judging import JudgingOptions
from scaleplan.cli.options import HardwareOptions, OutputOptions
from scaleplan.cli.output import require_known, write
from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Self

    from _typeshed import DataclassInstance

    from scaleplan.formats import Rendering
    from scaleplan.notices import Notice

__all__ = ["Answer", "Commands", "command", "group", "single"]


class Answer(Record):
    """What a command returns.

    ``rendering`` is the result; a command that streams gives ``chunks`` of finished text instead.
    ``exit_status`` is 1 where the answer is "no".
    """

    rendering: Rendering | None = None
    chunks: Iterator[str] | None = None
    notices: Iterable[Notice] = ()
    exit_status: int = 0


class Commands(typer.Typer):
    """An application whose commands are put together when it runs: reading the options of each costs milliseconds."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401
        super().__init__(**settings)
        self.waiting: list[Callable[[], None]] = []

    def ready(self) -> Self:
        """Put the commands together and return the application."""
        while self.waiting:
            self.waiting.pop(0)()
        return self


def single() -> Commands:
    """Return an application for one command, in this program's style."""
    return Commands(
        rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False, no_args_is_help=False
    )


def group(help_text: str) -> Commands:
    """Return an application for a group of commands, in this program's style."""
    return Commands(
        help=help_text,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def command(
    app: Commands, name: str | None = None, *, examples: Sequence[str] = ()
) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Register a function that returns an :class:`Answer` as a command, with the output options added."""

    def build(function: Callable[..., Answer]) -> None:
        groups: dict[str, tuple[type, list[str]]] = {}
        parameters: list[inspect.Parameter] = []
        signature = inspect.signature(function, eval_str=True)
        wants_output = "output" in signature.parameters
        added = () if wants_output else (_parameter("output", OutputOptions, inspect.Parameter.empty),)
        for parameter in (*signature.parameters.values(), *added):
            group = parameter.annotation
            if isinstance(group, type) and is_dataclass(group):
                members = _members(group)
                groups[parameter.name] = (group, [member.name for member in members])
                parameters += members
            else:
                parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))

        def run(ctx: typer.Context, **values: Any) -> None:  # noqa: ANN401
            if values.get("gpu") is None:
                _drop_hardware_settings(ctx, values)
            taken = {
                group: kind(**{member: values.pop(member) for member in members})
                for group, (kind, members) in groups.items()
            }
            output: OutputOptions = taken["output"] if wants_output else taken.pop("output")
            require_known(output, judges=isinstance(output, JudgingOptions))  # before a file is written
            answer = function(**taken, **values)
            write(answer, output, ctx)
            raise typer.Exit(answer.exit_status)

        context = _parameter("ctx", typer.Context, inspect.Parameter.empty)
        run.__signature__ = inspect.Signature([context, *parameters])  # type: ignore[attr-defined]
        run.__annotations__ = {item.name: item.annotation for item in (context, *parameters)}
        run.__doc__ = function.__doc__
        run.__name__ = function.__name__
        epilog = "\n\n".join(["Examples:", *examples]) if examples else None
        app.command(name, epilog=epilog, context_settings={"help_option_names": ["-h", "--help"]})(run)

    def register(function: Callable[..., Answer]) -> Callable[..., Answer]:
        app.waiting.append(partial(build, function))
        return function

    return register


def _drop_hardware_settings(ctx: typer.Context, values: dict[str, Any]) -> None:
    """Forget what the environment and settings files say of hardware where no accelerator is asked for.

    On the command line ``--mfu`` without ``--gpu`` is a mistake; as a standing setting it waits for its turn.
    """
    for item in fields(HardwareOptions):
        source = ctx.get_parameter_source(item.name) if item.name in values else None
        if source is not None and source.name in ("ENVIRONMENT", "DEFAULT_MAP"):
            values[item.name] = None


def _members(group: type[DataclassInstance]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [_parameter(item.name, hints[item.name], item.default) for item in fields(group)]


def _parameter(name: str, annotation: object, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
