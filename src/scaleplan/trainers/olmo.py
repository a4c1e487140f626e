"""Read configs of Ai2's trainers: OLMo in YAML, OLMo-core in Python."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scaleplan.documents.python_document import PythonDocument
from scaleplan.errors import FileError
from scaleplan.trainers.common import duration, optimizer, precision, product, round_up, vocabulary, zero_of_fsdp
from scaleplan.trainers.named import named_sizes, sources
from scaleplan.trainers.settings import SIZES_HINT, Open, Setting, Settings

if TYPE_CHECKING:
    from scaleplan.documents.key_path import Document
    from scaleplan.documents.python_document import Call
    from scaleplan.trainers.training_config import Reading

__all__ = ["olmo", "olmo_core", "olmo_core_run", "olmo_core_sizes", "olmo_run", "olmo_sizes"]


def olmo(document: Document) -> Settings | None:
    """Recognise OLMo's config: a model without a name beside the length of a run, or its sizes alone."""
    s = Settings(document, file=document.name, sections=("model",))
    return s if s.has("d_model", "n_heads", "n_layers") and not s.any("name", "type") else None


def olmo_sizes(s: Settings, reading: Reading, _: Document) -> dict[str, object]:
    """Return the fields of OLMo's model (olmo/config.py, olmo/model.py).

    With SwiGLU ``mlp_hidden_size`` is gate and up together; ``embedding_size`` is the table, not ``vocab_size``.
    """
    if not s.any("activation_type", "weight_tying", "include_bias", "rope"):  # sizes alone may be of any trainer
        raise s.error("the size of the model is not determined by the file alone", "d_model", hint=SIZES_HINT)
    s.refuse("embedding_layer_norm")
    width, heads = s.size("d_model", default=768), s.size("n_heads", default=12)
    glu = str(s.text("activation_type", default="swiglu").value).casefold() == "swiglu"
    inner = s.size("mlp_hidden_size") if s.any("mlp_hidden_size") else s.size("mlp_ratio", default=4) * width
    biased = bool(s.flag("include_bias", default=True).value)
    shift = bool(s.flag("bias_for_layer_norm", default=biased).value)
    affine = bool(s.flag("layer_norm_with_affine", default=True).value)
    rotary = s.flag("rope", default=False).value or s.flag("alibi", default=False).value
    context = s.size("max_sequence_length", default=1024)
    normed = s.flag("attention_layer_norm", default=False).value
    normed = bool(normed and s.flag("attention_layer_norm_with_affine", default=True).value)
    many = 1 if s.flag("multi_query_attention", default=False).value else heads
    tied = bool(s.flag("weight_tying", default=True).value)
    return {
        "model_type": "olmo_trainer",
        "hidden_size": width,
        "num_hidden_layers": s.layers("n_layers", default=12),
        "num_attention_heads": heads,
        "num_key_value_heads": s.size("n_kv_heads", default=many),
        "intermediate_size": inner // 2 if glu else inner,
        "mlp_gated": glu,
        "norm": "none" if not affine else "layer" if shift else "scale",
        "qkv_bias": biased,
        "output_bias": biased,
        "mlp_bias": biased,
        "head_bias": biased and not tied,
        "qk_norm": "full" if normed else "none",
        "qk_norm_shift": shift,
        "tie_word_embeddings": tied,
        "position_table": 0 if rotary else context,
        "max_position_embeddings": context,
        **(_table(s) if reading.given.vocab is None else vocabulary(s, reading)),
    }


def _table(s: Settings) -> dict[str, int]:
    """Return the rows of the table: ``embedding_size``, 50304 unless stated, the vocabulary where it is null."""
    vocab = s.size("vocab_size", default=50257)
    rows = vocab if s.is_null("embedding_size") else s.size("embedding_size", default=50304)
    if rows < vocab:
        reason = "the table is not determined by the file: it would have 50304 rows, fewer than the vocabulary"
        raise s.error(f"{reason}: embedding_size is missing", "vocab_size", hint="give embedding_size, or --vocab")
    return {"vocab_size": rows}


_UNITS = {"": "steps", "T": "tokens", "tok": "tokens", "ba": "steps", "sp": "samples"}
"""The units of OLMo's ``max_duration`` (olmo/train.py): T means tokens, and none steps."""


