"""The folder of a ladder: written whole or not at all, read back strictly; and the list of runs."""

from __future__ import annotations

import csv
import io
import json
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan import files
from scaleplan.cli.design import LaunchOptions
from scaleplan.cli.options import LaunchingOptions, RunOfLadderOptions
from scaleplan.errors import FileError
from scaleplan.ladder.ladder_folder import read_ladder, require_place, write_ladder
from scaleplan.ladder.list_of_runs import list_of_runs

from .folders import write_ladder_json
from .records import ladder_of, ladder_run

RUNS = [
    ladder_run(name=f"0{i}-5M-100M-s{i}", steps=1525, tokens=1525 * 65_536, words=("train", "--out", f"p/0{i}"))
    for i in range(3)
]
RUNS = [replace(run, out=f"pilots/{run.name}") for run in RUNS]


@pytest.fixture
def ladder(tmp_path, monkeypatch):
    """Return a ladder whose folder is new, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return ladder_of(RUNS, engine="csv", file="runs.csv", submit="")


def held(folder):
    """Return the names in a folder."""
    return sorted(path.name for path in Path(folder).iterdir())


def test_a_ladder_is_written_and_read_back(ladder):
    """The same, and the same bytes when it is written again."""
    paths = ladder.write()
    assert [str(path) for path in paths] == ["pilots/runs.csv", "pilots/ladder.json"]
    assert read_ladder("pilots") == ladder
    before = {path.name: path.read_bytes() for path in paths}
    replace(ladder, folder="again").write()
    again = {path.name: path.read_bytes() for path in Path("again").iterdir()}
    assert again["runs.csv"] == before["runs.csv"]
    assert again["ladder.json"].replace(b'"again"', b'"pilots"') == before["ladder.json"]


def test_an_empty_folder_is_filled_and_any_other_left_alone(ladder):
    """What is in a folder stays, and nothing is added."""
    Path("pilots").mkdir()
    ladder.write()
    with pytest.raises(FileError, match=r"folder 'pilots' is not empty: it holds 'ladder\.json'") as error:
        ladder.write()
    assert "ladder status" in error.value.hint
    Path("other").mkdir()
    Path("other/.hidden").touch()
    with pytest.raises(FileError, match="not empty"):
        replace(ladder, folder="other").write()
    assert held("other") == [".hidden"]
    Path("file").touch()
    with pytest.raises(FileError, match="no folder"):
        replace(ladder, folder="file").write()
    Path("link").symlink_to("nowhere")
    with pytest.raises(FileError, match="no folder"):
        require_place("link")
    with pytest.raises(FileError, match="there is no folder 'none'"):
        replace(ladder, folder="none/pilots").write()
    with pytest.raises(FileError):
        require_place("x\0y")


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("fails", [0, 1])
@pytest.mark.parametrize("where", [(files, "_stage"), (Path, "replace")], ids=["written", "renamed"])
def test_all_files_are_written_or_none(ladder, monkeypatch, there, fails, where):
    """A full disk leaves the place as it was."""
    if there:
        Path("pilots").mkdir()
    write, done = getattr(*where), []

    def failing(*given):
        if len(done) == fails:
            raise OSError(28, "No space left on device")
        done.append(given)
        return write(*given)

    monkeypatch.setattr(*where, failing)
    with pytest.raises(FileError, match="no space"):
        ladder.write()
    assert Path("pilots").is_dir() == there
    assert not there or held("pilots") == []


def test_an_engine_that_fails_leaves_no_folder(ladder):
    """The text is there before the folder."""
    with pytest.raises(FileError):
        write_ladder(replace(ladder, folder="a/b"))
    with pytest.raises(Exception):  # noqa: B017  whatever the writer raises
        write_ladder(replace(ladder, runs=None))
    assert not Path("pilots").exists()


NONSENSE = [
    ("price", -2.0, "price"),
    ("at_once", 10**30, "at_once"),
    ("folder", "pilots\nrm -rf x", "folder"),
    ("currency", "", "currency"),
    ("style", "\u202ellama", "style"),
    ("runs.0.vocab", -1, "not above 0"),
    ("runs.0.heads", 0, "not above 0"),
    ("runs.0.params", 10**30, "larger than any"),
    ("schema", "scaleplan/plan/1", "missing"),
    ("schema", "scaleplan/ladder/2", "cannot be read"),
    ("schema", None, "no schema"),
    ("engine", "pbs", "none"),
    ("file", "other.csv", "none"),
    ("gpus", 0, "from 1 on"),
    ("at_once", -1, "from 1 on"),
    ("runs", [], "runs"),
    ("runs", None, "runs"),
    ("runs.0.name", "../x", "a name has"),
    ("runs.0.name", "01-5M-100M-s1", "two have one name"),
    ("runs.0.params", -5, "params"),
    ("runs.0.tokens", 1, "its tokens are not its steps"),
    ("runs.0.tokens", 1.5, "tokens"),
    ("runs.0.batch", 7, "its tokens are not its steps"),
    ("runs.0.steps", 0, "not above 0"),
    ("runs.0.lr", 0.0, "not above 0"),
    ("runs.0.flops", -1.0, "not above 0"),
    ("runs.0.seed", -1, "not above 0"),
    ("runs.0.seed", True, "seed"),
    ("runs.0.words", [], "its command"),
    ("runs.0.words", ["a\nb"], "its command"),
    ("runs.0.words", "train", "words"),
    ("runs.0.out", "/etc", "its command or its folder"),
    ("runs.0.hours", None, "limit without hours"),
    ("runs.0.hours", 0.0, "within its limit"),
    ("runs.0.hours", 9.0, "within its limit"),
    ("runs.0.limit_hours", None, "hours without a limit"),
    ("runs.0.name", ..., "missing"),
    ("law", ..., "missing"),
    ("runs", ..., "missing"),
]


@pytest.mark.parametrize(("key", "value", "reason"), NONSENSE)
def test_a_manifest_that_was_changed_is_refused(ladder, key, value, reason):
    """One error with the file, the value and the way out."""
    ladder.write()
    path = Path("pilots/ladder.json")
    data = json.loads(path.read_text())
    inner = data
    *way, last = [int(part) if part.isdigit() else part for part in key.split(".")]
    for part in way:
        inner = inner[part]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    path.write_text(json.dumps(data))
    with pytest.raises(FileError) as error:
        read_ladder("pilots")
    assert "ladder.json" in error.value.message
    assert reason in error.value.message
    assert "restore the file" in error.value.hint
    assert error.value.exit_status == 2


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\xff", '{"schema": ' * 3000, '{"a": NaN}', "{}"])
def test_what_is_no_manifest_is_refused(ladder, text):
    """Whatever it is."""
    ladder.write()
    Path("pilots/ladder.json").write_text(text, encoding="latin-1")
    with pytest.raises(FileError, match=r"ladder.json"):
        read_ladder("pilots")


def test_a_folder_without_a_ladder_is_refused(tmp_path):
    """And what is not there."""
    with pytest.raises(FileError, match=r"is no ladder: there is no ladder\.json in it"):
        read_ladder(tmp_path)
    with pytest.raises(FileError, match="does not exist"):
        read_ladder(tmp_path / "none")


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_the_list_has_what_a_command_can_name_and_what_a_run_takes(ladder):
    """A row a run."""
    for row, run in zip(rows(list_of_runs(ladder, ladder.runs)), ladder.runs, strict=True):
        assert (row["name"], row["out"], row["gpus"], row["seed"]) == (run.name, run.out, "1", "0")
        assert (int(row["layers"]), float(row["lr"]), float(row["flops"])) == (run.layers, run.lr, run.flops)
        assert float(row["hours"]) == run.hours
        assert float(row["cost"]) == pytest.approx(2.0 * run.hours)
        assert shlex.split(row["command"]) == list(run.words)
    untimed = [replace(run, hours=None, limit_hours=None) for run in RUNS]
    row = rows(list_of_runs(ladder, untimed[:1]))[0]
    assert (row["hours"], row["limit_hours"], row["cost"]) == ("", "", "")


@given(st.lists(st.text(st.characters(blacklist_categories=["C", "Z"]), max_size=20), max_size=4))
def test_a_command_in_the_list_is_words_whatever_they_are(words):
    """As a POSIX shell reads it back, and no formula."""
    words = ["=cmd" if not words else f"x{words[0]}", *words[1:]]
    text = rows(list_of_runs(ladder_of([]), [ladder_run(words=words)]))[0]["command"]
    assert shlex.split(text) == words
    assert text[0] not in "=+-@"


@pytest.mark.parametrize("word", ["=1+1", "+x", "-x", "@x", "a b", "$(touch hit)", "`touch hit`", ";touch hit", "'"])
def test_a_shell_runs_the_command_of_a_row_as_words(tmp_path, word):
    """The words arrive as they are, and nothing else is run."""
    text = rows(list_of_runs(ladder_of([]), [ladder_run(words=("printf", "%s\n", word, "*"))]))[0]["command"]
    done = subprocess.run(["sh", "-c", text], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"{word}\n*\n"
    assert held(tmp_path) == []


def test_runs_after_a_ladder_have_its_vocabulary(tmp_path):
    """Losses by different vocabularies do not compare, whatever would suit the smallest of the later runs."""
    write_ladder_json(ladder_of([replace(RUNS[0], vocab=12_345)]), tmp_path / "pilots")
    machine, output = RunOfLadderOptions(), LaunchingOptions(format="csv")

    def vocabulary(after, **given):
        launch = LaunchOptions(folder=str(tmp_path / "more"), command="train {out}", **given)
        return launch.request(machine, output, after=after).vocab

    assert vocabulary(str(tmp_path / "pilots")) == 12_345
    assert vocabulary(str(tmp_path / "pilots"), vocab="32000") == 32_000
    assert vocabulary(str(tmp_path)) is vocabulary("-") is vocabulary(None) is None
