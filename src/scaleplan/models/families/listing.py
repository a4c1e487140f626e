"""List the families, show one with its fields and parts, and check descriptions of a user's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from scaleplan.errors import ScaleplanError, UnknownNameError
from scaleplan.models.architecture import Atom
from scaleplan.models.config import NAMES
from scaleplan.models.families.expansion import expand
from scaleplan.models.families.finding import families, read_description
from scaleplan.models.model import Model, describe, read_model
from scaleplan.record import Record, Result

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scaleplan.models.architecture import Part
    from scaleplan.models.families.description import Description

__all__ = [
    "CountedAtom",
    "CountedPart",
    "FamilyEntry",
    "FamilyField",
    "FamilyList",
    "FamilyPart",
    "FamilySummary",
    "FamilyValidation",
    "ValidatedFamily",
    "family_list",
    "family_summary",
    "validate_families",
]


class FamilyEntry(Record):
    """A family in a list."""

    id: str
    title: str
    model_types: tuple[str, ...]
    like: str | None
    """The family over which this one is laid."""


class FamilyList(Result, Record):
    """All families that are described."""

    schema: ClassVar[str] = "scaleplan/families/1"

    families: tuple[FamilyEntry, ...]


class FamilyField(Record):
    """A field of a config that a family reads."""

    name: str
    """Its name in the expressions of the description."""
    kind: str
    spellings: tuple[str, ...]
    """The names under which a config may state it."""
    default: str | None
    """The expression that stands for it where a config leaves it out."""
    required: bool
    """Whether a config without it is refused."""


class FamilyPart(Record):
    """A part of a layer as it is described."""

    name: str
    lines: tuple[str, ...]


class CountedAtom(Record):
    """One tensor of a part, in numbers."""

    label: str
    kind: str
    rows: int
    columns: int
    params: int
    """Weights of one, its bias among them."""
    count: int
    """How many there are: the experts of a layer."""


class CountedPart(Record):
    """A part of a model in numbers; the tables and what else stands outside of the layers are the part ``model``."""

    name: str
    layers: int
    """How many layers have it; 0 outside of the layers."""
    shared: bool
    params: int
    """Weights of one, all experts among them."""
    atoms: tuple[CountedAtom, ...]


class FamilySummary(Result, Record):
    """A model family: what it reads of a config, and what its layers are made of."""

    schema: ClassVar[str] = "scaleplan/family/1"

    id: str
    title: str
    model_types: tuple[str, ...]
    classes: tuple[str, ...]
    like: str | None
    fields: tuple[FamilyField, ...]
    layers: tuple[str, ...]
    """The layers in order, a stack a line."""
    parts: tuple[FamilyPart, ...]
    sources: tuple[str, ...]
    origin: str
    """The file that describes it."""
    config: str | None = None
    """The config whose numbers ``counted`` are."""
    params: int | None = None
    counted: tuple[CountedPart, ...] = ()


class ValidatedFamily(Record):
    """A file that should describe an architecture: its name and, where sizes are known, its parameters."""

    file: str
    valid: bool
    id: str | None
    params: int | None
    problem: str | None


class FamilyValidation(Result, Record):
    """Files that should describe architectures, and how many do not."""

    schema: ClassVar[str] = "scaleplan/family-validation/1"

    invalid: int
    files: tuple[ValidatedFamily, ...]


def family_list() -> FamilyList:
    """Return every family, bundled or the user's own."""
    library = families()
    entries = []
    for name in sorted(library.files()):
        found = library.load(name)
        entries.append(FamilyEntry(id=name, title=found.title, model_types=found.model_types, like=found.like))
    return FamilyList(families=tuple(entries))


def family_summary(name: str, *, config: str | Path | None = None) -> FamilySummary:
    """Return one family, by its name, one of its model types or its file; with the numbers of a config if given."""
    found = _found(name)
    model = None if config is None else read_model(config, arch=name)
    return FamilySummary(
        id=found.name,
        title=found.title,
        model_types=found.model_types,
        classes=found.classes,
        like=found.like,
        fields=tuple(_fields(found)),
        layers=tuple(_layers(found)),
        parts=tuple(FamilyPart(name=part, lines=tuple(_lines(found.parts[part]))) for part in found.reached()),
        sources=found.sources,
        origin=found.source,
        config=None if model is None else model.source,
        params=None if model is None else model.params,
        counted=() if model is None else tuple(_counted(model)),
    )


