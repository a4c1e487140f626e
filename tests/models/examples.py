"""Architectures of published models that several tests use."""

from typing import Any

from scaleplan.models import Architecture
from scaleplan.models.feasibility import Feasibility
from scaleplan.models.layout import Layout, LayoutSearch
from scaleplan.models.sequences import Batch


def decoder(**sizes: object) -> Architecture:
    """Return a gated decoder with its own head."""
    return Architecture(family="llama", ffn_matrices=3, tied=False, **sizes)


def classic(layers: int, width: int, heads: int) -> Architecture:
    """Return a GPT-3-like decoder with the padded vocabulary of Megatron-LM."""
    return Architecture(
        family="gpt2",
        layers=layers,
        width=width,
        heads=heads,
        kv_heads=heads,
        head_size=width // heads,
        ffn_width=4 * width,
        ffn_matrices=2,
        vocab=51200,
        tied=True,
    )


LLAMA_3_8B = decoder(
    layers=32, width=4096, heads=32, kv_heads=8, head_size=128, ffn_width=14336, vocab=128256, context=8192
)
LLAMA_2_7B = decoder(layers=32, width=4096, heads=32, kv_heads=32, head_size=128, ffn_width=11008, vocab=32000)
LLAMA_2_70B = decoder(layers=80, width=8192, heads=64, kv_heads=8, head_size=128, ffn_width=28672, vocab=32000)
LLAMA_3_405B = decoder(layers=126, width=16384, heads=128, kv_heads=8, head_size=128, ffn_width=53248, vocab=128256)


def find_layout(
    architecture: Architecture, *, gpus: int, sequence: int, batch_tokens: float, **device: Any
) -> Layout:
    """Return the preferred layout with steps of about so many tokens."""
    found = LayoutSearch(architecture, sequence=sequence, **device).best(gpus, Batch(batch_tokens / sequence))
    assert found is not None
    return found


def fewest_devices(architecture: Architecture, **device: Any) -> int | None:
    """Return the fewest devices that can train a model; None where no number of them can."""
    return Feasibility(architecture, **device).fewest


LLAMA_3_8B_CONFIG = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
}
"""The published ``config.json`` of Llama-3-8B, as far as it sets the architecture."""
