"""What follows from a training config: batches, devices, lengths, tables, and what leaves them open."""

from __future__ import annotations

import json
import re
import shlex
from string import Template

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaleplan.documents.document import parse_document
from scaleplan.errors import FileError
from scaleplan.models import trained
from scaleplan.models.model import VocabularyError, model_of_config, read_model
from scaleplan.models.public_models import PublicModels
from scaleplan.trainers.levanter import chips_of
from scaleplan.trainers.named import named_models, sources
from scaleplan.trainers.registry import read_training_config
from scaleplan.trainers.training_config import RunGiven

MEGATRON = "pretrain.py --num-layers 12 --hidden-size 768 --num-attention-heads 12 --max-position-embeddings 1024 "
OLMO = """\
model: {d_model: 512, n_heads: 8, n_layers: 8, mlp_ratio: 4, max_sequence_length: 1024, vocab_size: 50280}
global_train_batch_size: 64
max_duration: $length
"""
MPT = """\
model: {name: mpt_causal_lm, d_model: 512, n_heads: 8, n_layers: 8, vocab_size: 50368, no_bias: true}
max_seq_len: 1024
global_train_batch_size: 64
max_duration: $length
"""
NANOCHAT = "torchrun --nproc_per_node=8 -m scripts.base_train -- --depth=$depth --device-batch-size=16 $more\n"
MAXTEXT = "python3 -m maxtext.train base.yml model_name=llama3-8b max_target_length=1024 steps=10 $more\n"
DEEPSPEED = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps")


def read(text, name, **beside):
    """Return what a config says."""
    return read_training_config(parse_document(text, name=name), RunGiven(**beside))


def refusal(text, name):
    """Return the error of a config: of its reading, or of its tokens, which it leaves open."""
    try:
        return read(text, name).missing("tokens")
    except FileError as error:
        return error


def value(found, name):
    """Return a value of a run, None where it is open."""
    setting = found.values.get(name)
    return None if setting is None else setting.value


def model(found):
    """Return the model that a config describes."""
    return model_of_config(found, found.fields)


@pytest.mark.parametrize(
    "length, tokens, steps",
    [
        ("2e9T", 2 * 10**9, 30517),
        ("2_000_000T", 2_000_000, 30),
        ("739_328", 739_328 * 64 * 1024, 739_328),
        ("500", 500 * 65536, 500),
        ("1ep", None, None),
        ("null", None, None),
    ],
)
def test_a_length_of_olmo(length, tokens, steps):
    """T means tokens, ep passes over the data, no suffix steps."""
    found = read(Template(OLMO).substitute(length=length), "olmo.yaml")
    assert (value(found, "tokens"), value(found, "steps")) == (tokens, steps)
    assert ("tokens" in found.open) == (tokens is None)


@pytest.mark.parametrize(
    "length, tokens",
    [
        ("4800ba", 4800 * 65536),
        ("26e9tok", 26 * 10**9),
        ("1_000_000sp", 1_000_000 * 1024),
        ("1ep", None),
        ("10h", None),
        ("0.5dur", None),
    ],
)
def test_a_length_of_composer(length, tokens):
    """Batches, tokens, samples; passes over the data and times are open, with their line."""
    found = read(Template(MPT).substitute(length=length), "mpt.yaml")
    assert value(found, "tokens") == tokens
    if tokens is None:
        assert found.open["tokens"].place.line == 4


@pytest.mark.parametrize("length", ["5e12T5", "5 potatoes", "T", "5.5", "-3", "5e400tok"])
def test_what_is_no_length_is_an_error_with_its_line(length):
    """Never a number that is not there."""
    for text, name in ((OLMO, "olmo.yaml"), (MPT, "mpt.yaml")):
        assert refusal(Template(text).substitute(length=length), name).line in (3, 4)


@pytest.mark.parametrize("missing", DEEPSPEED)
def test_two_of_three_suffice_for_deepspeed(missing):
    """A batch is the product of micro-batch, accumulation and data-parallel devices."""
    known = {"train_batch_size": 512, "train_micro_batch_size_per_gpu": 4, "gradient_accumulation_steps": 16}
    names = dict(zip(DEEPSPEED, ("batch", "micro_batch", "accumulation"), strict=True))
    text = {key: "auto" if key == missing else number for key, number in known.items()}
    found = read(json.dumps({**text, "zero_optimization": {"stage": 2}}), "ds.json", gpus=8)
    assert value(found, names[missing]) == known[missing]


