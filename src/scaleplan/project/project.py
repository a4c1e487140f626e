"""Read ``scaleplan.toml`` (or ``[tool.scaleplan]``): the runs of a project and the policy that they are to keep.

::

    [defaults]                           # settings of every command
    [[run]]
    name = "base"
    from = "configs/train.yaml"          # the file that the key paths below lead into
    model = "configs/model.json"         # or params = "7B", or a budget: flops, gpu_hours, time, cost
    tokens = { batch = "data.batch", sequence = "data.length", steps = "trainer.steps" }
    gpus = { key = ["cluster.nodes", "cluster.devices"] }    # several keys are multiplied
    [policy]                             # limits on every run, and on one in [run.policy]
    error = ["cost <= 250k USD"]
    warn = [{ limit = "tokens_per_param >= 20", message = "inference will cost more" }]

Any amount or name may be ``{ key = "…" }``, with a ``from`` of its own. In ``tokens`` a text is a key path and a
number is itself; each factor may be a list, which is multiplied. What a config leaves open is an error with its
place.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, ClassVar

from scaleplan.errors import FileError, QuantityError, ScaleplanError, UsageError, did_you_mean, escape_control, quote
from scaleplan.planning.constraints import constraint_options
from scaleplan.planning.request import SETTINGS, option_names
from scaleplan.project.document import DataDocument, located, parse_document
from scaleplan.project.key_path import Location, Undetermined, format_key, parse_key
from scaleplan.project.source import WorkTree, display_name, inside
from scaleplan.record import Record, Result
from scaleplan.toml_table import Table
from scaleplan.units import parse_count
from scaleplan.units.limits import Limit, parse_limit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from scaleplan.project.key_path import Document, Key
    from scaleplan.project.source import Tree

__all__ = [
    "AMOUNTS",
    "TEXTS",
    "Configs",
    "Given",
    "PolicyRule",
    "Project",
    "Run",
    "UnreadProject",
    "is_readable",
    "read_project",
    "read_projects",
    "run_names",
    "where",
]

_HARDWARE = option_names("hardware")
_NAMES = ("gpu", "precision", "profile")  # what of the hardware is a name

AMOUNTS = (*option_names("budget", "sides"), *(name for name in _HARDWARE if name not in _NAMES))
"""The keys of a run that are amounts, beside the options of constraints."""

TEXTS = ("model", "preset", *_NAMES, "grid", "batch_regime")
"""The keys of a run that are names."""

_SHAPES = ({"batch", "sequence", "steps"}, {"batch_tokens", "steps"})

_TOKENS = "expected an amount, { key = … }, { batch = …, sequence = …, steps = … } or { batch_tokens = …, steps = … }"


class NewProject(Result, Record):
    """A project's file that was written to start from."""

    schema: ClassVar[str] = "scaleplan/init/1"

    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A value of a run, every place that it came from, and the text or number that stands at each.

    ``foreign`` is whether another file than the project's own holds it.
    """

    value: str | float
    places: tuple[Location, ...]
    texts: tuple[str | float, ...] = ()
    foreign: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lookup:
    """A value to be read at a key path of another file; ``role`` is what the run takes it for."""

    file: str
    key: Key
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """A value, or several to be multiplied, and where the run gives it."""

    factors: tuple[str | float | _Lookup, ...]
    place: Location
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as its project's file describes it; :meth:`read` reads the files it points into."""

    name: str
    file: str
    line: int | None
    folder: Path
    limits: tuple[str, ...]
    sources: Mapping[str, _Source]

    def read(self, configs: Configs) -> dict[str, Given]:
        """Return the values of the run by key, each with its places.

        Raises FileError when a file cannot be read, has no such key, or holds no such value.
        """
        return {option: configs.given(option, source, folder=self.folder) for option, source in self.sources.items()}


