"""Families with state spaces, linear attention, convolutions, shared or repeated layers, by their published names."""

import json

import pytest

from scaleplan.errors import FileError
from scaleplan.models.count import count, executed_params, kv_bytes_per_token, state_bytes
from scaleplan.models.families.finding import architecture_of


def read(**config):
    """Read a config as the tests do."""
    return architecture_of(config, source="config.json")


MAMBA, HYBRID = "mamba", "hybrid"

LFM2 = {
    "model_type": "lfm2",
    "block_auto_adjust_ff_dim": True,
    "block_ff_dim": 12288,
    "block_ffn_dim_multiplier": 1.0,
    "block_multiple_of": 256,
    "conv_L_cache": 3,
    "conv_dim": 2048,
    "full_attn_idxs": [2, 5, 8, 10, 12, 14],
    "hidden_size": 2048,
    "num_attention_heads": 32,
    "num_hidden_layers": 16,
    "num_key_value_heads": 8,
    "vocab_size": 65536,
}
NEMOTRON = {
    "model_type": "nemotron_h",
    "attention_head_dim": 128,
    "conv_kernel": 4,
    "hidden_size": 4096,
    "hybrid_override_pattern": "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-",
    "intermediate_size": 21504,
    "mamba_head_dim": 64,
    "mamba_num_heads": 128,
    "mlp_hidden_act": "relu2",
    "n_groups": 8,
    "num_attention_heads": 32,
    "num_hidden_layers": 52,
    "num_key_value_heads": 8,
    "ssm_state_size": 128,
    "tie_word_embeddings": False,
    "vocab_size": 131072,
}
KIMI = {
    "model_type": "kimi_linear",
    "first_k_dense_replace": 1,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "kv_lora_rank": 512,
    "linear_attn_config": {
        "full_attn_layers": [4, 8, 12, 16, 20, 24, 27],
        "head_dim": 128,
        "kda_layers": [i for i in range(1, 28) if i not in (4, 8, 12, 16, 20, 24, 27)],
        "num_heads": 32,
        "short_conv_kernel_size": 4,
    },
    "moe_intermediate_size": 1024,
    "num_attention_heads": 32,
    "num_experts": 256,
    "num_experts_per_token": 8,
    "num_hidden_layers": 27,
    "num_shared_experts": 1,
    "q_lora_rank": None,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "vocab_size": 163840,
}
ZAMBA2 = {
    "model_type": "zamba2",
    "adapter_rank": 128,
    "hidden_size": 2048,
    "hybrid_layer_ids": [5, 11, 17, 23, 29, 35],
    "intermediate_size": 8192,
    "layers_block_type": [*([MAMBA] * 5 + [HYBRID]) * 6, MAMBA, MAMBA],
    "mamba_d_conv": 4,
    "mamba_d_state": 128,
    "mamba_expand": 2,
    "mamba_ngroups": 1,
    "n_mamba_heads": 64,
    "num_attention_heads": 32,
    "num_hidden_layers": 38,
    "num_key_value_heads": 32,
    "num_mem_blocks": 1,
    "tie_word_embeddings": True,
    "use_shared_attention_adapter": True,
    "vocab_size": 32000,
}
MINIMAX = {
    "model_type": "minimax_text_01",
    "attn_type_list": [0, 0, 0, 0, 0, 0, 0, 1] * 10,
    "head_dim": 128,
    "hidden_size": 6144,
    "intermediate_size": 9216,
    "num_attention_heads": 64,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 80,
    "num_key_value_heads": 8,
    "num_local_experts": 32,
    "shared_intermediate_size": 0,
    "vocab_size": 200064,
}
BAMBA = {
    "model_type": "bamba",
    "attn_layer_indices": [9, 18, 27],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "mamba_d_head": 64,
    "mamba_d_state": 128,
    "mamba_n_heads": 128,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "tie_word_embeddings": False,
    "vocab_size": 128256,
}
RECURRENT_GEMMA = {
    "model_type": "recurrent_gemma",
    "attention_window_size": 2048,
    "block_types": ["recurrent", "recurrent", "attention"],
    "head_dim": 256,
    "hidden_size": 2560,
    "intermediate_size": 15360,
    "lru_width": 2560,
    "num_attention_heads": 10,
    "num_hidden_layers": 26,
    "num_key_value_heads": 1,
    "vocab_size": 256000,
}
STATE_SPACES = {"model_type": "mamba", "d_model": 2560, "n_layer": 64, "vocab_size": 50277}
LONGCAT = {"model_type": "longcat_flash", "num_layers": 28, "moe_topk": 12, "zero_expert_num": 256}