def test_a_batch_that_is_not_the_product_is_an_error():
    """All three of DeepSpeed's numbers, and other devices than they need."""
    text = json.dumps(
        {"train_batch_size": 512, "train_micro_batch_size_per_gpu": 4, "gradient_accumulation_steps": 16}
    )
    assert value(read(text, "ds.json", gpus=8), "data") == 8
    with pytest.raises(FileError, match="a batch of 512 is not 4 x 16 x 4"):
        read(text, "ds.json", gpus=4)


def test_experts_do_not_divide_the_data_parallel_devices():
    """The data-parallel devices are gpus / (tp pp cp), whatever the experts are spread over."""
    text = (
        f"torchrun --nproc_per_node=8 --nnodes=4 {MEGATRON} --seq-length 1024 --micro-batch-size 1 "
        "--global-batch-size 64 --train-iters 10 --tensor-model-parallel-size 2 --pipeline-model-parallel-size 2 "
        "--context-parallel-size 2 --expert-model-parallel-size 4"
    )
    found = read(text, "run.sh")
    assert (value(found, "gpus"), value(found, "data"), value(found, "accumulation")) == (32, 4, 16)
    with pytest.raises(FileError, match="no multiple of the 8"):
        read(text.replace("--nnodes=4", "--nnodes=1").replace("node=8", "node=4"), "run.sh")


