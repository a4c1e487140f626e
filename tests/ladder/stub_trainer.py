"""A trainer that trains nothing: it prints the losses of a known law, as a trainer of the same run would log them.

``L = E + A/N^alpha + B/D^beta`` with the coefficients below; a seed moves the final loss by 0.1 %. Along the run the
loss falls with the tokens so far, above the law by a share that the learning rate's decay takes away.
"""

import argparse
import json
import math
import random
import sys
from pathlib import Path

LAW = {"E": 1.75, "A": 420.0, "B": 900.0, "alpha": 0.34, "beta": 0.30}
NOISE = 1e-3
ENTRIES = 50


def law(params, tokens):
    """Return the loss of a whole run."""
    return LAW["E"] + LAW["A"] / params ** LAW["alpha"] + LAW["B"] / tokens ** LAW["beta"]


def optimum(flops):
    """Return the parameters of least loss for a compute of 6ND."""
    ratio = LAW["alpha"] * LAW["A"] / (LAW["beta"] * LAW["B"])
    return (ratio * (flops / 6) ** LAW["beta"]) ** (1 / (LAW["alpha"] + LAW["beta"]))


def main():
    """Write the log of a run."""
    parser = argparse.ArgumentParser()
    for name in ("params", "tokens", "batch", "layers", "width", "seed", "steps"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    run = parser.parse_args()
    own = 1 + NOISE * random.Random(f"{run.params} {run.tokens} {run.seed}").gauss(0, 1)
    steps = sorted({max(1, round(run.steps * i / ENTRIES)) for i in range(1, ENTRIES + 1)})
    with (run.out / "metrics.jsonl").open("w") as log:
        for step in steps:
            share = step / run.steps
            rate = run.lr * (0.55 + 0.45 * math.cos(math.pi * share))
            loss = law(run.params, share * run.tokens) * (own + 0.05 * (1 - share))
            log.write(json.dumps({"step": step, "loss": loss, "lr": rate, "tokens": step * run.batch}) + "\n")
            sys.stdout.write(f"step {step} of {run.steps}\n")


if __name__ == "__main__":
    main()