class Configs:
    """The training configs that runs point into, each read once from a tree of files."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._documents: dict[Path, Document | FileError] = {}

    def given(self, option: str, source: _Source, *, folder: Path) -> Given:
        """Return the value of a source; several factors are multiplied."""
        if len(source.factors) == 1 and not isinstance(source.factors[0], _Lookup):
            value = source.factors[0]
            return Given(value=value, places=(source.place,), texts=(value,))
        parts = [
            self._look(factor, folder) if isinstance(factor, _Lookup) else _Part(role, factor, (source.place,))
            for factor, role in zip(source.factors, source.roles, strict=True)
        ]
        places = tuple(dict.fromkeys(place for part in parts for place in part.places))
        texts = {place: part.value for part in reversed(parts) for place in part.places}
        if len(parts) > 1 or option in ("tokens", "unique_tokens"):
            value = _product([part.read(option) for part in parts])
        else:
            value = parts[0].value
        foreign = any(isinstance(factor, _Lookup) for factor in source.factors)
        return Given(value=value, places=places, texts=tuple(texts[place] for place in places), foreign=foreign)

    def document(self, path: Path, *, folder: Path, what: str) -> Document:
        """Return the parsed file at a path that a run in ``folder`` names; raises FileError, each time the same."""
        document = self._documents.get(path)
        if document is None:
            try:
                text = self.tree.text(inside(path, folder=folder, what=what), what=what)
                document = parse_document(text, name=display_name(path))
            except FileError as error:
                document = error
            self._documents[path] = document
        if isinstance(document, FileError):
            raise FileError(document.message, hint=document.hint, file=document.file, line=document.line)
        return document

    def _look(self, lookup: _Lookup, folder: Path) -> _Part:
        document = self.document(folder / lookup.file, folder=folder, what="config")
        found = document.find(lookup.key)
        shown = escape_control(format_key(lookup.key))
        if found is None:
            raise FileError(
                f"{document.name}: there is no key {quote(shown)}",
                hint=_alternative(document, lookup.key),
                file=document.name,
            )
        places = [Location(file=document.name, line=found.line, key=shown)]
        if found.origin is not None:
            key, line = found.origin
            places.append(Location(file=document.name, line=line, key=escape_control(format_key(key))))
        value, reason = found.value, None
        if isinstance(value, Undetermined):
            reason = value.reason
        elif isinstance(value, bool) or not isinstance(value, str | int | float):
            reason = f"expected an amount, found {_KINDS.get(type(value), 'something else')}"
        elif str(value).strip().casefold() in _LEFT_OPEN:
            reason = f"{quote(value)} leaves it to the run"
        elif not isinstance(value, str) and not value > 0:
            reason = "the number is not above 0, and leaves the value to the run"
        if reason is not None:
            raise FileError(
                f"{where(places[0])}: not determined by the file: {reason}",
                hint="give the amount itself in the project's file",
                file=document.name,
                line=found.line,
            )
        assert isinstance(value, str | int | float)
        return _Part(lookup.role, value, tuple(places), foreign=True)


_KINDS = {dict: "a table", list: "a list", bool: "true or false", type(None): "nothing"}

_LEFT_OPEN = ("", "auto", "none", "null", "???", "-1", "max", "inf")
"""What configs write in place of an amount that the run finds when it starts; ``???`` is OmegaConf's missing."""

_DURATION = re.compile(r"(?P<numeral>[0-9][0-9_,.]*(?:[eE][+-]?[0-9]+)?) ?(?P<unit>[A-Za-z]+)")

_UNITS = {"ba": "steps", "tok": "tokens", "sp": "samples"}
"""The units of a length of training that are amounts, by Composer's abbreviations (llm-foundry, OLMo)."""

_OPEN_UNITS = {
    "ep": "passes over the data, whose size is not in this file",
    "dur": "a share of the training's own length",
    "iter": "iterations, whose length is not in this file",
    **dict.fromkeys(("s", "sec", "min", "h", "hr", "d"), "a time, in which the tokens depend on the speed"),
}

_OWN_UNITS = {"batch": "samples", "sequence": "tokens", "batch_tokens": "tokens", "steps": "steps", "key": "tokens"}
"""What the number of a role counts: the unit that it may name, and need not."""

_READABLE = re.compile(
    r"[+-]?[0-9][0-9_,.]*(?:[eE][+-]?[0-9]+)? ?(?:[A-Za-z]{1,3}|thousand|million|billion|trillion)?"
)


def is_readable(text: str) -> bool:
    """Return whether a message may quote a text of another file: an amount, well written or not, but no secret."""
    return len(text) <= 40 and _READABLE.fullmatch(text.strip()) is not None


