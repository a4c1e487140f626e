"""The forms in which configs lie in repositories: launchers before the command, files that take from others."""

from __future__ import annotations

import re

import pytest
from tests.trainers.kinds import KINDS

from scaleplan.documents.document import parse_document
from scaleplan.errors import FileError
from scaleplan.models.model import model_of_config
from scaleplan.models.trained import require_trained
from scaleplan.trainers.registry import read_training_config
from scaleplan.trainers.training_config import RunGiven


def config(text, name="run.sh", files=None, **given):
    """Return what a text says, with the texts of files beside it."""

    def beside(other):
        return parse_document(files[other], name=other) if files and other in files else None

    document = parse_document(text, name=name)
    return require_trained(read_training_config(document, RunGiven(**given), beside=beside), document)


def values(found):
    """Return the values of a config by name."""
    return {name: setting.value for name, setting in found.values.items()}


SIZES = (
    "--num-layers 4 --hidden-size 64 --num-attention-heads 4 --seq-length 128 --max-position-embeddings 128 "
    "--micro-batch-size 1 --global-batch-size 64 --train-iters 10 --vocab-size 1000"
)


@pytest.mark.parametrize(
    "before, launch, gpus",
    [
        ("", "torchrun --nproc_per_node=8 --nnodes=2 pretrain.py", 16),
        ("", "torchrun --nproc_per_node=8 --nnodes=${SLURM_NNODES} pretrain.py", None),  # never those of one node
        ("", "torchrun --nproc_per_node=$GPUS --nnodes=2 pretrain.py", None),
        ("#SBATCH --nodes=4\n", "srun torchrun --nproc_per_node=8 --nnodes=${SLURM_NNODES} pretrain.py", 32),
        ("#SBATCH -N 4\n", "srun torchrun --nproc_per_node 8 --nnodes ${SLURM_JOB_NUM_NODES:-1} pretrain.py", 32),
        ("#SBATCH -N4 --gres=gpu:8\n", "srun python pretrain.py", 32),
        ("#SBATCH --nodes=4\n", "srun --gpus-per-node=8 python pretrain.py", 32),
        ("", "srun --nodes=3 --gpus-per-node=8 python pretrain.py", 24),
        ("", "accelerate launch --num_machines 2 --num_processes 16 pretrain.py", 16),
        ("", "deepspeed --num_nodes 2 --num_gpus 8 pretrain.py", 16),
        ("", "deepspeed --hostfile hosts --num_gpus 8 pretrain.py", None),
        ("L='torchrun --nproc_per_node 8 --nnodes 2'\n", 'srun bash -c "$L pretrain.py', 16),
    ],
)
def test_devices_of_a_launcher(before, launch, gpus):
    """By torchrun, accelerate, deepspeed or srun, with the variables that Slurm sets; open where they lack."""
    end = '"' if "bash -c" in launch else ""
    found = config(f"#!/bin/bash\n{before}{launch} {SIZES}{end}\n")
    assert values(found).get("gpus") == gpus
    assert ("gpus" in found.open) == (gpus is None)


def test_a_switch_before_a_variable_of_more_flags_is_on():
    """What the variable holds is not known, but that the switch stands there is."""
    found = config(f"torchrun pretrain.py {SIZES} --swiglu $MORE --fp16 ${{OTHER}}\n")
    assert found.fields["mlp_gated"] is True
    assert values(found)["precision"] == "fp16"
    assert values(config(f"torchrun pretrain.py {SIZES}\n"))["precision"] == "fp32"


def test_megatron_deepspeed_ends_at_its_tokens():
    """Samples are stated large enough there; they end a run where they come first."""
    sizes = SIZES.replace("--train-iters 10 ", "")
    found = values(
        config(f"deepspeed pretrain.py {sizes} --train-tokens 819200 --train-samples 64000 --zero-stage 2\n")
    )
    assert (found["tokens"], found["steps"], found["zero"]) == (819_200, 100, 2)
    assert values(config(f"p {sizes} --train-tokens 819200 --train-samples 640\n"))["tokens"] == 640 * 128
    assert "tokens" in config(f"p {sizes} --train-tokens $T --train-samples 640\n").open


