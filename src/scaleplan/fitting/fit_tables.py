"""A fit as plain tables: the parts of a preset file that it determines, and the diagnosis that ``--json`` prints.

A covariance serves every command and is short. It does not describe resamples that
pile up on a bound (a floor at zero, an exponent at its limit) or run off to infinity (a law that is not identified):
there the resamples themselves are written, thinned to what gives a 90 % interval to about a tenth of its width.
"""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import numpy as np

from scaleplan.fitting.noise import BUDGET_GAP
from scaleplan.fitting.objective import half_width, rms
from scaleplan.fitting.runs import REASONS, span_text
from scaleplan.laws.curves import MultiplicativePower
from scaleplan.planning.uncertainty import sigmas_of
from scaleplan.presets.preset import LN, Uncertainty
from scaleplan.record import as_mapping
from scaleplan.units import format_plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scaleplan.arrays import Array, Mask
    from scaleplan.fitting.backtest import Backtest, Cut, Scores
    from scaleplan.fitting.bootstrap import Bootstrap
    from scaleplan.fitting.diagnosed_fit import DiagnosedFit
    from scaleplan.fitting.forecaster import Forecaster
    from scaleplan.fitting.runs import Finding, Points
    from scaleplan.laws.base import Law, LossSurface

__all__ = [
    "DOWN_WEIGHTED",
    "backtest_data",
    "by_factor",
    "coefficients_table",
    "curve_uncertainty",
    "diagnosis_data",
    "findings_tables",
    "forecast_data",
    "holdout_data",
    "residuals_data",
    "scores",
    "surface_uncertainty",
    "uncertainty_table",
]

_DRAWS = 400
_LINEAR = math.log(1.5)  # 100 resamples tell an error within a fifth, and heavy tails widen a standard deviation

_OFTEN = 0.05  # the share of resamples on a bound from which a covariance misleads

_PROBES = (1e12, 1e30)  # FLOP: a preset must serve the budgets between these

DOWN_WEIGHTED = 4.0
"""Times the noise variance of the others, from which a run stands out: twice their standard deviation."""

_STRONGEST = 5  # runs that are named for each coefficient


def coefficients_table(law: Law) -> dict[str, object]:
    """Return the coefficients of a law, after the names of the quantities that a curve relates."""
    if isinstance(law, MultiplicativePower):
        return {"y": law.y, "a": law.a, "exponents": dict(law.exponents)}
    names = {name: getattr(law, name) for name in ("x", "y") if hasattr(law, name)}
    return {**names, **{name: float(value) for name, value in law.coefficients().items()}}


def uncertainty_table(known: Uncertainty | None) -> dict[str, object] | None:
    """Return the uncertainty as a preset file writes it."""
    if known is None:
        return None
    backtest = known.backtest
    return {
        "parameters": list(known.parameters),
        "covariance": [list(row) for row in known.covariance] or None,
        "draws": [list(row) for row in known.draws] or None,
        "method": known.method,
        "samples": known.samples,
        "freedom": known.freedom,
        "backtest": None if backtest is None else {"factors": list(backtest.factors), "rms": list(backtest.rms)},
    }


def findings_tables(
    findings: Sequence[Finding], *, elsewhere: Sequence[tuple[int, int]] = ()
) -> list[dict[str, object]]:
    """Return the rows that were dropped or flagged, by reason.

    ``elsewhere`` are ranges of further rows that do not meet a condition, each from its first to its last number.
    """
    spans: dict[str, list[tuple[int, int]]] = {}
    for finding in findings:
        spans.setdefault(finding.reason, []).append((finding.row, finding.row))
    if elsewhere:
        spans["filtered"] = [*spans.get("filtered", ()), *elsewhere]
        spans = dict(sorted(spans.items(), key=lambda item: min(item[1])))  # in the order of their first rows
    return [
        {
            "reason": reason,
            "meaning": REASONS[reason],
            "count": sum(last - first + 1 for first, last in ranges),
            "rows": span_text(ranges),
        }
        for reason, ranges in spans.items()
    ]