def olmo_run(s: Settings, reading: Reading, _: Document) -> None:
    """Read batch, length and states: a length is in steps, in tokens (``2e12T``), or in passes over the data."""
    top = s.section("")
    reading.leave("gpus", "the launcher sets the GPUs")
    reading.put("sequence", s.whole("max_sequence_length"))
    reading.put("batch", top.whole("global_train_batch_size"))
    reading.put("micro_batch", top.whole("device_train_microbatch_size"))
    length = top.raw("max_duration")
    if isinstance(length, Setting):
        duration(top, reading, length, units=_UNITS, example="500000, 2e12T or 1ep")
    elif length is not None:
        reading.put("tokens", length)
    reading.leave("tokens", "the file has no max_duration")
    if top.any("stop_at"):
        reading.note("stop_at ends the run earlier")
    precision(top, reading, "precision")
    optimizer(top, reading, "optimizer.name")
    zero_of_fsdp(top, reading, "fsdp.sharding_strategy")
    if top.any("fsdp"):
        reading.put("zero", None, default=3)  # FULL_SHARD of FSDPConfig
    _checkpointed(top, reading)


def _checkpointed(top: Settings, reading: Reading) -> None:
    found = top.raw("activation_checkpointing")
    if isinstance(found, Setting):
        text = str(found.value)
        kind = "full" if text == "whole_layer" else "selective" if text == "fine_grained" else None
        if kind is not None:
            reading.put("recompute", Setting(kind, found.places))


_FACTORY = re.compile(r"(?:.*\.)?TransformerConfig\.(?P<name>\w+)")


def olmo_core(document: Document) -> Settings | None:
    """Recognise a script that makes a ``TransformerConfig`` by a factory, or a data loader with a batch in tokens."""
    if not isinstance(document, PythonDocument):
        return None
    call = _model(document)
    if call is not None:
        return Settings(call, file=document.name, show=call.name)
    return None


def _model(document: PythonDocument) -> Call | None:
    return next(iter(_factories(document)), None)


def _factories(document: Document) -> list[Call]:
    """Return the calls that make a model."""
    calls = document.calls if isinstance(document, PythonDocument) else ()
    return [call for call in calls if _FACTORY.fullmatch(call.name)]


def olmo_core_sizes(s: Settings, reading: Reading, document: Document) -> dict[str, object]:
    """Return the fields of the model that a factory of OLMo-core makes (nn/transformer/config.py)."""
    match = _FACTORY.fullmatch(s.show)
    assert match is not None
    name = match["name"]
    several = _factories(document)
    if len({call.name for call in several}) > 1:
        shown = ", ".join(f"{call.name.rpartition('.')[2]} at line {call.line}" for call in several)
        line = several[0].line
        raise FileError(
            f"{document.name}:{line}: the size of the model is not determined: the file makes several: {shown}",
            hint=SIZES_HINT,
            file=document.name,
            line=line,
        )
    sizes = dict(named_sizes("OLMo-core", name, s, "vocab_size", "0")) if name != "llama_like" else {}
    if name != "llama_like":
        reading.note(f"{name} has the sizes of {sources()['OLMo-core']}")
    s.refuse("block_mods", "block_overrides", "feed_forward", "feed_forward_moe", "block")

    def size(key: str, default: int | None = None) -> int:
        stated = sizes.get(key, default)
        return s.size(key, default=stated if isinstance(stated, int) else None)

    width, heads = size("d_model"), size("n_heads")
    multiple = size("hidden_size_multiple_of", 256)
    stated = s.number("hidden_size_multiplier")
    factor = stated.value if isinstance(stated, Setting) else sizes.get("hidden_size_multiplier", 1.0)
    assert isinstance(factor, int | float)
    inner = sizes.get("inner") if not isinstance(stated, Setting) else None
    if not isinstance(inner, int):
        inner = round_up(int(factor * int(8 * width / 3)), multiple)
    normed = bool(s.flag("qk_norm", default=bool(sizes.get("qk_norm", False))).value)
    of_heads = bool(s.flag("use_head_qk_norm", default=bool(sizes.get("use_head_qk_norm", False))).value)
    window = sizes.get("sliding_window") if not s.any("sliding_window") else None
    layers = s.layers("n_layers", default=size("n_layers"))
    fields: dict[str, object] = {
        "model_type": "olmo_core",
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": size("n_kv_heads", heads),
        "intermediate_size": inner,
        "qk_norm": ("head" if of_heads else "full") if normed else "none",
        "tie_word_embeddings": bool(sizes.get("tie_word_embeddings", False)),
        **_padded(s, reading, document),
    }
    if s.any("head_dim") or "head_dim" in sizes:
        fields["head_dim"] = size("head_dim")
    if isinstance(window, int):  # of four layers three, but not the last
        fields["sliding_window"] = window
        fields["windowed"] = [int((i + 1) % 4 != 0 and i != layers - 1) for i in range(layers)]
    if "num_experts" in sizes:
        fields |= {key: sizes[key] for key in ("num_experts", "num_experts_per_tok", "moe_intermediate_size")}
        if "shared" in sizes:
            fields["shared_expert_width"] = sizes["shared"]
    return fields


