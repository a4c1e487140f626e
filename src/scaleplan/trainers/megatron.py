"""Read configs of Megatron-LM and its relatives: NVIDIA's NeMo, and GPT-NeoX."""

from __future__ import annotations

import ast
import re
from math import ceil
from typing import TYPE_CHECKING

from scaleplan.documents.shell_document import Command, ShellDocument
from scaleplan.trainers.common import (
    command_with,
    gated,
    launched,
    optimizer,
    precision,
    product,
    round_up,
    switched_precision,
    vocabulary,
)
from scaleplan.trainers.deepspeed import deepspeed_batch, deepspeed_states
from scaleplan.trainers.settings import SIZES_HINT, Open, Setting, Settings, combined

if TYPE_CHECKING:
    from scaleplan.documents.key_path import Document, Found, Key
    from scaleplan.trainers.training_config import Reading

__all__ = [
    "megatron",
    "megatron_run",
    "megatron_sizes",
    "nemo",
    "nemo_run",
    "nemo_sizes",
    "neox",
    "neox_run",
    "neox_sizes",
]

_ENOUGH = ("num_layers", "hidden_size", "num_attention_heads")


def megatron(document: Document) -> Settings | None:
    """Recognise flags, or a mapping of them, which may lie in the sections of ``--yaml-cfg``."""
    found = command_with(document, "num_layers", "hidden_size")
    if found is not None:
        return found
    flat = Settings(document, file=document.name, sections=("", "language_model", "model_parallel"))
    own = flat.has(*_ENOUGH) and not flat.any(*_NEOX_OWN)
    return flat if own and (flat.any(*_MEGATRON_OWN) or isinstance(document, ShellDocument)) else None


_MEGATRON_OWN = (
    *("seq_length", "global_batch_size", "train_iters", "train_samples", "tensor_model_parallel_size"),
    *("position_embedding_type", "group_query_attention", "swiglu", "untie_embeddings_and_output_weights"),
)

_NEOX_OWN = (
    *("train_micro_batch_size_per_gpu", "pipe_parallel_size", "pos_emb", "no_weight_tying", "zero_optimization"),
    *("model_type", "architectures"),  # a config.json
)


_OTHER_SCRIPTS = tuple(
    f"pretrain_{kind}.py"
    for kind in (
        *("bert", "t5", "mamba", "hybrid", "vlm", "retro", "ict", "realm"),
        *("vision_classify", "vision_dino", "vision_inpaint"),
    )
)
"""The scripts of Megatron-LM that train no GPT; those of forks (``pretrain_llama.py``) do."""