def surface_uncertainty(fit: DiagnosedFit) -> Uncertainty | None:
    """Return the uncertainty of the fit of a surface or None without resamples."""
    resamples = fit.resamples
    if resamples is None:
        return None
    known = Uncertainty(
        parameters=resamples.parameters,
        method=_method(fit, resamples),
        samples=resamples.samples,
        freedom=resamples.freedom,
    )
    piled_up = resamples.exponents_at_bound > _OFTEN or "E" in resamples.parameters
    covariance = resamples.covariance()
    if fit.identified and not piled_up and _is_linear(fit, resamples, covariance):
        return replace(known, covariance=_rows(0.5 * (covariance + covariance.T)))
    usable = _usable(resamples)
    if not usable.any():
        return None
    kept = resamples.draws[usable][:_DRAWS]
    return replace(
        known,
        parameters=resamples.names,
        draws=_rows(kept),
        method=f"{known.method}; the first {len(kept)} of them{_lost(usable)}",
    )


def _is_linear(fit: DiagnosedFit, resamples: Bootstrap, covariance: Array) -> bool:
    """Return whether the covariance tells the errors of ln L at the largest runs as the resamples show them.

    Of few runs the coefficients scatter so widely, and cancel so nearly, that to first order they do not: the
    interval of a public ladder of 15 runs was six times as wide by its covariance as by its resamples.
    """
    points, law = fit.points, resamples.law
    largest = np.array([np.argmax(values) for values in (points.params, points.tokens, points.flops)])
    params, tokens = points.params[largest], points.tokens[largest]
    size, data = law.A * params**-law.alpha, law.B * tokens**-law.beta
    both, gamma = size + data, getattr(law, "gamma", 1.0)
    rate = gamma * both ** (gamma - 1.0)  # of the loss with the sum of both terms
    slopes = {
        "ln A": rate * size,
        "ln B": rate * data,
        "E": np.ones_like(size),
        "ln E": np.full_like(size, law.E),
        "alpha": -np.log(params) * rate * size,
        "beta": -np.log(tokens) * rate * data,
        "gamma": both**gamma * np.log(both),
    }
    losses = np.asarray(law.loss(params, tokens))
    slope = np.stack([slopes[name] for name in resamples.parameters], axis=1) / losses[:, None]
    told = np.sqrt(np.maximum(np.einsum("ki,ij,kj->k", slope, covariance, slope), 0.0))
    shown = np.array([half_width(column) for column in resamples.log_losses(params, tokens).T])
    return bool(np.all(np.abs(np.log(np.maximum(told, 1e-300) / np.maximum(shown, 1e-300))) < _LINEAR))


def curve_uncertainty(law: Law, columns: Mapping[str, Array], *, freedom: int) -> Uncertainty | None:
    """Return the uncertainty of the coefficients of ``law`` from their draws by name, or None without resamples.

    ``freedom`` is the number of rows beyond the coefficients.

    A draw outside the domain of the law, such as an exponent of the wrong sign, is left out and counted in
    ``method``.
    """
    if not columns or not all(len(column) for column in columns.values()):
        return None
    domains: dict[str, Mapping[str, float | None]] = {item.name: item.metadata for item in fields(law)}
    usable: Mask = np.all(np.isfinite(list(columns.values())), axis=0)
    written: dict[str, Array] = {}
    for name, column in columns.items():
        domain = domains.get(name, {})
        above, least = domain.get("above"), domain.get("at_least")
        usable &= (column > (-np.inf if above is None else above)) & (column >= (-np.inf if least is None else least))
        logarithmic = above == 0 and bool(np.all(column > 0))
        written[f"{LN}{name}" if logarithmic else name] = np.log(column) if logarithmic else column
    kept = np.stack(list(written.values()), axis=1)[usable][:_DRAWS]
    if not len(kept):
        return None
    return Uncertainty(
        parameters=tuple(written),
        draws=_rows(kept),
        method=f"case bootstrap of the rows; the first {len(kept)} resamples{_lost(usable)}",
        samples=len(usable),
        freedom=freedom,
    )


def _lost(usable: Mask) -> str:
    lost = int(np.count_nonzero(~usable))
    return f" that give finite answers ({lost} do not)" if lost else ""


