"""Encoder-decoders and encoders: published sizes, what the class of a config changes, and what cannot be counted."""

import pytest

from scaleplan.errors import FileError
from scaleplan.models.count import attention_flops, count, executed_params, kv_bytes_per_token
from scaleplan.models.families.finding import architecture_of
from scaleplan.models.model import read_model


def read(model_type, class_name, **fields):
    """Read a config of a type and a class."""
    return read_model({"model_type": model_type, "architectures": [class_name], **fields})


def sides(*, width, layers, heads, inner, **fields):
    """Return the fields of an encoder and a decoder of one size."""
    both = {"layers": layers, "attention_heads": heads, "ffn_dim": inner}
    return (
        {"d_model": width} | {f"{side}_{k}": v for side in ("encoder", "decoder") for k, v in both.items()} | fields
    )


WHISPER_LARGE_V3 = sides(width=1280, layers=32, heads=20, inner=5120, num_mel_bins=128, vocab_size=51866)
NLLB_MOE = sides(width=2048, layers=24, heads=16, inner=8192, vocab_size=256206, num_experts=128)
MARIAN = sides(width=512, layers=6, heads=8, inner=2048, max_position_embeddings=512, vocab_size=58101)
BART_LARGE = sides(width=1024, layers=12, heads=16, inner=4096, vocab_size=50265, max_position_embeddings=1024)
T5_LARGE = {"d_model": 1024, "d_ff": 4096, "d_kv": 64, "num_layers": 24, "num_heads": 16, "vocab_size": 32128}
FLAN_LARGE = T5_LARGE | {"d_ff": 2816, "feed_forward_proj": "gated-gelu"}
BASE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
}
DEBERTA_V3 = BASE | {
    "vocab_size": 128100,
    "type_vocab_size": 0,
    "relative_attention": True,
    "position_buckets": 256,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": "p2c|c2p",
    "position_biased_input": False,
    "max_relative_positions": -1,
}


@pytest.mark.parametrize(
    ("model_type", "class_name", "fields", "params"),
    [
        ("t5", "T5ForConditionalGeneration", T5_LARGE, 737_668_096),
        ("t5", "T5EncoderModel", T5_LARGE, 334_939_648),
        ("bart", "BartForConditionalGeneration", BART_LARGE, 406_291_456),
        ("bart", "BartForCausalLM", BART_LARGE, 254_084_096),
        ("mbart", "MBartForConditionalGeneration", BART_LARGE | {"vocab_size": 250027}, 610_851_840),
        ("marian", "MarianMTModel", MARIAN, 74_410_496),
        ("whisper", "WhisperForConditionalGeneration", WHISPER_LARGE_V3, 1_543_490_560),
        ("nllb-moe", "NllbMoeForConditionalGeneration", NLLB_MOE, 54_500_569_088),
        ("albert", "AlbertModel", BASE | {"embedding_size": 128, "vocab_size": 30000}, 11_683_584),
        ("deberta-v2", "DebertaV2Model", DEBERTA_V3, 183_831_552),
        ("electra", "ElectraForPreTraining", BASE | {"embedding_size": 768, "vocab_size": 30522}, 109_483_009),
        ("modernbert", "ModernBertForMaskedLM", {}, 149_655_232),
        ("mpnet", "MPNetModel", BASE | {"vocab_size": 30527, "max_position_embeddings": 514}, 109_486_464),
    ],
)
def test_published_sizes_are_exact(model_type, class_name, fields, params):
    """What the checkpoints on the hub hold, or the classes of the library."""
    assert read(model_type, class_name, **fields).params == params


