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

A run that says ``config = "configs/train.yaml"`` takes model, tokens and devices from there, as far as it does not
give them: the config of a trainer that is known by its content. ``vocab``, ``gpus`` and ``context`` complete it.

Any amount or name may be ``{ key = "…" }``, with a ``from`` of its own. In ``tokens`` a text is a key path and a
number is itself; each factor may be a list, which is multiplied. What a config leaves open is an error with its
place.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from scaleplan.documents.document import DataDocument, located, parse_document
from scaleplan.documents.key_path import Location, format_key, parse_key
from scaleplan.errors import FileError, ScaleplanError, UsageError, did_you_mean, escape_control, quote
from scaleplan.planning.constraints import constraint_options
from scaleplan.planning.request import RIVALS, SETTINGS, option_names
from scaleplan.project.configs import Lookup, Source
from scaleplan.project.source import WorkTree, display_name
from scaleplan.record import Record, Result
from scaleplan.toml_table import Table
from scaleplan.units.limits import Limit, parse_limit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from scaleplan.documents.key_path import Key
    from scaleplan.project.configs import Configs, Given
    from scaleplan.project.source import Tree

__all__ = [
    "AMOUNTS",
    "TEXTS",
    "PolicyRule",
    "Project",
    "Run",
    "UnreadProject",
    "read_project",
    "read_projects",
    "run_names",
]

_HARDWARE = option_names("hardware")
# what of the hardware is a name or a text of its own grammar
_NAMES = ("gpu", "precision", "profile", "measured", "owned", "exchange_rate", "interruptions")

AMOUNTS = (
    *option_names("budget", "sides"),
    *(name for name in _HARDWARE if name not in _NAMES),
    *("vocab", "context"),
)
"""The keys of a run that are amounts, beside the options of constraints."""

TEXTS = ("config", "model", "preset", *_NAMES, "region", "batch_regime")
"""The keys of a run that are names."""

_EARLIER = {"region": "grid"}
"""Earlier names of keys."""

_NEW = {earlier: name for name, earlier in _EARLIER.items()}

_SHAPES = ({"batch", "sequence", "steps"}, {"batch_tokens", "steps"})

_TOKENS = "expected an amount, { key = … }, { batch = …, sequence = …, steps = … } or { batch_tokens = …, steps = … }"


class NewProject(Result, Record):
    """A project's file that was written to start from."""

    schema: ClassVar[str] = "scaleplan/init/1"

    file: str
    configs: tuple[str, ...] = ()
    """The training configs that it has a run of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as its project's file describes it; :meth:`read` reads the files it points into."""

    name: str
    file: str
    line: int | None
    folder: Path
    limits: tuple[str, ...]
    sources: Mapping[str, Source]

    def read(self, configs: Configs) -> dict[str, Given]:
        """Return the values of the run by key, each with its places.

        Raises FileError when a file cannot be read, has no such key, or holds no such value.
        """
        return {option: configs.given(option, source, folder=self.folder) for option, source in self.sources.items()}


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
        earlier = _EARLIER.get(option)
        if earlier is not None and earlier in table:
            if option in table:
                raise table.error(earlier, f"{option} is the same")
            sources[option] = reader.source(earlier, table.raw(earlier))
        elif option in table:
            sources[option] = reader.source(option, value)
        elif option in defaults and not any(rival in table for rival in RIVALS.get(option, ())):
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

    def default(self, option: str, value: str | float) -> Source:
        """Return a setting of the file, which stands in its table of defaults."""
        return Source(factors=(value,), place=self._place((*self.key[:-2], "defaults", option)))

    def source(self, option: str, value: object) -> Source:
        """Return the source of the value of one key."""
        if isinstance(value, dict):
            return self._from_config(option, value)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.table.error(option, _TOKENS if option == "tokens" else "expected an amount or { key = … }")
        if _NEW.get(option, option) in TEXTS and not isinstance(value, str):
            raise self.table.error(option, "expected text in quotes")
        return Source(factors=(value,), place=self._place((*self.key, option)))

    def _from_config(self, option: str, data: dict[str, object]) -> Source:
        names = set(data) - {"from"}
        if names not in ({"key"}, *(_SHAPES if option == "tokens" else ())):
            raise self.table.error(option, _TOKENS if option == "tokens" else "expected an amount or { key = … }")
        if not isinstance(data.get("from", ""), str):
            raise self.table.error(option, 'expected the name of a file in quotes: from = "train.yaml"')
        file = data.get("from") or self.table.raw("from") or self.table.raw("config")
        factors: list[str | float | Lookup] = []
        roles: list[str] = []
        for name in ("key", "batch", "batch_tokens", "sequence", "steps"):
            if data.get(name) is not None:
                found = self._factors(f"{option}.{name}", data[name], file, name)
                factors += found
                roles += [name] * len(found)
        if _NEW.get(option, option) in TEXTS and not (len(factors) == 1 and isinstance(factors[0], Lookup)):
            raise self.table.error(option, "expected one key path")
        return Source(factors=tuple(factors), place=self._place((*self.key, option)), roles=tuple(roles))

    def _factors(self, where: str, item: object, file: object, role: str) -> list[str | float | Lookup]:
        factors: list[str | float | Lookup] = []
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
                factors.append(Lookup(file=file, key=parse_key(part), role=role))
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