def _method(fit: DiagnosedFit, resamples: Bootstrap) -> str:
    units = "groups of points (of one training run, or of equal sizes)" if resamples.unit == "cluster" else "runs"
    layers = f" within {resamples.strata} budgets" if resamples.strata > 1 else ""
    objective = fit.solution.objective
    delta = f" {format_plain(objective.delta)}" if objective.robust == "huber" else ""
    return (
        f"bootstrap of {units}{layers}, {objective.robust}{delta} on {objective.residual} loss, seed {resamples.seed}"
    )


def _usable(resamples: Bootstrap) -> Mask:
    """Return which resamples a preset may hold: finite, positive losses and splits over all budgets."""
    with np.errstate(all="ignore"):
        laws = resamples.laws()
        good = np.isfinite(resamples.draws).all(axis=1) & (laws.A > 0) & (laws.B > 0) & (laws.E >= 0)
        for flops in _PROBES:
            side = np.full(resamples.samples, (flops / 6) ** 0.5)
            for value in (laws.loss(side, side), *laws.best_split(np.full(resamples.samples, flops / 6))):
                good &= np.isfinite(value) & (np.asarray(value) > 0)
    return np.asarray(good, dtype=bool)


def _rows(matrix: Array) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())


def diagnosis_data(found: DiagnosedFit) -> dict[str, object]:
    """Return the part of the JSON form that only the fit of a surface has."""
    known, out, influence = found.known, found.outliers, found.influence
    resamples = found.resamples
    data: dict[str, object] = {
        "range": as_mapping(found.design),
        "flags": as_mapping(found.flags),
        "information": {
            "eigenvalues": list(known.eigenvalues),
            "condition": known.condition if math.isfinite(known.condition) else None,
            "log_params_error": as_mapping(known.log_params_error),
        },
        "outliers": {
            "rows": list(out.rows),
            "deviations": list(out.deviations),
            "without": None if out.without is None else as_mapping(out.without.law.coefficients()),
        },
        "alternatives": [
            {
                "name": item.name,
                "coefficients": as_mapping(item.law.coefficients()),
                "score": item.score,
                "aicc_excess": as_mapping(item.aicc_excess),
                "held_out_excess": item.held_out_excess,
            }
            for item in found.alternatives
        ],
    }
    if influence is not None:
        data["influence"] = {
            name: [{"row": row, "change": change} for row, change in influence.strongest(name, most=_STRONGEST)]
            for name in ("E", "alpha", "beta", "gamma")
            if hasattr(found.law, name)
        }
    if resamples is not None:
        names = ("samples", "seed", "unit", "strata", "failed", "floor_at_zero", "exponents_at_bound")
        data["resampling"] = {name: getattr(resamples, name) for name in names}
    if found.repeats is not None:
        data["lack_of_fit"] = {
            **{name: getattr(found.repeats, name) for name in ("ratio", "between", "within", "probability")},
            "rejected": found.repeats.rejected,
        }
    return data


def backtest_data(backtest: Backtest) -> dict[str, object]:
    """Return the JSON form of a backtest; its numbers are those of the forecast but for those of the ``law``."""
    scored = backtest.scores
    return {
        "rms_inside": backtest.inside,
        "one_sided": backtest.one_sided,
        "largest_factor": backtest.largest_factor,
        "by_factor": by_factor(backtest),
        "overall": None if scored is None else {"runs": scored.runs, **_scores_data(scored)},
        "cuts": [_cut(cut) for cut in backtest.cuts],
    }


def holdout_data(backtest: Backtest) -> dict[str, object] | None:
    """Return the JSON form of the largest runs held out, None without cuts."""
    held = backtest.holdout
    return None if held is None else {"rows": list(held.rows), "factor": held.factor, **_scores_data(held.scores)}


def by_factor(backtest: Backtest) -> list[dict[str, object]]:
    """Return the predictions by factor of extrapolation."""
    return [
        {
            "factor": item.middle,
            "factors": list(item.factors),
            "runs": item.scores.runs,
            **_scores_data(item.scores),
        }
        for item in backtest.bins
    ]


