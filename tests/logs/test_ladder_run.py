"""The folder of a ladder's run: one row, by the file that says what it is, whatever logs lie in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.ladder.folders import NOW, STEPS, loss_at, points, write_ladder_json, write_run
from tests.ladder.records import ladder_of, ladder_run

import scaleplan
from scaleplan.errors import FileError
from scaleplan.logs.config_beside import ConfigsBeside
from scaleplan.logs.formats import format_of
from scaleplan.logs.ladder_run import exit_status_in, read_run_file, run_file
from scaleplan.logs.log_file import LogFile
from scaleplan.logs.log_reading import read_logs
from scaleplan.tracking.tracked_curve import chosen_run

from .writers import WRITERS, written

BATCH = 65_536


def pilot(name="a", **given):
    return ladder_run(name, **{"tokens": BATCH * STEPS, "steps": STEPS, "params": 5_000_000, "seed": 3, **given})


def runs(*paths, **given):
    return scaleplan.runs([str(path) for path in paths], now=NOW + 1e6, **given)


def lines(upto, *, every=10, val=False):
    """Return metrics as JSON lines."""
    rows = [
        {"step": step, "loss": loss_at(step)} | ({"val_loss": loss_at(step) + 0.1} if val and step % 100 == 0 else {})
        for step in range(every, upto + 1, every)
    ]
    return "".join(f"{json.dumps(row)}\n" for row in rows)


UNSTATED = ["llm.c", "build-nanogpt", "modded-nanogpt", "trainer console"]
"""Formats that state no size that could contradict those of the ladder."""


@pytest.mark.parametrize("style", UNSTATED)
def test_sizes_come_from_the_file_of_the_run(tmp_path, style):
    """Of a log of any trainer, under the name of the run."""
    run = pilot("04-5M-s3")
    write_run(tmp_path, run, exit_status=0, style=style)
    (row,) = runs(tmp_path).runs
    assert (row.run, row.params, row.params_from) == ("04-5M-s3", 5_000_000, "run.json")
    assert row.state == "finished"
    assert (row.total_steps, row.seed, row.sequence) == (STEPS, 3, 1024)
    assert row.tokens == pytest.approx(BATCH * STEPS, rel=0.02)
    assert row.flops == pytest.approx(6 * row.params * row.tokens)


@pytest.mark.parametrize(
    ("rates", "shown"),
    [
        ([1e-5, 2e-5, 3e-5], 1.23e-3),  # a warm-up that has not ended
        ([5e-4, 1e-3, 9e-4], 1e-3),  # a program that has not taken the rate of the ladder
        ([2e-3, 2e-3, 2e-3], 2e-3),
        ([1e-3, 1.5e-3, 2e-3], 2e-3),
    ],
)
def test_the_rate_of_a_run_in_its_warm_up_is_that_of_its_file(tmp_path, rates, shown):
    """The largest in the log would be as far as the warm-up has come."""
    write_run(tmp_path, pilot(), style="llm.c")
    rows = [{"step": 10 * (i + 1), "loss": 5.0 - 0.1 * i, "lr": rate} for i, rate in enumerate(rates)]
    (tmp_path / "a" / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (tmp_path / "a" / "output.log").unlink()
    assert runs(tmp_path).runs[0].lr == pytest.approx(shown)


@pytest.mark.parametrize("style", [*WRITERS])
def test_every_trainer_gives_one_row(tmp_path, style):
    """A folder of runs, the folder of one, and its log itself."""
    for name in ("a", "b"):
        write_run(tmp_path, pilot(name), exit_status=0, style=style)
    rows = runs(tmp_path).runs
    assert [row.run for row in rows] == ["a", "b"]
    assert runs(tmp_path / "a").runs[0] == rows[0]
    assert runs(tmp_path / "a" / "output.log").runs[0] == rows[0]


def test_what_the_user_gives_comes_first(tmp_path):
    """Then the log, then the file of the run."""
    write_run(tmp_path, pilot(), style="llm.c")
    row = runs(tmp_path, params="7M", tokens_per_step="1k", steps=2000).runs[0]
    assert (row.params, row.params_from, row.tokens_per_step, row.total_steps) == (7e6, "given", 1000, 2000)


def test_the_log_counts_where_it_contradicts_and_one_line_says_so(tmp_path):
    """Of all runs alike, with their names."""
    for name in ("a", "b"):
        (write_run(tmp_path, pilot(name), style="nanogpt") / "exit").write_text("0\n")
    found = runs(tmp_path)
    assert {row.tokens_per_step for row in found.runs} == {491_520}
    said = [notice.message for notice in found.warnings if notice.code == "run_file_differs"]
    assert (
        "a (491,520, not 65,536), b (491,520, not 65,536): the log has other tokens of a step than run.json; "
        in (said[0][:110])
    )
    assert any("other parameters" in message for message in said)


def test_a_run_beyond_its_steps_is_told(tmp_path):
    """Its command did not take them."""
    write_run(tmp_path, pilot(steps=500, tokens=500 * BATCH), style="llm.c")
    found = runs(tmp_path)
    assert found.runs[0].steps == 990
    assert next(notice.code for notice in found.warnings) == "run_file_differs"


def test_of_several_logs_one_counts(tmp_path):
    """The one that is furthest; of equals one with both losses, then one of the trainer's own."""
    place = write_run(tmp_path, pilot(), style="llm.c", exit_status=0)
    (place / "metrics.jsonl").write_text(lines(500, val=True))
    (row,) = runs(tmp_path).runs
    assert Path(row.source).name == "output.log"
    (place / "metrics.jsonl").write_text(lines(STEPS))  # without a validation loss
    assert Path(runs(tmp_path).runs[0].source).name == "output.log"
    (place / "metrics.jsonl").write_text(lines(STEPS, val=True))
    (row,) = runs(tmp_path).runs
    assert (Path(row.source).name, row.run, row.params) == ("metrics.jsonl", "a", 5_000_000)
    below = place / "logs" / "version_0"
    below.mkdir(parents=True)
    (place / "metrics.jsonl").rename(below / "metrics.jsonl")
    (row,) = runs(tmp_path).runs
    assert (Path(row.source).parent, row.run) == (below, "a")
    assert runs(below).runs[0].run == "a"
    (below / "metrics.jsonl").write_text(lines(STEPS * 8, every=80))  # counts something else
    assert Path(runs(tmp_path).runs[0].source).name == "output.log"


