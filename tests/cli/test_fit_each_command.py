"""``fit --each``: the table, the files and the errors as a person and as a script meet them."""

import csv
import io
import json

import numpy as np
import pytest

from scaleplan.laws.additive import Additive

LAW = Additive(E=1.7, A=460.0, B=1500.0, alpha=0.34, beta=0.35)


@pytest.fixture
def runs(tmp_path):
    """Return a file of two corpora with two metrics, and of a third that has too few runs."""
    generator = np.random.default_rng(0)
    lines = ["corpus,params,tokens,eval/c4,eval/pile"]
    for corpus, count in (("web", 16), ("books", 16), ("code", 2)):
        params = np.exp(generator.uniform(np.log(3e7), np.log(2e9), count))
        tokens = params * np.exp(generator.uniform(np.log(4), np.log(90), count))
        loss = LAW.loss(params, tokens) * np.exp(0.003 * generator.standard_normal((2, count)))
        lines += [f"{corpus},{n:.0f},{d:.0f},{a},{b}" for n, d, a, b in zip(params, tokens, *loss, strict=True)]
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table_of_laws_and_their_files(cli, runs, tmp_path, monkeypatch):
    """A row a law, those that cannot be fitted with their reason, and a preset for each of the others."""
    monkeypatch.chdir(tmp_path)
    fitted = cli("fit", runs, "--each", "corpus", "--each", "loss=eval/*", "-o", "{corpus}-{loss}.toml")
    assert fitted.status == 0
    assert fitted.out.startswith("runs.csv: 6 laws by corpus and 2 columns of the loss, 2 not fitted\n")
    assert "not fitted: 'code, eval/c4', 'code, eval/pile': " in " ".join(fitted.out.split())
    assert fitted.err.count("wrote ") == 4
    assert "warning: 2 of 6 laws could not be fitted" in fitted.err
    assert sorted(each.name for each in tmp_path.glob("*.toml")) == [
        f"{corpus}-eval-{text}.toml" for corpus in ("books", "web") for text in ("c4", "pile")
    ]
    plan = cli("optimal", "--flops", "1e22", "--preset", tmp_path / "web-eval-c4.toml", "--quiet", "--json").json
    assert plan["preset"] == "runs-web-eval-c4"
    assert max(len(line) for line in fitted.out.splitlines()) <= 100


@pytest.mark.parametrize("form", ["csv", "jsonl", "json"])
def test_every_format_has_each_law(cli, runs, form):
    """With its group, coefficients, intervals and status."""
    out = cli("fit", runs, "--each", "corpus", "--each", "loss=eval/c4", "--format", form, "-q").out
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(out)))
        assert [row["group.corpus"] for row in rows] == ["web", "books", "code"]
        assert float(rows[0]["coefficients.alpha"]) == pytest.approx(0.34, abs=0.1)
        assert float(rows[0]["interval.loss.low"]) < float(rows[0]["loss"]) < float(rows[0]["interval.loss.high"])
        assert (rows[2]["status"], rows[2]["loss"]) == ("not fitted", "")
        return
    laws = [json.loads(line) for line in out.splitlines()] if form == "jsonl" else json.loads(out)["laws"]
    assert [law["group"] for law in laws] == [{"corpus": "web"}, {"corpus": "books"}, {"corpus": "code"}]
    assert laws[2]["reason"]


def test_fields_of_the_whole_and_of_its_rows(cli, runs):
    asked = ("fit", runs, "--each", "corpus", "--map", "loss=eval/c4", "--quiet")
    assert cli(*asked, "--get", "fitted").out == "2\n"
    table = cli(*asked, "--fields", "group.corpus,loss,interval.loss.low", "--format", "csv").out.splitlines()
    assert table[0] == "group.corpus,loss,interval.loss.low"
    assert len(table) == 4


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--group", "corpus"], "shares exponents"),
        (["--report"], "--report is about one law"),
        (["--residuals"], "--residuals is about one law"),
        (["--method", "all"], "side by side"),
        (["-o", "law.toml"], "does not say one file for each law"),
        (["-o", "law-{corpse}.toml"], "did you mean '{corpus}'"),
        (["-o", "nosuch/law-{corpus}.toml"], "there is no folder"),
        (["--where", "corpus = code"], "2 rows are too few for 5 coefficients"),
        (["--each", "corpus,loss=eval/c4"], "--each corpus --each 'loss=eval/c4'"),
    ],
)
def test_what_cannot_be_answered_is_refused(cli, runs, options, says, monkeypatch):
    """By exit status 2, in a line with the way out, before anything is written."""
    monkeypatch.chdir(runs.parent)
    refused = cli("fit", runs, "--each", "corpus", "--map", "loss=eval/c4", *options)
    assert refused.status == 2
    assert refused.out == ""
    assert says in refused.err
    assert [each.name for each in runs.parent.iterdir()] == ["runs.csv"]


def test_a_file_that_no_fit_wrote_stays(cli, runs, tmp_path):
    """It is refused before the work; one that a fit wrote is replaced, and that is said."""
    (tmp_path / "law-web.toml").write_text("mine = true\n")
    asked = ("fit", runs, "--each", "corpus", "--map", "loss=eval/c4", "-o", tmp_path / "law-{corpus}.toml")
    refused = cli(*asked)
    assert (refused.status, "was not written by fit" in refused.err) == (2, True)
    (tmp_path / "law-web.toml").unlink()
    assert cli(*asked).status == 0
    assert "warning: replaced 2 files" in cli(*asked).err


def test_many_files_are_one_line(cli, tmp_path):
    """Of more than a screen of them, the first and the last are named."""
    lines = ["corpus,flops,loss"]
    lines += [f"c{i},{10.0 ** (18 + k / 2)},{1.5 + 3 * 0.7**k + i / 100}" for i in range(30) for k in range(8)]
    (tmp_path / "runs.csv").write_text("\n".join(lines) + "\n")
    words = ["--each", "corpus", "--form", "power", "--x", "flops", "--samples", "0", "-o"]
    written = cli("fit", tmp_path / "runs.csv", *words, tmp_path / "law-{corpus}.toml")
    assert written.status == 0
    (line,) = [line for line in written.err.splitlines() if line.startswith("wrote")]
    assert line.startswith("wrote 30 files, ")
    assert len(list(tmp_path.glob("*.toml"))) == 30
