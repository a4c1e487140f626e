"""The command track: its answer beside the plan, exit status 1 where a condition holds, and following a log."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
from tests.cli.conftest import SOURCE


def write_log(last, *, name="big.log", fault=1.0, since=10**9, extra=""):
    """Write the log of a run of 400 steps on a linear rate up to a step, as llm.c does."""
    noise, lines = Random(1), []
    for step in range(last):
        rate = 3e-4 * (1 - step / 400)
        loss = (1.8 + 4 / (step + 10) ** 0.4) * (fault if step >= since else 1.0) * math.exp(noise.gauss(0, 0.004))
        lines.append(f"s:{step} trl:{loss:.4f} lr:{rate:.6f} norm:0.4\n")
    Path(name).write_text("".join(lines) + extra)


def test_the_answer_says_what_is_tracked_and_why_there_is_no_verdict(cli):
    write_log(300)
    found = cli("track", "big.log", "--steps", "400")
    assert found.status == 0
    assert "75 % seen" in found.out
    assert "training loss (trl), as logged, 300 points; schedule: linear" in found.out
    assert "nothing judges this run" in found.err
    assert max(map(len, found.out.splitlines())) <= 100


def test_a_fault_is_named_with_its_beginning(cli):
    """A layer that breaks at step 200 raises the loss by 3 %."""
    write_log(300, fault=1.03, since=200)
    found = cli("track", "big.log", "--steps", "400", "--json").json
    assert found["verdict"] == "worse"
    assert found["since"]["step"] == pytest.approx(200, abs=8)
    assert found["departure"]["size"] == pytest.approx(0.03, abs=0.01)


def test_a_diverging_run_is_not_waited_for(cli):
    """The next look is now, and the way out is an earlier checkpoint."""
    write_log(300, fault=1.6, since=250)
    found = cli("track", "big.log", "--steps", "400", "--json").json
    assert (found["verdict"], found["next_look"]) == ("diverging", None)
    assert any("go back to a checkpoint before" in each["message"] for each in found["warnings"])
    drawn = cli("plot", "track", "big.log", "--steps", "400", "--json").json
    assert {series["label"] for series in drawn["series"]} == {"this run"}
    assert "forecast" not in drawn["caption"]


def test_a_condition_on_what_is_not_known_is_told(cli):
    """It cannot hold: a job that trusts in it would never stop."""
    write_log(300)
    found = cli("track", "big.log", "--steps", "400", "--fail-on", "cost_left > 1k", "--fail-on", "loss > 9")
    assert found.status == 0
    assert "--fail-on 'cost_left > 1k USD' cannot hold: cost_left is not known; give --gpu and --gpus" in found.err
    assert "loss is not known" not in found.err
    write_log(400)
    watched = cli("track", "big.log", "--steps", "400", "--watch", "--fail-on", "cost_left > 1k").out
    assert watched.rstrip().endswith("finished, --fail-on 'cost_left > 1k USD' cannot hold")


def test_a_law_of_ones_own_judges(cli):
    """The runs that it was fitted to are of the same loss, by its name."""
    rows = ["params,tokens,loss"]
    noise = Random(2)
    for params in (1e7, 2e7, 4e7, 8e7, 1.6e8):
        for ratio in (5, 20, 80):
            loss = 1.2 + 90 / params**0.34 + 250 / (ratio * params) ** 0.3
            rows.append(f"{params:g},{ratio * params:g},{loss * math.exp(noise.gauss(0, 0.002)):.4f}")
    Path("runs.csv").write_text("\n".join(rows))
    assert cli("fit", "runs.csv", "-o", "law.toml").status == 0
    write_log(300)
    law = ("--preset", "law.toml", "--params", "1e8", "--tokens", "2B")
    found = cli("track", "big.log", "--steps", "400", *law, "--json").json
    assert found["plan_loss"] == cli("loss", *law, "--json").json["loss"]
    assert found["plan_source"]["judges"]
    assert found["verdict"] in ("better", "worse", "on course", "too early")
    apart = math.log(found["loss"] / found["plan_loss"])
    assert (found["verdict"] == "worse") == (apart > 0.05) or abs(apart) < 0.05
    pilots = cli(
        "track", "big.log", "--steps", "400", "--pilots", "runs.csv", "--params", "1e8", "--tokens", "2B", "--json"
    )
    assert pilots.json["plan_loss"] == pytest.approx(found["plan_loss"], rel=1e-6)
    assert pilots.json["plan_source"]["kind"] == "pilots"
    rows = [json.dumps({"step": step, "bpb": 0.8 + step**-0.5}) for step in range(1, 301)]
    Path("bytes.jsonl").write_text("\n".join(rows))
    found = cli("track", "bytes.jsonl", "--steps", "400", *law, "--json")
    assert (found.json["loss_unit"], found.json["verdict"], found.json["plan_loss"]) == ("bpb", None, None)
    assert "its loss is in nats/token, and that of the log in bits/byte" in found.err


def test_a_saved_plan_gives_the_tokens_and_the_hardware(cli):
    Path("plan.json").write_text(cli("optimal", "--gpus", "8", "--gpu", "h100-sxm", "--time", "2d", "--json").out)
    write_log(300)
    found = cli("track", "big.log", "--steps", "400", "--plan", "plan.json", "--json").json
    plan = json.loads(Path("plan.json").read_text())
    assert (found["plan_loss"], found["params"], found["gpu"]) == (plan["loss"], plan["params"], "h100-sxm")
    assert found["planned_mfu"] == plan["budget"]["mfu"]
    assert found["verdict"] is None


@pytest.mark.parametrize(
    ("condition", "status"),
    [("loss > 1.9@90%", 1), ("loss > 3", 0), ("verdict = worse", 1), ("verdict=diverging", 0)],
)
def test_a_condition_gives_exit_status_1_and_its_reason(cli, condition, status):
    """After the whole answer, in one line."""
    write_log(300, fault=1.05, since=200)
    found = cli("track", "big.log", "--steps", "400", "--fail-on", condition, "--quiet")
    assert found.status == status
    assert found.out.startswith("big: step 299")
    assert len(found.err.splitlines()) == status
    assert found.err.startswith("error: " if status else "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("track", "nosuch.log"), "nosuch.log"),
        (("track", "big.log"), "where the run will end"),
        (("track", "big.log", "--steps", "100"), "already"),
        (("track", "big.log", "--steps", "400", "--fail-on", "loss"), "compares nothing"),
        (("track", "big.log", "--steps", "400", "--run", "other"), "unknown run"),
        (("track", "big.log", "--steps", "400", "--loss", "val"), "no validation loss"),
        (("track", "big.log", "--steps", "400", "--plan", "big.log"), "not valid JSON"),
        (("track", "big.log", "--steps", "400", "--plan", "p", "--preset", "x"), "twice"),
        (("track", "big.log", "--steps", "400", "--price", "2"), "--gpu"),
        (("track", "big.log", "--steps", "400", "--every", "5s"), "--watch"),
        (("track", "big.log", "--steps", "400", "--watch", "-o", "x.svg"), "no file"),
        (("track", "big.log", "--steps", "400", "--watch", "--format", "markdown"), "line by line"),
        (("track", "big.log", "--steps", "400", "--schedule", "cosin"), "cosine"),
        (("plot", "track"), "needs the log"),
        (("plot", "track", "big.log", "--steps", "400", "--where", "x > 1"), "no use for --where"),
        (("plot", "frontier", "--steps", "400"), "no use for --steps"),
    ],
)
def test_a_wrong_request_is_refused(cli, words, message):
    write_log(300)
    found = cli(*words)
    assert found.status == 2
    assert message in found.err
    assert found.out == ""


def test_the_picture_shows_the_run_its_forecast_and_the_plan(cli):
    write_log(300)
    law = ("--params", "1B", "--tokens", "20B", "--preset", "besiroglu-2024")
    chart = cli("plot", "track", "big.log", "--steps", "400", *law, "--json").json
    labels = ["this run", "forecast, 90 % interval", "published law, 90 % interval"]
    assert list(dict.fromkeys(series["label"] for series in chart["series"])) == labels
    drawn = cli("plot", "track", "big.log", "--steps", "400").out
    assert "forecast, 90 % interval" in drawn
    assert "extrapolated" not in drawn  # the dashes are in the legend by their own name


def test_a_picture_can_be_drawn_beside_the_answer(cli):
    pytest.importorskip("matplotlib")
    write_log(300)
    found = cli("track", "big.log", "--steps", "400", "-o", "run.svg")
    assert found.out.startswith("big: step 299")
    assert "<svg" in Path("run.svg").read_text()


def test_watching_ends_with_the_run(cli):
    """One line a look, or one JSON object."""
    write_log(400)
    found = cli("track", "big.log", "--steps", "400", "--watch")
    assert found.status == 0
    assert found.out.count("\n") == 1
    assert found.out.startswith("100 % step 399, loss 2.1")
    assert found.out.rstrip().endswith("finished")
    assert json.loads(cli("track", "big.log", "--steps", "400", "--watch", "--json").out)["finished"]
    assert cli("track", "big.log", "--steps", "400", "--watch", "--get", "finished").out == "true\n"


def test_watching_stops_as_soon_as_a_condition_holds(cli):
    write_log(300)
    found = cli("track", "big.log", "--steps", "400", "--watch", "--fail-on", "loss > 1.9")
    assert found.status == 1
    assert found.out.count("\n") == 1
    assert "error: loss is" in found.err


@pytest.mark.skipif(sys.platform == "win32", reason="signals of another kind")
def test_an_interrupted_watch_ends_with_130():
    """After the first look, while it waits."""
    write_log(300)
    command = [sys.executable, "-m", "scaleplan", "track", "big.log", "--steps", "400", "--watch"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    ) as process:
        assert "step 299" in process.stdout.readline()
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=240) == 130
        assert "Traceback" not in process.stderr.read()


def test_a_run_of_which_little_is_known_says_so(cli):
    """Twenty points show neither a departure nor, without a plan, anything else; three give no forecast."""
    write_log(20)
    assert cli("track", "big.log", "--steps", "40", "--json").json["verdict"] == "too few points"
    write_log(3)
    found = cli("track", "big.log", "--steps", "400")
    assert "too few points to say" in found.out
    assert "there is no forecast: 3 points in 0.5 % of the run are too few" in found.err
    Path("big.log").write_text("".join(f"s:{step} trl:0.0000 lr:0.0003 norm:1\n" for step in range(60)))
    assert cli("track", "big.log", "--steps", "400").status == 2


def write_pilots(*, total=400):
    """Write the curves of five smaller runs of the recipe as one table."""
    rows, noise = ["run,params,step,tokens,loss"], Random(4)
    for number, params in enumerate((1e7, 2e7, 4e7, 8e7, 1.6e8)):
        for step in range(5, total + 1, 5):
            loss = (1.8 + 4 / (step + 10) ** 0.4) * (params / 1e9) ** -0.02 * math.exp(noise.gauss(0, 0.004))
            rows.append(f"p{number},{params:g},{step},{20 * params * step / total:g},{loss:.5f}")
    Path("pilots.csv").write_text("\n".join(rows) + "\n")


def test_smaller_runs_judge_a_run_and_show_a_fault(cli):
    """Their curves are the yardstick, and stand beside the run in the picture, where it is."""
    write_pilots()
    write_log(300)
    sizes = ("--steps", "400", "--params", "1e9", "--tokens", "2e10", "--pilots", "pilots.csv")
    healthy = cli("track", "big.log", *sizes, "--json").json
    assert healthy["smaller_runs"] == 5
    assert healthy["verdict"] in ("on course", "too early")
    Path("two.csv").write_text("".join(Path("pilots.csv").read_text().splitlines(keepends=True)[:161]))
    assert cli("track", "big.log", *sizes[:-1], "two.csv", "--json").json["verdict"] == "on course"
    low, high = healthy["interval"]["loss"]
    assert low <= 1.8 + 4 / 410**0.4 <= high
    write_log(300, fault=1.02, since=200)
    broken = cli("track", "big.log", *sizes, "--json").json
    assert broken["verdict"] == "worse"
    assert broken["since"]["step"] == pytest.approx(200, abs=12)
    chart = cli("plot", "track", "big.log", *sizes, "--json").json
    run = next(series for series in chart["series"] if series["label"] == "this run")
    smaller = [series for series in chart["series"] if series["label"] == "smaller runs, moved"]
    assert len(smaller) == 5
    for series in smaller:
        at = min(range(len(series["x"])), key=lambda i: abs(series["x"][i] - run["x"][-1]))
        assert series["y"][at] == pytest.approx(run["y"][-1], rel=0.02)


def test_a_plain_look_imports_neither_fitting_nor_model_families_nor_scipy():
    """They would cost more than reading a log of 200,000 lines."""
    Path("alone").mkdir()
    write_log(300, name="alone/big.log")
    found = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "scaleplan", "track", "alone/big.log", "--steps", "400"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    imported = {
        line.rpartition("|")[2].strip() for line in found.stderr.splitlines() if line.startswith("import time")
    }
    heavy = {"scipy", "matplotlib", "scaleplan.fitting.fit", "scaleplan.models.families.finding"}
    assert "numpy" in imported
    assert imported & heavy == set()
