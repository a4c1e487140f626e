"""A fitted law → a preset: complete, reproducible to the byte, and ready for every question of the planner.

What a preset file says of its coefficients: a covariance where one describes the resamples, or some of them.

A covariance serves every question, takes the backtest on top, and is short. It does not describe resamples that
pile up on a bound (a floor at zero, an exponent at its limit) or run off to infinity (a law that is not identified):
there the resamples themselves are written, thinned to what gives a 90 % interval to about a tenth of its width.
"""

from __future__ import annotations

import re
from dataclasses import fields
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scaleplan import __version__
from scaleplan.errors import UsageError, escape_control
from scaleplan.files import write_atomic
from scaleplan.fitting.cleaning import REASONS
from scaleplan.fitting.columns import words
from scaleplan.laws.curves import BNSL, ChancePower, MultiplicativePower, OffsetPower, Power, ShiftedPower
from scaleplan.presets.preset import LN, SCHEMA, BacktestRms, Uncertainty
from scaleplan.presets.reader import preset_of
from scaleplan.toml_table import Table, toml_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy import bool_, float64
    from numpy.typing import NDArray

    from scaleplan.fitting.additive_fit import AdditiveFit
    from scaleplan.fitting.backtest import Backtest
    from scaleplan.fitting.bootstrap import Bootstrap
    from scaleplan.fitting.cleaning import Finding
    from scaleplan.fitting.fit_result import FitResult
    from scaleplan.laws.base import Law
    from scaleplan.presets.preset import Preset

    Array = NDArray[float64]

__all__ = [
    "backtest_rows",
    "curve_uncertainty",
    "group_slug",
    "params_convention",
    "preset_id",
    "preset_of_fit",
    "preset_table",
    "preset_text",
    "row_text",
    "surface_uncertainty",
    "write_preset",
]

_NOT_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def write_preset(fitted: FitResult, path: str | Path) -> Path:
    """Write the preset file whole or not at all, after checking that it reads back as the same law.

    Raises
    ------
    UsageError
        For a fit that is no single law.
    FileError
        When the file cannot be written, or the law is none that a preset may hold.

    """
    place = Path(path)
    preset_of_fit(fitted)
    write_atomic(place, preset_text(fitted))
    return place


def preset_of_fit(fitted: FitResult) -> Preset:
    """Return the preset of a fit, checked by the same rules as one read from a file."""
    return preset_of(Table(preset_table(fitted), source=f"the fit to {fitted.runs.name}"))


def preset_text(fitted: FitResult) -> str:
    """Return the text of the preset file."""
    return toml_text(preset_table(fitted))


def preset_id(fitted: FitResult) -> str:
    """Return the id asked for, or one made from the name of the file; with the group for a member."""
    made = fitted.request.id or group_slug(Path(fitted.runs.name).stem) or "fit"
    group = "" if fitted.group is None else f"-{group_slug(fitted.group)}"
    return (made + group)[:80]


def preset_table(fitted: FitResult) -> dict[str, object]:
    """Return a fit as the mapping of its preset file.

    Raises
    ------
    UsageError
        For a fit that is no single law: groups, or repetition over another law.

    """
    law, request, runs = fitted.law, fitted.request, fitted.runs
    if law is None:
        if fitted.members:
            raise UsageError("a grouped fit is one law a group", hint="-o 'law-{group}.toml' writes each")
        raise UsageError(f"form '{request.form}' gives a correction to a law, and no law of its own to write")
    of_group = "" if fitted.group is None else f", group {fitted.group}"
    table = {
        "schema": SCHEMA,
        "id": preset_id(fitted),
        "title": request.title or escape_control(f"Fit to {runs.name}{of_group}"),
        "form": law.form,
        "source": request.source or f"scaleplan fit, {len(runs)} runs of {escape_control(runs.name)}",
        "status": "refit",
        "coefficients": _coefficients(law),
        "uncertainty": None if fitted.uncertainty is None else _uncertainty(fitted.uncertainty),
        "conventions": {
            "params": params_convention(fitted),
            "flops": runs.flops_convention,
            "loss": runs.loss_unit,
            "tokenizer": request.tokenizer,
            "corpus": request.corpus,
        },
        "range": _range(fitted),
        "use": None if fitted.refusal is None else {"allocate": False, "reason": fitted.refusal},
        "notes": _notes(fitted) or None,
        "fit": _provenance(fitted),
    }
    return {key: _present(value) for key, value in table.items() if value is not None}


def _present(value: object) -> object:
    """Return a value without the keys that hold None: TOML has no such value, and absent says it."""
    if isinstance(value, dict):
        return {key: _present(item) for key, item in value.items() if item is not None}
    return [_present(item) for item in value] if isinstance(value, list) else value


