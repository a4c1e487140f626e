"""How far a ladder is: every state of a run, what is used and left, and the file of the rest."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.ladder.folders import NOW, STEPS, loss_at, write_ladder_json, write_run
from tests.ladder.records import ladder_of, ladder_run
from tests.logs.event_writer import event_file

from scaleplan.errors import FileError, UsageError
from scaleplan.ladder.engines import ENGINES, Engine
from scaleplan.ladder.status import ladder_status, look_at
from scaleplan.logs import log_ends, log_reading
from scaleplan.logs.ladder_run import run_file
from scaleplan.output.views.ladder_status import ladder_status_report

BATCH = 65_536


def pilot(number, **given):
    """Return a run of a thousand steps that is predicted to take an hour."""
    usual = {"tokens": BATCH * STEPS, "steps": STEPS, "hours": 1.0, "limit_hours": 3.0, "params": 5_000_000}
    return ladder_run(f"{number:02}-5M-s0", **{**usual, **given})


@pytest.fixture
def pilots(tmp_path, monkeypatch):
    """Return a ladder of six runs in the folder ``pilots``."""
    monkeypatch.chdir(tmp_path)
    ladder = ladder_of([pilot(number) for number in range(6)], at_once=2)
    write_ladder_json(ladder, "pilots")
    return ladder


def status(folder="pilots", now=NOW):
    return ladder_status(folder, now=now)


def only(folder="pilots", now=NOW):
    """Return the row of the first run."""
    return status(folder, now).runs[0]


def codes(found):
    return [notice.code for notice in found.warnings]


def test_every_state_is_told_and_counted(pilots):
    """By the exit status, the log and the time since anything was written."""
    runs = pilots.runs
    write_run("pilots", runs[0], exit_status=0)
    write_run("pilots", runs[1], exit_status=0, upto=500)
    write_run("pilots", runs[2], upto=500, silent=0.25)
    write_run("pilots", runs[3], exit_status=1, upto=500, after="Traceback\nRuntimeError: out of memory\n")
    write_run("pilots", runs[4], upto=500, began=2.5, silent=2.0)
    found = status()
    assert [run.state for run in found.runs] == ["finished", "short", "running", "failed", "stopped", "to run"]
    counts = (found.total, found.finished, found.short, found.running, found.failed, found.stopped, found.to_run)
    assert counts == (6, 1, 1, 1, 1, 1, 1)
    assert [run.run for run in found.runs] == [run.name for run in runs]
    assert [run.share for run in found.runs] == [1.0, 0.49, 0.49, 0.49, 0.49, None]
    assert found.runs[1].reason == "exit status 0 at step 490 of 1,000"
    assert found.runs[3].reason == "exit status 1: 'RuntimeError: out of memory'"
    assert found.runs[4].reason == "no exit status, and nothing written for 2.00 hours"
    assert (found.runs[3].exit_status, found.runs[2].exit_status) == (1, None)
    assert found.runs[2].quiet_hours == pytest.approx(0.25)
    assert found.warnings == ()


STYLES = ["llm.c", "build-nanogpt", "nanogpt", "modded-nanogpt", "nanochat", "megatron", "torchtitan", "nanotron",
          "composer console", "olmo-core", "mlperf", "nemo", "trainer console"]  # fmt: skip


@pytest.mark.parametrize("style", STYLES)
def test_the_output_of_any_trainer_tells_how_far_a_run_is(pilots, style):
    """At its end and in the middle; the loss is that of the log."""
    done, half = pilots.runs[:2]
    write_run("pilots", done, exit_status=0, style=style)
    write_run("pilots", half, exit_status=0, style=style, upto=500)
    first, second = status().runs[:2]
    assert (first.state, second.state) == ("finished", "short")
    assert second.share == pytest.approx(0.49, abs=0.011)
    assert first.loss == pytest.approx(loss_at(970), abs=0.01)
    assert second.loss == pytest.approx(loss_at(480), abs=0.01)


def test_logs_of_the_trainer_itself_are_read(pilots):
    """Without an ``output.log`` that tells anything."""
    place = write_run("pilots", pilots.runs[0], log=False, exit_status=0)
    (place / "output.log").write_text("starting\ndone\n")
    lines = [{"step": step, "loss": loss_at(step)} for step in range(10, STEPS + 1, 10)]
    (place / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    found = only()
    assert (found.state, found.step) == ("finished", STEPS)
    assert found.log == str(place / "metrics.jsonl")
    assert found.loss == pytest.approx(loss_at(990), abs=0.005)


def test_event_files_and_states_of_a_trainer_are_read(pilots):
    """In folders of their own, below that of the run; a log that is further counts."""
    events = [(1.7e9 + step, step, {"train/loss": loss_at(step)}) for step in range(10, 501, 10)]
    place = write_run("pilots", pilots.runs[0], log=False, exit_status=0)
    (place / "tb").mkdir()
    (place / "tb" / "events.out.tfevents.1700000000.host").write_bytes(event_file(events))
    assert (only().state, only().step) == ("short", 500)
    history = [{"step": step, "loss": loss_at(step), "epoch": 0.1} for step in range(10, STEPS + 1, 10)]
    (place / "checkpoint-1000").mkdir()
    state = {"global_step": STEPS, "max_steps": STEPS, "log_history": history}
    (place / "checkpoint-1000" / "trainer_state.json").write_text(json.dumps(state))
    assert (only().state, only().step) == ("finished", STEPS)


def test_a_run_of_exit_status_0_without_a_log_is_finished_with_a_warning(pilots):
    """Nothing says that it did not reach its steps."""
    for run in pilots.runs:
        write_run("pilots", run, log=False, exit_status=0)
    found = status()
    assert {run.state for run in found.runs} == {"finished"}
    assert codes(found) == ["not_in_log"]
    assert found.warnings[0].message.startswith(
        "00-5M-s0, 01-5M-s0, 02-5M-s0, 03-5M-s0 and 2 more: exit status 0, and no"
    )


@pytest.mark.parametrize(
    ("exit_status", "said"),
    [
        (124, "exit status 124, stopped at its limit of 3.00 hours: 'last words'"),
        (
            137,
            "exit status 137, killed by signal 9: often out of memory, or ended by the engine at once: 'last words'",
        ),
        (143, "exit status 143, stopped by a signal: the engine's limit, preemption, or a person: 'last words'"),
        (139, "exit status 139, ended by signal 11 (SIGSEGV): 'last words'"),
        (127, "exit status 127, its program was not found: 'last words'"),
        (3, "exit status 3: 'last words'"),
        ("", "no exit status could be written: 'last words'"),
        ("nonsense", "'exit' in its folder holds no exit status: 'nonsense': 'last words'"),
        ("\x1b[1m", r"'exit' in its folder holds no exit status: '\x1b[1m': 'last words'"),
    ],
)
def test_a_failure_is_explained_with_the_last_line(pilots, exit_status, said):
    """The last one with a word of the command's own, without colours."""
    after = "\x1b[31mlast words\x1b[0m\n\n=====\nthis run: exit status 1\n"
    write_run("pilots", pilots.runs[0], exit_status=exit_status, upto=500, after=after)
    assert (only().state, only().reason) == ("failed", said)