def test_a_ramp_changes_where_a_share_of_its_samples_is_done():
    """Shares of 8/3: a batch of 1 until 3 are done, of 2 until 6 (7), then of 3 for two, and of 4."""
    flags = "--rampup-batch-size 1 1 8 --global-batch-size 4 --train-iters 7"
    text = SIZES.replace("--global-batch-size 64 --train-iters 10", flags)
    assert values(config(f"p {text}\n"))["tokens"] == (3 + 2 * 2 + 3 + 4) * 128


@pytest.mark.parametrize("more", ["--kv-lora-rank 512", "--num-shared-experts 2", "--qk-nope-head-dim 128"])
def test_attention_of_offshoots_is_not_counted_as_plain(more):
    """Flags that Megatron-LM has only with latent attention, or does not have."""
    with pytest.raises(FileError, match="not counted here"):
        raise config(f"torchrun pretrain.py {SIZES} {more}\n").unsized
    assert config(f"torchrun pretrain.py {SIZES} --kv-lora-rank 32\n").unsized is None  # a list of all arguments


def test_groups_of_axolotl_divide_the_devices():
    """By their name of today, and by the older one."""
    text = "base_model: a/b\nsequence_len: 1000\nmicro_batch_size: 1\nmax_steps: 5\n{}: 8\n"
    for name in ("sequence_parallel_degree", "context_parallel_size", "tensor_parallel_size"):
        assert values(config(text.format(name), "a.yaml", gpus=64))["batch"] == 8


def test_an_empty_mapping_of_overrides_is_none():
    """A LoRA of llm-foundry, with the matrices of it."""
    text = (
        "max_seq_len: 64\nglobal_train_batch_size: 4\nmax_duration: 10ba\nmodel:\n  name: hf_causal_lm\n"
        "  config_overrides: {}\n  pretrained_model_name_or_path: gpt2\n"
        "  peft_config: {r: 8, target_modules: [q_proj]}\n"
    )
    found = config(text, "a.yaml")
    assert (found.reference.value, values(found)["lora_targets"]) == ("gpt2", "q_proj")
    with pytest.raises(FileError, match="not counted here"):
        raise config(text.replace("{}", "{n_layer: 3}"), "a.yaml").unsized


INCLUDING = "model: !include models/small.yaml\ntrainer: {train_batch_size: 8, num_train_steps: 10}\n"
SMALL = (
    "type: llama\nhidden_dim: 64\nintermediate_dim: 128\nnum_layers: 2\nnum_heads: 4\nnum_kv_heads: 4\nseq_len: 32\n"
)


def test_an_include_is_followed_beside_the_file():
    """At any depth, from the folder of the file that includes; its lines are those of the include."""
    found = config(INCLUDING, "a.yaml", {"models/small.yaml": SMALL})
    assert (found.fields["hidden_size"], values(found)["batch_tokens"]) == (64, 8 * 32)
    assert {(place.file, place.line) for place in found.read if place.key == "model.hidden_dim"} == {("a.yaml", 1)}
    deeper = {"models/small.yaml": "!include more/one.yaml\n", "models/more/one.yaml": SMALL}
    assert config(INCLUDING, "a.yaml", deeper).fields["num_hidden_layers"] == 2


@pytest.mark.parametrize("files", [{}, {"models/small.yaml": "!include small.yaml\n"}], ids=["missing", "circle"])
def test_an_include_that_leads_nowhere_is_named(files):
    """One of a file that is not there, and one of itself."""
    files = {name: text.replace("small", "../models/small") for name, text in files.items()}
    with pytest.raises(FileError, match=r"small\.yaml|no model in this file"):
        config(INCLUDING, "a.yaml", files)


def test_a_hydra_config_names_what_it_is_composed_of():
    """An error where the sizes are in another file, and a note where they are here."""
    text = "defaults:\n  - _self_\n  - model: gpt_1b\ntrainer: {max_steps: 10}\nmodel:\n  encoder_seq_length: 128\n"
    with pytest.raises(FileError, match="'model: gpt_1b'") as caught:
        config(text, "a.yaml")
    assert caught.value.line == 3
    sizes = "  num_layers: 2\n  hidden_size: 64\n  num_attention_heads: 4\n"
    (note,) = config(text + sizes, "a.yaml").notes
    assert "model: gpt_1b" in note


