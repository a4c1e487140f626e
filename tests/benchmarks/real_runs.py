"""How well are device-hours predicted: published runs against the end-to-end profile, as a table.

Run ``python tests/benchmarks/real_runs.py RUNS.json``, a file with a list ``runs`` of records with ``model``,
``hardware``, ``precision``, ``params_active``, ``params_total``, ``num_accelerators``, ``flops_6nd``, ``gpu_hours``.
"""

# ruff: noqa: T201  a benchmark prints

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path

from scaleplan.budget import BudgetRequest
from scaleplan.funding import resolve


def predicted_hours(run: dict) -> float:
    """Return the device-hours of the end-to-end profile for the model FLOP of a run."""
    request = BudgetRequest(
        flops=run["flops_6nd"],
        gpu=run["hardware"],
        gpus=run["num_accelerators"],
        precision=run["precision"],
        profile="end-to-end",
    )
    moe = run["params_active"] != run["params_total"]
    return resolve(request, params=run["params_active"], moe=moe).budget.gpu_hours


def main(path: str) -> None:
    """Print one line a run and the summary."""
    runs = [run for run in json.loads(Path(path).read_text(encoding="utf-8"))["runs"] if run["gpu_hours"]]
    ratios = []
    for run in runs:
        hours = predicted_hours(run)
        ratios.append(hours / run["gpu_hours"])
        print(f"{run['model']:30} {run['hardware']:12} {run['gpu_hours']:>12,.0f} {hours:>12,.0f} {ratios[-1]:6.2f}")
    within = {factor: sum(1 / factor <= ratio <= factor for ratio in ratios) for factor in (1.35, 1.5, 2)}
    print(f"{len(ratios)} runs, median predicted/published {statistics.median(ratios):.2f}; within {within}")


if __name__ == "__main__":
    main(sys.argv[1])
