"""Training configs of every trainer: recognised, and read as their trainers would."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest
from tests.trainers.kinds import KINDS

from scaleplan.documents.document import parse_document
from scaleplan.models import trained, tuning
from scaleplan.models.model import VocabularyError, read_model
from scaleplan.trainers import common
from scaleplan.trainers.registry import TRAINERS, read_training_config
from scaleplan.trainers.stated_run import StatedRun
from scaleplan.trainers.training_config import STATED, VALUES, RunGiven

SAMPLES = Path(__file__).parents[2].parent / "shared" / "cases" / "training_configs"

NAMES = {
    "tokens_per_step": "batch_tokens",
    "data_parallel": "data",
    "samples_per_step": "batch",
    **{name: name for name in ("steps", "tokens", "sequence", "gpus", "tensor", "pipeline", "precision", "zero")},
}
"""The names of the truth about the samples, as values of a run."""


def config(text, name, **given):
    """Return what a config says."""
    return read_training_config(parse_document(text, name=name), RunGiven(**given))


def values(found):
    """Return the values of a config by name."""
    return {name: setting.value for name, setting in found.values.items()}


def params(path, **given):
    """Return the parameters of the model in a file; None where its vocabulary is open."""
    try:
        return read_model(path, **given).params
    except VocabularyError:
        return None


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.file)
def test_a_config_is_read_as_its_trainer_reads_it(kind, tmp_path):
    """Size, batch, length, devices and layout; what is not in the file is open, with a reason."""
    found = config(kind.text, kind.file)
    assert found.trainer == kind.trainer
    read = values(found)
    assert {name: read.get(name) for name in kind.values} == kind.values
    assert set(kind.open) <= found.open.keys()
    assert not {*kind.open} & read.keys()
    assert read.keys() <= VALUES.keys()
    (tmp_path / kind.file).write_text(kind.text)
    if kind.params is not None:
        assert params(tmp_path / kind.file) == kind.params
    elif "vocab" in kind.open:
        assert params(tmp_path / kind.file) is None


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.file)
def test_every_value_has_the_line_that_it_stands_on(kind):
    """Whatever was read is in the file, at that line."""
    lines = kind.text.split("\n")
    for place, value in config(kind.text, kind.file).read.items():
        assert place.file == kind.file
        assert place.line is not None
        if isinstance(value, int) and not isinstance(value, bool) and value > 99:
            number = lines[place.line - 1].replace("_", "")
            assert str(value) in number or any(sign in number for sign in ("$", "*", "e", "{"))


def test_a_result_has_every_value_that_a_run_may_have():
    """By its name or by that in results, beside the trainer and what is open."""
    names = {item.name for item in fields(StatedRun)} - {"trainer", "open"}
    assert {STATED.get(name, name) for name in VALUES} == names


def test_every_trainer_has_an_example():
    """One of each, and no two trainers recognise the same: the order of the registry does not decide."""
    assert {kind.trainer for kind in KINDS} == {trainer.name for trainer in TRAINERS}


@pytest.mark.parametrize("trainer", TRAINERS, ids=lambda trainer: trainer.name)
def test_examples_of_the_others_are_not_recognised(trainer):
    """Except that a config with more marks may have those of a trainer with fewer."""
    wider = {"DeepSpeed": {"GPT-NeoX"}, "Megatron-LM": {"GPT-NeoX"}}
    names = {kind.trainer for kind in KINDS if trainer.recognise(parse_document(kind.text, name=kind.file))}
    assert names - wider.get(trainer.name, set()) == {trainer.name}


def samples():
    """Return the samples with the truth about each."""
    if not SAMPLES.is_dir():
        return []
    return list(json.loads((SAMPLES / "truth.json").read_text())["files"].items())


@pytest.mark.skipif(not samples(), reason="the shared folder is not here")
@pytest.mark.parametrize("name, truth", samples())
def test_the_samples_are_read_right(name, truth):
    """Every value of the truth; what is null there is open here, but a size that a table of names determines."""
    found = config((SAMPLES / name).read_text(), name)
    read = values(found)
    assert {key: read.get(NAMES[key]) for key in truth if key in NAMES} == {
        key: truth[key] for key in truth if key in NAMES
    }
    for key in ("tokens", "gpus"):
        if key in truth and truth[key] is None:
            assert found.open[key].reason
    if truth.get("params") is not None:
        assert read_model(SAMPLES / name).params == truth["params"]
    if "non_embedding" in truth:
        assert read_model({"vocab_size": 1, **found.fields}).non_embedding_params == truth["non_embedding"]
    if truth.get("params", 0) is None and name != "olmo_core.py":
        assert found.unsized is not None or "vocab" in found.open
    if "samples_per_step_per_gpu" in truth:
        assert read["micro_batch"] * read["accumulation"] == truth["samples_per_step_per_gpu"]


@pytest.mark.skipif(not samples(), reason="the shared folder is not here")
def test_the_formulas_of_the_samples_hold_with_devices():
    """Tokens of a step where the devices are given: 8192 x dp, 16384 x dp, 65536 a device, and nanochat's ratio."""
    texts = {name: (SAMPLES / name).read_text() for name, _ in samples()}
    assert values(config(texts["torchtitan.toml"], "torchtitan.toml", gpus=64))["batch_tokens"] == 64 * 8192
    registry = values(config(texts["torchtitan_registry.py"], "torchtitan_registry.py", gpus=32))
    assert registry["batch_tokens"] == 32 * 16384
    assert values(config(texts["axolotl.yaml"], "axolotl.yaml", gpus=4))["batch_tokens"] == 4 * 65536
    trained = values(config(texts["nanochat_run.sh"], "nanochat_run.sh", vocab=65536))
    ratio = 20 * (393_216_000 + 1200 + 65536 * 1280)  # matrices, gates, head
    assert trained["tokens"] == ratio // 524288 * 524288
    arguments = values(config(texts["training_args.json"], "training_args.json", gpus=8, sequence=2048))
    assert arguments["tokens"] == 20000 * 4 * 8 * 8 * 2048