@pytest.mark.parametrize(
    "command, name",
    [
        ("accelerate launch -m axolotl.cli.train lora.yml", "lora.yml"),
        ("torchrun --nproc_per_node 8 -m torchtitan.train --job.config_file ./a.toml", "./a.toml"),
        ("X=1 torchrun --nproc_per_node=8 run_train.py --config-file examples/tiny.yaml", "examples/tiny.yaml"),
        ("FILE=conf/a.yaml\ncomposer train.py $FILE max_duration=10ba", "conf/a.yaml"),
        ("composer t.py a.yaml model.name=mpt_causal_lm model.d_model=64 max_duration=10ba", "a.yaml"),
        ("python -m levanter.main.train_lm --config_path l.yaml --model.type llama --model.hidden_dim 64", "l.yaml"),
        (
            "python p.py --config-path=conf --config-name=gpt model.num_layers=2 model.hidden_size=64",
            "conf/gpt.yaml",
        ),
        (
            "python train.py config/mine.py --n_layer=4 --n_embd=128 --block_size=64 --max_iters=2000",
            "config/mine.py",
        ),
    ],
)
def test_a_command_names_its_config(command, name):
    """It is to be given itself: what the command changes in it would be lost."""
    with pytest.raises(FileError, match="another file") as caught:
        config(f"{command}\n")
    assert name in caught.value.hint


def test_a_config_beside_flags_leaves_the_others_open():
    """Never the defaults of the trainer, which the other file may change."""
    command = "accelerate launch --config_file zero3.yaml --num_processes 8 sft.py sft.yaml"
    found = config(f"{command} --per_device_train_batch_size 4\n")
    assert values(found)["micro_batch"] == 4
    assert "accumulation" not in found.values
    assert found.open["batch_tokens"].reason.startswith("sft.yaml has the other arguments")
    alone = values(config("accelerate launch --config_file z.yaml sft.py --per_device_train_batch_size 4\n"))
    assert alone["accumulation"] == 1


def test_a_config_of_maxtext_that_is_not_its_defaults_leaves_the_rest_open():
    """A command may start from base.yml, whose values are the trainer's, or from another one."""
    command = "python3 MaxText/train.py configs/{}.yml {} max_target_length=128 ici_fsdp_parallelism=8"
    found = config(command.format("base", "per_device_batch_size=2") + "\n")
    assert (found.unsized, values(found)["batch"], values(found)["steps"]) == (None, 16, 150_001)
    other = config(command.format("v5p/128b", "steps=5") + "\n")
    assert "128b.yml" in other.unsized.message
    assert "batch" not in other.values
    assert "128b.yml" in other.open["tokens"].reason
    named = config(command.format("v5p/128b", "model_name=llama2-7b per_device_batch_size=2 steps=5") + "\n")
    assert (named.unsized, values(named)["tokens"]) == (None, 5 * 16 * 128)


def test_a_context_of_levanter_is_that_of_its_model():
    """By the class of the model, and of a public one that it starts from by that one."""
    text = "model: {{type: {}, hidden_dim: 64}}\ntrainer: {{train_batch_size: 2, num_train_steps: 3}}\n"
    assert [values(config(text.format(kind), "a.yaml"))["sequence"] for kind in ("gpt2", "llama", "mistral")] == [
        1024,
        2048,
        8192,
    ]
    found = config(text.format("llama") + "use_hf_model_config: true\ninitialize_from_hf: a/b\n", "a.yaml")
    assert "the run starts from" in found.open["sequence"].reason
    assert "tokens" not in found.values


@pytest.mark.parametrize(
    "text",
    [
        "a = TransformerConfig.olmo2_1B(vocab_size=8)\nb = TransformerConfig.olmo2_7B(vocab_size=8)\n",
        "a = LlamaConfig(hidden_dim=64)\nb = LlamaConfig(hidden_dim=128)\nSimpleTrainConfig(train_batch_size=8)\n",
    ],
    ids=["OLMo-core", "Marin"],
)
def test_a_script_of_several_models_is_not_one_of_them(text):
    """Each is named with its line."""
    error = config(text, "run.py").unsized
    assert "line 1" in error.message
    assert "line 2" in error.message


