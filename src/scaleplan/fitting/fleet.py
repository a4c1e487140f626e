"""Fit a law to every group and every metric of a large table: what a fit to each alone gives, from one reading.

The table is read once, its columns are recognised once for each metric, and its rows are split once. What a process
is given are the rows of some groups; what comes back are a row of the answer and the text of a preset for each.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Unpack

import numpy as np

from scaleplan.errors import Notice, ScaleplanError, UsageError, escape_control, quote
from scaleplan.files import is_file, write_together
from scaleplan.fitting.columns import recognise
from scaleplan.fitting.fit_request import FitRequest, changed_reading, reading_arguments
from scaleplan.fitting.fleet_groups import FleetGroup, FleetMetric, columns_of_each, positions_by_code, split_rows
from scaleplan.fitting.fleet_laws import (
    NOT_FITTED,
    Fleet,
    FleetLaw,
    common_warnings,
    law_of_fit,
    law_without_fit,
    none_fitted,
)
from scaleplan.fitting.histories import final_rows, headings_of
from scaleplan.fitting.law_files import LONGEST_ID, files_of_laws, name_part, value_part
from scaleplan.fitting.methods import fit_runs
from scaleplan.fitting.parallel import ALONE, spread
from scaleplan.fitting.reading import check_choices, rows_of
from scaleplan.fitting.table_source import open_table
from scaleplan.presets.library import require_written_by_fit
from scaleplan.record import Record, Result
from scaleplan.tables.headings import listed
from scaleplan.tables.loss_units import LOSS_UNITS, contradicted_unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from scaleplan.arrays import Index
    from scaleplan.fitting.fit_request import FitKeywords
    from scaleplan.fitting.mapping import ColumnMapping
    from scaleplan.fitting.reading import RunRows
    from scaleplan.fitting.runs import Finding
    from scaleplan.fitting.table import RawTable
    from scaleplan.logs.logged_run import LoggedRuns
    from scaleplan.tables.frames import TableLike

    Progress = Callable[[int], None]
    Recognised = tuple[dict[str, ColumnMapping], list[str]]

__all__ = ["FittedFleet", "FleetPlan", "fit_each", "plan_fleet"]

_MOST_NAMED = 3  # metrics in a warning

_MOST_IN_BLOCK = 16  # laws that a process is given at once: some seconds of work, which one line reports
_MANY = 1000  # groups: some minutes of fits, which nobody starts by mistake with fewer
_LEAST_ROWS = 2  # of a group on average: the fewest coefficients of a law, so that hardly any group has one
_BLOCKS = 8  # for each process at least, so that none waits long for another at the end


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

    def recognised(table: RawTable) -> tuple[tuple[str, ...], list[tuple[FleetMetric, Recognised | ScaleplanError]]]:
        """Return the columns of groups, and those of the law for each metric; raises where no metric has any."""
        columns, metrics = columns_of_each(texts, table, request, reading)
        losses = [metric.column for metric in metrics if metric.role]
        found = [(metric, _recognised(table, metric, losses, request, reading)) for metric in metrics]
        errors = [known for _, known in found if isinstance(known, ScaleplanError)]
        if len(errors) == len(found):
            raise errors[0]
        return columns, found

    def reduced(source: TableLike | RawTable) -> RawTable:
        """Return the final rows of the runs of a large history, by group and metric."""
        columns, metrics = columns_of_each(texts, headings_of(source), request, reading)
        return final_rows(
            source,
            **{name: reading[name] for name in ("mapping", "log10", "loss_unit") if name in reading},
            needed=metrics[0].request(request).needed_roles,
            keys=columns,
            losses=[metric.column for metric in metrics if metric.role == "loss"],
        )

    last = bool(reading.get("last"))
    table, (columns, found) = open_table(
        runs,
        recognised,
        by_step=last or "params" not in request.needed_roles,
        reduced=reduced if last else None,
    )
    groups, apart = split_rows(table, columns)
    _require_few(groups, columns, len(table.rows))
    metrics = [
        (metric, _read(table, known, metric.request(request), reading, apart if columns else None))
        for metric, known in found
    ]
    if all(isinstance(rows, ScaleplanError) for _, rows in metrics):
        raise next(rows for _, rows in metrics if isinstance(rows, ScaleplanError))
    plan = FleetPlan(
        table=table,
        source=str(runs) if isinstance(runs, str | Path) else table.source,
        request=request,
        keywords=dict(keywords),
        columns=columns,
        groups=tuple(groups),
        codes=np.array(apart, dtype=np.intp),
        metrics=tuple(metrics),
    )
    if not plan.pairs:
        raise _no_laws(plan)
    return plan


def _require_few(groups: Sequence[FleetGroup], columns: Sequence[str], rows: int) -> None:
    """Refuse columns that tell nearly every row from the others, such as the tokens of a history."""
    if len(groups) > _MANY and rows < _LEAST_ROWS * len(groups):
        raise UsageError(
            f"--each {','.join(map(escape_control, columns))} makes {len(groups):,} groups of {rows:,} rows, too few "
            "each for a law",
            hint="name columns of fewer values; --last takes the final rows of a history's runs",
        )


def _no_laws(plan: FleetPlan) -> ScaleplanError:
    """Return why there is nothing to fit."""
    for _, rows in plan.metrics if plan.groups else ():
        try:
            if not isinstance(rows, ScaleplanError):
                rows.cleaned()
        except ScaleplanError as error:  # of all rows, as a fit to them says it
            return error
    which = "row that is left" if plan.groups else "row"
    return UsageError(
        f"no {which} has a value in {' and '.join(map(quote, plan.columns))}", hint="name other columns"
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
    groups: tuple[FleetGroup, ...]
    codes: Index
    metrics: tuple[tuple[FleetMetric, RunRows | ScaleplanError], ...]

    @cached_property
    def members(self) -> tuple[tuple[Index, ...], ...]:
        """The positions of the rows of each group among those of each metric."""
        found = []
        for _, rows in self.metrics:
            codes = self.codes if isinstance(rows, ScaleplanError) else self.codes[rows.places]
            found.append(positions_by_code(codes, len(self.groups)))
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
                id="-".join([made, *(value_part(value, ascii_only=True) for value in names.values())])[:LONGEST_ID],
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

    def _reading(self, group: FleetGroup, metric: FleetMetric) -> dict[str, object]:
        """Return the keywords of reading by which a fit alone has the runs of a group."""
        given = reading_arguments(self.keywords)
        reading = {**self.keywords, "where": [*given.get("where", ()), *group.conditions]}
        if metric.role == "loss":
            reading["map"] = {**given.get("mapping", {}), "loss": metric.column}
        return reading

    def files(self, path: str) -> list[Path]:
        """Return the file of each law: the path with its values for ``{COLUMN}`` and ``{loss}``.

        Raises UsageError for a path that does not tell the laws apart, or a placeholder that is none.
        """
        roles = [metric.role for metric, _ in self.metrics if metric.role]
        laws = [self._names(group, number) for group, number in self.pairs]
        return files_of_laws(path, laws, dict.fromkeys([*self.columns, *roles]))

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
        fitted = sum(law.status != NOT_FITTED for law in laws)
        if not fitted:
            raise none_fitted(laws)
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
            warnings=(*self._left_out(), *self._other_units(), *common_warnings(laws)),
        )
        return FittedFleet(fleet=fleet, plan=self, presets=tuple(presets))

    def _blocks(self, size: int, *, with_presets: bool) -> Iterator[_Block]:
        parts = self._parts()
        while block := tuple(islice(parts, size)):
            yield _Block(block, self.source, with_presets)

    def _other_units(self) -> Iterator[Notice]:
        """Yield a warning for metrics in rows whose names state another unit than that of the loss, once a unit."""
        if "loss" not in self.request.needed_roles or self.request.y != "loss":
            return
        wanted = str(self.keywords.get("loss_unit") or "nats")
        found: dict[str, list[str]] = {}
        for value in dict.fromkeys(value for group in self.groups for value in group.values.values()):
            unit = contradicted_unit(value, wanted)
            if unit is not None:
                found.setdefault(unit, []).append(value)
        for unit, names in found.items():
            meaning, read = LOSS_UNITS[unit].meaning, LOSS_UNITS[wanted].meaning
            yield Notice(
                code="other_unit",
                message=f"{listed(names, most=_MOST_NAMED)}: in {meaning} by {'its' if len(names) == 1 else 'their'} "
                f"name, and read as {read}: --loss-unit {unit} reads {'it' if len(names) == 1 else 'them'}, and "
                "--where leaves out the others",
            )

    def _left_out(self) -> tuple[Notice, ...]:
        without = int(np.count_nonzero(self.codes < 0))
        if not without:
            return ()
        names = " or ".join(map(quote, self.columns))
        count = f"{without:,} of {len(self.table.rows):,} rows"
        message = f"{count} have no value in {names}, and are in no group"
        return (Notice(code="no_group", message=message),)


def _recognised(
    table: RawTable,
    metric: FleetMetric,
    losses: Sequence[str],
    request: FitRequest,
    reading: Mapping[str, Any],
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
            losses=losses,
        )
    except ScaleplanError as error:
        return error


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
    of_part: dict[str, Any] = {"group": part.group, "metric": part.metric, "rows": part.size}
    law = None
    try:
        if isinstance(part.rows, ScaleplanError):
            raise part.rows
        result = fit_runs(part.request, part.rows.cleaned(), source=block.source)
        law = law_of_fit(result, **of_part)
        _ = result.preset  # refuses what would not read back
        return law, result.to_toml() if block.with_presets else None
    except ScaleplanError as error:
        if law is not None:  # of coefficients that no preset may hold, which are still shown
            return replace(law, reason=error.message, hint=error.hint), None
        return law_without_fit(error, **of_part, level=part.request.level), None
