"""The command ``runs``: every sample of a log against its truth, and the way from logs to a law."""

import csv
import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import scaleplan as sp
from scaleplan.errors import FileError
from scaleplan.fitting.reading import read_runs
from scaleplan.logs.formats import FORMATS

LOGS = Path(__file__).parents[3] / "shared" / "cases" / "logs"

KEY = list(csv.DictReader((LOGS / "key.csv").read_text().splitlines())) if LOGS.is_dir() else []

COUNTED = {"wandb_history_csv", "jsonl", "composer_file_log", "olmo_core_console", "nanotron_log"}
"""The formats that count tokens, or state those of a step."""

WITHOUT_VALIDATION = {"tensorboard_csv", "mlflow_metric_file", "olmo_core_console", "nanotron_log"}

WITHOUT_RATE = {
    *("build_nanogpt_log", "modded_nanogpt_log", "torchtitan_log", "tensorboard_csv", "mlflow_metric_file"),
}

WITHOUT_END = {"build_nanogpt_log", "torchtitan_log", "tensorboard_csv", "mlflow_metric_file"}
"""Formats that state neither where the run was to end nor a rate whose decay leads there."""

UNDECAYED = {"lightning_metrics_csv", "jsonl"}
"""Samples of a schedule whose decay had not begun, of no stated end."""

DIGITS = {"nanotron_log": 3e-3, "composer_file_log": 1e-3}
"""Relative resolution of what is printed, where it is coarse."""


@pytest.mark.parametrize("truth", KEY, ids=lambda truth: truth["format"])
def test_every_sample_reads_to_its_truth(cli, truth):
    """Steps, tokens, validation loss, rate, schedule and state, within the digits that are printed."""
    name = truth["format"]
    words = ("runs", str(LOGS.parent / truth["file"]), "--json")
    (run,) = cli(*words).json["runs"]
    last, total, per_step = (int(truth[key]) for key in ("last_step", "total_steps", "tokens_per_step"))
    assert run["steps"] in (last, last - 1)
    near = DIGITS.get(name, 1e-4)
    if name in COUNTED:
        assert run["tokens"] == pytest.approx(last * per_step, rel=near)
    else:
        assert run["tokens"] is None
        given = cli(*words, "--tokens-per-step", str(per_step)).json["runs"][0]
        assert given["tokens"] == run["steps"] * per_step
    if name in WITHOUT_VALIDATION:
        assert run["val_loss"] is None
    else:
        assert run["val_loss"] == pytest.approx(float(truth["last_val_loss"]), abs=6e-5)
    if name in WITHOUT_RATE:
        assert (run["lr"], run["schedule"]) == (None, "unknown")
    else:
        assert run["lr"] == pytest.approx(float(truth["peak_lr"]), rel=near)
        assert run["schedule"] == ("constant" if name in UNDECAYED else truth["schedule"])
    expected = "finished" if last == total else "stopped"
    if name in WITHOUT_END | UNDECAYED:
        assert run["state"] is None
        expected_given = cli(*words, "--steps", str(total)).json["runs"][0]["state"]
        assert expected_given == expected
    else:
        assert run["state"] == expected
        assert run["total_steps"] == total
    assert run["loss"] == pytest.approx(float(truth["last_val_loss"]), rel=0.03)
    assert run["smoothing"]
    assert run["source"] == str(LOGS.parent / truth["file"])


@pytest.mark.skipif(not KEY, reason="the shared cases are not there")
def test_a_folder_is_all_of_its_logs_in_every_format(cli):
    """One row each, in one table that fits a narrow terminal."""
    found = cli("runs", str(LOGS))
    assert found.status == 0
    assert len(cli("runs", str(LOGS), "--json").json["runs"]) == len(KEY)
    assert max(map(len, found.out.splitlines()[:18])) <= 80
    lines = [line for line in found.err.splitlines() if line.startswith("warning: ")]
    assert sum("the parameters of 15 of 15 runs are not known" in line for line in lines) == 1
    rows = list(csv.DictReader(cli("runs", str(LOGS), "--format", "csv").out.splitlines()))
    assert {row["state"] for row in rows} == {"finished", "stopped", ""}
    assert len(cli("runs", str(LOGS), "--get", "steps", "--quiet").out.splitlines()) == len(KEY)
    assert len(cli("runs", str(LOGS), "--format", "jsonl").out.splitlines()) == len(KEY)