def test_an_exit_status_that_cannot_be_read_is_told(pilots, monkeypatch):
    write_run("pilots", pilots.runs[0], exit_status=0, upto=500)
    real = Path.open

    def closed(self, *words, **given):
        if self.name == "exit":
            raise PermissionError(13, "Permission denied")
        return real(self, *words, **given)

    monkeypatch.setattr(Path, "open", closed)
    found = only()
    assert (found.state, found.exit_status) == ("failed", None)
    assert found.reason.startswith("'exit' in its folder cannot be read")


def test_what_a_command_printed_cannot_steer_the_terminal(pilots):
    """Nor fill it."""
    after = "bad \x1b]0;title\x07 \x9b2J " + "x" * 5000 + "\n"
    write_run("pilots", pilots.runs[0], exit_status=1, upto=500, after=after)
    assert only().reason.isprintable()
    assert len(only().reason) < 120


def with_sign(place, hours, now=NOW):
    """Leave the sign of life of some hours ago in the folder of a run."""
    (place / "alive").write_text(f"{now - 3600 * hours:.0f}\n")
    os.utime(place / "alive", (now - 3600 * hours,) * 2)


def test_a_run_without_a_sign_of_life_is_stopped_soon(pilots):
    """Its machine vanished; one that shows some is running, however long it has written nothing."""
    for run, silent, hours in zip(pilots.runs, (0.5, 0.5, 2.5, 0.1), (0.05, 0.4, 0.02, 0.4), strict=False):
        with_sign(write_run("pilots", run, upto=500, began=2.6, silent=silent), hours)
    found = status().runs
    assert [run.state for run in found[:4]] == ["running", "stopped", "running", "running"]
    assert found[1].reason == "no exit status, and no sign of life for 24.0 minutes"
    assert [run.quiet_hours for run in found[:3]] == pytest.approx([0.5, 0.5, 2.5])