@pytest.mark.parametrize(
    "kind, more, params",
    [
        # V d (2) + 2 layers of 4 d^2 + 3 d f + norms, of the three matrices before attention biases, and a norm
        (
            "qwen",
            "use_bias: true",
            2 * 100 * 64 + 2 * (4 * 64**2 + 3 * 64 * 128 + 3 * 64 + 2 * 128 + 64 + 4 * 64) + 128,
        ),
        ("mixtral", "num_local_experts: 4", 2 * 100 * 64 + 2 * (4 * 64**2 + 4 * (3 * 64 * 128 + 64) + 2 * 64) + 64),
        ("mistral", "sliding_window: 8", 2 * 100 * 64 + 2 * (4 * 64**2 + 3 * 64 * 128 + 2 * 64) + 64),
    ],
)
def test_models_of_levanter(kind, more, params):
    """As its classes make them: no bias on Qwen's output, no window in Mistral's, a name of its own for experts."""
    sizes = SMALL.replace("llama", kind).strip().replace("\n", "\n  ")
    text = f"model:\n  {sizes}\n  {more}\ntrainer: {{}}\n"
    found = config(text, "a.yaml", vocab=100)
    assert model_of_config(found, found.fields).params == params
    assert "sliding_window" not in found.fields
    with pytest.raises(FileError, match="not counted here"):
        raise config(text.replace(more, "hybrid_norm: true"), "a.yaml").unsized


def test_a_head_of_levanter_s_mistral_is_its_own():
    """Its class makes one in any case."""
    text = "model: {type: mistral, hidden_dim: 64, num_layers: 2, tie_word_embeddings: true}\ntrainer: {}\n"
    with pytest.raises(FileError, match="not counted here"):
        raise config(text, "a.yaml").unsized


def test_olmo_shards_in_full_unless_it_says_otherwise():
    """By the default of its config, where it has one of FSDP."""
    text = "model: {d_model: 64, n_heads: 4, n_layers: 2}\nmax_duration: 10\nglobal_train_batch_size: 8\nfsdp: {}\n"
    assert values(config(text, "a.yaml"))["zero"] == 3
    other = text.replace("{}", "{sharding_strategy: SHARD_GRAD_OP}")
    assert values(config(other, "a.yaml"))["zero"] == 2


def test_an_open_length_is_open_for_its_cause():
    """Steps are stated: what is missing are the devices."""
    text = (
        '{"num_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "seq_length": 128, "pos_emb": "rotary",\n'
        '"train_micro_batch_size_per_gpu": 4, "train_iters": 5}\n'
    )
    assert "hostfile" in config(text, "a.yml").open["tokens"].reason


def test_several_documents_of_yaml_are_named():
    """None of them is taken for the one that is meant."""
    with pytest.raises(FileError, match=r"run\.yaml holds several YAML documents, at lines 1 and 2:") as caught:
        config("model: {}\n---\nmodel: {}\n", "run.yaml")
    assert caught.value.line == 2
    assert "file of its own" in caught.value.hint


REGISTERED = """
def llama3_{size}():
    return Trainer.Config(
        model_spec=model_registry("{name}"),
        training=TrainingConfig(local_batch_size=1, max_context_length=8192, steps=1000),
    )
"""


def test_several_configs_of_torchtitan_are_named():
    """None of them is taken for the one that is run; one alone is read."""
    one, two = REGISTERED.format(size="8b", name="8B"), REGISTERED.format(size="70b", name="70B")
    assert values(config(one, "llama3.py"))["steps"] == 1000
    with pytest.raises(FileError, match=r"makes several: llama3_8b at line 3, llama3_70b at line 9") as caught:
        config(one + two, "llama3.py")
    assert caught.value.line == 3


def test_what_is_open_is_one_plain_sentence():
    """What is missing, why, and the option that gives it; of what follows from others the cause is the reason."""
    opened = config(
        "torchrun pretrain_gpt.py --num-layers 2 --hidden-size 64 --num-attention-heads 4 --seq-length 128 "
        "--micro-batch-size 2 --max-position-embeddings 128 --train-iters 10"
    ).stated()
    assert "tokens of a step are not in the file: the launcher sets the GPUs; give --gpus" in opened.open


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.file)
def test_what_is_open_has_one_pattern(kind):
    """For every trainer: no pronoun for what is missing, and a way to give it."""
    for line in config(kind.text, kind.file).stated().open:
        assert re.match(r"[a-zGPU ]+ (is|are) not in the file(, line \d+)?: (?!it |they ).+; give .+", line)
        assert not line.endswith(("has it", "gives them", "has them"))
