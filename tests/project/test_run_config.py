"""The size of a model from a training config: exact, or named as undetermined with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scaleplan.documents.document import parse_document
from scaleplan.errors import FileError
from scaleplan.project.run_config import model_of

CASES = Path(__file__).parents[2].parent / "shared" / "cases"
SAMPLES = CASES / "training_configs"

NANOGPT = '{"n_layer": 12, "n_head": 12, "n_embd": 768, "vocab_size": 50304, "block_size": 1024, "bias": false}'
LLAMA2 = {"dim": 4096, "multiple_of": 256, "n_heads": 32, "n_layers": 32, "norm_eps": 1e-5}
LLAMA3 = {
    "dim": 4096,
    "n_layers": 32,
    "n_heads": 32,
    "n_kv_heads": 8,
    "vocab_size": 128256,
    "multiple_of": 1024,
    "ffn_dim_multiplier": 1.3,
}


def size(text, name):
    """Return the parameters of the model that a text describes."""
    return model_of(parse_document(text, name=name)).params


OLMO = """\
model:
  d_model: 2048
  n_heads: 16
  n_layers: 16
  mlp_hidden_size: 16384
  weight_tying: true
  include_bias: false
  layer_norm_with_affine: false
  activation_type: swiglu
  max_sequence_length: 2048
  embedding_size: 50304
"""
MEGATRON = """\
torchrun pretrain.py --num-layers 24 --hidden-size 2048 --num-attention-heads 16 \\
  --group-query-attention --num-query-groups 4 --position-embedding-type rope --swiglu --normalization RMSNorm \\
  --disable-bias-linear --untie-embeddings-and-output-weights --vocab-size 32000 --tensor-model-parallel-size 4
