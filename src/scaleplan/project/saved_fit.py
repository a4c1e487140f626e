"""The keys of a saved fit and of a saved backtest, and the types of these.

Other results are records, and their fields say this. A fit and a backtest are kept as their JSON, because their own
records hold the runs. A key that no report reads may be absent: an earlier version may not have written it.
Annotations are evaluated here: which keys may be absent is known only then.
"""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from scaleplan.planning.plan import Plan

__all__ = ["SavedBacktest", "SavedFit", "wrong_key"]

Span = tuple[float, float]


class _Finding(TypedDict):
    row: int
    reason: str
    detail: str


class _Notice(TypedDict):
    code: str
    message: str


class _Bin(TypedDict):
    """Predictions at about one factor of compute beyond their cut."""

    factor: float
    factors: Span
    runs: int
    bias: float
    rms: float
    coverage: float | None
    width: NotRequired[float | None]
    score: NotRequired[float | None]
    law_rms: NotRequired[float | None]
    resampling_coverage: NotRequired[float | None]


class _Overall(TypedDict):
    runs: int
    bias: float
    rms: float
    coverage: float
    width: float | None
    score: float | None
    law_rms: float | None
    resampling_coverage: NotRequired[float | None]


class _Exponents(TypedDict):
    E: float
    A: NotRequired[float]
    B: NotRequired[float]
    alpha: float
    beta: float
    gamma: NotRequired[float]


class _Reading(TypedDict):
    file: str
    sha256: NotRequired[str]
    rows_used: int
    dropped: list[_Finding]
    flagged: NotRequired[list[_Finding]]
    notes: NotRequired[list[str]]


class _Cut(TypedDict):
    flops: float
    runs: int
    predicted: int
    gap: NotRequired[float]
    bias: float
    rms: float
    coverage: NotRequired[float | None]
    resampling_coverage: NotRequired[float | None]
    width: NotRequired[float | None]
    score: NotRequired[float | None]
    law_rms: NotRequired[float | None]
    coefficients: _Exponents
    largest_factor: NotRequired[float]
    share: NotRequired[float | None]
    rows: NotRequired[list[int]]
    errors: NotRequired[list[float | None]]
    intervals: NotRequired[list[tuple[float | None, float | None]]]


class _Holdout(TypedDict):
    factor: float
    rows: list[int]
    bias: float
    rms: float
    coverage: float
    width: float
    resampling_coverage: NotRequired[float | None]
    score: NotRequired[float | None]
    law_rms: NotRequired[float | None]


class SavedBacktest(_Reading):
    """How well the smaller runs would have predicted the larger ones, at every cut in compute."""

    level: float
    rms_inside: float
    one_sided: bool
    by_factor: list[_Bin]
    overall: NotRequired[_Overall | None]
    cuts: list[_Cut]
    holdout: _Holdout | None
    warnings: NotRequired[list[_Notice]]
    largest_factor: NotRequired[float | None]
    loss_unit: NotRequired[str]
    coefficients: NotRequired[_Exponents]
    samples: NotRequired[int]
    seed: NotRequired[int]


class _Objective(TypedDict):
    residual: str
    robust: NotRequired[str]
    delta: NotRequired[float | None]
    tied: NotRequired[bool]
    floor: NotRequired[float | str | None]
    score: float | None
    converged: NotRequired[bool]
    on_bound: NotRequired[list[str]]


class _Residual(TypedDict):
    row: int
    residual: float
    params: float | None
    tokens: float | None
    flops: float | None


class _Largest(TypedDict):
    row: int
    residual: float


class _Residuals(TypedDict):
    rms: float
    spread: NotRequired[float]
    inside_delta: NotRequired[float | None]
    kurtosis: NotRequired[float | None]
    skewness: NotRequired[float | None]
    largest: NotRequired[_Largest]
    by_row: NotRequired[list[_Residual]]


class _Line(TypedDict):
    params: list[float]
    tokens: list[float]
    within: float


class _Coverage(TypedDict):
    runs: NotRequired[int]
    params: Span
    tokens: Span
    flops: Span
    tokens_per_param: Span
    sizes: int
    token_counts: int
    budgets: int | None
    ratio: NotRequired[float | None]
    line: NotRequired[float]
    along: NotRequired[_Line | None]


class _Check(TypedDict):
    flops: NotRequired[float]
    runs: NotRequired[int]
    predicted: int
    largest_factor: NotRequired[float]
    gap: NotRequired[float]
    bias: NotRequired[float]
    rms: NotRequired[float]
    coverage: float
    resampling_coverage: NotRequired[float | None]
    width: NotRequired[float | None]
    score: NotRequired[float | None]
    law_rms: NotRequired[float | None]
    share: float | None
    coefficients: NotRequired[_Exponents]
    rows: NotRequired[list[int]]
    errors: NotRequired[list[float | None]]
    intervals: NotRequired[list[tuple[float | None, float | None]]]


class _InnerBacktest(TypedDict):
    cuts: NotRequired[list[_Check]]
    rms_inside: NotRequired[float]
    one_sided: NotRequired[bool]
    largest_factor: NotRequired[float | None]
    by_factor: NotRequired[list[_Bin]]
    overall: NotRequired[_Overall | None]


class _Outliers(TypedDict):
    rows: list[int]
    deviations: list[float]
    without: _Exponents | None


class _LackOfFit(TypedDict):
    rejected: bool
    ratio: NotRequired[float]
    between: NotRequired[int]
    within: NotRequired[int]
    probability: NotRequired[float]


class _Misfit(TypedDict):
    value: float
    flops: float
    tokens_per_param: NotRequired[float]
    row: NotRequired[int]
    runs: NotRequired[int]


class _Noisy(TypedDict):
    row: int
    factor: float