def megatron_sizes(s: Settings, reading: Reading, _: Document) -> dict[str, object]:
    """Return the fields of Megatron-LM's GPT (megatron/training/arguments.py).

    The inner width is four times the width, two thirds of that in multiples of 64 with SwiGLU; the table is padded to
    a multiple of 128, or of what is stated, times the tensor-parallel group.
    """
    learned_softmax = s.has("softmax_type") and str(s.text("softmax_type").value) == "learnable"
    s.refuse(
        *("mtp_num_layers", "hybrid_override_pattern", "hybrid_layer_pattern", "is_hybrid_model"),
        *("encoder_num_layers", "linear_attention_freq", "experimental_attention_variant", "attention_output_gate"),
        *("spec", "heterogeneous_layers_config_path", "retro_add_retriever", "moe_latent_size"),
        *(("softmax_type",) if learned_softmax else ()),
    )
    s.refuse("num_shared_experts", "enable_shared_expert", "qk_nope_head_dim", "qk_rope_head_dim")  # of its offshoots
    if not s.switch("multi_latent_attention").value and s.size("kv_lora_rank", default=_LATENT_RANK) != _LATENT_RANK:
        raise s.error(
            "a rank of latent attention without --multi-latent-attention is not counted here", "kv_lora_rank"
        )
    words = s.source.words if isinstance(s.source, Command) else ()
    script = next((name for word in words for name in _OTHER_SCRIPTS if word.rpartition("/")[2] == name), None)
    if script is not None:
        message = f"{script} trains a model of another kind than GPT, which is not counted here"
        raise s.error(message, "num_layers", hint=SIZES_HINT)
    width, heads = s.size("hidden_size"), s.size("num_attention_heads")
    swiglu = bool(s.switch("swiglu").value)
    inner = s.size("ffn_hidden_size", default=int(4 * width * 2 / 3 / 64) * 64 if swiglu else 4 * width)
    biased = not s.switch("disable_bias_linear").value
    if s.has("add_bias_linear"):
        biased = bool(s.flag("add_bias_linear").value)
    norm = "rms" if str(s.text("normalization", default="LayerNorm").value) == "RMSNorm" else "layer"
    tensor = _parallel(s, "tensor_model_parallel_size")
    multiple = s.size("make_vocab_size_divisible_by", default=128) * tensor
    tied = not s.switch("untie_embeddings_and_output_weights").value
    context = (
        s.size("max_position_embeddings", "seq_length") if s.any("max_position_embeddings", "seq_length") else None
    )
    fields: dict[str, object] = {
        "model_type": "megatron",
        "hidden_size": width,
        "num_hidden_layers": s.layers("num_layers"),
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "mlp_gated": swiglu or bool(s.switch("gated_linear_unit").value),
        "norm": norm,
        "tie_word_embeddings": tied,
        "max_position_embeddings": context,
        **_table(s, reading, multiple),
    }
    if s.switch("multi_latent_attention").value:
        return _latent(s, fields)
    fields |= {
        "num_key_value_heads": s.size("num_query_groups", default=1)
        if s.switch("group_query_attention").value
        else heads,
        "qkv_bias": biased or bool(s.switch("add_qkv_bias").value),
        "output_bias": biased,
        "mlp_bias": biased,
        "qk_norm": "head" if s.switch("qk_layernorm").value else "none",
        "qk_norm_shift": norm == "layer",
    }
    if s.has("kv_channels"):
        fields["head_dim"] = s.size("kv_channels")
    learned = str(s.text("position_embedding_type", default="learned_absolute").value) == "learned_absolute"
    other = s.switch("no_position_embedding").value or s.switch("use_rotary_position_embeddings").value
    if learned and not other:
        fields["position_table"] = s.size("max_position_embeddings")
    if s.any("num_experts"):
        fields |= _experts(s, biased=biased)
    return fields


_LATENT_RANK = 32  # the default of --kv-lora-rank, which a list of all arguments has for any model


def _table(s: Settings, reading: Reading, multiple: int) -> dict[str, int]:
    """Return the rows of the table: stated as padded, or a vocabulary that is padded."""
    if reading.given.vocab is None and s.any("padded_vocab_size"):
        return vocabulary(s, reading, "padded_vocab_size")
    return vocabulary(s, reading, "vocab_size", multiple=multiple)


def _parallel(s: Settings, *names: str) -> int:
    """Return a degree of parallelism that pads a table, 1 where it is missing."""
    return s.size(*names, default=1)


def _experts(s: Settings, *, biased: bool) -> dict[str, object]:
    count = s.size("num_experts")
    if biased:
        raise s.error("experts with biases are not counted here", "num_experts", hint="--disable-bias-linear")
    fields: dict[str, object] = {
        "num_local_experts": count,
        "num_experts_per_tok": s.size("moe_router_topk", default=2),
    }
    if s.any("moe_ffn_hidden_size"):
        fields["moe_intermediate_size"] = s.size("moe_ffn_hidden_size")
    if s.any("moe_shared_expert_intermediate_size"):
        fields["shared_expert_width"] = s.size("moe_shared_expert_intermediate_size")
        fields["shared_expert_gate"] = bool(s.switch("moe_shared_expert_gate").value)
    if s.any("moe_layer_freq"):
        fields["sparse"] = _pattern(s, "moe_layer_freq", s.layers("num_layers"))
    return fields