_TOKENIZERS = {"dolma2": 100278, "dolma2_sigdig": 100278, "gpt_neox_olmo_dolma_v1_5": 50280, "gpt2": 50257}
"""The vocabularies of tokenizers by name (allenai/OLMo-core src/olmo_core/data/tokenizer.py, 3.0.0)."""


def _padded(s: Settings, reading: Reading, document: Document) -> dict[str, int]:
    """Return the rows of the table, which scripts pad to 128 rows themselves."""
    if reading.given.vocab is not None:
        return {"vocab_size": round_up(reading.given.vocab, 128)}
    found = s.whole("vocab_size", at_most=10**9)
    if not isinstance(found, Setting):
        found = s.whole("0", at_most=10**9) if s.any("0") else found
    if isinstance(found, Setting):
        return {"vocab_size": int(found.value)}
    calls = document.calls if isinstance(document, PythonDocument) else ()
    named = [call.name.rpartition(".")[2] for call in calls if "TokenizerConfig." in f".{call.name}"]
    if len(named) == 1 and named[0] in _TOKENIZERS:
        return {"vocab_size": round_up(_TOKENIZERS[named[0]], 128)}
    reading.leave("vocab", "the tokenizer sets the vocabulary", found.place if found is not None else None)
    return {}


def olmo_core_run(s: Settings, reading: Reading, document: Document) -> None:
    """Read batch and length: batches are in tokens, a length is a ``Duration`` of tokens, steps or epochs."""
    assert isinstance(document, PythonDocument)
    reading.leave("gpus", "the launcher sets the GPUs")
    micro: Setting | Open | None = None
    for call in document.calls:
        own = s.of(call, show=call.name)
        micro = own.whole("rank_microbatch_size") or micro
        _of_call(call, own, reading)
    constants = Settings(document, file=document.name, read=s.read)
    for name in ("SEQUENCE_LENGTH", "sequence_length", "SEQ_LEN"):
        reading.put("sequence", constants.whole(name))
    reading.put("batch_tokens", constants.whole("GLOBAL_BATCH_SIZE", "global_batch_size"))
    sequence = reading.get("sequence")
    if isinstance(micro, Setting) and sequence is not None and micro.value % sequence.value == 0:
        reading.put("micro_batch", Setting(micro.value // sequence.value, micro.places + sequence.places))
    reading.leave("sequence", "the file does not state the length as a number")
    reading.leave("batch_tokens", "the file does not state the batch as a number")
    reading.leave("tokens", "the file has no Duration in numbers")
    reading.put("precision", None, default="bf16")
    reading.put("optimizer", None, default="adamw")


def _of_call(call: Call, own: Settings, reading: Reading) -> None:
    """Take what the arguments of one call say about the run."""
    last, length = call.name.rpartition(".")[2], call.called(("max_duration",))
    for key, name in (("global_batch_size", "batch_tokens"), ("sequence_length", "sequence")):
        reading.put(name, own.whole(key))
    if call.called(("hard_stop",)).startswith("Duration."):
        reading.note("hard_stop ends the run earlier")
    if length.startswith("Duration."):
        _duration(own, reading, length.rpartition(".")[2])
    if own.has("num_nodes") and "aunch" in last:
        reading.put("gpus", product(own.whole("num_nodes"), own.whole("num_gpus") or Setting(8)))
    if own.has("degree") and "TensorParallel" in last:
        reading.put("tensor", own.whole("degree"))


def _duration(own: Settings, reading: Reading, kind: str) -> None:
    found = own.whole("max_duration[0]", f"max_duration.{kind}", "max_duration.value")
    if kind in ("tokens", "steps"):
        reading.put(kind, found)
        if isinstance(found, Open):
            reading.leave("tokens", found.reason, found.place)
    else:
        place = found.places[0] if isinstance(found, Setting) else own.place("max_duration")
        reading.leave("tokens", "passes over the data, whose size is not in this file", place)
        reading.put("epochs", found if kind == "epochs" and isinstance(found, Setting) else None)
