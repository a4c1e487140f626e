"""Read configs of PyTorch's torchtitan: TOML, and since 2026 functions in Python that return a config."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.documents.python_document import Call, PythonDocument
from scaleplan.errors import FileError
from scaleplan.trainers.common import optimizer, product, vocabulary
from scaleplan.trainers.named import named_models, named_sizes, sources
from scaleplan.trainers.settings import Open, Setting, Settings, combined

if TYPE_CHECKING:
    from scaleplan.documents.key_path import Document
    from scaleplan.trainers.training_config import Reading

__all__ = ["torchtitan", "torchtitan_run", "torchtitan_sizes"]


def torchtitan(document: Document) -> Settings | None:
    """Recognise a model by name and flavor beside ``training``, or a call of ``model_registry``."""
    if isinstance(document, PythonDocument):
        call = _trainer(document)
        if call is None:
            return None
        _require_one(document)
        return Settings(call, file=document.name, show=call.name)
    s = Settings(document, file=document.name)
    own = s.has("model.flavor") or (s.has("training.seq_len") and s.any("training.steps", "parallelism", "job"))
    return s if own else None


def _trainer(document: PythonDocument) -> Call | None:
    """Return the call that makes the config: the one with a registered model and a training config in it."""
    found = [
        call
        for call in document.calls
        if call.name.rpartition(".")[2] == "Config" and call.find(("training",)) is not None
    ]
    named = [call for call in found if call.called(("model_spec",)).endswith("model_registry")]
    if not named and not any(call.name.rpartition(".")[2] == "model_registry" for call in document.calls):
        return None
    return next(iter(named or found), None)


def _require_one(document: PythonDocument) -> None:
    """Refuse a file that makes several configs, of which nothing says which one is run; raises FileError."""
    found = [call for call in document.calls if call.find(("model_spec",)) and call.find(("training",))]
    if len(found) < 2:
        return
    shown = ", ".join(f"{getattr(call, 'function', '') or call.name} at line {call.line}" for call in found)
    raise FileError(
        f"{document.name}:{found[0].line}: the config is not determined: the file makes several: {shown}",
        hint="keep the one that is run in a file of its own",
        file=document.name,
        line=found[0].line,
    )


def torchtitan_sizes(s: Settings, reading: Reading, _: Document) -> dict[str, object]:
    """Return the fields of a registered model, by its name and flavor."""
    name, flavor = _named(s)
    keys = ("model.flavor", "model_spec[0]", "model_spec")
    sizes = dict(named_sizes("torchtitan", f"{name} {flavor}", s, *keys))
    reading.note(f"{name} {flavor} has the sizes of {sources()['torchtitan']}")
    if sizes.get("q_lora_rank") == 0:
        sizes["q_lora_rank"] = None  # TOML has no null
    return {**sizes, **(vocabulary(s, reading) if reading.given.vocab is not None else {})}


def _named(s: Settings) -> tuple[str, str]:
    """Return the name and the flavor of the model."""
    if s.has("model.flavor"):
        return str(s.text("model.name").value), str(s.text("model.flavor").value)
    keys = ("model_spec[0]", "model_spec.flavor", "model_spec")
    flavor = s.raw(*keys[:2])
    if not isinstance(flavor, Setting) or not isinstance(flavor.value, str):
        raise s.error("the size of the model is not determined by the file", *keys, hint=_HINT)
    call = s.source
    function = getattr(call, "function", "")
    names = sorted({each.rpartition(" ")[0] for each in named_models("torchtitan")}, key=len, reverse=True)
    for name in names:
        if function.startswith(name) or name in s.file.replace("-", "_"):
            return name, flavor.value
    fitting = [name for name in names if f"{name} {flavor.value}" in named_models("torchtitan")]
    if len(fitting) == 1:
        return fitting[0], flavor.value
    raise s.error("the file does not say of which family this flavor is", *keys, hint=_HINT)


_HINT = "give params or model in the project's file"


def torchtitan_run(s: Settings, reading: Reading, _: Document) -> None:
    """Read batch, length, layout and states; a batch is that of a data-parallel group unless it is the global one."""
    training, layout = s.section("training"), s.section("parallelism", "experimental", "training")
    reading.put("sequence", training.whole("seq_len", "max_context_length"))
    reading.put("sequence", s.whole("training.max_seq_len"), default=2048)
    for name, key in _LAYOUT.items():
        reading.put(name, layout.whole(key), default=1)
    shard = layout.whole("data_parallel_shard_degree", "data_parallel_degree")
    copies = layout.whole("data_parallel_replicate_degree") or Setting(1)
    if isinstance(shard, Setting):
        reading.put("data", product(shard, copies))
    reading.leave("gpus", "the launcher sets the GPUs", layout.place("data_parallel_shard_degree"))
    _batch(training, reading)
    reading.put("steps", training.whole("steps"), default=10_000)
    reading.put("zero", Setting(0 if isinstance(shard, Setting) and shard.value == 1 else 3))
    reading.put("precision", None, default="bf16")
    if "Float8" in "".join(s.names()) or s.any("float8.enable_fp8_linear", "quantize.linear.float8"):
        reading.note('linear layers in fp8 are planned as bf16: give precision = "fp8"')
    optimizer(s, reading, "optimizer.name")
    reading.put("optimizer", None, default="adamw")
    mode = s.raw("activation_checkpoint.mode", "compile.activation_checkpoint")
    if isinstance(mode, Setting) and mode.value in ("full", "selective", "none"):
        reading.put("recompute", mode)
    elif isinstance(s.source, Call):
        kind = s.source.called(("activation_checkpoint",))
        if kind:
            reading.put("recompute", Setting("full" if "Full" in kind else "selective"))
    if s.switch("training.enable_cpu_offload").value:
        reading.put("offload", combined("states and weights", s.switch("training.enable_cpu_offload")))


_LAYOUT = {
    "tensor": "tensor_parallel_degree",
    "pipeline": "pipeline_parallel_degree",
    "context_parallel": "context_parallel_degree",
    "expert": "expert_parallel_degree",
}


def _batch(training: Settings, reading: Reading) -> None:
    """Take the global batch, or that of a group; newer configs count tokens."""
    local = training.whole("local_batch_size", "batch_size")
    total = training.whole("global_batch_size")
    tokens = training.whole("num_tokens_per_microbatch_per_dp_rank")
    step = training.whole("num_tokens_per_train_step")
    sequence = reading.get("sequence")
    if isinstance(tokens, Setting):
        if sequence is not None and tokens.value % sequence.value == 0:
            reading.put("micro_batch", combined(tokens.value // sequence.value, tokens, sequence))
        if isinstance(step, Setting):
            reading.put("batch_tokens", step)
        elif reading.number("pipeline", 1) == 1:
            reading.put("accumulation", Setting(1))
        else:
            reading.leave("batch", "the batch depends on the micro-batches of the pipeline", tokens.places[0])
        return
    if isinstance(step, Setting):
        reading.put("batch_tokens", step)
        return
    reading.put("micro_batch", local, default=8)
    if isinstance(total, Setting):
        reading.put("batch", total)
    elif isinstance(local, Open):
        reading.leave("batch", local.reason, local.place)
    else:
        reading.put("accumulation", Setting(1))
