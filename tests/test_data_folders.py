"""Where presets are looked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

import scaleplan
from scaleplan.errors import FileError
from scaleplan.files import DATA_FILES, data_folder, read_data, read_table, user_folder
from scaleplan.presets.library import Library


def test_the_bundled_folder_holds_the_law_presets():
    """A checkout and an editable install find the repository's presets."""
    assert (data_folder() / "laws").is_dir()


def test_the_variable_names_the_users_folder(monkeypatch, tmp_path):
    """SCALEPLAN_PRESETS wins over the platform's configuration folder."""
    monkeypatch.setenv("SCALEPLAN_PRESETS", str(tmp_path))
    assert user_folder() == tmp_path


@pytest.mark.skipif(sys.platform in {"win32", "darwin"}, reason="XDG applies to other platforms")
@pytest.mark.parametrize("variable, expected", [("config", "config/scaleplan"), ("", "home/.config/scaleplan")])
def test_xdg_decides_where_the_users_folder_is(monkeypatch, tmp_path, variable, expected):
    """Without the variable it is below XDG_CONFIG_HOME, or ~/.config when that is unset or empty."""
    monkeypatch.delenv("SCALEPLAN_PRESETS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / variable) if variable else "")
    assert str(user_folder()).startswith(str(tmp_path / expected))


def test_a_toml_file_is_a_table_that_names_its_file(tmp_path):
    """A wrong key of a file that was read is reported with the file."""
    (tmp_path / "own.toml").write_text("year = 'x'")
    with pytest.raises(FileError, match=r"own\.toml: year: expected a whole number"):
        read_table(tmp_path / "own.toml", what="list").integer("year")


@pytest.mark.parametrize("text", ["a =", "a = " + "[" * 5000, "a = " + "9" * 5000, "a = 2020-13-45"])
def test_what_is_not_toml_is_one_clear_error(tmp_path, text):
    """Truncated, deeply nested and absurd values are refused, never a traceback."""
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(FileError, match="is not valid TOML"):
        read_table(tmp_path / "own.toml", what="list")


def test_data_files_beside_laws_are_not_taken_for_laws(tmp_path):
    """A user keeps accelerators, prices and laws in one folder."""
    for name in (*DATA_FILES, "my-law.toml"):
        (tmp_path / name).write_text("schema = 1")
    assert Library([tmp_path]).ids() == ("my-law",)


def test_absent_data_files_are_fine_and_unusable_ones_are_not(tmp_path):
    """A folder need not exist; a directory in the place of a file, or an impossible path, is reported."""
    assert read_data("prices.toml", [tmp_path, tmp_path / "none", tmp_path / "none" / "deeper"]) == []
    (tmp_path / "prices.toml").mkdir()
    with pytest.raises(FileError, match="is a directory"):
        read_data("prices.toml", [tmp_path])
    with pytest.raises(FileError):
        read_data("prices.toml", [tmp_path / ("x" * 5000)])


def test_everything_is_found_inside_an_archive(tmp_path):
    """From a zip on the path, as from a folder: laws, rules, hardware, and what is written from templates."""
    root = Path(scaleplan.__file__).parents[2]
    with ZipFile(tmp_path / "all.zip", "w") as archive:
        for folder in (Path(scaleplan.__file__).parent, data_folder()):
            for path in folder.rglob("*"):
                if path.is_file() and path.suffix != ".pyc":
                    archive.write(path, path.relative_to(root))
    inside = tmp_path / "all.zip" / Path(scaleplan.__file__).parents[1].relative_to(root)
    program = (
        "import sys; from scaleplan.__main__ import run; import scaleplan; print(scaleplan.__file__)\n"
        "for line in sys.stdin: print(run(line.split()))"
    )
    questions = ["presets list --get id", "optimal --gpus 8 --gpu h100 --time 9d --get preset", "presets path kaplan",
                 "hyperparameters --flops 1e21 --get preset", "init", "report --flops 1e21 -o page.html",
                 "presets show kaplna"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", program], input="\n".join(questions), text=True, capture_output=True, check=False,
        env={**os.environ, "PYTHONPATH": str(inside)}, cwd=tmp_path,
    )  # fmt: skip
    assert "did you mean 'kaplan'?" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(str(tmp_path / "all.zip"))
    assert {path.stem for path in (data_folder() / "laws").glob("*.toml")} <= set(lines)
    assert str(tmp_path / "all.zip") in next(line for line in lines if line.endswith("kaplan-2020.toml"))
    assert [line for line in lines if line.isdigit()] == ["0"] * 6 + ["2"]
    assert {"scaleplan.toml", "page.html"} <= {path.name for path in tmp_path.iterdir()}
