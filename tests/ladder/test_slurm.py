"""The array job for Slurm: what its file says, and what a real Slurm does with it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time

import pytest
from tests.ladder.records import ladder_of, ladder_run

from scaleplan.ladder.engines import ENGINES
from scaleplan.ladder.slurm import slurm_script
from scaleplan.ladder.spending import at_most, predicted


def script(runs, **given):
    return slurm_script(ladder_of(runs, **given), runs)


def option(text, name):
    found = re.findall(rf"^#SBATCH --{name}(?:=(.*))?$", text, re.MULTILINE)
    return found[0] if found else None


RUNS = [ladder_run(f"r{number}") for number in range(12)]


def test_the_file_of_a_ladder():
    text = script(RUNS, gpus=2, at_once=4)
    assert text.splitlines()[:11] == [
        "#!/bin/sh",
        "#SBATCH --job-name=pilots",
        "#SBATCH --array=0-11%4",
        "#SBATCH --nodes=1",
        "#SBATCH --ntasks=1",
        "#SBATCH --gres=gpu:2",
        "#SBATCH --time=0-00:14:00",  # 9 minutes, and 5
        "#SBATCH --signal=B:TERM@120",
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        "#SBATCH --output=slurm-%A.out",
    ]
    assert text == script(RUNS, gpus=2, at_once=4)


def test_the_engine_writes_it():
    ladder = ladder_of(RUNS)
    assert ENGINES["slurm"].write(ladder, RUNS) == slurm_script(ladder, RUNS)


def test_the_comments_say_what_it_takes():
    comments = [line for line in script(RUNS, gpus=2, at_once=4).splitlines() if line.startswith("# ")]
    assert comments[:6] == [
        "# Pilot runs of a ladder as an array job for Slurm; a task writes to the folder of its run.",
        "# design:  pilots for a run of 1e21 FLOP, by chinchilla; batch and rate by porian-2024",
        "# runs:    12, of 5.00M parameters, on 2 GPUs (H100) each, at most 4 at a time, longest first",
        "# time:    1.20 GPU-hours, 9.00 minutes",
        "# cost:    $2.40",
        "# at most: 3.60 GPU-hours, 27.0 minutes, $7.20: if each run is started once, and stopped at its limit",
    ]
    text = "\n".join(comments)
    assert "# submit:  sbatch pilots/slurm.sh" in text
    assert "in the folder in which scaleplan design was run" in text
    assert all(
        name in text for name in ("--partition=NAME", "--account=NAME", "--cpus-per-task=", "--mem=", "gpu:TYPE:2")
    )
    assert "sinfo -o '%P %l'" in text  # a partition that allows less than --time starts nothing
    assert "MaxArraySize" not in text


def test_the_comments_of_the_rest_are_about_the_rest():
    ladder = ladder_of(RUNS, gpus=2, at_once=4)
    text = slurm_script(ladder, RUNS[:3])
    assert "# runs:    3 of 12, of 5.00M parameters, on 2 GPUs (H100) each, at most 3 at a time" in text
    assert "# time:    0.300 GPU-hours, 3.00 minutes" in text
    assert "# at most: 0.900 GPU-hours, 9.00 minutes, $1.80" in text
    assert option(text, "array") == "0-2%3"


@pytest.mark.parametrize(
    ("limit", "time"),
    [
        (0.15, "0-00:14:00"),
        (1.0, "0-01:05:00"),
        (1.0001, "0-01:06:00"),
        (23.95, "1-00:02:00"),
        (240.0, "10-00:05:00"),
    ],
)
def test_the_time_is_that_of_the_longest_run(limit, time):
    assert option(script([ladder_run("a", limit_hours=limit), ladder_run("b")]), "time") == time


def test_without_a_limit_of_a_run_there_is_no_time():
    runs = [ladder_run("a", hours=None, limit_hours=None), ladder_run("b", hours=None, limit_hours=None)]
    text = script(runs, gpu=None)
    assert option(text, "time") is None
    assert "# time:    not predicted, as the GPU is not known" in text
    assert "# at most: without a limit of time" in text
    assert "# cost:" not in text
    assert predicted(ladder_of(runs), runs) == at_most(ladder_of(runs), runs) == (None, None, None)


def test_without_a_price_there_is_no_cost():
    text = script(RUNS, cost=None, most_cost=None, price=None, currency=None)
    assert "$" not in "".join(line for line in text.splitlines() if line.startswith("# "))
    assert "€" not in text
    assert "# cost:    1.20 EUR" in script(RUNS, currency="EUR")


@pytest.mark.parametrize(("count", "at_once", "array"), [(1, 8, "0-0%1"), (5, 8, "0-4%5"), (5, 1, "0-4%1")])
def test_the_array(count, at_once, array):
    assert option(script(RUNS[:count], at_once=at_once), "array") == array


def test_a_large_array_needs_a_setting_of_the_cluster():
    runs = [ladder_run(f"r{number}") for number in range(1002)]
    assert "MaxArraySize" not in script(runs[:1001])
    assert "# array:   1,002 tasks need a larger MaxArraySize than Slurm's usual 1,001:" in script(runs)


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("pilots", "pilots"),
        ("/home/a/pilots 2/", "pilots-2"),
        ("--rf", "rf"),
        ("l'été $(touch pwned)", "l-ete-touch-pwned"),
        ("%A%j\\", "a-j"),
        ("日本", "pilots"),
        ("/", "pilots"),
        ("x" * 200, "x" * 40),
    ],
)
def test_the_name_of_the_job_is_plain(folder, name):
    assert option(script(RUNS[:1], folder=folder), "job-name") == name


def test_no_text_of_the_users_is_in_what_slurm_reads():
    hostile = "x\n#SBATCH --wrap=pwned\n; touch pwned; %A '"
    plain = script(RUNS[:1]).splitlines()
    text = script(
        [ladder_run("r0", ("echo", hostile), out=hostile)],
        **dict.fromkeys(("folder", "file", "submit", "command", "law", "rule", "style", "gpu"), hostile),
    )
    # Slurm reads options up to the first line that is no comment
    head = text[: text.index("\nif [")].splitlines()
    read = [line for line in head if line.startswith("#SBATCH")]
    assert read[1:] == [line for line in plain if line.startswith("#SBATCH")][1:]
    assert all(line.startswith("#") for line in head if line)


def test_without_slurm_nothing_is_started(tmp_path):
    (tmp_path / "pilots").mkdir()
    (tmp_path / "pilots/ladder.json").touch()
    (tmp_path / "pilots/slurm.sh").write_text(script(RUNS[:1]))
    done = subprocess.run(("sh", "pilots/slurm.sh"), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "submit this file with sbatch" in done.stderr
    assert not (tmp_path / "pilots/r0").exists()


def test_from_another_folder_nothing_is_started(tmp_path):
    (tmp_path / "slurm.sh").write_text(script(RUNS[:1]))
    done = subprocess.run(
        ("sh", "slurm.sh"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={"SLURM_ARRAY_TASK_ID": "0"},
    )
    assert done.returncode == 2
    said = f"there is no pilots/ladder.json in {tmp_path}: submit from the folder in which scaleplan design was run\n"
    assert done.stderr == said
    assert [path.name for path in tmp_path.iterdir()] == ["slurm.sh"]


# What follows is run by a real Slurm. All array jobs are in its hands at the same time.

HOSTILE_FOLDERS = (
    *(
        'pi\'lots "2"',
        "$(touch pwned)",
        "`touch pwned`",
        "; touch pwned",
        "--rf",
        "日本 l'été",
        "a%A %j %%",
        "back\\slash",
    ),
    *("$HOME ${PWD}", "#SBATCH --wrap=x", "&& touch pwned", "*?[a]", "-"),
)

ARGUMENTS = (
    "--note=$(touch pwned)",
    "`touch pwned`",
    "; touch pwned",
    "",
    "a  b",
    "-rf",
    "%A %a",
    "$HOME",
    "'\"",
    "*",
    "日本",
)


def written(folder, runs, **given):
    """Write the file of a ladder in a folder of some name, as design does, and return its path."""
    ladder = ladder_of(runs, folder=str(folder.name), **given)
    folder.mkdir(parents=True)
    (folder / "ladder.json").write_text("{}")
    (folder / "slurm.sh").write_text(slurm_script(ladder, runs))
    return f"{folder.name}/slurm.sh" if not folder.name.startswith("-") else f"./{folder.name}/slurm.sh"


def test_slurm_takes_the_file(slurm, tmp_path):
    file = written(
        tmp_path / "pilots", [ladder_run(f"r{n}", limit_hours=100.0 * (n + 1)) for n in range(300)], gpus=8
    )
    slurm.run("sbatch", "--test-only", file, cwd=tmp_path)
    job = slurm.submit(file, cwd=tmp_path, options=["--hold", "--partition=main", "--comment=x"])
    shown = slurm.run("scontrol", "show", "job", job)
    slurm.run("scancel", job)
    for part in (
        *(
            "JobName=pilots",
            "ArrayTaskId=0-299%8",
            "TimeLimit=1250-00:05:00",
            "Requeue=1",
            "NumNodes=1",
        ),
        f"WorkDir={tmp_path}",
    ):
        assert part in shown
    assert re.search(r"TresPerNode=gres[:/]gpu:8\n", shown)
    for gpus, there in (("h100:8", True), ("9", False), ("a100:1", False)):  # the cluster has eight h100, and knows
        words = ("sbatch", "--test-only", f"--gres=gpu:{gpus}", file)
        tried = subprocess.run(words, cwd=tmp_path, env=slurm.env, capture_output=True, check=False)
        assert (tried.returncode == 0) is there


def test_runs_of_hostile_names_end_and_stay_inert(slurm, tmp_path):
    jobs = []
    for number, name in enumerate(HOSTILE_FOLDERS):
        # the folder of submission has a hostile name too, but for what Slurm does not bear in one
        base = tmp_path / f"{number} {name.replace('%', '').replace(chr(92), '')}"
        command = ("sh", "-c", 'printf "%s\\0" "$@" > "$0"/argv', f"./{name}/r0", *ARGUMENTS, name)
        run = ladder_run("r0", command, out=f"{name}/r0")
        file = written(base / name, [run])
        jobs.append((slurm.submit(file, cwd=base), base, name))
    slurm.wait(",".join(job for job, _, _ in jobs))
    for job, base, name in jobs:
        out = base / name / "r0"
        assert slurm.states(job) == {0: "COMPLETED"}, (name, (out / "output.log").read_text())
        assert (out / "exit").read_text() == "0\n"
        assert (out / "argv").read_text() == "".join(f"{word}\0" for word in (*ARGUMENTS, name))
        assert json.loads((out / "run.json").read_text())["name"] == "r0"
        assert (base / f"slurm-{job}.out").read_text() == f"{name}/r0: exit status 0\n"
        assert {path.name for path in base.iterdir()} == {name, f"slurm-{job}.out"}
    assert not list(tmp_path.rglob("pwned*"))


def test_an_array_with_all_that_can_happen(slurm, tmp_path):
    saves = "trap 'echo saved; exit 0' TERM; echo up; test -e fixed || while :; do sleep 0.1; done"
    commands = [
        ("sh", "-c", "echo $CUDA_VISIBLE_DEVICES"),
        ("sh", "-c", "echo bad; test -e fixed || exit 3"),
        ("sleep", "30"),
        ("./no-such-program",),
        ("sh", "-c", "echo fine"),
        *[("sh", "-c", saves)] * 3,
    ]
    runs = [ladder_run(f"r{number}", words) for number, words in enumerate(commands)]
    runs[2] = ladder_run("r2", commands[2], limit_hours=1 / 3600)
    file = written(tmp_path / "pilots", runs)

    def read(number, name):
        path = tmp_path / f"pilots/r{number}" / name
        return path.read_text() if path.exists() else ""

    job = slurm.submit(file, cwd=tmp_path)
    slurm.until(lambda: all("up" in read(number, "output.log") for number in (5, 6, 7)))
    slurm.run("scancel", f"{job}_5")
    slurm.run("scancel", "--batch", "--signal=TERM", f"{job}_6")  # what --signal=B:TERM sends before the end
    slurm.run("scontrol", "requeue", f"{job}_7")  # as after a preemption
    slurm.until(lambda: "saved" in read(7, "output.log"))
    (tmp_path / "fixed").touch()
    slurm.until(lambda: read(7, "exit"))
    assert read(7, "exit") == "143\n"

    time.sleep(2)  # a node refuses a task that it has killed within the same second

    def went_on():  # a minute or two after its end, but for the word of an administrator
        slurm.run("scontrol", "update", f"JobId={job}_7", "StartTime=now", check=False)
        return read(7, "exit") == "0\n"

    slurm.until(went_on)
    slurm.wait(job)

    ends = {number: read(number, "exit").strip() for number in range(len(runs))}
    assert ends == {0: "0", 1: "3", 2: "124", 3: "127", 4: "0", 5: "143", 6: "143", 7: "0"}
    assert read(0, "output.log").strip().isdigit()  # one GPU
    assert read(2, "output.log") == "this run: stopped at its limit of 1 s\n"
    for number in (5, 6):
        log = read(number, "output.log").replace("Terminated\n", "")
        assert log == "up\nsaved\nthis run: stopped by a signal before its end\n"
    assert read(7, "output.log").count("up") == 2
    states = slurm.states(job)
    assert states == dict.fromkeys((0, 4, 7), "COMPLETED") | dict.fromkeys((1, 2, 3, 6), "FAILED") | {5: "CANCELLED"}
    said = (tmp_path / f"slurm-{job}.out").read_text().splitlines()
    assert {"pilots/r1: exit status 3", "pilots/r2: stopped at its limit of 1 s", "pilots/r7: exit status 0"} <= {
        *said
    }

    again = slurm.submit(file, cwd=tmp_path, options=["--array=0,1,4,6"])
    slurm.wait(again)
    assert set(slurm.states(again).values()) == {"COMPLETED"}
    assert sorted((tmp_path / f"slurm-{again}.out").read_text().splitlines()) == [
        "pilots/r0: has finished already",
        "pilots/r1: exit status 0",
        "pilots/r4: has finished already",
        "pilots/r6: exit status 0",
    ]
    assert read(4, "output.log") == "fine\n"


def test_slurm_from_another_folder_says_so(slurm, tmp_path):
    written(tmp_path / "here/pilots", [ladder_run("r0")])
    (tmp_path / "there").mkdir()
    job = slurm.submit("../here/pilots/slurm.sh", cwd=tmp_path / "there")
    slurm.wait(job)
    assert slurm.states(job) == {0: "FAILED"}
    said = (tmp_path / f"there/slurm-{job}.out").read_text()
    assert said.startswith(f"there is no pilots/ladder.json in {tmp_path}/there: submit from the folder")
    assert not (tmp_path / "here/pilots/r0").exists()


def test_slurm_starts_a_run_from_a_folder_of_its_marks_as_the_file_says(slurm, tmp_path):
    """Slurm finds its own output from there, and fails a task for which it finds none."""
    place = tmp_path / "a%j"
    written(place / "pilots", [ladder_run("r0", ("true",))])
    job = slurm.submit("pilots/slurm.sh", cwd=place, options=[f"--output={tmp_path}/slurm-%A.out"])
    slurm.wait(job)
    assert slurm.states(job) == {0: "COMPLETED"}
    assert (tmp_path / f"slurm-{job}.out").is_file()


def test_at_most_as_many_at_once(slurm, tmp_path):
    work = 'date +%s.%N >> "$0"; sleep 0.3; date +%s.%N >> "$0"'
    runs = [ladder_run(f"r{n}", ("sh", "-c", work, f"times-{n}")) for n in range(6)]
    job = slurm.submit(written(tmp_path / "pilots", runs, at_once=3, gpus=2), cwd=tmp_path)
    slurm.wait(job)
    spans = [tuple(map(float, (tmp_path / f"times-{n}").read_text().split())) for n in range(6)]
    most = max(sum(first <= start < last for first, last in spans) for start, _ in spans)
    assert most <= 3


def test_the_file_is_posix_shell(tmp_path):
    (tmp_path / "slurm.sh").write_text(
        script([ladder_run(f"r{n}", ARGUMENTS, out=name) for n, name in enumerate(HOSTILE_FOLDERS)])
    )
    for shell in (("sh",), ("dash",), ("bash", "--posix"), ("busybox", "sh")):
        if shutil.which(shell[0]):
            subprocess.run((*shell, "-n", "slurm.sh"), cwd=tmp_path, check=True)
