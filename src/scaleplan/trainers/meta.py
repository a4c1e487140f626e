"""Read the params.json that lies beside weights of Llama and of Mistral."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.trainers.common import round_up, vocabulary
from scaleplan.trainers.settings import Setting, Settings

if TYPE_CHECKING:
    from scaleplan.documents.key_path import Document
    from scaleplan.trainers.training_config import Reading

__all__ = ["params_json", "params_json_run", "params_json_sizes"]


def params_json(document: Document) -> Settings | None:
    """Recognise dimensions by Meta's names."""
    s = Settings(document, file=document.name)
    return s if s.has("dim", "n_layers", "n_heads") and s.any("multiple_of", "hidden_dim") else None


def params_json_sizes(s: Settings, reading: Reading, _: Document) -> dict[str, object]:
    """Return the fields of a Llama, whose vocabulary may be -1: the tokenizer's.

    The inner width is ``multiple_of * ceil(int(2/3 * 4 dim) * ffn_dim_multiplier / multiple_of)``: 4096 gives 11008
    for Llama 2 7B, and 14336 with 1.3 and 1024 for Llama 3 8B, as their config.json have it. Mistral states it.
    """
    s.refuse("moe", "moe_args", "num_experts")
    width, heads = s.size("dim"), s.size("n_heads")
    if s.any("hidden_dim"):
        inner = s.size("hidden_dim")
    else:
        inner = int(2 * 4 * width / 3)
        factor = s.number("ffn_dim_multiplier")
        if isinstance(factor, Setting):
            if not 0 < factor.value < 100:
                raise s.error("expected a number above 0", "ffn_dim_multiplier")
            inner = int(factor.value * inner)
        elif factor is not None:
            raise s.error("expected a number above 0", "ffn_dim_multiplier")
        inner = round_up(inner, s.size("multiple_of"))
    fields: dict[str, object] = {
        "model_type": "llama",
        "hidden_size": width,
        "num_hidden_layers": s.layers("n_layers"),
        "num_attention_heads": heads,
        "num_key_value_heads": s.size("n_kv_heads", default=heads),
        "intermediate_size": inner,
        "tie_word_embeddings": bool(s.flag("tied_embeddings", default=False).value),
        **vocabulary(s, reading, "vocab_size"),
    }
    if s.any("head_dim"):
        fields["head_dim"] = s.size("head_dim")
    return fields


def params_json_run(_: Settings, reading: Reading, __: Document) -> None:
    """Read nothing: the file has no run."""
    reading.leave("tokens", "the file has no run")
    reading.leave("sequence", "the file has no run")
    reading.leave("gpus", "the file has no run")