def test_old_signs_of_life_do_not_count(pilots):
    """Of an earlier start, and in a copy, whose times are those of the copying."""
    earlier, copied = pilots.runs[:2]
    with_sign(write_run("pilots", earlier, upto=500, began=0.8, silent=0.5), 2.0)
    place = write_run("pilots", copied, upto=500, began=2.0, silent=0.5)
    with_sign(place, 0.5)
    os.utime(place / "started", (NOW - 1800,) * 2)
    assert [run.state for run in status().runs[:2]] == ["running", "running"]


def test_a_run_is_stopped_once_its_limit_is_over(pilots):
    """Whatever is written there; before, once nothing has been written for an hour."""
    write_run("pilots", pilots.runs[0], upto=500, began=2.9)
    assert only().state == "running"
    later = NOW + 3600 * 0.1 + 500  # a minute after its limit it is killed
    assert only(now=later).state == "running"
    later += 200
    os.utime("pilots/00-5M-s0/output.log", (later, later))
    found = only(now=later)
    assert (found.state, found.reason) == ("stopped", "no exit status, though its limit of 3.00 hours is over")
    write_run("pilots", pilots.runs[1], upto=500, began=1.5, silent=0.9)
    write_run("pilots", pilots.runs[2], upto=500, began=1.5, silent=1.1)
    assert [run.state for run in status().runs[1:3]] == ["running", "stopped"]


def test_without_a_limit_a_sign_of_life_decides(pilots):
    """A checkpoint in a folder below is one, too."""
    ladder = ladder_of([pilot(0, hours=None, limit_hours=None)], gpu=None, price=None)
    write_ladder_json(ladder, "others")
    place = write_run("others", ladder.runs[0], upto=500, began=100.0, silent=5.0)
    assert only("others").state == "stopped"
    saved = place / "checkpoints" / "step-500"
    saved.mkdir(parents=True)
    (saved / "model.pt").write_bytes(b"x")
    os.utime(saved / "model.pt", (NOW - 60,) * 2)
    found = status("others")
    assert found.runs[0].state == "running"
    assert (found.gpu_hours_left, found.days_left, found.cost_left) == (None, None, None)


def test_without_the_files_of_a_start_the_log_decides(pilots):
    """Of runs that were started by hand, from the list."""
    done, at_work, quiet = pilots.runs[:3]
    for run, upto, silent in ((done, STEPS, 30.0), (at_work, 500, 0.1), (quiet, 500, 30.0)):
        (write_run("pilots", run, upto=upto, silent=silent, started=False) / "run.json").unlink()
    assert [run.state for run in status().runs[:4]] == ["finished", "running", "stopped", "to run"]


def test_a_folder_without_any_sign_is_to_run(pilots):
    """An empty one, or one with files of something else."""
    Path("pilots", pilots.runs[0].name).mkdir()
    Path("pilots", pilots.runs[1].name).mkdir()
    Path("pilots", pilots.runs[1].name, "notes.txt").write_text("to do\n")
    assert [run.state for run in status().runs[:2]] == ["to run", "to run"]
    assert status().share == 0.0