def test_a_log_that_cannot_be_read_leaves_the_others(tmp_path):
    """A run without any is named, once for all."""
    write_run(tmp_path, pilot("a"), style="llm.c")
    for name in ("b", "c"):
        write_run(tmp_path, pilot(name), log=False)
    (tmp_path / "c" / "output.log").write_text("Traceback (most recent call last):\nImportError: no torch\n")
    found = runs(tmp_path)
    assert [row.run for row in found.runs] == ["a"]
    (said,) = [notice for notice in found.warnings if notice.code == "run_without_log"]
    assert said.message == "b, c: no log that can be read in their folders"
    with pytest.raises(FileError, match="b: no log that can be read in its folder"):
        runs(tmp_path / "b")


def test_a_restart_is_read_as_in_other_logs(tmp_path):
    """From the middle it is one run with a warning; from the first step the last start counts."""
    place = write_run(tmp_path, pilot(), style="llm.c", upto=600)
    log = place / "output.log"
    first = log.read_text()
    later = written("llm.c", [point for point in points(STEPS) if point.step >= 400], STEPS).decode()
    log.write_text(first + later)
    (row,) = runs(tmp_path).runs
    assert (row.steps, [notice.code for notice in row.warnings]) == (990, ["restarted"])
    log.write_text(first + written("llm.c", points(300), STEPS).decode())
    (row,) = runs(tmp_path).runs
    assert (row.run, row.steps) == ("a", 290)
    assert "started_again" in [notice.code for notice in row.warnings]


def test_the_exit_status_tells_how_a_run_ended(tmp_path):
    """Where the log does not: no log that has just been written is of a running one then."""
    for name, status in (("a", 1), ("b", 124), ("c", 0), ("d", None)):
        write_run(tmp_path, pilot(name), exit_status=status, upto=500, style="llm.c")
    assert [row.state for row in runs(tmp_path).runs] == ["crashed", "stopped", "stopped", "stopped"]
    assert [exit_status_in(tmp_path / name) for name in "abcd"] == [1, 124, 0, None]


