"""Decoders of attention and feed-forward blocks: published configs in their own spelling, and what changes counts."""

import json

import pytest

from scaleplan.errors import FileError
from scaleplan.models.count import count, executed_params, kv_bytes_per_token
from scaleplan.models.families.finding import architecture_of, families
from scaleplan.models.memory import serving_memory


def config(text, **changes):
    """Return the config of ``name=value`` words, with some fields changed."""
    pairs = (word.split("=", 1) for word in text.split())
    return {key: json.loads(value) if value[:1] in '[{"-0123456789tfn' else value for key, value in pairs} | changes


def read(text, **changes):
    """Read such a config."""
    return architecture_of(config(text, **changes), source="config.json")


LLAMA4 = """model_type="llama4_text" hidden_size=5120 num_hidden_layers=48 num_attention_heads=40
    num_key_value_heads=8 head_dim=128 intermediate_size=8192 intermediate_size_mlp=16384 num_local_experts=128
    num_experts_per_tok=1 vocab_size=202048 interleave_moe_layer_step=2 attention_bias=false use_qk_norm=false"""
ERNIE = """model_type="ernie4_5_moe" hidden_size=8192 intermediate_size=28672 num_hidden_layers=54
    num_attention_heads=64 num_key_value_heads=8 moe_num_experts=64 moe_num_shared_experts=0
    moe_layer_start_index=3 moe_layer_end_index=53 moe_layer_interval=1 moe_intermediate_size=3584 moe_k=8
    moe_gate="topk" moe_capacity=[64,64,64] use_bias=false tie_word_embeddings=false vocab_size=103424"""
HUNYUAN = """model_type="hunyuan_v1_moe" hidden_size=4096 intermediate_size=3072 num_hidden_layers=32
    num_experts=64 num_attention_heads=32 attention_head_dim=128 num_key_value_heads=8 tie_word_embeddings=true
    vocab_size=128167 use_cla=false use_qk_norm=true use_mixed_mlp_moe=true moe_layer_num_skipped=0"""
MIMO = """model_type="mimo_v2_flash" hidden_size=4096 intermediate_size=16384 num_hidden_layers=48 head_dim=192
    num_attention_heads=64 num_key_value_heads=4 v_head_dim=128 swa_head_dim=192 swa_v_head_dim=128
    swa_num_attention_heads=64 swa_num_key_value_heads=8 sliding_window=128 n_routed_experts=256
    num_experts_per_tok=8 moe_intermediate_size=2048 vocab_size=152576 tie_word_embeddings=false"""
MIMO_LISTS = {
    "hybrid_layer_pattern": [0, 1, 1, 1, 1, 0] + [1, 1, 1, 1, 1, 0] * 7,
    "moe_layer_freq": [0] + [1] * 47,
}
EXAONE_MOE = """model_type="exaone_moe" hidden_size=6144 intermediate_size=18432 num_hidden_layers=48
    head_dim=128 num_attention_heads=64 num_key_value_heads=8 moe_intermediate_size=2048 num_experts=128
    num_experts_per_tok=8 num_shared_experts=1 sliding_window=128 sliding_window_pattern="LLLG"
    vocab_size=153600"""
EXAONE_LISTS = {
    "layer_types": (["sliding_attention"] * 3 + ["full_attention"]) * 12,
    "is_moe_layer": [False] + [True] * 47,
}
DBRX = """model_type="dbrx" d_model=6144 n_heads=48 n_layers=40 max_seq_len=32768 vocab_size=100352
    attn_config={"kv_n_heads":8,"clip_qkv":8}
    ffn_config={"ffn_hidden_size":10752,"moe_num_experts":16,"moe_top_k":4}"""
GLM5 = """model_type="glm_moe_dsa" hidden_size=6144 intermediate_size=12288 num_hidden_layers=78
    num_attention_heads=64 first_k_dense_replace=3 index_head_dim=128 index_n_heads=32 kv_lora_rank=512
    moe_intermediate_size=2048 moe_layer_freq=1 n_routed_experts=256 n_shared_experts=1 num_experts_per_tok=8
    q_lora_rank=2048 qk_head_dim=256 qk_nope_head_dim=192 qk_rope_head_dim=64 v_head_dim=256 vocab_size=154880"""
