"""The report of a design: the pilot runs to train, what they are predicted to tell, and whether more are worth it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from scaleplan.output import Report, ReportTable
from scaleplan.units import (
    counted,
    format_count,
    format_flops,
    format_fraction,
    format_number,
    format_plain,
    format_range,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.fitting.expected_error import StandardErrors
    from scaleplan.fitting.pilot import PilotDesign
    from scaleplan.fitting.pilot_worth import PilotWorth

__all__ = ["design_report"]

_BEYOND = 2  # stages that are not worth it and shown all the same

_UNIDENTIFIED = 3.0  # an error of ln N*: a factor of 20 either way


def design_report(design: PilotDesign) -> Report:
    """Return the report of one design."""
    count = sum(run.seeds for run in design.runs)
    rows = [
        (
            format_count(run.params),
            format_count(run.tokens),
            format_number(run.tokens / run.params),
            format_flops(run.flops),
            str(run.seeds),
        )
        for run in design.runs
    ]
    compared = [("this design", str(count), *_errors(design.after))]
    compared += [(item.name, str(item.runs), *_errors(item.precision)) for item in design.rivals]
    if design.before is not None:
        compared.insert(0, ("the runs that are there", "", *_errors(design.before)))
    columns = ("design", "runs", "N* (law)", "loss (law)", "waste")
    sections = [
        Report(
            title="standard errors expected at the target, each design for the same compute",
            grid=ReportTable(columns, rows=compared, text={"design"}),
            remarks=[*_remarks_design(design)],
        )
    ]
    if design.worth is not None and design.worth.stages:
        sections.append(_worth(design, design.worth))
    return Report(
        title=f"{counted(count, 'pilot run')} for {format_flops(design.spent)}, to know the optimum of "
        f"{format_flops(design.target)}",
        grid=ReportTable(("parameters", "tokens", "tokens/param", "compute each", "seeds"), rows=rows),
        lines=[*_worth_line(design), *_bounds_lines(design)],
        sections=tuple(sections),
    )


def _bounds_lines(design: PilotDesign) -> Iterator[str]:
    """Yield the bounds of the runs, and what each costs beside its compute."""
    if design.bounds is None:
        return
    held = design.bounds
    yield (
        f"bounds: {format_range(*held.params, format_count)} parameters, "
        f"{_span(*held.tokens_per_param)} tokens per parameter,"
    )
    cost = f"; each run costs {format_flops(design.run_cost)} beside its compute" if design.run_cost else ""
    yield f"{format_range(*held.flops, format_flops)} a run{cost}"


def _worth_line(design: PilotDesign) -> Iterator[str]:
    """Yield whether further pilots are worth their compute, and up to where."""
    worth = design.worth
    if worth is None or not worth.stages:
        return
    main = f"a run of {format_flops(design.target)}"
    if worth.stop_flops == 0:
        yield f"not worth it: the next pilots save {main} less than they cost; plan with the runs that are there"
    elif worth.bounded:
        yield f"worth it: up to {format_flops(worth.stop_flops)} and beyond, pilots save {main} more than they cost"
    elif design.flops > worth.stop_flops:
        yield f"worth it up to {format_flops(worth.stop_flops)}: beyond, pilots save {main} less than they cost"
    else:
        yield f"worth it: up to {format_flops(worth.stop_flops)}, pilots save {main} more than they cost"


def _worth(design: PilotDesign, worth: PilotWorth) -> Report:
    """Return what stages of further pilots save the main run, up to the second one that is not worth it."""
    beyond = [stage for stage in worth.stages if stage.flops > worth.stop_flops]
    shown = worth.stages[: len(worth.stages) - len(beyond) + _BEYOND]
    rows = [
        (
            format_flops(stage.flops),
            str(stage.runs),
            format_fraction(stage.log_params, digits=2),
            "–" if stage.wasted_flops is None else format_flops(stage.wasted_flops),
            "–" if stage.saved_flops is None else format_flops(max(stage.saved_flops, 0.0)),
            format_flops(stage.added_flops),
        )
        for stage in shown
    ]
    return Report(
        title=f"what further pilots save a run of {format_flops(design.target)}, stage by stage",
        grid=ReportTable(("pilots in all", "runs", "N*", "waste left", "stage saves", "stage costs"), rows=rows),
        remarks=["waste left: compute of the main run that a wrong N* is still expected to lose"],
    )


def _span(low: float, high: float) -> str:
    return format_range(low, high, partial(format_number, digits=2))


def _errors(precision: StandardErrors) -> tuple[str, str, str]:
    size, law_size = (
        "–" if value is None else "unidentified" if value >= _UNIDENTIFIED else format_fraction(value, digits=2)
        for value in (precision.log_params, precision.log_params_by_law)
    )
    loss, waste, law_loss = (
        "–" if value is None else format_fraction(value, digits=2)
        for value in (precision.log_loss, precision.waste, precision.log_loss_by_law)
    )
    if precision.log_params >= _UNIDENTIFIED:
        return size, f"{loss} ({law_loss})", "–"
    return f"{size} ({law_size})", f"{loss} ({law_loss})", waste


def _remarks_design(design: PilotDesign) -> Iterator[str]:
    if design.misfit is None:
        yield f"by local linearisation of {design.law} with noise of {format_fraction(design.noise)} in each loss"
    else:
        yield (
            f"by {design.law}, with noise of {format_fraction(design.noise, digits=2)} in each loss and a law that "
            f"misses by about {format_fraction(design.misfit, digits=2)}; in brackets if the law holds exactly"
        )
        yield "waste: what the main run's loss is expected to lose by the N* that is then believed"
        for measure, rival in design.better_rivals():
            yield f"{rival}: a smaller error of {measure}, which a list for {design.aim} gives up for its aim"
        target = format_plain(design.target, digits=4)
        yield f"fit them for the target: scaleplan fit runs.csv --target {target} -o law.toml"
    if design.cooldown is not None:
        full = sum(run.flops * run.seeds for run in design.runs)
        yield (
            f"runs of one size branch off one trunk at a constant rate, each with a cooldown of "
            f"{format_fraction(design.cooldown)}; from scratch they would cost {format_flops(full)}"
        )
        yield "branches of one trunk share its noise, so that the errors are somewhat larger than predicted"