def test_the_files_of_a_ladder_are_no_logs(tmp_path):
    """Nor configs of its runs."""
    ladder = ladder_of([pilot()])
    write_ladder_json(ladder, tmp_path)
    place = write_run(tmp_path, pilot(), exit_status=0, log=False)
    files = [tmp_path / "ladder.json", *place.iterdir()]
    assert {path.name for path in files} == {"ladder.json", "run.json", "started", "exit"}
    assert [format_of(LogFile(path)) for path in files] == [None] * 4
    assert ConfigsBeside().of(place / "output.log", "a") == ()
    with pytest.raises(FileError, match="a: no log"):
        runs(tmp_path)


def test_configs_above_the_folder_of_a_run_are_of_other_runs(tmp_path):
    """One in it is its own; one of another size is told."""
    config = {"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 2, "vocab_size": 100, "n_positions": 64}
    counted = scaleplan.model(config).params
    place = write_run(tmp_path, pilot(), style="llm.c", exit_status=0)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (row,) = runs(tmp_path).runs
    assert (row.params, row.flops) == (5_000_000, pytest.approx(6 * 5_000_000 * row.tokens))
    (tmp_path / "config.json").rename(place / "config.json")
    found = runs(tmp_path)
    assert found.runs[0].params == 5_000_000
    assert "params_differ" in [notice.code for notice in found.warnings]
    write_run(tmp_path, pilot(params=counted), style="llm.c", exit_status=0)
    found = runs(tmp_path)
    assert (found.runs[0].params, found.warnings) == (counted, ())


def test_a_foreign_run_file_changes_nothing(tmp_path):
    """Trackers have files of this name."""
    place = write_run(tmp_path, pilot(), style="llm.c")
    (place / "run.json").unlink()
    before = runs(tmp_path)
    for content in ('{"run": "x", "params": 3}', "", "\0\1", "nonsense", '{"schema": "other/1"}'):
        (place / "run.json").write_text(content)
        assert runs(tmp_path) == before


@pytest.mark.parametrize(
    ("key", "value"),
    [("params", 0), ("params", 1.5), ("params", True), ("tokens", None), ("tokens", "1e9"), ("steps", -1),
     ("batch", 2**70), ("context", []), ("seed", -1), ("lr", 0), ("lr", float("nan")), ("name", ""), ("name", 3),
     ("schema", "scaleplan/ladder-run/2")],
)  # fmt: skip
def test_a_broken_run_file_is_told_and_its_folder_read_as_any_other(tmp_path, key, value):
    """No size of it is used."""
    place = write_run(tmp_path, pilot(), style="llm.c")
    (place / "run.json").write_text(json.dumps(dict(run_file(pilot())) | {key: value}))
    with pytest.raises(FileError):
        read_run_file(place)
    found = runs(tmp_path)
    assert "unreadable_run_file" in [notice.code for notice in found.warnings]
    assert found.runs[0].params is None


def test_the_file_is_read_as_it_is_written(tmp_path):
    """Every value; nothing where there is none."""
    assert read_run_file(tmp_path) is None
    place = write_run(tmp_path, pilot(lr=1.23e-3))
    found = read_run_file(place)
    assert {key: getattr(found, key) for key in found._fields if key != "source"} | {
        "schema": "scaleplan/ladder-run/1"
    } == run_file(pilot(lr=1.23e-3))


def test_runs_of_two_ladders_have_names_of_their_own(tmp_path):
    """Of one folder, and of two that are named."""
    for folder in ("one", "two"):
        write_run(tmp_path / folder, pilot(), style="llm.c", exit_status=0)
    assert [row.run for row in runs(tmp_path).runs] == ["a", "two/a/a"]
    assert len({row.run for row in runs(tmp_path / "one", tmp_path / "two").runs}) == 2


def test_a_run_of_a_ladder_is_tracked_by_its_folder(tmp_path):
    """The sizes come along."""
    write_run(tmp_path, pilot(), style="llm.c", upto=500)
    run = chosen_run(read_logs([tmp_path / "a"]), None, "a")
    assert (run.name, run.ladder.steps) == ("a", STEPS)
    found = scaleplan.track(tmp_path / "a", preset="chinchilla")
    assert found.to_dict()["params"] == 5_000_000
