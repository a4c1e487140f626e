"""Logs below folders: what is found, in which order, under which names, and what is said of the rest."""

from __future__ import annotations

import json
import os
import re
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.errors import FileError
from scaleplan.logs.log_file import LogFile, plain
from scaleplan.logs.log_reading import is_log, read_logs


def write(path, *, loss=3.0):
    """Write a log as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"step": k, "loss": loss}) + "\n" for k in range(3)))
    return path


def test_a_folder_gives_its_runs_in_the_order_of_numbers(tmp_path):
    for number in (10, 2, 1):
        write(tmp_path / f"run_{number}" / "metrics.jsonl")
    write(tmp_path / "a.jsonl")
    assert [run.name for run in read_logs([tmp_path])] == ["a", "run_1", "run_2", "run_10"]


def test_what_is_hidden_or_no_log_is_passed_over(tmp_path):
    write(tmp_path / ".cache" / "old.jsonl")
    write(tmp_path / ".hidden.jsonl")
    write(tmp_path / "small.jsonl")
    (tmp_path / "train.py").write_text('print("step: 1 loss: 3")')
    (tmp_path / "notes.txt").write_text("nothing of a log")
    (tmp_path / "weights.bin").write_bytes(os.urandom(1000))
    (tmp_path / "random").write_bytes(os.urandom(1000))
    (tmp_path / "config.json").write_text('{"hidden_size": 8}')
    (tmp_path / "empty.log").write_text("")
    assert [run.name for run in read_logs([tmp_path])] == ["small"]


def test_links_in_a_circle_are_followed_once(tmp_path):
    write(tmp_path / "a" / "small.jsonl")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "nowhere").symlink_to(tmp_path / "not there")
    assert [run.name for run in read_logs([tmp_path])] == ["small"]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="nothing is closed to this user")
def test_a_file_that_cannot_be_read_is_told_and_left_out(tmp_path):
    write(tmp_path / "a.jsonl").chmod(0)
    write(tmp_path / "b.jsonl")
    (run,) = read_logs([tmp_path])
    assert [notice.code for notice in run.warnings] == ["unreadable_log"]
    told = []
    (run,) = read_logs([tmp_path], skipped=told.append)
    assert not run.warnings
    assert "a.jsonl" in told[0].message


def test_a_folder_without_a_log_is_one_error(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(FileError, match="no training log in") as caught:
        list(read_logs([tmp_path]))
    assert caught.value.hint


def test_a_file_that_is_no_log_names_what_is_read(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("nothing")
    with pytest.raises(FileError, match="no training log of a known format") as caught:
        list(read_logs([path]))
    for word in ("Hugging Face", "W&B", "TensorBoard", "MLflow", "Lightning", "JSON lines"):
        assert word in caught.value.hint
    path.write_text("")
    with pytest.raises(FileError, match="is empty"):
        list(read_logs([path]))
    with pytest.raises(FileError, match="no such file"):
        list(read_logs([tmp_path / "nowhere"]))
    assert not is_log(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("small.jsonl", "small"),
        ("small/metrics.jsonl", "small"),
        ("small/logs/train.jsonl", "small"),
        ("small/version_2/metrics.jsonl", "small/version_2"),
        ("small/checkpoint-30/log_history.jsonl", "small"),
        ("lr-3e-4/seed_1/log.jsonl", "lr-3e-4/seed_1"),
    ],
)
def test_a_run_is_called_after_its_file_or_folder(tmp_path, path, name):
    (run,) = read_logs([write(tmp_path / path)])
    assert run.name == name


def test_no_two_runs_of_a_folder_have_one_name(tmp_path):
    for folder in ("a/small", "b/small", "c"):
        write(tmp_path / folder / "metrics.jsonl")
    write(tmp_path / "c" / "history.jsonl")
    names = [run.name for run in read_logs([tmp_path])]
    assert len(set(names)) == len(names) == 4


def test_a_folder_of_a_thousand_files_is_read_in_order(tmp_path):
    for number in range(1000):
        (tmp_path / f"r{number}.jsonl").write_text('{"step": 1, "loss": 3}\n{"step": 2, "loss": 2}\n')
    assert [run.name for run in read_logs([tmp_path])] == [f"r{number}" for number in range(1000)]


def test_standard_input_is_a_log(monkeypatch, tmp_path):
    path = write(tmp_path / "small.jsonl")
    with path.open("rb") as file:
        monkeypatch.setattr(sys, "stdin", type("Stream", (), {"buffer": file})())
        (run,) = read_logs(["-"])
    assert (run.source, run.last_step) == ("-", 2)


def test_paths_keep_their_order(tmp_path):
    paths = [write(tmp_path / f"{name}.jsonl") for name in "ba"]
    assert [run.name for run in read_logs(paths)] == ["b", "a"]


def test_a_log_without_a_loss_says_so(tmp_path):
    path = tmp_path / "run-x-tag-lr.csv"
    path.write_text("Wall time,Step,Value\n1,10,0.1\n2,20,0.1\n")
    with pytest.raises(FileError, match="no loss in this log"):
        list(read_logs([path]))


def test_a_file_is_recognised_by_its_first_bytes_alone(tmp_path):
    path = write(tmp_path / "small.jsonl")
    with path.open("a") as file:
        file.writelines(f'{{"step": {k}, "loss": 2.5}}\n' for k in range(3, 20000))
    assert is_log(path)
    assert len(LogFile(path).head) == 1 << 16


def test_a_pipe_is_read_once(tmp_path):
    """Of a process substitution of a shell, as of standard input, nothing comes twice."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    lines = "".join(f"s:{step} trl:{5 - step / 1e4:.4f} lr:0.000600 norm:0.30\n" for step in range(8000))
    writer = threading.Thread(target=pipe.write_text, args=(lines,))
    writer.start()
    (run,) = read_logs([pipe])
    writer.join()
    assert len(run.curves["loss"]) == 8000


@given(
    st.lists(
        st.sampled_from([b"\x1b[", b"\x1b", b"31m", b"\x1b[0m", b"text", b"1;", b"\n", b"\x1b[38;5;123;48;5;200m"])
    )
)
def test_codes_of_a_terminal_are_taken_out_and_nothing_else(pieces):
    text = b"".join(pieces)
    assert plain(text) == re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", text)
