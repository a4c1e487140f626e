"""Choose fields of a result by name, in full or by the last parts, and write them in any format.

``gpu_hours`` stands for ``budget.gpu_hours`` where no other field ends so, and ``interval`` for all fields inside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.errors import UnknownNameError, UnreachableError, UsageError, quote
from scaleplan.output import load_part
from scaleplan.output.data import flat, plain, render_header, render_json, render_jsonl, render_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from scaleplan.output import Rendering

__all__ = [
    "OPEN",
    "Choice",
    "bare_value",
    "bare_values",
    "chosen",
    "declared",
    "names_in",
    "resolve",
    "resolve_all",
    "split_names",
    "take",
    "write_fields",
]

OPEN = ".*"
"""The end of the name of a field that may hold anything: which fields are inside it is not declared."""

_SHOWN = 6  # names in a hint

Declared = tuple[list[str], list[str]]


def split_names(text: str) -> list[str]:
    """Return the names in a list with commas, each once; raises UsageError for an empty one."""
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise UsageError(f"{quote(text)} has an empty name", hint="give names with commas: params,tokens,loss")
    return list(dict.fromkeys(names))


def names_in(record: Mapping[str, object]) -> list[str]:
    """Return the dotted names of the fields of a record."""
    return [name for name, _ in flat(record)]


def resolve(name: str, at_hand: Iterable[str], declared: Callable[[], Iterable[str]] = tuple) -> tuple[str, ...]:
    """Return the full names of the fields that a name stands for: one, or all that are inside it.

    ``at_hand`` are the names in the result, and ``declared`` gives those that a result of its kind may have, which
    count where the former have none of this name. Raises UsageError for a name that stands for several fields,
    UnknownNameError for one that stands for none.
    """
    names = list(at_hand)
    found = _matches(name, names)
    if not found:
        present, names = names, list(declared())
        found = _matches(name, names) or [name] * _is_inside_open(name, names)
        if not found:
            closed = (each for each in names if not each.endswith(OPEN))
            raise UnknownNameError("field", name, dict.fromkeys((*present, *closed)), listing="--json")
    if len(found) > 1:
        raise UsageError(
            f"{quote(name)} is the name of several fields", hint=f"name one of {', '.join(found[:_SHOWN])}"
        )
    (full,) = found
    inside = tuple(each for each in names if each.startswith(f"{full}.") and not each.endswith(OPEN))
    return (full,) if full in names or not inside else inside


def resolve_all(
    names: Iterable[str], at_hand: Iterable[str], declared: Callable[[], Iterable[str]] = tuple
) -> tuple[str, ...]:
    """Return the full names of the fields that some names stand for, each once."""
    present = list(at_hand)
    return tuple(dict.fromkeys(full for name in names for full in resolve(name, present, declared)))


def _matches(name: str, names: Sequence[str]) -> list[str]:
    """Return the name itself where it is that of a field or a group; else the fields, or the groups, that end so."""
    if any(each == name or each.startswith(f"{name}.") for each in names):
        return [name]
    if fields := [each for each in names if each.endswith(f".{name}")]:
        return fields
    end = f".{name}."
    places = ((each, f"{each}.".find(end)) for each in names)
    return list(dict.fromkeys(each[: place + len(end) - 1] for each, place in places if place >= 0))


def _is_inside_open(name: str, names: Iterable[str]) -> bool:
    return any(each.endswith(OPEN) and name.startswith(each.removesuffix("*")) for each in names)


def take(record: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401  whatever stands there
    """Return the value of a field by its dotted name, as it stands in the record; None where there is none."""
    if name in record:
        return record[name]
    for key, value in record.items():
        if name.startswith(f"{key}."):
            rest = name.removeprefix(f"{key}.")
            if isinstance(value, dict):
                found = take(value, rest)
                if found is not None:
                    return found
            elif isinstance(value, list) and len(value) == 2 and rest in ("low", "high"):
                return value[rest == "high"]
    return None


class Choice(NamedTuple):
    """Fields of a result by their full names, and the records that have them; ``single`` for one that has no rows."""

    names: tuple[str, ...]
    records: Sequence[Mapping[str, Any]]
    single: bool

    def write(self, form: str, width: int | None = None) -> str:
        """Return the fields in a format: nested as in the result for JSON, else one column a field."""
        if form == "json":
            parts = [_part(record, self.names) for record in self.records]
            return render_json(parts[0] if self.single else parts)
        if form == "jsonl":
            return render_jsonl({name: take(record, name) for name in self.names} for record in self.records)
        if form in ("csv", "tsv"):
            delimiter = "," if form == "csv" else "\t"
            rows = render_rows(self.records, self.names, delimiter=delimiter)
            return render_header(self.names, delimiter=delimiter) + rows
        if form not in ("text", "markdown"):
            raise UsageError(f"format '{form}' has no fields", hint="choose text, json, jsonl, csv, tsv or markdown")
        written: str = load_part("views.fields:fields_table")(self, form, width)
        return written


def _part(record: Mapping[str, Any], names: Iterable[str]) -> dict[str, object]:
    """Return the part of a record that has some fields, nested alike; one end of a pair brings the other."""
    part: dict[str, object] = {}
    for name in names:
        whole, inside = record, part
        rest = name
        while rest not in whole:
            key = next((key for key in whole if rest.startswith(f"{key}.")), None)
            if key is None:
                break
            rest = rest.removeprefix(f"{key}.")
            if not isinstance(whole[key], dict):
                inside[key] = whole[key]
                break
            whole, inside = whole[key], inside.setdefault(key, {})  # type: ignore[assignment]
        else:
            inside[rest] = whole[rest]
    return part


def declared(schema: object) -> Declared:
    """Return the names of the fields that a kind of result may have, and those of its rows, by its schema."""
    found: Declared = load_part("declared:names_of")(schema)
    return found


def chosen(rendering: Rendering, names: Sequence[str]) -> Choice:
    """Return some fields of a result: its own, or those of its rows, beside which its own are repeated."""
    schema = rendering.data.get("schema")
    own = names_in(rendering.data)
    of_result = (own, lambda: declared(schema)[0])
    if not rendering.has_rows:
        return Choice(resolve_all(names, *of_result), [rendering.data], single=True)
    in_rows = list(dict.fromkeys(name for record in rendering.records for name in names_in(record)))
    of_rows = (in_rows, lambda: declared(schema)[1])
    for scope in (of_result, of_rows) if rendering.whole else (of_rows, of_result):
        try:
            full = resolve_all(names, *scope)
        except UnknownNameError:
            continue
        is_own = scope is of_result
        return Choice(full, [rendering.data] if is_own else rendering.records, single=is_own)
    full = resolve_all(names, [*in_rows, *own], lambda: [*declared(schema)[1], *declared(schema)[0]])
    beside = {name: take(rendering.data, name) for name in full if name in own and name not in in_rows}
    return Choice(full, [{**record, **beside} for record in rendering.records], single=False)


def write_fields(rendering: Rendering, names: str, form: str, width: int | None = None) -> str:
    """Return the fields of a result that a list with commas names, in a format."""
    return chosen(rendering, split_names(names)).write(form, width)


def bare_values(rendering: Rendering, name: str) -> Iterator[str]:
    """Yield the bare value of one field of the result, or of each of its rows, a line each.

    Raises UsageError for a field of the rows of a result that is an answer beside them.
    """
    choice = chosen(rendering, [name])
    if rendering.whole and not choice.single:
        own = ", ".join(
            key for key, value in rendering.data.items() if not isinstance(value, list) and key != "schema"
        )
        raise UsageError(
            f"'{name}' has a value in each of {len(rendering.records)} rows",
            hint=f"--format csv prints them; of the whole answer there are {own}",
        )
    for record in choice.records:
        yield f"{bare_value(record, name, choice.names)}\n"


def bare_value(record: Mapping[str, Any], name: str, full: Sequence[str]) -> str:
    """Return one bare value of a record; ``full`` are the fields that the name stands for.

    Raises UsageError when it stands for several; UnreachableError when the field is null: a script must not go on
    with an empty number.
    """
    if len(full) > 1:
        raise UsageError(f"'{name}' holds several values", hint=f"name one of {', '.join(full)}")
    value = dict(flat(record)).get(full[0])
    if value is None:
        raise UnreachableError(f"'{name}' is not available for this answer", hint="--json shows what is, and why")
    return plain(value)