_LIST = re.compile(r"[\[\]()\d,*+ ]{1,400}")


def _pattern(s: Settings, name: str, layers: int) -> list[int]:
    """Return which layers have experts: every n-th from the first, or a list such as ``([0]*1+[1]*26)``."""
    found = s.raw(name)
    text = str(found.value) if isinstance(found, Setting) else ""
    values: list[int] = []
    if text.strip().isdecimal() and 1 <= int(text) <= layers:
        values = [int(i % int(text) == 0) for i in range(layers)]
    elif isinstance(found, Setting) and found.value == []:
        values = [int(each.value) for each in s.items(name) if isinstance(each, Setting)]
    elif _LIST.fullmatch(text):
        for part in text.replace("(", "").replace(")", "").replace(" ", "").split("+"):
            items, _, times = part.partition("*")
            try:
                one = ast.literal_eval(items)
            except (SyntaxError, ValueError):
                break
            if isinstance(one, list) and (not times or (times.isdecimal() and int(times) <= layers)):
                values += [int(bool(item)) for item in one] * int(times or 1)
    if len(values) != layers:
        raise s.error(f"expected which of the {layers} layers have experts", name)
    return values


def _latent(s: Settings, fields: dict[str, object]) -> dict[str, object]:
    """Return the fields of DeepSeek's architecture, for latent attention with RMS norms and gated blocks.

    Ranks and sizes of heads have the defaults of ``_add_mla_args`` (megatron/training/arguments.py @000c4ac2).
    """
    if fields["norm"] != "rms" or not fields["mlp_gated"] or not s.switch("disable_bias_linear").value:
        raise s.error("latent attention with biases or layer norms is not counted here", "multi_latent_attention")
    nope, rope = s.size("qk_head_dim", default=128), s.size("qk_pos_emb_head_dim", default=64)
    taken = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
    found: dict[str, object] = {name: fields[name] for name in (*taken, "tie_word_embeddings") if name in fields}
    found |= {
        "model_type": "deepseek_v3",
        "num_key_value_heads": fields["num_attention_heads"],
        "q_lora_rank": s.size("q_lora_rank") if s.any("q_lora_rank") else None,
        "kv_lora_rank": s.size("kv_lora_rank", default=_LATENT_RANK),
        "qk_nope_head_dim": nope,
        "qk_rope_head_dim": rope,
        "v_head_dim": s.size("v_head_dim", default=128),
        "max_position_embeddings": fields["max_position_embeddings"],
    }
    if not s.any("num_experts"):
        return {
            **found,
            "first_k_dense_replace": fields["num_hidden_layers"],
            "n_routed_experts": 1,
            "num_experts_per_tok": 1,
            "moe_intermediate_size": 1,
            "n_shared_experts": 0,
        }
    experts = _experts(s, biased=False)
    layers = s.layers("num_layers")
    sparse = experts.get("sparse", [1] * layers)
    assert isinstance(sparse, list)
    dense = sparse.index(1) if 1 in sparse else layers
    width = s.size("moe_ffn_hidden_size", "ffn_hidden_size")
    shared = s.size("moe_shared_expert_intermediate_size") if s.any("moe_shared_expert_intermediate_size") else 0
    if sparse != [0] * dense + [1] * (layers - dense) or shared % width:
        raise s.error("experts in layers of this order are not counted here", "moe_layer_freq", "num_experts")
    return {
        **found,
        "first_k_dense_replace": dense,
        "n_routed_experts": experts["num_local_experts"],
        "num_experts_per_tok": experts["num_experts_per_tok"],
        "moe_intermediate_size": width,
        "n_shared_experts": shared // width,
    }


def _usual_batch(reading: Reading) -> None:
    """Take the default of the global batch: one micro-batch of each data-parallel group."""
    if "micro_batch" not in reading.values:
        reading.leave("batch", "the file has no global_batch_size and no micro_batch_size")
    reading.put("accumulation", Setting(1))


