"""Logs of trackers and data files: each format with its traps, read to what was written."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaleplan.errors import FileError, ScaleplanError
from scaleplan.logs.log_reading import is_log, read_logs

SAMPLES = Path(__file__).parents[2].parent / "shared" / "cases"
FORMATS = {
    "hf_trainer_state": "huggingface",
    "lightning_metrics_csv": "lightning",
    "wandb_history_csv": "wandb-history",
    "tensorboard_csv": "tensorboard-scalars",
    "tensorboard_event": "tensorboard-events",
    "mlflow_metric_file": "mlflow",
    "jsonl": "json-lines",
}


def loss_at(k):
    """Return the loss of row k."""
    return 4.0 - 0.1 * k


def codes(run):
    """Return the codes of the warnings of a run."""
    return {notice.code for notice in run.warnings}


def points(run, name="loss"):
    """Return the points of a curve."""
    curve = run.curves[name]
    return dict(zip(curve.steps.tolist(), curve.values.tolist(), strict=True))


def lines(rows):
    """Return rows as JSON lines."""
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize("name", FORMATS)
def test_a_sample_reads_to_its_truth(name):
    key = SAMPLES / "logs" / "key.csv"
    if not key.exists():
        pytest.skip("the shared samples are not here")
    with key.open() as file:
        row = next(each for each in csv.DictReader(file) if each["format"] == name)
    (run,) = read_logs([SAMPLES / row["file"]])
    assert run.format == FORMATS[name]
    probe = float(row["probe_step"])
    assert points(run)[probe] == pytest.approx(float(row["probe_loss"]), abs=6e-5)
    # Lightning counts steps from 0
    assert run.last_step == float(row["last_step"]) - (name == "lightning_metrics_csv")
    if "lr" in run.curves:
        assert points(run, "lr")[probe] == pytest.approx(float(row["probe_lr"]), rel=1e-5)
    if "val_loss" in run.curves:
        assert run.curves["val_loss"].values[-1] == pytest.approx(float(row["last_val_loss"]), abs=1e-4)
    if "tokens" in run.curves:
        tokens = run.curves["tokens"]
        assert tokens.values[-1] / tokens.steps[-1] == pytest.approx(float(row["tokens_per_step"]))
    nan = [] if run.not_finite is None else [run.not_finite.first]
    assert nan == ([float(row["nan_step"])] if row["nan_step"] else [])


STATE = {
    "best_metric": None,
    "epoch": 1.0,
    "global_step": 40,
    "is_world_process_zero": True,
    "log_history": [
        {"epoch": 0.1, "learning_rate": 1e-3, "loss": 3.9, "step": 10},
        {"epoch": 0.2, "learning_rate": 2e-3, "loss": float("nan"), "step": 20},
        {"epoch": 0.2, "eval_loss": 3.5, "eval_runtime": 2.0, "step": 20},
        {"epoch": 0.3, "learning_rate": 1e-3, "loss": 3.4, "step": 30},
        {"epoch": 0.4, "learning_rate": 0.0, "loss": 3.1, "step": 40},
        {"epoch": 0.4, "step": 40, "total_flos": 1e15, "train_loss": 3.6, "train_runtime": 9.0},
    ],
    "max_steps": 100,
    "num_input_tokens_seen": 40960,
    "total_flos": 1e15,
}


def test_a_trainer_state_has_no_mean_over_the_run(read):
    (run,) = read(json.dumps(STATE, indent=2), "trainer_state.json")
    assert points(run) == {10: 3.9, 30: 3.4, 40: 3.1}
    assert (run.not_finite.first, run.not_finite.count) == (20, 1)
    assert points(run, "val_loss") == {20: 3.5}
    assert run.stated.smoothing == "mean of 10 steps"
    assert (run.stated.total_steps, run.stated.tokens_per_step) == (100, 1024)
    assert (run.ended, run.label, run.val_label) == ("finished", "loss", "eval_loss")
    assert run.line == 6


def test_a_trainer_state_of_many_blocks_is_one_history(read, monkeypatch):
    monkeypatch.setattr("scaleplan.logs.trainer_state._CHUNK", 300)
    state = {**STATE, "trial_params": {"a": [{"b": 1}, {"c": 2}]}}
    (whole,) = read(json.dumps(state), "a/trainer_state.json")
    (pretty,) = read(json.dumps(state, indent=2), "b/trainer_state.json")
    assert points(whole) == points(pretty) == {10: 3.9, 30: 3.4, 40: 3.1}
    assert whole.stated.total_steps == pretty.stated.total_steps == 100
    assert not codes(whole)
    assert not codes(pretty)


def test_the_last_checkpoint_has_the_history_of_all(tmp_path):
    for last in (20, 100, 40):
        folder = tmp_path / "run" / f"checkpoint-{last}"
        folder.mkdir(parents=True)
        history = [entry for entry in STATE["log_history"] if entry["step"] <= last]
        (folder / "trainer_state.json").write_text(json.dumps({**STATE, "log_history": history}))
    (run,) = read_logs([tmp_path])
    assert run.source.endswith("checkpoint-100/trainer_state.json")
    assert run.name == "run"


def test_the_states_of_the_run_stand_above_those_of_its_checkpoints(tmp_path):
    for folder in (tmp_path / "run" / "checkpoint-20", tmp_path / "run"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "trainer_state.json").write_text(json.dumps(STATE))
    assert [Path(run.source).parent.name for run in read_logs([tmp_path])] == ["run"]


def history(*, empty=None):
    """Return rows of W&B: the trainer's step beside the count of calls."""
    rows = []
    for k in range(1, 12):
        row = {"_step": k, "_runtime": 2.0 * k, "_timestamp": 1.7e9 + k, "train/global_step": 10 * k}
        row |= {"train/loss": loss_at(k) if k % 3 else empty, "train/learning_rate": 1e-3 if k % 3 else empty}
        rows.append({**row, "eval/loss": empty if k % 3 else loss_at(k)})
    return rows


