"""The commands that show what ships with the program: scaling laws and accelerators."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scaleplan.cli.command import Answer, command, group
from scaleplan.errors import ScaleplanError, UnknownNameError
from scaleplan.hardware.accelerators import Accelerators
from scaleplan.hardware.prices import Prices
from scaleplan.laws import LAWS
from scaleplan.output import Rendering
from scaleplan.output.report import Report, ReportTable
from scaleplan.output.views.lists import gpu_report, gpus_report, preset_report, presets_report
from scaleplan.presets.library import Library
from scaleplan.presets.reader import read_preset

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
    presets = [preset for preset in Library().all() if form in (None, preset.form)]
    records = [preset.to_dict() for preset in presets]
    data: dict[str, object] = {"schema": "scaleplan/presets/1", "presets": records}
    return Answer(rendering=Rendering(data, records=records, report=lambda: presets_report(presets)))


@command(_presets, "show", examples=["scaleplan presets show chinchilla", "scaleplan presets show kaplan --json"])
def show(*, name: _Name) -> Answer:
    """Show one scaling law: coefficients, conventions, range, source, notes."""
    preset = Library().load(name)
    return Answer(rendering=Rendering(preset.to_dict(), report=lambda: preset_report(preset)))


@command(_presets, "validate", examples=["scaleplan presets validate my-law.toml"])
def validate(*, files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Preset files.")]) -> Answer:
    """Check preset files; the exit status is 2 if any is invalid."""
    records: list[dict[str, object]] = []
    for file in files:
        try:
            preset = read_preset(Path(file))
            records.append({"file": file, "valid": True, "id": preset.id, "problem": None})
        except ScaleplanError as error:
            records.append({"file": file, "valid": False, "id": None, "problem": error.message})
    bad = sum(not record["valid"] for record in records)

    def report() -> Report:
        rows = tuple(
            (str(r["file"]), "valid" if r["valid"] else "invalid", str(r["problem"] or r["id"])) for r in records
        )
        columns = ("file", "verdict", "id or problem")
        title = f"{len(records)} files, {bad} invalid"
        return Report(title=title, grid=ReportTable(columns=columns, rows=rows, text=frozenset(columns)))

    data: dict[str, object] = {"schema": "scaleplan/validation/1", "invalid": bad, "files": records}
    return Answer(rendering=Rendering(data, records=records, report=report), exit_status=2 if bad else 0)


@command(_presets, "path", examples=["scaleplan presets path", "scaleplan presets path kaplan"])
def path(
    *,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="An id or an alias; the folders if not given.")
    ] = None,
) -> Answer:
    """Print the file of a scaling law, or the folders that are searched."""
    found = [str(folder) for folder in Library().folders] if name is None else [Library().load(name).origin]
    records: list[dict[str, object]] = [{"path": place} for place in found]
    data: dict[str, object] = {"schema": "scaleplan/paths/1", "paths": found}
    return Answer(rendering=Rendering(data, records=records, report=lambda: Report(title="", lines=tuple(found))))


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
    defaults = {gpu.id: prices.default(gpu.id) for gpu in gpus}
    records = [gpu.to_dict(price=defaults[gpu.id]) for gpu in gpus]
    data: dict[str, object] = {"schema": "scaleplan/gpus/1", "gpus": records}
    return Answer(rendering=Rendering(data, records=records, report=lambda: gpus_report(gpus, defaults)))


@command(_gpus, "show", examples=["scaleplan gpus show h100", "scaleplan gpus show mi300x --json"])
def show_gpu(*, name: Annotated[str, typer.Argument(metavar="NAME", help="An id or an alias.")]) -> Answer:
    """Show one accelerator: peaks, memory, power, prices, sources."""
    gpu, prices = Accelerators().get(name), Prices()
    default = prices.default(gpu.id)
    return Answer(
        rendering=Rendering(
            gpu.to_dict(price=default), report=lambda: gpu_report(gpu, prices.listed(gpu.id), default)
        )
    )
