"""How well are device-hours predicted: published runs against the default, as a table (-s shows it).

The held-out organisations are marked; median ratio 0.9 to 1.1, and the band of the default keeps what it says.
"""

from __future__ import annotations

import statistics

import pytest
from tests.hardware.published import MODELS, REASON, Run, held_out, published_runs

from scaleplan.hardware.budget import BudgetRequest, Catalogue
from scaleplan.hardware.device_budget import resolve_budget


def predicted_hours(run: Run, catalogue: Catalogue) -> tuple[float, float]:
    """Return the device-hours of the default for the model FLOP of a run, and its band."""
    request = BudgetRequest(flops=run.flops, gpu=run.gpu, gpus=run.gpus, precision=run.precision)
    budget = resolve_budget(catalogue, request, params=run.params, moe=run.moe).budget
    return budget.gpu_hours, budget.band


def table(runs: list[Run], apart: list[Run]) -> tuple[list[str], list[float]]:
    """Return one line a run, those ``apart`` marked, and the ratios of predicted to published hours."""
    catalogue = Catalogue()
    lines, ratios = [f"  {'run':30} {'device':12} {'published':>12} {'predicted':>12} ratio"], []
    for run in runs:
        hours, _ = predicted_hours(run, catalogue)
        ratios.append(hours / run.hours)
        mark = "*" if run in apart else " "
        lines.append(f"{mark} {run.model:30} {run.gpu:12} {run.hours:>12,.0f} {hours:>12,.0f} {ratios[-1]:5.2f}")
    within = {factor: sum(1 / factor <= ratio <= factor for ratio in ratios) for factor in (1.35, 1.5, 1.6, 2)}
    lines.append(f"{len(ratios)} runs, median ratio {statistics.median(ratios):.2f}; within a factor: {within}")
    return lines, ratios


@pytest.mark.skipif(not MODELS.is_file(), reason=REASON)
@pytest.mark.parametrize("apart", [True, False], ids=["held out", "all"])
def test_published_runs_are_predicted(capsys, apart):
    """The published hours of whole projects, from Pythia-70M to Llama-3.1-405B, and of those that set no constant."""
    runs, out = published_runs(), held_out(published_runs())
    runs = out if apart else runs
    lines, ratios = table(runs, out)
    with capsys.disabled():
        print("", *lines, sep="\n")
    assert 0.9 <= statistics.median(ratios) <= 1.1
    band = predicted_hours(runs[0], Catalogue())[1]
    assert 0.75 <= sum(1 / band <= ratio <= band for ratio in ratios) / len(ratios) <= 0.95
    assert sum(2 / 3 <= ratio <= 1.5 for ratio in ratios) >= (0.7 if apart else 0.8) * len(ratios)