def params_convention(fitted: FitResult) -> str:
    """Return how the runs count parameters: as asked, or as the name of the column says, or in total."""
    if fitted.request.params_convention is not None:
        return fitted.request.params_convention
    if fitted.runs.flops_convention == "MD":
        return "flops_per_token"
    spoken = words(fitted.runs.columns.get("params", ""))
    if re.search(r"\b(non ?emb\w*|no emb\w*)\b", spoken):
        return "non_embedding"
    return "active" if "active" in spoken.split() else "total"


def row_text(rows: Iterable[int]) -> str:
    """Return row numbers as text: ``2-6, 9``."""
    numbered = enumerate(sorted(rows))
    runs = [[row for _, row in chunk] for _, chunk in groupby(numbered, key=lambda item: item[1] - item[0])]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def group_slug(text: str) -> str:
    """Return a text as part of an id or of a file's name."""
    return _NOT_NAME.sub("-", text).strip("-._").lower()[:60]


def _coefficients(law: Law) -> dict[str, object]:
    if isinstance(law, MultiplicativePower):
        return {"y": law.y, "a": law.a, "exponents": dict(law.exponents)}
    named = isinstance(law, Power | OffsetPower | ShiftedPower | ChancePower | BNSL)
    names: dict[str, object] = {"x": law.x, "y": law.y} if named else {}  # type: ignore[attr-defined]
    return {**names, **{name: float(value) for name, value in law.coefficients().items()}}


def _uncertainty(known: Uncertainty) -> dict[str, object]:
    tested = known.backtest
    return {
        "parameters": list(known.parameters),
        "covariance": [list(row) for row in known.covariance] or None,
        "draws": [list(row) for row in known.draws] or None,
        "method": known.method,
        "samples": known.samples,
        "backtest": None if tested is None else {"factors": list(tested.factors), "rms": list(tested.rms)},
    }


def _range(fitted: FitResult) -> dict[str, object]:
    runs = fitted.runs
    with np.errstate(all="ignore"):
        ratio = runs.tokens / runs.params
    spans = {"params": runs.params, "tokens": runs.tokens, "flops": runs.flops, "tokens_per_param": ratio}
    return {
        name: [float(np.min(values)), float(np.max(values))]
        for name, values in spans.items()
        if np.all(np.isfinite(values))
    }


def _notes(fitted: FitResult) -> list[dict[str, object]]:
    """Return the reservations; those that concern every plan are marked to be repeated with each."""
    diagnosis = fitted.diagnosis
    if diagnosis is None:
        warn = {"warn": True} if fitted.request.method == "envelope" else {}
        return [{"text": escape_control(remark), **warn} for remark in fitted.remarks]
    notes: list[dict[str, object]] = [
        {"text": escape_control(flag.message), "warn": True} for flag in diagnosis.flags if not flag.unidentified
    ]
    if diagnosis.outliers.rows:
        text = f"rows {row_text(diagnosis.outliers.rows)} stand far from the fit of the others and were used"
        notes.append({"text": text})
    return notes


def _provenance(fitted: FitResult) -> dict[str, object]:
    runs, request = fitted.runs, fitted.request
    objective = request.objective
    return {
        "program": f"scaleplan {__version__}",
        "file": escape_control(runs.name),
        "sha256": runs.sha256,
        "columns": {role: escape_control(text) for role, text in runs.columns.items()},
        "reading": dict(fitted.reading) or None,
        "rows_used": len(runs),
        "rows": row_text(runs.rows.tolist()),
        "dropped": _findings(runs.dropped),
        "flagged": _findings(runs.flagged),
        "form": request.form,
        "method": request.method,
        "residual": objective.residual,
        "robust": objective.robust,
        "delta": objective.delta if objective.robust == "huber" else None,
        "weights": "none" if runs.weight is None else "column",
        "tied": request.tied,
        "floor": "fitted" if request.floor is None else request.floor,
        "samples": None if fitted.uncertainty is None else request.samples,
        "seed": None if fitted.uncertainty is None else request.seed,
        "status": _status(fitted),
        "scores": _scores(fitted),
    }


def _status(fitted: FitResult) -> str | None:
    return None if fitted.diagnosis is None else fitted.diagnosis.status


def _findings(found: Sequence[Finding]) -> list[dict[str, object]]:
    reasons = list(dict.fromkeys(finding.reason for finding in found))
    rows = {reason: [finding.row for finding in found if finding.reason == reason] for reason in reasons}
    return [
        {"reason": reason, "meaning": REASONS[reason], "count": len(rows[reason]), "rows": row_text(rows[reason])}
        for reason in reasons
    ]


def _scores(fitted: FitResult) -> dict[str, object]:
    scores: dict[str, object] = {"objective": fitted.score, "converged": fitted.converged}
    if fitted.bounds:
        scores["on_bound"] = list(fitted.bounds)
    if fitted.residuals is not None:
        scores["rms_residual"] = float(np.sqrt(np.mean(fitted.residuals**2)))
    if fitted.diagnosis is not None:
        scores |= _diagnosis(fitted.diagnosis)
    return scores


