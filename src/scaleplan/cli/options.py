"""The options that several commands share, in groups that commands take whole.

Those of a request are declared in :class:`scaleplan.planning.request.Request`; only those of output are here.
"""

from __future__ import annotations

from dataclasses import fields
from inspect import get_annotations
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from scaleplan.cli.settings import variable
from scaleplan.output import FORMATS, JUDGING, LAUNCHING
from scaleplan.planning.constraints import constraint_options
from scaleplan.planning.request import Request, option_names
from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "EVERYDAY",
    "MORE",
    "OLD_NAMES",
    "PANELS",
    "BoundOptions",
    "BudgetOptions",
    "ComparedOptions",
    "ConstraintOptions",
    "DeviceOptions",
    "HardwareOptions",
    "JudgingOptions",
    "KeepingOptions",
    "LaunchingOptions",
    "LawOptions",
    "LawReportOptions",
    "LimitOptions",
    "MarginOptions",
    "OptionPlace",
    "OutputOptions",
    "RunOfLadderOptions",
    "RunOptions",
    "keywords",
]


OLD_NAMES = frozenset({"--grid", "--sequence", "--with"})
"""Earlier names of options: accepted beside the name of today, and shown nowhere."""

EVERYDAY, MORE = "everyday", "more"
"""Marks beside the declaration of an option, ``Annotated[str, typer.Option(…), MORE]``: when the help shows it.

A command's own options are everyday ones, which ``--help`` shows, unless marked; those of a group are not.
"""

PANELS = {
    "arguments": "Arguments",
    "required": "Required",
    "own": "Options",
    "budget": "Budget, in one form",
    "hardware": "GPUs",
    "law": "Law",
    "limits": "Limits",
    "sides": "Limits",
    "run": "Model and run",
    "memory": "Memory",
    "constraints": "Data, serving, precision, experts",
    "launch": "Starting the runs",
    "output": "Output",
    "common": "General",
}
"""The panels of the help by the groups of options, in their order; panels of one command follow its own options."""


class OptionPlace(NamedTuple):
    """The place of an option in the help: a command's own, or that of a group that may have a panel.

    A command that has many groups may say itself when the help ``shows`` an option.
    """

    annotation: Any
    panel: str | None = None
    is_own: bool = False
    shows: str | None = None

    @property
    def option(self) -> Any:  # noqa: ANN401  typer's
        """The declaration of the option, with its panel if it has its own."""
        return self.annotation.__metadata__[0]

    @property
    def is_everyday(self) -> bool:
        """Whether the help shows it at once."""
        marks = self.annotation.__metadata__ if self.shows is None else (self.shows,)
        return EVERYDAY in marks or (self.is_own and MORE not in marks)


