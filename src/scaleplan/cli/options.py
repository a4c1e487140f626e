"""The options that several commands share, each declared once, in groups that commands take whole.

The output options of commands that judge: the formats of CI services, beside those of every command.

The options of the commands that read training runs, in groups that they take whole.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scaleplan.planning.constraints import options as declared
from scaleplan.record import Record

__all__ = [
    "RUNS",
    "BoundOptions",
    "BudgetOptions",
    "ConstraintOptions",
    "HardwareOptions",
    "JudgingOptions",
    "LawOptions",
    "LimitOptions",
    "ObjectiveOptions",
    "OutputOptions",
    "ReadingOptions",
    "RunOptions",
    "words",
]


def words(*groups: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the options of some groups as keyword arguments for the API, which uses the same names."""
    return {item.name: getattr(group, item.name) for group in groups for item in fields(group)}


class HardwareOptions(Record):
    """What the compute runs on."""

    gpu: Annotated[
        str | None,
        typer.Option(metavar="ID", envvar="SCALEPLAN_GPU", help="Accelerator; 'scaleplan gpus list' shows them."),
    ] = None
    mfu: Annotated[
        str | None,
        typer.Option(
            metavar="F",
            envvar="SCALEPLAN_MFU",
            help="Model FLOP utilisation, 0.4 or 40%; by device and size if not given.",
        ),
    ] = None
    goodput: Annotated[
        str | None, typer.Option(metavar="F", envvar="SCALEPLAN_GOODPUT", help="Share of the paid time that trains.")
    ] = None
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", envvar="SCALEPLAN_PRECISION", help="Precision of the matrix products: bf16, fp16, fp8, …"
        ),
    ] = None
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            envvar="SCALEPLAN_PROFILE",
            help="Utilisation to assume: benchmark, typical or end-to-end.",
        ),
    ] = None
    price: Annotated[
        str | None,
        typer.Option(
            metavar="USD/H",
            envvar="SCALEPLAN_PRICE",
            help="Price of one accelerator-hour, or the name of a price preset.",
        ),
    ] = None


class BudgetOptions(HardwareOptions):
    """The budget, in exactly one of its forms, and the hardware that some of them need."""

    flops: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="Total training compute: 1e21, 2.5 ZFLOP, 500 PF-days.")
    ] = None
    gpu_hours: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="Accelerator-hours: 10k, '2k H100-hours'.")
    ] = None
    gpus: Annotated[
        str | None, typer.Option(metavar="N", help="Number of accelerators; a budget together with --time.")
    ] = None
    time: Annotated[
        str | None, typer.Option(metavar="TIME", help="Wall-clock time on --gpus: 30d, 2 weeks, 36h.")
    ] = None
    cost: Annotated[str | None, typer.Option(metavar="USD", help="Money for accelerators: 250k, '1.2M USD'.")] = None


class LawOptions(Record):
    """The scaling law, and how its uncertainty is told."""

    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            "-p",
            metavar="NAME",
            envvar="SCALEPLAN_PRESET",
            help="Scaling law: an id, an alias or a .toml file; besiroglu-2024 if not given.",
        ),
    ] = None
    level: Annotated[
        str, typer.Option(metavar="F", envvar="SCALEPLAN_LEVEL", help="Confidence level of the intervals.")
    ] = "0.9"
    overhead: Annotated[
        str,
        typer.Option(
            metavar="F", envvar="SCALEPLAN_OVERHEAD", help="Compute overhead that still counts as near-optimal."
        ),
    ] = "0.05"


class LimitOptions(Record):
    """What the plan must stay within."""

    limit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LIMIT",
            help="A limit, repeatable: 'params <= 70B', 'tokens_per_param >= 20', 'days <= 30', 'epochs <= 4'.",
        ),
    ] = None


class BoundOptions(LimitOptions):
    """What the plan must stay within, where one side of it can be fixed."""

    params: Annotated[str | None, typer.Option(metavar="N", help="Fix the model size: 7B.")] = None
    tokens: Annotated[str | None, typer.Option(metavar="D", help="Fix the training tokens: 1T.")] = None


if TYPE_CHECKING:

    class ConstraintOptions(Record):
        """The options that the registered constraints declare."""

else:
    ConstraintOptions = type(
        "ConstraintOptions",
        (Record,),
        {
            "__annotations__": {
                option.name: Annotated[str | None, typer.Option(metavar=option.metavar, help=option.help)]
                for option in declared()
            },
            **dict.fromkeys(option.name for option in declared()),
        },
    )