def _cut(cut: Cut) -> dict[str, object]:
    return {
        "flops": cut.flops,
        "runs": cut.runs,
        "predicted": len(cut.rows),
        "largest_factor": float(np.max(cut.factor)),
        "gap": cut.gap,
        **_scores_data(cut.scores),
        "share": cut.share,
        "coefficients": as_mapping(cut.law.coefficients()),
        "rows": list(cut.rows),
        "errors": cut.error.tolist(),
        "intervals": as_mapping(list(zip(cut.low.tolist(), cut.high.tolist(), strict=True))),
    }


def _scores_data(scores: Scores) -> dict[str, object]:
    """Return how predictions met the runs, without their number."""
    names = ("bias", "rms", "coverage", "resampling_coverage", "width", "score", "law_rms")
    return {name: as_mapping(getattr(scores, name)) for name in names}


def forecast_data(
    forecaster: Forecaster, law: LossSurface, points: Points, place: tuple[float, float] | None, *, level: float
) -> dict[str, object]:
    """Return what a forecast makes of its runs and of the plain law, and of one (params, tokens).

    ``misfit`` is what the law misses at the runs by the forecast (root mean square, relative to the loss),
    ``largest_misfit`` the most of it at any run, ``at_largest_budget`` its mean over the runs of the largest budget;
    ``prior_misfit`` is the size of the discrepancy in the model, far from all runs. ``down_weighted`` are runs
    that disagree with their neighbours, with the factor of their noise variance. At the place, ``members`` are the
    forecasts that are averaged, and ``shares`` is where the variance of one run comes from.
    """
    used = points.select(forecaster.used)
    expected, _ = forecaster.predict(used.params, used.tokens, noise=False)
    missed = expected - np.log(law.loss(used.params, used.tokens))
    far = int(np.argmax(np.abs(missed)))
    largest = used.flops >= np.max(used.flops) * math.exp(-BUDGET_GAP)
    weights = forecaster.run_weights
    data: dict[str, object] = {
        "level": level,
        "noise": forecaster.noise,
        "misfit": rms(missed),
        "prior_misfit": forecaster.misfit,
        "runs_used": len(used),
        "largest_misfit": {
            "value": float(np.expm1(missed[far])),
            "row": int(used.rows[far]),
            "flops": float(used.flops[far]),
            "tokens_per_param": float(used.tokens[far] / used.params[far]),
        },
        "at_largest_budget": {
            "value": float(np.expm1(np.mean(missed[largest]))),
            "flops": float(np.max(used.flops)),
            "runs": int(np.count_nonzero(largest)),
        },
        "down_weighted": [
            {"row": int(used.rows[i]), "factor": float(weights[i])}
            for i in np.argsort(-weights, kind="stable").tolist()
            if weights[i] > DOWN_WEIGHTED
        ],
        "members": None,
        "shares": None,
    }
    if place is not None:
        params, tokens = ([value] for value in place)
        sigmas = sigmas_of(level)
        data["members"] = [
            {
                "kernel": member.kernel,
                "floor": member.floor,
                "weight": member.weight,
                "loss": math.exp(member.mean[0]),
                "expected_loss": [math.exp(member.mean[0] + sign * sigmas * member.sd[0]) for sign in (-1, 1)],
            }
            for member in forecaster.member_forecasts(params, tokens)
        ]
        shares = forecaster.shares(params, tokens)
        data["shares"] = {name: float(getattr(shares, name)[0]) for name in shares._fields}
    return data


def residuals_data(found: DiagnosedFit) -> dict[str, object]:
    """Return the summary of the residuals, beside their root mean square."""
    residuals = found.residuals
    return {
        "spread": residuals.spread,
        "inside_delta": residuals.inside,
        "kurtosis": residuals.kurtosis,
        "skewness": residuals.skewness,
        "largest": {"row": residuals.largest[0], "residual": residuals.largest[1]},
    }


def scores(found: DiagnosedFit) -> dict[str, object]:
    """Return the scores of a surface that its preset repeats."""
    residuals = found.residuals
    return {
        "spread": residuals.spread,
        "share_inside_delta": residuals.inside,
        "aicc_excess": {item.name: item.aicc_excess for item in found.alternatives if np.isfinite(item.aicc_excess)},
    }
