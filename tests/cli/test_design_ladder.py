"""``design -o FOLDER`` on the command line: files for an engine, what goes to which stream, and what is refused."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path

import pytest

import scaleplan as sp
from scaleplan.ladder.engines import ENGINES
from scaleplan.ladder.ladder_folder import read_ladder
from scaleplan.output import FORMATS, LAUNCHING

RUNS = ("design", "--flops", "1e18", "--target", "1e21", "--limit", "params >= 1M", "--most-runs", "8")
COMMAND = ("--command", "python train.py --layers {layers} --lr {lr} --out {out}")
LIST = (*RUNS, *COMMAND, "--format", "csv", "-o", "pilots", "--gpu", "h100")


def test_every_engine_is_a_format_of_designs():
    """The table of formats is on the path of every plan, and that of engines is not."""
    assert set(ENGINES) - set(LAUNCHING) == {"csv"}
    assert set(LAUNCHING) <= set(ENGINES)
    assert not set(LAUNCHING) & set(FORMATS)


def test_files_go_to_the_folder_and_the_report_to_stdout(cli):
    """What is written stands on stderr, with the warnings."""
    found = cli(*LIST)
    assert found.status == 0
    assert sorted(path.name for path in Path("pilots").iterdir()) == ["ladder.json", "runs.csv"]
    ladder = read_ladder("pilots")
    assert found.out.startswith(f"{len(ladder.runs)} pilot runs for ")
    assert "nothing is started: pilots/runs.csv has the command of each run" in found.out
    assert "scaleplan ladder status pilots" in found.out
    assert "cost" in found.out
    lines = found.err.splitlines()
    assert [line.partition(" (")[0] for line in lines[:2]] == ["wrote pilots/runs.csv", "wrote pilots/ladder.json"]
    assert all(line.startswith("warning: ") for line in lines[2:])
    rows = list(csv.DictReader(Path("pilots/runs.csv").read_text().splitlines()))
    assert [shlex.split(row["command"]) for row in rows] == [list(run.words) for run in ladder.runs]


def test_json_is_what_the_folder_keeps(cli):
    """And fields are those of the ladder; the format is that of the files."""
    found = cli(*LIST, "--json", "-q")
    assert (found.status, found.err) == (0, "")
    assert found.json == json.loads(Path("pilots/ladder.json").read_text())
    assert found.json["schema"] == "scaleplan/ladder/1"
    cost = cli(*LIST[:-4], "-o", "again", "--gpu", "h100", "--get", "cost", "-q").out
    assert float(cost) == found.json["cost"]
    hours = cli(*LIST[:-4], "-o", "third", "--gpu", "h100", "--fields", "name,hours", "-q").out.split()
    assert len(hours) == 2 * len(found.json["runs"]) + 2


def test_the_same_question_writes_the_same_bytes(cli, monkeypatch, tmp_path):
    """In another folder, at another time."""
    written = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert cli(*LIST, "-q").status == 0
        written.append({path.name: path.read_bytes() for path in Path("pilots").iterdir()})
    assert written[0] == written[1]


def test_python_writes_the_same_files(cli):
    """A design, then its ladder."""
    assert cli(*LIST, "-q").status == 0
    Path("pilots").rename("by-command")
    design = sp.design(flops="1e18", target="1e21", limit=["params >= 1M"], most_runs=8)
    ladder = sp.make_ladder(design, output="pilots", command=COMMAND[1], engine="csv", gpu="h100")
    assert {path.name for path in ladder.write()} == {"runs.csv", "ladder.json"}
    for path in Path("pilots").iterdir():
        assert path.read_bytes() == Path("by-command", path.name).read_bytes()
    saved = Path("design.json")
    saved.write_text(json.dumps(design.to_dict()))
    again = sp.make_ladder(sp.load(saved), output="pilots", command=COMMAND[1], engine="csv", gpu="h100")
    assert again == ladder


def test_a_folder_with_anything_in_it_is_left_alone(cli):
    """Before the work, with the way out."""
    Path("pilots").mkdir()
    Path("pilots/notes.txt").write_text("mine")
    found = cli(*LIST)
    assert (found.status, found.out) == (2, "")
    assert "folder 'pilots' is not empty: it holds 'notes.txt'" in found.err
    assert [path.name for path in Path("pilots").iterdir()] == ["notes.txt"]


def test_csv_without_a_folder_is_the_list_of_the_design(cli):
    """As ever: no command, no GPU, nothing written."""
    found = cli(*RUNS, "--format", "csv")
    assert found.out.splitlines()[0] == "params,tokens,flops,seeds"
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        ("--format slurm", "--format slurm needs -o FOLDER", "-o pilots"),
        ("--format slurm --command 'a {out}'", "--format slurm needs -o FOLDER", "-o pilots"),
        ("-o pilots", "-o FOLDER needs an engine", "--format slurm"),
        ("-o pilots --format json", "-o FOLDER needs an engine", "csv for a list"),
        ("-o pilots --json", "-o FOLDER needs an engine", "csv for a list"),
        ("-o pilots --format csv", "-o FOLDER needs the command of a run", "{out}"),
        ("-o pilots --format slurm --gpu h100", "-o FOLDER needs the command of a run", "{out}"),
        ("--command 'a {out}'", "--command is about files that start the runs", "-o FOLDER"),
        ("--gpu h100", "--gpu is about files that start the runs", "leave it out"),
        ("--format csv --rule step-law-2025", "--rule is about files that start the runs", "leave it out"),
        ("--at-once 3", "--at-once is about files", "leave it out"),
        ("--style gpt2", "--style is about files", "leave it out"),
        ("--context 1024", "--context is about files", "leave it out"),
        ("--image x --storage y", "--image is about files", "leave it out"),
        ("-o pilots --format slurm --command 'a {out}'", "slurm needs --gpu", "gpus list"),
        ("-o pilots --format csv --command 'a {out}' --price 2", "--price says nothing", "--gpu"),
        ("-o pilots --format csv --command 'a'", "has no {out}", "{out}"),
        ("-o pilots --format csv --command 'a {out} {x}'", "unknown placeholder 'x'", "layers"),
        ("-o pilots --format csv --command 'a {out}' --at-once 0", "'0' is not above 0", ""),
        ("-o pilots --format csv --command 'a {out}' --at-once 1.5", "'1.5' is not a whole number", ""),
        ("-o pilots --format csv --command 'a {out}' --gpus 16", "16 GPUs for a run", "1 to 8"),
        ("-o pilots --format csv --command 'a {out}' --storage x", "--storage says nothing about csv", "skypilot"),
        ("-o pilots --format skypilot --gpu h100 --command 'a {out}'", "skypilot needs --storage", "s3://"),
        (
            "-o pilots --format kubernetes --gpu h100 --command 'a {out}' --storage claim",
            "kubernetes needs --image",
            "--image",
        ),
        ("-o pilots --format csv --command 'a {out}' --schedule wsd", "branch off one trunk", "--schedule cosine"),
        ("-o none/pilots --format csv --command 'a {out}'", "there is no folder 'none'", "make that folder"),
        ("-o pilots --format slurn --command 'a {out}'", "unknown format 'slurn'", "did you mean 'slurm'?"),
    ],
)
def test_what_does_not_go_together_is_refused(cli, words, said, hint):
    """With status 2, one error, one hint, and no file."""
    found = cli(*RUNS, *shlex.split(words))
    assert (found.status, found.out) == (2, "")
    assert said in found.err
    assert hint in found.err
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("words", ["-f slurm", "-o pilots", "-f csv -o pilots --command 'a {out}'"])
def test_candidates_of_a_pool_are_not_started(cli, words):
    """No command can be made of their settings."""
    Path("pool.csv").write_text("params,tokens\n1e7,2e8\n2e7,4e8\n4e7,8e8\n")
    found = cli("design", "--pool", "pool.csv", "--flops", "50%", *shlex.split(words))
    assert found.status == 2
    assert "candidates of a pool" in found.err
    assert cli("design", "--pool", "pool.csv", "--flops", "50%", "--gpu", "h100").status == 2


@pytest.mark.parametrize("name", LAUNCHING)
def test_other_commands_do_not_know_engines(cli, name):
    """A format of designs alone, and completion says so."""
    found = cli("optimal", "--flops", "1e21", "--format", name)
    assert found.status == 2
    assert f"format '{name}' is for files that start runs" in found.err
    assert "scaleplan design" in found.err


def test_standing_settings_of_hardware_wait_for_a_ladder(cli, monkeypatch):
    """``SCALEPLAN_GPU`` disturbs no design, and counts where files are written."""
    monkeypatch.setenv("SCALEPLAN_GPU", "h100")
    monkeypatch.setenv("SCALEPLAN_PRICE", "7 USD")
    monkeypatch.setenv("SCALEPLAN_EXCHANGE_RATE", "1 EUR = 1.1 USD")
    assert cli(*RUNS).status == 0
    assert cli(*RUNS, *COMMAND, "-f", "csv", "-o", "pilots", "-q").status == 0
    ladder = read_ladder("pilots")
    assert (ladder.gpu, ladder.currency) == ("h100-sxm", "EUR")


def test_what_no_shell_reads_is_said_once(cli):
    """And reaches the program as it stands."""
    found = cli(*RUNS, "--command", "train {out} && touch hit; $(touch hit) > log", "-f", "csv", "-o", "pilots")
    assert found.status == 0
    assert found.err.count("no shell reads --command") == 1
    assert read_ladder("pilots").runs[0].words[2:4] == ("&&", "touch")


@pytest.mark.parametrize("format_name", LAUNCHING)
def test_json_goes_with_every_engine(cli, format_name):
    """``--json`` is about the answer, and the engine about the files."""
    options = [] if format_name == "slurm" else ["--storage", "s3://bucket" if format_name == "skypilot" else "claim"]
    options += ["--image", "python:3.13"] if format_name == "kubernetes" else []
    engine = ENGINES[format_name]
    pytest.importorskip(engine.writer.partition(":")[0])
    found = cli(*RUNS, *COMMAND, "--gpu", "h100", "-f", format_name, "-o", "pilots", *options, "--json", "-q")
    assert (found.status, found.err) == (0, "")
    assert found.json["engine"] == format_name
    assert Path("pilots", engine.file).is_file()


def test_the_help_fits_a_screen(cli):
    """Everyday options alone; the others where all are wanted."""
    short, every = cli("design", "--help").out, cli("design", "--help-all").out
    assert len(short.splitlines()) <= 60
    assert {"--command", "--output", "--gpu "} <= {
        name for name in ("--command", "--output", "--gpu ") if name in short
    }
    for name in ("--rule", "--style", "--context", "--gpus", "--mfu", "--price", "--exchange-rate", "--at-once"):
        assert f"{name} " in every
        assert f"{name} " not in short


@pytest.mark.parametrize("vocab", [(), ("--vocab", "32k")])
def test_runs_begin_at_the_least_size_that_has_a_shape(cli, vocab):
    """The help's own example: without a limit, no size is designed that cannot be started."""
    found = cli(
        "design",
        "--main",
        "1e22",
        "--most-runs",
        "8",
        *COMMAND,
        *vocab,
        "-f",
        "slurm",
        "-o",
        "pilots",
        "--gpu",
        "h100",
    )
    assert found.status == 0
    least = min(run.params for run in read_ladder("pilots").runs)
    assert least > (4.9e6 if vocab else 0.99e6)