def test_a_run_that_is_started_again_is_at_work_again(pilots):
    """What it prints is appended, and its last start counts."""
    place = write_run("pilots", pilots.runs[0], upto=800, silent=0.01, style="llm.c")
    again = (place / "output.log").read_text().splitlines()[:60]
    (place / "output.log").write_text("\n".join([*(place / "output.log").read_text().splitlines(), *again]) + "\n")
    os.utime(place / "output.log", (NOW - 36,) * 2)
    found = only()
    assert found.state == "running"
    assert found.share < 0.5


def test_a_run_that_resumes_goes_on(pilots):
    """From a step in the middle: one run."""
    place = write_run("pilots", pilots.runs[0], upto=500, style="llm.c", exit_status=0)
    later = [f"s:{step} trl:{loss_at(step):.4f} lr:0.0003 norm:0.4" for step in range(400, STEPS, 10)]
    (place / "output.log").write_text((place / "output.log").read_text() + "\n".join(later) + "\n")
    found = status()
    assert (found.runs[0].state, found.runs[0].step) == ("finished", 990)
    assert found.speed_factor is None  # the hours of one start are not those of the run


def test_a_lost_loss_is_told(pilots):
    """Its exit status is 0, and its loss is none."""
    place = write_run("pilots", pilots.runs[0], exit_status=0, style="llm.c", upto=500)
    later = [f"s:{step} trl:nan lr:0.0003 norm:nan" for step in range(500, STEPS, 10)]
    (place / "output.log").write_text((place / "output.log").read_text() + "\n".join(later) + "\n")
    found = status()
    assert (found.runs[0].state, found.runs[0].loss) == ("finished", None)
    assert codes(found) == ["not_finite"]


def test_time_and_cost_are_by_the_prediction_until_a_run_is_finished(pilots):
    """Runs that start again do all of their steps, and one that runs the rest of its own."""
    write_run("pilots", pilots.runs[1], upto=500, silent=0.01)
    found = status()
    assert found.speed_factor is None
    assert [run.hours_left for run in found.runs] == pytest.approx([1, 0.51, 1, 1, 1, 1])
    assert found.gpu_hours_left == pytest.approx(5.51)
    assert found.cost_left == pytest.approx(2 * 5.51)
    assert found.days_left == pytest.approx(3 / 24)  # 0.51 + 2 beside 3
    assert found.gpu_hours == pytest.approx(2.0)
    assert found.cost == pytest.approx(4.0)


def test_finished_runs_correct_the_prediction(pilots):
    """By the median of what they took of theirs."""
    for run, began in zip(pilots.runs[:3], (1.5, 2.0, 9.0), strict=True):
        write_run("pilots", run, exit_status=0, began=began)
    found = status()
    assert found.speed_factor == pytest.approx(2.0)
    assert [run.hours_left for run in found.runs] == pytest.approx([0, 0, 0, 2, 2, 2])
    assert found.gpu_hours == pytest.approx(12.5)
    assert found.gpu_hours_left == pytest.approx(6.0)
    assert found.days_left == pytest.approx(4 / 24)


def test_without_a_prediction_finished_runs_tell_the_time_of_the_others(tmp_path):
    """By their compute."""
    runs = [pilot(number, hours=None, limit_hours=None, flops=1e15 * (3 - number)) for number in range(3)]
    ladder = ladder_of(runs, gpu=None, price=None)
    write_ladder_json(ladder, tmp_path)
    assert status(tmp_path).gpu_hours_left is None
    write_run(tmp_path, runs[0], exit_status=0, began=3.0)
    found = status(tmp_path)
    assert [run.hours_left for run in found.runs] == pytest.approx([0, 2, 1])
    assert (found.gpu_hours_left, found.cost_left, found.speed_factor) == (pytest.approx(3.0), None, None)


def test_the_times_of_a_copy_are_not_taken_for_those_of_the_runs(pilots):
    """A copy is written when it is made; the log has a clock of its own."""
    write_run("pilots", pilots.runs[0], exit_status=0, style="torchtitan")
    write_run("pilots", pilots.runs[1], exit_status=0, style="nanotron")
    shutil.copytree("pilots", "elsewhere/copied", copy_function=shutil.copyfile)
    for file in Path("elsewhere/copied").rglob("*"):
        os.utime(file, (NOW, NOW))
    found = status("elsewhere/copied")
    assert [run.state for run in found.runs[:2]] == ["finished", "finished"]
    logged = found.runs[0].hours
    assert logged is None or logged < 1.0
    assert status().runs[0].hours == pytest.approx(2.0)


