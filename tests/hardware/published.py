"""Published pre-trainings with their accelerator-hours, from the shared folder: what default hours are judged by."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import NamedTuple

SHARED = Path(__file__).parents[2].parent / "shared"
MODELS = SHARED / "reference" / "real_models.json"
TABLE = SHARED / "data" / "chip_hours.csv"
REASON = "the published runs are not part of the project"

NO_WHOLE_PROJECT = {
    "TinyLlama-1.1B": "the plan of 90 days at the best throughput",
    "MPT-30B": "a time quoted for the budget, not that of the released model",
    "DeepSeek-67B (per 1T tokens)": "a pace",
    "T5-11B": "hours from the throughput",
    "LaMDA": "a throughput as printed",
    "llm.c GPT-2 124M": "not read again: from memory",
    "Apertus-70B": "not read again: from memory",
}
"""Rows whose hours are no whole project, and why."""

ORGANISATIONS = {
    "GPT-3": "OpenAI",
    "PaLM": "Google",
    "T5": "Google",
    "UL2": "Google",
    "LaMDA": "Google",
    "BLOOM": "BigScience",
    "YaLM": "Yandex",
    "LLaMA": "Meta",
    "Llama": "Meta",
    "XGLM": "Meta",
    "RoBERTa": "Meta",
    "Pythia": "EleutherAI",
    "GPT-NeoX": "EleutherAI",
    "TinyLlama": "SUTD",
    "MPT": "MosaicML",
    "Falcon": "TII",
    "StableLM": "Stability",
    "LLM360": "LLM360",
    "Bloomberg": "Bloomberg",
    "Nemotron": "NVIDIA",
    "DeepSeek": "DeepSeek",
    "OLMoE": "AI2",
    "Granite": "IBM",
    "Phi": "Microsoft",
    "GPT-2": "Microsoft DeepSpeed",
    "Apertus": "Swiss AI",
    "nanoGPT": "Karpathy",
    "llm.c": "Karpathy",
    "Luminous": "Aleph Alpha",
    "OpenELM": "Apple",
    "WeLM": "WeChat",
}


class Run(NamedTuple):
    """One pre-training: its organisation, device, active parameters, FLOP, devices, hours, precision, mixture."""

    model: str
    organisation: str
    gpu: str
    params: float
    flops: float
    gpus: int | None
    hours: float
    precision: str | None
    moe: bool


def published_runs() -> list[Run]:
    """Return every run whose hours are those of a whole project."""
    found = []
    for row in json.loads(MODELS.read_text(encoding="utf-8"))["runs"]:
        if row["gpu_hours"]:
            sizes, precision = (row["params_active"], row["params_total"]), row["precision"]
            found.append(
                _run(row, row["hardware"], sizes, flops=row["flops_6nd"], hours=row["gpu_hours"], precision=precision)
            )
    with TABLE.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            sizes = float(row["params_active"]), float(row["params_total"])
            found.append(
                _run(
                    row, row["gpu"], sizes, flops=float(row["flops"]), hours=float(row["chip_hours"]), precision=None
                )
            )
    return [run for run in found if run.model not in NO_WHOLE_PROJECT]


def _run(row: dict, gpu: str, sizes: tuple, *, flops: float, hours: float, precision: str | None) -> Run:
    prefix = max((name for name in ORGANISATIONS if row["model"].startswith(name)), key=len)
    gpus = row.get("num_accelerators") or row.get("accelerators")
    return Run(
        model=row["model"],
        organisation=ORGANISATIONS[prefix],
        gpu=gpu,
        params=sizes[0],
        flops=flops,
        gpus=None if gpus is None else int(gpus),
        hours=hours,
        precision=precision,
        moe=sizes[1] > 1.5 * sizes[0],
    )


def held_out(runs: list[Run]) -> list[Run]:
    """Return the runs of every third organisation by name, from which no constant of utilisation.toml was set."""
    names = sorted({run.organisation for run in runs}, key=str.casefold)
    return [run for run in runs if run.organisation in names[2::3]]