@pytest.mark.parametrize("empty", [None, math.nan])
@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_a_dumped_history_of_wandb_counts_the_trainers_steps(read, form, empty):
    rows = history(empty=empty)
    (run,) = read(json.dumps(rows) if form == "json" else lines(rows), f"history.{form}")
    assert run.format == "wandb-history"
    assert list(points(run)) == [10, 20, 40, 50, 70, 80, 100, 110]
    assert list(points(run, "val_loss")) == [30, 60, 90]
    assert run.not_finite is None  # NaN of a row of validation is an empty cell
    assert not codes(run)


def test_a_nan_in_a_filled_export_is_one_where_the_rate_is_there(read):
    rows = history(empty=math.nan)
    rows[0]["train/loss"] = math.nan
    (run,) = read(json.dumps(rows), "history.json")
    assert (run.not_finite.first, run.not_finite.count) == (10, 1)


def test_calls_of_the_logger_are_said_to_be_no_steps(read):
    (run,) = read(lines({"_step": k, "loss": loss_at(k)} for k in range(9)), "a.jsonl")
    assert "logged_calls" in codes(run)


def test_a_sampled_history_is_told(read):
    rows = "".join(f"{i},{7 * i},{7 * i},{loss_at(0) / (i + 1)}\n" for i in range(500))
    (run,) = read(f",_step,train/global_step,train/loss\n{rows}", "history.csv")
    assert "sampled" in codes(run)
    rows = "".join(f"{i},{i},{i},{loss_at(0) / (i + 1)}\n" for i in range(500))
    (run,) = read(f",_step,train/global_step,train/loss\n{rows}", "history.csv")
    assert not codes(run)


