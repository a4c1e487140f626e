"""Fit a law to every group and every metric of a large table: what a fit to each alone gives, from one reading.

The table is read once, its columns are recognised once for each metric, and its rows are split once. What a process
is given are the rows of some groups; what comes back are a row of the answer and the text of a preset for each.
"""

from __future__ import annotations

import math
import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from dataclasses import field, replace
from functools import cached_property
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Unpack

import numpy as np

from scaleplan.errors import Notice, ScaleplanError, UnknownNameError, UsageError, escape_control, is_visible, quote
from scaleplan.files import is_file, write_together
from scaleplan.fitting.cleaning import number_in
from scaleplan.fitting.columns import recognise
from scaleplan.fitting.fit_request import CURVES, FitRequest, changed_reading, reading_arguments
from scaleplan.fitting.fit_result import name_part
from scaleplan.fitting.histories import final_rows, headings_of
from scaleplan.fitting.mapping import column_called
from scaleplan.fitting.methods import fit_runs
from scaleplan.fitting.objective import rms
from scaleplan.fitting.parallel import ALONE, spread
from scaleplan.fitting.reading import check_choices, open_table, rows_of
from scaleplan.planning.uncertainty import Interval
from scaleplan.presets.library import require_written_by_fit
from scaleplan.record import Record, Result
from scaleplan.tables.cells import is_missing, to_text
from scaleplan.units import format_flops

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from scaleplan.arrays import Index
    from scaleplan.fitting.fit_request import FitKeywords
    from scaleplan.fitting.fit_result import FitResult
    from scaleplan.fitting.mapping import ColumnMapping
    from scaleplan.fitting.reading import RunRows
    from scaleplan.fitting.runs import Finding
    from scaleplan.fitting.table import RawTable
    from scaleplan.logs.logged_run import LoggedRuns
    from scaleplan.tables.cells import Cell
    from scaleplan.tables.frames import TableLike

    Progress = Callable[[int], None]
    Recognised = tuple[dict[str, ColumnMapping], list[str]]

__all__ = ["FittedFleet", "Fleet", "FleetLaw", "FleetPlan", "fit_each", "plan_fleet"]

_MOST_IN_BLOCK = 16  # laws that a process is given at once: some seconds of work, which one line reports
_BLOCKS = 8  # for each process at least, so that none waits long for another at the end

_NOT_FITTED = "not fitted"


class FleetLaw(Record):
    """The law of one group and metric, or why there is none.

    ``group`` are the values of the group by column, and ``metric`` is the column that was fitted: of the loss, or
    what a curve gives. ``status`` is ``identified`` or ``not identified`` as of a fit, ``fitted`` for a form without
    a split, and ``not fitted``; ``reason`` says why for the second and the last, and ``hint`` what to do. The plan is
    that of the fit at ``target_flops``, with ``known_within`` the factor, either way, within which N* is known there;
    ``value`` is what a curve of another quantity than the loss gives there. ``file`` is the preset written.
    """

    group: Mapping[str, str]
    metric: str | None
    status: str
    rows_used: int
    rows_dropped: int
    target_flops: float | None
    params: float | None
    tokens: float | None
    loss: float | None
    interval: Interval[float]
    known_within: float | None
    rms_residual: float | None
    coefficients: Mapping[str, float] = field(default_factory=dict)
    value: float | None = None
    value_interval: tuple[float, float] | None = None
    reason: str | None = None
    hint: str | None = None
    file: str | None = None
    warnings: tuple[Notice, ...] = ()

    @property
    def name(self) -> str:
        """The values of the group, and the metric where one is known."""
        return ", ".join([*self.group.values(), *([] if self.metric is None else [self.metric])])


