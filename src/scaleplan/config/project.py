"""What a project's ``scaleplan.toml`` (or ``[tool.scaleplan]``) says: which runs are planned, what is allowed.

::

    [defaults]                      # settings of every command
    [[run]]                         # a training run; :mod:`scaleplan.config.run` says what it may hold
    [policy]                        # limits on every run, and on one in [run.policy]
    error = ["cost <= 250k USD"]
    warn = [{ limit = "tokens_per_param >= 20", message = "inference will cost more" }]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleplan.config.document import DataDocument, parse_document
from scaleplan.config.names import AMOUNTS, SETTINGS, TEXTS
from scaleplan.config.run import Run, read_run
from scaleplan.config.tree import WorkTree, display_name
from scaleplan.errors import FileError, ScaleplanError, inert
from scaleplan.quantities.limits import Limit, parse_limit
from scaleplan.records import Table

if TYPE_CHECKING:
    from pathlib import Path

    from scaleplan.config.keypath import Key
    from scaleplan.config.tree import Tree

__all__ = ["SEVERITIES", "Project", "Rule", "read_project"]

SEVERITIES = ("error", "warn")
"""What becomes of a limit that is not kept: the check fails, or it says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A limit of a policy, where it stands, and what to say when it is not kept."""

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
    rules: tuple[Rule, ...]
    own_rules: tuple[tuple[Rule, ...], ...]

    def rules_of(self, position: int) -> tuple[Rule, ...]:
        """Return the rules for the run at a position: the common ones, then its own."""
        return (*self.rules, *self.own_rules[position])


def read_project(path: Path, *, tree: Tree | None = None) -> Project:
    """Return what a project's file says; the files that its runs point into are not read yet.

    Parameters
    ----------
    path
        A ``scaleplan.toml``, a ``pyproject.toml``, or any TOML file with the tables of the former.
    tree
        Where files are read from, the work tree by default.

    Raises
    ------
    FileError
        When the file cannot be read, or says something that is not understood.

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
    reader = _Reader(top, document, prefix, folder=path.parent)
    return reader.project()


class _Reader:
    def __init__(self, top: Table, document: DataDocument, prefix: Key, *, folder: Path) -> None:
        self.top = top
        self.document = document
        self.prefix = prefix
        self.folder = folder

    def project(self) -> Project:
        defaults = self._defaults()
        tables = self.top.tables("run")
        runs = []
        for position, table in enumerate(tables):
            key = (*self.prefix, "run", position)
            runs.append(read_run(table, self.document, key, defaults=defaults, folder=self.folder))
        names = [run.name for run in runs]
        for position, run in enumerate(runs):
            if run.name in names[:position]:
                raise tables[position].error("name", "expected a name that no other run has")
        own = tuple(
            self._rules(table.table("policy"), (*self.prefix, "run", position, "policy")) if "policy" in table else ()
            for position, table in enumerate(tables)
        )
        rules = self._rules(self.top.table("policy"), (*self.prefix, "policy")) if "policy" in self.top else ()
        for table in tables:
            table.done()
        self.top.done()
        return Project(file=self.top.source, runs=tuple(runs), rules=rules, own_rules=own)

    def _defaults(self) -> dict[str, object]:
        table = self.top.table("defaults")
        for key in table.data:
            if key not in SETTINGS:
                hint = f"settings: {', '.join(SETTINGS)}"
                raise FileError(f"{table.source}: defaults.{inert(key)}: unknown setting", hint=hint)
        return {key: table.data[key] for key in table.data if key in (*AMOUNTS, *TEXTS)}

    def _rules(self, table: Table, key: Key) -> tuple[Rule, ...]:
        rules: list[Rule] = []
        for severity in SEVERITIES:
            items = table.raw(severity) if severity in table else []
            if not isinstance(items, list):
                raise table.error(severity, "expected a list of limits")
            for position, item in enumerate(items):
                place = (*key, severity, position)
                rules += self._rule(item, severity, table.path, position, self.document.lines.get(place))
        table.done()
        return tuple(rules)

    def _rule(self, item: object, severity: str, path: str, position: int, line: int | None) -> list[Rule]:
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
            Rule(limit=limit, severity=severity, message=message, file=self.top.source, line=line) for limit in limits
        ]
