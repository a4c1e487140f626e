"""The task of SkyPilot: as its own parser reads it, its script run as its machines run it, its spending limits."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from tests.ladder.hostile import WORDS, arguments_of, run_shell, trainer, words
from tests.ladder.records import ladder_of, ladder_run

from scaleplan.errors import UsageError
from scaleplan.hardware.accelerators import Accelerators
from scaleplan.ladder.engines import ENGINES
from scaleplan.ladder.skypilot import SKYPILOT_NAMES, skypilot_task

RUNS = [
    ladder_run(f"{n:02}-s0", out=f"/ladder/{n:02}-s0", hours=4 / (n + 1), limit_hours=8 / (n + 1)) for n in range(5)
]

needs_skypilot = pytest.mark.skipif(
    importlib.util.find_spec("sky") is None,
    reason="SkyPilot is not installed: pip install -e '.[dev,engines]', which also takes an older click",
)


def ladder(runs=RUNS, **changes):
    usual = {
        "engine": "skypilot",
        "file": "skypilot.yaml",
        "submit": "sky jobs launch --num-jobs 3 pilots/skypilot.yaml",
        "gpu": "h100-sxm",
        "at_once": 3,
        "storage": "s3://my-pilots",
    }
    return ladder_of(runs, **{**usual, **changes})


def task(runs=RUNS, **changes):
    return yaml.safe_load(skypilot_task(ladder(runs, **changes), runs))


# what follows the task's own shell on a machine (backends/task_codegen.py, build_task_bash_script): it waits until
# the files are in the bucket, so it must be reached
AFTERWARDS = "\n__skypilot_user_exit_code=$?\necho uploaded\nexit $__skypilot_user_exit_code\n"


def on_machine(found, folder, jobs=None, rank=None):
    given = {} if jobs is None else {"SKYPILOT_NUM_JOBS": str(jobs), "SKYPILOT_JOB_RANK": str(rank)}
    return run_shell(found["run"] + AFTERWARDS, folder, shell="bash", **given)


def test_a_machine_is_a_spot_instance_below_a_price():
    found = task(gpus=8, price=2.95)
    assert found["resources"] == {
        "accelerators": {"H100": 8},
        "use_spot": True,
        "max_hourly_cost": 23.6,
        "job_recovery": {"max_restarts_on_errors": 0},
    }
    assert found["workdir"] == "."
    assert "num_nodes" not in found
    assert task(image="python:3.13")["resources"]["image_id"] == "docker:python:3.13"


@pytest.mark.parametrize(
    ("price", "gpus", "most"), [(2.95, 1, 2.95), (2.95, 8, 23.6), (0.1, 3, 0.3), (0.123456, 8, 0.9877)]
)
def test_the_price_of_a_machine_is_rounded_up(price, gpus, most):
    assert task(gpus=gpus, price=price)["resources"]["max_hourly_cost"] == most


@pytest.mark.parametrize(
    ("storage", "part"),
    [
        ("s3://my-pilots", {"file_mounts": {"/ladder": {"source": "s3://my-pilots", "mode": "MOUNT_CACHED"}}}),
        ("gs://my-pilots", {"file_mounts": {"/ladder": {"source": "gs://my-pilots", "mode": "MOUNT_CACHED"}}}),
        ("pilots", {"volumes": {"/ladder": "pilots"}}),
    ],
)
def test_storage_is_a_bucket_or_a_volume(storage, part):
    found = task(storage=storage)
    assert {key: found[key] for key in ("file_mounts", "volumes") if key in found} == part


@pytest.mark.parametrize(
    ("changes", "named", "hint"),
    [
        ({"price": None, "cost": None}, "price", "--price"),
        ({"currency": "EUR"}, "EUR", "--price"),
        ({"gpu": None}, "no GPU", "--gpu"),
        ({"gpu": "tpu-v5e"}, "'tpu-v5e'", "h100-sxm"),
        ({"gpu": "h20"}, "'h20'", "--format csv"),
        ({"storage": None}, "vanish", "--storage"),
        ({"storage": "s3://bucket/folder"}, "'s3://bucket/folder'", "whole bucket"),
        ({"storage": "s3://${HOME}"}, "'s3://${HOME}'", "whole bucket"),
        ({"storage": "/data"}, "'/data'", "volume"),
        ({"storage": "hf://me/data"}, "'hf://me/data'", "volume"),
        ({"image": "a b"}, "'a b'", "example"),
    ],
)
def test_what_skypilot_cannot_have_is_refused(changes, named, hint):
    with pytest.raises(UsageError, match=re.escape(named)) as refused:
        skypilot_task(ladder(**changes), RUNS)
    assert hint in refused.value.hint


def test_runs_without_a_limit_are_refused():
    runs = [ladder_run(hours=None, limit_hours=None)]
    with pytest.raises(UsageError, match="limits"):
        skypilot_task(ladder(runs, price=2.0, currency="USD"), runs)


def test_names_are_of_gpus_that_are_known():
    known = set(Accelerators().ids())
    assert SKYPILOT_NAMES.keys() <= known


def test_the_header_says_what_it_costs_and_which_gpu_it_may_get():
    text = skypilot_task(ladder(), RUNS)
    header = "".join(line.removeprefix("# ") + " " for line in text.splitlines() if line.startswith("#"))
    header = " ".join(header.split())
    spent = sum(run.hours for run in RUNS)
    for said in (
        f"${spent * 2:.2f}",
        f"${spent * 4:.2f}",
        "submit: sky jobs launch --num-jobs 3 pilots/skypilot.yaml",
        "3 managed jobs",
        "at most $2.00/h",
        "H100 may be h100-pcie, too",
    ):
        assert said in header, said
    assert "may be" not in skypilot_task(ladder(gpu="l40s"), RUNS)


def test_the_command_that_submits_names_as_many_jobs_as_machines():
    assert ENGINES["skypilot"].submission("pi lots/f.yaml", 3) == "sky jobs launch --num-jobs 3 'pi lots/f.yaml'"


@pytest.mark.parametrize("text", ["a\u2028evil: 1", "b\x85evil: 1", "c\nevil: 1"])
def test_no_text_ends_a_comment(text):
    found = yaml.safe_load(skypilot_task(ladder(submit=text, law=text), RUNS))
    assert found.keys() == {"name", "workdir", "resources", "file_mounts", "run"}


def made_by(tmp_path, count=5, failing=()):
    return [
        ladder_run(
            f"r{n}",
            words=("sh", "-c", "exit 3") if n in failing else trainer(f"{tmp_path}/r{n}", [str(n)]),
            out=f"{tmp_path}/r{n}",
            hours=float(count - n),
        )
        for n in range(count)
    ]


def done(tmp_path):
    return sorted(path.parent.name for path in tmp_path.glob("*/exit"))


def test_machines_share_the_runs(tmp_path):
    runs = made_by(tmp_path)
    found = task(runs)
    seen = []
    for rank in range(3):
        before = set(done(tmp_path))
        assert on_machine(found, tmp_path, 3, rank)[0] == 0
        seen.append(sorted(set(done(tmp_path)) - before))
    assert seen == [["r0"], ["r1", "r4"], ["r2", "r3"]]  # of 5, 4, 3, 2 and 1 hours
    assert all(arguments_of(tmp_path / f"r{n}") == [str(n)] for n in range(5))


@pytest.mark.parametrize("jobs", [None, 1, 2, 4, 9])
def test_any_number_of_jobs_does_every_run_once(tmp_path, jobs):
    found = task(made_by(tmp_path))
    printed = ""
    for rank in range(jobs or 1):
        status, text = on_machine(found, tmp_path, jobs, rank)
        assert status == 0
        printed += text
    assert done(tmp_path) == [f"r{n}" for n in range(5)]
    assert "before" not in printed


def test_a_machine_goes_on_after_a_failure_and_ends_with_it(tmp_path):
    found = task(made_by(tmp_path, failing=[0]))
    status, text = on_machine(found, tmp_path)
    assert status == 1
    assert text.endswith("uploaded\n")
    assert done(tmp_path) == [f"r{n}" for n in range(5)]
    assert (tmp_path / "r0/exit").read_text() == "3\n"


def test_a_machine_that_replaces_another_goes_on(tmp_path):
    runs = made_by(tmp_path)
    found = task(runs)
    assert on_machine(task(runs[:2]), tmp_path)[0] == 0
    status, text = on_machine(found, tmp_path)
    assert status == 0
    assert text.count("has finished already") == 2
    assert done(tmp_path) == [f"r{n}" for n in range(5)]


@settings(max_examples=25)
@given(given_words=words, folder=words)
def test_any_argument_arrives(tmp_path_factory, given_words, folder):
    place = tmp_path_factory.mktemp("any")
    out = f"{place}/of {re.sub('/', '', folder)[:60]}/r0"
    runs = [ladder_run("r0", words=trainer(out, [given_words, *WORDS]), out=out)]
    assert on_machine(task(runs), place) == (0, f"{out}: exit status 0\nuploaded\n")
    assert arguments_of(Path(out)) == [given_words, *WORDS]
    assert not list(place.rglob("pwned"))


# reads tasks as 'sky jobs launch' does, without a cloud: files as arguments, what it made of each on the last line
_PARSER = """
import json, sys
from sky.backends.task_codegen import TaskCodeGen
from sky.client.cli import command
from sky.utils import common_utils, dag_utils
found = []
for path in sys.argv[1:]:
    dag = dag_utils.load_dag_from_yaml(path, env_overrides=[("HOME", "expanded"), ("X", "expanded")])
    dag_utils.maybe_infer_and_fill_dag_and_task_names(dag)
    common_utils.check_cluster_name_is_valid(dag.name)
    (task,) = dag.tasks
    task.validate_name(), task.validate_run()
    (resources,) = task.resources
    mounts = {path: [store.source, store.mode.value] for path, store in task.storage_mounts.items()}
    found.append({
        "name": dag.name, "run": task.run, "nodes": task.num_nodes, "workdir": task.workdir, "mounts": mounts,
        "volumes": task.volumes, "spot": resources.use_spot, "price": resources.max_hourly_cost,
        "gpus": resources.accelerators, "image": resources.extract_docker_image(),
        "script": TaskCodeGen.build_task_bash_script(task.run),
    })
