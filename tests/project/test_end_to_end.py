"""A change to a training config in a git repository: every format byte for byte, exit statuses, files and lines.

``UPDATE_GOLDEN=1 pytest tests/check`` writes the golden files anew; read the difference before believing it.
"""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"
FORMATS = ("text", "json", "jsonl", "csv", "tsv", "markdown", "github", "junit", "sarif")
FAIL_ON = ("--fail-on=cost increase > 10%", "--fail-on=total cost increase > 100k USD")


def same_as_golden(name, text):
    """Compare a text with a golden file, or write that when asked to."""
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    assert text == path.read_text(encoding="utf-8")


def line_of(path, text):
    """Return the number of the line of a file that holds a text."""
    return next(i for i, line in enumerate(path.read_text().splitlines(), start=1) if text in line)


def test_before_the_change_the_policy_is_kept(cli, repository):
    """Exit status 0, and no annotation."""
    assert cli("check").status == 0
    assert cli("check", "--format", "github").out == ""


@pytest.mark.parametrize("name", FORMATS)
def test_check_writes_the_same_bytes(cli, changed, name):
    """After the change, check says so in every format, and exits with 1."""
    result = cli("check", "--format", name)
    assert result.status == 1
    same_as_golden(f"check.{name}", result.out)


@pytest.mark.parametrize("name", FORMATS)
def test_diff_writes_the_same_bytes(cli, changed, name):
    """The comparison with the branch says what changed in every format, and exits with 1 for too much."""
    result = cli("diff", "--base", "main", *FAIL_ON, "--format", name)
    assert result.status == 1
    same_as_golden(f"diff.{name}", result.out)


def test_annotations_point_at_the_key_that_changed(cli, changed):
    """The cost comes from the batch first, at its file and line; the other factors and the model are named too."""
    line = line_of(changed / "configs/train.yaml", "global_batch_size")
    first = cli("check", "--format", "github").out.splitlines()[0]
    assert first.startswith(f"::error file=configs/train.yaml,line={line},title=base%3A cost <= 75k USD::")
    for path, text in (
        ("configs/train.yaml", "seq_len"),
        ("configs/train.yaml", "max_steps"),
        ("scaleplan.toml", "model ="),
    ):
        assert f"%0Aalso {path}:{line_of(changed / path, text)}" in first
    assert f"limit at scaleplan.toml:{line_of(changed / 'scaleplan.toml', 'cost <=')}" in first


def test_the_numbers_are_those_of_the_arithmetic(cli, changed):
    """Tokens are batch x length x steps; the model's size its exact count; cost 6ND over peak, use and price.

    Llama 2 7B has 6,738,415,616 parameters; 8 more layers of 202,383,360 (4 d^2 + 3 d f + 2 d) make
    8,357,482,496. The dense bf16 peak of an H100 SXM is 989.4 TFLOP/s (NVIDIA's data sheet, halved for sparsity).
    """
    before = cli("diff", "--base", "main", "--json")
    changes = {(row["run"], row["quantity"]): row for row in json.loads(before.out)["changes"]}
    assert changes["base", "params"]["before"] == 6_738_415_616
    assert changes["base", "params"]["after"] == 6_738_415_616 + 8 * (4 * 4096**2 + 3 * 4096 * 11008 + 2 * 4096)
    assert changes["base", "tokens"]["before"] == 1024 * 4096 * 200_000
    assert changes["base", "tokens"]["after"] == 1536 * 4096 * 200_000
    flops = 6 * changes["base", "params"]["after"] * changes["base", "tokens"]["after"]
    hours = flops / (989.4e12 * 0.4 * 3600)
    assert changes["base", "cost"]["after"] == pytest.approx(hours * 2.5, rel=1e-12)  # rounding alone
    assert changes["base", "days"]["after"] == pytest.approx(hours / 64 / 24, rel=1e-12)
    assert changes["small", "cost"]["change"] == 0
    assert changes[None, "cost"]["change"] == pytest.approx(changes["base", "cost"]["change"], rel=1e-12)