def validate_families(files: Sequence[str], *, config: str | None = None) -> FamilyValidation:
    """Read each file as a description, and return what is wrong with those that are none.

    A description is counted by ``config``, or by its own sizes where it needs no field of a config.
    """
    found = []
    for file in files:
        name, params, problem = None, None, None
        try:
            description = read_description(Path(file))
            name = description.name
            if config is not None:
                params = read_model(config, arch=str(Path(file).absolute())).params
            elif not any(field.required for field in _fields(description)):
                params = describe(expand(description), source=file).params
        except ScaleplanError as error:
            problem = error.message
        found.append(ValidatedFamily(file=file, valid=problem is None, id=name, params=params, problem=problem))
    return FamilyValidation(invalid=sum(not each.valid for each in found), files=tuple(found))


def _found(name: str) -> Description:
    if name.endswith(".toml"):
        return read_description(Path(name))
    library = families()
    found = library.named(name)
    if found is None:
        known = {*library.files(), *library.model_types()}
        raise UnknownNameError("family", name, sorted(known), listing="scaleplan families list")
    return found


def _fields(found: Description) -> Iterator[FamilyField]:
    """Yield the fields that the layers use, those that must be there first."""
    specs = [(name, spec) for name, spec in found.fields.items() if found.uses(name)]
    for name, spec in sorted(specs, key=lambda pair: pair[1].default is not None or pair[1].needed):
        spellings = tuple(spelling for each in spec.names for spelling in NAMES.get(each, (each,)))
        own = next((found.defaults[spelling] for spelling in spellings if spelling in found.defaults), None)
        default = spec.default if own is None else _text(own)
        required = default is None and not spec.needed and spec.kind != "present"
        yield FamilyField(name=name, kind=spec.kind, spellings=spellings, default=default, required=required)


def _layers(found: Description) -> Iterator[str]:
    for stack in found.stacks:
        repeat = stack.get("repeat", 1)
        many = "" if repeat == 1 else f"{repeat} x "
        yield many + "; ".join(_item(item) for item in stack["layers"])


def _item(item: object) -> str:
    """Return one item of a layer as text: a part, several, or a choice."""
    if isinstance(item, list):
        return ", ".join(_item(one) for one in item)
    if not isinstance(item, dict):
        return str(item)
    if "by" in item:
        cases = [f"{_item(one) or 'nothing'} for {key}" for key, one in item.items() if key != "by"]
        return f"({', '.join(cases)}; by {item['by']})"
    other = _item(item.get("else", ""))
    return f"({_item(item['then'])} if {item['if']}{f', else {other}' if other else ''})"


def _lines(part: dict[str, object]) -> Iterator[str]:
    """Yield the lines of a part as they are described."""
    for key, value in part.items():
        if key == "atoms" and isinstance(value, list):
            yield from map(str, value)
        elif key == "parts" and isinstance(value, list):
            yield f"includes {', '.join(_included(item) for item in value)}"
        elif isinstance(value, dict):
            inner = [f"{name} = {_text(entry)}" for name, entry in value.items()]
            yield f"{key}: {', '.join(inner)}"
        else:
            yield f"{key} = {_text(value)}"


def _included(item: object) -> str:
    return f"{item['part']} x {item.get('times', 1)}" if isinstance(item, dict) else str(item)


def _text(value: object) -> str:
    if isinstance(value, list):
        return f"[{'; '.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _counted(model: Model) -> Iterator[CountedPart]:
    """Yield the parts of a model in numbers, equal ones once."""
    a = model.architecture
    found: dict[Part, int] = {}
    for many, part in a.parts():
        found[part] = found.get(part, 0) + many
    outside = [Atom("word table", "table", a.vocab, a.table_width), *a.atoms]
    if not a.tied:
        outside.append(Atom("output head", "matrix", a.head_width, a.head_rows, a.head_bias))
    elif a.head_bias:
        outside.append(Atom("bias of the output head", "vector", a.head_bias))
    yield CountedPart(
        name="model",
        layers=0,
        shared=False,
        params=sum(atom.params for atom in outside),
        atoms=tuple(_atom(atom) for atom in outside),
    )
    for part, many in found.items():
        atoms = [_atom(atom) for atom in part.atoms]
        if part.experts:
            atoms += [_atom(atom, count=part.experts.count) for atom in part.experts.atoms]
        yield CountedPart(name=part.name, layers=many, shared=part.shared, params=part.params, atoms=tuple(atoms))


def _atom(atom: Atom, *, count: int = 1) -> CountedAtom:
    return CountedAtom(
        label=atom.label, kind=atom.kind, rows=atom.rows, columns=atom.columns, params=atom.params, count=count
    )
