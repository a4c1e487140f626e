"""The commands about one model: count a config, find the shape of a size, compute the memory."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from scaleplan.advice.ways import ways as compare_ways
from scaleplan.cli.command import Answer, command, single
from scaleplan.cli.options import (
    EVERYDAY,
    PANELS,
    MarginOptions,
    keywords,
)
from scaleplan.cli.settings import variable
from scaleplan.errors import Notice, UsageError, quote
from scaleplan.files import decoded, read_input, require_writable, with_ending, write_atomic
from scaleplan.models import memory_questions, questions, training_setup
from scaleplan.models.config import MAX_CONFIG_BYTES, parse_config
from scaleplan.models.model import VocabularyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scaleplan.models.memory_summary import MemorySummary
    from scaleplan.models.model import Model

__all__ = ["APPS", "read_argument"]

APPS = {name: single() for name in ("model", "shape", "memory")}


def read_argument(source: str, *, arch: str | None, context: str | None, vocab: str | None = None) -> Model:
    """Read the model of a file, a folder, or standard input for ``-``."""
    if source != "-":
        return questions.model(Path(source), arch=arch, context=context, vocab=vocab)
    name = "standard input"
    text = decoded(read_input(4 * MAX_CONFIG_BYTES, hint="name a config.json"), name)
    config = parse_config(text, source=name)
    return replace(questions.model(config, arch=arch, context=context, vocab=vocab), source=name)


@command(
    APPS["model"],
    examples=[
        "scaleplan model config.json",
        "scaleplan model ./Llama-3-8B --context 8192 --json",
        "scaleplan model llama-3.1-8b",
        "cat config.json | scaleplan model - --get params",
    ],
)
def model(
    *,
    source: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG",
            help="A config.json, its folder, the name of a published model, a description (.toml), or - for input.",
        ),
    ],
    arch: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Family to read it as if model_type does not say, or a description (.toml)."
        ),
    ] = None,
    context: Annotated[
        str | None,
        typer.Option(
            metavar="T",
            help="Tokens in a training sequence, for attention: 8k; 2,048 if not given, or the model's own if less.",
        ),
    ] = None,
    vocab: Annotated[
        str | None, typer.Option(metavar="V", help="Vocabulary of a training config that leaves it to the tokenizer.")
    ] = None,
) -> Answer:
    """Count a model exactly: parameters by kind, training FLOP per token, key and value cache."""
    try:
        return Answer(result=read_argument(source, arch=arch, context=context, vocab=vocab).summary())
    except VocabularyError as error:
        message = f"{error.message}: {error.hint} for the parameters of tables and head"
        return Answer(result=error.body, notices=(Notice(code="no_vocabulary", message=message),))


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeOptions:
    """The habits of the family, and the dimensions that are fixed."""

    style: Annotated[
        str,
        typer.Option(metavar="NAME", help="Family whose habits are followed: llama, gpt2, qwen3, mixtral, …"),
        EVERYDAY,
    ] = "llama"
    count: Annotated[
        str, typer.Option(metavar="NAME", help="What PARAMS counts: total, or non_embedding."), EVERYDAY
    ] = "total"
    vocab: Annotated[str | None, typer.Option(metavar="V", help="Rows of the token table."), EVERYDAY] = None
    tied: Annotated[
        bool | None, typer.Option("--tied/--untied", help="Whether the output head is the token table."), EVERYDAY
    ] = None
    kv_heads: Annotated[str | None, typer.Option(metavar="N", help="Key and value heads."), EVERYDAY] = None
    tensor_parallel: Annotated[
        str, typer.Option(metavar="N", help="GPUs that share each layer; all widths are divisible by it.")
    ] = "1"
    context: Annotated[
        str | None,
        typer.Option(metavar="T", help="Longest context of the model; that of the style if not given."),
        EVERYDAY,
    ] = None
    experts: Annotated[str | None, typer.Option(metavar="N", help="Experts in a layer."), EVERYDAY] = None
    experts_per_token: Annotated[str | None, typer.Option(metavar="N", help="Experts that a token uses.")] = None


@command(
    APPS["shape"],
    examples=[
        "scaleplan shape 7B",
        "scaleplan shape 350M --style gpt2 --tied -o config.json",
        "scaleplan shape 47B --style mixtral --experts 8 --experts-per-token 2",
    ],
)
def shape(
    params: Annotated[str, typer.Argument(metavar="PARAMS", help="Size wanted: 7B.")],
    options: ShapeOptions,
    *,
    out: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write the config.json there.", rich_help_panel=PANELS["output"]
        ),
    ] = None,
) -> Answer:
    """Find a concrete, hardware-aligned architecture of a size, as a config.json."""
    if out == "-":
        raise UsageError(f"cannot write the config to {quote(out)}", hint="'--json' has it under the key config")
    if out is not None:
        require_writable(with_ending(out, (".json",), hint="configs are .json files"))
    found = questions.shape(params, **keywords(options))
    config = json.dumps(found.config, indent=2, sort_keys=True) + "\n"
    return Answer(result=found.summary(), write=None if out is None else partial(write_atomic, Path(out), config))


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryOptions:
    """The GPUs, and what they take at once."""

    TITLE: ClassVar[str] = "GPUs and batch"

    gpu: Annotated[
        str | None,
        typer.Option(metavar="ID", envvar="SCALEPLAN_GPU", help="The GPU; 'scaleplan gpus list' shows them."),
        EVERYDAY,
    ] = None
    gpus: Annotated[
        str | None, typer.Option(metavar="N", help="GPUs; the fewest that fit if not given."), EVERYDAY
    ] = None
    context: Annotated[
        str | None,
        typer.Option(
            metavar="T", help="Tokens in a sequence; to train 2,048, or the model's own if less; to serve its own."
        ),
        EVERYDAY,
    ] = None
    batch: Annotated[str | None, typer.Option(metavar="TOKENS", help="Tokens of a step."), EVERYDAY] = None
    micro_batch: Annotated[str | None, typer.Option(metavar="N", help="Sequences at once on a GPU.")] = None
    vocab: Annotated[
        str | None, typer.Option(metavar="V", help="Vocabulary of a training config that leaves it to the tokenizer.")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaysOptions:
    """The comparison of every way to train or tune the model, and how long the run is."""

    TITLE: ClassVar[str] = "Every way, compared"

    ways: Annotated[
        bool,
        typer.Option(
            "--ways", help="All usual ways to train or tune it on --gpu (one, or --gpus): memory, hours, money."
        ),
        EVERYDAY,
    ] = False
    tokens: Annotated[str | None, typer.Option(metavar="D", help="Tokens of the run (10M)."), EVERYDAY] = None
    epochs: Annotated[str | None, typer.Option(metavar="N", help="Passes over --data-tokens.")] = None
    data_tokens: Annotated[str | None, typer.Option(metavar="D", help="Tokens of the data.")] = None
    hours: Annotated[str | None, typer.Option(metavar="H", help="The tokens that so many hours do.")] = None
    cost: Annotated[str | None, typer.Option(metavar="USD", help="The tokens that so much money pays for.")] = None
    price: Annotated[
        str | None,
        typer.Option(metavar="USD/H", envvar=variable("price"), help="Price of a GPU-hour, or its name."),
    ] = None
    mfu: Annotated[
        str | None,
        typer.Option(metavar="F", envvar=variable("mfu"), help="Share of the peak that is reached."),
    ] = None
    profile: Annotated[
        str | None,
        typer.Option(metavar="NAME", envvar=variable("profile"), help="Utilisation to assume (fine-tuning)."),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodOptions:
    """How a model is trained or tuned."""

    TITLE: ClassVar[str] = "One way to train or tune"

    tune: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="All weights (full), or adapters: lora, qlora, dora, qdora."),
        EVERYDAY,
    ] = None
    trainer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="As this trainer does it, where nothing is said: huggingface, axolotl, ms-swift, unsloth, "
            "torchtune, litgpt or torchtitan.",
        ),
    ] = None
    rank: Annotated[str | None, typer.Option(metavar="R", help="Adapters: rank (8).")] = None
    targets: Annotated[
        str | None, typer.Option(metavar="LIST", help="Adapters: q,k,v,o,gate,up,down, some of them, or all.")
    ] = None
    adapter_bits: Annotated[str | None, typer.Option(metavar="N", help="Adapters: bits of a weight (32).")] = None
    quantize: Annotated[
        str | None,
        typer.Option(
            metavar="KIND", help="Storage of frozen or served matrices: nf4, nf4-dq, int8, fp8, gptq-int4, …"
        ),
        EVERYDAY,
    ] = None
    trained_layers: Annotated[
        str | None, typer.Option(metavar="N", help="Train or adapt the last N layers only.")
    ] = None
    freeze: Annotated[
        str | None, typer.Option(metavar="LIST", help="Not trained: embeddings, norms, attention, ffn.")
    ] = None
    optimizer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Optimizer: adamw, adamw-8bit, paged-adamw-8bit, adafactor, muon, sgd, galore, …"
        ),
    ] = None
    galore_rank: Annotated[str | None, typer.Option(metavar="R", help="GaLore: rank of a gradient (1024).")] = None
    precision: Annotated[
        str | None, typer.Option(metavar="KIND", help="Numbers: fp32, autocast, bf16, mixed, fsdp, fp8, nvfp4.")
    ] = None
    states: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="In place of optimizer and precision: mixed, fp32, bf16, 8bit-adam, fp8, …"
        ),
    ] = None
    recompute: Annotated[
        str | None, typer.Option(metavar="KIND", help="What is computed again: none, selective or full."), EVERYDAY
    ] = None
    loss: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="Logits: full, compiled, shifted, chunked, chunked-16 or fused (none)."),
    ] = None
    attention: Annotated[
        str | None,
        typer.Option(metavar="KIND", help="Attention: flash, sdpa (keys for each head), eager (scores stored)."),
    ] = None
    kernels: Annotated[
        str | None, typer.Option(metavar="KIND", help="Operations: compiled (fused), or eager: fp32 copies in norms.")
    ] = None
    offload: Annotated[str | None, typer.Option(metavar="LIST", help="In host memory: activations, optimizer.")] = (
        None
    )
    also: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Other habits, in docs/guides/memory.md: in-backward, dropout, unpacked, upcast, merged, untied, …",
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutOptions:
    """How several GPUs divide a model."""

    TITLE: ClassVar[str] = "Layout over GPUs, the best if not given"

    zero: Annotated[str | None, typer.Option(metavar="0-3", help="ZeRO stage; 3 shards all (FSDP).")] = None
    tensor: Annotated[str | None, typer.Option(metavar="N", help="GPUs that share each layer.")] = None
    pipeline: Annotated[str | None, typer.Option(metavar="N", help="Stages of layers, one after the other.")] = None
    context_parallel: Annotated[str | None, typer.Option(metavar="N", help="GPUs that split sequences.")] = None
    expert: Annotated[str | None, typer.Option(metavar="N", help="GPUs that split experts.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingOptions:
    """A model that is served."""

    TITLE: ClassVar[str] = "Serving"

    serve: Annotated[bool, typer.Option("--serve", help="To serve the model and not to train it."), EVERYDAY] = False
    sequences: Annotated[str | None, typer.Option(metavar="N", help="Sequences at once."), EVERYDAY] = None
    weight_bits: Annotated[
        str | None, typer.Option(metavar="N", help="Bits of a weight (the config's, else 16).")
    ] = None
    cache_bits: Annotated[str | None, typer.Option(metavar="N", help="Bits of a cached value.")] = None


@command(
    APPS["memory"],
    examples=[
        "scaleplan memory 7B --gpu h100-sxm",
        "scaleplan memory llama-3.1-8b --gpu rtx-4090 --serve --context 8k",
        "scaleplan memory config.json --gpu h100-sxm --gpus 64 --context 8192 --batch 4M",
        "scaleplan memory 70B --gpu h100-sxm --gpus 2 --serve --sequences 16 --weight-bits 8",
        "scaleplan memory 13B --gpu a100-sxm-40 --gpus 7 --margins 'states=85%, activations=1.2'",
        "scaleplan memory llama-3.1-8b --gpu rtx-4090 --ways --epochs 3 --data-tokens 5M",
        "scaleplan memory 8B --gpu rtx-4090 --gpus 1 --tune qlora --rank 16 --recompute full --loss fused",
    ],
)
def memory(
    source: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A size such as 7B, a name such as llama-3.1-8b, a config.json, its folder, or - for input.",
        ),
    ],
    *,
    options: MemoryOptions,
    compared: WaysOptions,
    method: MethodOptions,
    layout: LayoutOptions,
    served: ServingOptions,
    margins: MarginOptions,
) -> Answer:
    """Tell the memory of each GPU by what it holds, and a layout that fits; status 1 where none does."""
    model_or_size = read_argument("-", arch=None, context=options.context) if source == "-" else source
    given = keywords(options, method, layout, served, margins)
    run = {name: value for name, value in keywords(compared).items() if name != "ways"}
    if compared.ways:
        return _ways(source, model_or_size, given, run)
    for name, value in run.items():
        if value is not None:
            raise UsageError(f"--{name.replace('_', '-')} is about a comparison of ways to train", hint="add --ways")
    found = memory_questions.memory(model_or_size, **given)
    notices = (*_taken(source, given), *found.warnings)
    if found.excess is not None:
        notices += (Notice(code="does_not_fit", message=_no(found)),)
    return Answer(result=found, notices=notices, exit_status=1 if found.fits is False else 0)


def _ways(source: str, model_or_size: str | Model, given: dict[str, Any], run: Mapping[str, Any]) -> Answer:
    """Return the comparison of every way to train or tune a model; status 1 where none fits."""
    if given["gpu"] is None:
        raise UsageError("--ways needs a GPU", hint="name it: --gpu rtx-4090; 'scaleplan gpus list' lists them")
    found = compare_ways(model_or_size, **given, **run)
    notices = (*_taken(source, given), *found.warnings)
    if not found.fits:
        message = f"no way to train {found.model} fits {found.gpus:,} x {found.gpu}"
        notices += (Notice(code="does_not_fit", message=message),)
    return Answer(result=found, notices=notices, exit_status=0 if found.fits else 1)


def _taken(source: str, given: Mapping[str, Any]) -> Iterator[Notice]:
    """Yield which options were taken from a training config."""
    if source == "-" or given.get("serve"):
        return
    own = {name: given.get(name) for name in ("gpus", "context", "vocab", "states")}
    stated = {name: value for name, value in training_setup.stated(source, **own).items() if given.get(name) is None}
    if stated:
        options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in stated.items())
        yield Notice(code="taken", message=f"taken from {source}: {options}")


def _no(found: MemorySummary) -> str:
    """Return why nothing fits, and what would, in one line."""
    assert found.excess is not None
    devices = f"{found.gpus:,} x {found.gpu}"
    if found.parallel is None:
        ways = f"; it fits with {', or '.join(found.ways_out)}" if found.ways_out else ""
        return f"{found.model} does not fit {devices} to serve: {found.excess.text}{ways}"
    others = [way for way in found.ways_out if not way.startswith("--gpus ")]
    ways = f"; it fits with {', or '.join(others)}" if others else ""
    if found.fewest_devices is None:
        devices = f"{found.gpu}, however many there are"
    elif found.fewest_devices > found.gpus:
        ways += f"; it needs {found.fewest_devices:,} or more"
    return f"no layout of {found.model} fits {devices}: of the nearest, {found.excess.text}{ways}"
