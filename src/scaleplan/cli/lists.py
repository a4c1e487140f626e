"""The commands that show what ships with the program: scaling laws and accelerators."""

from __future__ import annotations

from typing import Annotated

import typer

from scaleplan.cli.command import Answer, command, group
from scaleplan.errors import UnknownNameError
from scaleplan.hardware.accelerators import AcceleratorList, Accelerators
from scaleplan.hardware.prices import Prices
from scaleplan.laws import LAWS
from scaleplan.presets.library import Library, PresetPaths
from scaleplan.presets.library import validate as validate_files
from scaleplan.presets.preset import PresetList

__all__ = ["APPS"]

_presets = group("The scaling laws: list, show, validate, path.")
_gpus = group("The accelerators: list, show.")

APPS = {"presets": _presets, "gpus": _gpus}

_Name = Annotated[str, typer.Argument(metavar="NAME", help="An id, an alias or a .toml file.")]


@command(_presets, "list", examples=["scaleplan presets list", "scaleplan presets list --form additive --json"])
def list_presets(
    *, form: Annotated[str | None, typer.Option(metavar="NAME", help="Only laws of this functional form.")] = None
) -> Answer:
    """List the scaling laws."""
    if form is not None and form not in LAWS:
        raise UnknownNameError("form", form, LAWS)
    presets = (preset.summary() for preset in Library().all() if form in (None, preset.form))
    return Answer(result=PresetList(presets=tuple(presets)))


@command(_presets, "show", examples=["scaleplan presets show chinchilla", "scaleplan presets show kaplan --json"])
def show(*, name: _Name) -> Answer:
    """Show one scaling law: coefficients, conventions, range, source, notes."""
    return Answer(result=Library().load(name).summary())


@command(_presets, "validate", examples=["scaleplan presets validate my-law.toml"])
def validate(*, files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Preset files.")]) -> Answer:
    """Check preset files; the exit status is 2 if any is invalid."""
    result = validate_files(files)
    return Answer(result=result, exit_status=2 if result.invalid else 0)


@command(_presets, "path", examples=["scaleplan presets path", "scaleplan presets path kaplan"])
def path(
    *,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="An id or an alias; the folders if not given.")
    ] = None,
) -> Answer:
    """Print the file of a scaling law, or the folders that are searched."""
    library = Library()
    found = map(str, library.folders) if name is None else [library.load(name).origin]
    return Answer(result=PresetPaths(paths=tuple(found)))


@command(_gpus, "list", examples=["scaleplan gpus list", "scaleplan gpus list --vendor amd --json"])
def list_gpus(
    *, vendor: Annotated[str | None, typer.Option(metavar="NAME", help="Only accelerators of this vendor.")] = None
) -> Answer:
    """List the accelerators, with dense peaks and default prices."""
    gpus = Accelerators().all()
    if vendor is not None:
        vendors = sorted({gpu.vendor for gpu in gpus})
        gpus = tuple(gpu for gpu in gpus if gpu.vendor.casefold() == vendor.casefold())
        if not gpus:
            raise UnknownNameError("vendor", vendor, vendors)
    prices = Prices()
    return Answer(result=AcceleratorList(gpus=tuple(gpu.priced(prices.default(gpu.id)) for gpu in gpus)))


@command(_gpus, "show", examples=["scaleplan gpus show h100", "scaleplan gpus show mi300x --json"])
def show_gpu(*, name: Annotated[str, typer.Argument(metavar="NAME", help="An id or an alias.")]) -> Answer:
    """Show one accelerator: peaks, memory, power, prices, sources."""
    gpu = Accelerators().get(name)
    return Answer(result=gpu.priced(Prices().default(gpu.id)))