class RunOptions(Record):
    """A concrete model, and the run that a plan is drawn out to."""

    model: Annotated[
        str | None,
        typer.Option(metavar="CONFIG", help="Fix the size by a config.json or its folder, counted as the law does."),
    ] = None
    shape: Annotated[
        bool, typer.Option("--shape", help="Draw the plan out: architecture, layout, steps, days, money, energy.")
    ] = False
    style: Annotated[
        str | None, typer.Option(metavar="NAME", help="Style of the architecture: llama, gpt2, qwen3, …")
    ] = None
    context: Annotated[str | None, typer.Option(metavar="T", help="Tokens in a training sequence.")] = None
    batch: Annotated[
        str | None, typer.Option(metavar="TOKENS", help="Tokens of a step; by a rule of thumb if not given.")
    ] = None
    region: Annotated[
        str | None, typer.Option(metavar="NAME", help="Country or cloud region, for the carbon of the run.")
    ] = None


class OutputOptions(Record):
    """How the answer is written."""

    format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="NAME",
            envvar="SCALEPLAN_FORMAT",
            help="text, json, jsonl, csv, tsv or markdown.",
        ),
    ] = "text"
    json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False
    get: Annotated[
        str | None, typer.Option(metavar="FIELD", help="Print one bare value: params, interval.loss.low, …")
    ] = None
    color: Annotated[str, typer.Option(metavar="WHEN", envvar="SCALEPLAN_COLOR", help="auto, always or never.")] = (
        "auto"
    )
    no_color: Annotated[bool, typer.Option("--no-color", help="Short for --color never.")] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No warnings on standard error.")] = False
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say on standard error where each setting came from.")
    ] = False
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False


class JudgingOptions(OutputOptions):
    """How the answer is written."""

    format: Annotated[
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="NAME",
            envvar="SCALEPLAN_FORMAT",
            help="text, json, jsonl, csv, tsv, markdown, github, junit or sarif.",
        ),
    ] = "text"


RUNS = typer.Argument(
    metavar="RUNS", help="Training runs, one a row: CSV, TSV, JSON or JSON Lines; - for standard input."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingOptions:
    """How the file of runs is read."""

    map: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=COLUMN",
            help="Column of a role, repeatable: loss=eval/loss, 'tokens=D*1e9', 'flops=log10(C)', params=7B. "
            "Roles: params, tokens, flops, loss, tokens_per_param, unique_tokens, weight, name, state.",
        ),
    ] = None
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="CONDITION", help="Keep rows that meet it, repeatable: 'lr <= 1e-3', 'name ~ ^base'."),
    ] = None
    loss_unit: Annotated[
        str, typer.Option(metavar="UNIT", help="Unit of the loss column: nats, bits, ppl or bpb.")
    ] = "nats"
    tokens_per_byte: Annotated[
        str | None, typer.Option(metavar="F", help="Converts bits per byte to nats per token.")
    ] = None
    log10: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="This column (or role) holds log10, repeatable.")
    ] = None
    flops_convention: Annotated[
        str, typer.Option(metavar="NAME", help="How compute is counted: 6ND, MD, '9.59ND + 2.3e8D'.")
    ] = "6ND"
    best: Annotated[
        bool, typer.Option("--best", help="Keep the best run of each sweep: of runs with equal sizes.")
    ] = False
    min_flops: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="Leave out runs below this compute: 1e19.")
    ] = None
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REASON", help="Keep what would be dropped: crashed, duplicate or diverged; repeatable."
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveOptions:
    """What is minimised, and what is kept fixed."""

    residual: Annotated[
        str, typer.Option(metavar="NAME", help="Differences of log loss or of loss: log, linear.")
    ] = "log"
    robust: Annotated[
        str, typer.Option(metavar="NAME", help="How outliers count: huber, l1, or none (least squares).")
    ] = "huber"
    delta: Annotated[
        str, typer.Option(metavar="F", help="Where Huber's function turns linear, in the unit of the residuals.")
    ] = "1e-3"
    tied: Annotated[bool, typer.Option("--tied", help="Fit with alpha = beta.")] = False
    floor: Annotated[
        str | None,
        typer.Option(metavar="E", help="Keep the irreducible loss at this value: 0, 1.7; fitted if not given."),
    ] = None
