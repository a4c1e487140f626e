"""A config of each trainer, made up for tests: what is read from it by hand, and a change of the model's width."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["KINDS", "Kind"]


class Kind(NamedTuple):
    """One config: its file, its text, what it says, and a change that makes the model another one."""

    trainer: str
    file: str
    text: str
    change: tuple[str, str]
    params: int | None
    """All parameters; None where the vocabulary is open, or there is no model in the file."""
    values: dict[str, object]
    beside: dict[str, object] = {}  # noqa: RUF012  what a run has to give
    open: tuple[str, ...] = ()


def llama(width, layers, inner, rows, kv_share=1.0, *, tied=False):
    """Return the parameters of a Llama by hand: 2 V d, and of each layer (2 + 2 k/h) d^2 + 3 d f + 2 d."""
    layer = (2 + 2 * kv_share) * width**2 + 3 * width * inner + 2 * width
    return int((1 if tied else 2) * rows * width + layers * layer + width)


def gpt(width, layers, rows, positions, *, biases=True, tied=True):
    """Return the parameters of a GPT by hand: (V + T) d, of each layer 12 d^2 and, with biases, 13 d, and a norm."""
    layer = 12 * width**2 + (13 if biases else 2) * width
    return (rows * (1 if tied else 2) + positions) * width + layers * layer + (2 if biases else 1) * width


KINDS = (
    Kind(
        "Megatron-LM",
        "pretrain.sh",
        """\
#!/bin/bash
#SBATCH --nodes=2
NODES=${SLURM_NNODES:-2}
TP=2
WIDTH=1024
MODEL=(--num-layers 12 --hidden-size $WIDTH --num-attention-heads 16 --swiglu --ffn-hidden-size 2816
  --group-query-attention --num-query-groups 4 --normalization RMSNorm --disable-bias-linear
  --position-embedding-type rope --untie-embeddings-and-output-weights --seq-length=2048 )
torchrun --nproc-per-node 8 --nnodes $NODES pretrain_gpt.py "${MODEL[@]}" --vocab-size 32000 \\
  --micro-batch-size 4 --global-batch-size $((4 * 16)) --train-samples 640000 --bf16 \\
  --tensor-model-parallel-size ${TP}
""",
        ("WIDTH=1024", "WIDTH=1536"),
        llama(1024, 12, 2816, 32000, 0.25),
        {
            "gpus": 16,
            "data": 8,
            "sequence": 2048,
            "batch": 64,
            "accumulation": 2,
            "batch_tokens": 131072,
            "samples": 640000,
            "tokens": 640000 * 2048,
            "steps": 10000,
            "precision": "bf16",
            "tensor": 2,
            "zero": 0,
        },
    ),
    Kind(
        "Megatron-LM",
        "args.yaml",
        """\
language_model:
  num_layers: 8
  hidden_size: 512
  num_attention_heads: 8
max_position_embeddings: 512
seq_length: 512
padded_vocab_size: 50304
micro_batch_size: 8
global_batch_size: 128
rampup_batch_size: [32, 32, 12288]
train_iters: 1000
""",
        ("hidden_size: 512", "hidden_size: 768"),
        gpt(512, 8, 50304, 512),
        # 4096 samples of each of 32, 64 and 96, in 128, 64 and 43 steps (4128), then 765 steps of 128
        {"sequence": 512, "tokens": (4096 + 4096 + 43 * 96 + 765 * 128) * 512, "steps": 1000, "tensor": 1},
        {"gpus": 8},
        ("gpus",),
    ),
    Kind(
        "NeMo",
        "nemo.yaml",
        """\
trainer:
  num_nodes: 2
  devices: 8
  max_steps: 5000
  precision: bf16-mixed
model:
  micro_batch_size: 4
  global_batch_size: ${multiply:4,64}
  tensor_model_parallel_size: 2
  pipeline_model_parallel_size: 2
  encoder_seq_length: 4096
  max_position_embeddings: ${.encoder_seq_length}
  num_layers: 16
  hidden_size: 1024
  ffn_hidden_size: ${multiply:4,${.hidden_size}}
  num_attention_heads: 16
  override_vocab_size: 32000
  optim: {name: distributed_fused_adam}
