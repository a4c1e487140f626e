"""Architectures of published models that several tests use."""

from typing import Any

from scaleplan.models import Architecture
from scaleplan.models.architecture import Atom, Part, Stack
from scaleplan.models.families.parts import attention, latent, mlp, moe
from scaleplan.models.feasibility import Feasibility
from scaleplan.models.layout import Layout, LayoutSearch
from scaleplan.models.sequences import Batch


def decoder(
    *,
    layers: int,
    width: int,
    heads: int,
    kv_heads: int,
    head_size: int,
    ffn_width: int,
    vocab: int,
    tied: bool = False,
    gated: bool = True,
    norms: bool = True,
    window: int | None = None,
    windowed_layers: int = 0,
    ranks: dict[str, int] | None = None,
    experts: dict[str, int] | None = None,
    **model: Any,
) -> Architecture:
    """Return a decoder: local layers first, and of ``experts["layers"]`` the last with experts."""
    norm = Atom("norm", "norm", width)
    begins = (norm,) if norms else ()
    attends = (
        attention(width=width, heads=heads, kv_heads=kv_heads, head_size=head_size)
        if ranks is None
        else latent(width=width, heads=heads, **ranks)
    )
    routed = dict(experts or {"layers": 0})
    dense = layers - routed.pop("layers")
    blocks = {"mlp": mlp(width=width, inner=ffn_width, gated=gated)}
    if experts:
        blocks["moe"] = moe(width=width, **routed)

    def part(name: str, found: dict[str, Any], **more: Any) -> Part:
        return Part(name=name, **{**found, "atoms": (*begins, *found["atoms"]), **more})

    kinds = [
        (window if index < windowed_layers else None, "mlp" if index < dense else "moe") for index in range(layers)
    ]
    stacks = []
    for local, block in dict.fromkeys(kinds):
        mixer = part("local" if local else "attention", attends, window=local)
        stacks.append(Stack(kinds.count((local, block)), (mixer, part(block, blocks[block]))))
    values = {"family": "llama", "atoms": (norm._replace(label="final norm"),) if norms else (), **model}
    return Architecture(vocab=vocab, width=width, tied=tied, stacks=tuple(stacks), **values)


def classic(layers: int, width: int, heads: int) -> Architecture:
    """Return a GPT-3-like decoder with the padded vocabulary of Megatron-LM."""
    sizes = {"layers": layers, "width": width, "heads": heads, "kv_heads": heads, "head_size": width // heads}
    return decoder(**sizes, ffn_width=4 * width, gated=False, vocab=51200, tied=True, family="gpt2")


LLAMA_3_8B_SIZES: dict[str, Any] = {
    "layers": 32,
    "width": 4096,
    "heads": 32,
    "kv_heads": 8,
    "head_size": 128,
    "ffn_width": 14336,
    "vocab": 128256,
    "context": 8192,
}
LLAMA_2_7B_SIZES: dict[str, Any] = {
    "layers": 32,
    "width": 4096,
    "heads": 32,
    "kv_heads": 32,
    "head_size": 128,
    "ffn_width": 11008,
    "vocab": 32000,
}
LLAMA_3_8B, LLAMA_2_7B = decoder(**LLAMA_3_8B_SIZES), decoder(**LLAMA_2_7B_SIZES)
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
