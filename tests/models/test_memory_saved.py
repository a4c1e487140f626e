"""What a layer keeps and a step takes, against bytes counted in real models: ``saved_bytes.json`` says how."""

import json
from pathlib import Path

import pytest

import scaleplan as sp
from scaleplan.models import read_model
from scaleplan.models.activations import layer_kept
from scaleplan.models.tuning import method_of

MEASURED = json.loads(Path(__file__).with_name("saved_bytes.json").read_text(encoding="utf-8"))

NORMS_IN_FP32 = ("gemma", "olmo2")
"""Families whose norms multiply by their weight before they cast, which keeps another copy when it is trained."""


def config(name):
    """Return the config of a measured model, with the layers of its whole runs."""
    return {**MEASURED["models"][name], "num_hidden_layers": 8, "max_position_embeddings": 4096}


@pytest.mark.parametrize("row", MEASURED["layers"], ids=lambda row: f"{row['model']}: {row['options']}")
def test_a_layer_keeps_what_real_ones_do(row):
    """Within 1 %, or what fp32 norms keep on top."""
    model = read_model(config(row["model"])).architecture
    options = {"precision": "bf16", **row["options"]}
    method, _ = method_of(**options)
    kept = layer_kept(model, model.stacks[0], method, sequence=512)[0]
    assert kept == pytest.approx(row["bytes"], rel=0.11 if row["model"] in NORMS_IN_FP32 else 0.01)


@pytest.mark.parametrize("row", MEASURED["peaks"], ids=lambda row: f"{row['model']}: {row['options']}")
def test_a_step_takes_what_real_ones_do(row):
    """Weights, states, activations and logits at the peak, within 4 %."""
    options = {"recompute": "none", "precision": "bf16", "kernels": "eager", "attention": "sdpa", **row["options"]}
    found = sp.memory(config(row["model"]), gpus=1, context=2048, **options)
    assert found.allocated == pytest.approx(row["bytes"], rel=0.04)


@pytest.mark.parametrize("row", MEASURED["trainers"], ids=lambda row: f"{row['trainer']}: {row['model']}")
def test_a_trainer_takes_what_its_choices_do(row):
    """Within 5 %: its named choices are those of its code."""
    found = sp.memory(row["model"], gpus=1, trainer=row["trainer"], **row["options"])
    assert found.allocated == pytest.approx(row["bytes"], rel=0.05)