class Fleet(Record, Result):
    """The laws of all groups and metrics of a table, in the order of their first rows.

    ``each`` are the columns whose values separate groups, ``metrics`` those that were fitted in turn, if any were
    named. ``rows`` are those of the table, of which ``rows_without_group`` lack a value in a column of ``each``.
    """

    schema: ClassVar[str] = "scaleplan/fleet/1"

    file: str
    sha256: str
    form: str
    method: str
    each: tuple[str, ...]
    metrics: tuple[str, ...]
    loss_unit: str
    level: float
    rows: int
    rows_without_group: int
    fitted: int
    not_fitted: int
    laws: tuple[FleetLaw, ...]
    warnings: tuple[Notice, ...] = ()


class FittedFleet(Record, Result, eq=False):
    """The result of :func:`scaleplan.fit_each`: ``laws`` by group and metric, and the presets they amount to."""

    schema: ClassVar[str] = "scaleplan/fleet/1"

    fleet: Fleet
    plan: FleetPlan
    presets: tuple[str | None, ...]

    @property
    def laws(self) -> tuple[FleetLaw, ...]:
        """The law of each group and metric, or why there is none."""
        return self.fleet.laws

    @property
    def warnings(self) -> tuple[Notice, ...]:
        """What is doubtful about several laws, once a cause."""
        return self.fleet.warnings

    def viewed(self) -> Fleet:
        """Return the laws as the command shows them."""
        return self.fleet

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that ``--json`` prints."""
        return self.fleet.to_dict()

    def files(self, path: str) -> dict[int, Path]:
        """Return the file of each law that has a preset, by its position; raises as :meth:`FleetPlan.files`."""
        return {i: file for i, file in enumerate(self.plan.files(path)) if self.presets[i] is not None}

    def to_be_written(self, path: str) -> Fleet:
        """Return the laws with the files that :meth:`write` makes, and a warning of those that it replaces."""
        files = self.files(path)
        laws = (replace(law, file=str(files[i])) if i in files else law for i, law in enumerate(self.fleet.laws))
        replaced = [file for file in files.values() if is_file(file)]
        warnings = self.fleet.warnings
        if replaced:
            message = f"replaced {quote(replaced[0])}" if len(replaced) == 1 else f"replaced {len(replaced):,} files"
            warnings += (Notice(code="replaced", message=message),)
        return replace(self.fleet, laws=tuple(laws), warnings=warnings)

    def write(self, path: str) -> list[Path]:
        """Write a preset file for each law, with its values in the path: ``laws/{corpus}-{loss}.toml``.

        All files are written, or none is. Raises UsageError where two laws would share a file, FileError when one
        cannot be written, or would replace what no fit wrote.
        """
        files = self.files(path)
        for file in files.values():
            require_written_by_fit(file)
        write_together({file: self.presets[i] or "" for i, file in files.items()})
        return [*files.values()]


def fit_each(
    runs: TableLike | LoggedRuns | RawTable,
    *,
    each: str | Sequence[str],
    progress: Progress | None = None,
    **keywords: Unpack[FitKeywords],
) -> FittedFleet:
    """Fit a law to every group and every metric of a table, each as :func:`fit` alone would.

    Parameters
    ----------
    runs
        As for :func:`fit`.
    each
        Columns whose values separate groups, each with a law of its own: ``"corpus"`` or ``["corpus", "language"]``;
        and columns to fit in turn, as ``"loss=eval/c4,eval/pile"`` or ``"loss=eval/*"`` (of a curve ``"y=acc/*"``).
    progress
        Called with the number of laws done.
    keywords
        As for :func:`fit`, without ``group``. ``jobs`` processes share the laws.

    Raises
    ------
    ScaleplanError
        When the file cannot be read, a keyword is wrong, or no law at all can be fitted.

    Examples
    --------
    >>> import scaleplan as sp
    >>> fitted = sp.fit_each("runs.csv", each=["corpus", "loss=eval/*"])  # doctest: +SKIP
    >>> fitted.to_pandas()  # doctest: +SKIP
    >>> fitted.write("laws/{corpus}-{loss}.toml")  # doctest: +SKIP

    """
    return plan_fleet(runs, each=each, **keywords).fit(progress=progress)


class _Metric(NamedTuple):
    """A role and the column that plays it in turn; both are empty where the usual columns do."""

    role: str = ""
    column: str = ""

    def request(self, request: FitRequest) -> FitRequest:
        """Return the request for the fit of this metric."""
        return replace(request, y=self.column) if self.role == "y" else request


class _Group(NamedTuple):
    """The values of a group by column, and the positions of its rows."""

    values: dict[str, str]
    positions: Index


class _Part(NamedTuple):
    """What a process needs for one law; ``rows`` is the error instead where the metric cannot be read at all."""

    group: dict[str, str]
    metric: str | None
    request: FitRequest
    rows: RunRows | ScaleplanError
    size: int


class _Block(NamedTuple):
    """Some parts, the name of their file, and whether presets are wanted."""

    parts: tuple[_Part, ...]
    source: str
    with_presets: bool


def plan_fleet(
    runs: TableLike | LoggedRuns | RawTable, *, each: str | Sequence[str], **keywords: Unpack[FitKeywords]
) -> FleetPlan:
    """Read a table and split it into the groups and metrics of ``each``, ready to be fitted."""
    texts = [each] if isinstance(each, str) else [*each]
    request = _request(texts, keywords)
    reading = reading_arguments(keywords)
    check_choices(**reading)
    found: list[tuple[_Metric, Recognised | ScaleplanError]] = []
    columns: tuple[str, ...] = ()

    def recognised(table: RawTable) -> None:
        """Find the columns of ``each``, and recognise those of the law for each metric; raises where none can be."""
        nonlocal columns
        columns, metrics = _columns_of_each(texts, table, request, reading)
        found[:] = [(metric, _recognised(table, metric, request, reading)) for metric in metrics]
        errors = [known for _, known in found if isinstance(known, ScaleplanError)]
        if len(errors) == len(found):
            raise errors[0]

    def reduced(source: TableLike | RawTable) -> RawTable:
        """Return the final rows of the runs of a large history, by group and metric."""
        columns, metrics = _columns_of_each(texts, headings_of(source), request, reading)
        return final_rows(
            source,
            **{name: reading[name] for name in ("mapping", "log10", "loss_unit") if name in reading},
            needed=metrics[0].request(request).needed_roles,
            keys=columns,
            losses=[metric.column for metric in metrics if metric.role == "loss"],
        )

    last = bool(reading.get("last"))
    table, _ = open_table(
        runs,
        recognised,
        by_step=last or "params" not in request.needed_roles,
        reduced=reduced if last else None,
    )
    groups, apart = _split(table, columns)
    metrics = [
        (metric, _read(table, known, metric.request(request), reading, apart if columns else None))
        for metric, known in found
    ]
    if all(isinstance(rows, ScaleplanError) for _, rows in metrics):
        raise next(rows for _, rows in metrics if isinstance(rows, ScaleplanError))
    return FleetPlan(
        table=table,
        source=str(runs) if isinstance(runs, str | Path) else table.source,
        request=request,
        keywords=dict(keywords),
        columns=columns,
        groups=tuple(groups),
        codes=np.array(apart, dtype=np.intp),
        metrics=tuple(metrics),
    )


def _request(texts: Sequence[str], keywords: FitKeywords) -> FitRequest:
    """Return the settings of each fit; raises UsageError for what says nothing of many laws."""
    if not any(text.strip() for text in texts):
        raise UsageError("no columns to fit each of", hint="name them, such as corpus or 'loss=eval/*'")
    if keywords.get("group") is not None:
        raise UsageError("--group shares exponents among groups, and --each shares nothing", hint="give one of them")
    request = FitRequest.parse(keywords)
    if request.method == "all":
        raise UsageError(
            "--method all shows the methods of one fit side by side, and --each has a row a law",
            hint="--where 'COLUMN = VALUE' fits one group by itself",
        )
    return request


def _read(
    table: RawTable,
    known: Recognised | ScaleplanError,
    request: FitRequest,
    reading: Mapping[str, Any],
    apart: Sequence[int] | None,
) -> RunRows | ScaleplanError:
    """Return the rows of a table with what the columns of a metric hold, or why there are none."""
    if isinstance(known, ScaleplanError):
        return known
    options = {name: value for name, value in reading.items() if name not in ("mapping", "log10")}
    try:
        return rows_of(table, known, **options, extra=request.extra_columns, needed=request.needed_roles, apart=apart)
    except ScaleplanError as error:
        return error


class FleetPlan(Record, eq=False):
    """The laws to be fitted: the groups of a table and what is read of it for each metric."""

    table: RawTable
    source: str
    request: FitRequest
    keywords: Mapping[str, Any]
    columns: tuple[str, ...]
    groups: tuple[_Group, ...]
    codes: Index
    metrics: tuple[tuple[_Metric, RunRows | ScaleplanError], ...]

    @cached_property
    def members(self) -> tuple[tuple[Index, ...], ...]:
        """The positions of the rows of each group among those of each metric."""
        found = []
        for _, rows in self.metrics:
            codes = self.codes if isinstance(rows, ScaleplanError) else self.codes[rows.places]
            found.append(_by_code(codes, len(self.groups)))
        return tuple(found)

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The numbers of group and metric of each law: where the user's conditions leave a row."""
        wanted = []
        for _, rows in self.metrics:
            if isinstance(rows, ScaleplanError):
                wanted.append(np.ones(len(self.codes), dtype=bool))
                continue
            left = np.ones(len(rows.places), dtype=bool)
            for meets in rows.conditions.values():
                left &= meets
            left[list(rows.left_out)] = False
            wanted.append(left)
        return tuple(
            (group, number)
            for group in range(len(self.groups))
            for number, left in enumerate(wanted)
            if left[self.members[number][group]].any()
        )

    def _names(self, group: int, number: int) -> dict[str, str]:
        """Return what tells a law from the others: its values by column, and its metric by role."""
        metric, _ = self.metrics[number]
        return {**self.groups[group].values, **({metric.role: metric.column} if metric.role else {})}

    def _parts(self) -> Iterator[_Part]:
        rows = self.table.rows
        breaks = [i for i in range(1, len(rows)) if rows[i] != rows[i - 1] + 1]
        made = self.request.id or name_part(Path(self.table.source).stem) or "fit"
        earlier = [self._earlier(found) for _, found in self.metrics]
        for code, number in self.pairs:
            group, (metric, found) = self.groups[code], self.metrics[number]
            names = self._names(code, number)
            about = ", ".join([f"Fit to {self.table.source}", *(f"{name} {value}" for name, value in names.items())])
            request = replace(
                metric.request(self.request),
                jobs=ALONE,
                reading=changed_reading(self._reading(group, metric)),
                id="-".join([made, *(safe_part(value, ascii_only=True) for value in names.values())])[:_LONGEST_ID],
                title=self.request.title or escape_control(about),
            )
            if not isinstance(found, ScaleplanError):
                # of a history that was reduced, nobody knows whose its other rows are
                others = _others(rows, breaks, group.positions.tolist()) if self.table.history is None else ()
                found = found.part(
                    self.members[number][code], not_last=earlier[number].get(code, {}), elsewhere=others
                )
            yield _Part(group.values, metric.column or None, request, found, len(group.positions))

    def _earlier(self, rows: RunRows | ScaleplanError) -> dict[int, dict[int, Finding]]:
        """Return the earlier steps of each group's runs."""
        found: dict[int, dict[int, Finding]] = {}
        if not isinstance(rows, ScaleplanError):
            for position, finding in rows.not_last.items():
                found.setdefault(int(self.codes[position]), {})[position] = finding
        return found

    def _reading(self, group: _Group, metric: _Metric) -> dict[str, object]:
        """Return the keywords of reading by which a fit alone has the runs of a group."""
        conditions = [_condition(column, value) for column, value in group.values.items()]
        reading = {**self.keywords, "where": [*(self.keywords.get("where") or ()), *conditions]}
        if metric.role == "loss":
            mapped = reading_arguments(self.keywords).get("mapping", {})
            reading["map"] = {**mapped, "loss": metric.column}
        return reading

    def files(self, path: str) -> list[Path]:
        """Return the file of each law: the path with its values for ``{COLUMN}`` and ``{loss}``.

        Raises UsageError for a path that does not tell the laws apart, or a placeholder that is none.
        """
        values = [self._names(group, number) for group, number in self.pairs]
        known = dict.fromkeys([*self.columns, *(metric.role for metric, _ in self.metrics if metric.role)])
        used = _PLACEHOLDER.findall(path)
        for name in used:
            if name not in known:
                raise UnknownNameError("placeholder", f"{{{name}}}", [f"{{{each}}}" for each in known])
        varied = [name for name in known if len({value[name] for value in values}) > 1]
        lacking = [name for name in varied if name not in used]
        if lacking:
            needed = "-".join(f"{{{name}}}" for name in varied)
            raise UsageError(
                f"output {quote(path)} does not say one file for each law: {quote(f'{{{lacking[0]}}}')} is not in it",
                hint=f"-o 'law-{needed}.toml' does",
            )
        if not path.endswith(".toml"):
            raise UsageError(f"output {quote(path)} does not end in .toml", hint="presets are .toml files")
        files = [_filled(path, value) for value in values]
        first: dict[str, int] = {}
        for i, file in enumerate(files):
            # file systems of macOS and Windows tell no case apart
            other = first.setdefault(str(file).casefold(), i)
            if other != i:
                names = " and ".join(quote(", ".join(values[each].values())) for each in (other, i))
                raise UsageError(
                    f"the laws of {names} would be written to one file, {quote(file)}",
                    hint="rename one of them, or keep some with --where",
                )
        return files

    def fit(self, *, progress: Progress | None = None, with_presets: bool = True) -> FittedFleet:
        """Fit each law; raises UsageError where no law at all can be fitted."""
        total, jobs = len(self.pairs), self.request.jobs
        size = max(1, min(_MOST_IN_BLOCK, total // (max(1, jobs.processes) * _BLOCKS)))
        laws: list[FleetLaw] = []
        presets: list[str | None] = []
        for done in spread(_fit_block, self._blocks(size, with_presets=with_presets), jobs=jobs):
            for law, preset in done:
                laws.append(law)
                presets.append(preset)
            if progress is not None:
                progress(len(laws))
        fitted = sum(law.status != _NOT_FITTED for law in laws)
        if not fitted:
            raise _none_fitted(laws)
        fleet = Fleet(
            file=self.table.source,
            sha256=self.table.sha256,
            form=self.request.form,
            method=self.request.method,
            each=self.columns,
            metrics=tuple(metric.column for metric, _ in self.metrics if metric.role),
            loss_unit=next(rows.runs.loss_unit for _, rows in self.metrics if not isinstance(rows, ScaleplanError)),
            level=self.request.level,
            rows=len(self.table.rows),
            rows_without_group=int(np.count_nonzero(self.codes < 0)),
            fitted=fitted,
            not_fitted=len(laws) - fitted,
            laws=tuple(laws),
            warnings=(*self._left_out(), *_common(laws)),
        )
        return FittedFleet(fleet=fleet, plan=self, presets=tuple(presets))

    def _blocks(self, size: int, *, with_presets: bool) -> Iterator[_Block]:
        parts = self._parts()
        while block := tuple(islice(parts, size)):
            yield _Block(block, self.source, with_presets)

    def _left_out(self) -> tuple[Notice, ...]:
        without = int(np.count_nonzero(self.codes < 0))
        if not without:
            return ()
        names = " or ".join(map(quote, self.columns))
        count = f"{without:,} of {len(self.table.rows):,} rows"
        message = f"{count} have no value in {names}, and are in no group"
        return (Notice(code="no_group", message=message),)


def _condition(column: str, value: str) -> str:
    """Return the condition that the rows of a value meet, in printable text: of another value as its pattern."""
    if is_visible(value):
        return f"{column} = {value}"
    pattern = "".join(re.escape(c) if is_visible(c) else escape_control(c) for c in value)
    return rf"{column} ~ ^{pattern}\Z"


_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")

_NOT_IN_NAME = re.compile(r"[^\w.-]+")

_LONGEST_PART, _LONGEST_ID = 60, 80


def _filled(path: str, values: Mapping[str, str]) -> Path:
    """Return a path with values for its placeholders."""
    return Path(_PLACEHOLDER.sub(lambda match: safe_part(values[match[1]]), path))


def safe_part(text: str, *, ascii_only: bool = False) -> str:
    """Return a value as part of the name of a file, or with ASCII alone of an id.

    Of a value of which nothing is left, it is the bytes.
    """
    plain = unicodedata.normalize("NFC", text)
    found = name_part(plain) if ascii_only else _NOT_IN_NAME.sub("-", plain).strip("-._").lower()[:_LONGEST_PART]
    return found or text.encode(errors="surrogatepass").hex()[:_LONGEST_PART]


def _columns_of_each(
    texts: Sequence[str], table: RawTable, request: FitRequest, reading: Mapping[str, Any]
) -> tuple[tuple[str, ...], tuple[_Metric, ...]]:
    """Return the columns that separate groups, and the metrics, of the texts of ``--each``."""
    columns: dict[str, None] = {}
    metrics: dict[_Metric, None] = {}
    for text in texts:
        if text in table.names:
            columns[text] = None
            continue
        role, sign, rest = (part.strip() for part in text.partition("="))
        if sign:
            _require_role(role, text, request, reading)
            metrics |= dict.fromkeys(_Metric(role, name) for name in _matching(rest, table))
            continue
        columns |= {column_called(part, table): None for part in text.split(",") if part.strip()}
    if len({metric.role for metric in metrics}) > 1:
        raise UsageError("--each names columns of both loss and y", hint="name those of one of them")
    return tuple(columns), tuple(metrics) or (_Metric(),)


def _require_role(role: str, text: str, request: FitRequest, reading: Mapping[str, Any]) -> None:
    """Refuse columns of a role that cannot be fitted in turn, or that is given otherwise too."""
    if "," in role:
        names, _, last = role.rpartition(",")
        way = f"--each {escape_control(names)} --each '{escape_control(last + text[len(role) :])}'"
        raise UsageError(f"--each {quote(text)} mixes columns of groups and of a role", hint=way)
    if role not in ("loss", "y"):
        raise UsageError(f"--each {quote(text)}: the columns of a role {quote(role)}", hint=f"{_WAY}")
    if role == "y" and request.form not in CURVES:
        raise UsageError(f"--each y is for curves, and form '{request.form}' has its own columns", hint=_WAY)
    if role == "loss" and "loss" not in request.needed_roles:
        way = "'y=COLUMNS' fits each as the y of the curve" if request.form in CURVES else "leave the columns out"
        raise UsageError(f"--each {quote(text)}: this fit has no loss", hint=way)
    if "loss" in reading.get("mapping", {}) if role == "loss" else request.y != "loss":
        raise UsageError(f"the column of the {role} is given twice, by --each {quote(text)} too", hint="give one")


_WAY = "'loss=COLUMNS' fits each column as the loss, COLUMN each value of a column"


def _matching(text: str, table: RawTable) -> list[str]:
    """Return the columns that a list with commas names, of which ``*`` stands for any letters."""
    if text in table.names:
        return [text]
    found: list[str] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        if part in table.names or "*" not in part:
            found.append(column_called(part, table))
            continue
        pattern = re.compile(".*".join(map(re.escape, part.split("*"))), re.DOTALL)
        names = [name for name in table.names if pattern.fullmatch(name)]
        if not names:
            raise UnknownNameError("column", part, table.names)
        found += names
    if not found:
        raise UsageError("--each names a role without columns", hint=_WAY)
    return found


def _recognised(
    table: RawTable, metric: _Metric, request: FitRequest, reading: Mapping[str, Any]
) -> Recognised | ScaleplanError:
    """Return the columns of the law of a metric, or why there are none."""
    mapping = dict(reading.get("mapping", {}))
    if metric.role == "loss":
        mapping["loss"] = metric.column
    try:
        return recognise(
            table,
            mapping=mapping,
            log10=reading.get("log10", ()),
            loss_unit=reading.get("loss_unit", "nats"),
            needed=metric.request(request).needed_roles,
            carried=bool(reading.get("last")),
        )
    except ScaleplanError as error:
        return error


def _split(table: RawTable, columns: Sequence[str]) -> tuple[list[_Group], list[int]]:
    """Return the groups in the order of their first rows, and the number of each row's group, -1 for none."""
    if not columns:
        return [_Group({}, np.arange(len(table.rows)))], [0] * len(table.rows)
    keys = [_keys(table.column(name)) for name in columns]
    numbers: dict[tuple[object, ...], int] = {}
    codes = [-1 if None in key else numbers.setdefault(key, len(numbers)) for key in zip(*keys, strict=True)]
    groups = []
    for positions in _by_code(np.array(codes, dtype=np.intp), len(numbers)):
        record = table.records[int(positions[0])]
        values = {name: to_text(record[table.names.index(name)]) for name in columns}
        groups.append(_Group(values, positions))
    return groups, codes


def _by_code(codes: Index, count: int) -> tuple[Index, ...]:
    """Return the positions of each code from 0 to ``count``, in order."""
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(count + 1))
    return tuple(order[start:end] for start, end in pairwise(starts))


def _keys(cells: Sequence[Cell]) -> list[object]:
    """Return what tells the value of each cell from others, as a condition with ``=`` does; None for no value.

    A cell that says "none" is a value, of a setting that a run does not have.
    """
    known: dict[tuple[type, Cell], object] = {}
    found: list[object] = []
    for cell in cells:
        place = type(cell), cell
        if place not in known:
            text = to_text(cell)
            number = number_in(cell)
            missing = is_missing(cell) and text.casefold() != "none"
            known[place] = None if missing else text if number is None else number
        found.append(known[place])
    return found


def _others(rows: Sequence[int], breaks: Sequence[int], positions: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Return the ranges of the numbers of all rows but those at some positions, in order.

    ``breaks`` are the positions whose number does not follow from the one before.
    """
    found = []
    start = 0
    for position in (*positions, len(rows)):
        place = bisect_right(breaks, start)
        while start < position:
            end = min(position, breaks[place] if place < len(breaks) else position)
            found.append((rows[start], rows[end - 1]))
            start, place = end, place + 1
        start = position + 1
    return tuple(found)


@np.errstate(all="ignore")  # a search tries laws beyond the floats, and no user can act on a warning of it
def _fit_block(block: _Block) -> list[tuple[FleetLaw, str | None]]:
    """Fit the laws of a block."""
    return [_fit_part(part, block) for part in block.parts]


def _fit_part(part: _Part, block: _Block) -> tuple[FleetLaw, str | None]:
    """Fit one law, and return its row, with its preset where that is wanted and can be written."""
    result = None
    try:
        if isinstance(part.rows, ScaleplanError):
            raise part.rows
        runs = part.rows.cleaned()
        result = fit_runs(part.request, runs, source=block.source)
        law = _law(part, result)
        _ = result.preset  # refuses what would not read back
        return law, result.to_toml() if block.with_presets else None
    except ScaleplanError as error:
        if result is not None:  # of coefficients that no preset may hold, which are still shown
            return replace(_law(part, result), reason=error.message, hint=error.hint), None
        return _no_law(part, error), None


def _law(part: _Part, result: FitResult) -> FleetLaw:
    """Return the row of a fit."""
    plan, target, request = result.plan(), result.target_flops, result.request
    level = request.level
    interval = None if plan is None else plan.interval
    value = next((each for each in result.values if target and each.name == f"at {format_flops(target)}"), None)
    of_loss = request.y == "loss"
    loss = None if plan is None else plan.loss
    known = interval or _unknown(level)
    if value is not None and of_loss:
        loss, known = value.value, replace(known, loss=value.interval)
    metric = part.metric or (result.runs.columns.get("loss") if of_loss else request.y)
    return FleetLaw(
        group=part.group,
        metric=metric,
        status=result.status or "fitted",
        rows_used=len(result.runs),
        rows_dropped=part.size - len(result.runs),
        target_flops=target,
        params=None if plan is None else float(plan.params),
        tokens=None if plan is None else float(plan.tokens),
        loss=loss,
        interval=known,
        known_within=None if result.forecast is None or math.isinf(result.known_within) else result.known_within,
        rms_residual=None if result.residuals is None else rms(result.residuals),
        coefficients={name: float(number) for name, number in result.coefficients.items()},
        value=None if value is None or of_loss else value.value,
        value_interval=None if value is None or of_loss else value.interval,
        reason=result.refusal,
        warnings=result.warnings,
    )


def _no_law(part: _Part, error: ScaleplanError) -> FleetLaw:
    """Return the row of a law that cannot be fitted."""
    return FleetLaw(
        group=part.group,
        metric=part.metric,
        status=_NOT_FITTED,
        rows_used=0,
        rows_dropped=part.size,
        target_flops=None,
        params=None,
        tokens=None,
        loss=None,
        interval=_unknown(part.request.level),
        known_within=None,
        rms_residual=None,
        reason=error.message,
        hint=error.hint,
    )


def _unknown(level: float) -> Interval[float]:
    return Interval(level=level, params=None, tokens=None, loss=None, tokens_per_param=None)


def _none_fitted(laws: Sequence[FleetLaw]) -> UsageError:
    """Return the error for laws none of which could be fitted, with the most frequent reason."""
    reasons = Counter((law.reason, law.hint) for law in laws)
    ((reason, hint), count), *others = reasons.most_common()
    if len(laws) == 1:
        return UsageError(str(reason), hint=hint)
    often = f" ({count:,} of them)" if others else ""
    return UsageError(f"none of {len(laws):,} laws could be fitted: {reason}{often}", hint=hint)


_MOST_NAMED = 3


def _common(laws: Sequence[FleetLaw]) -> Iterator[Notice]:
    """Yield what is doubtful about several laws, once a cause, with the first of them as an example."""
    total = len(laws)
    failed = [law for law in laws if law.status == _NOT_FITTED]
    if failed:
        names = _named(failed)
        yield Notice(
            code="not_fitted",
            message=f"{len(failed):,} of {total:,} laws could not be fitted ({names}): {failed[0].reason}",
        )
    found: dict[str, list[FleetLaw]] = {}
    for law in laws:
        for code in dict.fromkeys(notice.code for notice in law.warnings):
            found.setdefault(code, []).append(law)
    for code, several in found.items():
        message = next(notice.message for notice in several[0].warnings if notice.code == code)
        yield Notice(code=code, message=f"{len(several):,} of {total:,} laws ({_named(several)}): {message}")


def _named(laws: Sequence[FleetLaw]) -> str:
    """Return the names of some laws, of many the first."""
    names = [quote(law.name) for law in laws[:_MOST_NAMED]]
    return ", ".join([*names, *(["…"] if len(laws) > _MOST_NAMED else [])])