def test_a_chart_has_a_column_a_run(read):
    names = ["big - run - train/loss", "c - train/loss"]
    head = ",".join(f'"{name}{end}"' for name in names for end in ("", "__MIN", "__MAX"))
    text = f'"trainer/global_step",{head}\n"10","4","3","5","","",""\n"20","3","2","4","3.3","3.3","3.3"\n'
    big, other = read(text, "chart.csv")
    assert (big.name, points(big)) == ("big - run", {10: 4, 20: 3})
    assert (other.name, points(other), other.line) == ("c", {20: 3.3}, 3)
    assert big.label == "train/loss"
    assert not codes(big)
    big, _ = read(text.replace("trainer/global_step", "Step"), "chart.csv")
    assert "logged_calls" in codes(big)


def test_a_chart_of_validation_or_rate_is_what_its_metric_says(read):
    text = '"Step","a - eval/loss","a - lr","a - _step"\n1,3.5,0.1,1\n2,3.4,0.2,2\n'
    (run,) = read(text, "chart.csv")
    assert points(run, "val_loss") == {1: 3.5, 2: 3.4}
    assert points(run, "lr") == {1: 0.1, 2: 0.2}
    assert "loss" not in run.curves


def test_lightning_writes_one_step_in_several_rows(read, tmp_path):
    (tmp_path / "exp" / "version_3").mkdir(parents=True)
    (tmp_path / "exp" / "version_3" / "hparams.yaml").write_text(
        "model: !!python/object:x.Y\n  n_params: 124000000\nmax_steps: 500\nseed: 3\nlr: 0.001\n"
    )
    text = (
        "epoch,lr-AdamW,step,train_loss_epoch,train_loss_step,val_loss\r\n"
        "0,0.001,49,,,\r\n0,,49,,3.5,\r\n0,,99,,3.2,\r\n0,,99,3.4,,\r\n0,,99,,,3.3\r\n"
    )
    (run,) = read(text, "exp/version_3/metrics.csv")
    assert (run.format, run.name) == ("lightning", "exp/version_3")
    assert points(run) == {49: 3.5, 99: 3.2}
    assert points(run, "lr") == {49: 0.001}
    assert points(run, "val_loss") == {99: 3.3}
    assert (run.stated.total_steps, run.stated.seed, run.stated.params) == (500, 3, 124e6)
    assert not codes(run)


def test_a_mean_over_epochs_is_said_to_be_one(read):
    text = "epoch,step,train_loss_epoch,val_loss\n0,99,3.4,\n0,99,,3.3\n1,199,3.1,\n"
    (run,) = read(text, "metrics.csv")
    assert points(run) == {99: 3.4, 199: 3.1}
    assert run.stated.smoothing == "mean of an epoch"


@pytest.mark.parametrize("name", ["run-small-tag-train_loss", "small_train_loss", "small-train-loss"])
def test_a_scalar_is_called_after_its_file(read, name):
    rows = [(1.7e9 + k, k, loss_at(k)) for k in range(5)]
    table = "Wall time,Step,Value\r\n" + "".join(f"{a},{b},{c}\r\n" for a, b, c in rows)
    for text, end in ((table, "csv"), (json.dumps(rows), "json")):
        (run,) = read(text, f"{name}.{end}")
        assert (run.format, run.name) == ("tensorboard-scalars", "small")
        assert list(points(run)) == [0, 1, 2, 3, 4]
        assert run.curves["seconds"].values.tolist() == [0, 1, 2, 3, 4]
        assert not codes(run)


def test_a_scalar_without_a_name_is_taken_for_the_loss_and_said_so(read):
    (run,) = read("Wall time,Step,Value\n1,10,4\n2,20,3\n", "scalars.csv")
    assert points(run) == {10: 4, 20: 3}
    assert "unnamed_metric" in codes(run)


