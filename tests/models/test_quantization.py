"""Serving a model by the bits that its config stores."""

import pytest
from tests.models.examples import LLAMA_3_8B_CONFIG as LLAMA

import scaleplan as sp
from scaleplan.errors import ScaleplanError
from scaleplan.models.quantization import quantization_of

GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128}
NVFP4 = {"quant_method": "modelopt", "quant_algo": "NVFP4"}


def grouped(**weights):
    """Return the table of compressed-tensors for weights of one kind."""
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": {"weights": weights}}}


PACKED = grouped(num_bits=4, group_size=32)


@pytest.mark.parametrize(
    ("table", "bits"),
    [
        ({"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, 4.5),
        ({"load_in_4bit": True, "bnb_4bit_use_double_quant": True, "quant_method": "bitsandbytes"}, 4.127),
        ({"load_in_8bit": True, "quant_method": "bitsandbytes"}, 8),
        (GPTQ, 4 + 20 / 128),
        ({"bits": 3, "group_size": -1, "quant_method": "gptq"}, 3),
        ({"quant_method": "awq", "w_bit": 4, "q_group_size": 64}, 4 + 20 / 64),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, 8 + 32 / 128**2),
        ({"quant_method": "mxfp4"}, 4.25),
        ({"quant_method": "quanto", "weights": "int4"}, 4),
        (
            {"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 2, "group_size": 16}}},
            2 + 18 / 16,
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 8, "group_size": None}}},
            },
            8,
        ),
        (NVFP4, 4.5),
        (PACKED, 4 + 20 / 32),
        (grouped(num_bits=4, group_size=32, symmetric=True, type="int"), 4.5),
        (grouped(num_bits=4, group_size=16, symmetric=True, type="float"), 4.5),
        (grouped(num_bits=8, group_size=None, type="float"), 8),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, 8),
    ],
)
def test_bits_of_a_weight_by_method(table, bits):
    """Scales of groups count: 4-bit NormalFloat takes 4.5 bits, 4.127 with quantised scales (QLoRA, section 3)."""
    found = quantization_of({"quantization_config": table}, source="config")
    assert found.bits == pytest.approx(bits, abs=1e-3)  # 4.127 is printed with three digits


@pytest.mark.parametrize(
    "table",
    [
        {"quant_method": "new-thing"},
        {"quant_method": "gptq", "bits": "four"},
        {"quant_method": "gptq", "bits": 0},
        {"quant_method": "bitsandbytes"},
        {"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": {"num_bits": 4}}, "b": {}}},
        {"quant_method": "quanto", "weights": "int3"},
        {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"},
        {"quant_method": "modelopt", "quant_algo": ["FP8"]},
        "int4",
        [4],
    ],
)
def test_an_unknown_way_of_storing_is_refused_with_the_way_out(table):
    """Bits that cannot be read are asked for, never taken as 16; counting needs none, and given ones serve."""
    config = LLAMA | {"quantization_config": table}
    with pytest.raises(ScaleplanError) as caught:
        sp.memory(config, serve=True)
    assert "--weight-bits" in caught.value.hint
    assert sp.model(config).counts == sp.model(LLAMA).counts
    assert sp.memory(config, serve=True, weight_bits=4).memory == sp.memory(LLAMA, serve=True, weight_bits=4).memory


@pytest.mark.parametrize("stored", [NVFP4, PACKED])
def test_attention_that_is_ignored_stays_at_16_bits(stored):
    """Whole attention layers in ``ignore`` are not packed; one of their matrices, or a tower, changes nothing."""
    counts = sp.model(LLAMA).counts

    def weights(*ignored):
        return sp.memory(
            LLAMA | {"quantization_config": stored | {"ignore": ["lm_head", *ignored]}}, serve=True
        ).memory.weights

    packed = weights()
    bits = (packed - 2 * (counts.params - counts.ffn_params - counts.attention_params)) * 8
    bits /= counts.ffn_params + counts.attention_params
    for name in ("model.layers.0.self_attn*", "re:.*self_attn.*", "model.language_model.layers.1.linear_attn*"):
        assert weights(name) - packed == pytest.approx(counts.attention_params * (16 - bits) / 8)
    for name in ("model.layers.0.self_attn.kv_b_proj", "model.visual.blocks.0.attn", "re:.*vision.*self_attn.*"):
        assert weights(name) == packed


def test_a_published_model_with_packed_experts_alone():
    """Kimi K2.5 leaves attention, shared experts and its dense layer at 16 bits, the routed experts take 4.5."""
    counts = sp.model("kimi-k2.5").counts
    weights = sp.memory("kimi-k2.5", serve=True).memory.weights
    assert weights == pytest.approx(counts.expert_params * 4.5 / 8 + 2 * (counts.params - counts.expert_params))


@pytest.mark.parametrize("table", [None, {}])
def test_no_quantization_is_none(table):
    """An absent or empty table stores 16 bits."""
    assert quantization_of({"quantization_config": table}, source="config") is None


def test_serving_takes_the_stored_bits_unless_others_are_given():
    """A 4-bit Llama-3-8B: layers at 4.16 bits, tables, norms and head at 16; ``weight_bits`` replaces all."""
    packed = sp.memory(LLAMA | {"quantization_config": GPTQ}, serve=True)
    plain = sp.memory(LLAMA, serve=True)
    counts = sp.model(LLAMA).counts
    layers = counts.attention_params + counts.ffn_params
    assert packed.memory.weights == pytest.approx(
        layers * (4 + 20 / 128) / 8 + 2 * (counts.params - layers), rel=1e-12
    )
    assert packed.quantization == "gptq"
    assert plain.memory.weights == 2 * counts.params
    assert plain.quantization is None
    same = sp.memory(LLAMA | {"quantization_config": GPTQ}, serve=True, weight_bits=16)
    assert same.memory == plain.memory
    assert same.quantization is None


@pytest.mark.parametrize(("gpus", "near"), [(3, "2 or 4"), (5, "4 or 8"), (12, "8 or 16"), (64, "32")])
def test_splits_that_no_engine_can_do_are_refused(gpus, near):
    """Each device takes whole heads: 32 heads over 8 key-value heads go 1, 2, 4, 8, 16 or 32 ways."""
    with pytest.raises(
        ScaleplanError, match=rf"{gpus} GPUs cannot share 32 heads \(8 for keys and values\)"
    ) as caught:
        sp.memory(LLAMA, serve=True, gpus=gpus)
    assert caught.value.hint == f"serve on {near}"
    assert sp.memory(LLAMA, serve=True, gpus=int(near.split()[-1])).gpus == int(near.split()[-1])
