"""The wheel, in an environment of its own: it does the main job and holds every preset."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("build") is None or find_spec("hatchling") is None, reason="needs build and hatchling"
    ),
]


def run(*command, folder, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SCALEPLAN"))}
    return subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=clean | environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Build the wheel, install it alone, and lend it the dependencies of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder, ROOT, folder=folder)
    (wheel,) = folder.glob("*.whl")
    place = folder / "venv"
    venv.create(place, symlinks=True, with_pip=False)
    python = place / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=folder).strip())
    run(
        sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target", site, wheel,
        folder=folder,
    )  # fmt: skip
    # dependencies come after the wheel's own files; the editable install of this checkout is not among them,
    # because the .pth files of a folder that a .pth file adds are not read
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return python


def test_the_wheel_does_the_main_job_anywhere(installed, tmp_path):
    """Away from the checkout, with its own presets."""
    where = run(installed, "-c", "import scaleplan; print(scaleplan.__file__)", folder=tmp_path).strip()
    assert Path(where).is_relative_to(installed.parents[1])
    plan = json.loads(run(installed, "-m", "scaleplan", "optimal", "--flops", "1e21", "--json", folder=tmp_path))
    assert plan["preset"] == "besiroglu-2024"
    assert plan["params"] == pytest.approx(2.778e9, rel=1e-3)
    hours = run(
        installed, "-m", "scaleplan", "optimal", "--gpus", "64", "--gpu", "h100-sxm", "--time", "30d", "--get",
        "budget.gpu_hours", folder=tmp_path,
    )  # fmt: skip
    assert float(hours) == 64 * 720


def test_the_wheel_lists_every_preset_of_the_checkout(installed, tmp_path):
    """Presets listed = files in presets/laws; all of them from the wheel."""
    listed = run(installed, "-m", "scaleplan", "presets", "list", "--get", "id", folder=tmp_path).split()
    assert sorted(listed) == sorted(path.stem for path in (ROOT / "presets" / "laws").glob("*.toml"))
    place = run(installed, "-m", "scaleplan", "presets", "path", "kaplan-2020", folder=tmp_path).strip()
    assert Path(place).is_relative_to(installed.parents[1])


def test_the_wheel_installs_its_command(installed, tmp_path):
    """The console script is there, and the package says that it is typed."""
    package = Path(run(installed, "-c", "import scaleplan; print(scaleplan.__path__[0])", folder=tmp_path).strip())
    assert (package / "py.typed").is_file()
    (points,) = package.parent.glob("scaleplan-*.dist-info/entry_points.txt")
    assert "scaleplan = scaleplan.__main__:main" in points.read_text()


def test_the_wheel_runs_as_an_archive(installed, tmp_path):
    """As it is, without being unpacked: its presets are found inside."""
    (wheel,) = installed.parents[2].glob("*.whl")
    path = run(sys.executable, "-m", "scaleplan", "presets", "path", "kaplan", folder=tmp_path, PYTHONPATH=str(wheel))
    assert path.startswith(str(wheel))


def test_the_source_distribution_holds_what_its_tests_read(tmp_path):
    """The action, the hook and the CI script beside sources, presets, tests and documents; nothing else."""
    run(sys.executable, "-m", "build", "--no-isolation", "--sdist", "--outdir", tmp_path, ROOT, folder=tmp_path)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as content:
        names = {name.partition("/")[2] for name in content.getnames()}
    assert {
        ".github/actions/scaleplan/action.yml", ".github/workflows/ci.yml", ".pre-commit-hooks.yaml", ".ci/run",
        "pyproject.toml", "README.md", "README.zh-CN.md", "LICENSE", "CHANGELOG.md", "CITATION.cff",
        "CONTRIBUTING.md", "SECURITY.md", "docs/guides/ci.md", "docs/tutorials/notebook.ipynb", "tests/conftest.py",
        "presets/prices.toml", "src/scaleplan/py.typed",
    } <= names  # fmt: skip
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_the_lowest_versions_can_be_installed_together():
    """A bound below that of a dependency's own dependency could never be met."""
    own = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (rich,) = (line.partition(">=")[2] for line in own if line.startswith("rich"))
    (needed,) = (line.partition(">=")[2] for line in requires("typer") or () if line.startswith("rich"))
    assert [*map(int, rich.split("."))] >= [*map(int, needed.removesuffix(".0").split("."))]
