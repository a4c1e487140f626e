"""A run of a mixture of experts in ``check``: compute from the active parameters, memory from all of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

WIDTH, INNER, LAYERS, HEADS, VOCAB, EXPERTS, USED = 2048, 8192, 24, 16, 32_000, 8, 2
CONFIG = {
    "model_type": "mixtral",
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS,
    "vocab_size": VOCAB,
    "num_local_experts": EXPERTS,
    "num_experts_per_tok": USED,
}
EXPERT = LAYERS * 3 * WIDTH * INNER
# attention, router and two norms a layer; two tables; a norm at the end
PLAIN = LAYERS * (4 * WIDTH**2 + WIDTH * EXPERTS + 2 * WIDTH) + 2 * VOCAB * WIDTH + WIDTH
TOTAL, ACTIVE = PLAIN + EXPERTS * EXPERT, PLAIN + USED * EXPERT
TOKENS, GPUS, PRICE, MFU = 200e9, 8, 2.0, 0.4
PEAK = 989.4e12  # dense bf16 of an H100 SXM, NVIDIA's data sheet halved for sparsity
PROJECT = f"""\
[[run]]
name = "mixture"
model = "config.json"
tokens = {TOKENS!r}
gpu = "h100-sxm"
gpus = {GPUS}
mfu = {MFU}
price = {PRICE}
"""
FLOPS = 6 * ACTIVE * TOKENS
HOURS = FLOPS / (PEAK * MFU * 3600)


def checked(cli, *quantities):
    """Return the value of each quantity of the run, in base units, as a policy sees it."""
    Path("config.json").write_text(json.dumps(CONFIG))
    limits = json.dumps([f"{name} >= 1e-9{' FLOP' if name == 'flops' else ''}" for name in quantities])
    Path("scaleplan.toml").write_text(f"{PROJECT}\n[policy]\nerror = {limits}\n")
    result = cli("check", "--json", "-q")
    assert result.status == 0, result.err
    found = {verdict["quantity"]: verdict["value"] for verdict in json.loads(result.out)["verdicts"]}
    return [found[name] for name in quantities]


def test_compute_time_and_money_follow_from_the_active_parameters(cli):
    """6 FLOP for each parameter that a token uses: 2 of 8 experts."""
    assert TOTAL > 3 * ACTIVE
    flops, hours, days, cost = checked(cli, "flops", "gpu_hours", "days", "cost")
    assert flops == pytest.approx(FLOPS, rel=1e-12)
    assert hours == pytest.approx(HOURS, rel=1e-9)
    assert days == pytest.approx(HOURS / GPUS / 24, rel=1e-9)
    assert cost == pytest.approx(HOURS * PRICE, rel=1e-9)


def test_memory_follows_from_all_parameters(cli):
    """Weights, gradients and states of every expert lie on the devices: 16 bytes a parameter, shared by all of them.

    On top are what the framework takes (1 to 2 GB), gathered layers and the activations of one recomputed sequence,
    together less than 10 GB for a layer of 2048 x 8192.
    """
    (memory,) = checked(cli, "memory_gb")
    states = 16 * TOTAL / GPUS / 1e9
    assert states < memory < states + 10
    alone = 16 * ACTIVE / GPUS / 1e9
    assert memory > alone + 12 * EXPERT / GPUS / 1e9  # the states alone tell the two apart


def test_loss_of_the_same_model_takes_the_same_compute(cli):
    """One question, one answer: ``loss --model`` and ``check`` of the same run."""
    flops, hours, cost = checked(cli, "flops", "gpu_hours", "cost")
    words = ["--tokens", repr(TOKENS), "--gpu", "h100-sxm", "--gpus", GPUS, "--mfu", MFU, "--price", PRICE]
    result = cli("loss", "--model", "config.json", *words, "--json")
    assert result.status == 0, result.err
    plan = json.loads(result.out)
    assert plan["flops"] == pytest.approx(flops, rel=1e-12)
    assert plan["budget"]["gpu_hours"] == pytest.approx(hours, rel=1e-9)
    assert plan["budget"]["cost"] == pytest.approx(cost, rel=1e-9)