def test_the_scalars_of_a_run_in_a_folder_are_one(tmp_path):
    for tag, value in (("train_loss", 3.0), ("lr", 0.1), ("eval_loss", 3.2)):
        rows = "".join(f"{1.7e9 + k},{k},{value}\n" for k in (10, 20))
        (tmp_path / f"run-x-tag-{tag}.csv").write_text(f"Wall time,Step,Value\n{rows}")
    (run,) = read_logs([tmp_path])
    assert (run.name, points(run)) == ("x", {10: 3, 20: 3})
    assert points(run, "lr") == {10: 0.1, 20: 0.1}
    assert points(run, "val_loss") == {10: 3.2, 20: 3.2}


def mlflow(folder, *, line="{time} {value} {step}"):
    """Write a run of MLflow."""
    for name in ("train/loss", "val_loss", "lr", "accuracy"):
        path = folder / "metrics" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = {"train/loss": loss_at, "val_loss": lambda k: loss_at(k) + 1, "lr": lambda _: 1e-3}
        rows = [(1700000000000 + k, values.get(name, float)(k), 10 * k) for k in range(1, 6)]
        path.write_text("".join(line.format(time=t, value=v, step=s) + "\n" for t, v, s in rows))
    for name, text in {"params/seed": "5", "params/max_steps": "100", "tags/mlflow.runName": "my run"}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "meta.yaml").write_text("run_name: my run\nstatus: 3\n")


@pytest.mark.parametrize("end", ["", " data digest", " run", " data digest run"])
def test_a_store_of_mlflow_is_named_at_any_height(tmp_path, end):
    folder = tmp_path / "mlruns" / "1" / "abc"
    mlflow(folder, line="{time} {value} {step}" + end)
    for path in (
        tmp_path,
        tmp_path / "mlruns",
        folder.parent,
        folder,
        folder / "metrics",
        folder / "metrics/train/loss",
    ):
        (run,) = read_logs([path])
        assert (run.name, run.ended, run.label) == ("my run", "finished", "train/loss")
        assert points(run) == pytest.approx({10.0 * k: loss_at(k) for k in range(1, 6)})
        assert points(run, "val_loss")[50] == pytest.approx(loss_at(5) + 1)
        assert points(run, "lr")[10] == 1e-3
        assert (run.stated.seed, run.stated.total_steps) == (5, 100)
        assert run.written == pytest.approx(1700000000.005)


@pytest.mark.parametrize(
    ("status", "ended"), [("3", "finished"), ("FAILED", "crashed"), ("1", None), ("5", "crashed")]
)
def test_mlflow_says_how_a_run_ended(tmp_path, status, ended):
    mlflow(tmp_path / "abc")
    (tmp_path / "abc" / "meta.yaml").write_text(f"status: {status}\n")
    (run,) = read_logs([tmp_path])
    assert run.ended == ended


def test_a_deleted_run_of_mlflow_is_passed_over(tmp_path):
    for name, stage in {"kept": "active", "gone": "deleted"}.items():
        mlflow(tmp_path / name)
        (tmp_path / name / "meta.yaml").write_text(f"run_id: {name}\nlifecycle_stage: {stage}\n")
    (run,) = read_logs([tmp_path])
    assert "/kept" in run.source


def test_a_metric_of_mlflow_without_steps_is_counted_and_said_so(read):
    (run,) = read("1700000000001 4.0\n1700000000002 nan\n1700000000003 3.5\n", "abc/metrics/loss")
    assert points(run) == {1: 4, 3: 3.5}
    assert run.not_finite.first == 2
    assert "logged_calls" in codes(run)


def test_the_step_of_a_line_that_is_being_written_is_none(read):
    (run,) = read("1700000000001 4.0 10\n1700000000002 3.9 20\n1700000000003 3.5 3", "abc/metrics/loss")
    assert points(run) == {10: 4, 20: 3.9}


