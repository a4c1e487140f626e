"""``ladder status``: what is printed, the exit status, and the file of the rest."""

from __future__ import annotations

import csv
import io
import re
import time
from pathlib import Path

import pytest
from tests.ladder.folders import STEPS, write_ladder_json, write_run
from tests.ladder.records import ladder_of, ladder_run

import scaleplan as sp
from scaleplan.ladder.engines import engine_of


def pilot(number, **given):
    usual = {"tokens": 65_536 * STEPS, "steps": STEPS, "hours": 1.0, "limit_hours": 3.0}
    return ladder_run(f"{number:02}-5M-s0", **{**usual, **given})


@pytest.fixture
def pilots():
    """Return a ladder of which a run is finished, one failed, one is at work and one is to run."""
    ladder = ladder_of([pilot(number) for number in range(4)], at_once=2)
    write_ladder_json(ladder, "pilots")
    now = time.time()
    write_run("pilots", ladder.runs[0], exit_status=0, now=now)
    write_run("pilots", ladder.runs[1], exit_status=1, upto=500, after="RuntimeError: no\x1b[2J\n", now=now)
    write_run("pilots", ladder.runs[2], upto=500, now=now)
    return ladder


def finish(ladder):
    for run in ladder.runs:
        write_run("pilots", run, exit_status=0, now=time.time())


def test_the_counts_stand_first(cli, pilots):
    """Then what is used and left, a row of each run, and why one is not finished."""
    found = cli("ladder", "status", "pilots/")
    lines = found.out.splitlines()
    assert lines[0] == "pilots/: 1 of 4 runs finished; 1 running, 1 failed, 1 to run"
    assert len([line for line in lines if re.match(r"  0\d-5M-s0 +(finished|failed|running|to run)\b", line)]) == 4
    assert "  01-5M-s0: exit status 1: 'RuntimeError: no'" in lines
    assert found.err == ""


def test_the_exit_status_tells_whether_all_are_finished(cli, pilots):
    """1 before, 0 then: a loop of a shell waits by it."""
    assert cli("ladder", "status", "pilots").status == 1
    finish(pilots)
    found = cli("ladder", "status", "pilots")
    assert (found.status, found.out.splitlines()[0]) == (0, "pilots: 4 of 4 runs finished")
    for folder in ("nowhere", ".", "pilots/00-5M-s0", "pilots/ladder.json"):
        refused = cli("ladder", "status", folder)
        assert (refused.status, refused.out) == (2, "")
        assert len(refused.err.splitlines()) <= 2


def test_values_and_tables(cli, pilots):
    """The fields of the result, and those of its rows."""
    assert cli("ladder", "status", "pilots", "--get", "finished").out == "1\n"
    found = cli("ladder", "status", "pilots", "--fields", "run,state,share", "--format", "csv").out
    rows = list(csv.DictReader(io.StringIO(found)))
    assert [(row["state"], row["share"]) for row in rows] == [
        ("finished", "1.0"),
        ("failed", "0.49"),
        ("running", "0.49"),
        ("to run", ""),
    ]
    data = cli("ladder", "status", "pilots", "--json").json
    assert (data["schema"], data["total"], len(data["runs"])) == ("scaleplan/ladder-status/1", 4, 4)
    assert sp.ladder_status("pilots").to_dict()["runs"][0] == data["runs"][0]


def test_the_rest_is_written_as_its_engine_writes_it(cli, pilots):
    """The exit status is 0 then, so that a shell can submit it."""
    found = cli("ladder", "status", "pilots", "-o", "pilots/rest.sh")
    assert found.status == 0
    text = Path("pilots/rest.sh").read_text()
    rest = [pilots.runs[number] for number in (1, 3)]
    named = {"file": "rest.sh", "submit": "sbatch pilots/rest.sh"}
    whole = ladder_of(pilots.runs, at_once=2, **named)
    assert text == engine_of("slurm").write(whole, rest)
    assert "pilots/rest.sh starts 2 runs: sbatch pilots/rest.sh" in found.out
    assert re.match(r"wrote pilots/rest\.sh \(\S+ kB\)\n$", found.err)
    again = cli("ladder", "status", "pilots", "--rest", "pilots/rest.sh", "--json")
    assert again.err.endswith("warning: replaced 'pilots/rest.sh'\n")
    assert (again.json["rest"], again.json["submit"]) == ("pilots/rest.sh", "sbatch pilots/rest.sh")
    assert Path("pilots/rest.sh").read_text() == text


def test_nothing_is_written_where_nothing_is_left(cli, pilots):
    """With a note, and the status of a no: there is nothing to submit."""
    finish(pilots)
    found = cli("ladder", "status", "pilots", "-o", "rest.sh")
    assert (found.status, Path("rest.sh").exists()) == (1, False)
    assert found.err == "warning: 'rest.sh' is not written: nothing is left to start, every run is finished\n"


@pytest.mark.parametrize("file", ["pilots/slurm.sh", "pilots/ladder.json", "pilots/01-5M-s0/exit", "nowhere/rest.sh"])
def test_no_file_of_the_ladder_is_replaced(cli, pilots, file):
    """Nor one written into a folder that is not there."""
    Path("pilots/slurm.sh").write_text("kept")
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    found = cli("ladder", "status", "pilots", "-o", file)
    assert (found.status, found.out) == (2, "")
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


def test_the_runs_of_a_ladder_are_read_by_the_other_commands(cli, pilots):
    """A row each, under their names."""
    finish(pilots)
    assert cli("runs", "pilots", "--get", "run").out.split() == [run.name for run in pilots.runs]
    assert cli("runs", "pilots", "--get", "params").out.split() == ["5000000"] * 4
    assert cli("track", "pilots/00-5M-s0", "--preset", "chinchilla", "--get", "params").out == "5000000\n"


def test_the_one_command_of_the_group_is_named(cli):
    """Whoever leaves it out gives the folder in its place."""
    found = cli("ladder", "pilots")
    assert found.status == 2
    assert "its one command is 'scaleplan ladder status'" in found.err