@dataclass(frozen=True, slots=True)
class _Part:
    """One factor of a value: what it is taken for, what stands there, and where."""

    role: str
    value: str | float
    places: tuple[Location, ...]
    foreign: bool = False

    def read(self, option: str) -> tuple[str, float, _Part]:
        """Return what the factor counts, and how many.

        Raises FileError at its place for a text that is no amount, or an amount of something else.
        """
        unit, text = _OWN_UNITS[self.role], self.value
        duration = _DURATION.fullmatch(text.strip()) if isinstance(text, str) and option == "tokens" else None
        if duration is not None and duration["unit"] in _OPEN_UNITS:
            raise self.error(
                f"not determined by the file: {quote(text)} is {_OPEN_UNITS[duration['unit']]}",
                hint="give the tokens in the project's file, or a key that holds them",
            )
        if duration is not None and duration["unit"] in _UNITS:
            unit, text = _UNITS[duration["unit"]], duration["numeral"]
        try:
            number = parse_count(text, what="tokens")
        except QuantityError as error:
            if self.foreign and not is_readable(str(text)):
                raise self.error("no amount that can be read", hint="for example 1024, 2e12 or 1.4T") from None
            raise self.error(error.message, hint=error.hint) from None
        if unit != _OWN_UNITS[self.role] and not (self.role == "steps" and unit in ("tokens", "samples")):
            raise self.error(
                f"{quote(self.value)} counts {unit} where {_OWN_UNITS[self.role]} are expected",
                hint="tokens = { batch = …, sequence = …, steps = … } multiplies a length in steps or samples",
            )
        return unit, number, self

    def error(self, message: str, *, hint: str | None) -> FileError:
        """Return an error at the place of this factor."""
        place = self.places[0]
        return FileError(f"{where(place)}: {message}", hint=hint, file=place.file, line=place.line)


def _product(parts: Sequence[tuple[str, float, _Part]]) -> float:
    """Return the tokens of batch, sequence and steps; a length in samples or tokens has the batch in it already."""
    lengths = [(unit, part) for unit, _, part in parts if part.role == "steps" and unit != "steps"]
    if lengths and sum(part.role == "steps" for _, _, part in parts) > 1:
        raise lengths[0][1].error("a length in samples or tokens is not multiplied", hint="name it alone, as steps")
    counted = {"samples": ("sequence", "steps"), "tokens": ("steps",)}.get(lengths[0][0] if lengths else "")
    if lengths and counted is not None and "sequence" in counted and not any(p.role == "sequence" for *_, p in parts):
        raise lengths[0][1].error("a length in samples needs the sequence", hint="give batch, sequence and steps")
    return prod(number for _, number, part in parts if counted is None or part.role in counted)


def where(place: Location) -> str:
    """Write a place as the beginning of a message: file, line where that is known, and key."""
    return f"{place.file}:{place.line}: {place.key}" if place.line else f"{place.file}: {place.key}"


def _alternative(document: Document, key: Key) -> str | None:
    """Return a hint on the first part of a key path that the document does not have."""
    for length in range(len(key)):
        if document.find(key[: length + 1]) is None:
            names = document.names(key[:length])
            close = did_you_mean(str(key[length]), names)
            if close is not None:
                return f"did you mean {quote(format_key((*key[:length], close)))}?"
            inside_of = f"in {quote(format_key(key[:length]))}" if length else "at the top"
            return f"{inside_of} there is: {', '.join(map(escape_control, names[:20]))}" if names else None
    return None


def _read_run(
    table: Table, document: DataDocument, key: Key, *, defaults: Mapping[str, str | float], folder: Path
) -> Run:
    """Return the run of a ``[[run]]`` table at a key path of a document, with the defaults that it takes over.

    Raises FileError for keys that are unknown, missing, or of the wrong shape.
    """
    reader = _RunReader(table, document, key)
    sources = {}
    for option in (*AMOUNTS, *(each.name for each in constraint_options()), *TEXTS):
        value = table.raw(option)  # known, whether it is there or not: the hint on an unknown key lists it
        if option in table:
            sources[option] = reader.source(option, value)
        elif option in defaults:
            sources[option] = reader.default(option, defaults[option])
    if "params" in table and "model" in table:
        raise table.error("model", "a run has params or a model, not both")
    table.text("from", "")
    table.raw("policy")
    return Run(
        name=table.text("name"),
        file=table.source,
        line=document.lines.get(key),
        folder=folder,
        limits=table.texts("limit", ()),
        sources=sources,
    )


