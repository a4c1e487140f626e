"""The trainers whose configs are read: how each is recognised, and what is read from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from scaleplan.documents.python_document import PythonDocument
from scaleplan.documents.shell_document import ShellDocument
from scaleplan.documents.yaml_document import YamlDocument
from scaleplan.errors import FileError
from scaleplan.trainers import (
    composer,
    deepspeed,
    huggingface,
    levanter,
    litgpt,
    maxtext,
    megatron,
    meta,
    nano,
    olmo,
    torchtitan,
)
from scaleplan.trainers.elsewhere import composed
from scaleplan.trainers.settings import Setting, Settings
from scaleplan.trainers.training_config import NOT_GIVEN, Reading, RunGiven, TrainingConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from scaleplan.documents.key_path import Document

__all__ = ["TRAINERS", "Trainer", "read_training_config", "recognised"]


class Trainer(NamedTuple):
    """One trainer: how its configs are recognised, and what is read from them."""

    name: str
    forms: str
    """The forms of its configs."""
    recognise: Callable[[Document], Settings | None]
    sizes: Callable[[Settings, Reading, Document], dict[str, object] | Setting]
    """Return the fields of a config.json, without a vocabulary that is open, or the name of a public model."""
    run: Callable[[Settings, Reading, Document], None]
    model: str
    """What the size of the model is read from."""
    batch: str
    """What the tokens of a step are read from."""
    length: str
    """What the length of the run is read from."""
    left: str
    """What is usually not in the file."""


TRAINERS: tuple[Trainer, ...] = (
    Trainer(
        "GPT-NeoX", "YAML", megatron.neox, megatron.neox_sizes, megatron.neox_run,
        "`num_layers`, `hidden_size`, `intermediate_size`, `activation`, `norm`, `no_weight_tying`, …",
        "`train_batch_size`, or micro-batch, accumulation and GPUs; `seq_length`",
        "`train_iters`",
        "vocabulary, GPUs",
    ),
    Trainer(
        "NeMo", "YAML", megatron.nemo, megatron.nemo_sizes, megatron.nemo_run,
        "`model.num_layers`, `hidden_size`, `ffn_hidden_size`, `activation`, `normalization`, …",
        "`model.global_batch_size`, `rampup_batch_size`, `encoder_seq_length`",
        "`trainer.max_steps`",
        "vocabulary",
    ),
    Trainer(
        "Megatron-LM", "shell, YAML", megatron.megatron, megatron.megatron_sizes, megatron.megatron_run,
        "`--num-layers`, `--hidden-size`, `--ffn-hidden-size`, `--swiglu`, `--num-experts`, …",
        "`--global-batch-size`, `--micro-batch-size`, `--rampup-batch-size`, `--seq-length`",
        "`--train-iters` or `--train-samples`",
        "vocabulary, where the tokenizer has it",
    ),
    Trainer(
        "OLMo-core", "Python", olmo.olmo_core, olmo.olmo_core_sizes, olmo.olmo_core_run,
        "`TransformerConfig.olmo2_7B(…)` and other factories, `llama_like(…)`",
        "`global_batch_size` in tokens, `sequence_length`",
        "`Duration.tokens(…)` or `Duration.steps(…)`",
        "GPUs",
    ),
    Trainer(
        "torchtitan", "TOML, Python", torchtitan.torchtitan, torchtitan.torchtitan_sizes, torchtitan.torchtitan_run,
        "`model.name` and `model.flavor`, `model_registry(…)`",
        "`training.local_batch_size` or `global_batch_size`, `seq_len`; `num_tokens_per_microbatch_per_dp_rank`",
        "`training.steps`",
        "GPUs",
    ),
    Trainer(
        "Marin", "Python", levanter.marin, levanter.marin_sizes, levanter.marin_run,
        "`LlamaConfig(…)` and others of Levanter",
        "`SimpleTrainConfig(train_batch_size=…)`, `seq_len`",
        "`num_train_steps`",
        "vocabulary",
    ),
    Trainer(
        "litgpt", "YAML", litgpt.litgpt, litgpt.litgpt_sizes, litgpt.litgpt_run,
        "`model_name`, `model_config` or `checkpoint_dir`",
        "`train.global_batch_size`, `max_seq_length`",
        "`train.max_tokens` or `max_steps`",
        "GPUs, the size of the data where the length is in epochs",
    ),
    Trainer(
        "llm-foundry", "YAML", composer.foundry, composer.foundry_sizes, composer.foundry_run,
        "`model.d_model`, `n_layers`, `expansion_ratio`, `attn_config`, …, or `pretrained_model_name_or_path`",
        "`global_train_batch_size`, `max_seq_len`",
        "`max_duration`: `63900ba`, `26e9tok`, `1000sp`",
        "GPUs",
    ),
    Trainer(
        "Levanter", "YAML", levanter.levanter, levanter.levanter_sizes, levanter.levanter_run,
        "`model.type`, `hidden_dim`, `intermediate_dim`, `num_layers`, …",
        "`trainer.train_batch_size`, a number or a schedule; `model.seq_len`",
        "`trainer.num_train_steps`",
        "vocabulary, GPUs",
    ),
    Trainer(
        "Nanotron", "YAML", nano.nanotron, nano.nanotron_sizes, nano.nanotron_run,
        "`model.model_config`",
        "`tokens.micro_batch_size`, `batch_accumulation_per_replica`, `parallelism.dp`, `sequence_length`",
        "`tokens.train_steps`",
        "nothing",
    ),
    Trainer(
        "OLMo", "YAML", olmo.olmo, olmo.olmo_sizes, olmo.olmo_run,
        "`model.d_model`, `n_layers`, `mlp_hidden_size`, `embedding_size`, …",
        "`global_train_batch_size`, `model.max_sequence_length`",
        "`max_duration`: steps, or tokens as `2e12T`",
        "GPUs",
    ),
    Trainer(
        "nanochat", "shell", nano.nanochat, nano.nanochat_sizes, nano.nanochat_run,
        "`--depth`, `--aspect-ratio`, `--head-dim`",
        "`--total-batch-size` in tokens, `--max-seq-len`",
        "`--num-iterations`, or `--target-param-data-ratio` with the vocabulary",
        "vocabulary",
    ),
    Trainer(
        "MaxText", "shell, YAML", maxtext.maxtext, maxtext.maxtext_sizes, maxtext.maxtext_run,
        "`model_name`, or `base_emb_dim` and other dimensions",
        "`per_device_batch_size`, `gradient_accumulation_steps`, `max_target_length`",
        "`steps`",
        "GPUs, where one share of them fills what is left",
    ),
    Trainer(
        "axolotl", "YAML", huggingface.axolotl, huggingface.axolotl_sizes, huggingface.axolotl_run,
        "`base_model`, a public model",
        "`micro_batch_size`, `gradient_accumulation_steps`, `sequence_len`",
        "`max_steps`",
        "GPUs, the size of the data where the length is in epochs",
    ),
    Trainer(
        "Hugging Face Trainer", "JSON, YAML, shell, Python",
        huggingface.arguments, huggingface.arguments_sizes, huggingface.arguments_run,
        "`model_name_or_path`, a public model",
        "`per_device_train_batch_size`, `gradient_accumulation_steps`, `max_seq_length`",
        "`max_steps`",
        "model, GPUs, sequence, the size of the data where the length is in epochs",
    ),
    Trainer(
        "DeepSpeed", "JSON", deepspeed.deepspeed, deepspeed.deepspeed_sizes, deepspeed.deepspeed_run,
        "–",
        "two of `train_batch_size`, `train_micro_batch_size_per_gpu`, `gradient_accumulation_steps`",
        "–",
        "model, GPUs, sequence, length",
    ),
    Trainer(
        "nanoGPT", "Python, JSON, shell", nano.nanogpt, nano.nanogpt_sizes, nano.nanogpt_run,
        "`n_layer`, `n_head`, `n_embd`, `bias`, or `init_from`",
        "`batch_size`, `gradient_accumulation_steps` over all GPUs, `block_size`",
        "`max_iters`",
        "GPUs",
    ),
    Trainer(
        "params.json", "JSON", meta.params_json, meta.params_json_sizes, meta.params_json_run,
        "`dim`, `n_layers`, `n_heads`, `multiple_of`, …",
        "–",
        "–",
        "vocabulary, where it is -1",
    ),
)  # fmt: skip
"""The trainers, tried in turn: the marks of the earlier are not those of the later."""


_MAY_BE_NULL = frozenset({"q_lora_rank"})
"""The fields of a config.json in which a null says something: a plain query matrix."""


def recognised(document: Document) -> tuple[Trainer, Settings] | None:
    """Return the trainer of a config, and its settings; None for a file of another kind.

    A script of the shell with words such as ``model.num_layers=12`` changes a config of a trainer without flags.
    """
    for trainer in TRAINERS:
        settings = trainer.recognise(document) if _has_form(trainer, document) else None
        if settings is not None:
            return trainer, settings
    return None


def _has_form(trainer: Trainer, document: Document) -> bool:
    if isinstance(document, ShellDocument):
        return "shell" in trainer.forms
    return not isinstance(document, PythonDocument) or "Python" in trainer.forms


def read_training_config(
    document: Document, given: RunGiven = NOT_GIVEN, *, beside: Callable[[str], Document | None] = lambda _: None
) -> TrainingConfig | None:
    """Return what a training config says, with what the user gives beside it; None for a file of another kind.

    ``beside`` finds the document of another file by the name that the config has for it. A size that the file
    does not determine is kept as ``unsized``. Raises FileError for values of the run that are no numbers, or
    contradict each other.
    """
    if isinstance(document, YamlDocument):
        document.follow(beside)
    found = recognised(document)
    if found is None:
        return None
    trainer, settings = found
    reading = Reading(given, beside)
    fields: dict[str, object] | None = None
    reference: Setting | None = None
    unsized: FileError | None = None
    try:
        sizes = trainer.sizes(settings, reading, document)
    except FileError as error:
        unsized = error
    else:
        if isinstance(sizes, Setting):
            reference = sizes
        else:
            fields = {name: value for name, value in sizes.items() if value is not None or name in _MAY_BE_NULL}
    sized = tuple(settings.read)
    trainer.run(settings, reading, document)
    if names := composed(document):
        reading.note(f"the files that the list of defaults names are not read: {', '.join(names)}")
    reading.derive(document.name)
    return TrainingConfig(
        trainer=trainer.name,
        file=document.name,
        fields=fields,
        reference=reference,
        unsized=unsized,
        values=reading.values,
        open=reading.open,
        notes=tuple(reading.notes),
        sizes=sized,
        read=settings.read,
    )
