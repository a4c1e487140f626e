"""Register a forecast before its run, resolve it by what came out, and read the record of a folder of forecasts."""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from scaleplan import api
from scaleplan.errors import FileError, Notice, UsageError, quote
from scaleplan.files import is_file, is_folder, read_bytes, read_text
from scaleplan.logs.collect import runs
from scaleplan.logs.run_sizes import names_listed
from scaleplan.planning.context import Context
from scaleplan.planning.uncertainty import require_level
from scaleplan.presets.preset import NOT_STATED
from scaleplan.project.saved import MAX_SAVED_BYTES, read_located
from scaleplan.project.source import display_name
from scaleplan.tables.frames import source_name
from scaleplan.tables.loss_units import LOSS_UNITS
from scaleplan.tracking.registered import (
    LEVELS,
    LossInterval,
    Outcome,
    RegisteredForecast,
    TrackRecord,
    changed_error,
    content_hash,
    scored,
    track_record,
)
from scaleplan.units import format_count, format_number, format_plain, parse_fraction, parse_positive
from scaleplan.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scaleplan.logs.logged_run import LoggedRun
    from scaleplan.planning.plan import Plan
    from scaleplan.planning.request import BudgetKeywords
    from scaleplan.presets.preset import Preset
    from scaleplan.tables.frames import TableLike
    from scaleplan.units import Amount

__all__ = ["forecasts", "outcome_path", "read_forecast", "register", "resolve"]

_FORECAST, _OUTCOME = RegisteredForecast.schema, Outcome.schema
_MOST_FILES = 10_000  # JSON files of a folder that are looked at
_BUDGETS = ("flops", "gpu_hours", "time", "cost")


def register(
    *, name: str | None = None, note: str | None = None, **options: Unpack[BudgetKeywords]
) -> RegisteredForecast:
    """Return the forecast of a run, to be written down before it is trained.

    Parameters
    ----------
    name
        What the run is called; its size on its tokens if not given.
    note
        A remark that is kept with it.
    options
        As for :func:`scaleplan.optimal`; ``params`` with ``tokens``, and no budget, ask for the loss of that run.

    Raises
    ------
    UsageError
        When the law has no loss, or no intervals to be held to.

    """
    given: dict[str, Any] = {key: value for key, value in options.items() if value not in (None, False, (), [])}
    context = Context()
    level = parse_fraction(given.pop("level", 0.9))
    levels = sorted({*LEVELS, require_level(level)})
    plans = {each: _planned(given, each, context) for each in levels}
    plan = plans[level]
    if plan.loss is None:
        raise UsageError(f"{plan.preset} has no loss to register", hint="besiroglu-2024 has one, and so has a fit")
    intervals = tuple(
        LossInterval(level=each, loss=found.interval.loss)
        for each, found in plans.items()
        if found.interval is not None and found.interval.loss is not None
    )
    if not intervals:
        hint = "a law of your own has them: 'scaleplan fit runs.csv -o my-law.toml'"
        raise UsageError(f"{plan.preset} has no interval of this loss to be held to", hint=hint)
    preset = context.preset(plan.preset if given.get("preset") is None else given["preset"])
    return _hashed(plan, intervals, preset, question={**_question(given), "level": level}, name=name, note=note)


def _planned(given: Mapping[str, Any], level: float, context: Context) -> Plan:
    """Return the plan of a question at a level: of a run where its two sides are given, else of a budget."""
    if "params" in given and "tokens" in given and not any(budget in given for budget in _BUDGETS):
        return api.loss(**given, level=level, data=context)
    return api.optimal(**given, level=level, data=context)


def _question(given: Mapping[str, Any]) -> dict[str, object]:
    """Return the options of a question as JSON: what is no text or number by its name."""
    plain: dict[str, object] = {}
    for key, value in given.items():
        if key == "overhead":  # no part of what is forecast
            continue
        if isinstance(value, str | int | float):
            plain[key] = value
        elif isinstance(value, list | tuple):
            plain[key] = [str(each) for each in value]
        else:
            plain[key] = str(getattr(value, "id", value))
    return plain


