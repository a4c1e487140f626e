"""A design for people: the runs to train, what they will tell, and what usual sweeps of the same cost would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.formats.report import Grid, Report
from scaleplan.quantities import format_count, format_flops, format_fraction, format_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scaleplan.fitting.designing import PilotDesign
    from scaleplan.fitting.precision import Precision

__all__ = ["design_report"]


def design_report(design: PilotDesign) -> Report:
    """Return the report of one design."""
    count = sum(run.seeds for run in design.runs)
    rows = tuple(
        (
            format_count(run.params),
            format_count(run.tokens),
            format_number(run.tokens / run.params),
            format_flops(run.flops),
            str(run.seeds),
        )
        for run in design.runs
    )
    ratios = [run.tokens / run.params for run in design.runs]
    compared = [("this design", str(count), _span(min(ratios), max(ratios)), *_errors(design.after))]
    compared += [
        (item.name, str(item.runs), _span(*item.tokens_per_param), *_errors(item.precision)) for item in design.rivals
    ]
    if design.before is not None:
        compared.insert(0, ("the runs that are there", "", "", *_errors(design.before)))
    columns = ("design", "new runs", "tokens/param", "error of N*", "of loss", "of a")
    return Report(
        title=f"{count} pilot runs for {format_flops(design.spent)}, to know the optimum of "
        f"{format_flops(design.target)}",
        grid=Grid(columns=("parameters", "tokens", "tokens/param", "compute each", "seeds"), rows=rows),
        sections=(
            Report(
                title="predicted standard errors at the target, each design for the same compute",
                grid=Grid(columns=columns, rows=tuple(compared), text=frozenset({"design"})),
                remarks=tuple(_remarks(design)),
            ),
        ),
    )


def _span(low: float, high: float) -> str:
    return f"{format_number(low, digits=2)} – {format_number(high, digits=2)}"


def _errors(precision: Precision) -> tuple[str, str, str]:
    size = format_fraction(precision.log_params, digits=2) if precision.log_params < 3 else "unidentified"
    return size, format_fraction(precision.log_loss, digits=2), format_number(precision.exponent, digits=2)


def _remarks(design: PilotDesign) -> Iterator[str]:
    yield (
        f"by local linearisation of {design.law} with noise of {format_fraction(design.noise)} in each loss: true if "
        "the form is; keep a few central runs to test that"
    )
    if design.cooldown is not None:
        full = sum(run.flops * run.seeds for run in design.runs)
        yield (
            f"runs of one size branch off one trunk at a constant rate, each with a cooldown of "
            f"{format_fraction(design.cooldown)}; from scratch they would cost {format_flops(full)}"
        )
        yield "branches of one trunk share its noise, so that the errors are somewhat larger than predicted"
