"""The keys of a saved fit and of a saved backtest that their reports read, and the types of these.

Other results are records, and their fields say this. A fit and a backtest are kept as their JSON, because their own
records hold the runs. Annotations are evaluated here: which keys may be absent is known only then.
"""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

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
    factor: float
    factors: Span
    runs: int
    bias: float
    rms: float
    coverage: float | None
    width: NotRequired[float | None]
    score: NotRequired[float | None]
    law_rms: NotRequired[float | None]


class _Overall(TypedDict):
    runs: int
    bias: float
    rms: float
    coverage: float
    width: float | None
    score: float | None
    law_rms: float | None


class _Exponents(TypedDict):
    E: float
    alpha: float
    beta: float
    gamma: NotRequired[float]


class _Reading(TypedDict):
    file: str
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


class _Holdout(TypedDict):
    factor: float
    rows: list[int]
    bias: float
    rms: float
    coverage: float
    width: float


class SavedBacktest(_Reading):
    """What the report of a backtest reads."""

    level: float
    rms_inside: float
    one_sided: bool
    by_factor: list[_Bin]
    overall: NotRequired[_Overall | None]
    cuts: list[_Cut]
    holdout: _Holdout | None
    warnings: NotRequired[list[_Notice]]


class _Objective(TypedDict):
    residual: str
    score: float | None


class _Residual(TypedDict):
    row: int
    residual: float
    params: float | None
    tokens: float | None
    flops: float | None


class _Residuals(TypedDict):
    rms: float
    spread: NotRequired[float]
    inside_delta: NotRequired[float | None]
    by_row: NotRequired[list[_Residual]]


class _Coverage(TypedDict):
    params: Span
    tokens: Span
    flops: Span
    tokens_per_param: Span
    sizes: int
    token_counts: int
    budgets: int | None


class _Check(TypedDict):
    predicted: int
    coverage: float
    share: float | None


class _InnerBacktest(TypedDict):
    cuts: NotRequired[list[_Check]]


class _Outliers(TypedDict):
    rows: list[int]
    deviations: list[float]
    without: _Exponents | None


class _LackOfFit(TypedDict):
    rejected: bool


class _Misfit(TypedDict):
    value: float
    flops: float
    tokens_per_param: NotRequired[float]


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


class _Line(TypedDict):
    params: list[float]
    tokens: list[float]
    within: float


class _Pull(TypedDict):
    row: int
    change: float


class _Alternative(TypedDict):
    name: str
    coefficients: _Exponents
    aicc_excess: float | None
    held_out_excess: NotRequired[float | None]


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


class _Member(TypedDict):
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
    target: dict[str, object] | None
    line: NotRequired[_Line | None]
    lack_of_fit: NotRequired[_LackOfFit | None]
    forecast: NotRequired[_Forecast | None]


class SavedFit(_Member, _Reading):
    """What the report of a fit reads; its target is a plan."""

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