def keywords(*groups: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the options of some groups as keyword arguments for the API, which uses the same names."""
    return {item.name: getattr(group, item.name) for group in groups for item in fields(group)}


class OptionGroup(Record):
    """A group of options, generated from the declarations of requests and of registered constraints."""

    def __init_subclass__(
        cls,
        groups: tuple[str, ...] = (),
        constraints: bool = False,  # noqa: FBT002
        names: Mapping[str, str | None] = MappingProxyType({}),
        panel: str | None = None,
    ) -> None:
        """Add the options of some groups, or some by name with a help of their own here, None for that declared.

        They stand in the panels of their groups, or all in one ``panel``.
        """
        chosen = dict.fromkeys(option_names(*groups)) | dict(names)
        for item in fields(Request):
            if item.name in chosen:
                declared = {**item.metadata, "help": chosen[item.name] or item.metadata["help"]}
                declared["panel"] = panel or item.metadata["panel"] or PANELS[item.metadata["group"]]
                _add(cls, item.name, default=item.default, **declared)
        for option in constraint_options() if constraints else ():
            _add(
                cls,
                option.name,
                metavar=option.metavar,
                help=option.help,
                everyday=option.everyday,
                panel=PANELS["constraints"],
            )
        super().__init_subclass__()

    if TYPE_CHECKING:  # which options there are is known from the declarations only

        def __getattr__(self, name: str) -> Any: ...  # noqa: ANN401


def _add(
    cls: type,
    name: str,
    *,
    metavar: str,
    help: str,  # noqa: A002  the name that the declaration has
    flags: tuple[str, ...] = (),
    kind: str = "text",
    setting: bool = False,
    everyday: bool = False,
    panel: str = "",
    default: object = None,
    **_: object,
) -> None:
    """Give a group of options another; an amount stays text, which the library reads."""
    annotation, initial = _TYPES.get(kind, (str | None, None))
    if isinstance(default, float):
        annotation, initial = str, str(default)
    envvar = variable(name) if setting else None
    option = typer.Option(*flags, metavar=metavar or None, envvar=envvar, help=help, rich_help_panel=panel or None)
    cls.__annotations__ = get_annotations(cls) | {name: Annotated[annotation, option, EVERYDAY if everyday else MORE]}
    setattr(cls, name, initial)


_TYPES: dict[str, tuple[Any, Any]] = {"texts": (list[str] | None, None), "flag": (bool, False)}
"""The type and the default of options that are no text, by kind."""


class HardwareOptions(OptionGroup, groups=("hardware",)):
    """The hardware that the compute runs on."""


class DeviceOptions(
    OptionGroup,
    panel=PANELS["hardware"],
    names={
        "gpu": None,
        "gpus": "Number of GPUs, if neither the log nor the plan has it.",
        "precision": None,
        "price": None,
        "mfu": "Planned model FLOP utilisation, 40%; that of the plan if not given.",
        "level": None,
        "bytes_per_token": None,
    },
):
    """The GPUs of a run that is measured, the level of the intervals, and the bytes of its tokens."""


class KeepingOptions(
    OptionGroup,
    panel=PANELS["hardware"],
    names={
        "gpus": "Number of GPUs. Without it as many as --time takes.",
        "time": "Deadline: 30d. How many GPUs finish in it, or how likely --gpus do.",
        "cost": "Money to keep: 250k. How likely the run does.",
    },
):
    """The GPUs of a run, and the time and the money that it is to keep."""


class BudgetOptions(HardwareOptions, groups=("budget",)):
    """The budget, in exactly one of its forms, and the hardware that some of them need."""


class ComparedOptions(
    OptionGroup,
    groups=("budget",),
    names={
        "gpus": "Number of each GPU; as many as --time takes, or as hold the model, if not given.",
        "time": "Deadline of a run or a loss, or with --gpus alone the budget: 30d.",
        "cost": "Money: the budget, or beside a run or a loss what it is to keep.",
        **dict.fromkeys(name for name in option_names("hardware") if name != "gpu"),
        **dict.fromkeys(("model", "context", "region", "margins")),
    },
):
    """The budget of several GPUs, or limits on their money and time, and the other options of each plan."""


class LawOptions(OptionGroup, groups=("law",)):
    """The scaling law, and how its uncertainty is reported."""


class LawReportOptions(OptionGroup, names=dict.fromkeys(("level", "overhead", "batch_regime"))):
    """How the uncertainty of a law is reported, in a command that may take several laws."""


class LimitOptions(OptionGroup, groups=("limits",)):
    """The limits on a plan."""


class BoundOptions(LimitOptions, groups=("sides",)):
    """The limits on a plan, where params or tokens can be fixed."""


class MarginOptions(OptionGroup, groups=("memory",)):
    """What a check of memory leaves free."""


class RunOptions(OptionGroup, groups=("run", "memory")):
    """A concrete model, and the training run of a plan."""


class RunOfLadderOptions(
    OptionGroup,
    panel=PANELS["launch"],
    names={
        "gpu": "The GPU of the runs; see 'scaleplan gpus list'.",
        "gpus": "GPUs of each run, on one machine: 1 to 8; 1 if not given.",
        "mfu": None,
        "price": None,
        "exchange_rate": None,
        "style": None,
        "context": None,
    },
):
    """The shape of the runs of a ladder, their machine and its price."""


class ConstraintOptions(OptionGroup, constraints=True):
    """The options that the registered constraints declare."""


def _format(*names: str) -> Any:  # noqa: ANN401  typer types its options so
    listed = f"{', '.join(names[:-1])} or {names[-1]}."
    return typer.Option("--format", "-f", metavar="NAME", envvar="SCALEPLAN_FORMAT", help=listed)


def _general(*names: str, **settings: Any) -> Any:  # noqa: ANN401
    return typer.Option(*names, rich_help_panel=PANELS["common"], **settings)


class OutputOptions(Record):
    """The form of the answer."""

    TITLE = PANELS["output"]

    format: Annotated[str, _format(*FORMATS), EVERYDAY] = "text"
    json: Annotated[bool, typer.Option("--json", help="Short for --format json."), EVERYDAY] = False
    get: Annotated[
        str | None,
        typer.Option(metavar="FIELD", help="Print one bare value: params, interval.loss.low, …"),
        EVERYDAY,
    ] = None
    fields: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Only these fields: params,tokens,loss; in any format."),
        EVERYDAY,
    ] = None
    color: Annotated[str, _general(metavar="WHEN", envvar="SCALEPLAN_COLOR", help="auto, always or never.")] = "auto"
    no_color: Annotated[bool, _general("--no-color", help="Short for --color never.")] = False
    quiet: Annotated[bool, _general("--quiet", "-q", help="No warnings or notes on standard error.")] = False
    verbose: Annotated[
        bool, _general("--verbose", "-v", help="Say on standard error where each setting came from.")
    ] = False
    debug: Annotated[bool, _general("--debug", help="Show the traceback of an error.")] = False


class JudgingOptions(OutputOptions):
    """The form of an answer that judges, for CI services too."""

    format: Annotated[str, _format(*FORMATS, *JUDGING), EVERYDAY] = "text"


class LaunchingOptions(OutputOptions):
    """The form of an answer, or the engine that the files of an answer are for."""

    format: Annotated[str, _format(*FORMATS, *LAUNCHING), EVERYDAY] = "text"