"""


@pytest.mark.parametrize(
    "name, text, params",
    [
        # V d + 16 (4 d^2 + 3 d 8192): half of mlp_hidden_size is the gate
        ("train.yaml", OLMO, 50304 * 2048 + 16 * (4 * 2048**2 + 3 * 2048 * 8192)),
        # a table of 32256 rows (128 x 4), an inner width of int(8192 x 2/3 / 64) x 64 = 5440, 4 of 16 key heads
        ("run.sh", MEGATRON, 2 * 32256 * 2048 + 24 * (2.5 * 2048**2 + 3 * 2048 * 5440) + 49 * 2048),
        # V d + T d + 12 (12 d^2) + 25 d
        ("sizes.json", NANOGPT, 50304 * 768 + 1024 * 768 + 144 * 768**2 + 25 * 768),
        ("sizes.json", NANOGPT.replace("false", "true"), 124_475_904),  # GPT-2's 124,439,808 and 47 rows more
        ("train.py", "block_size = 1024\nmax_iters = 600000\n", 124_373_760),
        (
            "train.py",
            "block_size = 256\nmax_iters = 5000\nn_layer = n_head = 6\nn_embd = 2 * 192\nvocab_size = 65\n",
            10_745_088,
        ),
        ("params.json", json.dumps({**LLAMA2, "vocab_size": 32000}), 6_738_415_616),  # as its authors have it
        ("params.json", json.dumps(LLAMA3), 8_030_261_248),
        (
            "config.json",
            json.dumps(
                {
                    "model_type": "gpt2",
                    "n_layer": 12,
                    "n_head": 12,
                    "n_embd": 768,
                    "vocab_size": 50257,
                    "n_positions": 1024,
                }
            ),
            124_439_808,
        ),
    ],
)
def test_sizes_are_counted_exactly(name, text, params):
    """nanoGPT by its config in JSON or Python, Llama by its params.json, any model by its config.json."""
    assert size(text, name) == params


@pytest.mark.parametrize(
    "name, text, line",
    [
        ("params.json", json.dumps({**LLAMA2, "vocab_size": -1}, indent=1), 7),
        ("params.json", json.dumps(LLAMA2), None),
        ("train.yaml", "x: 1\nmodel:\n  d_model: 4096\n  n_heads: 32\n  n_layers: 32\n", 2),
        ("train.yaml", "model:\n  type: llama\n  hidden_dim: 4096\n", 3),
        ("train.yaml", "base_model: some/model\n", 1),
        ("train.yaml", "steps: 5\n", None),
        ("train.toml", '[model]\nname = "llama3"\nflavor = "8B"\n', 3),
        ("run.sh", "train --num-layers 24 \\\n  --hidden-size $H --num-attention-heads 16\n", 2),
        ("train.py", "block_size = 1024\nmax_iters = 5\nn_layer = f(3)\n", 3),
        ("sizes.json", NANOGPT.replace(', "bias": false', ""), None),
    ],
)
def test_what_the_file_does_not_determine_is_named(name, text, line):
    """With the file, the line of the key that comes nearest, and what to give instead."""
    with pytest.raises(FileError) as caught:
        size(text, name)
    assert (caught.value.file, caught.value.line) == (name, line)
    assert caught.value.message.startswith(f"{name}:{line}: " if line else f"{name}: ")
    assert "params" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "train --num-layers 2 --hidden-size 64 --num-attention-heads 4 --num-experts 8\n",
        "train --num-layers 2 --hidden-size 64 --num-attention-heads 4 --qk-layernorm\n",
    ],
)
def test_a_model_that_is_not_counted_here_is_refused(text):
    """Experts and norms of queries change the count: never counted as if they were not there."""
    with pytest.raises(FileError, match="not counted here"):
        size(text, "run.sh")


def samples():
    """Return the sample configs with the truth about their parameters."""
    if not SAMPLES.is_dir():
        return []
    truth = json.loads((SAMPLES / "truth.json").read_text())["files"]
    return [(name, entry.get("params")) for name, entry in truth.items()]


READ = {
    "megatron_pretrain.sh",
    "megatron_args.yaml",
    "olmo.yaml",
    "llm_foundry.yaml",
    "nanotron.yaml",
    "nanogpt_train.py",
}


@pytest.mark.skipif(not samples(), reason="the shared folder is not here")
@pytest.mark.parametrize("name, params", samples())
def test_the_samples_of_trainers_are_right_or_undetermined(name, params):
    """No number but the true one; where a tokenizer, a registry or the launch decides, the file says so."""
    text = (SAMPLES / name).read_text()
    if name in READ:
        assert size(text, name) == params
        return
    with pytest.raises(FileError, match=name):
        size(text, name)


def test_a_run_s_model_may_be_its_training_config(cli):
    """The size, the batch and the steps of one file."""
    Path("train.py").write_text(
        "batch_size = 12\nblock_size = 1024\ngradient_accumulation_steps = 5 * 8\nmax_iters = 600000\n"
    )
    tokens = '{ batch = ["batch_size", "gradient_accumulation_steps"], sequence = "block_size", steps = "max_iters" }'
    Path("scaleplan.toml").write_text(
        f'[[run]]\nname = "r"\nfrom = "train.py"\nmodel = "train.py"\ntokens = {tokens}\n'
    )
    (run,) = json.loads(cli("check", "--json", "-q").out)["runs"]
    assert (run["values"]["params"], run["values"]["tokens"]) == (124_373_760, 294_912_000_000)


def test_a_model_that_is_undetermined_is_annotated_in_its_file(cli):
    """At the line of the config, as any other value of a run."""
    Path("train.yaml").write_text("# sizes\nmodel:\n  d_model: 4096\n  n_heads: 32\n  n_layers: 32\n")
    Path("scaleplan.toml").write_text('[[run]]\nname = "r"\nmodel = "train.yaml"\ntokens = "20B"\n')
    result = cli("check", "--format", "github", "-q")
    assert result.status == 2
    assert result.out.startswith("::error file=train.yaml,line=2,")