@pytest.mark.parametrize(
    ("config", "total", "active"),
    [
        (LFM2, 1_170_340_608, 1_170_340_608),
        (NEMOTRON, 8_100_852_736, 8_100_852_736),
        (KIMI, 49_122_675_072, 3_484_453_248),
        (ZAMBA2, 1_215_064_704, 1_215_064_704),
        (MINIMAX, 456_089_655_296, 48_403_306_496),
        (BAMBA, 9_780_235_392, 9_780_235_392),
        (RECURRENT_GEMMA, 2_682_862_080, 2_682_862_080),
        (STATE_SPACES | {"pad_vocab_size_multiple": 8}, 2_768_345_600, 2_768_345_600),
        (LONGCAT, 560_664_958_976, 32_182_654_976),
    ],
    ids=lambda value: value["model_type"] if isinstance(value, dict) else "",
)
def test_published_models_count_to_the_last_digit(config, total, active):
    """Under the names of their own repositories: patterns, indices from one, lists of numbers, rounded widths."""
    counted = count(read(**config))
    assert (counted.params, counted.active_params) == (total, active)


@pytest.mark.parametrize(
    ("config", "cache", "state"),
    [
        (LFM2, 6_144, 61_440),
        (NEMOTRON, 8_192, 26_148_864),
        (KIMI, 4_032, 11_468_800),
        (ZAMBA2, 49_152, 20_584_448),
        (BAMBA, 6_144, 31_388_672),
    ],
    ids=lambda value: value["model_type"] if isinstance(value, dict) else "",
)
def test_what_a_sequence_keeps(config, cache, state):
    """Keys and values grow with the tokens; the states of convolutions and recurrences do not."""
    architecture = read(**config)
    assert kv_bytes_per_token(architecture, bytes_per_value=1) == cache
    assert state_bytes(architecture, bytes_per_value=1) == state


def kinds(config, *names, **new):
    """Return a config with some fields left out and others in their place."""
    return {key: value for key, value in config.items() if key not in names} | new


LIBRARY = {"M": "linear_attention", "*": "full_attention", "-": "mlp"}


@pytest.mark.parametrize(
    ("published", "library"),
    [
        (
            LFM2,
            kinds(
                LFM2,
                "full_attn_idxs",
                "block_ff_dim",
                intermediate_size=12288,
                layer_types=["full_attention" if i in LFM2["full_attn_idxs"] else "conv" for i in range(16)],
            ),
        ),
        (
            NEMOTRON,
            kinds(
                NEMOTRON,
                "hybrid_override_pattern",
                "num_hidden_layers",
                "attention_head_dim",
                head_dim=128,
                layers_block_type=[LIBRARY[letter] for letter in NEMOTRON["hybrid_override_pattern"]],
            ),
        ),
        (
            KIMI,
            kinds(
                KIMI,
                "linear_attn_config",
                "num_experts_per_token",
                linear_head_dim=128,
                linear_num_heads=32,
                num_experts_per_tok=8,
                mlp_layer_types=["dense"] + ["sparse"] * 26,
                layer_types=[
                    "full_attention"
                    if i + 1 in KIMI["linear_attn_config"]["full_attn_layers"]
                    else "linear_attention"
                    for i in range(27)
                ],
            ),
        ),
        (
            MINIMAX,
            kinds(
                MINIMAX,
                "attn_type_list",
                layer_types=["full_attention" if kind else "linear_attention" for kind in MINIMAX["attn_type_list"]],
            ),
        ),
        (
            BAMBA,
            kinds(
                BAMBA,
                "attn_layer_indices",
                layers_block_type=["attention" if i in BAMBA["attn_layer_indices"] else MAMBA for i in range(32)],
            ),
        ),
        (
            {"model_type": "qwen3_5_text", "full_attention_interval": 3, "num_hidden_layers": 6},
            {
                "model_type": "qwen3_5_text",
                "num_hidden_layers": 6,
                "layer_types": ["linear_attention", "linear_attention", "full_attention"] * 2,
            },
        ),
        (
            {"model_type": "gemma4_text", "global_head_dim": 384},
            {
                "model_type": "gemma4_text",
                "per_layer_config": {f"{i:02}": {"head_dim": 384} for i in range(5, 30, 6)},
            },
        ),
        (LONGCAT, kinds(LONGCAT, "num_layers", num_hidden_layers=56)),
        (STATE_SPACES, {"model_type": "mamba", "hidden_size": 2560, "num_hidden_layers": 64, "vocab_size": 50277}),
    ],
    ids=lambda value: value["model_type"],
)
def test_the_same_layers_under_other_names(published, library):
    """What a repository calls its layers and what the transformers library calls them is one architecture."""
    assert read(**published) == read(**library)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (LFM2 | {"conv_dim": 1024}, "conv_dim 1,024 is not the width 2,048"),
        (NEMOTRON | {"hybrid_override_pattern": "MX" * 26}, "'X' is no kind of layer"),
        (KIMI | {"layer_types": ["full_attention"]}, "layer_types has 1 entries for 27 layers"),
        (kinds(ZAMBA2, "layers_block_type"), "layers_block_type is missing"),
        (ZAMBA2 | {"n_mamba_heads": 60}, "60 heads of Mamba cannot share 2,048 channels"),
        (ZAMBA2 | {"use_shared_mlp_adapter": False}, "use_shared_mlp_adapter"),
        (MINIMAX | {"shared_intermediate_size": 1024}, "shared_intermediate_size"),
        (LONGCAT | {"qk_head_dim": 200}, "qk_head_dim 200 is not"),
        ({"model_type": "gemma3n_text", "num_kv_shared_layers": 40}, "num_kv_shared_layers 40 is more than the 35"),
        ({"model_type": "inkling2_loop_text", "num_hidden_layers": 12}, "layers 6 to 18 are to run several times"),
        ({"model_type": "falcon_h1", "mamba_use_mlp": False}, "mamba_use_mlp"),
        ({"model_type": "olmo_hybrid", "linear_use_gate": False}, "linear_use_gate"),
    ],
)
def test_what_cannot_be_counted_is_refused_by_name(config, says):
    """A switch or a size that the layers do not have is not passed over."""
    with pytest.raises(FileError, match=says):
        read(**config)


