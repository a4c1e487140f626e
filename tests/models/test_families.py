"""Families: which layout a config describes, and what is refused instead of guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.errors import FileError, ScaleplanError
from scaleplan.models.families.finding import architecture_of, families

LLAMA = {
    "model_type": "llama",
    "hidden_size": 512,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "intermediate_size": 1408,
    "vocab_size": 32000,
    "max_position_embeddings": 2048,
}


def read(config, arch=None):
    """Read a config as the tests do."""
    return architecture_of(config, source="config.json", arch=arch)


def test_missing_fields_are_named_all_at_once():
    """A config that leaves out what the count needs says which fields, and nothing is guessed."""
    with pytest.raises(FileError, match="missing fields num_hidden_layers, vocab_size, intermediate_size"):
        read({"model_type": "llama", "hidden_size": 512, "num_attention_heads": 8})


def test_unknown_families_say_what_is_known_and_missing():
    """An unknown model_type is refused with a suggestion and the common fields that the config lacks."""
    with pytest.raises(FileError, match=r"unknown model family 'lama'; .* lacks vocab_size") as caught:
        read({k: v for k, v in LLAMA.items() if k != "vocab_size"} | {"model_type": "lama"})
    assert "did you mean 'llama'?" in caught.value.hint
    assert caught.value.hint.endswith("--arch ./mine.toml; 'scaleplan families list' lists the known ones")
    with pytest.raises(FileError, match="missing field model_type") as caught:
        read({k: v for k, v in LLAMA.items() if k != "model_type"})
    assert caught.value.hint == "name the family with --arch; 'scaleplan families list' lists the known ones"
    with pytest.raises(FileError, match="arch: unknown model family 'nope'"):
        read(LLAMA, arch="nope")


def test_arch_names_the_family_of_a_config_that_states_none():
    """What states another family, known or not, is not read as this one."""
    assert read({k: v for k, v in LLAMA.items() if k != "model_type"}, arch="llama") == read(LLAMA)
    with pytest.raises(FileError, match="'new-thing' is another family: it is not read as 'llama'") as caught:
        read(LLAMA | {"model_type": "new-thing"}, arch="llama")
    assert "--arch ./mine.toml" in caught.value.hint


def test_the_class_names_the_family_when_model_type_is_absent():
    """``LlamaForCausalLM`` in ``architectures`` is as good as a model_type."""
    config = {k: v for k, v in LLAMA.items() if k != "model_type"}
    assert read(config | {"architectures": ["LlamaForCausalLM"]}) == read(LLAMA)
    assert read(config | {"architectures": ["Qwen3ForCausalLM"]}).family == "qwen3"


def test_class_names_are_not_ambiguous():
    """No two families have the same class beginning; of two that match, the longer one counts."""
    owners = [(beginning, family.name) for family in families().all() for beginning in family.classes]
    assert len({beginning for beginning, _ in owners}) == len(owners)
    for beginning, name in owners:
        assert families().of_class(f"{beginning}ForCausalLM").name == name


@pytest.mark.parametrize(
    "change, says",
    [
        ({"num_hidden_layers": "32"}, "num_hidden_layers: expected a whole number of at least 1, found '32'"),
        ({"num_hidden_layers": 1e30}, "num_hidden_layers: expected a whole number"),
        ({"num_hidden_layers": 10**30}, "num_hidden_layers: expected at most 100,000"),
        ({"num_hidden_layers": 0}, "num_hidden_layers: expected a whole number of at least 1"),
        ({"num_hidden_layers": True}, "num_hidden_layers: expected a whole number"),
        ({"num_hidden_layers": [1]}, "num_hidden_layers: expected a whole number"),
        ({"hidden_size": 10**12}, "hidden_size: expected at most 1,000,000,000"),
        ({"hidden_size": -512}, "hidden_size: expected a whole number of at least 1"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings: expected true or false"),
        ({"num_attention_heads": 7}, "not a multiple of 7 attention heads"),
        ({"num_key_value_heads": 3}, "8 attention heads cannot share 3 key-value heads evenly"),
        ({"n_embd": 768}, "hidden_size 512 and n_embd 768 contradict each other"),
        ({"is_encoder_decoder": True}, "is_encoder_decoder would change the count"),
    ],
)
def test_impossible_values_are_refused_with_the_key(change, says):
    """Strings for numbers, absurd sizes and contradictions name the field and the value."""
    with pytest.raises(FileError) as caught:
        read(LLAMA | change)
    assert says in caught.value.message


def test_a_null_is_an_absent_field():
    """Configs write null for 'as usual'."""
    assert read(LLAMA | {"head_dim": None, "attention_bias": None}) == read(LLAMA)


def test_nested_text_configs_are_read_with_the_class_defaults():
    """Gemma 3 states in ``text_config`` only what differs from 8 heads of 256 and a vocabulary of 262,208."""
    text = {"hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34, "sliding_window": 1024}
    a = read({"model_type": "gemma3", "text_config": text | {"model_type": "gemma3_text"}, "vision_config": {}})
    assert (a.heads, a.kv_heads, a.head_size, a.vocab, a.tied) == (8, 4, 256, 262_208, True)
    assert (a.window, a.windowed_layers) == (1024, 29)  # layers 6, 12, …, 30 of 34 are global


@pytest.mark.parametrize(
    "config, window, local",
    [
        (LLAMA | {"model_type": "mistral", "sliding_window": 4096}, 4096, 8),
        (LLAMA | {"model_type": "mistral", "sliding_window": None}, None, 0),
        (LLAMA | {"model_type": "gemma2"}, 4096, 4),
        (LLAMA | {"model_type": "olmo3"}, 4096, 6),
        (LLAMA | {"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": False}, None, 0),
        (LLAMA | {"model_type": "qwen2", "use_sliding_window": True, "max_window_layers": 5}, 4096, 3),
        (LLAMA | {"model_type": "qwen2", "use_sliding_window": True, "max_window_layers": 28}, None, 0),
        (
            LLAMA | {"model_type": "gemma2", "layer_types": ["sliding_attention"] * 7 + ["full_attention"]},
            4096,
            7,
        ),
    ],
)
def test_local_attention_is_read_as_the_family_means_it(config, window, local):
    """Windows apply to all layers, to every second, or to those that layer_types lists."""
    a = read(config)
    assert (a.window, a.windowed_layers) == (window, local)


def test_layer_types_must_fit():
    """A list of kinds with the wrong length or an unknown kind is refused."""
    with pytest.raises(FileError, match="layer_types has 1 entries for 8 layers"):
        read(LLAMA | {"model_type": "gemma2", "layer_types": ["full_attention"]})
    with pytest.raises(FileError, match="'mamba' is no kind of layer that the family gemma2 has"):
        read(LLAMA | {"model_type": "gemma2", "layer_types": ["mamba"] * 8})


def test_experts_must_be_possible():
    """A token cannot use more experts than there are, and MoE families must state their experts."""
    mixtral = LLAMA | {"model_type": "mixtral"}
    with pytest.raises(FileError, match="missing fields num_local_experts, num_experts_per_tok"):
        read(mixtral)
    with pytest.raises(FileError, match="cannot use 9 of 8 experts"):
        read(mixtral | {"num_local_experts": 8, "num_experts_per_tok": 9})


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 70), st.floats(), st.text(max_size=5), st.lists(st.integers(0, 9))
)


@given(
    name=st.sampled_from(families().model_types()),
    change=st.dictionaries(
        st.sampled_from([*LLAMA, "layer_types", "num_experts", "num_experts_per_tok", "moe_intermediate_size"]),
        VALUES,
    ),
)
def test_no_config_raises_anything_but_our_errors(name, change):
    """Whatever the values are, a config is read or refused with one of our errors."""
    try:
        architecture = read(LLAMA | {"model_type": name} | {k: v for k, v in change.items() if k != "model_type"})
    except ScaleplanError:
        return
    assert architecture.layers >= 1