def test_the_page_lists_what_is_read():
    """A row for each trainer, as the registry has it."""
    page = (Path(__file__).parents[2] / "docs" / "guides" / "training-configs.md").read_text()
    rows = [line for line in page.split("\n") if line.startswith("| ")][2:]
    expected = {
        f"| {each.name} | {each.forms} | {each.model} | {each.batch} | {each.length} | {each.left} |"
        for each in TRAINERS
    }
    assert set(rows) == expected


def test_what_configs_name_is_known_to_memory():
    """Optimizers, matrices with an adapter and trainers have one name, or one translation."""
    optimizers = {name for _, name in common._OPTIMIZERS}
    assert optimizers == {*trained._OPTIMIZERS, "adamw"}  # which is the default
    assert set(trained._OPTIMIZERS.values()) <= tuning.OPTIMIZERS.keys()
    assert set(trained._QUANTIZED.values()) <= tuning.STORED.keys()
    assert [tuning.target_labels(name) for name in common._MATRICES] == [(label,) for label in tuning.TARGETS]
    assert trained._TRAINERS.keys() <= {trainer.name for trainer in TRAINERS}
    assert set(trained._TRAINERS.values()) <= tuning.HABITS.keys()


@pytest.mark.parametrize(
    ("optim", "name"),
    [
        ("adamw_torch_fused", None),
        ("adamw_bnb_8bit", "adamw-8bit"),
        ("paged_adamw_8bit", "paged-adamw-8bit"),
        ("lion_8bit", "lion-8bit"),
        ("galore_adamw", "galore"),
        ("galore_adamw_8bit_layerwise", "galore-8bit"),
        ("adafactor", "adafactor"),
    ],
)
def test_an_optimizer_keeps_its_own_states(optim, name):
    """Names of the Hugging Face Trainer; eight bits stay eight bits."""
    found = config(f"model_name_or_path: gpt2\nper_device_train_batch_size: 8\noptim: {optim}\n", "train.yaml")
    assert trained.memory_options(found).get("optimizer") == name


@pytest.mark.parametrize(("precision", "name"), [("bf16-true", "bf16"), ("bf16-mixed", "autocast")])
def test_weights_of_a_mixed_precision_stay_in_fp32(precision, name):
    """litgpt keeps weights in the precision that is ``true``, and else in fp32."""
    found = config(f"model_name: pythia-14m\nprecision: {precision}\ntrain:\n  global_batch_size: 8\n", "a.yaml")
    assert trained.memory_options(found)["precision"] == name
