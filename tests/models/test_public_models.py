"""Published models by name: what ships, what finds it, and where a name stands for a config.json."""

from __future__ import annotations

import json

import pytest

import scaleplan as sp
from scaleplan.errors import FileError, UnknownNameError
from scaleplan.files import data_folder
from scaleplan.models.model import read_model
from scaleplan.models.public_models import PublicModelList, PublicModels

PUBLIC = PublicModels([data_folder()])
SIZE = 0.01
"""Within this share of a published total that is rounded to two or three digits; an exact one is met exactly."""

OWN = """
schema = 1
[[model]]
id = "mine"
name = "Mine"
sources = ["our repository"]
config = '{"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024, "vocab_size": 9}'
"""


def test_many_models_ship():
    """Those that students and engineers name, each once, with where its sizes are from."""
    assert len(PUBLIC.ids()) > 120
    for model in PUBLIC.all():
        assert PUBLIC.get(model.id) == model
        assert model.sources
        assert "model_type" in model.config, model.id


@pytest.mark.parametrize("ident", PUBLIC.ids())
def test_every_model_is_counted_as_published(ident):
    """Its counted total is the published one."""
    model = PUBLIC.get(ident)
    found = read_model(model)
    assert found.source == f"{ident} (shipped description)"
    if model.params_exact:
        assert found.params == model.params
    elif model.params is not None:
        assert found.params == pytest.approx(model.params, rel=SIZE)


def test_every_alias_finds_its_model():
    """As it is written by its publisher, in any case, and with words about tuning."""
    for model in PUBLIC.all():
        for name in (model.id, *model.aliases):
            for spelt in (name, name.upper(), name.replace("-", "_"), f"{name}-Instruct", name.rpartition("/")[2]):
                assert PUBLIC.get(spelt).id == model.id, spelt


@pytest.mark.parametrize(
    "typed, ident",
    [
        ("meta-llama/Llama-3.1-8B", "llama-3.1-8b"),
        ("llama3.1-8b", "llama-3.1-8b"),
        ("Llama 3.1 8B Instruct", "llama-3.1-8b"),
        ("llama31-8b", "llama-3.1-8b"),
        ("LLAMA_3_1_8B", "llama-3.1-8b"),
        ("google/gemma-2-9b-it", "gemma-2-9b"),
        ("opt-13b", "opt-13b"),
        ("opt-1.3b", "opt-1.3b"),
        ("opt-1_3b", "opt-1.3b"),
        ("phi-1_5", "phi-1.5"),
        ("deepseek-ai/DeepSeek-R1", "deepseek-v3"),
        ("Qwen3-8B-Base", "qwen3-8b"),
    ],
)
def test_names_that_people_type_are_understood(typed, ident):
    """A point may be left out where that names no other model: opt-13b is not opt-1.3b."""
    assert PUBLIC.get(typed).id == ident


@pytest.mark.parametrize(
    "typed", ["", "-", "instruct", "/", "./gpt2", "a/b/gpt2", "/gpt2", "gpt2" * 1000, "\x1b[31m"]
)
def test_a_name_without_substance_or_a_path_is_no_model(typed):
    """Paths to files that are missing, words about tuning alone, hostile and endless names."""
    assert PUBLIC.find(typed) is None
    with pytest.raises(UnknownNameError):
        PUBLIC.get(typed)


def test_an_unknown_name_gets_a_suggestion():
    """The error names the listing command and the closest name."""
    with pytest.raises(UnknownNameError, match=r"unknown model 'lama-3\.1-8b'") as caught:
        PUBLIC.get("lama-3.1-8b")
    assert caught.value.hint == "did you mean 'llama-3.1-8b'? 'scaleplan models list' lists them"


def test_a_list_leaves_the_configs_out():
    """Its rows have one set of columns, and whole numbers where a total is exact."""
    listed = PublicModelList.of(PUBLIC.all()).to_dict()["models"]
    assert len(listed) == len(PUBLIC.ids())
    assert all("config" not in row and row["family"] for row in listed)
    exact = [row for row in listed if row["params_exact"]]
    assert len(exact) > 100
    assert all(type(row["params"]) is int for row in exact)


def test_a_name_stands_for_a_config(tmp_path, monkeypatch):
    """Where there is no file or folder of that name; a size stays a size, and a missing file an error."""
    monkeypatch.chdir(tmp_path)
    assert sp.model("llama-3.1-8b").params == 8_030_261_248
    assert sp.memory("meta-llama/Llama-3.1-8B", gpu="h100-sxm", serve=True).params == 8_030_261_248
    assert sp.loss(model="gpt2", tokens="10B").params == pytest.approx(124_439_808, rel=0.01)
    assert sp.memory("7B").model == "7B in the llama style"
    with pytest.raises(FileError, match=r"'llama-3.1-8b.json' does not exist"):
        sp.model("llama-3.1-8b.json")
    with pytest.raises(FileError, match="'gpt3' does not exist") as caught:
        sp.model("gpt3")
    assert caught.value.hint == "'scaleplan models list' lists the models that are known by name"
    with pytest.raises(FileError, match=r"'lama-3\.1-8b' does not exist") as caught:
        sp.model("lama-3.1-8b")
    assert "did you mean 'llama-3.1-8b'?" in caught.value.hint
    (tmp_path / "gpt2").mkdir()
    with pytest.raises(FileError, match=r"gpt2/config.json' does not exist"):
        sp.model("gpt2")
    (tmp_path / "gpt2" / "config.json").write_text(json.dumps({**PUBLIC.get("gpt2").config, "n_layer": 6}))
    assert sp.model("gpt2").params == 81_912_576


def test_the_users_file_adds_and_replaces(tmp_path, monkeypatch):
    """models.toml in the user's preset folder is read after the bundled one and wins."""
    (tmp_path / "models.toml").write_text(OWN + OWN.replace("schema = 1", "").replace('"mine"', '"llama-3.1-8b"'))
    monkeypatch.setenv("SCALEPLAN_PRESETS", str(tmp_path))
    for name in ("Mine", "Llama-3.1-8B"):
        assert sp.model(name).params == 124_439_808 - (50257 - 9) * 768
    assert len(PublicModels().ids()) == len(PUBLIC.ids()) + 1


@pytest.mark.parametrize(
    "change, error",
    [
        (('id = "mine"', "id = 7"), "expected text"),
        (('id = "mine"', 'id = "-"'), "expected names with letters or digits"),
        (('sources = ["our repository"]', ""), r"model\[0\].sources: this key is missing"),
        (("'{", "'["), r"model\[0\].config: expected the fields of a config.json"),
        (("config = '{", "config = '{}' # {"), r"model\[0\].config: expected the fields of a config.json"),
        (('name = "Mine"', 'name = "Mine"\nparams = -1'), r"model\[0\].params: expected a finite number above 0"),
        (('name = "Mine"', 'name = "Mine"\nparms = 1'), "unknown key"),
        (('name = "Mine"', 'name = "Mine"\naliases = ["x", "mine"]\n[[model]]\nid = "X"'), "already names mine"),
    ],
)
def test_a_wrong_file_is_refused_with_its_key(tmp_path, change, error):
    """Bad values, missing and unknown keys name the file and the key path."""
    (tmp_path / "models.toml").write_text(OWN.replace(*change))
    with pytest.raises(FileError, match=error):
        PublicModels([tmp_path]).all()
