"""The result of a fit: a law with its errors, the plan at a target, and how JSON and a preset file write it."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from scaleplan.errors import FileError, Notice, UnreachableError, UsageError, escape_control, quote
from scaleplan.files import write_atomic, write_together
from scaleplan.fitting.diagnosed_fit import variations
from scaleplan.fitting.fit_tables import (
    backtest_data,
    by_factor,
    coefficients_table,
    diagnosis_data,
    findings_tables,
    forecast_data,
    residuals_data,
    scores,
    uncertainty_table,
)
from scaleplan.fitting.law_files import name_part
from scaleplan.fitting.objective import rms
from scaleplan.fitting.runs import row_text, rows_text
from scaleplan.laws.base import Cost, Curve, LossSurface
from scaleplan.planning.planner import ImplausibleError, Planner
from scaleplan.planning.posterior import forecast_interval
from scaleplan.planning.problem import Problem
from scaleplan.planning.solver import solve
from scaleplan.presets.library import preset_of, require_written_by_fit
from scaleplan.presets.preset import SCHEMA as PRESET_SCHEMA
from scaleplan.record import Record, Result, as_mapping
from scaleplan.toml_table import Table, toml_text
from scaleplan.units import (
    format_count,
    format_factor,
    format_flops,
    format_fraction,
    format_number,
    format_plain,
    format_range,
)
from scaleplan.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scaleplan.arrays import Array
    from scaleplan.fitting.approaches import Approach
    from scaleplan.fitting.backtest import Backtest
    from scaleplan.fitting.diagnosed_fit import Coefficient, DiagnosedFit, Variation
    from scaleplan.fitting.diagnosis import Flag
    from scaleplan.fitting.fit_request import FitRequest
    from scaleplan.fitting.forecaster import Forecaster
    from scaleplan.fitting.runs import Runs
    from scaleplan.laws.base import Law
    from scaleplan.laws.forecast import Forecast
    from scaleplan.planning.plan import Plan
    from scaleplan.presets.preset import Line, Preset, Uncertainty

__all__ = ["FitAnswer", "FitResult"]


_KNOWN = 10.0
"""The factor either way within which an optimum must be known to be called so: a hundredfold in all."""

_OF_COEFFICIENTS = frozenset({"lack_of_fit", "steep", "ridge", "resamples_at_bound", "resamples_failed"})
"""Flags about the plain law alone, whose misfit a forecast corrects and holds in its intervals."""

_MOST_NAMED = 6  # rows in a warning, whose option names all of them

_NOT_IN_FILE = "not in the file; state it with the law"

_SURFACE_KEYS = (
    "flags",
    "information",
    "outliers",
    "influence",
    "alternatives",
    "resampling",
    "backtest",
    "lack_of_fit",
    "forecast",
)


class FitResult(Record, Result, eq=False):
    """The result of :func:`scaleplan.fit`.

    Attributes
    ----------
    runs, request
        The runs that were read, with the account of those that were not used, and the settings of the fit.
    law
        The law in raw units; None for groups. Of repetition it is the base law with the fitted decays.
    values
        Coefficients, and what follows from them, with errors and intervals.
    score, residuals, converged, bounds
        The objective, fitted minus observed in its unit, whether the descent ended, and what ended on a bound;
        None where the method has no objective.
    remarks
        Reservations about this fit, one sentence each.
    uncertainty
        The errors of the coefficients as a preset holds them; None where the method gives none.
    forecaster, forecast
        Of a surface the law with what it misses, and its compact form that plans are made by; else None.
    backtest
        Of a surface that is fitted by itself, how forecasts from the smaller runs met the larger ones.
    diagnosis, approaches
        Of a surface fitted by itself, and for the method ``all`` the methods side by side.
    line
        The line in (params, tokens) on which alone the runs determine the law, or None.
    members, group
        The fit of each group, when grouped; the name of the group, for a member.

    """

    runs: Runs
    request: FitRequest
    law: Law | None = None
    values: tuple[Coefficient, ...] = ()
    score: float | None = None
    residuals: Array | None = None
    converged: bool = True
    bounds: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    uncertainty: Uncertainty | None = None
    diagnosis: DiagnosedFit | None = None
    forecaster: Forecaster | None = None
    forecast: Forecast | None = None
    backtest: Backtest | None = None
    approaches: tuple[Approach, ...] = ()
    line: Line | None = None
    members: tuple[FitResult, ...] = ()
    group: str | None = None

    @property
    def identified(self) -> bool | None:
        """Whether N* at the target is known within a factor of ten; None for a form without a split."""
        if self.forecast is None:
            return None
        return self.line is None and self.known_within <= _KNOWN

    @property
    def status(self) -> str | None:
        """``identified`` or ``not identified``; None for a form without a split."""
        return None if self.identified is None else "identified" if self.identified else "not identified"

    @cached_property
    def known_within(self) -> float:
        """The factor, either way, within which N* at the target is known at the level; infinite where it is not."""
        return math.inf if self.target_flops is None else self._known_within(self.target_flops)

    def _known_within(self, flops: float) -> float:
        """Return the factor within which the forecast knows N* of a budget."""
        cost = Cost.from_convention(self.runs.flops_convention)
        if self.forecast is None or cost is None:
            return math.inf
        problem = Problem(surface=self.forecast, cost=cost)
        try:
            params, tokens = solve(problem, flops)
        except (ArithmeticError, UnreachableError):
            return math.inf
        outcome = params, tokens, problem.loss(params, tokens)
        ends = forecast_interval(problem, outcome, level=self.request.level, spent=flops).params
        return math.inf if ends is None else math.sqrt(ends[1] / ends[0])

    @cached_property
    def refusal(self) -> str | None:
        """Why the law must not choose tokens per parameter, or None."""
        if self.forecast is not None:
            if self.line is not None:
                return (self.diagnosis and self.diagnosis.refusal) or f"its runs all lie on {self.line}"
            largest = float(np.max(self.runs.flops))
            factor = self._known_within(largest)
            if factor <= _KNOWN:
                return None
            within = "not known" if math.isinf(factor) else f"known only within a factor of {format_number(factor)}"
            return f"at its largest runs, {format_flops(largest)}, the optimal size is {within}"
        if self.line is not None:
            return f"its runs all lie on {self.line}"
        if self.bounds and self.request.base is None and not isinstance(self.law, Curve):
            return f"{', '.join(self.bounds)} ended on a bound of the search: not identified"
        return None

    @property
    def coefficients(self) -> Mapping[str, float]:
        """The coefficients of the law, or the values that were fitted instead, by name."""
        if self.law is not None:
            return self.law.coefficients()
        return {value.name: value.value for value in self.values}

    @property
    def target_flops(self) -> float | None:
        """The budget to predict at: the one of the request, or ten times the largest run."""
        if self.request.target is not None:
            return self.request.target
        largest = float(np.max(self.runs.flops))
        return 10.0 * largest if np.isfinite(largest) else None

    @property
    def preset_id(self) -> str:
        """The id of the request, or one made from the name of the file; with the group for a member."""
        made = self.request.id or name_part(Path(self.runs.name).stem) or "fit"
        group = "" if self.group is None else f"-{name_part(self.group)}"
        return (made + group)[:80]

    @property
    def params_convention(self) -> str:
        """The parameter convention of the runs: by the request, or by the name of the column, or in total."""
        return self.request.params_convention or self.runs.params_convention

    @cached_property
    def preset(self) -> Preset:
        """The law as a preset, ready for every function of the planner and checked like one from a file.

        Raises
        ------
        UsageError
            For a fit that is no single law.
        FileError
            For coefficients that no preset may hold.

        """
        return preset_of(Table(self._preset_table(), source=f"the fit to {self.runs.name}"))

    def plan(self) -> Plan | None:
        """Plan at :attr:`target_flops`, by the same planner that the preset file would get; None for a curve.

        A law that must not choose tokens per parameter is evaluated at the ratio of its largest run.
        """
        flops = self.target_flops
        if self.law is None or flops is None or isinstance(self.law, Curve):
            return None
        try:
            preset = self.preset
        except FileError:  # coefficients that no preset may hold are still shown
            return None
        planner = Planner(preset=preset, level=self.request.level)
        try:
            return self._plan_at(planner, flops)
        except ImplausibleError:  # coefficients of no use for planning are still shown
            return None

    def _plan_at(self, planner: Planner, flops: float) -> Plan | None:
        if planner.may_choose:
            try:
                return planner.optimal(flops)
            except UnreachableError:  # of a split that no run supports; `withheld` says why
                return None
        place = self.supported(flops, planner.cost.training)
        return None if place is None else planner.loss(*place)

    def supported(self, flops: float, cost: Cost) -> tuple[float, float] | None:
        """Return the size and tokens at a budget that runs without a split support; None where they lead nowhere.

        They lie on the line of the runs, or without one have the tokens per parameter of the largest run.
        """
        if self.line is not None:
            return self.line.at(flops, cost)
        largest = int(np.argmax(self.runs.flops))
        ratio = float(self.runs.tokens[largest] / self.runs.params[largest])
        params = float(cost.params_at_ratio(ratio, flops))
        return (params, params * ratio) if math.isfinite(params) else None

    @property
    def withheld(self) -> UnreachableError | None:
        """Why there is no plan at the target although the law may choose a split: none of its runs is like it."""
        if self.law is None or isinstance(self.law, Curve) or self.target_flops is None:
            return None
        try:
            planner = Planner(preset=self.preset, level=self.request.level)
            if planner.may_choose:
                planner.best(self.target_flops)
        except FileError:  # coefficients that no preset may hold
            return None
        except UnreachableError as error:
            return error
        return None

    def to_toml(self) -> str:
        """Return the text of the preset file."""
        return toml_text(self._preset_table())

    def write(self, path: str | Path) -> Path:
        """Write the preset file, whole or not at all, and return its path.

        Raises
        ------
        UsageError
            For a fit that is no single law.
        FileError
            When the file cannot be written, or the law is none that a preset may hold.

        """
        text = self._checked_toml()
        require_written_by_fit(Path(path))
        return write_atomic(Path(path), text)

    def _checked_toml(self) -> str:
        """Return the text of a preset; raises FileError for one that would not read back."""
        _ = self.preset
        return self.to_toml()

    def write_all(self, path: str) -> list[Path]:
        """Write one preset file, or of a grouped fit one a group with its name for ``{group}`` in the path.

        All files are written, or none is.
        """
        files, members = self.files(path), self.members or (self,)
        if len(files) == 1:
            return [members[0].write(files[0])]
        texts = [member._checked_toml() for member in members]  # noqa: SLF001  of this class
        for file in files:
            require_written_by_fit(file)
        write_together(dict(zip(files, texts, strict=True)))
        return files

    def files(self, path: str) -> list[Path]:
        """Return the files that :meth:`write_all` writes; raises UsageError where two groups would share one."""
        members = self.members or (self,)
        found = [Path(path.replace("{group}", name_part(each.group)) if each.group else path) for each in members]
        for i, file in enumerate(found):
            if file in found[:i]:
                names = " and ".join(
                    quote(member.group) for member, each in zip(members, found, strict=True) if each == file
                )
                raise UsageError(
                    f"groups {names} would be written to one file, {quote(file)}",
                    hint="rename one of them, or keep some with --where",
                )
        return found

    @property
    def warnings(self) -> tuple[Notice, ...]:
        """The flags of the diagnosis and its outliers; of other forms the coefficients that ended on a bound."""
        found, read = self.diagnosis, self.runs.warnings
        if found is None:
            remarks = [remark for remark in self.remarks if self._undetermined(remark)]
            return (*read, *(Notice(code="on_bound", message=remark) for remark in remarks))
        notices = [*read, *(Notice(code=flag.code, message=flag.message) for flag in found.flags)]
        if found.outliers.rows:
            rows = row_text(found.outliers.rows).replace(" ", "")
            them = "it" if len(found.outliers.rows) == 1 else "them"
            message = f"{self._outliers(most=_MOST_NAMED)}; --drop-rows {rows} leaves {them} out"
            notices.append(Notice(code="outliers", message=message))
        if (withheld := self.withheld) is not None:
            notices.append(Notice(code="plan_withheld", message=str(withheld)))
        return tuple(notices)

    def _undetermined(self, remark: str) -> bool:
        """Return whether a remark says which coefficients the runs do not determine."""
        return bool(self.bounds) and "bound" in remark

    def _outliers(self, *, most: float = math.inf) -> str:
        """Return that rows are outliers, by their numbers, or of more than ``most`` by how many they are."""
        assert self.diagnosis is not None
        rows = self.diagnosis.outliers.rows
        place = "far from the fit of the others"
        if len(rows) > most:
            return f"{len(rows)} rows stand {place} and were used"
        return rows_text(rows, f"stands {place} and was used", f"stand {place} and were used")

    def _preset_table(self) -> dict[str, object]:
        law, request, runs = self.law, self.request, self.runs
        if law is None:
            raise UsageError("a grouped fit is one law a group", hint="-o 'law-{group}.toml' writes each")
        of_group = "" if self.group is None else f", group {self.group}"
        table = {
            "schema": 1 if self.forecast is None else PRESET_SCHEMA,
            "id": self.preset_id,
            "title": request.title or escape_control(f"Fit to {runs.name}{of_group}"),
            "form": law.form,
            "source": request.source or f"scaleplan fit, {len(runs)} runs of {escape_control(runs.name)}",
            "status": "refit",
            "coefficients": coefficients_table(law),
            "uncertainty": uncertainty_table(self.uncertainty),
            "conventions": {
                "params": self.params_convention,
                "flops": runs.flops_convention,
                "loss": runs.loss_unit,
                "tokenizer": request.tokenizer,
                "corpus": request.corpus,
                **({} if runs.bytes_per_token is None else {"bytes_per_token": runs.bytes_per_token}),
            },
            "range": {name: list(span) for name, span in runs.spans().items()},
            "forecast": None if self.forecast is None else self.forecast.to_table(),
            "line": None if self.line is None else _line_table(self.line),
            "use": None if self.refusal is None else {"allocate": False, "reason": self.refusal},
            "notes": self._notes() or None,
            "fit": self._provenance(),
        }
        return {key: _present(value) for key, value in table.items() if value is not None}

    def _notes(self) -> list[dict[str, object]]:
        """Return the reservations; those that concern every plan are marked to be repeated with each."""
        found = self.diagnosis
        notes: list[dict[str, object]] = [
            {"text": escape_control(notice.message), "warn": True} for notice in self.runs.warnings
        ]
        if found is None:
            every = self.request.method == "envelope"
            doubts = {notice.message for notice in self.runs.warnings}
            return notes + [
                {"text": escape_control(remark), **({"warn": True} if every or self._undetermined(remark) else {})}
                for remark in self.remarks
                if remark not in doubts
            ]
        notes += [
            {"text": escape_control(flag.message), **({"warn": True} if self._concerns_plans(flag) else {})}
            for flag in found.flags
            if not flag.unidentified
        ]
        if found.outliers.rows:
            notes.append({"text": self._outliers()})
        return notes

    def _concerns_plans(self, flag: Flag) -> bool:
        """Return whether plans suffer from what a flag says: a forecast does not use the coefficients."""
        return self.forecast is None or flag.code not in _OF_COEFFICIENTS

    def _provenance(self) -> dict[str, object]:
        runs, request = self.runs, self.request
        sampled = self.uncertainty is not None
        return {
            "program": f"scaleplan {__version__}",
            "file": escape_control(runs.name),
            "sha256": runs.sha256,
            "columns": {role: escape_control(text) for role, text in runs.columns.items()},
            "reading": _printable(request.reading) or None,
            "rows_used": len(runs),
            "rows": row_text(runs.rows.tolist()),
            "dropped": findings_tables(runs.dropped, elsewhere=runs.elsewhere),
            "flagged": findings_tables(runs.flagged),
            "form": request.form,
            "method": request.method,
            **self._objective(),
            "weights": "none" if runs.weight is None else "column",
            "tied": request.tied,
            "floor": "fitted" if request.floor is None else request.floor,
            "samples": request.samples if sampled else None,
            "seed": request.seed if sampled else None,
            "status": self.status,
            "scores": {
                "objective": self.score,
                "converged": self.converged,
                "on_bound": list(self.bounds) or None,
                "rms_residual": None if self.residuals is None else rms(self.residuals),
                **({} if self.diagnosis is None else scores(self.diagnosis)),
                "backtest": None if self.backtest is None else by_factor(self.backtest),
            },
        }

    def _objective(self) -> dict[str, object]:
        objective = self.request.objective
        return {
            "residual": objective.residual,
            "robust": objective.robust,
            "delta": objective.delta if objective.robust == "huber" else None,
        }

    def viewed(self) -> FitAnswer:
        """Return the fit as the command shows it."""
        return FitAnswer(fit=self, report=False, residuals=False, written=(), warnings=self.warnings)

    def to_dict(self, *, report: bool = False, residuals: bool = False) -> dict[str, object]:
        """Return the mapping that ``--json`` prints; what does not apply to the form is None.

        ``report`` adds the checklist and the fit by other choices, ``residuals`` every residual.
        """
        runs, request, plan = self.runs, self.request, self.plan()
        data: dict[str, object] = {
            "schema": "scaleplan/fit/1",
            "id": self.preset_id,
            "form": request.form,
            "formula": None if self.law is None else self.law.formula,
            "method": request.method,
            "group": self.group,
            "file": runs.name,
            "sha256": runs.sha256,
            "columns": dict(runs.columns),
            "reading": dict(request.reading),
            "rows_used": len(runs),
            "dropped": as_mapping(runs.dropped),
            "flagged": as_mapping(runs.flagged),
            "notes": list(runs.notes),
            "status": self.status,
            "identified": self.identified,
            "refusal": self.refusal,
            "line": as_mapping(self.line),
            "coefficients": as_mapping(dict(self.coefficients)),
            "errors": {item.name: item.error for item in self.values},
            "interval": {"level": request.level, **{item.name: as_mapping(item.interval) for item in self.values}},
            "objective": {
                **self._objective(),
                "tied": request.tied,
                "floor": request.floor,
                "score": self.score,
                "converged": self.converged,
                "on_bound": list(self.bounds),
            },
            "remarks": list(self.remarks),
            "params_convention": self.params_convention,
            "flops_convention": runs.flops_convention,
            "loss_unit": runs.loss_unit,
            "samples": request.samples,
            "seed": request.seed,
            "target": None if plan is None else plan.to_dict(),
            "range": None,
            "residuals": None if self.residuals is None else self._residuals(by_row=residuals),
            **dict.fromkeys(_SURFACE_KEYS),
            "approaches": as_mapping(self.approaches) if self.approaches else None,
            "groups": [member.to_dict() for member in self.members] or None,
            "derived": {item.name: item.value for item in self.values if item.name not in self.coefficients},
            "largest_flops": as_mapping(float(np.max(runs.flops))),
        }
        if self.diagnosis is not None:
            data |= diagnosis_data(self.diagnosis)
        if self.backtest is not None:
            data["backtest"] = backtest_data(self.backtest)
        if self.forecaster is not None:
            data["forecast"] = self._forecast_data(plan)
        if report:
            data["checklist"] = [{"item": item, "text": text} for item, text in self.checklist()]
            data["variations"] = as_mapping(self.variations())
        return data

    def _forecast_data(self, plan: Plan | None) -> dict[str, object]:
        assert self.forecaster is not None
        assert isinstance(self.law, LossSurface)
        place = None if plan is None else (float(plan.params), float(plan.tokens))
        known = None if math.isinf(self.known_within) else self.known_within
        return {
            "target_flops": self.target_flops,
            "known_within": known,
            **forecast_data(self.forecaster, self.law, self.runs.points(), place, level=self.request.level),
        }

    def _residuals(self, *, by_row: bool) -> dict[str, object]:
        assert self.residuals is not None
        data = {"rms": rms(self.residuals), **({} if self.diagnosis is None else residuals_data(self.diagnosis))}
        if by_row:
            runs, residuals = self.runs, self.residuals
            columns = {"params": runs.params, "tokens": runs.tokens, "flops": runs.flops}
            data["by_row"] = [
                {"row": int(row), "residual": float(residuals[i])}
                | {name: as_mapping(float(column[i])) for name, column in columns.items()}
                for i, row in enumerate(runs.rows)
            ]
        return data

    def variations(self) -> tuple[Variation, ...]:
        """Return the fit by other choices; empty for another form, runs on a line, and without a target."""
        flops = self.target_flops
        if self.diagnosis is None or flops is None or self.line is not None:
            return ()
        try:
            return variations(self.diagnosis, self.preset, flops=flops)
        except FileError:  # coefficients that no preset may hold
            return ()

    def checklist(self) -> tuple[tuple[str, str], ...]:
        """Return the particulars that repeating the fit needs, as (item, text).

        The list and its order are those of Li, Kudugunta and Zettlemoyer 2025 (arXiv:2502.18969), who found most of
        it missing in most of fifty papers.
        """
        runs, request, law, known = self.runs, self.request, self.law, self.uncertainty
        objective, found = request.objective, self.diagnosis
        count = len(self.coefficients)
        free = count if found is None else found.solution.coordinates.count
        columns = {role: f"'{text}'" for role, text in runs.columns.items()}
        roles = ("params", "tokens", "flops", "loss")
        n, d, c, loss = (columns.get(role, "derived from the others") for role in roles)
        delta = f", delta {format_plain(objective.delta)}" if objective.robust == "huber" else ""
        weights = "of one each" if runs.weight is None else f"from column {columns.get('weight')}"
        optimiser = "robust Newton descent from many starts"
        if found is not None:
            basins = found.solution.basins
            starts = "1 basin and its neighbours" if basins == 1 else f"{basins} basins and their neighbours"
            optimiser = f"profile grid over the exponents, Newton descent from {starts}"
        score = "none" if self.score is None else format_plain(self.score, digits=10)
        points = f"one point a run is assumed (--cluster otherwise); {_NOT_IN_FILE}"
        if request.cluster:
            points = "several points a run, resampled together"
        dropped = [f"{number} {reason}" for reason, number in runs.dropped_by_reason().items()]
        intervals = "none"
        if known is not None:
            intervals = (
                f"{known.method}, {known.samples} resamples, {format_fraction(request.level, digits=2)} percentiles"
            )
        if self.forecaster is not None:
            intervals = (
                f"of plans: {format_fraction(request.level)}, of a law with a Gaussian-process discrepancy, "
                f"{len(self.forecaster.members)} forecasts averaged; of the coefficients: {intervals}"
            )
        held_out = "nothing: too few runs, or another form"
        if self.backtest is not None and self.backtest.cuts:
            held_out = f"{len(self.backtest.cuts)} cuts in compute; {self.backtest}"
        flops, extrapolation = self.target_flops, "not by compute"
        if flops is not None:
            factor = format_factor(flops / float(np.max(runs.flops)))
            extrapolation = f"{format_flops(flops)} is {factor} the largest run"
        return (
            ("form", f"{request.form}: {law.formula if law else ''}, {free} free parameters".replace(": ,", ",")),
            ("N", f"{self.params_convention.replace('_', ' ')} parameters, column {n}"),
            ("D", f"tokens, column {d}; unique or repeated: {_NOT_IN_FILE}"),
            ("C", f"{runs.flops_convention}, column {c}"),
            ("L", f"{runs.loss_unit}, column {loss}; corpus {request.corpus}, tokenizer {request.tokenizer}"),
            ("runs", ", ".join(self._ranges())),
            ("schedule and hyperparameters", _NOT_IN_FILE),
            ("final or intermediate losses", points),
            ("points dropped", ", ".join(dropped) or "none"),
            ("loss function", f"{objective.robust} on {objective.residual} residuals{delta}, weights {weights}"),
            ("optimiser", f"{optimiser}; objective {score}, {'' if self.converged else 'not '}converged"),
            ("intervals", intervals),
            ("held out", held_out),
            ("extrapolation", extrapolation),
        )

    def _ranges(self) -> list[str]:
        parts = [f"{len(self.runs)} runs"]
        if self.diagnosis is not None:
            design = self.diagnosis.design
            parts.append(f"{design.sizes} sizes, {design.token_counts} token counts")
        formats = {
            "params": ("N", format_count),
            "tokens": ("D", format_count),
            "flops": ("C", format_flops),
            "tokens_per_param": ("D/N", format_number),
        }
        for role, (low, high) in self.runs.spans().items():
            name, written = formats[role]
            parts.append(f"{name} {format_range(low, high, written)}")
        return parts


def _line_table(line: Line) -> dict[str, object]:
    return {"params": list(line.params), "tokens": list(line.tokens), "within": line.within}


def _printable(reading: Mapping[str, object]) -> dict[str, object]:
    """Return how runs were read with texts that a preset may hold."""
    return {
        name: [escape_control(str(text)) for text in value] if isinstance(value, list) else value
        for name, value in reading.items()
    }


def _present(value: object) -> object:
    """Return a value without the keys that hold None: TOML has no such value."""
    if isinstance(value, dict):
        return {key: _present(item) for key, item in value.items() if item is not None}
    return [_present(item) for item in value] if isinstance(value, list) else value


class FitAnswer(Record, Result):
    """A fit as the command shows it, with the files written and the warnings.

    ``report`` adds the checklist and the fit by other choices, ``residuals`` every residual.
    """

    schema: ClassVar[str] = "scaleplan/fit/1"

    fit: FitResult
    report: bool
    residuals: bool
    written: tuple[Path, ...]
    warnings: tuple[Notice, ...]

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that ``--json`` prints."""
        data = self.fit.to_dict(report=self.report, residuals=self.residuals)
        written = [str(path) for path in self.written]
        return data | {"written": written, "warnings": as_mapping(self.warnings)}
