"""Writes the generated parts of the documentation: the help of every command, and the tables of what there is.

Used by cog in ``docs/reference`` and ``docs/guides/architectures.md``: ``bash docs/write`` rewrites them and what
commands print (``console.py``), and ``.ci/run`` fails when they no longer match the program.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    Node = dict[str, Any]

__all__ = ["families", "forms", "gpus", "index", "keys", "laws", "reference"]


def _run(arguments: list[str]) -> str:
    from scaleplan.__main__ import run

    out, err = io.StringIO(), io.StringIO()
    os.environ |= {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb", "XDG_CONFIG_HOME": "/nonexistent"}
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        run(arguments)
    return err.getvalue() + out.getvalue()


def reference() -> str:
    """Return the help of the program and of every command, as Markdown."""
    from scaleplan.cli.app import COMMANDS, build

    parts = []
    for words in [[], *([name] for name in COMMANDS)]:
        inner = getattr(build(words[0]), "commands", {}) if words else {}
        for path in [words, *([*words, name] for name in inner)]:
            title = " ".join(["scaleplan", *path])
            parts.append(f"## {title}\n\n```text\n{_run([*path, '--help-all']).rstrip()}\n```")
    return "\n\n".join(parts)


def families() -> str:
    """Return the table of model families, as Markdown."""
    from scaleplan.models.families.listing import family_list

    lines = ["| family | `model_type` | models |", "| --- | --- | --- |"]
    for each in family_list().families:
        types = ", ".join(f"`{name}`" for name in each.model_types)
        lines.append(f"| `{each.id}` | {types} | {each.title.replace('|', '/')} |")
    return "\n".join(lines)


def _table(columns: str, rows: Iterable[Sequence[str]]) -> str:
    """Return a table, as Markdown; nothing in its cells ends one."""
    heads = columns.split(", ")
    lines = [" | ".join(heads), " | ".join("---" for _ in heads)]
    lines += [" | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _span(bounds: Sequence[float] | None, written: Callable[[float], str]) -> str:
    return "not stated" if bounds is None else f"{written(bounds[0])} – {written(bounds[1])}"


def laws() -> str:
    """Return every law by its form, with its source and the range it was fitted on, as Markdown."""
    from scaleplan.planning.context import Context
    from scaleplan.units import format_count, format_flops

    presets = [preset.summary() for preset in Context().library.all()]
    parts = []
    for form in dict.fromkeys(sorted(preset.form for preset in presets)):
        rows = [
            (
                f"`{each.id}`",
                each.title,
                each.source,
                "yes" if each.allocates else "",
                "yes" if each.uncertainty is not None else "",
                _span(each.range.params, format_count),
                _span(each.range.tokens, format_count),
                _span(each.range.flops, lambda flops: format_flops(flops).removesuffix(" FLOP")),
            )
            for each in presets
            if each.form == form
        ]
        formula = next(each.formula for each in presets if each.form == form)
        table = _table("law, title, source, plans, intervals, parameters, tokens, FLOP", rows)
        parts.append(f"## {form}\n\n`{formula}`\n\n{table}")
    return "\n\n".join(parts)


def forms() -> str:
    """Return the functional forms with their formulas and coefficients, as Markdown."""
    from scaleplan.laws import LAWS, law_class

    classes = {name: law_class(name) for name in sorted(LAWS)}
    return _table(
        "form, formula, coefficients",
        (
            (f"`{name}`", f"`{found.formula}`", ", ".join(f"`{each.name}`" for each in fields(found)))
            for name, found in classes.items()
        ),
    )


def gpus() -> str:
    """Return every GPU with its main figures, as Markdown."""
    from scaleplan.planning.context import Context
    from scaleplan.units import format_gigabytes, format_number, format_usd_per_hour

    context = Context()
    rows = []
    for each in context.accelerators.all():
        peak = each.peaks.get("bf16") or each.peaks.get("fp16")
        price = context.prices.default(each.id)
        rows.append(
            (
                f"`{each.id}`",
                each.name,
                each.vendor,
                str(each.year),
                format_gigabytes(each.memory_bytes / 1e9),
                "" if peak is None else format_number(peak / 1e12, digits=4),
                "" if price is None else f"{format_usd_per_hour(price.usd_per_hour)} ({price.date})",
            )
        )
    return _table("id, name, vendor, year, memory, 16-bit TFLOP/s, price", rows)


def keys() -> str:
    """Return the keys of every result with their types, as Markdown."""
    from scaleplan.output.declared import result_schema
    from scaleplan.project.saved import RESULTS

    parts = []
    for name in sorted(RESULTS):
        schema = result_schema(name)
        about = schema.get("description", "").partition("\n")[0].replace("``", "`")
        rows = [
            (f"`{key}`", kind, note) for key, kind, note in _keys(schema, schema.get("$defs", {})) if key != "schema"
        ]
        parts.append(f"## {name}\n\n{about}\n\n{_table('key, type, meaning', rows)}")
    return "\n\n".join(parts)


def _keys(
    node: Node, records: Node, prefix: str = "", inside: tuple[str, ...] = ()
) -> Iterator[tuple[str, str, str]]:
    """Yield the keys of an object with their types; those of objects in it follow, with dotted names."""
    for name, value in node["properties"].items():
        kind, nested = _kind(value)
        yield f"{prefix}{name}", kind, value.get("description", "")
        if nested is not None and nested not in inside:
            dotted = f"{prefix}{name}{'[]' if kind.startswith('list') else ''}."
            yield from _keys(records[nested], records, dotted, (*inside, nested))


def _kind(value: Node) -> tuple[str, str | None]:
    """Return the type of a key in words, and the name of the record that it holds."""
    if "$ref" in value:
        return "object", value["$ref"].rpartition("/")[2]
    if "anyOf" in value:
        kinds = [_kind(each) for each in value["anyOf"] if each != {"type": "null"}]
        optional = " or null" if len(kinds) < len(value["anyOf"]) else ""
        record = next((record for _, record in kinds if record is not None), None)
        return " or ".join(dict.fromkeys(kind for kind, _ in kinds)) + optional, record
    if "const" in value or "enum" in value:
        return " or ".join(f"`{each}`" for each in value.get("enum", [value.get("const")])), None
    types = value.get("type", "any")
    if types == "array":
        items = value.get("items")
        kind, record = ("values", None) if not isinstance(items, dict) else _kind(items)
        return f"list of {kind}", record
    return " or ".join(types) if isinstance(types, list) else str(types), None


def index() -> None:
    """Write which file has which model types and classes beside the families, so that one is found without all."""
    from scaleplan.files import data_folder
    from scaleplan.models.families.finding import INDEX, index_of

    folder = data_folder() / "families"
    text = json.dumps(index_of(folder), indent=1, sort_keys=True)
    (folder / INDEX).write_text(f"{text}\n", encoding="utf-8")