""",
        ("hidden_size: 1024", "hidden_size: 2048"),
        gpt(1024, 16, 32000, 4096),
        {
            "gpus": 16,
            "data": 4,
            "batch": 256,
            "sequence": 4096,
            "steps": 5000,
            "tokens": 5000 * 256 * 4096,
            "zero": 1,
        },
    ),
    Kind(
        "GPT-NeoX",
        "neox.yml",
        """\
{
  "pipe_parallel_size": 0,  # counts as 1
  "model_parallel_size": 1,
  "num-layers": 12, "hidden-size": 768, "num-attention-heads": 12,
  "seq-length": 2048, "max-position-embeddings": 2048,
  "norm": "rmsnorm", "pos-emb": "rotary", "no-weight-tying": true, "activation": "swiglu",
  "intermediate_size": 6144, "mlp_multiple_of": 256,
  "use_bias_in_attn_linear": false, "use_bias_in_mlp": False,
  "padded_vocab_size": 50432,
  "train_micro_batch_size_per_gpu": 4, "gradient_accumulation_steps": 8,
  "train-iters": 320000,
  "optimizer": {"type": "Adam", "params": {"lr": 0.0006,}},
  "zero_optimization": {"stage": 1,},
}
""",
        ('"hidden-size": 768', '"hidden-size": 960'),
        llama(768, 12, 2048, 50432),
        {"sequence": 2048, "steps": 320000, "zero": 1, "micro_batch": 4, "accumulation": 8, "pipeline": 1},
        {"gpus": 8},
        ("gpus", "batch_tokens", "tokens"),
    ),
    Kind(
        "OLMo",
        "olmo.yaml",
        """\
model:
  d_model: 1024
  n_heads: 16
  n_layers: 12
  mlp_ratio: 8
  weight_tying: false
  rope: true
  include_bias: false
  layer_norm_type: rms
  attention_layer_norm: true
  max_sequence_length: 4096
  vocab_size: 100278
  embedding_size: 100352
max_duration: 2e9T
global_train_batch_size: 512
device_train_microbatch_size: 2
precision: amp_bf16
fsdp: {sharding_strategy: FULL_SHARD}
""",
        ("d_model: 1024", "d_model: 1536"),
        llama(1024, 12, 4096, 100352) + 12 * 2 * 1024,
        {"tokens": 2 * 10**9, "batch_tokens": 512 * 4096, "steps": 953, "zero": 3, "precision": "bf16"},
        {"gpus": 16},
        ("gpus",),
    ),
    Kind(
        "OLMo-core",
        "olmo_core_run.py",
        """\
SEQ = 4096
def build(cli):
    batch = 512 * SEQ
    model = TransformerConfig.llama_like(d_model=2048, n_layers=16, n_heads=16, vocab_size=50304, qk_norm=True)
    loader = NumpyDataLoaderConfig(global_batch_size=batch)
    data = NumpyFSLDatasetConfig(sequence_length=SEQ)
    launch = BeakerLaunchConfig(num_nodes=4, num_gpus=8)
    return TrainerConfig(max_duration=Duration.steps(10_000), rank_microbatch_size=4 * SEQ)
""",
        ("d_model=2048", "d_model=4096"),
        llama(2048, 16, 5632, 50304) + 16 * 2 * 2048,
        {"gpus": 32, "sequence": 4096, "batch_tokens": 512 * 4096, "steps": 10000, "tokens": 10000 * 512 * 4096},
    ),
    Kind(
        "torchtitan",
        "llama3.toml",
        """\
[model]
name = "llama3"
flavor = "8B"
[training]
local_batch_size = 2
seq_len = 4096
steps = 2000
[parallelism]
data_parallel_shard_degree = 16
tensor_parallel_degree = 2
[activation_checkpoint]
mode = "full"
""",
        ('flavor = "8B"', 'flavor = "70B"'),
        llama(4096, 32, 14336, 128256, 0.25),
        {"gpus": 32, "data": 16, "batch": 32, "tokens": 2000 * 32 * 4096, "zero": 3, "recompute": "full"},
    ),
    Kind(
        "torchtitan",
        "registry.py",
        """\
def qwen3_small():
    return Trainer.Config(
        model_spec=model_registry("0.6B"),
        training=TrainingConfig(num_tokens_per_train_step=2**20, max_context_length=2048, steps=500),
        parallelism=ParallelismConfig(data_parallel_shard_degree=-1),
    )
