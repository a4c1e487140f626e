"""Keys and values of past tokens, in bytes."""

import pytest
from tests.models.examples import LLAMA_3_8B, LLAMA_3_8B_SIZES, decoder

from scaleplan.models.count import kv_bytes, kv_bytes_per_token


def test_grouped_heads_share_keys_and_values():
    """Llama-3-8B keeps 2 * 32 * 8 * 128 values, 128 KiB a token at 16 bits, 1 GiB at 8192 tokens."""
    assert kv_bytes_per_token(LLAMA_3_8B) == 131_072
    assert kv_bytes(LLAMA_3_8B, context=8192) == 2**30
    assert kv_bytes_per_token(LLAMA_3_8B, bytes_per_value=1) == 65_536


def test_latent_attention_keeps_the_latent():
    """DeepSeek-V3 keeps 512 + 64 values a layer: 70,272 bytes a token in 61 layers."""
    ranks = {"query_rank": 1536, "kv_rank": 512, "nope": 128, "rope": 64, "value_size": 128}
    assert kv_bytes_per_token(decoder(**LLAMA_3_8B_SIZES | {"layers": 61}, ranks=ranks)) == 70_272


def test_windows_stop_the_growth():
    """Local layers keep their window, global layers the whole context."""
    mixed = decoder(**LLAMA_3_8B_SIZES, window=1024, windowed_layers=16)
    per_layer = 131_072 / 32
    assert kv_bytes(mixed, context=512) == kv_bytes(LLAMA_3_8B, context=512)
    assert kv_bytes(mixed, context=8192) == pytest.approx(16 * per_layer * (8192 + 1024))


def test_encoders_keep_nothing():
    """An encoder reads its text at once."""
    assert kv_bytes_per_token(decoder(**LLAMA_3_8B_SIZES, causal=False)) == 0
