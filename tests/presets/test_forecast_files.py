"""Preset files with a forecast: read and written, refused by the key that is wrong, and shown."""

from __future__ import annotations

import json
import tomllib

import pytest
from tests.laws.forecasts import RUNS, made, preset_text, stored

from scaleplan.__main__ import run
from scaleplan.errors import FileError
from scaleplan.files import preset_folders
from scaleplan.laws.additive import Additive
from scaleplan.presets.library import preset_of, read_preset
from scaleplan.toml_table import Table, toml_text

SURFACE = stored("isoflop")
COUNT = len(SURFACE.terms)


def read(text):
    """Read the text of a preset file."""
    return preset_of(Table(tomllib.loads(text), source="it"))


def changed(**keys):
    """Return the text of a preset with keys at its top replaced."""
    return toml_text(tomllib.loads(preset_text(SURFACE)) | keys)


@pytest.mark.parametrize("name", RUNS)
def test_a_file_holds_the_forecast_in_25_kilobytes(name, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(preset_text(stored(name)), encoding="utf-8")
    preset = read_preset(file)
    assert preset.forecast == preset.law == stored(name)
    assert isinstance(preset.published, Additive)
    assert file.stat().st_size <= 25_000


LAW = SURFACE.base.coefficients()
WRONG = {
    "span of three": ({"span": [40.0, 52.0, -3.0]}, "span"),
    "span reversed": ({"span": [52.0, 40.0, -3.0, 9.0]}, "span"),
    "ratios reversed": ({"span": [40.0, 52.0, 9.0, -3.0]}, "span"),
    "span of no width": ({"span": [40.0, 40.0, -3.0, 9.0]}, "span"),
    "span beyond numbers": ({"span": [-1e300, 1e300, -3.0, 9.0]}, "span"),
    "span of texts": ({"span": ["a", "b", "c", "d"]}, "span"),
    "no span": ({"span": None}, "span"),
    "span of larger runs": ({"span": [SURFACE.span[0], SURFACE.span[1] + 9, *SURFACE.span[2:]]}, "span"),
    "span of other ratios": ({"span": [*SURFACE.span[:2], SURFACE.span[2] - 1, SURFACE.span[3]]}, "span"),
    "span of more ratios": ({"span": [*SURFACE.span[:3], SURFACE.span[3] + 1]}, "span"),
    "known exactly": ({"root": [0.0] * (COUNT * (COUNT + 1) // 2)}, "root"),
    "negative noise": ({"noise": -1e-3}, "noise"),
    "no noise at all": ({"noise": 0.0}, "noise"),
    "huge noise": ({"noise": 1e300}, "noise"),
    "noise of text": ({"noise": "much"}, "noise"),
    "noise is missing": ({"noise": None}, "noise"),
    "terms of three": ({"terms": [[0, 0, 0]] * COUNT}, "terms"),
    "terms of one": ({"terms": [[0]] * COUNT}, "terms"),
    "terms no pairs": ({"terms": [0] * COUNT}, "terms"),
    "terms of half degrees": ({"terms": [[0.5, 1]] * COUNT}, "terms"),
    "negative degree": ({"terms": [[-1, 0], *SURFACE.terms[1:]]}, "terms"),
    "huge degree": ({"terms": [[10**9, 0], *SURFACE.terms[1:]]}, "terms"),
    "degree beyond digits": ({"terms": [[13, 0], *SURFACE.terms[1:]]}, "terms"),
    "a term twice": ({"terms": [SURFACE.terms[1], *SURFACE.terms[1:]]}, "terms"),
    "no terms": ({"terms": [], "weights": [], "root": []}, "terms"),
    "terms missing": ({"terms": None}, "terms"),
    "a weight too few": ({"weights": list(SURFACE.weights[:-1])}, "weights"),
    "a weight too many": ({"weights": [*SURFACE.weights, 0.0]}, "weights"),
    "weights that make losses 0": ({"weights": [-1e4, *SURFACE.weights[1:]]}, "weights"),
    "weights that overflow": ({"weights": [1e308] * COUNT}, "weights"),
    "weights of booleans": ({"weights": [True] * COUNT}, "weights"),
    "a root too short": ({"root": [0.1]}, "root"),
    "a square root": ({"root": [0.0] * COUNT**2}, "root"),
    "a root that overflows": ({"root": [1e300] * (COUNT * (COUNT + 1) // 2)}, "root"),
    "a key more": ({"wieghts": [0.0]}, "wieghts"),
    "no law": ({"law": None}, "law"),
    "a law without E": ({"law": {key: value for key, value in LAW.items() if key != "E"}}, "law.E"),
    "a law of negative exponent": ({"law": LAW | {"alpha": -0.3}}, "law.alpha"),
    "a law that overflows": ({"law": LAW | {"gamma": 1e6}}, "law"),
    "a law of a key more": ({"law": LAW | {"delta": 1.0}}, "law.delta"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_malformed_forecast_is_refused_by_its_key(wrong, tmp_path, capsys):
    """In one line of error and one of hint, by every command that reads it."""
    keys, name = WRONG[wrong]
    file = tmp_path / "mine.toml"
    file.write_text(preset_text(SURFACE, **keys), encoding="utf-8")
    with pytest.raises(FileError) as caught:
        read_preset(file)
    assert f"forecast.{name}" in caught.value.message
    for words in (("optimal", "--flops", "1e22", "--preset"), ("presets", "show")):
        assert run([*words, str(file)]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert f"forecast.{name}" in err
        assert err.startswith("error: ")
        assert len(err.splitlines()) <= 2 or max(map(len, err.splitlines())) <= 100
    assert run(["presets", "validate", str(file), "--json"]) == 2
    (found,) = json.loads(capsys.readouterr().out)["files"]
    assert f"forecast.{name}" in found["problem"]


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("key", ["span", "weights", "root"])
def test_no_number_may_be_none(key, number):
    text = preset_text(SURFACE)
    (line,) = [line for line in text.splitlines() if line.startswith(f"{key} = ")]
    first = line.partition("[")[2].partition(",")[0]
    with pytest.raises(FileError, match=f"forecast.{key}"):
        read(text.replace(line, line.replace(first, number, 1)))


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({"schema": 1}, "'forecast'"),
        ({"schema": 3}, "'schema'"),
        ({"schema": 0}, "'schema'"),
        ({"units": {"params": 1e9}}, "'forecast'"),
        ({"forecast": 5}, "'forecast'"),
    ],
)
def test_a_forecast_stands_where_it_may(keys, name):
    with pytest.raises(FileError) as caught:
        read(changed(**keys))
    assert name in caught.value.message.replace("forecast:", "'forecast':").replace("schema:", "'schema':")


def test_no_other_form_may_have_one():
    """Neither an allocation, nor a curve, nor a surface with a quantity more."""
    forecast = tomllib.loads(preset_text(SURFACE))["forecast"]
    forms = set()
    for path in sorted((preset_folders()[0] / "laws").glob("*.toml")):
        table = tomllib.loads(path.read_text("utf-8"))
        if table["form"] in forms | {"additive", "three_exponent"}:
            continue
        forms.add(table["form"])
        with pytest.raises(FileError, match="forecast"):
            preset_of(Table(table | {"schema": 2, "forecast": forecast}, source="it"))
    assert len(forms) > 5


def test_bundled_presets_are_read_as_ever():
    for path in sorted((preset_folders()[0] / "laws").glob("*.toml")):
        preset = read_preset(path)
        assert preset.forecast is None
        assert type(preset.law) is type(preset.published)


@pytest.mark.parametrize("seed", range(30))
def test_a_forecast_at_random_is_read_as_it_was_written(seed):
    surface = made(seed)
    assert read(preset_text(surface)).forecast == surface


def test_a_preset_with_a_forecast_shows_it(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "mine.toml").write_text(preset_text(SURFACE), encoding="utf-8")
    monkeypatch.setenv("SCALEPLAN_PRESETS", str(folder))
    assert run(["presets", "show", "mine", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["form"] == "additive"
    assert shown["formula"] == "L = E + A/N^alpha + B/D^beta"
    assert shown["coefficients"]["E"] == SURFACE.base.E
    assert shown["forecast"] == {"law": LAW, "span": list(SURFACE.span), "noise": SURFACE.noise}
    assert run(["presets", "show", "mine"]) == 0
    assert "coefficients are for citing" in capsys.readouterr().out
    assert run(["presets", "list", "--json"]) == 0
    listed = {each["id"]: each for each in json.loads(capsys.readouterr().out)["presets"]}
    assert listed["mine"]["forecast"] is not None
    assert listed["besiroglu-2024"]["forecast"] is None
    assert run(["presets", "validate", str(folder / "mine.toml")]) == 0