""",
        ('"0.6B"', '"1.7B"'),
        596_049_920,  # as the model card of Qwen3-0.6B has it, 0.6B
        {"sequence": 2048, "batch_tokens": 2**20, "tokens": 500 * 2**20, "steps": 500},
        {"gpus": 8},
        ("gpus",),
    ),
    Kind(
        "litgpt",
        "pretrain.yaml",
        """\
model_config:
  n_layer: 12
  n_head: 12
  n_embd: 768
  intermediate_size: 2048
  padded_vocab_size: 32000
  bias: false
  norm_class_name: RMSNorm
  mlp_class_name: LLaMAMLP
  parallel_residual: false
train:
  global_batch_size: 256
  micro_batch_size: 8
  max_seq_length: 1024
  max_tokens: 1000000000
devices: 4
num_nodes: 2
precision: bf16-true
""",
        ("n_embd: 768", "n_embd: 1536"),
        llama(768, 12, 2048, 32000),
        {"gpus": 8, "batch_tokens": 256 * 1024, "tokens": 10**9, "steps": 3814, "accumulation": 4},
    ),
    Kind(
        "llm-foundry",
        "mpt.yaml",
        """\
variables:
  max_seq_len: 1024
max_seq_len: ${variables.max_seq_len}
model:
  name: mpt_causal_lm
  d_model: 768
  n_heads: 12
  n_layers: 12
  max_seq_len: ${variables.max_seq_len}
  vocab_size: 50368
max_duration: 10e9tok
global_train_batch_size: 256
device_train_microbatch_size: 8
precision: amp_bf16
""",
        ("d_model: 768", "d_model: 1536"),
        gpt(768, 12, 50368, 1024),
        {"batch_tokens": 256 * 1024, "tokens": 10 * 10**9, "sequence": 1024},
        {"gpus": 8},
        ("gpus",),
    ),
    Kind(
        "Levanter",
        "levanter.yaml",
        """\
data: !include data/somewhere.yaml
model:
  type: llama
  hidden_dim: 1024
  intermediate_dim: 2816
  num_layers: 16
  num_heads: 16
  num_kv_heads: 16
  seq_len: 2048
trainer:
  train_batch_size:
    - {start: 0, value: 256}
    - {start: 1000, value: 512}
  num_train_steps: 5000
  mp: p=f32,c=bfloat16
optimizer: {learning_rate: 6E-4}
""",
        ("hidden_dim: 1024", "hidden_dim: 2048"),
        None,
        {"tokens": (1000 * 256 + 4000 * 512) * 2048, "steps": 5000, "precision": "bf16"},
        {"vocab": 32000, "gpus": 64},
        ("gpus", "vocab"),
    ),
    Kind(
        "Marin",
        "experiment.py",
        """\
from levanter.models.llama import LlamaConfig
small = LlamaConfig(
    seq_len=2048, hidden_dim=1024, intermediate_dim=3072, num_heads=16, num_kv_heads=16, num_layers=12,
)
train = SimpleTrainConfig(
    resources=ResourceConfig.with_tpu("v5litepod-64", slice_count=2), train_batch_size=256, num_train_steps=4000,
)
""",
        ("hidden_dim=1024", "hidden_dim=2048"),
        None,
        {"gpus": 128, "tokens": 4000 * 256 * 2048, "batch_tokens": 256 * 2048},
        {"vocab": 128256},
        ("vocab",),
    ),
    Kind(
        "Nanotron",
        "nanotron.yaml",
        """\
model:
  make_vocab_size_divisible_by: 64
  dtype: bfloat16
  model_config:
    is_llama_config: true
    hidden_size: 1024
    intermediate_size: 4096
    num_hidden_layers: 8
    num_attention_heads: 16
    num_key_value_heads: 4
    tie_word_embeddings: true
    vocab_size: 50000
    max_position_embeddings: 2048
parallelism: {dp: 2, tp: 2, pp: 2, recompute_layer: true}
optimizer: {zero_stage: 1}
tokens: {micro_batch_size: 4, batch_accumulation_per_replica: 8, sequence_length: 2048, train_steps: 100}
""",
        ("hidden_size: 1024", "hidden_size: 2048"),
        llama(1024, 8, 4096, 50048, 0.25, tied=True),  # the next multiple of 64 x 2
        {"gpus": 8, "batch": 64, "tokens": 100 * 64 * 2048, "zero": 1, "recompute": "full", "pipeline": 2},
    ),
    Kind(
        "nanoGPT",
        "train_mine.py",
        """\