def _division(s: Settings, reading: Reading) -> Setting | Open | None:
    """Read the layout and the batch, which is returned."""
    for name, key in _LAYOUT.items():
        reading.put(name, s.whole(key), default=1)
    reading.put("micro_batch", s.whole("micro_batch_size"))
    batch = s.whole("global_batch_size")
    reading.put("batch", batch)
    return batch


def megatron_run(s: Settings, reading: Reading, document: Document) -> None:
    """Read batch, length, layout and states."""
    launched(s, reading, document)
    reading.put("sequence", s.whole("seq_length", "encoder_seq_length"))
    reading.leave("sequence", "the file lacks seq_length")
    batch = _division(s, reading)
    if batch is None:
        _usual_batch(reading)
    _megatron_length(s, reading, batch)
    switched_precision(s, reading)
    reading.put("precision", None, default="fp32")  # params_dtype of megatron/training/arguments.py
    fp8 = s.raw("fp8_format", "fp8_hybrid", "fp8")
    if isinstance(fp8, Setting) and fp8.value not in (False, "false"):
        reading.values["precision"] = Setting("fp8", fp8.places)
    optimizer(s, reading, "optimizer")
    if "optimizer" not in reading.values:
        reading.put("optimizer", None, default="adamw")
    sharded = s.switch("use_distributed_optimizer")
    if s.switch("use_torch_fsdp2").value:
        reading.put("zero", combined(3, s.switch("use_torch_fsdp2")))
    elif s.any("zero_stage"):  # of Megatron-DeepSpeed
        reading.put("zero", s.whole("zero_stage", at_least=0))
    elif s.any("data_parallel_sharding_strategy"):
        strategy = s.text("data_parallel_sharding_strategy")
        reading.put("zero", Setting(_STRATEGIES.get(str(strategy.value), 1), strategy.places))
    else:
        reading.put("zero", Setting(1 if sharded.value else 0, sharded.places))
    _recomputed(s, reading, "recompute_granularity", "recompute_activations")
    if s.any("optimizer_cpu_offload"):
        reading.put("offload", Setting("states", s.switch("optimizer_cpu_offload").places))
    if s.any("exit_duration_in_mins"):
        reading.note("exit_duration_in_mins may end the run earlier")


_LAYOUT = {
    "tensor": "tensor_model_parallel_size",
    "pipeline": "pipeline_model_parallel_size",
    "context_parallel": "context_parallel_size",
    "expert": "expert_model_parallel_size",
}

_STRATEGIES = {"no_shard": 0, "optim": 1, "optim_grads": 2, "optim_grads_params": 3}


def _recomputed(s: Settings, reading: Reading, granularity: str, switch: str) -> None:
    found = s.raw(granularity)
    if isinstance(found, Setting) and found.value in ("full", "selective"):
        reading.put("recompute", found)
    elif s.switch(switch).value:
        reading.put("recompute", Setting("selective", s.switch(switch).places))
    else:
        reading.put("recompute", Setting("none", () if not isinstance(found, Setting) else found.places))


def _megatron_length(s: Settings, reading: Reading, batch: Setting | Open | None) -> None:
    """Take steps or samples; a batch that grows makes the first steps shorter.

    Megatron-DeepSpeed ends at ``train_tokens`` where these come first (its megatron/training.py).
    """
    steps, samples = s.whole("train_iters"), s.whole("train_samples")
    tokens = s.whole("train_tokens")
    if tokens is not None and reading.get("sequence") is not None:
        tokens = _first_end(reading, tokens, steps, samples, batch)
    if tokens is not None:
        reading.put("tokens", tokens)
        return
    ramp = [each for each in _ramp(s) if isinstance(each, Setting)]
    if isinstance(samples, Setting):
        reading.put("samples", samples)
        if ramp and isinstance(batch, Setting):
            reading.put("steps", combined(_ramped_steps(ramp, batch, int(samples.value), s), samples, *ramp))
    elif isinstance(steps, Setting) and ramp and isinstance(batch, Setting):
        reading.put("steps", steps)
        reading.put("samples", combined(_ramped_samples(ramp, batch, int(steps.value), s), steps, batch, *ramp))
    else:
        reading.put("steps", steps)
    if steps is None and samples is None:
        reading.leave("tokens", "the file has no train_iters and no train_samples")


