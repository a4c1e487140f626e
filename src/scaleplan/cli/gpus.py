"""The commands about GPUs: list and show them, compare them for a plan, and check files of your own."""

from __future__ import annotations

from typing import Annotated

import typer

from scaleplan import lookup
from scaleplan.cli.command import Answer, command, group
from scaleplan.cli.options import (
    MORE,
    BoundOptions,
    ComparedOptions,
    ConstraintOptions,
    LawOptions,
    keywords,
)
from scaleplan.files import preset_folders
from scaleplan.planning.context import Context
from scaleplan.presets.library import PresetPaths
from scaleplan.project.own_hardware import validate_hardware

__all__ = ["APPS"]

_gpus = group("The GPUs: list, show, compare for a plan, and validate files of your own.")
APPS = {"gpus": _gpus}


@command(_gpus, "list", examples=["scaleplan gpus list", "scaleplan gpus list --vendor amd --json"])
def list_gpus(
    *, vendor: Annotated[str | None, typer.Option(metavar="NAME", help="Only GPUs of this vendor.")] = None
) -> Answer:
    """List the GPUs, with dense peaks and default prices."""
    return Answer(result=lookup.list_gpus(vendor=vendor))


@command(_gpus, "show", examples=["scaleplan gpus show h100", "scaleplan gpus show mi300x --json"])
def show_gpu(
    *, name: Annotated[str, typer.Argument(metavar="NAME", help="An id, an alias, or a .toml file of one GPU.")]
) -> Answer:
    """Show one GPU: peaks, memory, power, prices, sources."""
    return Answer(result=lookup.show_gpu(name))


@command(_gpus, "path", examples=["scaleplan gpus path", "scaleplan gpus path h100-sxm"])
def path(
    *,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="An id or an alias; the folders without.")
    ] = None,
) -> Answer:
    """Print the file of a GPU, or the folders whose accelerators.toml and prices.toml are read."""
    found = [*map(str, preset_folders())] if name is None else [Context().accelerators.get(name).origin]
    return Answer(result=PresetPaths(paths=tuple(found)))


@command(
    _gpus,
    "validate",
    examples=["scaleplan gpus validate accelerators.toml prices.toml"],
)
def validate(
    *, files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Files of accelerators or of prices.")]
) -> Answer:
    """Check files of GPUs and prices of your own; the exit status is 2 if any is invalid."""
    result = validate_hardware(files)
    return Answer(result=result, exit_status=2 if result.invalid else 0)


@command(
    _gpus,
    "compare",
    examples=[
        "scaleplan gpus compare --params 7B --tokens 2T --time 30d",
        "scaleplan gpus compare h100-sxm a100-sxm-80 rtx-4090 --loss 2.2 --region France",
        "scaleplan gpus compare --cost 50k --sort loss",
    ],
)
def compare(
    budget: ComparedOptions,
    law: LawOptions,
    bounds: BoundOptions,
    constraints: ConstraintOptions,
    *,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[GPU]...", help="GPUs to compare; without any, those that have a price."),
    ] = None,
    loss: Annotated[str | None, typer.Option(metavar="L", help="The loss to reach on each.")] = None,
    vendor: Annotated[str | None, typer.Option(metavar="NAME", help="Only GPUs of this vendor."), MORE] = None,
    sort: Annotated[
        str | None, typer.Option(metavar="NAME", help="cost, days, gpu_hours, energy_kwh, carbon_kg or loss.")
    ] = None,
) -> Answer:
    """Compare GPUs for a run, a loss or a budget: days, money, energy, memory and prices side by side."""
    from scaleplan.advice.gpu_comparison import compare_gpus  # a list of GPUs plans nothing

    question = keywords(budget, law, bounds, constraints)
    result = compare_gpus(names or (), vendor=vendor, sort=sort, loss=loss, **question)
    return Answer(result=result, notices=result.warnings)
