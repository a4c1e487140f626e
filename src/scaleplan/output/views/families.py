"""Reports of model families: the list, one with its fields and parts, and the verdicts on descriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.output import Fact, Report, ReportTable
from scaleplan.units import counted, format_count

if TYPE_CHECKING:
    from scaleplan.models.families.listing import CountedPart, FamilyList, FamilySummary, FamilyValidation

__all__ = ["families_report", "family_report", "validation_report"]


def families_report(result: FamilyList) -> Report:
    """Return the table of families."""
    rows = [(each.id, each.title) for each in result.families]
    types = len({name for each in result.families for name in each.model_types})
    return Report(
        title=f"{len(rows):,} families, {types:,} model types",
        grid=ReportTable(("family", "models"), rows=rows, text=("family", "models")),
        remarks=(
            "'scaleplan families show NAME' has the fields and parts of one, whose file is an example for your own",
        ),
    )


def validation_report(result: FamilyValidation) -> Report:
    """Return a verdict for each file."""
    columns = ("file", "verdict", "parameters", "name or problem")
    rows = [
        (
            each.file,
            "valid" if each.valid else "invalid",
            "" if each.params is None else f"{each.params:,}",
            ": ".join(filter(None, (each.id, each.problem))),
        )
        for each in result.files
    ]
    title = f"{counted(len(rows), 'file')}, {result.invalid} invalid"
    return Report(title=title, grid=ReportTable(columns, rows=rows, text={*columns} - {"parameters"}))


def family_report(family: FamilySummary) -> Report:
    """Return the fields that a family reads, its layers, and its parts: as described, or in numbers."""
    entries = {
        "model types": ", ".join(family.model_types),
        "like": family.like or "",
        **{"layers" if not index else "": text for index, text in enumerate(family.layers[:1])},
    }
    facts = [Fact(label, value, prose=True) for label, value in entries.items() if value]
    facts += [Fact("", text, prose=True) for text in family.layers[1:]]
    columns = ("name", "field of the config", "kind", "if it is left out")
    rows = [
        (
            each.name,
            " | ".join(each.spellings),
            each.kind,
            "refused" if each.required else each.default or "refused where it is used",
        )
        for each in family.fields
    ]
    if family.params is not None:
        facts.append(Fact("parameters", f"{family.params:,}", unit=format_count(family.params)))
        sections = [_numbers(part) for part in family.counted if part.atoms]
    else:
        sections = [Report(title=part.name, facts=[*map(_line, part.lines)]) for part in family.parts if part.lines]
    return Report(
        title=": ".join(filter(None, (family.id, family.title))),
        facts=facts,
        grid=ReportTable(columns, rows=rows, text=columns) if rows else None,
        remarks=(*family.sources, family.origin),
        sections=sections,
    )


def _line(text: str) -> Fact:
    """Return an atom, or a shorthand with its sizes, as it is described."""
    label, mark, value = text.partition(": ")
    return Fact(label, value, prose=True) if mark else Fact("", text, prose=True)


def _numbers(part: CountedPart) -> Report:
    """Return the tensors of a part, and how many layers have it."""
    rows = [
        (
            each.label if each.count == 1 else f"{each.count:,} experts: {each.label}",
            each.kind,
            f"{each.rows:,}" if each.columns == 1 else f"{each.rows:,} x {each.columns:,}",
            f"{each.params * each.count:,}",
        )
        for each in part.atoms
    ]
    where = (
        f"in {counted(part.layers, 'layer')}, one set of weights" if part.shared else counted(part.layers, "layer")
    )
    title = f"{part.name}: {where}, {part.params:,} weights" if part.layers else "outside of the layers"
    columns = ("tensor", "kind", "size", "weights")
    return Report(title=title, grid=ReportTable(columns, rows=rows, text={"tensor", "kind"}))