BITNET = """model_type="bitnet" hidden_act="relu2" hidden_size=2560 intermediate_size=6912
    num_attention_heads=20 num_hidden_layers=30 num_key_value_heads=5 tie_word_embeddings=true vocab_size=128256"""
JETMOE = """model_type="jetmoe" hidden_size=2048 ffn_hidden_size=5632 kv_channels=128 moe_num_experts=8
    moe_top_k=2 bias=true num_attention_heads=32 num_hidden_layers=24 num_layers=24 num_key_value_heads=16
    vocab_size=32000"""
MINICPM = """model_type="minicpm3" hidden_size=2560 intermediate_size=6400 kv_lora_rank=256
    num_attention_heads=40 num_hidden_layers=62 q_lora_rank=768 qk_nope_head_dim=64 qk_rope_head_dim=32
    vocab_size=73448"""
INTERNLM = """model_type="internlm3" hidden_size=4096 intermediate_size=10240 head_dim=128
    num_attention_heads=32 num_hidden_layers=48 num_key_value_heads=2 vocab_size=128512 bias=false
    qkv_bias=false"""


@pytest.mark.parametrize(
    ("text", "lists", "total", "active"),
    [
        (LLAMA4, {}, 400_711_848_960, 17_184_691_200),
        (ERNIE, {}, 299_484_163_264, 47_926_586_560),
        (HUNYUAN, {"moe_topk": 8}, 80_393_183_232, 12_747_448_320),
        (
            HUNYUAN,
            {"moe_topk": [8] * 32, "num_shared_expert": [1] * 32, "moe_intermediate_size": [3072] * 32},
            80_393_183_232,
            12_747_448_320,
        ),
        (MIMO, MIMO_LISTS, 308_778_768_832, 15_445_924_288),
        (EXAONE_MOE, EXAONE_LISTS, 236_571_150_336, 23_668_279_296),
        (DBRX, {}, 131_596_523_520, 36_469_708_800),
        (GLM5, {}, 743_911_199_232, 41_784_709_632),
        (BITNET, {}, 2_412_820_480, 2_412_820_480),
        (JETMOE, {}, 8_522_237_952, 2_331_445_248),
        (MINICPM, {}, 4_073_875_968, 4_073_875_968),
        (INTERNLM, {}, 8_804_241_408, 8_804_241_408),
    ],
)
def test_published_configs_count_exactly(text, lists, total, active):
    """The counts are those of the parameters of the reference classes."""
    found = count(read(text, **lists))
    assert (found.params, found.active_params) == (total, active)


def test_lists_of_layers_decide_before_numbers():
    """A list in either spelling says which layers have experts, and otherwise the numbers do."""
    dense = read(EXAONE_MOE, **EXAONE_LISTS | {"is_moe_layer": [False] * 2 + [True] * 46})
    assert dense == read(EXAONE_MOE, **EXAONE_LISTS | {"is_moe_layer": None, "first_k_dense_replace": 2})
    kinds = ["dense"] * 2 + ["sparse"] * 46
    assert dense == read(EXAONE_MOE, **EXAONE_LISTS | {"mlp_layer_types": kinds, "first_k_dense_replace": 5})
    listed = read(LLAMA4, moe_layers=[*range(1, 48, 2)])
    assert listed == read(LLAMA4)
    assert read(LLAMA4, moe_layers=[]).experts is None


def test_a_list_of_the_wrong_length_or_an_unknown_kind_is_refused():
    """Nothing is counted for layers that the config does not describe."""
    with pytest.raises(FileError, match="hybrid_layer_pattern has 47 entries for 48 layers"):
        read(MIMO, **MIMO_LISTS | {"hybrid_layer_pattern": [0] * 47})
    with pytest.raises(FileError, match="'linear_attention' is no kind of layer that the family exaone_moe has"):
        read(EXAONE_MOE, **EXAONE_LISTS | {"layer_types": ["linear_attention"] * 48})
    with pytest.raises(FileError, match="use_cla shares keys and values"):
        read(HUNYUAN, moe_topk=8, use_cla=True)


