"""Ladders for tests, of records made by hand."""

from __future__ import annotations

from scaleplan.ladder.ladder import Ladder, LadderRun


def ladder_run(name="l06-s0", words=("true",), **given):
    """Return a run; what is not given is that of a small model."""
    usual = {
        "params": 5_000_000,
        "tokens": 100_000_000,
        "flops": 3e15,
        "seed": 0,
        "layers": 6,
        "width": 256,
        "heads": 4,
        "kv_heads": 4,
        "head_width": 64,
        "ffn_width": 1024,
        "vocab": 50_257,
        "context": 1024,
        "batch": 65_536,
        "batch_sequences": 64,
        "steps": 1526,
        "lr": 0.00123,
        "out": f"pilots/{name}",
        "hours": 0.05,
        "limit_hours": 0.15,
    }
    return LadderRun(name=name, words=tuple(words), **{**usual, **given})


def ladder_of(runs, **given):
    """Return a ladder of some runs, on H100 at $2 an hour, whose totals are those of its runs."""
    hours = [run.hours for run in runs]
    limits = [run.limit_hours for run in runs]
    gpus = given.get("gpus", 1)

    def total(of, factor):
        return None if None in of else sum(of) * gpus * factor

    usual = {
        "engine": "slurm",
        "folder": "pilots",
        "file": "slurm.sh",
        "submit": "sbatch pilots/slurm.sh",
        "command": "train --out {out}",
        "law": "chinchilla",
        "target": 1e21,
        "rule": "porian-2024",
        "style": "llama",
        "gpu": "H100",
        "gpus": 1,
        "at_once": 8,
        "flops": sum(run.flops for run in runs),
        "gpu_hours": total(hours, 1),
        "days": total(hours, 1 / 24),
        "cost": total(hours, 2.0),
        "most_gpu_hours": total(limits, 1),
        "most_days": total(limits, 1 / 24),
        "most_cost": total(limits, 2.0),
        "price": 2.0,
        "currency": "USD",
    }
    return Ladder(runs=tuple(runs), **{**usual, **given})