launch = command.jobs.commands["launch"]
print(json.dumps([found, [name for option in launch.params for name in option.opts]]))
"""

_CHANGES = (
    {},
    {"image": "nvcr.io/nvidia/pytorch:25.08-py3", "gpus": 8, "storage": "gs://my-pilots"},
    {"storage": "pilots", "folder": "7 $(touch pwned)", "submit": "a\u2028b"},
    *({"storage": f"{scheme}://my-pilots"} for scheme in ("r2", "nebius", "cw")),
    {"storage": "https://account.blob.core.windows.net/pilots"},
)


@pytest.fixture(scope="module")
def parsed(tmp_path_factory):
    """Return what SkyPilot makes of tasks, and the options of its command; and the texts they were made of."""
    folder = tmp_path_factory.mktemp("skypilot")
    runs = [ladder_run("r0", words=("train", *WORDS), out="/ladder/$(HOME) ${HOME} {{X}}"), *RUNS]
    texts = [skypilot_task(ladder(runs, **changes), runs) for changes in _CHANGES]
    files = []
    for position, text in enumerate(texts):
        files.append(folder / f"{position}.yaml")
        files[-1].write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", _PARSER, *map(str, files)],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "SKYPILOT_DISABLE_USAGE_COLLECTION": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found, options = json.loads(done.stdout.splitlines()[-1])
    return found, options, texts


@needs_skypilot
def test_skypilot_reads_the_task(parsed):
    found, options, texts = parsed
    assert "--num-jobs" in options
    for seen, text, changes in zip(found, texts, _CHANGES, strict=True):
        assert seen["run"] == yaml.safe_load(text)["run"]
        assert (seen["spot"], seen["price"], seen["nodes"]) == (True, 2.0 * changes.get("gpus", 1), 1)
        assert seen["gpus"] == {"H100": changes.get("gpus", 1)}
        assert seen["image"] == changes.get("image")
        assert seen["script"].partition(seen["run"])[2].lstrip().startswith("__skypilot_user_exit_code=$?\n")
    assert found[0]["mounts"] == {"/ladder": ["s3://my-pilots", "MOUNT_CACHED"]}
    assert found[1]["mounts"] == {"/ladder": ["gs://my-pilots", "MOUNT_CACHED"]}
    assert (found[2]["volumes"], found[2]["name"]) == ({"/ladder": "pilots"}, "pilots-7-touch-pwned")


@needs_skypilot
def test_each_name_of_a_gpu_stands_in_the_code_of_skypilot():
    package = Path(importlib.util.find_spec("sky").submodule_search_locations[0])
    files = ("utils/gpu_names.py", "provision/runpod/utils.py", "catalog/data_fetchers/fetch_fluidstack.py")
    code = "".join((package / file).read_text(encoding="utf-8") for file in files)
    assert {name for name in SKYPILOT_NAMES.values() if f"'{name}'" not in code} == set()
