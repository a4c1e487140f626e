"""Published models by name: what ships, what finds it, and where a name stands for a config.json."""

from __future__ import annotations

import json
import tomllib
from itertools import groupby

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
    assert len(PUBLIC.ids()) > 200
    for model in PUBLIC.all():
        assert PUBLIC.get(model.id) == model
        assert "model_type" in model.config, model.id


def test_every_number_that_ships_carries_its_source():
    """Who prints a total, where a config can be read; the file has no key of a source that it does not explain."""
    text = (data_folder() / "models.toml").read_text(encoding="utf-8")
    top = tomllib.loads(text)
    used = set()
    for table in top["model"]:
        assert table["sources"], table["id"]
        assert ("params" in table) == ("params_sources" in table), table["id"]
        used |= {*table["sources"], *table.get("params_sources", ())}
    assert used >= top["sources"].keys()
    assert all(" " in source for source in used - top["sources"].keys())


@pytest.mark.parametrize("ident", PUBLIC.ids())
def test_every_model_is_counted_as_published(ident):
    """Its counted total is the published one, to the last digit where a source prints that."""
    model = PUBLIC.get(ident)
    found = read_model(model)
    assert found.source == f"{ident} (as published)"
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
        ("Qwen/Qwen3.6-27B", "qwen3.5-27b"),
        ("google/gemma-4-31B-it", "gemma-4-31b"),
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


@pytest.mark.parametrize(
    "typed, meant",
    [
        ("qwen3-coder-30b", "qwen3-coder-30b-a3b"),
        ("Qwen/Qwen3.5-397B", "qwen3.5-397b-a17b"),
        ("gemma-4-26b", "gemma-4-26b-a4b"),
    ],
)
def test_the_beginning_of_a_name_is_a_suggestion(typed, meant):
    """The shortest id that begins so, also where the name stands for a config; a few letters suggest nothing."""
    with pytest.raises(UnknownNameError) as caught:
        PUBLIC.get(typed)
    assert f"did you mean '{meant}'?" in caught.value.hint
    assert PUBLIC.close_to("qwe") is None


@pytest.mark.parametrize(
    "ident, total, context",
    [
        ("lfm2-2.6b", 2_569_272_320, 128_000),
        ("hunyuan-7b", 7_504_932_864 - (128_256 - 128_167) * 4096, 32_768),
        ("llama-4-scout", 107_769_861_120, 10_485_760),
        ("qwen3.5-35b-a3b", 34_660_610_688, 262_144),
        ("mixtral-8x22b", 140_620_634_112, 65_536),
    ],
)
def test_sizes_are_those_of_the_published_config(ident, total, context):
    """Not those of the defaults of a class, which are like a published model and no more."""
    model = PUBLIC.get(ident)
    assert read_model(model).params == total
    assert {**model.config, **model.config.get("text_config", {})}["max_position_embeddings"] == context


def test_fields_that_vendors_publish_are_no_sign_of_another_family():
    """use_qk_norm of Qwen3 Coder says what the class has anyway; MiniMax M3 counts its shared experts."""
    coder = dict(PUBLIC.get("qwen3-coder-30b-a3b").config)
    assert read_model({**coder, "use_qk_norm": True, "qkv_bias": False}).params == 30_532_122_624
    text = dict(PUBLIC.get("minimax-m3").config["text_config"])
    one = read_model({"model_type": "minimax_m3_vl", "text_config": text}).params
    two = read_model({"model_type": "minimax_m3_vl", "text_config": {**text, "n_shared_experts": 2}}).params
    assert two - one == 57 * 3 * 6144 * 3072


def test_weights_are_served_as_they_are_published():
    """MXFP4 experts, FP8 blocks: as with the config.json of the model."""
    assert sp.memory("gpt-oss-20b", gpu="h100-sxm", serve=True).weight_bits == pytest.approx(4.25)
    assert sp.memory("llama-3.1-8b", gpu="h100-sxm", serve=True).weight_bits == 16


def test_a_list_leaves_the_configs_out():
    """Its rows have one set of columns, and whole numbers where a total is exact."""
    listed = PublicModelList.of(PUBLIC.all()).to_dict()["models"]
    assert len(listed) == len(PUBLIC.ids())
    assert all("config" not in row and row["family"] for row in listed)
    exact = [row for row in listed if row["params_exact"]]
    assert len(exact) > 90
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
    with pytest.raises(FileError, match="does not exist") as caught:
        sp.model("./llama-3.1-8b")
    assert caught.value.hint == "without the path 'llama-3.1-8b' is a published model"
    (tmp_path / "gpt2").mkdir()
    with pytest.raises(FileError, match=r"gpt2/config.json' does not exist"):
        sp.model("gpt2")
    (tmp_path / "gpt2" / "config.json").write_text(json.dumps({**PUBLIC.get("gpt2").config, "n_layer": 6}))
    assert sp.model("gpt2").params == 81_912_576


def test_the_users_total_has_the_sources_of_its_config(tmp_path):
    """Or its own; a year may be given."""
    (tmp_path / "models.toml").write_text(OWN + "params = 1e9\nyear = 2024\n")
    model = PublicModels([tmp_path]).get("mine")
    assert (model.params, model.year, model.params_sources) == (1e9, 2024, ("our repository",))
    (tmp_path / "models.toml").write_text(OWN + 'params = 1e9\nparams_sources = ["a paper"]\n')
    assert PublicModels([tmp_path]).get("mine").params_sources == ("a paper",)
    (tmp_path / "models.toml").write_text(OWN + 'params_sources = ["a paper"]\n')
    with pytest.raises(FileError, match=r"model\[0\].params_sources: there is no params"):
        PublicModels([tmp_path]).all()


def test_the_users_file_adds_and_replaces(tmp_path, monkeypatch):
    """models.toml in the user's preset folder is read after the bundled one and wins."""
    (tmp_path / "models.toml").write_text(OWN + OWN.replace("schema = 1", "").replace('"mine"', '"llama-3.1-8b"'))
    monkeypatch.setenv("SCALEPLAN_PRESETS", str(tmp_path))
    for name in ("Mine", "Llama-3.1-8B"):
        assert sp.model(name).params == 124_439_808 - (50257 - 9) * 768
        assert sp.model(name).source.endswith(f"({tmp_path / 'models.toml'})")
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


def test_the_list_is_by_family_and_size():
    """In text and JSON alike; without a published size that of the name counts, and none at all stands last."""
    shown = PublicModelList.of(PUBLIC.all()).models
    assert [each.family for each in shown] == sorted(each.family for each in shown)
    for _, models in groupby(shown, key=lambda each: each.family):
        sizes = [each.params for each in models if each.params is not None]
        assert sizes == sorted(sizes)
    names = [each.id for each in shown]
    assert names.index("llama-2-13b") < names.index("llama-30b") < names.index("llama-2-70b")
    assert names.index("pythia-31m") < names.index("pythia-70m") < names.index("pythia-12b")
    assert len(shown) == len(PUBLIC.ids())