def test_flop_and_cache_of_an_encoder_decoder_are_explained():
    """6N is no count of them; the cache holds the keys of a token of the output, and of one of the input."""
    found = read("t5", "T5ForConditionalGeneration", **T5_LARGE)
    assert any("FLOP, which depend on the lengths of input and output" in note for note in found.notes)
    assert found.kv_bytes_per_token == 2 * 24 * 2 * 2 * 1024  # bytes, layers, both attentions, keys and values, width
    alone = read("bart", "BartForCausalLM", **BART_LARGE)
    assert alone.kv_bytes_per_token == 2 * 12 * 2 * 1024  # without an encoder there is nothing to keep of it
    assert "without the output of an encoder it does not run" in alone.notes[0]


def test_t5_ties_its_head_and_tells_what_a_head_of_its_own_adds():
    """FLAN-T5 states an untied head, which its checkpoint has and the library's class does not."""
    found = read("t5", "T5ForConditionalGeneration", **FLAN_LARGE, tie_word_embeddings=False)
    assert found.params == 783_150_080 - 32_899_072
    assert "32,899,072 more" in found.notes[0]
    assert "more" not in "".join(read("t5", "T5ForConditionalGeneration", **FLAN_LARGE).notes)


def test_a_decoder_may_be_deeper_than_its_encoder():
    """Both stacks have their own number of layers."""
    fields = {"d_model": 512, "d_ff": 2048, "d_kv": 32, "num_layers": 6, "num_decoder_layers": 9, "num_heads": 8}
    assert read("t5", "T5ForConditionalGeneration", **fields, vocab_size=32128).params == 60_511_232


def test_a_shared_layer_counts_once_and_runs_in_each_place():
    """ALBERT has the weights of a layer for each group, and multiplies with them in twelve layers."""
    fields = BASE | {"embedding_size": 128, "vocab_size": 30000}
    one, two = (read("albert", "AlbertModel", **fields, num_hidden_groups=groups).architecture for groups in (1, 2))
    layer = 12 * 768 * 768
    assert count(two).params - count(one).params == layer + 13 * 768
    assert executed_params(one) == executed_params(two) == 12 * layer + 128 * 768 + 768 * 768


@pytest.mark.parametrize(
    ("class_name", "causal", "params"),
    [
        ("ElectraModel", False, 13_483_008),
        ("ElectraForMaskedLM", False, 13_546_682),
        ("ElectraForCausalLM", True, 13_546_682),
    ],
)
def test_the_class_of_a_config_decides_on_heads(class_name, causal, params):
    """ELECTRA's small tables are projected, and the generator predicts in their width."""
    found = read("electra", class_name)
    assert (found.params, found.architecture.causal) == (params, causal)
    assert bool(kv_bytes_per_token(found.architecture)) is causal


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"model_type": "esm", "vocab_size": 33, "is_folding_model": True}, "is_folding_model is set"),
        ({"model_type": "dpr", "architectures": ["DPRReader"]}, "the reader of DPR is not counted"),
        (
            {"model_type": "marian", "decoder_vocab_size": 500, "tie_word_embeddings": False},
            "decoder_vocab_size 500 differs from vocab_size 58,101",
        ),
        ({"model_type": "speech_to_text", "num_conv_layers": 3}, "num_conv_layers is 3"),
        ({"model_type": "encoder-decoder", "encoder": {}, "decoder": {}}, "unknown model family 'encoder-decoder'"),
    ],
)
def test_what_cannot_be_counted_is_refused_with_the_reason(config, says):
    """Nothing is left out in silence."""
    with pytest.raises(FileError) as caught:
        architecture_of(config, source="config.json")
    assert says in caught.value.message


def test_only_the_decoder_of_t5_is_causal():
    """Its encoder attends to both sides: a causal mask saves half of the rest."""
    found = read("t5", "T5ForConditionalGeneration", **T5_LARGE).architecture
    full, causal = (attention_flops(found, context=512, causal=masked) for masked in (False, True))
    own = sum(many * part.pairs for many, part in found.parts()) * 6 * 512
    encoder = sum(stack.repeat * part.pairs for stack in found.stacks if stack.encoder for part in stack.parts)
    assert full == own
    assert causal == (own + encoder * 6 * 512) / 2 > full / 2