def test_the_folder_is_looked_at_where_it_is(pilots):
    """Not where the commands wrote; nothing changes with a slash at the end."""
    write_run("pilots", pilots.runs[0], exit_status=0)
    shutil.move("pilots", "moved")
    assert [run.state for run in status("moved").runs] == ["finished", *["to run"] * 5]
    shutil.rmtree("moved/00-5M-s0")
    assert status("moved/").finished == 0


def test_the_run_of_another_ladder_is_warned_of(pilots):
    """Its folder has the name of one of this ladder."""
    write_run("pilots", replace(pilots.runs[0], steps=500, tokens=500 * BATCH), exit_status=0, upto=500)
    found = status()
    assert codes(found) == ["other_run"]
    assert "00-5M-s0: run.json in its folder is of another run" in found.warnings[0].message
    (Path("pilots") / "00-5M-s0" / "run.json").write_text('{"schema": "scaleplan/ladder-run/1", "name": ')
    assert codes(status()) == ["unreadable_run_file"]


def test_what_is_no_ladder_is_one_clear_error(pilots, tmp_path):
    """A missing folder, one without a ladder, a broken one, a file."""
    with pytest.raises(FileError, match="nowhere"):
        status("nowhere")
    Path("empty").mkdir()
    with pytest.raises(FileError, match="no ladder"):
        status("empty")
    Path("broken").mkdir()
    for content in ("", "{", "[]", "{}", '{"schema": "scaleplan/plan/1"}', '{"schema": "scaleplan/ladder/1"}', "\0"):
        Path("broken/ladder.json").write_text(content)
        with pytest.raises(FileError, match=r"ladder\.json"):
            status("broken")
    with pytest.raises(FileError, match="is a file") as error:
        status("pilots/ladder.json")
    assert error.value.hint == "name its folder: 'pilots'"
    Path("pilots/00-5M-s0").write_text("")
    with pytest.raises(FileError, match="is a file"):
        status()