def _hashed(
    plan: Plan,
    intervals: tuple[LossInterval, ...],
    preset: Preset,
    *,
    question: Mapping[str, object],
    name: str | None,
    note: str | None,
) -> RegisteredForecast:
    """Return the record with the hash of its content."""
    fit = preset.fit or {}
    conventions = preset.conventions
    assert plan.loss is not None
    forecast = RegisteredForecast(
        name=name or f"{format_count(plan.params)} on {format_count(plan.tokens)} tokens",
        registered=_now(),
        version=__version__,
        question=question,
        preset=plan.preset,
        preset_sha256=hashlib.sha256(read_bytes(Path(preset.origin), what="preset")).hexdigest(),
        runs=None if fit.get("file") is None else str(fit["file"]),
        runs_sha256=None if fit.get("sha256") is None else str(fit["sha256"]),
        form=plan.form,
        flops=plan.flops,
        params=plan.params,
        tokens=plan.tokens,
        params_convention=plan.params_convention,
        flops_convention=plan.flops_convention,
        loss_unit=plan.loss_unit,
        tokenizer=None if conventions.tokenizer == NOT_STATED else conventions.tokenizer,
        corpus=None if conventions.corpus == NOT_STATED else conventions.corpus,
        loss=plan.loss,
        intervals=intervals,
        note=note,
        warnings=(*plan.warnings, *_not_ones_own(plan)),
    )
    return replace(forecast, sha256=content_hash(forecast.to_dict()))


def _not_ones_own(plan: Plan) -> tuple[Notice, ...]:
    """Return a warning for a published law, whose loss is of another text than that of the run."""
    if plan.loss_text is None:
        return ()
    message = f"{plan.preset} is a published law, whose loss is of its own text and tokenizer, not of your run"
    return (Notice(code="published_law", message=f"{message}: register a law fitted to your own pilots"),)


def _now() -> str:
    """Return the date and time in UTC; that of ``SOURCE_DATE_EPOCH`` where it is set, for files made twice alike."""
    fixed = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        moment = datetime.fromtimestamp(int(fixed), UTC) if fixed else datetime.now(UTC)
    except (ValueError, OverflowError, OSError):
        hint = "it counts the seconds since 1970; unset it for the time of now"
        raise UsageError(f"SOURCE_DATE_EPOCH is {quote(fixed)}, no time", hint=hint) from None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def read_forecast(path: str | Path) -> RegisteredForecast:
    """Return the registered forecast in a file.

    Raises FileError for a file that is none, and for one that was changed after it was registered.
    """
    found = _read(Path(path))
    if not isinstance(found, RegisteredForecast):
        hint = "'scaleplan register … -o FILE' writes one"
        raise FileError(f"{display_name(Path(path))}: this is no registered forecast", hint=hint)
    if not found.unchanged:
        raise changed_error(display_name(Path(path)))
    return found


def _read(path: Path) -> object:
    """Return the record in a file; of a forecast with keys beside its own the hash is that of no content."""
    name = display_name(path)
    text = read_text(path, what="forecast", limit=MAX_SAVED_BYTES)
    found = read_located(text, name=name)
    if isinstance(found, RegisteredForecast) and content_hash(json.loads(text)) != found.sha256:
        return replace(found, sha256=f"not {found.sha256}")
    return found


def outcome_path(forecast: str | Path) -> Path:
    """Return where the outcome of a forecast is kept: beside it, ``big.json`` with ``big.outcome.json``."""
    return Path(forecast).with_suffix(".outcome.json")