class _Averaged(TypedDict):
    kernel: str
    floor: float
    weight: float
    loss: float
    expected_loss: Span


class _Shares(TypedDict):
    law: float
    discrepancy: float
    noise: float
    members: float


class _Forecast(TypedDict):
    level: float
    target_flops: float | None
    known_within: float | None
    misfit: float
    noise: float
    largest_misfit: _Misfit
    at_largest_budget: _Misfit
    down_weighted: list[_Noisy]
    members: list[_Averaged] | None
    shares: _Shares | None
    prior_misfit: NotRequired[float]
    runs_used: NotRequired[int]


class _Pull(TypedDict):
    row: int
    change: float


class _Alternative(TypedDict):
    name: str
    coefficients: _Exponents
    aicc_excess: float | None
    held_out_excess: NotRequired[float | None]
    score: NotRequired[float | None]


class _Approach(TypedDict):
    name: str
    exponent: float | None
    error: float | None
    params: float | None
    remark: str


class _Item(TypedDict):
    item: str
    text: str


class _Variation(_Exponents):
    name: str
    params: float
    loss: float


class _Flag(TypedDict):
    code: str
    message: str
    unidentified: bool


class _Information(TypedDict):
    eigenvalues: list[float]
    condition: float | None
    log_params_error: float | None


class _Resampling(TypedDict):
    samples: int
    seed: int
    unit: str
    strata: int
    failed: int
    floor_at_zero: float
    exponents_at_bound: float


class _Written(TypedDict, total=False):
    """Keys of a fit that no report reads."""

    id: str
    method: str
    sha256: str
    columns: dict[str, str]
    reading: dict[str, object]
    identified: bool | None
    params_convention: str
    flops_convention: str
    samples: int
    seed: int
    flags: list[_Flag] | None
    information: _Information | None
    resampling: _Resampling | None


class _Diagnosed(TypedDict, total=False):
    """Keys of a fit that the report of a group of it does not read."""

    dropped: list[_Finding]
    flagged: list[_Finding]
    notes: list[str]
    refusal: str | None
    remarks: list[str]
    objective: _Objective
    residuals: _Residuals | None
    range: _Coverage | None
    backtest: _InnerBacktest | None
    outliers: _Outliers | None
    influence: dict[str, list[_Pull]] | None
    alternatives: list[_Alternative] | None
    approaches: list[_Approach] | None
    groups: None
    largest_flops: float | None


class _Fit(_Written):
    file: str
    group: str | None
    form: str
    formula: str | None
    rows_used: int
    status: str | None
    loss_unit: str
    coefficients: dict[str, float]
    derived: NotRequired[dict[str, float]]
    errors: dict[str, float | None]
    interval: dict[str, float | Span | None]
    target: Plan | None
    line: NotRequired[_Line | None]
    lack_of_fit: NotRequired[_LackOfFit | None]
    forecast: NotRequired[_Forecast | None]


class _Member(_Fit, _Diagnosed):
    schema: NotRequired[str]


class SavedFit(_Fit, _Reading):
    """A law fitted to runs, with its uncertainty and diagnosis; its target is a plan."""

    refusal: str | None
    remarks: list[str]
    objective: _Objective
    residuals: _Residuals | None
    range: _Coverage | None
    backtest: _InnerBacktest | None
    outliers: _Outliers | None
    influence: dict[str, list[_Pull]] | None
    alternatives: list[_Alternative] | None
    approaches: list[_Approach] | None
    groups: list[_Member] | None
    largest_flops: NotRequired[float | None]
    checklist: NotRequired[list[_Item]]
    variations: NotRequired[list[_Variation]]
    written: list[str]
    warnings: list[_Notice]


_SURFACE = frozenset({"E", "alpha", "beta"})


def wrong_key(data: Mapping[str, Any]) -> str | None:
    """Return the key of a fit that does not agree with the others, where its report relies on that; None where none.

    A fit with a status is one of a surface: it has the coefficients of one, a score, and a summary of the residuals.
    """
    found = [*map(_wrong_in_member, (data, *(data.get("groups") or ()))), _wrong_in_forecast(data)]
    if (wrong := next(filter(None, found), None)) is not None:
        return wrong
    outliers = data["outliers"]
    if outliers is not None and len(outliers["rows"]) != len(outliers["deviations"]):
        return "outliers.deviations"
    line = data.get("line")
    if line is not None and not (line["params"] and line["tokens"]):
        return "line"
    if data.get("variations") and data["target"] is None:
        return "target"
    if not all((data["influence"] or {"E": True}).values()):
        return "influence"
    if data["status"] is not None:
        if data["objective"]["score"] is None:
            return "objective.score"
        if not {"spread", "inside_delta"} <= (data["residuals"] or {}).keys():
            return "residuals"
    return None


def _wrong_in_forecast(data: Mapping[str, Any]) -> str | None:
    forecast = data.get("forecast")
    if forecast is None:
        return None
    wrong = {
        "target_flops": forecast["known_within"] is not None and forecast["target_flops"] is None,
        "largest_misfit": "tokens_per_param" not in forecast["largest_misfit"],
        "down_weighted": any(item["factor"] < 0 for item in forecast["down_weighted"]),
        "members": bool(forecast["members"]) and data["target"] is None,
    }
    return next((f"forecast.{name}" for name, bad in wrong.items() if bad), None)


def _wrong_in_member(member: Mapping[str, Any]) -> str | None:
    for name, value in member["interval"].items():
        if isinstance(value, int | float) != (name == "level"):
            return f"interval.{name}"
    if "level" not in member["interval"]:
        return "interval.level"
    if member["status"] is not None and not member["coefficients"].keys() >= _SURFACE:
        return "coefficients"
    return None
