"""The commands about model families, and a description of one's own wherever a model is named."""

from __future__ import annotations

import json

import pytest
from tests.models.examples import LLAMA_3_8B_CONFIG as LLAMA_3_8B

MINE = 'schema = 1\nname = "mine"\nlike = "llama"\n[part.attention.attention]\nqk_norm = "2*e"\n'
WHOLE = """
schema = 1
name = "whole"
like = "llama"
[let]
d = 1024
n = 12
vocab = 32000
h = 8
f = 4096
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with a config, and with descriptions that need it, that do not, and that are wrong."""
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_3_8B | {"model_type": "new"}), encoding="utf-8")
    (tmp_path / "mine.toml").write_text(MINE, encoding="utf-8")
    (tmp_path / "whole.toml").write_text(WHOLE, encoding="utf-8")
    (tmp_path / "wrong.toml").write_text(MINE.replace("2*e", "2*x"), encoding="utf-8")
    return tmp_path


def test_families_are_listed(cli):
    """Each with what it counts; the JSON has its model types."""
    found = {each["id"]: each for each in cli("families", "list", "--json").json["families"]}
    assert found["llama"]["model_types"] == ["llama", "code_llama", "granite"]
    assert found["mixtral"]["like"] == "mistral"
    text = cli("families", "list").out
    assert "Llama 1 to 3, TinyLlama" in text


def test_a_family_is_shown_with_its_fields_and_parts(cli):
    """By its name, or one of its model types: spellings, defaults, and the tensors as they are described."""
    found = cli("families", "show", "code_llama", "--json").json
    fields = {each["name"]: each for each in found["fields"]}
    assert found["id"] == "llama"
    assert fields["d"]["required"]
    assert "hidden_size" in fields["d"]["spellings"]
    assert fields["k"]["default"] == "h"
    text = cli("families", "show", "mixtral").out
    for words in ("num_local_experts", "refused", "moe", "per_token = used", "final norm"):
        assert words in text or words == "final norm"
    assert cli("families", "show", "lama").status == 2


@pytest.mark.parametrize("name", ["mixtral", "zamba", "bert", "gemma3", "qwen3_next", "t5"])
def test_the_tensors_of_a_config_are_all_that_it_has(cli, name, tmp_path):
    """With a config every tensor is in numbers, and they sum to the model; a shared part counts once."""
    sizes = {"hidden_size": 128, "num_hidden_layers": 12, "num_attention_heads": 4, "intermediate_size": 256}
    sizes |= {"vocab_size": 1000, "num_local_experts": 4, "num_experts_per_tok": 2, "max_position_embeddings": 64}
    sizes |= {"moe_intermediate_size": 64, "shared_expert_intermediate_size": 64, "num_key_value_heads": 4}
    sizes |= {f"linear_{word}": 4 for word in ("num_key_heads", "num_value_heads", "key_head_dim", "value_head_dim")}
    sizes |= {"linear_conv_kernel_dim": 4}
    own = {field for each in cli("families", "show", name, "--json").json["fields"] for field in each["spellings"]}
    path = tmp_path / "config.json"
    path.write_text(json.dumps({key: value for key, value in sizes.items() if key in own}), encoding="utf-8")
    found = cli("families", "show", name, "--config", path, "--json").json
    total = 0
    for part in found["counted"]:
        assert part["params"] == sum(atom["params"] * atom["count"] for atom in part["atoms"])
        total += part["params"] * (1 if part["shared"] or not part["layers"] else part["layers"])
    assert total == found["params"] > 0
    assert "weights" in cli("families", "show", name, "--config", path).out


def test_descriptions_are_validated(cli, folder):
    """Each gets its verdict, and its count where the sizes are known; the status is 2 where one is wrong."""
    good = cli("families", "validate", folder / "mine.toml", folder / "whole.toml", "--json")
    assert good.status == 0
    mine, whole = good.json["files"]
    assert (mine["id"], mine["params"]) == ("mine", None)
    assert whole["params"] == 2 * 32000 * 1024 + 12 * (4 * 1024**2 + 3 * 1024 * 4096 + 2 * 1024) + 1024
    bad = cli("families", "validate", folder / "wrong.toml", "--json")
    assert bad.status == 2
    assert bad.json["invalid"] == 1
    assert "part.attention.attention.qk_norm: unknown name 'x'" in bad.json["files"][0]["problem"]
    counted = cli("families", "validate", folder / "mine.toml", "--config", folder / "config.json", "--json").json
    assert counted["files"][0]["params"] == 8_030_261_248 + 32 * 2 * 128


def test_a_description_stands_wherever_a_model_does(cli, folder):
    """Beside a config by ``--arch``, and with its sizes inside in place of one."""
    beside = cli("model", "--arch", folder / "mine.toml", folder / "config.json", "--json").json
    assert (beside["family"], beside["params"]) == ("mine", 8_030_261_248 + 32 * 2 * 128)
    whole = folder / "whole.toml"
    params = cli("model", whole, "--json").json["params"]
    assert cli("memory", whole, "--gpu", "h100-sxm", "--json").json["params"] == params
    assert cli("optimal", "--model", whole, "--flops", "1e20", "--quiet").status == 0
    named = folder / "named.toml"
    named.write_text(MINE.replace('like = "llama"', 'like = "llama"\nconfig = "config.json"'), encoding="utf-8")
    found = cli("memory", named, "--gpu", "h100-sxm", "--gpus", "8", "--json").json
    assert found["params"] == beside["params"]
    named.write_text(MINE.replace('like = "llama"', 'like = "llama"\nconfig = "none.json"'), encoding="utf-8")
    assert "none.json' does not exist" in cli("model", named).err
    wrong = cli("model", "--arch", folder / "wrong.toml", folder / "config.json")
    assert wrong.status == 2
    assert "wrong.toml: part.attention.attention.qk_norm" in wrong.err
    foreign = cli("model", "--arch", "llama", folder / "config.json")
    assert foreign.status == 2
    assert "model_type 'new' is another family: it is not read as 'llama'" in foreign.err


@pytest.mark.parametrize("words", [("families", "list"), ("families", "show", "bert")])
def test_a_saved_result_is_shown_as_it_was(cli, words, tmp_path):
    """``show`` reads the JSON back."""
    saved = tmp_path / "saved.json"
    saved.write_text(cli(*words, "--json").out, encoding="utf-8")
    assert cli("show", saved).out == cli(*words).out


def test_a_project_names_a_description_as_its_model(cli, folder):
    """In a run of ``scaleplan.toml``, alone or with the config that it names."""
    whole, named = folder / "whole.toml", folder / "named.toml"
    named.write_text(MINE.replace('like = "llama"', 'like = "llama"\nconfig = "config.json"'), encoding="utf-8")
    for description in (whole, named):
        project = folder / "scaleplan.toml"
        project.write_text(f'[[run]]\nname = "base"\nmodel = "{description.name}"\ntokens = "1T"\n', encoding="utf-8")
        (run,) = cli("check", project, "--json").json["runs"]
        assert run["values"]["params"] == cli("model", description, "--json").json["params"]