def ladder(folder, *, stopped=(), without_validation=(), constant=()):
    """Write the logs of a ladder of a known law, with a config beside each, and return the folder."""
    rng = np.random.default_rng(5)
    for width in (128, 192, 256, 384, 512):
        config = {"model_type": "gpt2", "n_embd": width, "n_layer": 6, "n_head": 4, "vocab_size": 8192}
        size = sp.model({**config, "n_positions": 1024}).params
        for ratio in (10, 30, 90):
            name = f"w{width}-r{ratio}"
            place = folder / name
            place.mkdir(parents=True)
            (place / "config.json").write_text(json.dumps({**config, "n_positions": 1024}))
            total = max(100, round(size * ratio / 65536))
            every = max(1, total // 100)
            end = total // 2 if name in stopped else total
            lines = []
            for step in [*range(every, end, every), end]:
                decay = 1.0 if name in constant else 0.55 + 0.45 * math.cos(math.pi * step / total)
                loss = 1.8 + 480 / size**0.35 + 2100 / (step * 65536) ** 0.37
                row = {"step": step, "lr": 1e-3 * decay, "tokens": step * 65536, "train_loss": loss + 0.1}
                lines.append(json.dumps(row | {"train_loss": (loss + 0.1) * math.exp(0.005 * rng.standard_normal())}))
            if name not in without_validation:
                lines.append(json.dumps({"step": end, "val_loss": loss * math.exp(0.002 * rng.standard_normal())}))
            (place / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_logs_become_a_table_that_fit_reads_as_the_logs(cli, tmp_path):
    """From a file in any format that is written, or at once: the same runs, row by row."""
    folder = ladder(tmp_path / "logs", stopped={"w512-r90"})
    at_once = read_runs(folder)
    assert len(at_once) == 14
    for ending in ("csv", "tsv", "json", "jsonl"):
        path = tmp_path / f"table.{ending}"
        assert cli("runs", str(folder), "-o", str(path)).status == 0
        written = read_runs(path)
        for name in ("params", "tokens", "flops", "loss"):
            np.testing.assert_allclose(getattr(written, name), getattr(at_once, name), rtol=1e-12)
        assert [f.reason for f in written.dropped] == [f.reason for f in at_once.dropped] == ["crashed"]
    assert read_runs(tmp_path / "table.csv").rows.tolist() == at_once.rows.tolist()


def test_a_law_is_fitted_to_logs(cli, tmp_path):
    """With the loss named, and the run that stopped dropped."""
    folder = ladder(tmp_path / "logs", stopped={"w512-r90"})
    found = cli("fit", str(folder), "--json").json
    assert found["rows_used"] == 14
    assert found["notes"][0].startswith("loss is 'val_loss', the last validation loss")
    truth = 1.8 + 480 / 1e9**0.35 + 2100 / 2e10**0.37
    fitted = sp.fit(folder)
    assert fitted.law.loss(1e9, 2e10) == pytest.approx(truth, rel=0.02)
    assert cli("backtest", str(folder), "--json").json["rows_used"] == 14


def test_a_fit_of_logs_names_the_command_that_takes_sizes(tmp_path):
    """The options that tell a size are those of runs, whose table fit then reads."""
    folder = ladder(tmp_path / "logs")
    (folder / "bare.jsonl").write_text("".join(f'{{"step": {i}, "loss": 3.0}}\n' for i in range(1, 40)))
    runs = read_runs(folder)
    assert "runs dropped: 'bare'" in runs.notes
    found = " ".join(notice.message for notice in runs.warnings)
    assert "in 'scaleplan runs -o runs.csv' give --params" in found
    assert "in 'scaleplan runs -o runs.csv' give --tokens-per-step" in found


def test_which_loss_is_fitted(tmp_path):
    """Validation where every finished run has one at its end, or as mapped."""
    folder = ladder(tmp_path / "logs", without_validation={"w128-r10"})
    training = read_runs(folder)
    assert "the training loss over the last part" in training.notes[0]
    assert "w128-r10" in training.notes[0]
    mapped = read_runs(folder, mapping={"loss": "val_loss"})
    assert [finding.reason for finding in mapped.dropped] == ["missing_loss"]
    shared = np.isin(training.rows, mapped.rows)
    assert np.all(training.loss[shared] > mapped.loss)
    assert len(read_runs(folder, where=["state = finished", "lr > 9e-4"])) == 15


def test_an_early_validation_is_no_final_one(tmp_path):
    """One from the middle of a run is not its outcome."""
    folder = ladder(tmp_path / "logs", without_validation={"w128-r10"})
    path = folder / "w128-r10" / "metrics.jsonl"
    path.write_text(path.read_text().replace('"step": 50,', '"step": 50, "val_loss": 4.0,', 1))
    assert "the training loss" in read_runs(folder).notes[0]


def test_runs_that_stopped_before_their_decay_are_named(tmp_path):
    """Where no run is finished they are kept; a constant rate has no decay to wait for."""
    names = [f"w{width}-r{ratio}" for width in (128, 192, 256, 384, 512) for ratio in (10, 30, 90)]
    found = read_runs(ladder(tmp_path / "logs", stopped=set(names)))
    assert len(found) == 15
    (notice,) = [notice for notice in found.warnings if notice.code == "not_decayed"]
    assert "15 of 15 runs" in notice.message
    other = read_runs(ladder(tmp_path / "constant", stopped=set(names), constant=set(names)))
    assert "not_decayed" not in {notice.code for notice in other.warnings}


def test_sizes_that_no_log_tells_are_refused_with_the_way(cli, tmp_path):
    """By the option, which then works."""
    folder = ladder(tmp_path / "logs")
    for config in folder.glob("*/config.json"):
        config.unlink()
    found = cli("fit", str(folder))
    assert found.status == 2
    assert "no log tells the parameters" in found.err
    assert "--map params=125M" in found.err
    sizes = [f"--params=w{width}-*={width}M" for width in (128, 192, 256, 384, 512)]
    table = tmp_path / "table.csv"
    assert cli("runs", str(folder), *sizes, "-o", str(table), "--quiet").err == ""
    assert cli("fit", str(table)).status == 0


@pytest.mark.parametrize(
    ("name", "options", "way"),
    [
        ("megatron_log/megatron.log", [], "--map params=125M"),
        ("megatron_log/megatron.log", ["--map", "params=1B"], "--map 'tokens=steps*524288'"),
        ("tensorboard_csv/run_train_loss.csv", [], "--map params=125M"),
        ("hf_trainer_state/trainer_state.json", [], "--map params=125M"),
    ],
)
@pytest.mark.skipif(not KEY, reason="the shared cases are not there")
def test_a_single_log_is_refused_with_the_way(cli, name, options, way):
    """One log is no law; what its size is comes first."""
    found = cli("fit", str(LOGS / name), *options)
    assert found.status == 2
    assert way in found.err


def test_losses_in_another_unit_are_refused_with_the_option(cli, tmp_path):
    """A table of runs says what its losses are in; of two units one is chosen."""
    table = tmp_path / "table.csv"
    cli("runs", str(ladder(tmp_path / "logs")), "-o", str(table))
    rows = list(csv.DictReader(table.read_text().splitlines()))
    for units, way in ((["bits"], "--loss-unit bits"), (["bits", "nats"], "--where 'loss_unit = bits'")):
        for i, row in enumerate(rows):
            row["loss_unit"] = units[i % len(units)]
        with table.open("w") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        found = cli("fit", str(table))
        assert found.status == 2
        assert way in found.err
        if len(units) > 1:
            assert len(read_runs(table, loss_unit="bits", where=["loss_unit = bits"])) == 8
        else:
            bits = read_runs(table, loss_unit="bits")
            assert bits.loss[0] == pytest.approx(float(rows[0]["val_loss"]) * math.log(2))


def test_a_table_with_warnings_is_read_from_json_too(cli, tmp_path):
    """Its rows are the runs, not the warnings."""
    folder = ladder(tmp_path / "logs")
    path = folder / "w128-r10" / "metrics.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:9], lines[2], lines[3], *lines[9:]]) + "\n")
    for ending in ("json", "jsonl"):
        table = tmp_path / f"table.{ending}"
        found = cli("runs", str(folder), "-o", str(table), "--json")
        assert found.json["runs"][0]["warnings"]
        assert len(read_runs(table)) == 15


def test_messy_logs(cli, tmp_path):
    """One entry, none, a NaN that recovers, one that does not, a cut line, bytes that are no text."""
    texts = {
        "one": "s:5 trl:3.3000 lr:0.000100 norm:0.4\n",
        "back": "".join(f"s:{i} trl:{'nan' if i == 50 else 3 + 1 / i:.4} lr:0.000100\n" for i in range(1, 100)),
        "gone": "".join(f"s:{i} trl:{'nan' if i > 50 else 3 + 1 / i:.4} lr:0.000100\n" for i in range(1, 100)),
        "again": "".join(f"s:{i} trl:3.{i:04} lr:0.000100\n" for i in [*range(1, 60), *range(30, 90)]),
        "cut": "".join(f"s:{i} trl:3.{i:04} lr:0.000100\n" for i in range(1, 60)) + "s:60 tr",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.log").write_text(text)
    found = cli("runs", str(tmp_path), "--json", "--steps", "99")
    rows = {row["run"]: row for row in found.json["runs"]}
    assert set(rows) == set(texts)
    states = {name: row["state"] for name, row in rows.items()}
    assert states == {"one": "stopped", "back": "finished", "gone": "diverged", "again": "stopped", "cut": "stopped"}
    assert rows["gone"]["loss"] is None
    assert rows["one"]["loss"] == 3.3
    assert "restarted" in {warning["code"] for warning in rows["again"]["warnings"]}
    assert "not_finite" in {warning["code"] for warning in rows["back"]["warnings"]}


def test_a_log_that_is_written_to_is_running(cli, tmp_path, monkeypatch):
    """Five minutes at most, and not a copy; fit leaves it out."""
    path = tmp_path / "main.log"
    path.write_text("".join(f"s:{i} trl:3.{i:04} lr:0.000300\n" for i in range(1, 60)))
    assert cli("runs", str(path), "--get", "state", "--steps", "500").out == "stopped\n"
    os.utime(tmp_path, (path.stat().st_mtime - 900, path.stat().st_mtime - 900))
    assert cli("runs", str(path), "--get", "state", "--steps", "500").out == "running\n"
    later = path.stat().st_mtime + 600
    assert sp.runs(path, steps=500, now=later).runs[0].state == "stopped"


def test_learning_rates_have_one_style(cli, tmp_path):
    """By their power of ten, above 0.0001 and below it."""
    path = tmp_path / "main.log"
    path.write_text("".join(f"s:{i} trl:3.{i:04} lr:{'0.000300' if i < 50 else '0.000030'}\n" for i in range(1, 60)))
    assert "3.00e-4" in cli("runs", str(path), "--steps", "500").out


def test_what_is_no_log_is_refused(cli, tmp_path):
    """A missing file, a folder without logs, an output of another kind, a file that would be replaced."""
    (tmp_path / "notes.txt").write_text("hello\n")
    log = tmp_path / "main.log"
    log.write_text("s:1 trl:3.3 lr:0.0001\ns:2 trl:3.2 lr:0.0001\n")
    for words in (
        [str(tmp_path / "gone.log")],
        [str(tmp_path / "notes.txt")],
        [str(log), "-o", str(tmp_path / "runs.toml")],
        [str(log), "-o", str(log)],
        [str(log), "--params", "other=1B"],
        [],
    ):
        found = cli("runs", *words)
        assert (found.status, found.out) == (2, ""), words
        assert found.err.startswith("error: ") or not words
    with pytest.raises(FileError):
        sp.runs(tmp_path / "gone.log")


def test_a_log_comes_on_standard_input(tmp_path):
    """As ``-``, as everywhere."""
    if not KEY:
        pytest.skip("the shared cases are not there")
    shutil.copy(LOGS / "llmc_main_log" / "main.log", tmp_path / "main.log")
    assert sp.runs(str(tmp_path / "main.log")).runs[0].steps == 700


def test_the_page_has_every_format():
    """By the name that stands in the table of runs."""
    page = (Path(__file__).parents[2] / "docs" / "guides" / "run-logs.md").read_text()
    table = page.partition("| format | in the table |\n| --- | --- |\n")[2].partition("\n\n")[0]
    rows = [tuple(cell.strip().strip("`") for cell in line.strip("|").split("|")) for line in table.splitlines()]
    assert rows == sorted(((known.title, known.name) for known in FORMATS), key=lambda row: row[0].casefold())
