"""The report of a design: the pilot runs to train, what they are predicted to tell, and whether more are worth it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.output import Report, ReportTable
from scaleplan.units import counted, format_count, format_flops, format_fraction, format_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.fitting.expected_error import StandardErrors
    from scaleplan.fitting.pilot import PilotDesign
    from scaleplan.fitting.pilot_worth import PilotWorth

__all__ = ["design_report"]

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
    ratios = [run.tokens / run.params for run in design.runs]
    compared = [("this design", str(count), _span(min(ratios), max(ratios)), *_errors(design.after))]
    compared += [
        (item.name, str(item.runs), _span(*item.tokens_per_param), *_errors(item.precision)) for item in design.rivals
    ]
    if design.before is not None:
        compared.insert(0, ("the runs that are there", "", "", *_errors(design.before)))
    columns = ("design", "runs", "tokens/param", "N*", "loss", "waste", "N*, by law", "loss, by law")
    sections = [
        Report(
            title="predicted standard errors at the target, each design for the same compute",
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
        lines=[*_bounds_lines(design)],
        sections=tuple(sections),
    )


def _bounds_lines(design: PilotDesign) -> Iterator[str]:
    """Yield the bounds of the runs, and what each costs beside its compute."""
    if design.bounds is None:
        return
    held = design.bounds
    yield (
        f"bounds: {format_count(held.params[0])} – {format_count(held.params[1])} parameters, "
        f"{_span(*held.tokens_per_param)} tokens per parameter, "
        f"{format_flops(held.flops[0])} – {format_flops(held.flops[1])} a run"
    )
    if design.run_cost:
        yield f"each run costs {format_flops(design.run_cost)} beside its compute"


def _worth(design: PilotDesign, worth: PilotWorth) -> Report:
    """Return what stages of further pilots save the main run, and where to stop."""
    first = "nothing known" if design.before is None else "–"
    rows = [
        (
            format_flops(stage.flops),
            str(stage.runs),
            format_fraction(stage.log_params, digits=2),
            format_fraction(stage.log_loss, digits=2),
            "–" if stage.waste is None else format_fraction(stage.waste, digits=2),
            "–" if stage.wasted_flops is None else format_flops(stage.wasted_flops),
            first if stage.saved_flops is None else format_flops(max(stage.saved_flops, 0.0)),
            format_flops(stage.added_flops),
        )
        for stage in worth.stages
    ]
    if worth.stop_flops == 0:
        stop = "the next pilots save less than they cost: plan with the runs that are there"
    elif worth.bounded:
        stop = f"even the last stage saves more than it costs: {format_flops(worth.stop_flops)} and more are worth it"
    else:
        stop = f"stop at {format_flops(worth.stop_flops)}: the next stage saves less than it costs"
    columns = ("new pilots", "runs", "N*", "loss", "waste", "of compute", "saved", "for")
    return Report(
        title=f"what further pilots save a run of {format_flops(design.target)}, stage by stage",
        grid=ReportTable(columns, rows=rows),
        remarks=[
            stop,
            "waste is of the loss, and the compute that reaches the same loss less, expected of a wrong N*",
        ],
    )


def _span(low: float, high: float) -> str:
    return f"{format_number(low, digits=2)} – {format_number(high, digits=2)}"


def _errors(precision: StandardErrors) -> tuple[str, str, str, str, str]:
    size, law_size = (
        "–" if value is None else "unidentified" if value >= _UNIDENTIFIED else format_fraction(value, digits=2)
        for value in (precision.log_params, precision.log_params_by_law)
    )
    loss, waste, law_loss = (
        "–" if value is None else format_fraction(value, digits=2)
        for value in (precision.log_loss, precision.waste, precision.log_loss_by_law)
    )
    if precision.log_params >= _UNIDENTIFIED:
        waste = "–"
    return size, loss, waste, law_size, law_loss


def _remarks_design(design: PilotDesign) -> Iterator[str]:
    if design.misfit is None:
        yield f"by local linearisation of {design.law} with noise of {format_fraction(design.noise)} in each loss"
    else:
        yield (
            f"of a forecast by {design.law}, with noise of {format_fraction(design.noise, digits=2)} in each loss "
            f"and a law that misses by about {format_fraction(design.misfit, digits=2)}; by law: if it holds exactly"
        )
        yield "waste: what the main run's loss is expected to lose by the N* that is then believed"
        for measure, rival in design.better_rivals():
            yield f"{rival}: a smaller error of {measure}, which a list for {design.aim} gives up for its aim"
        target = f"{design.target:.4g}".replace("e+", "e")
        yield f"fit them for the target: scaleplan fit runs.csv --target {target} -o law.toml"
    if design.cooldown is not None:
        full = sum(run.flops * run.seeds for run in design.runs)
        yield (
            f"runs of one size branch off one trunk at a constant rate, each with a cooldown of "
            f"{format_fraction(design.cooldown)}; from scratch they would cost {format_flops(full)}"
        )
        yield "branches of one trunk share its noise, so that the errors are somewhat larger than predicted"
