"""What a plan imports: start-up is fast because of what is absent, and a list of names does not flake."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.laws.forecasts import preset_text, stored

from scaleplan.cli import app

OPTIMAL = ("-m", "scaleplan", "optimal", "--flops", "1e21")
HEAVY = {"numpy", "scipy", "matplotlib", "rich", "pygments", "yaml", "pandas"}
SLOW = {
    "statistics", "difflib", "decimal", "fractions", "importlib.metadata", "importlib.resources", "unittest",
    "multiprocessing", "concurrent.futures", "asyncio", "http", "email", "urllib.request", "xml", "sqlite3",
}  # fmt: skip
ELSEWHERE = {f"scaleplan.{name}" for name in (
    "fitting", "models", "charts", "policy", "advice", "hardware.accelerators", "hardware.prices",
    "hardware.utilisation", "presets.rules", "planning.bulk", "planning.plan_array", "cli.conversion", "cli.presets",
    "cli.gpus", "cli.fitting", "cli.checking", "cli.pictures", "formats.text", "formats.markdown",
)}  # fmt: skip


def imported(process, *arguments):
    """Return the modules that a process imports, and what it printed."""
    _, environment = process()
    command = [sys.executable, "-X", "importtime", *arguments]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    lines = [line for line in found.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines[1:]}, found.stdout


def meddling(modules, names):
    """Return those of some modules that are, or lie inside, one of the names."""
    return {module for module in modules if any(module == name or module.startswith(f"{name}.") for name in names)}


@pytest.fixture(scope="module")
def typers_own():
    """Return what typer imports for the smallest application, for which nobody here is to blame."""
    script = (
        "import typer\napp = typer.Typer()\n@app.command()\ndef main(a: str = ''): pass\napp(standalone_mode=False)"
    )
    command = [sys.executable, "-X", "importtime", "-c", script, "--a", "x"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return {line.rpartition("|")[2].strip() for line in found.stderr.splitlines() if line.startswith("import time:")}


@pytest.mark.parametrize("form", [("--json",), ("--get", "params"), ("--format", "jsonl")], ids=lambda form: form[0])
def test_a_plan_for_a_program_imports_what_it_needs(process, form, typers_own):
    """No numpy, scipy or rich, no slow module of the standard library, nothing of other commands."""
    modules, out = imported(process, *OPTIMAL, *form)
    assert out
    assert meddling(modules, HEAVY - {"rich", "pygments"}) == set()
    assert meddling(modules - typers_own, HEAVY | SLOW | ELSEWHERE) == set()
    assert meddling(modules, {"rich.table", "rich.console"}) <= meddling(typers_own, {"rich"})


def test_plain_text_in_a_pipe_needs_no_more_than_its_format(process, typers_own):
    """Rich is for terminals."""
    modules, out = imported(process, *OPTIMAL)
    assert out.startswith("1e21 FLOP")
    assert meddling(modules - typers_own, (HEAVY | SLOW | ELSEWHERE) - {"scaleplan.output.text"}) == set()


def test_a_bounded_plan_needs_no_arrays_either(process, typers_own):
    """The solver for one budget is plain Python."""
    modules, _ = imported(process, *OPTIMAL, "--json", "--limit", "params <= 1B", "--preset", "minicpm-2024")
    assert meddling(modules, {"numpy", "scipy"}) == set()


@pytest.mark.parametrize("limits", [(), ("--limit", "params <= 1B"), ("--unique-tokens", "20B")], ids=len)
def test_a_forecast_needs_no_arrays_either(process, limits, tmp_path):
    """A fitted preset plans in plain floats, and loads nothing of the fit."""
    file = tmp_path / "mine.toml"
    file.write_text(preset_text(stored("isoflop")), encoding="utf-8")
    modules, out = imported(process, *OPTIMAL, *limits, "--json", "--preset", str(file))
    assert '"expected_loss"' in out
    assert meddling(modules, {"numpy", "scipy", "scaleplan.fitting"}) == set()


def test_version_comes_before_anything_is_imported(process):
    """Not even typer."""
    modules, out = imported(process, "-m", "scaleplan", "--version")
    assert out.startswith("scaleplan ")
    assert meddling(modules, {"typer", "click", "scaleplan.cli"}) == set()


def test_importing_the_package_imports_next_to_nothing(process):
    """Everything is imported when it is first used."""
    modules, _ = imported(process, "-c", "import scaleplan")
    assert {module for module in modules if module.startswith("scaleplan")} == {"scaleplan"}
    assert meddling(modules, HEAVY | SLOW | {"typer", "dataclasses", "pathlib"}) == set()


def test_the_api_plans_without_arrays_and_without_typer(process):
    """The command line's own dependencies are not the library's."""
    modules, out = imported(process, "-c", "import scaleplan as sp; print(sp.optimal(flops='1e21').params)")
    assert float(out) > 1e9
    assert meddling(modules, HEAVY | SLOW | {"typer", "click", "scaleplan.cli"}) == set()


OF_EXTRAS = {
    "joblib",
    "threadpoolctl",
    "distributed",
    "dask",
    "pyarrow",
    "narwhals",
    "pandas",
    "polars",
    "matplotlib",
}
RUNS = "params,tokens,loss\n" + "".join(
    f"{n:g},{n * r:g},{1.8 + 480 / n**0.35 + 2000 / (n * r) ** 0.37 + 1e-3 * (i % 3):.6f}\n"
    for i, (n, r) in enumerate((n, r) for n in (3e7, 1e8, 3e8, 1e9) for r in (3, 20, 90))
)


@pytest.mark.parametrize(
    "words",
    [("fit", "runs.csv"), ("fit", "runs.csv", "--each", "corpus"), ("design", "--flops", "1e19", "--target", "1e21")],
    ids=" ".join,
)
def test_a_fit_in_one_process_loads_no_library_that_it_does_not_use(process, words, tmp_path, monkeypatch):
    """SciPy is for few methods, and the libraries of extras for their files and for several processes."""
    monkeypatch.chdir(tmp_path)
    lines = RUNS.splitlines()
    text = "\n".join([f"{lines[0]},corpus", *(f"{line},web" for line in lines[1:])])
    (tmp_path / "runs.csv").write_text(text)
    modules, out = imported(process, "-m", "scaleplan", *words)
    assert out
    assert "numpy" in modules
    unused = OF_EXTRAS - {"threadpoolctl"} if "--each" in words else OF_EXTRAS
    assert meddling(modules, unused | {"scipy", "yaml"}) == set()


def test_a_ladder_loads_no_library_that_it_does_not_use(process, tmp_path, monkeypatch):
    """PyYAML neither for Slurm; the planner finds the runs with arrays, and nothing else."""
    monkeypatch.chdir(tmp_path)
    words = ("--flops", "1e20", "--target", "1e22", "--most-runs", "4", "--gpu", "h100", "-o", "pilots")
    modules, _ = imported(
        process, "-m", "scaleplan", "design", *words, "--format", "slurm", "--command", "train --out {out}"
    )
    assert meddling(modules, OF_EXTRAS | {"scipy", "yaml"}) == set()


def test_a_plan_is_of_few_modules(process):
    """Each costs a third of a millisecond of what everybody waits for."""
    modules, _ = imported(process, *OPTIMAL)
    assert len(meddling(modules, {"scaleplan"})) <= 45


def test_a_further_call_in_one_process_builds_no_parser(cli, monkeypatch):
    """And one that fails leaves nothing to the next."""
    first = cli("optimal", "--flops", "1e21", "--json")
    parser = app.build("optimal")
    monkeypatch.setattr(app, "import_module", None)
    assert cli("optimal", "--flops", "none").status == 2
    assert cli("optimal", "--flops", "1e21", "--json") == first
    assert app.build("optimal") is parser