def test_a_folder_that_cannot_be_looked_into_is_refused(pilots, monkeypatch):
    """What its run did is not known: nothing is said of the others either."""
    place = write_run("pilots", pilots.runs[2], exit_status=0)
    whole = os.scandir

    def closed(path="."):
        if Path(path) == place:
            raise PermissionError(13, "Permission denied")
        return whole(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(FileError, match="cannot read 'pilots/02-5M-s0': permission denied"):
        status()


@pytest.mark.parametrize("name", ["exit", "started", "output.log", "run.json"])
def test_a_file_that_keeps_its_reader_waiting_is_not_opened(pilots, name):
    """A pipe, or a device without an end, in the place of a file of a run."""
    place = write_run("pilots", pilots.runs[0], exit_status=1)
    (place / name).unlink()
    os.mkfifo(place / name)
    assert only().run == pilots.runs[0].name
    (place / name).unlink()
    (place / name).symlink_to("/dev/zero")
    assert only().run == pilots.runs[0].name


def test_the_log_of_a_run_is_looked_for_among_so_many_files(pilots, monkeypatch):
    """A link to a whole disk would take minutes; checkpoints do not count, and its own files come first."""
    monkeypatch.setattr(log_reading, "_MOST_OF_A_RUN", 4)
    place = write_run("pilots", pilots.runs[0], upto=500)
    (place / "cache").mkdir()
    for number in range(9):
        (place / f"{number}.safetensors").write_text("")
    assert (codes(status()), only().share) == ([], 0.49)
    for number in range(9):
        (place / "cache" / f"{number}.txt").write_text("")
    assert (codes(status()), only().share) == (["many_files"], 0.49)


def test_a_ladder_in_a_folder_that_is_closed_is_one_clear_error(pilots, monkeypatch):
    """Whether there is a ladder in it is not known."""

    def closed(path, *given, **more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.X_OK)
    monkeypatch.setattr(Path, "stat", closed)
    monkeypatch.setattr(Path, "is_dir", lambda path: path.name == "pilots")
    with pytest.raises(FileError, match="permission denied"):
        status()


def test_the_middle_of_a_long_log_is_not_read(pilots, monkeypatch):
    """The same step and loss; a log that ends in other lines, or was started again, is read whole."""
    place = write_run("pilots", pilots.runs[0], upto=500, style="llm.c", silent=0.01)
    monkeypatch.setattr(log_ends, "_LONG", 1000)
    monkeypatch.setattr(log_ends, "_HEADS", (200, 400))
    monkeypatch.setattr(log_ends, "_TAIL", 500)
    short = log_ends.ends_of(place / "output.log")
    assert len(b"".join(short.chunks())) < 700 < (place / "output.log").stat().st_size
    assert (only().step, only().loss) == (490, pytest.approx(loss_at(480), abs=0.01))
    text = (place / "output.log").read_text()
    (place / "output.log").write_text(text + "warning: nothing to see\n" * 50)
    assert only().step == 490
    (place / "output.log").write_text(text + text[: len(text) // 2])
    assert only().step < 300


def rest(file="rest.sh", folder="pilots"):
    return look_at(folder, now=NOW).rest(file)


def stand_in(ladder, runs, again=None):
    """Write the text of an engine's file."""
    return f"{ladder.file} {ladder.submit}\n" + "".join(f"{run.name}\n" for run in runs)


@pytest.fixture(params=["slurm", "stand-in"])
def engine(request, pilots, monkeypatch):
    """Return the engine of a ladder with a run in each state."""
    if request.param == "stand-in":
        monkeypatch.setitem(ENGINES, "slurm", Engine("slurm.sh", f"{__name__}:stand_in", "sbatch {file}"))
    elif not _is_there(ENGINES["slurm"]):
        pytest.skip("there is no writer yet")
    runs = pilots.runs
    write_run("pilots", runs[0], exit_status=0)
    write_run("pilots", runs[1], exit_status=0, upto=500)
    write_run("pilots", runs[2], upto=500, silent=0.01)
    write_run("pilots", runs[3], exit_status=1, upto=500)
    write_run("pilots", runs[4], upto=500, began=2.5, silent=2.0)
    return ENGINES["slurm"]


def _is_there(engine):
    try:
        engine.write(ladder_of([pilot(0)]), [pilot(0)])
    except ModuleNotFoundError:
        return False
    return True


def test_the_file_of_the_rest_is_what_the_engine_writes_of_fewer_runs(pilots, engine):
    """Neither finished nor running, in their order."""
    found = rest("my rest.sh")
    left = [pilots.runs[number] for number in (1, 3, 4, 5)]
    named = replace(pilots, file="my rest.sh", submit="sbatch 'my rest.sh'")
    short = pilots.runs[1].name
    again = {short: Path("pilots", short, "started").read_text().strip()}
    assert found.text == engine.write(named, left, again)
    assert found.submit == "sbatch 'my rest.sh'"
    assert found.names == tuple(run.name for run in left)
    assert [notice.code for notice in found.notices] == ["may_be_running", "short_again"]
    assert "slurm.sh" not in found.text.replace("my rest.sh", "")


def test_a_short_run_whose_start_is_not_known_is_not_started_again(pilots):
    """Its shell could not tell this start from a later one that counts."""
    place = write_run("pilots", pilots.runs[0], exit_status=0, upto=500)
    (place / "started").write_text("yesterday")
    found = rest()
    assert "not_started_again" in [notice.code for notice in found.notices]
    assert "pilot_again=" not in found.text.replace("pilot_again=none", "")


def test_the_ladder_is_read_once_for_its_rest(pilots, monkeypatch):
    """So that the file of the rest is of the runs that the report is of."""
    read = []
    monkeypatch.setattr("scaleplan.ladder.status.read_ladder", lambda folder: read.append(folder) or pilots)
    assert look_at("pilots").rest("rest.sh") is not None
    assert read == ["pilots"]


def test_runs_that_may_be_in_the_queue_again_are_warned_of(pilots, engine):
    """Slurm requeues what it preempts."""
    write_run("pilots", pilots.runs[5], exit_status=143, upto=500)
    (said,) = [notice for notice in rest().notices if notice.code == "may_be_requeued"]
    assert said.message.startswith("05-5M-s0: stopped by a signal")


def test_nothing_is_left_of_what_is_finished_or_at_work(pilots):
    """No file then."""
    for run in pilots.runs[:4]:
        write_run("pilots", run, exit_status=0)
    for run in pilots.runs[4:]:
        write_run("pilots", run, upto=500, silent=0.01)
    assert rest() is None


def test_the_files_of_the_ladder_are_not_replaced(pilots, engine):
    """By whatever name they are reached."""
    Path("link").symlink_to("pilots")
    for file in ("pilots/slurm.sh", "./pilots/../pilots/slurm.sh", "link/slurm.sh", "pilots/ladder.json"):
        with pytest.raises(UsageError, match="own file"):
            rest(file)
    with pytest.raises(UsageError, match="folder of run 00-5M-s0"):
        rest("pilots/00-5M-s0/rest.sh")
    assert rest("pilots/rest.sh").names


def test_where_the_rest_is_to_be_submitted(pilots, engine, monkeypatch):
    """The commands write where they did, seen from the folder of the design."""
    assert "moved" not in [notice.code for notice in rest().notices]
    Path("within").mkdir()
    monkeypatch.chdir("within")
    (there,) = [each for each in rest(folder="../pilots").notices if each.code == "submit_there"]
    assert there.message.endswith(f"submit the file in '{Path.cwd().parent}'")
    monkeypatch.chdir("..")
    shutil.move("pilots", "other")
    assert "moved" in [notice.code for notice in rest(folder="other").notices]


@pytest.mark.parametrize(
    ("hours", "shown"),
    [(0.001, "3.6 seconds"), (0.05, "3.0 minutes"), (1.5, "1.5 hours"), (5.0, "5.0 hours"), (60.0, "2.5 days")],
)
def test_times_of_runs_have_the_unit_that_suits_them(pilots, hours, shown):
    """Pilots take seconds to days, of which hours alone would show 0.0010 or 60."""
    first, *others = pilots.runs
    write_ladder_json(replace(pilots, runs=(replace(first, hours=hours, limit_hours=99.0), *others)), "pilots")
    grid = ladder_status_report(status()).grid
    assert grid.rows[0][grid.columns.index("left")] == shown


@pytest.mark.parametrize(
    ("silent", "shown"), [(0.0, "< 1 minute"), (1 / 60, "1.0 minutes"), (0.15, "9.0 minutes"), (0.9, "54 minutes")]
)
def test_a_silence_is_shown_in_minutes_to_which_it_is_known(pilots, silent, shown):
    """A run that wrote a moment ago was not silent for 0 h."""
    write_run("pilots", pilots.runs[0], upto=500, silent=silent)
    grid = ladder_status_report(status()).grid
    assert grid.rows[0][grid.columns.index("silent")] == shown


def test_the_report_says_what_comes_next(pilots):
    """To submit, to start the rest again, nothing while the last are at work, to fit."""

    def said():
        return " ".join(ladder_status_report(status()).remarks)

    assert "start them: sbatch pilots/slurm.sh" in said()
    for run in pilots.runs[:4]:
        write_run("pilots", run, exit_status=0)
    write_run("pilots", pilots.runs[4], exit_status=1)
    assert "starts the other 2: scaleplan ladder status pilots -o pilots/rest-slurm.sh" in said()
    write_run("pilots", pilots.runs[4], exit_status=0)
    write_run("pilots", pilots.runs[5], upto=500, silent=0.01)
    assert status().next_command is None
    write_run("pilots", pilots.runs[5], exit_status=0)
    assert said().endswith("fit them: scaleplan fit pilots --target 1e21 -o law.toml")


def test_a_saved_run_file_is_what_the_shell_writes(pilots):
    """So that a foreign one is known."""
    place = write_run("pilots", pilots.runs[0], exit_status=0)
    assert json.loads((place / "run.json").read_text()) == run_file(pilots.runs[0])