def resolve(forecast: str | Path, log: TableLike | None = None, *, loss: Amount | None = None) -> Outcome:
    """Score a registered forecast by the loss that came out.

    Parameters
    ----------
    forecast
        The file that was registered.
    log
        The log of the run, in any format that :func:`scaleplan.runs` reads, or a data frame of its steps; or
        ``loss``.
    loss
        The final loss of the run, in the unit of the forecast.

    Raises
    ------
    UsageError
        Without an outcome, or with two.
    FileError
        When the file is no forecast, or was changed.

    """
    found = read_forecast(forecast)
    if (log is None) == (loss is None):
        raise UsageError(
            "one outcome is needed: a log or a loss", hint="scaleplan resolve forecast.json --loss 2.234"
        )
    value, source, warnings = (parse_positive(loss), "stated", ()) if loss is not None else _of_log(log, found)
    warnings = (*warnings, *_doubts(found, value))
    return scored(found, value, resolved=_now(), source=source, warnings=warnings)


def _of_log(log: TableLike | None, forecast: RegisteredForecast) -> tuple[float, str, tuple[Notice, ...]]:
    """Return the final loss of a log, where it comes from, and what the log warns of.

    Raises UsageError for a log of several runs, of a run that has not ended well, or of another run than forecast.
    """
    assert log is not None
    table = runs(log)
    if len(table.runs) > 1:
        names = names_listed([each.run for each in table.runs])
        several = f"{quote(source_name(log))} holds {len(table.runs)} runs: {names}"
        raise UsageError(several, hint="name the log of one")
    run = table.runs[0]
    _require_its_run(run, forecast)
    validated = run.validated_at_end or run.loss is None
    value = run.val_loss if validated else run.loss
    if value is None:
        raise UsageError(f"{quote(source_name(log))} has no loss", hint="--loss states it")
    if validated:
        source = f"{run.source}: validation loss at step {run.val_step or 0:,.0f}"
    else:
        source = f"{run.source}: training loss, {run.smoothing}"
    kept = tuple(each for each in table.warnings if each.code not in _SIZES_UNKNOWN)
    return value, source, (*kept, *_of_outcome(run, validated=validated))


_SIZES_UNKNOWN = frozenset({"params_unknown", "tokens_unknown", "state_unknown"})
"""Warnings that name an option of ``runs``; the forecast has the sizes."""


def _of_outcome(run: LoggedRun, *, validated: bool) -> Iterator[Notice]:
    """Yield what is to be doubted of a final loss."""
    if run.state is None:
        message = "whether the run finished is not known: its last loss is taken as the final one"
        yield Notice(code="state_unknown", message=message)
    if not validated and run.loss is not None and run.val_loss is not None:
        message = (
            f"the training loss is scored, as the last validation is at step {run.val_step or 0:,.0f} of "
            f"{run.steps or 0:,.0f}; --loss {format_plain(run.val_loss)} scores that"
        )
        yield Notice(code="training_outcome", message=message)


_ALIKE = 0.02  # of tokens and parameters: a last partial batch, and counts by another convention of the embeddings


def _require_its_run(run: LoggedRun, forecast: RegisteredForecast) -> None:
    """Refuse a run that is another than the one forecast, or that did not come to its end; raises UsageError."""
    hint = "--loss states the outcome all the same"
    if run.state in ("running", "crashed", "diverged", "stopped"):
        raise UsageError(f"run {quote(run.run)} is {run.state}, and has no final loss", hint=hint)
    unit = LOSS_UNITS[run.loss_unit].meaning
    if forecast.loss_unit not in (unit, NOT_STATED):
        message = f"the loss of run {quote(run.run)} is in {unit}, and that of the forecast in {forecast.loss_unit}"
        raise UsageError(message, hint=hint)
    for name, found, expected in (
        ("tokens", run.tokens, forecast.tokens),
        ("parameters", run.params, forecast.params),
    ):
        if found is not None and abs(found / expected - 1) > _ALIKE:
            there, here = format_count(found), format_count(expected)
            raise UsageError(f"run {quote(run.run)} has {there} {name}, and the forecast is of {here}", hint=hint)