class _RunReader:
    def __init__(self, table: Table, document: DataDocument, key: Key) -> None:
        self.table = table
        self.document = document
        self.key = key

    def _place(self, path: Key) -> Location:
        line = self.document.lines.get(path)
        return Location(file=self.table.source, line=line, key=escape_control(format_key(path)))

    def default(self, option: str, value: str | float) -> _Source:
        """Return a setting of the file, which stands in its table of defaults."""
        return _Source(factors=(value,), place=self._place((*self.key[:-2], "defaults", option)))

    def source(self, option: str, value: object) -> _Source:
        """Return the source of the value of one key."""
        if isinstance(value, dict):
            return self._from_config(option, value)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.table.error(option, _TOKENS if option == "tokens" else "expected an amount or { key = … }")
        if option in TEXTS and not isinstance(value, str):
            raise self.table.error(option, "expected text in quotes")
        return _Source(factors=(value,), place=self._place((*self.key, option)))

    def _from_config(self, option: str, data: dict[str, object]) -> _Source:
        names = set(data) - {"from"}
        if names not in ({"key"}, *(_SHAPES if option == "tokens" else ())):
            raise self.table.error(option, _TOKENS if option == "tokens" else "expected an amount or { key = … }")
        file = data.get("from", self.table.raw("from"))
        factors: list[str | float | _Lookup] = []
        roles: list[str] = []
        for name in ("key", "batch", "batch_tokens", "sequence", "steps"):
            if data.get(name) is not None:
                found = self._factors(f"{option}.{name}", data[name], file, name)
                factors += found
                roles += [name] * len(found)
        if option in TEXTS and not (len(factors) == 1 and isinstance(factors[0], _Lookup)):
            raise self.table.error(option, "expected one key path")
        return _Source(factors=tuple(factors), place=self._place((*self.key, option)), roles=tuple(roles))

    def _factors(self, where: str, item: object, file: object, role: str) -> list[str | float | _Lookup]:
        factors: list[str | float | _Lookup] = []
        place = f"{self.table.source}: {self.table.path}.{escape_control(where)}"
        for part in item if isinstance(item, list) else [item]:
            if isinstance(part, int | float) and not isinstance(part, bool):
                factors.append(part)
                continue
            if not isinstance(part, str):
                raise FileError(f"{place}: expected a key path, a number, or a list of them")
            if not isinstance(file, str):
                raise FileError(
                    f"{place}: no file is named that {quote(part)} could be read from",
                    hint='name it: from = "train.yaml"',
                )
            try:
                factors.append(_Lookup(file=file, key=parse_key(part), role=role))
            except UsageError as error:
                raise FileError(f"{place}: {error.message}", hint=error.hint) from None
        if not factors:
            raise FileError(f"{place}: expected at least one key path")
        return factors


SEVERITIES = ("error", "warn")
"""The effect of a limit that is not kept: the check fails, or warns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRule:
    """A limit of a policy, where it stands, and the message when it is not kept."""

    limit: Limit
    severity: str
    message: str
    file: str
    line: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """The runs of a project and the policy that all of them are to keep; a run may have rules of its own."""

    file: str
    runs: tuple[Run, ...]
    rules: tuple[PolicyRule, ...]
    own_rules: tuple[tuple[PolicyRule, ...], ...]

    def rules_of(self, position: int) -> tuple[PolicyRule, ...]:
        """Return the rules for the run at a position: the common ones, then its own."""
        return (*self.rules, *self.own_rules[position])


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadProject:
    """A project's file that could not be read, and why."""

    file: str
    error: FileError


def run_names(projects: Iterable[Project]) -> dict[tuple[str, str], str]:
    """Return what to call each run, by its file and name: with the file where several runs have the name."""
    keys = [(project.file, run.name) for project in projects for run in project.runs]
    counts = Counter(name for _, name in set(keys))
    return {(file, name): f"{name} ({file})" if counts[name] > 1 else name for file, name in keys}


def read_projects(paths: Iterable[Path], *, tree: Tree | None = None) -> list[Project | UnreadProject]:
    """Return the projects of some files; one that cannot be read does not hide the others."""
    found: list[Project | UnreadProject] = []
    for path in paths:
        try:
            found.append(read_project(path, tree=tree))
        except FileError as error:
            found.append(UnreadProject(file=display_name(path), error=error))
    return found