def _first_end(
    reading: Reading,
    tokens: Setting | Open,
    steps: Setting | Open | None,
    samples: Setting | Open | None,
    batch: Setting | Open | None,
) -> Setting | Open | None:
    """Return the tokens that end a run, None where samples or steps do so before; open where that is not known."""
    others = samples if samples is not None else product(steps, batch)
    end = product(others, reading.get("sequence"))
    if isinstance(tokens, Open) or isinstance(end, Open):
        return tokens if isinstance(tokens, Open) else end
    return None if isinstance(end, Setting) and end.value <= tokens.value else tokens


def _ramp(s: Settings) -> list[Setting | Open | None]:
    """Return start, increment and samples of a batch that grows; none where it does not."""
    found = s.raw("rampup_batch_size")
    if not isinstance(found, Setting):
        return []
    items = [s.whole(f"rampup_batch_size[{position}]", at_least=0) for position in range(3)]
    if len([each for each in items if isinstance(each, Setting)]) != 3:
        raise s.error("expected start, increment and samples", "rampup_batch_size")
    return items


def _stages(ramp: list[Setting], batch: Setting, s: Settings) -> list[tuple[int, int]]:
    """Return the batches of a ramp, each with the samples after which the next begins.

    A batch is the start and as many increments as shares of the samples are done (megatron/core/
    num_microbatches_calculator.py @00caa53a).
    """
    start, step, total = (int(each.value) for each in ramp)
    if not 0 < start <= batch.value or not step or (batch.value - start) % step:
        raise s.error(f"does not lead to a batch of {batch.value:,}", "rampup_batch_size")
    stages = (int(batch.value) - start) // step
    if stages == 0:
        return []
    if stages > 100_000:
        raise s.error("has too many stages", "rampup_batch_size")
    each = total / stages
    return [(start + position * step, ceil(each * (position + 1))) for position in range(stages)]


