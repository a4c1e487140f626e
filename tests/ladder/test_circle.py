"""The whole circle: pilots designed, run by a real Slurm, read, fitted, and a forecast kept and scored."""

import csv
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.ladder import stub_trainer

TRAINER = Path(stub_trainer.__file__)
NAMES = ("params", "tokens", "batch", "layers", "width", "seed", "steps", "lr", "out")
PILOTS, TARGET = "1e20", "1e22"


def test_from_a_design_to_a_forecast_that_is_scored(slurm, tmp_path):
    """Every answer is made of what the one before it wrote, and the law that the trainer obeys comes out."""

    def scaleplan(*words, status=0):
        done = subprocess.run(
            [sys.executable, "-m", "scaleplan", *words],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "100"},
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == status, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    command = shlex.join([sys.executable, str(TRAINER)]) + "".join(f" --{name} {{{name}}}" for name in NAMES)
    design = ("design", "--flops", PILOTS, "--target", TARGET, "--most-runs", "20", "--gpu", "h100")
    scaleplan(*design, "--format", "slurm", "-o", "pilots", "--command", command)
    ladder = json.loads((tmp_path / "pilots/ladder.json").read_text())
    assert json.loads(scaleplan("ladder", "status", "pilots", "--json", status=1))["to_run"] == 20

    slurm.wait(slurm.submit("pilots/slurm.sh", cwd=tmp_path))
    status = json.loads(scaleplan("ladder", "status", "pilots", "--json"))
    assert {run["state"] for run in status["runs"]} == {"finished"}

    scaleplan("runs", "pilots", "-o", "runs.csv")
    with (tmp_path / "runs.csv").open() as file:
        runs = {row["run"]: row for row in csv.DictReader(file)}
    assert [*runs] == [run["name"] for run in ladder["runs"]]
    for run in ladder["runs"]:
        row = runs[run["name"]]
        assert (float(row["params"]), float(row["tokens"])) == (run["params"], run["tokens"])
        expected = stub_trainer.law(run["params"], run["tokens"])
        assert float(row["loss"]) == pytest.approx(expected, rel=0.01)  # the last part of a run, and noise of 0.1 %

    scaleplan("fit", "runs.csv", "--target", TARGET, "-o", "law.toml")
    fitted = json.loads(scaleplan("fit", "pilots", "--target", TARGET, "--json"))
    # 20 runs with noise of 0.1 % know the exponents to about 1 % and the floor to half a per cent
    for name in ("alpha", "beta", "E"):
        assert fitted["coefficients"][name] == pytest.approx(stub_trainer.LAW[name], rel=0.05)

    again = json.loads(scaleplan("design", "runs.csv", "--flops", PILOTS, "--target", "1e23", "--json"))
    assert again["after"]["log_loss"] < again["before"]["log_loss"]

    best = json.loads(scaleplan("optimal", "--preset", "law.toml", "--flops", TARGET, "--json"))
    low, high = best["interval"]["params"]
    assert low < stub_trainer.optimum(float(TARGET)) < high
    (tmp_path / "forecasts").mkdir()
    sizes = ("--params", str(best["params"]), "--tokens", str(best["tokens"]))
    scaleplan("register", "--preset", "law.toml", *sizes, "--name", "main", "-o", "forecasts/main.json")

    batch = 2**22
    steps = round(best["tokens"] / batch)
    (tmp_path / "main").mkdir()
    values = (*sizes[:2], "--tokens", str(steps * batch), "--batch", str(batch), "--steps", str(steps))
    rest = ("--layers", "32", "--width", "3072", "--seed", "0", "--lr", "3e-4", "--out", "main")
    subprocess.run([sys.executable, TRAINER, *values, *rest], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    outcome = json.loads(scaleplan("resolve", "forecasts/main.json", "main/metrics.jsonl", "--json"))
    assert abs(outcome["relative_error"]) < 0.01
    assert all(level["inside"] for level in outcome["intervals"] if level["level"] >= 0.9)
    assert json.loads(scaleplan("forecasts", "forecasts", "--json"))["forecasts"][0]["status"] == "resolved"