def read_project(path: Path, *, tree: Tree | None = None) -> Project:
    """Return the project of a ``scaleplan.toml``, a ``pyproject.toml``, or any file with the tables of the former.

    The files that its runs point into are not read yet. ``tree`` is where files are read from, the work tree by
    default. Raises FileError when the file cannot be read or understood.
    """
    name = display_name(path)
    text = (tree or WorkTree()).text(path, what="project file")
    try:
        document = parse_document(text, name=name, ending=".toml")
    except FileError as error:
        if path.suffix != ".toml":
            error.hint = "a project's file is TOML, and names the training configs that its runs are read from"
        raise
    assert isinstance(document, DataDocument)
    assert isinstance(document.data, dict)
    top = Table(document.data, source=name)
    prefix: Key = ()
    try:
        if path.name == "pyproject.toml":
            top, prefix = top.table("tool").table("scaleplan"), ("tool", "scaleplan")
        return _Reader(top, document, prefix, folder=path.parent).project()
    except FileError as error:
        raise located(error, name=name, lines=document.lines) from None


class _Reader:
    def __init__(self, top: Table, document: DataDocument, prefix: Key, *, folder: Path) -> None:
        self.top = top
        self.document = document
        self.prefix = prefix
        self.folder = folder

    def project(self) -> Project:
        defaults = self._defaults()
        tables = self.top.tables("run")
        runs = [
            _read_run(table, self.document, (*self.prefix, "run", i), defaults=defaults, folder=self.folder)
            for i, table in enumerate(tables)
        ]
        names = [run.name for run in runs]
        for position, run in enumerate(runs):
            if run.name in names[:position]:
                raise tables[position].error("name", "expected a name that no other run has")
        own = tuple(self._rules(table, (*self.prefix, "run", i)) for i, table in enumerate(tables))
        rules = self._rules(self.top, self.prefix)
        for table in tables:
            table.done()
        self.top.done()
        return Project(file=self.top.source, runs=tuple(runs), rules=rules, own_rules=own)

    def _defaults(self) -> dict[str, str | float]:
        table = self.top.table("defaults")
        found: dict[str, str | float] = {}
        for key, value in table.data.items():
            if key not in SETTINGS:
                close = did_you_mean(key, SETTINGS)
                hint = f"did you mean '{close}'?" if close else f"known settings: {', '.join(SETTINGS)}"
                where = f"{table.path}.{escape_control(key)}"
                raise FileError(f"{table.source}: {where}: unknown setting", hint=hint)
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise table.error(key, "expected a text or a number")
            found[key] = table.text(key) if key in (*TEXTS, "format", "color") else value
        return {key: value for key, value in found.items() if key in (*AMOUNTS, *TEXTS)}

    def _rules(self, owner: Table, key: Key) -> tuple[PolicyRule, ...]:
        """Return the rules in the policy of a table, which may have none."""
        owner.raw("policy")  # known, whether it is there or not
        if "policy" not in owner:
            return ()
        table = owner.table("policy")
        rules: list[PolicyRule] = []
        for severity in SEVERITIES:
            items = table.raw(severity)  # known, whether it is there or not
            if severity not in table:
                continue
            if not isinstance(items, list):
                raise table.error(severity, "expected a list of limits")
            for position, item in enumerate(items):
                place = (*key, "policy", severity, position)
                rules += self._rule(item, severity, table.path, position, self.document.lines.get(place))
        table.done()
        return tuple(rules)

    def _rule(self, item: object, severity: str, path: str, position: int, line: int | None) -> list[PolicyRule]:
        where = f"{path}.{severity}[{position}]"
        data = {"limit": item} if isinstance(item, str) else item
        if not isinstance(data, dict):
            raise FileError(f"{self.top.source}: {where}: expected a limit, or {{ limit = …, message = … }}")
        table = Table(data, source=self.top.source, path=where)
        text, message = table.text("limit"), table.text("message", "")
        table.done()
        try:
            limits = parse_limit(text)
        except ScaleplanError as error:
            raise FileError(f"{self.top.source}: {where}: {error.message}", hint=error.hint) from None
        return [
            PolicyRule(limit=limit, severity=severity, message=message, file=self.top.source, line=line)
            for limit in limits
        ]