def test_every_format_says_the_same(cli, changed):
    """The rows of CSV are those of JSON; every violated limit is in every format for people and services."""
    verdicts = json.loads(cli("check", "--json").out)["verdicts"]
    rows = list(csv.DictReader(io.StringIO(cli("check", "--format", "csv").out)))
    assert [row["message"] for row in rows] == [verdict["message"] for verdict in verdicts]
    assert [float(row["value"]) for row in rows] == [verdict["value"] for verdict in verdicts]
    failed = [verdict for verdict in verdicts if verdict["status"] == "fail"]
    assert failed
    for name in ("text", "github", "junit", "sarif"):
        shown = cli("check", "--format", name).out.replace("&gt;", ">").replace("%25", "%").replace("\n  ", " ")
        assert all(verdict["message"] in shown for verdict in failed), name


@pytest.mark.parametrize("question", [["check"], ["diff", "--base", "main", *FAIL_ON]])
@pytest.mark.parametrize("name", FORMATS)
def test_a_saved_result_is_shown_again_in_any_format(cli, changed, question, name):
    """Showing what --json saved gives the bytes that the command itself would have given."""
    Path("saved.json").write_text(cli(*question, "--json").out)
    shown = cli("show", "saved.json", "--format", name)
    assert shown.status == 0
    assert shown.out == cli(*question, "--format", name).out


@pytest.mark.parametrize(
    "question",
    [
        ["optimal", "--flops", "1e21"],
        ["optimal", "--cost", "1M", "--gpu", "h100-sxm", "--limit", "tokens <= 1T"],
        ["loss", "--params", "7B", "--tokens", "2T", "--unique-tokens", "500B"],
        ["optimal", "--flops", "1e23", "--inference-tokens", "10T"],
        ["sweep", "--from", "1e20", "--to", "1e22", "--points", "3"],
        ["compare", "--flops", "1e22"],
        ["marginal", "--cost", "1M", "--gpu", "h100-sxm"],
    ],
)
@pytest.mark.parametrize("name", ["text", "json", "csv", "markdown"])
def test_saved_plans_are_shown_again_in_any_format(cli, question, name):
    """Plans, tables of plans and marginal views survive being saved."""
    Path("saved.json").write_text(cli(*question, "--json").out)
    assert cli("show", "saved.json", "--format", name).out == cli(*question, "--format", name).out


def test_the_answer_does_not_depend_on_who_asks(cli, changed, monkeypatch):
    """Neither environment variables nor the user's own settings change a verdict."""
    before = cli("check", "--json").out
    monkeypatch.setenv("SCALEPLAN_PRICE", "100")
    monkeypatch.setenv("SCALEPLAN_PRESET", "kaplan-2020")
    assert cli("check", "--json").out == before


def test_a_new_file_counts_from_nothing(cli, changed):
    """A project that the base does not have is all new runs."""
    Path("new").mkdir()
    Path("new/scaleplan.toml").write_text('[[run]]\nname = "n"\nparams = "1B"\ntokens = "20B"\n')
    result = cli("diff", "--base", "main", "new", "--fail-on", "flops increase > 10%", "--json")
    assert result.status == 1
    assert {row["status"] for row in json.loads(result.out)["changes"]} == {"added"}


@pytest.mark.parametrize(
    "name", ["--upload-pack=touch mark", "-x", "main:configs", "no-such-branch", "", "a\nb", "main..HEAD"]
)
def test_what_is_no_revision_is_refused(cli, repository, name):
    """A name that git could take for an option never reaches it."""
    result = cli("diff", f"--base={name}")
    assert result.status == 2
    assert result.err.startswith("error: ")
    assert not Path("mark").exists()


def test_outside_a_repository_the_way_out_is_named(cli, tmp_path, monkeypatch):
    """Comparing with a revision needs git."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    Path("scaleplan.toml").write_text('[[run]]\nname = "n"\nflops = 1e20\n')
    result = cli("diff", "--base", "main")
    assert (result.status, "git repository" in result.err) == (2, True)
