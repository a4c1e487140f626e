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
number is itself; each factor may be a list, which is multiplied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from scaleplan.errors import FileError, QuantityError, ScaleplanError, UsageError, did_you_mean, escape_control, quote
from scaleplan.planning.constraints import constraint_options
from scaleplan.planning.request import SETTINGS, option_names
from scaleplan.project.document import DataDocument, format_key, parse_document, parse_key
from scaleplan.project.source import WorkTree, display_name
from scaleplan.record import Record, Result
from scaleplan.toml_table import Table
from scaleplan.units import parse_count
from scaleplan.units.limits import Limit, parse_limit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scaleplan.project.document import Document, Key
    from scaleplan.project.source import Tree

__all__ = ["AMOUNTS", "TEXTS", "Configs", "Given", "Location", "PolicyRule", "Project", "Run", "read_project"]

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
class Location:
    """The place of a value: the file, its line where that is known, and the key path."""

    file: str
    line: int | None
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A value of a run and every place that it came from."""

    value: str | float
    places: tuple[Location, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lookup:
    """A value to be read at a key path of another file."""

    file: str
    key: Key


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """A value, or several to be multiplied, and where the run gives it."""

    factors: tuple[str | float | _Lookup, ...]
    place: Location


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
        return {option: configs.given(source, folder=self.folder) for option, source in self.sources.items()}


class Configs:
    """The training configs that runs point into, each read once from a tree of files."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._documents: dict[Path, Document] = {}

    def given(self, source: _Source, *, folder: Path) -> Given:
        """Return the value of a source; several factors are multiplied."""
        if len(source.factors) == 1 and not isinstance(source.factors[0], _Lookup):
            return Given(value=source.factors[0], places=(source.place,))
        values = [
            self._look(factor, folder) if isinstance(factor, _Lookup) else (factor, source.place)
            for factor in source.factors
        ]
        places = tuple(dict.fromkeys(place for _, place in values))
        if len(values) == 1:
            return Given(value=values[0][0], places=places)
        product = 1.0
        for value, place in values:
            try:
                product *= parse_count(value, what="tokens")
            except QuantityError as error:
                where = f"{place.file}:{place.line}" if place.line else place.file
                raise FileError(f"{where}: {place.key}: {error.message}", hint=error.hint) from None
        return Given(value=product, places=places)

    def _look(self, lookup: _Lookup, folder: Path) -> tuple[str | float, Location]:
        path = folder / lookup.file
        document = self._documents.get(path)
        if document is None:
            text = self.tree.text(path, what="config")
            document = self._documents[path] = parse_document(text, name=display_name(path))
        found = document.find(lookup.key)
        shown = escape_control(format_key(lookup.key))
        if found is None:
            raise FileError(
                f"{document.name}: there is no key {quote(shown)}", hint=_alternative(document, lookup.key)
            )
        value = found.value
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            where = f"{document.name}:{found.line}" if found.line else document.name
            raise FileError(f"{where}: {escape_control(shown)}: expected an amount, found {_kind(value)}")
        return value, Location(file=document.name, line=found.line, key=shown)


def _kind(value: object) -> str:
    kinds = {dict: "a table", list: "a list", bool: "true or false", type(None): "nothing"}
    return kinds.get(type(value)) or quote(value)


def _alternative(document: Document, key: Key) -> str | None:
    """Return a hint on the first part of a key path that the document does not have."""
    for length in range(len(key)):
        if document.find(key[: length + 1]) is None:
            names = document.names(key[:length])
            close = did_you_mean(str(key[length]), names)
            if close is not None:
                return f"did you mean {quote(format_key((*key[:length], close)))}?"
            inside = f"in {quote(format_key(key[:length]))}" if length else "at the top"
            return f"{inside} there is: {', '.join(map(escape_control, names[:20]))}" if names else None
    return None


def _read_run(table: Table, document: DataDocument, key: Key, *, defaults: Mapping[str, object], folder: Path) -> Run:
    """Return the run of a ``[[run]]`` table at a key path of a document, with the defaults that it takes over.

    Raises FileError for keys that are unknown, missing, or of the wrong shape.
    """
    reader = _RunReader(table, document, key)
    sources = {}
    for option in (*AMOUNTS, *(each.name for each in constraint_options()), *TEXTS):
        if option in table:
            sources[option] = reader.source(option, table.raw(option))
        elif option in defaults:
            sources[option] = reader.default(option, defaults[option])
    if "params" in table and "model" in table:
        raise table.error("model", "a run has params or a model, not both")
    table.raw("from")
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

    def default(self, option: str, value: object) -> _Source:
        """Return a setting of the file, which stands in its table of defaults."""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise FileError(f"{self.table.source}: defaults.{option}: expected a text or a number")
        if option in TEXTS and not isinstance(value, str):
            raise FileError(f"{self.table.source}: defaults.{option}: expected text in quotes, found {value}")
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
        for name in ("key", "batch", "batch_tokens", "sequence", "steps"):
            if data.get(name) is not None:
                factors += self._factors(f"{option}.{name}", data[name], file)
        if option in TEXTS and len(factors) != 1:
            raise self.table.error(option, "expected one key path")
        return _Source(factors=tuple(factors), place=self._place((*self.key, option)))

    def _factors(self, where: str, item: object, file: object) -> list[str | float | _Lookup]:
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
                factors.append(_Lookup(file=file, key=parse_key(part)))
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


def read_project(path: Path, *, tree: Tree | None = None) -> Project:
    """Return the project of a ``scaleplan.toml``, a ``pyproject.toml``, or any file with the tables of the former.

    The files that its runs point into are not read yet. ``tree`` is where files are read from, the work tree by
    default. Raises FileError when the file cannot be read or understood.
    """
    name = display_name(path)
    text = (tree or WorkTree()).text(path, what="project file")
    document = parse_document(text, name=name if name.endswith(".toml") else f"{name}.toml")
    assert isinstance(document, DataDocument)
    assert isinstance(document.data, dict)
    top = Table(document.data, source=name)
    prefix: Key = ()
    if path.name == "pyproject.toml":
        top, prefix = top.table("tool").table("scaleplan"), ("tool", "scaleplan")
    return _Reader(top, document, prefix, folder=path.parent).project()


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

    def _defaults(self) -> dict[str, object]:
        table = self.top.table("defaults")
        for key in table.data:
            if key not in SETTINGS:
                hint = f"settings: {', '.join(SETTINGS)}"
                raise FileError(f"{table.source}: defaults.{escape_control(key)}: unknown setting", hint=hint)
        return {key: table.data[key] for key in table.data if key in (*AMOUNTS, *TEXTS)}

    def _rules(self, owner: Table, key: Key) -> tuple[PolicyRule, ...]:
        """Return the rules in the policy of a table, which may have none."""
        if "policy" not in owner:
            return ()
        table = owner.table("policy")
        rules: list[PolicyRule] = []
        for severity in SEVERITIES:
            items = table.raw(severity) if severity in table else []
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
