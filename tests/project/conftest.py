"""A repository with a training config, and the command line run inside it."""

from __future__ import annotations

import io
import os
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from scaleplan.__main__ import run

PROJECT = """\
[defaults]
gpu = "h100-sxm"
mfu = 0.4
price = 2.5
preset = "laws/own.toml"

[[run]]
name = "base"
from = "configs/train.yaml"
model = "configs/model.json"
tokens = { batch = "data.global_batch_size", sequence = "model.seq_len", steps = "trainer.max_steps" }
gpus = { key = ["cluster.nodes", "cluster.devices"] }

[[run]]
name = "small"
params = "1.5B"
tokens = "30B"
gpus = 8

[policy]
error = [
  "cost <= 75k USD",
  "loss@90% <= 2.5",
]
warn = [{ limit = "days <= 30", message = "ask the cluster's owners first" }]
"""
TRAIN = """\
# pretraining
data:
  global_batch_size: 1024   # sequences
model:
  seq_len: 4096
trainer:
  max_steps: 200_000
cluster:
  nodes: 8
  devices: 8
"""
# Llama 2 7B: 6,738,415,616 parameters, as its authors' repository and the paper's "7B" (arXiv:2307.09288) have it
MODEL = """\
{
  "model_type": "llama",
  "hidden_size": 4096,
  "intermediate_size": 11008,
  "num_hidden_layers": 32,
  "num_attention_heads": 32,
  "vocab_size": 32000
}
"""
LAW = """\
schema = 1
id = "own"
title = "A law for tests"
form = "additive"
source = "the coefficients of arXiv:2404.10102, rounded, and errors of one percent"
status = "refit"
[coefficients]
E = 1.8172
A = 482.01
B = 2085.43
alpha = 0.3478
beta = 0.3658
[uncertainty]
parameters = ["E"]
covariance = [[0.0001]]
method = "made up"
[conventions]
params = "total"
flops = "6ND"
loss = "nats/token"
"""


@dataclass(frozen=True)
class Result:
    """What a run of the command line left behind."""

    status: int
    out: str
    err: str


@pytest.fixture
def cli():
    """Run the command line in this process."""

    def command_line(*arguments):
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            status = run([str(argument) for argument in arguments])
        return Result(status, out.getvalue(), err.getvalue())

    return command_line


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    """Run each test in an empty folder, without anybody's settings, for this program or for git."""
    for name in [*os.environ]:
        if name.startswith(("SCALEPLAN_", "GIT_")) or name in ("NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)


def git(*words):
    """Run git in the working folder, as nobody in particular, at no time in particular."""
    stamp = {
        f"GIT_{role}_{what}": "nobody@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }
    dates = {"GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z"}
    subprocess.run(["git", *words], check=True, capture_output=True, env={**os.environ, **stamp, **dates})


@pytest.fixture(name="git")
def git_command():
    """Return the function that runs git."""
    return git


@pytest.fixture
def repository():
    """Return a git repository with a project on its branch main."""
    work = Path.cwd()
    for name, text in {
        "scaleplan.toml": PROJECT,
        "configs/train.yaml": TRAIN,
        "configs/model.json": MODEL,
        "laws/own.toml": LAW,
    }.items():
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_text(text)
    git("init", "-q", "-b", "main", ".")
    git("add", ".")
    git("commit", "-q", "-m", "as it was")
    return work


@pytest.fixture
def changed(repository):
    """Return the repository after a change of the batch and the model, not committed."""
    train, model = repository / "configs/train.yaml", repository / "configs/model.json"
    train.write_text(train.read_text().replace("global_batch_size: 1024", "global_batch_size: 1536"))
    model.write_text(model.read_text().replace('"num_hidden_layers": 32', '"num_hidden_layers": 40'))
    return repository
