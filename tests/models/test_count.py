"""Exact counts of real models, and of the parts that sum to them."""

import json
from pathlib import Path

import pytest

from scaleplan.models.count import count, layer_params
from scaleplan.models.families.finding import architecture_of

CONFIGS = Path(__file__).parents[2].parent / "shared" / "reference" / "configs.json"
MODELS = json.loads(CONFIGS.read_text(encoding="utf-8"))["models"] if CONFIGS.is_file() else {}

# totals of the reference implementation, instantiated with these fields
INSTANTIATED = {
    "opt-350m: a narrower token table, no final norm": (
        331_196_416,
        {"model_type": "opt", "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
        | {"ffn_dim": 4096, "vocab_size": 50272, "max_position_embeddings": 2048, "word_embed_proj_dim": 512}
        | {"do_layer_norm_before": False},
    ),
    "falcon-40b: grouped keys and values, two norms": (
        41_303_293_952,
        {"model_type": "falcon", "hidden_size": 8192, "num_hidden_layers": 60, "num_attention_heads": 128}
        | {"num_kv_heads": 8, "vocab_size": 65024, "new_decoder_architecture": True},
    ),
    "falcon-rw-1b: biases, full heads, sequential layers": (
        1_311_625_216,
        {"model_type": "falcon", "hidden_size": 2048, "num_hidden_layers": 24, "num_attention_heads": 32}
        | {"vocab_size": 50304, "parallel_attn": False, "bias": True, "multi_query": False},
    ),
    "mistral-nemo: heads that do not share the width": (
        12_247_782_400,
        {"model_type": "mistral", "hidden_size": 5120, "num_hidden_layers": 40, "num_attention_heads": 32}
        | {"num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 14336, "vocab_size": 131072},
    ),
    "gemma-3-1b: norms on queries and keys": (
        999_885_952,
        {"model_type": "gemma3_text", "hidden_size": 1152, "num_hidden_layers": 26, "num_attention_heads": 4}
        | {"num_key_value_heads": 1, "head_dim": 256, "intermediate_size": 6912, "vocab_size": 262144},
    ),
    "glm-4.5: query, key and value biases without an output bias": (
        352_797_814_784,
        {"model_type": "glm4_moe", "hidden_size": 5120, "num_hidden_layers": 92, "num_attention_heads": 96}
        | {"num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 12288, "vocab_size": 151552}
        | {"n_routed_experts": 160, "num_experts_per_tok": 8, "n_shared_experts": 1, "attention_bias": True}
        | {"moe_intermediate_size": 1536, "first_k_dense_replace": 3, "use_qk_norm": True},
    ),
    "phi-3.5-moe: shifts in the norms, a bias on the head": (
        41_873_153_344,
        {"model_type": "phimoe", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32}
        | {"num_key_value_heads": 8, "intermediate_size": 6400, "vocab_size": 32064, "num_local_experts": 16}
        | {"num_experts_per_tok": 2, "attention_bias": True, "lm_head_bias": True},
    ),
}

BERT = {
    "model_type": "bert",
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "vocab_size": 30522,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
}


@pytest.mark.parametrize("name", MODELS or [pytest.param("", marks=pytest.mark.skip("no reference configs here"))])
def test_real_models_are_counted_to_the_last_parameter(name):
    """Every published config gives the counts of the instantiated reference implementation."""
    architecture = architecture_of(MODELS[name]["config"], source=name)
    counts = count(architecture)
    expected = MODELS[name]["expected"]
    assert counts.params == expected["total"]
    assert counts.active_params == expected["active"]
    assert counts.non_embedding_params == expected["non_embedding"]
    assert counts.active_non_embedding_params == expected["active_non_embedding"]
    assert counts.input_embedding_params == expected["input_embedding"]
    assert counts.output_embedding_params == expected["output_embedding"]
    assert counts.position_embedding_params == expected["position_embedding"]
    assert architecture.tied == expected["tied_embeddings"]


@pytest.mark.parametrize("name", INSTANTIATED)
def test_switches_of_a_family_are_counted(name):
    """Fields that turn norms, biases, heads and tables on and off change the count as in the reference."""
    params, config = INSTANTIATED[name]
    assert count(architecture_of(config, source="config")).params == params


@pytest.mark.parametrize(
    "classes, params",
    [
        # tables (V + P + 2) d + 2d, layers 12 (4 d² + 4 d + 2 d f + f + d + 4 d), pooler d² + d
        ([], (30522 + 512 + 2 + 2) * 768 + 12 * (12 * 768**2 + 13 * 768) + 768**2 + 768),
        (["BertModel"], 109_482_240),
        (["BertForMaskedLM"], 109_514_298),
        (["BertForPreTraining"], 110_106_428),
    ],
)
def test_encoders_are_counted_with_the_heads_of_their_class(classes, params):
    """BERT-base has the published 110M with the pooler, and the head that its class adds."""
    assert count(architecture_of(BERT | {"architectures": classes}, source="config")).params == params


def test_parts_sum_to_the_whole():
    """Attention, feed-forward, experts, norms and tables are everything, except an encoder's heads."""
    for name, row in MODELS.items():
        c = count(architecture_of(row["config"], source=name))
        parts = c.attention_params + c.ffn_params + c.expert_params + c.norm_params
        assert c.non_embedding_params == parts
        assert c.params == parts + c.embedding_params


def test_prediction_blocks_stay_out_of_the_count():
    """DeepSeek-V3's multi-token-prediction block has 11.6B parameters of its own, which the 671B leave out."""
    if not MODELS:
        pytest.skip("no reference configs here")
    config = MODELS["deepseek-v3"]["config"]
    with_block = count(architecture_of(config, source="v3"))
    without = count(architecture_of(config | {"num_nextn_predict_layers": 0}, source="v3"))
    assert without.extra_params == 0
    assert with_block.params == without.params
    # "11.5B unique parameters" in the model card, which rounds down
    assert with_block.extra_params == pytest.approx(11.6e9, rel=2e-3)


def test_the_largest_layer_has_the_experts():
    """A layer with experts is counted with all of them, and equal layers with the final norm make the whole."""
    config = INSTANTIATED["phi-3.5-moe: shifts in the norms, a bias on the head"][1]
    architecture = architecture_of(config, source="config")
    c = count(architecture)
    final_norm = 2 * architecture.width
    assert 32 * layer_params(architecture) + final_norm == c.non_embedding_params