def test_json_lines_may_be_nested_and_mixed_with_settings(read):
    rows = [{"config": {"n_params": 124e6, "max_steps": 100, "seq_len": 1024, "lr": 3e-4}}]
    rows += [{"step": k, "train": {"loss": loss_at(k), "lr": 1e-3}, "perf": {"mfu": 41.0}} for k in range(1, 7)]
    rows += [{"event": "done", "best_val_loss": 1.0}]
    (run,) = read(lines(rows), "metrics.jsonl")
    assert points(run) == pytest.approx({float(k): loss_at(k) for k in range(1, 7)})
    assert set(run.curves) == {"loss", "lr", "mfu"}
    assert run.curves["mfu"].values.tolist() == pytest.approx([0.41] * 6)
    assert (run.stated.params, run.stated.total_steps, run.stated.sequence) == (124e6, 100, 1024)


def test_json_lines_may_stand_below_more_text_than_there_are_of_them(read):
    """What a launcher and a first start that failed have printed, and then the first steps."""
    text = "W0101 Setting OMP_NUM_THREADS for each process\n" * 250 + "Traceback (most recent call last):\n" * 9
    (run,) = read(text + lines({"step": k, "loss": loss_at(k)} for k in range(1, 6)), "output.log")
    assert points(run) == pytest.approx({float(k): loss_at(k) for k in range(1, 6)})


def test_json_lines_may_be_damaged_cut_and_not_finite(read):
    text = (
        '{"step": 1, "loss": 4}\n{"step": 2, "loss": NaN}\n{"step": 3, "lo\n\n'
        '{"step": 4, "loss": Infinity}\n{"step": 5, "loss": 3.0}\n{"step": 6, "loss": 2.'
    )
    (run,) = read(text, "m.jsonl")
    assert points(run) == {1: 4, 5: 3}
    assert (run.not_finite.first, run.not_finite.last, run.not_finite.count) == (2, 4, 2)
    assert codes(run) == {"damaged_lines", "cut"}


def test_runs_that_a_key_names_are_told_apart(read):
    rows = [{"run": f"r{j}", "step": k, "loss": loss_at(k) + j} for k in range(6) for j in (0, 1)]
    first, second = read(lines(rows), "m.jsonl")
    assert (first.name, points(first)[3]) == ("r0", loss_at(3))
    assert (second.name, points(second)[3], second.line) == ("r1", loss_at(3) + 1, 2)


def test_a_restart_repeats_steps_and_a_new_run_begins_anew(read):
    (run,) = read(lines({"step": k, "loss": loss_at(k)} for k in (1, 2, 3, 4, 5, 6, 4, 5, 6, 7)), "m.jsonl")
    assert len(points(run)) == 7
    assert "restarted" in codes(run)
    first, second = read(lines({"step": k, "loss": loss_at(k)} for k in (1, 2, 3, 4, 5, 6, 1, 2, 3)), "m.jsonl")
    assert (first.name, first.last_step, second.name, second.last_step, second.line) == ("m", 6, "m#2", 3, 7)


def test_a_split_that_a_key_names_is_a_validation(read):
    rows = [{"step": k, "split": s, "loss": loss_at(k) + (s == "val")} for k in range(4) for s in ("train", "val")]
    (run,) = read(lines(rows), "m.jsonl")
    assert points(run)[2] == loss_at(2)
    assert points(run, "val_loss")[2] == loss_at(2) + 1


@pytest.mark.parametrize(
    "document",
    [
        [{"step": k, "train_loss": loss_at(k)} for k in range(1, 6)],
        {"step": list(range(1, 6)), "train_loss": [loss_at(k) for k in range(1, 6)], "config": {"n_params": 1e6}},
        {"train_steps": list(range(1, 6)), "train_losses": [loss_at(k) for k in range(1, 6)]},
        {"step": {str(k): k for k in range(1, 6)}, "loss": {str(k): loss_at(k) for k in range(1, 6)}},
        {"train": [{"step": k, "loss": loss_at(k)} for k in range(1, 6)], "val": [{"step": 5, "loss": 9.0}] * 2},
        {"log_history": [{"step": k, "loss": loss_at(k), "epoch": 0.1} for k in range(1, 6)]},
    ],
)
def test_a_document_with_a_history_in_any_shape(read, document):
    (run,) = read(json.dumps(document), "history.json")
    assert points(run) == pytest.approx({float(k): loss_at(k) for k in range(1, 6)})


