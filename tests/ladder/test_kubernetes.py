"""The Job of Kubernetes: valid by the published schema, its script run as a container runs it, its limits."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from hypothesis import example, given, settings
from kubernetes_validate.utils import all_versions
from tests.ladder.hostile import WORDS, arguments_of, run_shell, trainer, words
from tests.ladder.records import ladder_of, ladder_run

from scaleplan.errors import UsageError
from scaleplan.ladder.kubernetes import kubernetes_job

RUNS = [
    ladder_run(f"{n:02}-s0", out=f"/ladder/{n:02}-s0", hours=4 / (n + 1), limit_hours=8 / (n + 1)) for n in range(5)
]
VERSIONS = sorted({version for version in all_versions() if tuple(map(int, version.split(".")[:2])) >= (1, 29)})


def ladder(runs=RUNS, **changes):
    usual = {
        "engine": "kubernetes",
        "file": "kubernetes.yaml",
        "submit": "kubectl apply -f pilots/kubernetes.yaml",
        "gpu": "h100-sxm",
        "at_once": 3,
        "image": "nvcr.io/nvidia/pytorch:25.08-py3",
        "storage": "pilots",
    }
    return ladder_of(runs, **{**usual, **changes})


def job(runs=RUNS, **changes):
    return yaml.safe_load(kubernetes_job(ladder(runs, **changes), runs))


def expanded(text, environment):
    """Return what Kubernetes makes of an argument: third_party/forked/golang/expansion, on bytes as it is."""
    given, out, at = text.encode(), b"", 0
    while at < len(given):
        if given[at : at + 1] != b"$" or at + 1 == len(given):
            out, at = out + given[at : at + 1], at + 1
        elif given[at + 1 : at + 2] == b"$":
            out, at = out + b"$", at + 2
        elif given[at + 1 : at + 2] == b"(":
            end = given.find(b")", at)
            if end < 0:
                out, at = out + b"$(", at + 2
            else:
                name = given[at + 2 : end].decode()
                out, at = out + environment.get(name, f"$({name})").encode(), end + 1
        else:
            out, at = out + b"$" + chr(given[at + 1]).encode(), at + 2
    return out.decode(errors="replace")


ENVIRONMENT = {"HOME": "expanded", "JOB_COMPLETION_INDEX": "0", "touch pwned": "expanded"}


def script_of(found):
    (container,) = found["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["/bin/sh", "-c"]
    (script,) = container["args"]
    return expanded(script, ENVIRONMENT)


def test_the_expansion_is_that_of_kubernetes():
    # the cases of "Define Environment Variables" and of the API's description of args
    assert expanded("$(HOME) $$(HOME) $(NONE) $HOME $", ENVIRONMENT) == "expanded $(HOME) $(NONE) $HOME $"
    assert expanded("$$$$(HOME) $$$(HOME)", ENVIRONMENT) == "$$(HOME) $expanded"
    assert expanded("$é", ENVIRONMENT) != "$é"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_job_is_valid_by_the_published_schema(version):
    found = job()
    kubernetes_validate.validate(found, version, strict=True)
    found["spec"]["template"]["spec"]["retries"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(found, version, strict=True)


def test_versions_since_the_first_that_has_its_keys_are_tried():
    assert {"1.29.0", "1.37.0"} <= set(VERSIONS)
    with pytest.raises(kubernetes_validate.ValidationError, match="backoffLimitPerIndex"):
        kubernetes_validate.validate(job(), "1.27.0", strict=True)


def test_each_run_has_an_index_and_a_failed_one_stops_no_other():
    spec = job()["spec"]
    assert (spec["completions"], spec["parallelism"], spec["completionMode"]) == (5, 3, "Indexed")
    assert spec["backoffLimitPerIndex"] == 0
    assert "backoffLimit" not in spec
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    (rule,) = spec["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    assert job(RUNS[:2])["spec"]["parallelism"] == 2


def test_the_deadline_is_the_most_that_a_place_can_take():
    # limits of 8, 4, 2.67, 2 and 1.6 h in three places: 8 h; 4 + 1.6; 2.67 + 2
    assert job()["spec"]["activeDeadlineSeconds"] == 8 * 3600 + 600
    alone = job(at_once=1)["spec"]["activeDeadlineSeconds"]
    assert alone == sum(math.ceil(run.limit_hours * 3600) for run in RUNS) + 5 * 600


@pytest.mark.parametrize(
    ("gpu", "resource"), [("h100-sxm", "nvidia.com/gpu"), ("b200", "nvidia.com/gpu"), ("mi300x", "amd.com/gpu")]
)
def test_gpus_are_asked_of_the_plugin_of_their_vendor(gpu, resource):
    (container,) = job(gpu=gpu, gpus=4)["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == {"limits": {resource: 4}}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"gpu": "tpu-v5e"}, "tpu-v5e of Google"),
        ({"gpu": "trn2"}, "trn2 of AWS"),
        ({"gpu": None}, "no GPU"),
        ({"gpu": "of-a-file"}, "'of-a-file'"),
        ({"image": None}, "image"),
        ({"image": "two words"}, "'two words'"),
        ({"image": "-c"}, "'-c'"),
        ({"storage": None}, "vanish"),
        ({"storage": "s3://bucket"}, "'s3://bucket'"),
        ({"storage": "Pilots"}, "'Pilots'"),
        ({"storage": "a" * 254}, "aaa"),
    ],
)
def test_what_kubernetes_cannot_have_is_refused(changes, named):
    with pytest.raises(UsageError, match=re.escape(named)) as refused:
        kubernetes_job(ladder(**changes), RUNS)
    assert refused.value.hint


def test_runs_without_a_limit_are_refused():
    runs = [ladder_run(hours=None, limit_hours=None)]
    with pytest.raises(UsageError, match="spending limit"):
        kubernetes_job(ladder(runs), runs)


def test_a_script_longer_than_an_argument_may_be_is_refused():
    runs = [ladder_run(words=("train", "x" * 2**17))]
    with pytest.raises(UsageError, match="131 kB") as refused:
        kubernetes_job(ladder(runs), runs)
    assert "--command" in refused.value.hint


@pytest.mark.parametrize(
    ("folder", "start"),
    [
        ("pilots", "pilots-"),
        ("out/My Pilots_2/", "my-pilots-2-"),
        ("../Größe", "groe-"),
        ("漢字", "pilots-"),
        ("-n", "n-"),
        ("7b", "pilots-7b-"),
        ("$(touch pwned)", "touch-pwned-"),
        ("x" * 300, "x" * 40 + "-"),
        ("..", "pilots-"),
    ],
)
def test_the_name_is_a_dns_label_with_room_for_the_index(folder, start):
    name = job(folder=folder)["metadata"]["name"]
    assert name.startswith(start)
    assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", name)
    assert len(name) <= 63 - len("-99999")


def test_jobs_of_other_runs_have_other_names():
    # Kubernetes refuses to change the pods of a Job
    names = {
        job(runs, **changes)["metadata"]["name"]
        for runs, changes in ((RUNS, {}), (RUNS[2:], {}), (RUNS, {"gpus": 2}))
    }
    assert len(names) == 3
    assert job()["metadata"]["name"] == job()["metadata"]["name"]


def test_the_header_says_what_it_costs_and_how_to_submit():
    text = kubernetes_job(ladder(), RUNS)
    header = [line for line in text.splitlines() if line.startswith("#")]
    assert text.splitlines()[: len(header)] == header
    spent = sum(run.hours for run in RUNS)
    for said in (
        f"${spent * 2:.2f}",
        f"${spent * 4:.2f}",
        "kubectl apply -f pilots/kubernetes.yaml",
        "1.29",
        "kubectl cp",
    ):
        assert any(said in line for line in header), said
    annotations = job()["metadata"]["annotations"]
    assert annotations["scaleplan/most-cost"] == f"${spent * 4:.2f}"
    assert all(isinstance(value, str) for value in annotations.values())


@pytest.mark.parametrize("text", ["a\u2028evil: 1", "b\x85evil: 1", "c\nevil: 1", "d\u202e"])
def test_no_text_ends_a_comment(text):
    found = yaml.safe_load(kubernetes_job(ladder(submit=text, law=text), RUNS))
    assert found.keys() == {"apiVersion", "kind", "metadata", "spec"}


def test_the_script_is_readable():
    text = kubernetes_job(ladder(), RUNS)
    assert "        - |\n          run_pilot() {\n" in text
    assert '"$pilot_out/' in text


def test_each_index_does_its_run_and_a_failure_is_the_pods(tmp_path):
    runs = [
        ladder_run(f"r{n}", words=trainer(f"{tmp_path}/r{n}", [str(n)]), out=f"{tmp_path}/r{n}") for n in range(3)
    ]
    runs.append(ladder_run("r3", words=("sh", "-c", "exit 7"), out=f"{tmp_path}/r3"))
    script = script_of(job(runs))
    for index in range(3):
        assert run_shell(script, tmp_path, JOB_COMPLETION_INDEX=str(index))[0] == 0
        assert sorted(path.name for path in tmp_path.iterdir()) == [f"r{n}" for n in range(index + 1)]
        assert arguments_of(tmp_path / f"r{index}") == [str(index)]
        assert (tmp_path / f"r{index}/exit").read_text() == "0\n"
    assert run_shell(script, tmp_path, JOB_COMPLETION_INDEX="3")[0] == 7
    assert run_shell(script, tmp_path, JOB_COMPLETION_INDEX="4")[0] == 2


@settings(max_examples=25)
@given(given_words=words, folder=words)
@example(given_words=WORDS[0], folder=WORDS[3])
def test_any_argument_arrives(tmp_path_factory, given_words, folder):
    place = tmp_path_factory.mktemp("any")
    out = f"{place}/of {re.sub('/', '', folder)[:60]}/r0"
    runs = [ladder_run("r0", words=trainer(out, [given_words, *WORDS]), out=out)]
    assert run_shell(script_of(job(runs)), place, JOB_COMPLETION_INDEX="0") == (0, f"{out}: exit status 0\n")
    assert arguments_of(Path(out)) == [given_words, *WORDS]
    assert not list(itertools.chain(place.rglob("pwned"), place.glob("*pwned")))
