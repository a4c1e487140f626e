"""The commands about scaling laws: list, show, validate, path."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scaleplan.cli.command import Answer, command, group
from scaleplan.errors import ScaleplanError, UnknownNameError
from scaleplan.formats import Rendering
from scaleplan.laws import LAWS
from scaleplan.presets.library import Library
from scaleplan.presets.reader import read_preset

if TYPE_CHECKING:
    from scaleplan.formats.report import Report

__all__ = ["APPS"]

_app = group("The scaling laws: list, show, validate, path.")
APPS = {"presets": _app}

_Name = Annotated[str, typer.Argument(metavar="NAME", help="An id, an alias or a .toml file.")]


@command(_app, "list", examples=["scaleplan presets list", "scaleplan presets list --form additive --json"])
def list_presets(
    *, form: Annotated[str | None, typer.Option(metavar="NAME", help="Only laws of this functional form.")] = None
) -> Answer:
    """List the scaling laws."""
    from scaleplan.views.preset import presets_report

    if form is not None and form not in LAWS:
        raise UnknownNameError("form", form, LAWS)
    presets = [preset for preset in Library().all() if form in (None, preset.form)]
    records = [preset.to_dict() for preset in presets]
    data: dict[str, object] = {"schema": "scaleplan/presets/1", "presets": records}
    return Answer(rendering=Rendering(data, records=records, report=lambda: presets_report(presets)))


@command(_app, "show", examples=["scaleplan presets show chinchilla", "scaleplan presets show kaplan --json"])
def show(*, name: _Name) -> Answer:
    """Show one scaling law: coefficients, conventions, range, source, notes."""
    from scaleplan.views.preset import preset_report

    preset = Library().load(name)
    return Answer(rendering=Rendering(preset.to_dict(), report=lambda: preset_report(preset)))


@command(_app, "validate", examples=["scaleplan presets validate my-law.toml"])
def validate(*, files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Preset files.")]) -> Answer:
    """Check preset files; the exit status is 2 if any is invalid."""
    from scaleplan.formats.report import Grid, Report

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
        return Report(title=title, grid=Grid(columns=columns, rows=rows, text=frozenset(columns)))

    data: dict[str, object] = {"schema": "scaleplan/validation/1", "invalid": bad, "files": records}
    return Answer(rendering=Rendering(data, records=records, report=report), exit_status=2 if bad else 0)


@command(_app, "path", examples=["scaleplan presets path", "scaleplan presets path kaplan"])
def path(
    *,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="An id or an alias; the folders if not given.")
    ] = None,
) -> Answer:
    """Print the file of a scaling law, or the folders that are searched."""
    from scaleplan.formats.report import Report

    found = [str(folder) for folder in Library().folders] if name is None else [Library().load(name).origin]
    records: list[dict[str, object]] = [{"path": place} for place in found]
    data: dict[str, object] = {"schema": "scaleplan/paths/1", "paths": found}
    return Answer(rendering=Rendering(data, records=records, report=lambda: Report(title="", lines=tuple(found))))