def test_a_validation_with_its_own_steps_is_kept(read):
    document = {
        "train_steps": [1, 2, 3, 4],
        "train_losses": [4, 3, 2, 1],
        "val_steps": [2, 4],
        "val_losses": [3.5, 2.5],
    }
    (run,) = read(json.dumps(document), "history.json")
    assert points(run) == {1: 4, 2: 3, 3: 2, 4: 1}
    assert points(run, "val_loss") == {2: 3.5, 4: 2.5}


BY_HAND = """# by hand
global_step\ttrain_loss\teval_loss\tLR\ttokens (K)
10\t4\t4.1\t.001\t1
20\t3\t3.1\t.001\t2
30\t2.5\t2.9\t.001\t3
"""
BY_METRIC = """step,tag,value
10,loss,4\n20,loss,3\n30,loss,2.5\n10,val_loss,4.1\n20,val_loss,3.1\n30,val_loss,2.9
10,lr,1e-3\n20,lr,1e-3\n30,lr,1e-3\n10,tokens,1000\n20,tokens,2000\n30,tokens,3000
"""
HEAD = "iter,train/loss,validation loss,learning_rate,consumed_tokens"


@pytest.mark.parametrize(
    "text",
    [
        f'{HEAD}\n10,4,4.1,1e-3,"1,000"\n20,3,3.1,1e-3,"2,000"\n30,2.5,2.9,1e-3,"3,000"\n',
        "step;loss;val/loss;lr;tokens\n10;4,0;4,1;0,001;1K\n20;3,0;3,1;0,001;2K\n30;2,5;2,9;0,001;3K\n",
        BY_HAND,
        BY_METRIC,
    ],
)
def test_a_table_of_a_curve_in_any_spelling(read, text):
    (run,) = read(text, "curve.csv")
    assert run.format == "curve-table"
    assert points(run) == {10: 4, 20: 3, 30: 2.5}
    assert points(run, "val_loss") == {10: 4.1, 20: 3.1, 30: 2.9}
    assert points(run, "lr") == {10: 1e-3, 20: 1e-3, 30: 1e-3}
    assert points(run, "tokens") == {10: 1000, 20: 2000, 30: 3000}


def test_a_table_by_tokens_of_several_runs(read):
    rows = "".join(
        f"{run}\t{n}\t{10 * k}M\t{loss_at(k)}\n" for run, n in (("a", "1M"), ("b", "2M")) for k in (1, 2, 3)
    )
    first, second = read(f"run\tparams\ttokens\tloss\n{rows}", "ladder.tsv")
    assert (first.name, first.stated.params, second.name, second.stated.params) == ("a", 1e6, "b", 2e6)
    assert list(points(first)) == [10e6, 20e6, 30e6]
    assert first.stated.tokens_per_step == 1


def test_a_table_of_final_results_is_no_log(tmp_path):
    for text in (
        "run,params,tokens,loss\na,1e6,1e7,3\nb,2e6,2e7,2.9\nc,3e6,3e7,2.8\n",
        "params,tokens,loss\n1e6,1e7,3\n1e6,2e7,2.9\n1e6,3e7,2.8\n2e6,3e7,2.8\n",
        "params,steps,tokens,loss\n1e6,100,1e7,3\n2e6,200,2e7,2.9\n3e6,300,3e7,2.8\n",
        "flops,loss\n1e18,3\n2e18,2.9\n3e18,2.8\n",
    ):
        path = tmp_path / "runs.csv"
        path.write_text(text)
        assert not is_log(path)


def test_a_table_of_curves_is_a_log_only_where_tables_count(tmp_path):
    path = tmp_path / "curve.csv"
    path.write_text("step,loss\n1,4\n2,3\n3,2\n")
    assert is_log(path)
    assert not is_log(path, tables=False)