def _diagnosis(found: AdditiveFit) -> dict[str, object]:
    residuals = found.residuals
    return {
        "spread": residuals.spread,
        "share_inside_delta": residuals.inside,
        "aicc_excess": {item.name: item.aicc_excess for item in found.alternatives if np.isfinite(item.aicc_excess)},
        "backtest": [] if found.tested is None else backtest_rows(found.tested),
    }


def backtest_rows(tested: Backtest) -> list[dict[str, object]]:
    """Return the errors by factor of extrapolation as plain mappings."""
    return [
        {
            "factor": item.middle,
            "factors": list(item.factors),
            "runs": item.runs,
            "bias": item.bias,
            "rms": item.rms,
            "coverage": item.coverage,
        }
        for item in tested.bins
    ]


_DRAWS = 400

_OFTEN = 0.05  # the share of resamples on a bound from which a covariance misleads

_PROBES = (1e12, 1e30)  # FLOP: a preset must answer between these


def surface_uncertainty(fit: AdditiveFit) -> Uncertainty | None:
    """Return the uncertainty of an additive fit with its backtest, or None without resamples."""
    resamples = fit.resamples
    if resamples is None:
        return None
    tested = fit.tested
    backtest = None if tested is None else BacktestRms(factors=tested.factors, rms=tested.rms)
    method = _method(fit, resamples)
    piled_up = resamples.exponents_at_bound > _OFTEN or "E" in resamples.parameters
    if fit.identified and not piled_up:
        covariance = resamples.covariance()
        return Uncertainty(
            parameters=resamples.parameters,
            covariance=_rows(0.5 * (covariance + covariance.T)),
            method=method,
            samples=resamples.samples,
            backtest=backtest,
        )
    usable = _usable(resamples)
    if not usable.any():
        return None
    kept = resamples.draws[usable][:_DRAWS]
    lost = int(np.count_nonzero(~usable))
    note = f"; the first {len(kept)} of them{_lost(lost)}"
    return Uncertainty(
        parameters=("ln A", "ln B", "E", "alpha", "beta"),
        draws=_rows(kept),
        method=method + note,
        samples=resamples.samples,
        backtest=backtest,
    )


def curve_uncertainty(law: Law, columns: dict[str, Array]) -> Uncertainty | None:
    """Return the draws of coefficients that were resampled together, or None without resamples.

    ``columns`` holds the draws of each coefficient of ``law`` by its name in the law. A draw outside the domain of
    the law, such as an exponent of the wrong sign, is left out, and ``method`` says how many were.
    """
    if not columns or not all(len(column) for column in columns.values()):
        return None
    domains = {item.name: item.metadata for item in fields(law)}
    usable = np.ones(len(next(iter(columns.values()))), dtype=bool)
    told, parameters = [], []
    for name, column in columns.items():
        domain: Mapping[str, float | None] = domains.get(name, {})
        above, least = domain.get("above"), domain.get("at_least")
        usable &= np.isfinite(column)
        usable &= (column > above) if above is not None else True
        usable &= (column >= least) if least is not None else True
        logarithmic = above == 0 and bool(np.all(column > 0))
        told.append(np.log(column) if logarithmic else column)
        parameters.append(f"{LN}{name}" if logarithmic else name)
    kept = np.stack(told, axis=1)[usable][:_DRAWS]
    if not len(kept):
        return None
    lost = int(np.count_nonzero(~usable))
    return Uncertainty(
        parameters=tuple(parameters),
        draws=_rows(kept),
        method=f"case bootstrap of the rows; the first {len(kept)} resamples{_lost(lost)}",
        samples=len(usable),
    )


def _lost(count: int) -> str:
    return f" that give finite answers ({count} do not)" if count else ""


def _method(fit: AdditiveFit, resamples: Bootstrap) -> str:
    drawn = "training runs (all points of one together)" if resamples.unit == "cluster" else "runs"
    layers = f" within {resamples.strata} budgets" if resamples.strata > 1 else ""
    objective = fit.solution.objective
    delta = f" {objective.delta:g}" if objective.robust == "huber" else ""
    return (
        f"bootstrap of {drawn}{layers}, {objective.robust}{delta} on {objective.residual} loss, seed {resamples.seed}"
    )


def _usable(resamples: Bootstrap) -> NDArray[bool_]:
    """Return which resamples a preset may hold: finite, positive answers over all budgets."""
    with np.errstate(all="ignore"):
        laws = resamples.laws()
        good = np.isfinite(resamples.draws).all(axis=1) & (laws.A > 0) & (laws.B > 0) & (laws.E >= 0)
        for flops in _PROBES:
            side = np.full(resamples.samples, (flops / 6) ** 0.5)
            for answer in (laws.loss(side, side), *laws.best_split(np.full(resamples.samples, flops / 6))):
                good &= np.isfinite(answer) & (np.asarray(answer) > 0)
    return np.asarray(good, dtype=bool)


def _rows(matrix: Array) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) for value in row) for row in matrix)
