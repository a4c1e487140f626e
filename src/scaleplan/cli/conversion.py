"""The command that converts amounts of compute."""

from __future__ import annotations

from typing import Annotated

import typer

from scaleplan.cli.command import Answer, command, single
from scaleplan.cli.options import BudgetOptions, words
from scaleplan.formats import Rendering

__all__ = ["APPS"]

APPS = {"convert": single()}


@command(
    APPS["convert"],
    examples=[
        "scaleplan convert --flops 1e24 --gpu h100-sxm --gpus 512",
        "scaleplan convert --gpu-hours '30.8M H100-hours' --grid USA",
        "scaleplan convert --cost 1M --gpu a100-sxm-80 --get flops",
    ],
)
def convert(
    budget: BudgetOptions,
    *,
    pf_days: Annotated[str | None, typer.Option(metavar="N", help="Compute in PF-days of 8.64e19 FLOP.")] = None,
    energy: Annotated[str | None, typer.Option(metavar="KWH", help="Energy from the grid: '450 MWh'.")] = None,
    carbon: Annotated[str | None, typer.Option(metavar="KG", help="Carbon: '173 t'; needs --grid.")] = None,
    params: Annotated[str | None, typer.Option(metavar="N", help="Model size, for the default utilisation.")] = None,
    grid: Annotated[str | None, typer.Option(metavar="NAME", help="Country or cloud region, for carbon.")] = None,
    to: Annotated[
        str | None, typer.Option(metavar="NAME", help="Insist on one result: gpu_hours, days, cost, …")
    ] = None,
) -> Answer:
    """Convert between FLOPs, PF-days, accelerator-hours, days on a cluster, money, energy and carbon."""
    from scaleplan import api
    from scaleplan.views.conversion import conversion_report

    result = api.convert(
        pf_days=pf_days, energy=energy, carbon=carbon, model_params=params, grid=grid, to=to, **words(budget)
    )
    rendering = Rendering(result.to_dict(), report=lambda: conversion_report(result))
    return Answer(rendering=rendering, notices=result.warnings)