@pytest.mark.parametrize("gpus", [1, 4, 8])
def test_accumulation_of_nanogpt_counts_all_devices(gpus):
    """More devices take fewer micro-batches each: the tokens of a step stay."""
    text = "batch_size = 12\nblock_size = 1024\ngradient_accumulation_steps = 5 * 8\nmax_iters = 10\n"
    found = read(text, "train.py", gpus=gpus)
    assert (value(found, "batch_tokens"), value(found, "accumulation")) == (491_520, 40 // gpus)


def test_characters_as_tokens_leave_the_vocabulary_of_nanogpt_open():
    """Its data have a vocabulary of their own, which meta.pkl has."""
    text = "dataset = 'shakespeare_char'\nblock_size = 256\nmax_iters = 5000\nn_layer = 6\nn_head = 6\nn_embd = 384\n"
    with pytest.raises(VocabularyError) as caught:
        model(read(text, "train.py"))
    assert caught.value.line == 1
    assert model(read(text, "train.py", vocab=65)).params == 65 * 384 + 256 * 384 + 6 * (12 * 384**2 + 2 * 384) + 384


@pytest.mark.parametrize(
    "depth, width, heads", [(4, 256, 2), (12, 768, 6), (20, 1280, 10), (21, 1408, 11), (26, 1664, 13)]
)
def test_the_width_of_nanochat_is_a_multiple_of_its_heads(depth, width, heads):
    """Depth times 64, rounded up to whole heads of 128; the table to 64 rows."""
    found = read(Template(NANOCHAT).substitute(depth=depth, more=""), "run.sh", vocab=65_530)
    assert (found.fields["hidden_size"], found.fields["num_attention_heads"]) == (width, heads)
    assert found.fields["vocab_size"] == 65_536


@pytest.mark.parametrize(
    "more, tokens",
    [
        ("--num-iterations=100 --target-param-data-ratio=20 --total-batch-size=524288", 100 * 524288),
        ("--target-flops=1e19 --total-batch-size=524288", None),
        ("--total-batch-size=524288", 12 * (12 * 12 * 768**2 + 6 * 12 * 6 + 65536 * 768) // 524288 * 524288),
        ("--num-iterations=100 --total-batch-size=-1", None),
    ],
)
def test_the_length_of_nanochat(more, tokens):
    """The first of iterations, FLOP and a ratio to the matrices and the head; batches are in tokens."""
    found = read(Template(NANOCHAT).substitute(depth=12, more=more), "run.sh", vocab=65_536)
    assert value(found, "tokens") == tokens


@pytest.mark.parametrize(
    "more, gpus, batch",
    [
        ("per_device_batch_size=0.25 ici_fsdp_parallelism=16", 16, 4),
        (
            "per_device_batch_size=2 ici_fsdp_parallelism=4 dcn_data_parallelism=2 gradient_accumulation_steps=3",
            8,
            48,
        ),
        ("per_device_batch_size=4 ici_fsdp_parallelism=-1 ici_tensor_parallelism=4", None, None),
    ],
)
def test_batches_of_maxtext(more, gpus, batch):
    """A batch of a device may be below one sequence; a share of -1 fills what is left."""
    found = read(Template(MAXTEXT).substitute(more=more), "run.sh")
    assert (value(found, "gpus"), value(found, "batch")) == (gpus, batch)
    if gpus is None:
        assert value(read(Template(MAXTEXT).substitute(more=more), "run.sh", gpus=64), "batch") == 256


@pytest.mark.parametrize(
    "scale, factors", [(1, (1, 1, 1)), (2, (1, 2, 1)), (4, (2, 2, 1)), (8, (2, 2, 2)), (16, (2, 4, 2))]
)
def test_a_scale_of_maxtext_is_spread_over_the_dimensions(scale, factors):
    """A power of two: first heads and inner width, then the width, then the layers."""
    found = read(Template(MAXTEXT).substitute(more=f"model_name=default global_parameter_scale={scale}"), "run.sh")
    fields = found.fields
    width, inner, layers = factors
    assert (fields["hidden_size"], fields["intermediate_size"]) == (2048 * width, 7168 * inner)
    assert (fields["num_hidden_layers"], fields["num_attention_heads"]) == (16 * layers, 16 * inner)


@pytest.mark.parametrize(
    "name, chips",
    [
        ("v4-128", 64),
        ("v3-32", 16),
        ("v5p-8", 4),
        ("v5e-16", 16),
        ("v5litepod-256", 256),
        ("v6e-8", 8),
        ("h100", None),
    ],
)
def test_names_of_tpu_slices(name, chips):
    """Of v2 to v4 and v5p they count cores, two a chip; of v5e and v6e chips."""
    assert chips_of(name) == chips


def test_the_defaults_of_levanter_are_those_of_its_trainer():
    """400,000 steps of 512 sequences, and a line that says so."""
    found = read("model: {type: llama, seq_len: 4096}\ntrainer: {seed: 0}\n", "levanter.yaml")
    assert value(found, "tokens") == 400_000 * 512 * 4096
    assert len(found.notes) == 2


@pytest.mark.parametrize(
    "options, fields",
    [
        ("--swiglu", {"intermediate_size": 2048, "mlp_gated": True}),
        ("--swiglu --ffn-hidden-size 3000", {"intermediate_size": 3000}),
        ("", {"intermediate_size": 3072, "mlp_gated": False, "qkv_bias": True, "position_table": 1024}),
        ("--vocab-size 50257", {"vocab_size": 50304}),
        ("--vocab-size 50257 --tensor-model-parallel-size 8", {"vocab_size": 51200}),
        ("--vocab-size 50257 --make-vocab-size-divisible-by 1", {"vocab_size": 50257}),
        ("--position-embedding-type rope", {"position_table": None}),
        ("--disable-bias-linear --add-qkv-bias", {"qkv_bias": True, "output_bias": False}),
        ("--group-query-attention --num-query-groups 4 --kv-channels 96", {"num_key_value_heads": 4, "head_dim": 96}),
        (
            "--disable-bias-linear --num-experts 8 --moe-router-topk 2 --moe-layer-freq ([0]*1+[1]*11)",
            {"num_local_experts": 8, "num_experts_per_tok": 2, "sparse": [0] + [1] * 11},
        ),
        ("--disable-bias-linear --num-experts 8 --moe-layer-freq 2", {"sparse": [1, 0] * 6}),
    ],
)
def test_sizes_of_megatron(options, fields):
    """Inner width by its rule, tables padded to 128 times the tensor-parallel devices, biases, groups, experts."""
    words = " ".join(shlex.quote(word) for word in options.split())
    found = read(f"{MEGATRON} {words}\n", "run.sh")
    assert found.unsized is None
    assert {name: found.fields.get(name) for name in fields} == fields


def test_latent_attention_of_megatron_is_deepseeks():
    """The sizes of DeepSeek-V2-Lite in Megatron's flags give its count, 15,706,484,224, as its config.json does."""
    flags = (
        "--num-layers 27 --hidden-size 2048 --num-attention-heads 16 --ffn-hidden-size 10944 "
        "--multi-latent-attention "
        "--kv-lora-rank 512 --qk-head-dim 128 --qk-pos-emb-head-dim 64 --v-head-dim 128 --num-experts 64 --swiglu "
        "--moe-router-topk 6 --moe-ffn-hidden-size 1408 --moe-shared-expert-intermediate-size 2816 "
        "--moe-layer-freq '([0]*1+[1]*26)' --normalization RMSNorm --disable-bias-linear --vocab-size 102400 "
        "--untie-embeddings-and-output-weights --position-embedding-type rope --seq-length 4096"
    )
    assert model(read(f"pretrain.py {flags}\n", "run.sh")).params == 15_706_484_224


FLAGS = {
    "--num-layers": "12",
    "--hidden-size": "768",
    "--num-attention-heads": "12",
    "--max-position-embeddings": "1024",
    "--seq-length": "1024",
    "--vocab-size": "50257",
    "--micro-batch-size": "4",
    "--global-batch-size": "256",
    "--train-iters": "1000",
}


@settings(max_examples=60, deadline=None)
@given(st.permutations(list(FLAGS)), st.data())
def test_the_way_in_which_flags_are_written_changes_nothing(order, data):
    """Any order, ``--flag=value``, quotes, continued lines, a variable, an array, a text of flags."""
    lines, words = [], []
    for number, flag in enumerate(order):
        text = FLAGS[flag]
        match data.draw(
            st.sampled_from(["plain", "equals", "quoted", "variable", "default", "array", "text", "sum"])
        ):
            case "equals":
                words.append(f"{flag}={text}")
            case "quoted":
                words.append(f'{flag} "{text}"')
            case "variable":
                lines.append(f"V{number}={text}")
                words.append(f"{flag} $V{number}")
            case "default":
                words.append(f"{flag} ${{UNSET{number}:-{text}}}")
            case "array":
                lines.append(f"A{number}=(\n  {flag} {text} # {flag} 1\n)")
                words.append(f'"${{A{number}[@]}}"')
            case "text":
                lines.append(f'T{number}="--lr 1 {flag} {text}"')
                words.append(f"$T{number}")
            case "sum":
                words.append(f"{flag} $((2 * {text} - {text}))")
            case _:
                words.append(f"{flag} {text}")
    separator = data.draw(st.sampled_from([" ", " \\\n  "]))
    script = "\n".join(
        [*lines, f"torchrun --nproc_per_node 8 pretrain.py {separator.join(words)}", "echo --hidden-size 1"]
    )
    found = read(script, "run.sh")
    assert (value(found, "tokens"), value(found, "gpus")) == (1000 * 256 * 1024, 8)
    assert model(found).params == 124_475_904


@settings(max_examples=60, deadline=None)
@given(
    start=st.integers(1, 8),
    stages=st.integers(1, 6),
    step=st.integers(1, 8),
    samples=st.integers(1, 4000),
    iters=st.integers(1, 400),
)
def test_a_growing_batch_is_summed_as_its_trainer_runs_it(start, stages, step, samples, iters):
    """Step by step: a batch grows by the increment each time that its share of the samples has been consumed."""
    final = start + stages * step
    consumed = 0
    for _ in range(iters):
        grown = start + int(consumed // (samples / stages)) * step if consumed < int(samples) else final
        consumed += min(grown, final)
    text = f"{MEGATRON} --seq-length 8 --global-batch-size {final} --train-iters {iters} "
    found = read(f"{text} --rampup-batch-size {start} {step} {samples}\n", "run.sh")
    assert abs(value(found, "samples") - consumed) <= final  # where a stage ends between two whole samples
    assert value(found, "tokens") == value(found, "samples") * 8


FOUND = "--num-layers 2 --hidden-size 64 --num-attention-heads 4 --max-position-embeddings 64 --vocab-size 1000"


@pytest.mark.parametrize(
    "script",
    [
        f'ARGS=({FOUND})\nARGS+=(--seq-length 64)\npython pretrain.py "${{ARGS[@]}}"',
        f'ARGS="{FOUND}"\nARGS+=" --seq-length 64"\npython pretrain.py $ARGS',
        f'ARGS="{FOUND}"\nARGS="$ARGS --seq-length 64"\npython pretrain.py ${{ARGS}}',
        f'MORE="--seq-length 64 --rank $RANK --host $(hostname)"\npython pretrain.py {FOUND} $MORE',
        f'A=({FOUND})\nB=("${{A[@]}}" --seq-length 64)\nsrun python pretrain.py ${{B[*]}}',
        f"python other.py --hidden-size 1\nif true; then\n  python pretrain.py {FOUND} --seq-length 64\nfi",
    ],
)
def test_flags_of_arrays_and_texts_are_put_together(script):
    """Words are added, one array is put into another, and what is not known does not hide what is."""
    found = read(f"{script} --train-iters 10 --global-batch-size 8\n".replace("\nfi --", " --"), "run.sh")
    assert (value(found, "tokens"), found.fields["vocab_size"]) == (5120, 1024)


@pytest.mark.parametrize(
    "before, after",
    [
        ("", 'if [ -n "$X" ]; then ARGS+=(--swiglu); fi\n'),
        ("", 'if [ -n "$X" ]; then\n  ARGS="${ARGS} --hidden-size 128"\nfi\n'),
        ("", "ARGS=(--num-layers 4)\n"),
        ("for size in a b; do\n", "done\n"),
    ],
)
def test_flags_that_a_script_decides_on_are_not_known(before, after):
    """In a branch or a loop, or set again: the size is not determined, and never that of one branch."""
    text = f'{before}ARGS=({FOUND})\n{after}python pretrain.py "${{ARGS[@]}}"\n'
    assert read(text, "run.sh").unsized is not None


def test_devices_come_from_the_directives_of_slurm():
    """Nodes times the devices of a node, where no launcher says it."""
    text = f"#!/bin/bash\n#SBATCH --nodes=4\n#SBATCH --gres=gpu:h100:8\nsrun python pretrain.py {FOUND}\n"
    assert value(read(text, "run.sh"), "gpus") == 32
    assert value(read(text.replace("--gres=gpu:h100:8", "--gpus-per-node=4"), "run.sh"), "gpus") == 16


ARGUMENTS = """\
name = "meta-llama/Llama-2-7b-hf"
BATCH = 4
model = AutoModelForCausalLM.from_pretrained(name, load_in_4bit=True)
peft = LoraConfig(r=16, lora_alpha=32)
if __name__ == "__main__":
    args = TrainingArguments(
        "out", per_device_train_batch_size=BATCH, gradient_accumulation_steps=2 * 4, max_steps=100
    )
"""


def test_arguments_in_python_are_read_with_the_model_and_the_adapter():
    """Calls wherever they stand, by names that are assigned before."""
    found = read(ARGUMENTS, "train.py", gpus=2, sequence=1024)
    assert (found.reference.value, value(found, "tokens")) == ("meta-llama/Llama-2-7b-hf", 100 * 4 * 8 * 2 * 1024)
    assert (value(found, "adapter"), value(found, "lora_rank"), value(found, "weight_bits")) == ("qlora", 16, 4)


def test_states_come_from_the_deepspeed_config_beside_the_arguments(tmp_path):
    """The file that is named, where it lies beside or below; else the stage that its name tells."""
    args = {"per_device_train_batch_size": 1, "max_steps": 10, "deepspeed": "ds/mine.json"}
    (tmp_path / "ds").mkdir()
    (tmp_path / "args.json").write_text(json.dumps(args))
    (tmp_path / "ds" / "mine.json").write_text(
        '{"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}}}'
    )
    found = trained.trained_file(tmp_path / "args.json").config
    assert (value(found, "zero"), value(found, "offload")) == (2, "states")
    (tmp_path / "args.json").write_text(json.dumps({**args, "deepspeed": "../other/ds_z3_config.json"}))
    assert value(trained.trained_file(tmp_path / "args.json").config, "zero") == 3


@pytest.mark.parametrize("trainer", ["litgpt", "torchtitan", "OLMo-core", "MaxText"])
def test_every_model_that_a_trainer_knows_by_name_is_counted(trainer):
    """And is about as large as its name says, with the file that it was taken from."""
    assert "/" in sources()[trainer]
    texts = {
        "litgpt": "model_name: {}\ntrain: {{max_tokens: 1}}\n",
        "torchtitan": '[model]\nname = "{}"\nflavor = "{}"\n',
        "OLMo-core": "m = TransformerConfig.{}(vocab_size=100352)\n",
        "MaxText": "train model_name={} max_target_length=1024\n",
    }
    ending = {"litgpt": "yaml", "torchtitan": "toml", "OLMo-core": "py", "MaxText": "sh"}[trainer]
    for name in named_models(trainer):
        found = read(texts[trainer].format(*name.split(" ")), f"config.{ending}")
        assert found.unsized is None, name
        counted = model(found).params
        parts = re.sub(r"(?<=\d)_(?=\d)", ".", name.casefold()).replace("_", "-").split("-")
        stated = [part for part in parts if part[:1].isdigit()]
        size = max(
            (float(part[:-1]) * {"b": 1e9, "m": 1e6}[part[-1]] for part in stated if _is_size(part)), default=0
        )
        if size > 5e7 and "x" not in name:
            assert 0.55 < counted / size < 2.2, name


def _is_size(part):
    """Return whether a part of a name is a number of parameters."""
    return part[-1:] in ("b", "m") and part[:-1].replace(".", "").isdigit()


def test_models_that_litgpt_knows_by_name_are_those_that_are_published():
    """Without tables, which litgpt pads: as the config.json of each has it; OLMo's norms have weights there."""
    published = PublicModels()
    compared = 0
    for name in named_models("litgpt"):
        known = published.find(name)
        if known is not None and not name.startswith("OLMo-1B-hf") and not name.startswith("OLMo-7B"):
            found = model(read(f"model_name: {name}\ntrain: {{max_tokens: 1}}\n", "a.yaml"))
            assert found.non_embedding_params == read_model(known).non_embedding_params, name
            compared += 1
    assert compared > 100


@pytest.mark.parametrize(
    "text, name, line",
    [
        ("model:\n  type: llama\n  hidden_dim: ${oc.env:WIDTH}\ntrainer: {}\n", "a.yaml", 3),
        ("block_size = 1024\nmax_iters = 10\nn_embd = width()\n", "a.py", 3),
        ("W=$(cat width)\npretrain --num-layers 2 \\\n  --hidden-size $W --num-attention-heads 4\n", "a.sh", 3),
        ("train:\n  max_tokens: 5\nmodel_config:\n  n_embd: many\n", "a.yaml", 4),
        ("model: !include model.yaml\ntrainer: {}\n", "a.yaml", 1),
    ],
)
def test_a_size_that_a_run_would_compute_is_named(text, name, line, tmp_path):
    """With file and line; neither is anything run, nor any other file read for it."""
    (tmp_path / name).write_text(text)
    with pytest.raises(FileError) as caught:
        read_model(tmp_path / name)
    assert caught.value.line == line


def test_what_a_config_holds_is_not_repeated():
    """A text where a number is expected may be a secret: the place is named, the text is not."""
    for text, name in (
        ("train:\n  max_tokens: s3cret-t0ken\nmodel_name: pythia-14m\n", "a.yaml"),
        (f"{MEGATRON} --seq-length s3cret-t0ken\n", "a.sh"),
        ("base_model: s3cret-t0ken\nmicro_batch_size: s3cret-t0ken\n", "b.yaml"),
    ):
        error = refusal(text, name)
        assert "s3cret" not in f"{error.message} {error.hint}"


@pytest.mark.parametrize(
    "text, name, targets",
    [
        ("base_model: gpt2\nmicro_batch_size: 1\nadapter: lora\nlora_target_linear: true\n", "a.yaml", "all"),
        (
            "base_model: gpt2\nmicro_batch_size: 1\nadapter: lora\nlora_target_modules: [q_proj, v_proj]\n",
            "a.yaml",
            "q_proj,v_proj",
        ),
        ("base_model: gpt2\nmicro_batch_size: 1\nadapter: lora\nlora_target_modules: [c_attn]\n", "a.yaml", None),
        (
            "model_name_or_path: gpt2\nper_device_train_batch_size: 1\nlora_rank: 8\nlora_target: all\n",
            "a.yaml",
            "all",
        ),
        (
            "checkpoint_dir: x/Llama-3-8B\nlora_r: 8\nlora_mlp: true\ntrain: {micro_batch_size: 1}\n",
            "a.yaml",
            "q_proj,v_proj,gate_proj,up_proj,down_proj",
        ),
        (ARGUMENTS.replace("lora_alpha=32", 'target_modules=["model.q_proj"]'), "a.py", "q_proj"),
    ],
)
def test_the_matrices_that_have_adapters(text, name, targets):
    """By the names that adapter configs use; others are left to the default."""
    assert value(read(text, name), "lora_targets") == targets
