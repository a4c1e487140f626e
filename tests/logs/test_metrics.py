"""What the names of metrics mean, in the spellings of trainers and trackers."""

from __future__ import annotations

import pytest

from scaleplan.logs.metrics import role_of

MEANINGS = {
    "loss": (
        "loss|train/loss|train_loss"
        "|lm loss|lm-loss-training/lm loss|train/CE loss|loss/train/total|reduced_train_loss"
        "|metrics/train/LanguageCrossEntropy|train_loss_step|train_loss_epoch|loss_metrics/global_avg_loss|learning/loss"
        "|trainLoss|Training Loss|loss/out|train.loss|data.loss|epoch_loss|train/train_loss|train/cross_entropy"
    ),
    "val_loss": (
        "val/loss|val_loss|eval_loss|eval/loss|validation loss|valid_loss|lm loss validation|test/loss|eval/c4/loss"
        "|metrics/eval/LanguageCrossEntropy|validation_metrics/loss|Validation Loss|validLoss|dev_loss|heldout/loss"
    ),
    "lr": (
        "lr|train/lr|learning_rate|train/learning_rate|lr-AdamW|lr-AdamW/pg1|optim/lr|optim/LR (group 0)|learningRate"
        "|optim/learning_rate_group0"
        "|lr-DecoupledAdamW/group0|learning/current_learning_rate|LR"
    ),
    "relative_lr": "lrm|lr_rel|lr_multiplier|lr scale",
    "step": "step|train/step|iter|iteration|global_step|trainer/global_step|train/global_step|_step|time/batch|Step",
    "tokens": (
        "tokens|train/tokens|num_input_tokens_seen|train/num_input_tokens_seen|consumed_tokens|throughput/total_tokens"
        "|throughput/total tokens|time/token|tokens (B)|tokens_seen"
        "|optim.total_tokens|total_tokens|train/tokens/total|D"
    ),
    "seconds": "_runtime|elapsed|elapsed_s|train_time_ms|wall_clock|time_elapsed|time",
    "clock": "_timestamp|Wall time|timestamp|created_at",
    "step_seconds": "step_time|iter_time|dt|perf/step_time_seconds|time_per_iteration_ms|step_time_ms",
    "grad_norm": "grad_norm|train/grad_norm|optim/total grad norm|learning/grad_norm|gradient_norm|gnorm",
    "mfu": "mfu|mfu(%)|train/mfu",
    "tokens_per_second": "tokens_per_second|throughput/tokens_per_sec|tok/s|tokens_per_sec|tps",
    "device_tokens_per_second": (
        "throughput(tps)|throughput/device/tokens_per_sec|perf/per_device_tokens_per_sec"
        "|train/tokens_per_second_per_gpu|tgs"
    ),
    "params": "params|n_params|num_parameters|config.n_params|Model Size (M)|params_B",
    "total_steps": "max_steps|total_steps|num_iterations|config.max_steps|train_iters",
    "tokens_per_step": "tokens_per_step|batch_tokens|tokens_per_batch",
    "batch": "global_batch_size|config.global_batch_size",
    "seed": "seed|config.seed",
    None: (
        "loss_scale|aux_loss"
        "|train/Z loss|best_val_loss|min_loss|loss_std|moe/load_balancing_loss|mtp_1 loss|eval_runtime"
        "|min_lr|warmup_lr|config.lr|train_samples_per_second|eval_samples_per_second|accuracy|hellaswag/acc|total_flos"
        "|lm loss vs samples|hparam/loss|loss_metrics/global_max_loss|grad_norm_clip|policy_loss|notes|"
    ),
}


@pytest.mark.parametrize(
    ("role", "name"), [(role, name) for role, names in MEANINGS.items() for name in names.split("|")]
)
def test_a_name_has_its_role(role, name):
    if name == "Step":  # W&B's count of calls stands so in a chart; in a table it is a step
        assert role_of(name).role == "step"
        return
    meaning = role_of(name)
    assert (None if meaning is None else meaning.role) == role


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("train/loss", "train/loss_total"),
        ("metrics/train/LanguageCrossEntropy", "loss/train/total"),
        ("train_loss_step", "train_loss_epoch"),
        ("train_loss", "train_loss_ema"),
        ("loss", "ppl"),
        ("val/loss", "val/bpb"),
        ("val_loss", "eval_loss"),
        ("eval/loss", "eval/c4/loss"),
        ("eval_loss", "test_loss"),
        ("trainer/global_step", "step"),
        ("train/step", "_step"),
        ("lr-AdamW/pg1", "lr-AdamW/pg2"),
        ("lr", "lr_matrix"),
    ],
)
def test_the_plainer_of_two_is_meant(better, worse):
    assert role_of(better).role == role_of(worse).role
    assert role_of(better).rank < role_of(worse).rank


@pytest.mark.parametrize(
    ("name", "unit"),
    [("loss", "nats"), ("val_ppl", "ppl"), ("val/bpb", "bpb"), ("bits_per_token", "bits"), ("word_ppl", "word_ppl")],
)
def test_a_loss_has_the_unit_of_its_name(name, unit):
    assert role_of(name).unit == unit


@pytest.mark.parametrize(
    ("name", "factor"),
    [("tokens (B)", 1e9), ("tokens", 1), ("train_time_ms", 1e-3), ("elapsed_hours", 3600), ("params_M", 1e6)],
)
def test_a_unit_in_a_name_is_a_factor(name, factor):
    assert role_of(name).factor == factor