batch_size = 8
block_size = 2 * 512
gradient_accumulation_steps = 5 * 4
max_iters = 2000
n_layer = n_head = 8
n_embd = n_head * 64
bias = True
""",
        ("n_embd = n_head * 64", "n_embd = n_head * 96"),
        gpt(512, 8, 50304, 1024),
        {"batch": 160, "tokens": 2000 * 160 * 1024, "steps": 2000, "sequence": 1024},
        {"gpus": 4},
        ("gpus",),
    ),
    Kind(
        "nanochat",
        "speedrun.sh",
        """\
python -m scripts.tok_train --vocab-size=65536
torchrun --nproc_per_node=4 -m scripts.base_train -- --depth=12 --num-iterations=1000 --total-batch-size 262144
torchrun --nproc_per_node=4 -m scripts.chat_sft -- --device-batch-size=4
""",
        ("--depth=12", "--depth=16"),
        None,
        {"gpus": 4, "batch_tokens": 262144, "tokens": 262144000, "steps": 1000, "sequence": 2048},
        {"vocab": 65536},
        ("vocab",),
    ),
    Kind(
        "MaxText",
        "maxtext.sh",
        """\
python3 -m maxtext.train configs/base.yml base_emb_dim=1024 base_num_query_heads=8 base_num_kv_heads=8 \\
  base_mlp_dim=4096 base_num_decoder_layers=12 head_dim=128 vocab_size=32000 \\
  per_device_batch_size=0.5 max_target_length=4096 steps=100 \\
  ici_fsdp_parallelism=16 ici_tensor_parallelism=2 dcn_data_parallelism=2
""",
        ("base_emb_dim=1024", "base_emb_dim=2048"),
        llama(1024, 12, 4096, 32000),
        {"gpus": 64, "batch": 32, "tokens": 100 * 32 * 4096, "tensor": 2, "data": 32},
    ),
    Kind(
        "axolotl",
        "lora.yml",
        """\
base_model: NousResearch/Meta-Llama-3-8B
load_in_4bit: true
adapter: qlora
lora_r: 32
sequence_len: 4096
sample_packing: true
micro_batch_size: 2
gradient_accumulation_steps: 4
max_steps: 1000
optimizer: paged_adamw_8bit
gradient_checkpointing: true
deepspeed: deepspeed_configs/zero2.json
bf16: auto
""",
        ("Meta-Llama-3-8B", "Meta-Llama-3-70B"),
        llama(4096, 32, 14336, 128256, 0.25),
        {
            "sequence": 4096,
            "adapter": "qlora",
            "lora_rank": 32,
            "weight_bits": 4,
            "zero": 2,
            "optimizer": "paged_adamw_8bit",
            "recompute": "full",
            "precision": "bf16",
        },
        {"gpus": 8},
        ("gpus", "batch_tokens", "tokens"),
    ),
    Kind(
        "Hugging Face Trainer",
        "finetune.sh",
        """\
deepspeed --num_gpus 8 train.py --model_name_or_path gpt2 --output_dir out --max_seq_length 1024 \\
  --per_device_train_batch_size 8 --gradient_accumulation_steps 2 --max_steps 500 --bf16 True --optim adafactor
""",
        ("gpt2", "gpt2-medium"),
        124_439_808,
        {"gpus": 8, "batch": 128, "tokens": 500 * 128 * 1024, "optimizer": "adafactor", "precision": "bf16"},
    ),
    Kind(
        "DeepSpeed",
        "ds.json",
        """\
{"train_batch_size": 256, "gradient_accumulation_steps": 4, "zero_optimization":
  {"stage": 3, "offload_optimizer": {"device": "cpu"}}, "fp16": {"enabled": true}}
""",
        ("", ""),
        None,
        {"batch": 256, "zero": 3, "offload": "states", "precision": "fp16"},
        {},
        ("gpus", "sequence", "tokens"),
    ),
    Kind(
        "params.json",
        "params.json",
        '{"dim": 2048, "multiple_of": 256, "n_heads": 16, "n_layers": 16, "vocab_size": 32000}',
        ('"dim": 2048', '"dim": 4096'),
        llama(2048, 16, 5632, 32000),
        {},
        {},
        ("tokens",),
    ),
)
