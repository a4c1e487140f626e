"""The shell that starts runs, in every shell that is here: arguments, files, limits, signals, and what goes wrong."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ladder.records import ladder_run

from scaleplan.errors import is_visible
from scaleplan.ladder.command import PLACEHOLDERS, parse_command
from scaleplan.ladder.shell import run_functions
from scaleplan.logs.ladder_run import run_file

SHELLS = {
    "dash": ("dash", "-eu"),
    "bash": ("bash", "-eu"),
    "posix": ("bash", "--posix", "-eu"),
    "busybox": ("busybox", "sh", "-eu"),
    "zsh": ("zsh", "--emulate", "sh", "-eu"),
}

HOSTILE = (
    *(
        "$(touch pwned)",
        "`touch pwned`",
        "; touch pwned;",
        "&& touch pwned",
        "| touch pwned",
        "> pwned",
        "$HOME",
        "${PWD}",
    ),
    *(
        "'",
        '"',
        "'$(touch pwned)'",
        '"$(touch pwned)"',
        "\\",
        "\\'",
        "a\\",
        "''",
        "",
        " ",
        "  a  b ",
        "*",
        "?",
        "[a-z]",
    ),
    *(
        "~",
        "~root",
        "#",
        "!!",
        "-rf",
        "--",
        "-",
        "%s",
        "%A-%a",
        "{a,b}",
        "$$",
        "$(HOME)",
        "=",
        "a=b",
        "日本 l'été 🙂",
        "\u00e9",
    ),
    *("line\nbreak\n", "\t", "\x1b[31m", "EOF", "esac", ";;", ")", "\\n", "\\0", "&", "1>&2"),
)

GUARD = 240  # seconds, of a machine that is busy with other things, for what takes a few

STUBBORN = "trap '' TERM; echo up; while :; do sleep 0.1; done"
SAVES = "trap 'echo saved; exit 0' TERM; echo $$ > pid; echo up; while :; do sleep 0.05; done"


@pytest.fixture(params=SHELLS)
def shell(request):
    """Return the words that start a shell, with ``-e`` and ``-u`` where it may be told."""
    words = SHELLS[request.param]
    if shutil.which(words[0]) is None:
        pytest.skip(f"there is no {words[0]}")
    return words


@pytest.fixture
def dash():
    return ("dash", "-eu") if shutil.which("dash") else ("sh", "-eu")


class Pilots:
    """A file of runs in a folder, and how to start one of them."""

    def __init__(self, folder, runs, *, replace=(), again=None):
        self.folder, self.runs = folder, runs
        text = run_functions(runs, again)
        for old, new in (("|| sleep 1", "|| sleep 0.1"), *replace):
            assert old in text
            text = text.replace(old, new)
        (folder / "pilots.sh").write_text(text + 'run_pilot "$1"\n')

    def begin(self, shell, number, **given):
        # a session of its own, so that a signal to the shell alone is what an engine sends
        return subprocess.Popen(
            (*shell, "pilots.sh", str(number)),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **given,
        )

    def start(self, shell, number, **given):
        process = self.begin(shell, number, **given)
        out, err = process.communicate(timeout=GUARD)
        return process.returncode, out, err

    def read(self, number, name):
        path = self.folder / self.runs[number].out / name
        return path.read_text() if path.exists() else None

    def wait_for(self, number, text, name="output.log"):
        end = time.monotonic() + GUARD
        while text not in (self.read(number, name) or ""):
            assert time.monotonic() < end
            time.sleep(0.01)


def runs_of(*scripts, limit=None):
    return [
        ladder_run(f"r{number}", ("sh", "-c", script), limit_hours=limit and limit / 3600)
        for number, script in enumerate(scripts)
    ]


def test_a_run_that_ends_well_leaves_its_files_and_is_not_started_again(tmp_path, shell):
    pilots = Pilots(tmp_path, runs_of("echo once; echo problem >&2"))
    before = int(time.time())
    assert pilots.start(shell, 0) == (0, "pilots/r0: exit status 0\n", "")
    assert pilots.read(0, "output.log") == "once\nproblem\n"
    assert pilots.read(0, "exit") == "0\n"
    assert json.loads(pilots.read(0, "run.json")) == run_file(pilots.runs[0])
    assert before <= int(pilots.read(0, "started")) <= time.time()
    assert pilots.start(shell, 0) == (0, "pilots/r0: has finished already\n", "")
    assert pilots.read(0, "output.log") == "once\nproblem\n"
    names = {path.name for path in (tmp_path / "pilots/r0").iterdir()}
    assert names == {"exit", "lock", "output.log", "run.json", "started"}


def test_a_folder_that_holds_another_run_is_left_alone(tmp_path, shell):
    """Two ladders in one place have runs of one name: neither counts as the other, nor writes into its folder."""
    Pilots(tmp_path, [ladder_run("r0", ("true",))]).start(shell, 0)
    other = Pilots(tmp_path, [ladder_run("r0", ("true",), params=7)])
    status, printed, said = other.start(shell, 0)
    assert (status, printed) == (1, "")
    assert said == "pilots/r0: holds another run, by its run.json; this one is not started\n"
    assert '"params": 7,' not in (tmp_path / "pilots/r0/run.json").read_text()


def test_a_run_that_fails_says_so_and_is_started_again(tmp_path, shell):
    pilots = Pilots(tmp_path, [*runs_of("echo try; test -e fixed || exit 3"), ladder_run("r1", ("no-such-program",))])
    assert pilots.start(shell, 0) == (3, "pilots/r0: exit status 3\n", "")
    assert (pilots.read(0, "exit"), pilots.read(0, "output.log")) == ("3\n", "try\nthis run: exit status 3\n")
    (tmp_path / "fixed").touch()
    assert pilots.start(shell, 0)[0] == 0
    assert (pilots.read(0, "exit"), pilots.read(0, "output.log")) == ("0\n", "try\nthis run: exit status 3\ntry\n")
    assert pilots.start(shell, 1)[0] == 127
    assert "no-such-program" in pilots.read(1, "output.log")
    status, out, err = pilots.start(shell, 2)
    assert (status, out, err) == (2, "", "there is no run 2 in this file\n")


def test_hostile_words_and_folders_stay_inert(tmp_path, shell):
    folders = [each for each in HOSTILE if each and each != "''" and "/" not in each]
    runs = [
        ladder_run("r", ("printf", "%s\\0", *HOSTILE), out=f"{folder}/pilots {number}")
        for number, folder in enumerate(folders)
    ]
    pilots = Pilots(tmp_path, runs[::3] + [ladder_run("l", ("printf", "%s\\0", each)) for each in HOSTILE[:1]])
    script = "".join(f"run_pilot {number} || exit 9\n" for number in range(len(runs[::3])))
    text = (tmp_path / "pilots.sh").read_text().replace('run_pilot "$1"\n', script)
    (tmp_path / "pilots.sh").write_text(text)
    status, _, err = pilots.start(shell, 0)
    assert (status, err) == (0, "")
    expected = "".join(f"{word}\0" for word in HOSTILE)
    for number in range(len(runs[::3])):
        with (tmp_path / runs[::3][number].out / "output.log").open(newline="") as log:
            assert log.read() == expected
    assert not list(tmp_path.rglob("pwned"))
    assert {path.name for path in tmp_path.iterdir()} == {"pilots.sh", *folders[::3]}


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=12) | st.sampled_from(
    HOSTILE
)


def reached(folder, listed):
    """Return the words that reach the programs of some runs, by all that stands before the start of each."""
    folder.mkdir(exist_ok=True)
    program = "mkdir() { :; }\npilot_start() { shift 4; printf '%s\\0' \"$@\"; printf 'end\\0'; }\n"
    calls = "".join(f"run_pilot {number}\n" for number in range(len(listed)))
    text = run_functions([ladder_run("r", words, out=".") for words in listed]) + program + calls
    (folder / "words.sh").write_text(text, newline="")
    shell = "dash" if shutil.which("dash") else "sh"
    done = subprocess.run((shell, "-eu", "words.sh"), cwd=folder, capture_output=True, check=True)
    assert {path.name for path in folder.iterdir()} == {"words.sh", "lock"}
    return [tuple(run.split("\0")[:-1]) for run in done.stdout.decode().split("end\0")[:-1]]


@given(st.lists(st.lists(TEXTS, min_size=1, max_size=5), min_size=1, max_size=30))
def test_any_words_reach_the_program(tmp_path_factory, listed):
    listed = [[word.replace("end", "END") for word in words] for words in listed]
    assert reached(tmp_path_factory.getbasetemp() / "words", listed) == [tuple(words) for words in listed]


@given(st.lists(st.tuples(TEXTS.filter(bool), TEXTS, TEXTS), min_size=1, max_size=30), TEXTS.filter(bool))
def test_any_words_reach_the_program_from_the_template(tmp_path_factory, listed, out):
    out = "".join(filter(is_visible, out)).removeprefix("-") or "out"
    listed = [["".join(filter(is_visible, word)).replace("end", "END") for word in words] for words in listed]
    listed = [[words[0] or "train", *words[1:]] for words in listed]
    values = dict.fromkeys(PLACEHOLDERS, 7) | {"out": out, "lr": 0.00123}
    texts = [shlex.join(word.replace("{", "{{").replace("}", "}}") for word in words) for words in listed]
    given = [parse_command(f"{text} --lr={{lr}} {{out}}/log").words_of(values) for text in texts]
    expected = [(*words, "--lr=0.00123", f"{out}/log") for words in listed]
    assert reached(tmp_path_factory.getbasetemp() / "template", given) == expected


@pytest.mark.parametrize("program", ["timeout", "busybox"])
def test_a_run_past_its_limit_is_stopped_and_says_so(tmp_path, dash, program):
    given, shell = {}, dash
    if program == "busybox":  # whose timeout kills nothing but the command, and has the status of the command
        if shutil.which("busybox") is None:
            pytest.skip("there is no busybox")
        path = bin_folder(tmp_path, "mkdir", "cat", "rm", "date", "mv", "sh", "sleep", timeout="busybox")
        given, shell = {"env": {"PATH": path}}, (shutil.which(dash[0]), *dash[1:])
    slow = "trap 'sleep 1.1; exit 0' TERM; while :; do sleep 0.05; done"
    pilots = Pilots(tmp_path, runs_of("sleep 20", slow, STUBBORN, limit=1), replace=[("-k 60", "-k 2")])
    for number, process in enumerate([pilots.begin(shell, number, **given) for number in range(3)]):
        out, _ = process.communicate(timeout=GUARD)
        assert (process.returncode, out) == (124, f"pilots/r{number}: stopped at its limit of 1 s\n")
        assert pilots.read(number, "exit") == "124\n"
        assert pilots.read(number, "output.log").endswith("this run: stopped at its limit of 1 s\n")


def test_the_limit_is_whole_seconds_rounded_up():
    text = run_functions(
        [ladder_run("a", limit_hours=1.5), ladder_run("b", limit_hours=1 / 7), ladder_run("c", limit_hours=None)]
    )
    assert [line.rpartition("=")[2] for line in text.splitlines() if "pilot_limit=" in line] == ["5400", "515", "0"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_on_a_signal_the_command_saves_and_the_run_is_stopped(tmp_path, shell, number):
    pilots = Pilots(tmp_path, runs_of(f"test -e fixed && exit 0; {SAVES}", limit=60))
    process = pilots.begin(shell, 0)
    pilots.wait_for(0, "up")
    process.send_signal(number)
    assert process.communicate(timeout=GUARD)[0] == "pilots/r0: stopped by a signal before its end\n"
    assert process.returncode == 143
    assert pilots.read(0, "exit") == "143\n"  # though the command, which has saved, ended with 0
    log = pilots.read(0, "output.log").replace("Terminated\n", "")  # which the shell of the command says of its sleep
    assert log == "up\nsaved\nthis run: stopped by a signal before its end\n"
    (tmp_path / "fixed").touch()
    assert pilots.start(shell, 0)[0] == 0
    assert pilots.read(0, "exit") == "0\n"


def test_a_command_that_does_not_end_is_killed(tmp_path, dash):
    pilots = Pilots(tmp_path, runs_of(STUBBORN, limit=60), replace=[("-k 60", "-k 1")])
    process = pilots.begin(dash, 0)
    pilots.wait_for(0, "up")
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=GUARD)
    assert (process.returncode, pilots.read(0, "exit")) == (143, "143\n")


def test_a_run_that_has_ended_before_the_signal_has_ended(tmp_path, shell):
    ended = "pilot_child=''\n\n"
    pilots = Pilots(tmp_path, runs_of("exit 0"), replace=[(ended, f"{ended}  kill -s TERM $$\n")])
    assert pilots.start(shell, 0)[:2] == (143, "pilots/r0: exit status 0\n")
    assert pilots.read(0, "exit") == "0\n"


def test_after_a_signal_no_other_run_is_started(tmp_path, shell):
    pilots = Pilots(tmp_path, runs_of(SAVES, "echo next"))
    text = (tmp_path / "pilots.sh").read_text().replace('run_pilot "$1"\n', "run_pilot 0 || true; run_pilot 1\n")
    (tmp_path / "pilots.sh").write_text(text)
    process = pilots.begin(shell, 0)
    pilots.wait_for(0, "up")
    process.terminate()
    process.communicate(timeout=GUARD)
    assert process.returncode == 143
    assert pilots.read(1, "started") is None


def test_runs_one_after_the_other(tmp_path, shell):
    pilots = Pilots(
        tmp_path, [*runs_of("exit 4", "echo b", limit=5), *runs_of("echo c")[:0], ladder_run("r2", limit_hours=None)]
    )
    text = (tmp_path / "pilots.sh").read_text()
    (tmp_path / "pilots.sh").write_text(
        text.replace('run_pilot "$1"\n', "for n in 0 1 2; do run_pilot $n || true; done\n")
    )
    assert pilots.start(shell, 0)[0] == 0
    assert [pilots.read(number, "exit") for number in range(3)] == ["4\n", "0\n", "0\n"]


@pytest.mark.skipif(shutil.which("flock") is None, reason="there is no flock")
def test_two_starts_of_a_run_run_it_once(tmp_path, shell):
    pilots = Pilots(tmp_path, runs_of("echo at work; sleep 0.5; echo done"))
    both = [pilots.begin(shell, 0) for _ in range(2)]
    said = sorted(process.communicate(timeout=GUARD)[0] for process in both)
    assert said == ["pilots/r0: exit status 0\n", "pilots/r0: has finished already\n"]
    assert pilots.read(0, "output.log") == "at work\ndone\n"


@pytest.mark.skipif(shutil.which("flock") is None, reason="there is no flock")
def test_a_start_beside_a_long_one_gives_way(tmp_path, dash):
    pilots = Pilots(tmp_path, runs_of(SAVES), replace=[("flock -w 90", "flock -w 0")])
    first = pilots.begin(dash, 0)
    pilots.wait_for(0, "up")
    assert pilots.start(dash, 0) == (75, "", "pilots/r0: this run is running already\n")
    assert pilots.read(0, "exit") is None
    os.kill(first.pid, signal.SIGKILL)  # the command lives on, and the run stays locked
    try:
        assert pilots.start(dash, 0)[0] == 75
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
        first.communicate(timeout=GUARD)
    pilots.wait_for(0, "saved")


QUICK = [("sleep 60 &", "sleep 0.05 &")]


def test_a_run_shows_signs_of_life_until_it_ends(tmp_path, shell):
    """The file is there from the start, is written again and again, and is gone at the end."""
    pilots = Pilots(tmp_path, runs_of(SAVES), replace=QUICK)
    process = pilots.begin(shell, 0)
    pilots.wait_for(0, "up")
    alive = tmp_path / "pilots/r0/alive"
    for _ in range(2):
        pilots.wait_for(0, "\n", "alive")
        os.utime(alive, (0, 0))
        end = time.monotonic() + 30
        while not alive.stat().st_mtime:
            assert time.monotonic() < end
            time.sleep(0.01)
    process.terminate()
    process.communicate(timeout=30)
    assert not alive.exists()


def test_signs_of_life_outlast_the_shell_and_end_with_the_command(tmp_path, shell):
    """What a machine leaves that vanishes is the last sign. The run is locked as long as its command lives."""
    pilots = Pilots(tmp_path, runs_of(SAVES), replace=QUICK)
    process = pilots.begin(shell, 0)
    pilots.wait_for(0, "up")
    pilots.wait_for(0, "\n", "alive")
    process.kill()
    alive = tmp_path / "pilots/r0/alive"
    os.utime(alive, (0, 0))
    end = time.monotonic() + 30
    while not alive.stat().st_mtime:
        assert time.monotonic() < end
        time.sleep(0.01)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
    process.communicate(timeout=30)  # what shows signs of life keeps no reader of the shell waiting
    pilots.wait_for(0, "saved")
    time.sleep(0.2)
    os.utime(alive, (0, 0))
    time.sleep(0.2)
    assert alive.stat().st_mtime == 0


def test_without_sleep_no_sign_of_life_is_left_to_grow_old(tmp_path, dash):
    """A run without them is judged by what it writes."""
    path = bin_folder(tmp_path, "mkdir", "cat", "rm", "date", "mv", "timeout", "sh")
    pilots = Pilots(tmp_path, runs_of("read line < go; echo gone"))
    os.mkfifo(tmp_path / "go")
    process = pilots.begin((shutil.which(dash[0]), *dash[1:]), 0, env={"PATH": path})
    with (tmp_path / "go").open("w") as go:
        end = time.monotonic() + 30
        while pilots.read(0, "alive") is not None:
            assert time.monotonic() < end
            time.sleep(0.01)
        go.write("\n")
    assert process.communicate(timeout=30) == ("pilots/r0: exit status 0\n", "")


def test_a_start_that_does_not_count_is_made_again_and_only_once(tmp_path, shell):
    """One that ended too early with exit status 0; the file may be submitted any number of times."""
    runs = runs_of("echo at work")
    assert Pilots(tmp_path, runs).start(shell, 0)[0] == 0
    path = tmp_path / "pilots/r0/started"
    path.write_text(f"{int(path.read_text()) - 60}\n")
    began = path.read_text().strip()
    assert Pilots(tmp_path, runs).start(shell, 0)[1] == "pilots/r0: has finished already\n"
    rest = Pilots(tmp_path, runs, again={"r0": began})
    assert rest.start(shell, 0)[1] == "pilots/r0: exit status 0\n"
    assert rest.start(shell, 0)[1] == "pilots/r0: has finished already\n"
    assert rest.read(0, "output.log") == "at work\nat work\n"


def bin_folder(folder, *names, **others):
    """Make a folder of a few programs, and return its path."""
    (folder / "bin").mkdir(exist_ok=True)
    for name, program in ({name: name for name in names} | others).items():
        (folder / "bin" / name).symlink_to(shutil.which(program))
    return str(folder / "bin")


def test_without_timeout_no_run_with_a_limit_is_started(tmp_path, dash):
    path = bin_folder(tmp_path, "mkdir", "cat", "rm", "date", "mv", "sh")
    pilots = Pilots(
        tmp_path, [*runs_of("echo a", limit=9), ladder_run("r1", ("sh", "-c", "echo b"), limit_hours=None)]
    )
    shell = (shutil.which(dash[0]), *dash[1:])
    status, out, err = pilots.start(shell, 0, env={"PATH": path})
    assert (status, out) == (127, "")
    assert err == "pilots/r0: there is no program timeout to stop it at its limit; install GNU coreutils\n"
    assert pilots.start(shell, 1, env={"PATH": path})[0] == 0
    assert pilots.read(1, "output.log") == "b\n"
    bin_folder(tmp_path, gtimeout="timeout")
    assert pilots.start(shell, 0, env={"PATH": path})[0] == 0


def test_a_folder_that_cannot_be_made_is_told(tmp_path, shell):
    pilots = Pilots(tmp_path, runs_of("echo a"))
    (tmp_path / "pilots").touch()
    status, out, err = pilots.start(shell, 0)
    assert (status, out) == (1, "")
    assert err.endswith("pilots/r0: this folder cannot be made or written to; the run is not started\n")


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path, shell):
    pilots = Pilots(tmp_path, runs_of("echo a"))
    (tmp_path / "pilots/r0/run.json").mkdir(parents=True)
    (tmp_path / "pilots/r0/run.json.new").symlink_to("/dev/full")
    status, out, err = pilots.start(shell, 0)
    assert (status, out) == (1, "")
    assert err.endswith("pilots/r0: cannot be written to; the run is not started\n")
    assert not pilots.read(0, "output.log")


def test_an_exit_status_that_cannot_be_written_is_told(tmp_path, shell):
    pilots = Pilots(tmp_path, runs_of("rm -r pilots/r0"))
    status, out, err = pilots.start(shell, 0)
    assert (status, out) == (1, "pilots/r0: exit status 0\n")
    assert err.endswith("pilots/r0: its exit status, 0, could not be written\n")


def test_a_store_that_cannot_rename_gets_the_files(tmp_path, dash):
    path = bin_folder(tmp_path, "mkdir", "cat", "rm", "date", "timeout", "sh", mv="false")
    pilots = Pilots(tmp_path, runs_of("echo a"))
    assert pilots.start((shutil.which(dash[0]), *dash[1:]), 0, env={"PATH": path})[0] == 0
    assert (pilots.read(0, "exit"), json.loads(pilots.read(0, "run.json"))["name"]) == ("0\n", "r0")


def test_what_embeds_the_functions_finds_no_dollars_side_by_side():
    assert "$$" not in run_functions([ladder_run()])  # Kubernetes reads them as one