def test_other_losses_are_not_the_loss(read):
    names = [
        "step",
        "aux_loss",
        "loss_scale",
        "best_val_loss",
        "train/z_loss",
        "mtp_1 loss",
        "loss",
        "train/loss_total",
    ]
    rows = [dict(zip(names, [k, 9, 9, 9, 9, 9, loss_at(k), 8 - 0.1 * k], strict=True)) for k in range(5)]
    (run,) = read(lines(rows), "m.jsonl")
    assert points(run)[0] == 4.0
    assert set(run.curves) == {"loss"}
    assert "several_loss" in codes(run)


def test_a_loss_in_another_unit_is_converted_or_said_to_be_one(read):
    (run,) = read("step,ppl\n1,20\n2,10\n", "c.csv")
    assert run.curves["loss"].values.tolist() == pytest.approx([math.log(20), math.log(10)])
    assert "converted" in codes(run)
    (run,) = read("step,train/bpb\n1,1.2\n2,1.1\n", "c.csv")
    assert run.stated.loss_unit == "bpb"
    assert points(run) == {1: 1.2, 2: 1.1}
    (run,) = read("step,train/loss,val/bpb\n1,3,1.2\n2,2.9,1.1\n", "c.csv")
    assert "val_loss" not in run.curves
    assert "other_unit" in codes(run)


def test_tokens_that_do_not_rise_are_no_count_of_all(read):
    (run,) = read(lines({"step": k, "tokens": 4096, "loss": loss_at(k)} for k in range(5)), "m.jsonl")
    assert "tokens" not in run.curves
    assert "tokens_do_not_rise" in codes(run)


def test_a_row_that_is_being_written_is_left_out(read):
    rows = "".join(f"{k},{loss_at(k):.4f}\n" for k in range(9))
    for rest in ("9", "9,", "9,3.1"):
        (run,) = read(f"step,loss\n{rows}{rest}", "c.csv")
        assert len(points(run)) == 9
    (run,) = read(f"step,loss\n{rows}9,3.1000", "c.csv")
    assert len(points(run)) == 10


def test_json_may_stand_behind_what_a_logger_writes(read):
    rows = [json.dumps({"step": k, "data": {"loss": loss_at(k)}, "time": 1.7e9 + 2 * k}) for k in range(6)]
    text = "starting\n" + "".join(f"2026-03-01 10:00:0{k} INFO {row}\n" for k, row in enumerate(rows))
    (run,) = read(text, "train.log")
    assert points(run) == {float(k): loss_at(k) for k in range(6)}
    assert run.curves["seconds"].values.tolist() == [0, 2, 4, 6, 8, 10]
    assert not codes(run)


def test_a_document_with_a_list_of_runs(read):
    history = [{"step": k, "loss": loss_at(k)} for k in range(4)]
    runs = [{"name": name, "params": params, "history": history} for name, params in (("a", 1e6), ("b", 2e6))]
    first, second = read(json.dumps({"runs": runs}), "all.json")
    assert (first.name, first.stated.params, second.name, second.stated.params) == ("a", 1e6, "b", 2e6)


def test_settings_of_each_run_belong_to_it(read):
    rows = [{"run_id": run, "config": {"params": params}} for run, params in (("a", 1e6), ("b", 2e6))]
    rows += [{"run_id": run, "step": k, "loss": loss_at(k)} for k in range(4) for run in "ab"]
    first, second = read(lines(rows), "m.jsonl")
    assert (first.name, first.stated.params, second.name, second.stated.params) == ("a", 1e6, "b", 2e6)