def test_a_limit_goes_before_the_least_size_of_a_shape(cli):
    """Who asks for sizes without a shape is told so."""
    found = cli(*LIST[:5], "--limit", "params >= 100k", *LIST[7:])
    assert found.status == 2
    assert "--limit 'params >= 1M'" in found.err


OWN_GPU = """schema = 1
[[accelerator]]
id = "our-gpu"
name = "GPU of our cluster"
vendor = "AMD"
year = 2025
memory_gib = 80
bandwidth_gbs = 3350
tflops = { bf16 = 900 }
sources = ["our tests"]
"""


def test_a_gpu_of_a_file_of_ones_own_is_enough_for_kubernetes(cli):
    """The ladder keeps its vendor, so that the file of the rest asks for the same devices."""
    Path("own.toml").write_text(OWN_GPU)
    machine = ("--gpu", "own.toml", "--mfu", "0.4", "--price", "2", "--image", "a", "--storage", "b")
    assert cli(*RUNS, *COMMAND, "--format", "kubernetes", "-o", "pilots", *machine, "-q").status == 0
    Path("own.toml").unlink()
    assert cli("ladder", "status", "pilots", "-o", "rest.yaml", "-q").status == 0
    for file in ("pilots/kubernetes.yaml", "rest.yaml"):
        assert "amd.com/gpu: 1\n" in Path(file).read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("skypilot --gpu h100 --storage s3://abc --price 3EUR --exchange-rate '1 EUR = 1.1 USD'", "in US dollars"),
        ("skypilot --gpu own.toml --mfu 0.4 --price 2 --storage s3://abc", "'our-gpu'"),
        ("skypilot --gpu h100 --storage s3://a/b", "no bucket"),
        ("skypilot --gpu h100 --storage s3://abc --image 'a b'", "no container image"),
        ("kubernetes --gpu tpu-v5e --image a --storage b", "of Google"),
        ("kubernetes --gpu h100 --image a --storage s3://abc", "no PersistentVolumeClaim"),
        ("slurm --gpu h100 --schedule wsd", "branch off one trunk"),
        ("slurm --gpu h100 --command \"sh -c '{out}'\" -o 'a b'", "as part of itself"),
    ],
)
def test_what_an_engine_cannot_have_is_refused_before_runs_are_searched(cli, monkeypatch, words, said):
    """Of whatever kind: by the file of some run."""
    Path("own.toml").write_text(OWN_GPU)
    monkeypatch.setattr("scaleplan.fitting.pilot.design", None)
    found = cli(*RUNS, *COMMAND, "-o", "pilots", "--format", *shlex.split(words))
    assert found.status == 2
    assert said in found.err.splitlines()[0]
    assert not Path("pilots").exists()


@pytest.mark.parametrize(
    ("folder", "engine", "warned"), [("a%j", "slurm", 1), ("a\\b", "slurm", 1), ("a%j", "csv", 0), ("a", "slurm", 0)]
)
def test_a_folder_that_slurm_does_not_start_runs_from_is_warned_of(cli, monkeypatch, folder, engine, warned):
    """Its marks for names of files are read in the whole path."""
    Path(folder).mkdir()
    monkeypatch.chdir(folder)
    found = cli(*RUNS, *COMMAND, "--format", engine, "-o", "pilots", "--gpu", "h100")
    assert found.status == 0
    assert found.err.count("submit with --output=/PLACE/slurm-%A.out") == warned