def _ramped_samples(ramp: list[Setting], batch: Setting, steps: int, s: Settings) -> int:
    """Return the samples of so many steps."""
    samples = 0
    for size, end in _stages(ramp, batch, s):
        many = min(steps, max(0, -(-(end - samples) // size)))
        samples, steps = samples + many * size, steps - many
    return samples + steps * int(batch.value)


def _ramped_steps(ramp: list[Setting], batch: Setting, samples: int, s: Settings) -> int:
    """Return the steps of so many samples."""
    done = steps = 0
    for size, end in _stages(ramp, batch, s):
        many = max(0, -(-(min(end, samples) - done) // size))
        done, steps = done + many * size, steps + many
    return steps + max(0, samples - done) // int(batch.value)


def nemo(document: Document) -> Settings | None:
    """Recognise NeMo's hydra config: ``model`` and ``trainer``, with a sequence of the encoder."""
    s = Settings(document, file=document.name, sections=("model",))
    top = s.section("trainer")
    own = s.any("encoder_seq_length", "tensor_model_parallel_size", "micro_batch_size")
    return s if s.has("num_layers", "hidden_size") and own and top.any("num_nodes", "devices", "max_steps") else None


def nemo_sizes(s: Settings, reading: Reading, _: Document) -> dict[str, object]:
    """Return the fields of NeMo's GPT; its tokenizer has the vocabulary.

    What is missing has the defaults of NVIDIA/NeMo
    nemo/collections/nlp/models/language_modeling/megatron_gpt_model.py (``cfg.get``).
    """
    s.refuse("num_moe_experts", "transformer_engine_moe", "headscale", "mcore_customization_config")
    width, heads = s.size("hidden_size"), s.size("num_attention_heads")
    inner = s.size("ffn_hidden_size", default=4 * width)
    norm = str(s.text("normalization", default="layernorm").value).casefold()
    biased = bool(s.flag("bias", default=True).value)
    multiple = s.size("make_vocab_size_divisible_by", default=128) * _parallel(s, "tensor_model_parallel_size")
    learned = str(s.text("position_embedding_type", default="learned_absolute").value) == "learned_absolute"
    return {
        "model_type": "nemo",
        "hidden_size": width,
        "num_hidden_layers": s.layers("num_layers"),
        "num_attention_heads": heads,
        "num_key_value_heads": s.size("num_query_groups", default=heads),
        **({"head_dim": s.size("kv_channels")} if s.any("kv_channels") else {}),
        "intermediate_size": inner,
        "mlp_gated": gated(s, "activation", default=False),
        "norm": "rms" if "rms" in norm else "layer",
        "qkv_bias": biased or bool(s.flag("qkv_bias", default=False).value),
        "output_bias": biased,
        "mlp_bias": biased,
        "qk_norm": "head" if s.flag("qk_layernorm", default=False).value else "none",
        "qk_norm_shift": "rms" not in norm,
        "tie_word_embeddings": bool(s.flag("share_embeddings_and_output_weights", default=True).value),
        "position_table": s.size("max_position_embeddings") if learned else 0,
        "max_position_embeddings": s.size("max_position_embeddings", "encoder_seq_length"),
        **vocabulary(s, reading, "override_vocab_size", multiple=multiple),
    }


def nemo_run(s: Settings, reading: Reading, _: Document) -> None:
    """Read batch, length, layout and states."""
    trainer = s.section("trainer")
    reading.put("gpus", product(trainer.whole("devices"), trainer.whole("num_nodes") or Setting(1)))
    reading.leave("gpus", "the launcher sets the GPUs")
    reading.put("sequence", s.whole("encoder_seq_length", "data.seq_length", "max_position_embeddings"))
    batch = _division(s, reading)
    if batch is None:
        reading.put("accumulation", trainer.whole("accumulate_grad_batches"), default=1)
    ramp = [each for each in _ramp(s) if isinstance(each, Setting)]
    steps = trainer.whole("max_steps")
    reading.put("steps", steps)
    if ramp and isinstance(batch, Setting) and isinstance(steps, Setting):
        reading.put("samples", combined(_ramped_samples(ramp, batch, int(steps.value), s), steps, batch, *ramp))
    reading.leave("tokens", "the file has no max_steps")
    if trainer.any("max_time"):
        reading.note("trainer.max_time may end the run earlier")
        trainer.raw("max_time")
    precision(trainer, reading, "precision")
    optimizer(s, reading, "optim.name")
    distributed = "distributed" in str(s.text("optim.name", default="").value)
    reading.put("zero", Setting(1 if distributed else 0, s.text("optim.name", default="").places))
    found = s.raw("activations_checkpoint_granularity")
    if isinstance(found, Setting) and found.value in ("full", "selective"):
        reading.put("recompute", found)


def neox(document: Document) -> Settings | None:
    """Recognise GPT-NeoX: Megatron's sizes beside DeepSpeed's names."""
    s = Settings(_Dashed(document), file=document.name)
    own = ("train_micro_batch_size_per_gpu", "pipe_parallel_size", "no_weight_tying", "pos_emb", "zero_optimization")
    config = s.any("model_type", "architectures")
    return s if s.has("num_layers", "hidden_size") and s.any(*own) and not config else None


class _Dashed:
    """A document whose keys may be written with dashes in place of underscores."""

    def __init__(self, document: Document) -> None:
        self.document = document

    def find(self, key: Key) -> Found | None:
        """Return the value at a key path in either spelling."""
        found = self.document.find(key)
        if found is not None:
            return found
        return self.document.find(tuple(part.replace("_", "-") if isinstance(part, str) else part for part in key))

    def names(self, key: Key) -> list[str]:
        """Return the keys at a key path."""
        return self.document.names(key)


def neox_sizes(s: Settings, reading: Reading, _: Document) -> dict[str, object]:
    """Return the fields of GPT-NeoX's model (EleutherAI/gpt-neox megatron/model/transformer.py, ``ParallelMLP``).

    A gated block has an inner width of ``int(ffn * 2/3) // 2`` in multiples: 32768 is 11008 in multiples of 256.
    """
    s.refuse("moe_num_experts", "rwkv", "mamba_selective_scan_fusion")
    width, heads = s.size("hidden_size"), s.size("num_attention_heads")
    glu = gated(s, "activation", default=False)
    inner = s.size("intermediate_size", default=s.size("expansion_factor", default=4) * width)
    if glu:
        inner = round_up(int(inner * 2 / 3) // 2, s.size("mlp_multiple_of", default=1))
    norm = str(s.text("norm", default="layernorm").value)
    if norm not in ("layernorm", "rmsnorm", "te_layernorm", "te_rmsnorm"):
        raise s.error("norms of this kind are not counted here", "norm")
    shift = bool(s.flag("use_bias_in_norms", default=True).value)
    model = max(1, _zero_is_one(s, "model_parallel_size"))
    positions = str(s.text("pos_emb", default="learned").value)
    if positions == "rpe":
        raise s.error("positions of this kind are not counted here", "pos_emb", hint=SIZES_HINT)
    learned = positions == "learned"
    return {
        "model_type": "neox",
        "hidden_size": width,
        "num_hidden_layers": s.layers("num_layers"),
        "num_attention_heads": heads,
        "num_key_value_heads": s.size("num_kv_heads", default=heads),
        "intermediate_size": inner,
        "mlp_gated": glu,
        "norm": "rms" if "rms" in norm else "layer" if shift else "scale",
        "qkv_bias": bool(s.flag("use_bias_in_attn_linear", default=True).value),
        "output_bias": bool(s.flag("use_bias_in_attn_linear", default=True).value),
        "mlp_bias": bool(s.flag("use_bias_in_mlp", default=True).value),
        "qk_norm": "head" if s.flag("use_qk_layernorm", default=False).value else "none",
        "qk_norm_shift": "rms" not in norm,
        "norms_per_layer": 1 if s.flag("gpt_j_tied", default=False).value else 2,
        "tie_word_embeddings": not s.flag("no_weight_tying", default=False).value,
        "position_table": s.size("max_position_embeddings") if learned else 0,
        "max_position_embeddings": s.size("max_position_embeddings", "seq_length"),
        **_table(s, reading, s.size("make_vocab_size_divisible_by", default=128) * model),
    }


def _zero_is_one(s: Settings, name: str) -> int:
    found = s.whole(name, at_least=0)
    return max(1, int(found.value)) if isinstance(found, Setting) else 1


def neox_run(s: Settings, reading: Reading, _: Document) -> None:
    """Read batch, length, layout and states; the devices stand in a hostfile."""
    reading.leave("gpus", "the hostfile of the launcher lists the GPUs")
    reading.put("sequence", s.whole("seq_length"))
    for name, key in (("pipeline", "pipe_parallel_size"), ("tensor", "model_parallel_size")):
        found = s.whole(key, at_least=0)
        reading.put(
            name, combined(max(1, int(found.value)), found) if isinstance(found, Setting) else None, default=1
        )
    deepspeed_batch(s, reading)
    reading.put("steps", s.whole("train_iters"))
    reading.leave("tokens", "the file has no train_iters")
    deepspeed_states(s, reading)
    optimizer(s, reading, "optimizer.type")
    switched_precision(s, reading)
    checkpointed = s.raw("checkpoint_activations", "activation_checkpointing.checkpoint_activations")
    if isinstance(checkpointed, Setting):
        reading.put("recompute", Setting("full" if checkpointed.value else "none", checkpointed.places))