def test_texts_that_change_within_a_run_make_no_runs(read):
    rows = [{"step": k, "source": "ab"[k % 2], "loss": loss_at(k)} for k in (1, 2, 3, 4, 5, 6, 7, 5, 6, 7, 8)]
    (run,) = read(lines(rows), "m.jsonl")
    assert list(points(run)) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_settings_that_differ_make_runs(read):
    text = "model,step,loss\n" + "".join(f"{m},{k},{loss_at(k)}\n" for m in ("small", "large") for k in range(1, 5))
    assert [run.name for run in read(text, "c.csv")] == ["small", "large"]
    text = "params,step,loss\n" + "".join(f"{n}M,{k},{loss_at(k)}\n" for k in range(1, 5) for n in (10, 20))
    assert [run.stated.params for run in read(text, "c.csv")] == [10e6, 20e6]


def test_loggers_called_after_a_split_are_no_runs(read):
    rows = [{"name": s, "step": k, "loss": loss_at(k) + (s == "val")} for k in range(5) for s in ("train", "val")]
    (run,) = read(lines(rows), "m.jsonl")
    assert points(run, "val_loss")[2] == loss_at(2) + 1
    assert points(run)[2] == loss_at(2)


finite = st.floats(min_value=1e-3, max_value=1e3)
losses = st.lists(st.one_of(finite, st.just(math.nan), st.just(math.inf)), min_size=4, max_size=30)


def written(values, form):
    """Return a log of values as text, under its name."""
    rows = list(enumerate(values, 1))
    if form == "csv":
        return "step,loss,lr\n" + "".join(f"{k},{v!r},0.1\n" for k, v in rows), "c.csv"
    if form == "jsonl":
        return lines({"step": k, "loss": v, "lr": 0.1} for k, v in rows), "c.jsonl"
    if form == "json":
        return json.dumps([{"step": k, "loss": v, "lr": 0.1} for k, v in rows]), "c.json"
    if form == "mlflow":
        return "".join(f"{1700000000000 + k} {v!r} {k}\n" for k, v in rows), "r/metrics/loss"
    if form == "wandb":
        return "_step,train/global_step,train/loss\n" + "".join(f"{k},{k},{v!r}\n" for k, v in rows), "h.csv"
    entries = [{"loss": v, "learning_rate": 0.1, "step": k} for k, v in rows]
    return json.dumps(
        {"global_step": len(rows), "log_history": entries, "max_steps": 99}, indent=2
    ), "trainer_state.json"


FORMS = ("csv", "jsonl", "json", "mlflow", "wandb", "huggingface")


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=25)
@given(values=losses)
def test_what_is_written_is_read_back(tmp_path_factory, form, values):
    text, name = written(values, form)
    path = tmp_path_factory.mktemp("logs") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    (run,) = read_logs([path])
    expected = {float(k): v for k, v in enumerate(values, 1) if math.isfinite(v)}
    assert (points(run) if expected else {}) == expected
    assert (0 if run.not_finite is None else run.not_finite.count) == len(values) - len(expected)


@pytest.mark.parametrize("form", FORMS)
def test_a_log_that_is_cut_anywhere_has_no_other_values(tmp_path, form):
    text, name = written([loss_at(k) + 1e-4 for k in range(12)], form)
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {float(k): loss_at(k - 1) + 1e-4 for k in range(1, 13)}
    for end in range(0, len(text), 3):  # of lines of other lengths, so at every place of one
        path.write_text(text[:end])
        try:
            runs = list(read_logs([path]))
        except FileError:
            continue
        for run in runs:
            steps = run.curves["loss"].steps.tolist()
            assert set(steps[:-1]) <= set(whole)
            assert all(points(run)[step] == pytest.approx(whole[step]) for step in steps[:-1])


@given(data=st.binary(max_size=400), form=st.sampled_from(FORMS), place=st.integers(0, 300))
def test_damaged_bytes_never_end_in_a_traceback(tmp_path_factory, data, form, place):
    text, name = written([loss_at(k) for k in range(8)], form)
    path = tmp_path_factory.mktemp("logs") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode()[:place] + data + text.encode()[place + len(data) :])
    try:
        for run in read_logs([path]):
            assert all(np.all(np.diff(curve.steps) > 0) for curve in run.curves.values())
    except ScaleplanError:
        pass
