"""The commands that plan: for a budget, a run or a goal, over ranges and laws; and the conversion of amounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from scaleplan import api
from scaleplan.cli.command import Answer, chosen_format, command, single
from scaleplan.cli.options import (
    MORE,
    PANELS,
    BoundOptions,
    BudgetOptions,
    ConstraintOptions,
    HardwareOptions,
    KeepingOptions,
    LawOptions,
    LimitOptions,
    OutputOptions,
    RunOptions,
    keywords,
)
from scaleplan.errors import UsageError, quote
from scaleplan.planning.plan import of_several
from scaleplan.planning.request import SWEPT
from scaleplan.units import parse

if TYPE_CHECKING:
    from scaleplan.planning.plan import Plan

__all__ = ["APPS", "run_keywords"]

_GOAL = "Goal, in one form"

_MANY = 8192  # points from which a sweep is written as it is computed

APPS = {
    name: single() for name in ("optimal", "loss", "target", "sweep", "compare", "break-even", "marginal", "convert")
}


@command(
    APPS["optimal"],
    examples=[
        "scaleplan optimal --flops 1e21",
        "scaleplan optimal --gpus 64 --gpu h100-sxm --time 30d --json",
        "scaleplan optimal --gpus 8 --gpu rtx-4090 --time 30d --shape --region France",
        "N=$(scaleplan optimal --cost '250k USD' --gpu h100-sxm --get params)",
    ],
)
def optimal(
    budget: BudgetOptions,
    law: LawOptions,
    bounds: BoundOptions,
    constraints: ConstraintOptions,
    *,
    run: RunOptions,
    output: OutputOptions,
    source: Annotated[
        str | None, typer.Argument(metavar="[-]", help="Budgets in FLOP from standard input, one a line.")
    ] = None,
) -> Answer:
    """Find the model size and the training tokens with the least loss for a budget."""
    streamed = _streamed(source, budget)
    if streamed is None:
        return _one(api.optimal(**keywords(budget, law, bounds, constraints), **run_keywords(run)))
    for name, value in keywords(run).items():
        if value:
            raise UsageError(
                f"--{name} answers one budget at a time", hint="give the budget as an option, without '-'"
            )
    from scaleplan.cli.streaming import LineStyle, answer_lines  # a single plan needs no streams

    style = LineStyle.of(output, chosen_format(output))
    return Answer(chunks=answer_lines(streamed, keywords(budget, law, bounds, constraints), style))


@command(
    APPS["loss"],
    examples=[
        "scaleplan loss --params 7B --tokens 2T",
        "scaleplan loss --params 70B --tokens 1.4T --preset hoffmann",
        "scaleplan loss --model config.json --tokens 2T",
        "scaleplan loss --params 7B --tokens 2T --gpu h100-sxm --time 30d",
    ],
)
def loss(
    law: LawOptions,
    constraints: ConstraintOptions,
    hardware: HardwareOptions,
    keeping: KeepingOptions,
    run: RunOptions,
    *,
    params: Annotated[str | None, typer.Option(metavar="N", help="Model size: 7B; or give --model.")] = None,
    tokens: Annotated[str, typer.Option(metavar="D", help="Training tokens: 2T.")],
) -> Answer:
    """Predict the loss of a model trained on some tokens, and how far it is from the optimum."""
    given = keywords(law, constraints, hardware, keeping)
    return _one(api.loss(params=params, tokens=tokens, **given, **run_keywords(run)))


@command(
    APPS["target"],
    examples=[
        "scaleplan target --loss 2.1",
        "scaleplan target --params 70B --get flops",
        "scaleplan target --loss 2.1 --gpu h100-sxm --time 30d",
    ],
)
def target(
    law: LawOptions,
    limits: LimitOptions,
    constraints: ConstraintOptions,
    hardware: HardwareOptions,
    keeping: KeepingOptions,
    *,
    loss: Annotated[
        str | None, typer.Option(metavar="L", help="The loss to reach, in the law's unit.", rich_help_panel=_GOAL)
    ] = None,
    params: Annotated[
        str | None, typer.Option(metavar="N", help="The size that is to be optimal.", rich_help_panel=_GOAL)
    ] = None,
    tokens: Annotated[
        str | None, typer.Option(metavar="D", help="The tokens that are to be optimal.", rich_help_panel=_GOAL)
    ] = None,
) -> Answer:
    """Find the least budget that reaches a loss, or that makes a size or a number of tokens optimal."""
    given = keywords(law, limits, constraints, hardware, keeping)
    return _one(api.target(loss=loss, params=params, tokens=tokens, **given))


@command(
    APPS["sweep"],
    examples=[
        "scaleplan sweep --from 1e18 --to 1e24",
        "scaleplan sweep --from 10k --to 1M --by cost --gpu h100-sxm --format csv",
    ],
)
def sweep(
    law: LawOptions,
    bounds: BoundOptions,
    constraints: ConstraintOptions,
    hardware: HardwareOptions,
    output: OutputOptions,
    *,
    start: Annotated[str, typer.Option("--from", metavar="AMOUNT", help="The smallest budget.")],
    stop: Annotated[str, typer.Option("--to", metavar="AMOUNT", help="The largest budget.")],
    points: Annotated[
        str, typer.Option(metavar="N", help="How many budgets, evenly spaced in the logarithm.")
    ] = "13",
    by: Annotated[
        str, typer.Option(metavar="KIND", help="What the budgets are: flops, gpu_hours, time or cost.")
    ] = "flops",
    gpus: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Number of GPUs.",
            rich_help_panel=PANELS["hardware"],
        ),
    ] = None,
) -> Answer:
    """Plan for a range of budgets."""
    question = keywords(law, bounds, constraints, hardware) | {"gpus": gpus}
    if by == "flops" and parse("integer", points) > _MANY:
        from scaleplan.cli.streaming import LineStyle, sweep_lines

        budgets = api.spaced(start, stop, points=points, by=by)
        chunks = sweep_lines(budgets, question, LineStyle.of(output, chosen_format(output)))
        if chunks is not None:
            return Answer(chunks=chunks)
    result = api.sweep(from_=start, to=stop, points=points, by=by, **question)
    return Answer(result=result, notices=of_several(result))


@command(
    APPS["compare"],
    examples=["scaleplan compare --flops 1e24", "scaleplan compare --flops 1e24 --preset chinchilla --preset kaplan"],
)
def compare(
    budget: BudgetOptions,
    bounds: BoundOptions,
    constraints: ConstraintOptions,
    *,
    laws: Annotated[
        list[str] | None,
        typer.Option(
            "--preset", "-p", "--with", metavar="NAME", help="Scaling law to show, repeatable; nine if not given."
        ),
    ] = None,
    level: Annotated[str, typer.Option(metavar="F", help="Confidence level of the intervals."), MORE] = "0.9",
    count: Annotated[
        str, typer.Option(metavar="NAME", help="Convention to convert sizes to: total or non_embedding."), MORE
    ] = "total",
) -> Answer:
    """Show what several laws answer to one budget, side by side; their losses are not comparable."""
    result = api.compare(
        presets=laws or api.COMPARED, level=level, count=count, **keywords(budget, bounds, constraints)
    )
    return Answer(result=result, notices=of_several(result))


def _streamed(source: str | None, budget: BudgetOptions) -> str | None:
    """Return which form of the budget is read from standard input; None when none is."""
    if source not in (None, "-"):
        raise UsageError(
            f"{quote(source)} is not an option", hint="give the budget with --flops, or '-' to read budgets"
        )
    given = keywords(budget)
    forms = [name for name in SWEPT if given[name] == "-"]
    if source == "-":
        if given["flops"] not in (None, "-"):
            raise UsageError("two budgets: standard input and --flops", hint="give one of them")
        forms.append("flops")
    if len(forms) > 1:
        raise UsageError("more than one budget is read from standard input", hint="give '-' once")
    return forms[0] if forms else None


def run_keywords(run: RunOptions) -> dict[str, Any]:
    """Return the options of a training run, with the model read where one is named."""
    given = keywords(run)
    if given["model"] is not None:
        from scaleplan.cli.model import read_argument

        given["model"] = read_argument(given["model"], arch=None, context=given["context"])
    return given


def _one(plan: Plan) -> Answer:
    return Answer(result=plan, notices=plan.warnings)


@command(
    APPS["break-even"],
    examples=[
        "scaleplan break-even --params 7B",
        "scaleplan break-even --loss 2.1 --from 100B --to 10T --points 5 --format csv",
    ],
)
def break_even(
    law: LawOptions,
    limits: LimitOptions,
    constraints: ConstraintOptions,
    hardware: HardwareOptions,
    *,
    loss: Annotated[
        str | None, typer.Option(metavar="L", help="The loss that every plan reaches.", rich_help_panel=_GOAL)
    ] = None,
    params: Annotated[
        str | None,
        typer.Option(
            metavar="N", help="Instead: as good as the training optimum of this size.", rich_help_panel=_GOAL
        ),
    ] = None,
    start: Annotated[str, typer.Option("--from", metavar="D", help="The smallest demand in tokens.")] = "10B",
    stop: Annotated[str, typer.Option("--to", metavar="D", help="The largest demand.")] = "100T",
    points: Annotated[str, typer.Option(metavar="N", help="How many demands, evenly spaced in the logarithm.")] = "9",
) -> Answer:
    """Show for which inference demand a smaller model on more tokens pays, at the same loss."""
    from scaleplan.advice.break_even import break_even as table_of

    question = keywords(law, limits, constraints, hardware)
    if question.pop("inference_tokens") is not None:
        raise UsageError("the demand is what this table ranges over", hint="give --from and --to")
    result = table_of(loss=loss, params=params, from_=start, to=stop, points=points, **question)
    return Answer(result=result, notices=result.warnings)


@command(
    APPS["marginal"],
    examples=[
        "scaleplan marginal --flops 1e21",
        "scaleplan marginal --cost '250k USD' --gpu h100-sxm --get cost_per_hundredth",
    ],
)
def marginal(
    budget: BudgetOptions,
    law: LawOptions,
    bounds: BoundOptions,
    *,
    doublings: Annotated[str, typer.Option(metavar="N", help="How many doublings of the budget to show.")] = "6",
) -> Answer:
    """Show what more compute buys: the gain of a doubling, the price of the next percent and of 0.01 less loss."""
    from scaleplan.advice.marginal import marginal as returns_of

    result = returns_of(doublings=doublings, **keywords(budget, law, bounds))
    return Answer(result=result, notices=result.warnings)


@command(
    APPS["convert"],
    examples=[
        "scaleplan convert --flops 1e24 --gpu h100-sxm --gpus 512",
        "scaleplan convert --gpu-hours '30.8M H100-hours' --region USA",
        "scaleplan convert --cost 1M --gpu a100-sxm-80 --get flops",
        "scaleplan convert --flops 1e23 --gpu h100-sxm --time 30d",
    ],
)
def convert(
    budget: BudgetOptions,
    *,
    pf_days: Annotated[
        str | None,
        typer.Option(metavar="N", help="Compute in PF-days of 8.64e19 FLOP.", rich_help_panel=PANELS["budget"]),
    ] = None,
    energy: Annotated[
        str | None,
        typer.Option(metavar="KWH", help="Energy from the grid: '450 MWh'.", rich_help_panel=PANELS["budget"]),
    ] = None,
    carbon: Annotated[
        str | None,
        typer.Option(metavar="KG", help="Carbon: '173 t'; needs --region.", rich_help_panel=PANELS["budget"]),
    ] = None,
    params: Annotated[str | None, typer.Option(metavar="N", help="Model size, for the default utilisation.")] = None,
    region: Annotated[
        str | None, typer.Option("--region", "--grid", metavar="NAME", help="Country or cloud region, for carbon.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="NAME", help="Insist on one result: gpu_hours, days, cost, …")
    ] = None,
) -> Answer:
    """Convert between FLOPs, PF-days, GPU-hours, days on a cluster, money, energy and carbon."""
    result = api.convert(
        pf_days=pf_days, energy=energy, carbon=carbon, params=params, region=region, to=to, **keywords(budget)
    )
    return Answer(result=result, notices=result.warnings)
