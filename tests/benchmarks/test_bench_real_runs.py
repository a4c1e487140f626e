"""How well are device-hours predicted: published runs against the end-to-end profile, as a table (-s shows it).

Median ratio 0.9 to 1.15, and four of five runs within a factor of 1.5: what the defaults are recommended for.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

from scaleplan.hardware.budget import BudgetRequest, Catalogue, resolve_budget

RUNS = Path(__file__).parents[2].parent / "shared" / "reference" / "real_models.json"


def predicted_hours(run: dict, catalogue: Catalogue) -> float:
    """Return the device-hours of the end-to-end profile for the model FLOP of a run."""
    request = BudgetRequest(
        flops=run["flops_6nd"],
        gpu=run["hardware"],
        gpus=run["num_accelerators"],
        precision=run["precision"],
        profile="end-to-end",
    )
    moe = run["params_active"] != run["params_total"]
    return resolve_budget(catalogue, request, params=run["params_active"], moe=moe).budget.gpu_hours


def table(runs: list[dict]) -> tuple[list[str], list[float]]:
    """Return one line a run, and the ratios of predicted to published hours."""
    catalogue = Catalogue()
    lines, ratios = [f"{'run':30} {'device':12} {'published':>12} {'predicted':>12} ratio"], []
    for run in runs:
        hours = predicted_hours(run, catalogue)
        ratios.append(hours / run["gpu_hours"])
        lines.append(
            f"{run['model']:30} {run['hardware']:12} {run['gpu_hours']:>12,.0f} {hours:>12,.0f} {ratios[-1]:5.2f}"
        )
    within = {factor: sum(1 / factor <= ratio <= factor for ratio in ratios) for factor in (1.35, 1.5, 2)}
    lines.append(f"{len(ratios)} runs, median ratio {statistics.median(ratios):.2f}; within a factor: {within}")
    return lines, ratios


@pytest.mark.skipif(not RUNS.is_file(), reason="the published runs are not part of the project")
def test_published_runs_are_predicted(capsys):
    """The published hours of 35 runs, from GPT-2 124M to Llama-3.1-405B."""
    runs = [run for run in json.loads(RUNS.read_text(encoding="utf-8"))["runs"] if run["gpu_hours"]]
    lines, ratios = table(runs)
    with capsys.disabled():
        print("", *lines, sep="\n")
    assert len(ratios) >= 35
    assert 0.9 <= statistics.median(ratios) <= 1.15
    assert sum(2 / 3 <= ratio <= 1.5 for ratio in ratios) >= 0.8 * len(ratios)