_FAR = math.log(1.5)  # no forecast of a loss is off by half: it is of another unit, or of another run


def _doubts(forecast: RegisteredForecast, loss: float) -> tuple[Notice, ...]:
    """Return a warning for a loss that can hardly be of the same unit."""
    if abs(math.log(loss / forecast.loss)) < _FAR:
        return ()
    message = (
        f"the loss {format_plain(loss)} is far from the forecast {format_number(forecast.loss, digits=4)}: is "
        f"it in {forecast.loss_unit}?"
    )
    return (Notice(code="other_unit", message=message),)


def forecasts(folder: str | Path, *, level: Amount = 0.9) -> TrackRecord:
    """Return the record of the forecasts in a folder and below: how often their intervals held.

    Parameters
    ----------
    folder
        Where the forecasts and their outcomes are.
    level
        The level of the intervals in its rows.

    Raises
    ------
    FileError
        When there is no folder, or no forecast in it.

    """
    top, shown = Path(folder), require_level(parse_fraction(level))
    if not is_folder(top):
        raise FileError(f"{quote(folder)} is not a folder", hint="name the folder of the forecasts")
    found: dict[str, RegisteredForecast] = {}
    outcomes: list[Outcome] = []
    warnings: list[Notice] = []
    for path in _json_files(top):
        try:
            record = _read(path)
        except FileError as error:
            if _mentions(path):
                warnings.append(Notice(code="unreadable", message=str(error)))
            continue
        if isinstance(record, RegisteredForecast):
            found[path.relative_to(top).as_posix()] = record
        elif isinstance(record, Outcome):
            outcomes.append(record)
    if not found:
        hint = "'scaleplan register … -o FILE' writes one"
        raise FileError(f"there is no registered forecast in {quote(folder)}", hint=hint)
    warnings += _contradictions(found, outcomes)
    return track_record(str(folder), found, outcomes, level=shown, warnings=warnings)


def _json_files(top: Path) -> Iterator[Path]:
    """Yield the JSON files of a folder and below, in the order of their names, hidden folders left out."""
    seen = 0
    for folder, inner, names in os.walk(top):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if name.endswith(".json") and is_file(path):
                seen += 1
                if seen > _MOST_FILES:
                    raise UsageError(
                        f"more than {_MOST_FILES:,} JSON files in {quote(top)}", hint="name a smaller folder"
                    )
                yield path


def _mentions(path: Path) -> bool:
    """Return whether a file that cannot be read was to be a forecast or an outcome."""
    try:
        text = path.read_bytes()[:4096]
    except OSError:
        return False
    return any(schema.encode() in text for schema in (_FORECAST, _OUTCOME))


def _contradictions(found: Mapping[str, RegisteredForecast], outcomes: list[Outcome]) -> Iterator[Notice]:
    """Yield what does not agree: changed forecasts, one kept twice, outcomes of none, several outcomes of one."""
    files: dict[str, list[str]] = {}
    for file, forecast in found.items():
        files.setdefault(forecast.sha256, []).append(file)
        if not forecast.unchanged:
            yield Notice(code="changed", message=f"{file} was changed after it was registered: it counts for nothing")
    for names in files.values():
        if len(names) > 1:
            yield Notice(code="twice", message=f"{' and '.join(names)} are the same forecast: it counts once")
    losses: dict[str, list[float]] = {}
    for outcome in outcomes:
        losses.setdefault(outcome.forecast_sha256, []).append(outcome.loss)
        if outcome.forecast_sha256 not in files:
            message = f"the outcome of {quote(outcome.name)} belongs to no forecast here: changed, or kept elsewhere"
            yield Notice(code="no_forecast", message=message)
    for sha256, values in losses.items():
        if len(set(values)) > 1 and sha256 in files:
            several = ", ".join(format_plain(value) for value in values)
            message = f"{files[sha256][0]} has several outcomes ({several}): the first counts"
            yield Notice(code="outcomes", message=message)
