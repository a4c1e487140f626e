"""Architectures of published models that several tests use."""

from scaleplan.models import Architecture


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