def test_layers_that_run_again_are_held_once():
    """More passes multiply more and hold no more; each keeps keys and values of its own."""
    config = {"model_type": "dory", "num_hidden_layers": 12, "n_input_layers": 2, "n_output_layers": 2}
    once, twice = (read(**config, n_recurrent_loops=loops) for loops in (1, 2))
    assert count(once) == count(twice)
    middle = sum(many * part.executed for many, part in once.parts()) * 8 // 12
    assert executed_params(twice) - executed_params(once) == middle
    assert kv_bytes_per_token(twice) * 12 == kv_bytes_per_token(once) * 20


def test_blocks_that_take_turns_are_held_once_each():
    """Two shared blocks are two sets of weights, wherever they stand."""
    one, two = (read(**ZAMBA2 | {"num_mem_blocks": blocks}) for blocks in (1, 2))
    block = next(part for _, part in one.parts() if part.shared)
    assert count(two).params - count(one).params == block.params
    assert executed_params(one) == executed_params(two)


def test_a_head_may_have_fewer_rows_than_the_table():
    """Moshi has one word more than its head, Inkling 2 pads its table and not its head."""
    moshi = read(model_type="moshi", vocab_size=32000, hidden_size=4096)
    counted = count(moshi)
    assert (counted.input_embedding_params, counted.output_embedding_params) == (32001 * 4096, 32000 * 4096)
    inkling = count(read(model_type="inkling2_text"))
    assert (inkling.input_embedding_params, inkling.output_embedding_params) == (201024 * 4608, 200058 * 4608)


def test_an_assistant_is_counted_with_what_stands_beside_its_text_part():
    """The projections of a Gemma 4 assistant depend on the model that it drafts for."""
    text = {"model_type": "gemma4_text", "num_hidden_layers": 4, "hidden_size": 256, "vocab_size": 1000}
    text |= {"layer_types": ["sliding_attention"] * 3 + ["full_attention"], "hidden_size_per_layer_input": 0}
    small, large = (
        count(read(model_type="gemma4_assistant", text_config=text, backbone_hidden_size=size)) for size in (512, 513)
    )
    assert large.params - small.params == 3 * 256
    assert small.output_embedding_params == 0


def test_infinity_as_the_library_writes_it_is_no_obstacle():
    """A limit of the time step is a table in JSON."""
    config = json.loads('{"time_step_limit": [0.0, {"__float__": "Infinity"}]}') | NEMOTRON
    assert read(**config) == read(**NEMOTRON)