def test_a_null_is_not_what_the_class_states():
    """Left out, ``q_lora_rank`` is the class's 768; null stands for a plain query matrix."""
    stated, left = read(MINICPM), config(MINICPM)
    del left["q_lora_rank"]
    assert architecture_of(left, source="config.json") == stated
    plain = count(read(MINICPM, q_lora_rank=None)).params
    latent = 2560 * 768 + 768 + 768 * 40 * 96
    assert count(stated).params - plain == 62 * (latent - 2560 * 40 * 96)


def test_sizes_that_are_left_out_are_named():
    """A config of the fields that differ from the class is counted by its defaults, which a note lists."""
    found = read('model_type="mimo_v2_flash" num_hidden_layers=48', **MIMO_LISTS)
    assert count(found).params == 308_778_768_832
    assert any("hidden_size 4096" in note and "vocab_size 152576" in note for note in found.notes)
    assert not any("num_hidden_layers" in note for note in found.notes)


def test_defaults_hold_for_the_family_that_states_them():
    """Families that are like another have sizes of their own: an empty config has those of its class."""
    sizes = {name: families().load(name).defaults for name in ("biogpt", "openai-gpt", "ctrl", "xglm")}
    assert sizes["biogpt"]["hidden_size"] == 1024
    assert "hidden_size" not in sizes["ctrl"]
    assert sizes["ctrl"]["n_embd"] == 1280
    assert count(architecture_of({"model_type": "openai-gpt"}, source="config.json")).params == 116_534_784


def test_indexers_are_shared_by_number_pattern_or_list():
    """GLM-5's successors let some layers reuse the keys that an earlier layer has chosen."""
    every = count(read(GLM5)).params
    one = 2048 * 32 * 128 + 6144 * 128 + 2 * 128 + 6144 * 32
    kinds = ["full" if max(i - 1, 0) % 4 == 0 else "shared" for i in range(78)]
    shared = kinds.count("shared")
    for spelling in (
        {"indexer_types": kinds},
        {"index_topk_freq": 4},
        {"index_topk_pattern": "".join("F" if kind == "full" else "S" for kind in kinds)},
    ):
        found = read(GLM5, **spelling)
        assert every - count(found).params == shared * one
        assert kv_bytes_per_token(found, bytes_per_value=1) == 78 * 576 + (78 - shared) * 128


def test_heads_that_differ_from_the_table():
    """CPM-Ant predicts words alone, Reformer reads two streams: the head is no copy of the table."""
    cpm = architecture_of({"model_type": "cpmant"}, source="config.json")
    assert (cpm.vocab, cpm.head_rows, count(cpm).params) == (30_720 + 32 * 32, 30_720, 9_517_453_312)
    reformer = architecture_of({"model_type": "reformer", "attn_layers": ["local", "lsh"] * 3}, source="config.json")
    found = count(reformer)
    assert (found.params, found.output_embedding_params) == (5_976_192, 320 * 512)
    assert executed_params(reformer) > 320 * 512


def test_query_heads_may_differ_from_layer_to_layer():
    """Laguna lists the heads of each layer; its gates are one a head, or one a channel."""
    text = """model_type="laguna" hidden_size=2048 intermediate_size=8192 num_hidden_layers=4 num_attention_heads=48
        num_key_value_heads=8 head_dim=128 vocab_size=1000"""
    same, fewer = (
        count(read(text, num_attention_heads_per_layer=heads)).params for heads in (None, [48, 48, 48, 32])
    )
    assert same - fewer == 16 * (2 * 128 * 2048 + 2048)
    channels = count(read(text, gating="per-channel")).params
    assert channels - same == 4 * 48 * 127 * 2048


def test_a_cache_without_heads_is_whole_on_each_device():
    """Reformer stores what its layers read: all devices hold it, and it is not divided by no heads."""
    layers = {"attn_layers": ["local", "lsh"] * 3, "is_decoder": True}
    reformer = architecture_of({"model_type": "reformer", **layers}, source="config.json")
    one, four = (serving_memory(reformer, context=4096, devices=devices) for devices in (1, 4))
    assert one.cache == four.cache == kv_bytes_per_token(reformer) * 4096
