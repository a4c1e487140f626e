"""The commands about models: model, shape, memory; and plans for a model or with their run."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from tests.models.examples import LLAMA_3_8B_CONFIG as LLAMA_3_8B

PARAMS = "8030261248"


@pytest.fixture
def config(tmp_path):
    """A folder with Llama-3-8B's config."""
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_3_8B), encoding="utf-8")
    return tmp_path


@pytest.fixture
def typed(monkeypatch):
    """Give bytes on standard input."""

    def give(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return give


def test_a_model_is_read_from_a_file_a_folder_and_standard_input(cli, config, typed):
    """All three count the same, to the last parameter."""
    typed(json.dumps(LLAMA_3_8B).encode())
    for source in (config / "config.json", config, "-"):
        assert cli("model", source, "--get", "params").out == f"{PARAMS}\n"


def test_a_model_tells_parameters_flops_and_cache(cli, config):
    """The text has the exact count and all conventions; the JSON has the schema."""
    text = cli("model", config, "--context", "8192")
    assert "8,030,261,248" in text.out
    assert "131,072 bytes per token" in text.out
    found = cli("model", config, "--context", "8192", "--json").json
    assert found["schema"] == "scaleplan/model/1"
    assert found["flops_per_token_causal_attention"] == pytest.approx(5.147e10, rel=1e-3)  # architecture.md, 4


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"model_type": "llama"', "standard input: not valid JSON"),
        (b"\xff\xfe", "standard input is not UTF-8 text"),
        (b"[]", "standard input: expected a JSON object"),
        (b'{"model_type": "nobody"}', "nobody"),
    ],
)
def test_a_bad_config_is_one_error(cli, typed, data, message):
    """It names the input and what is wrong, at status 2."""
    typed(data)
    found = cli("model", "-")
    assert (found.status, found.out) == (2, "")
    assert message in found.err


def test_a_shape_is_written_as_a_config_that_reads_back(cli, config):
    """The file is what the answer counts; the text shows alternatives and the nearest published model."""
    out = config / "new.json"
    found = cli("shape", "7B", "-o", out)
    assert found.status == 0
    for word in ("chosen", "deeper", "wider", "nearest published"):
        assert word in found.out
    counted = cli("model", out, "--get", "params").out
    assert counted == cli("shape", "7B", "--get", "params").out
    assert abs(int(counted) / 7e9 - 1) < 0.01
    assert cli("shape", "7B", "-o", config / "none" / "new.json").status == 2


def test_a_shape_takes_the_options_of_its_style(cli):
    """Tied or not, with experts or not."""
    assert cli("shape", "350M", "--style", "gpt2", "--untied", "--get", "tied_embeddings").out == "false\n"
    words = ("shape", "47B", "--style", "mixtral", "--experts", "16", "--experts-per-token", "4")
    assert cli(*words, "--get", "experts").out == "16\n"
    assert cli("shape", "7B", "--style", "nobody").status == 2


def test_memory_finds_a_layout(cli, config):
    """A model on devices: what each holds adds up, and fits."""
    found = cli("memory", config, "--gpu", "h100-sxm", "--gpus", "64", "--batch", "4M", "--json").json
    assert found["schema"] == "scaleplan/memory/1"
    memory = found["memory"]
    assert memory["total"] == pytest.approx(sum(value for name, value in memory.items() if name != "total"))
    assert found["fits"]
    assert found["parallel"]["data"] == 64
    assert "fewest GPUs" in cli("memory", "7B", "--gpu", "h100-sxm").out


def test_memory_keeps_what_is_given(cli, config):
    """Without a device the layout is the one that was named; 16 bytes a parameter shared by 8."""
    words = ("memory", config, "--gpus", "8", "--recompute", "full", "--micro-batch", "2")
    found = cli(*words, "--zero", "3", "--json").json
    states = sum(found["memory"][name] for name in ("weights", "gradients", "optimizer"))
    assert states == pytest.approx(16 * int(PARAMS) / 8)
    assert found["micro_batch"] == 2
    assert cli(*words, "--zero", "0", "--get", "memory.weights").out == f"{2.0 * int(PARAMS)}\n"


def test_memory_shows_what_ways_to_train_are_worth(cli):
    """What is trained, what programs tell of it with its band, and a table of other choices."""
    words = ("memory", "llama-3.1-8b", "--gpu", "rtx-4090", "--gpus", "1", "--context", "2048")
    found = cli(*words, "--tune", "lora", "--rank", "16", "--recompute", "full")
    assert found.status == 0
    for text in (
        "lora of rank 16, bf16, adamw",
        "allocated (±20 %)",
        "allocated by the trainer",
        "the same layout and micro-batch with other choices",
        "--tune qlora",
    ):
        assert text in found.out
    told = cli(*words, "--tune", "lora", "--rank", "16", "--recompute", "full", "--json").json
    assert told["allocated"] < told["reserved"] < told["device_used"]
    assert {way["options"] for way in told["worth"]} > {"--tune qlora --rank 16", "--loss fused"}
    assert told["states"] is None
    refused = cli(*words, "--tune", "lora", "--states", "mixed")
    assert refused.status == 2
    assert "leave out --states" in refused.err


def test_a_way_to_train_that_does_not_fit_says_what_would(cli):
    """Full training in bf16 on a small card: not with AdamW's moments, but with those in eight bits."""
    words = ("memory", "llama-3.2-3b", "--gpu", "rtx-4090", "--gpus", "1", "--precision", "bf16")
    found = cli(*words)
    assert found.status == 1
    assert "it fits with --optimizer adamw-8bit" in found.err
    assert cli(*words, "--optimizer", "adamw-8bit").status == 0


def test_frozen_weights_may_fill_a_device(cli):
    """The share that states may take leaves room for a step, which is counted: it is for pre-training, or given."""
    words = ("memory", "yi-34b", "--gpu", "a100-sxm-80", "--gpus", "1", "--context", "512", "--tune", "lora")
    words += ("--recompute", "full")
    assert cli(*words).status == 0
    assert cli(*words, "--margins", "states=80%").status == 1


def test_memory_that_is_too_small_is_a_no(cli):
    """Status 1 both where no layout fits, with its table and the margins, and where a served model is too large."""
    train = cli("memory", "70B", "--gpu", "rtx-4090", "--gpus", "8")
    assert train.status == 1
    assert "or more" in train.err
    for words in ("does not fit 8 x rtx-4090", "optimizer", "80 % of a GPU (20.6 GB)", "1.00x,", "--margins"):
        assert words in train.out
    assert "it fits with --gpus " in train.out
    as_json = cli("memory", "70B", "--gpu", "rtx-4090", "--gpus", "8", "--json")
    assert (as_json.status, as_json.json["fits"]) == (1, False)
    assert as_json.json["excess"]["over"] > 0
    serve = cli("memory", "70B", "--gpu", "rtx-4090", "--gpus", "2", "--serve")
    assert serve.status == 1
    assert "it fits with --gpus 8" in serve.out
    assert cli("memory", "70B", "--gpu", "rtx-4090", "--gpus", 8, "--serve").status == 0
    assert "does not fit" in serve.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--zero", "5"), "no ZeRO stage"),
        (("--states", "adafactor"), "adafactor"),
        (("--recompute", "some"), "some"),
        (("--serve", "--zero", "3"), "no training layout"),
        (("--sequences", "4"), "belong to serving"),
        (("--gpus", "6", "--tensor", "4"), "6 GPUs cannot be divided into replicas of 4"),
        (("--gpu", "nobody"), "unknown GPU"),
    ],
)
def test_wrong_memory_requests_say_why(cli, words, message):
    """Status 2, nothing on standard output."""
    found = cli("memory", "7B", *words)
    assert (found.status, found.out) == (2, "")
    assert message in found.err


def test_the_headline_says_the_count(cli):
    """How many devices it needs and that one fewer is not enough, or how many of those at hand it uses."""
    needs = cli("memory", "7B", "--gpu", "rtx-4090").out.splitlines()[0]
    assert "needs 6 x rtx-4090 to train, it does not fit on 5" in needs
    assert (
        "does not fit 4 x rtx-4090 to train; it needs 6" in cli("memory", "7B", "--gpu", "rtx-4090", "--gpus", 4).out
    )
    idle = cli("memory", "7B", "--gpu", "rtx-4090", "--gpus", 9, "--tensor", 8)
    assert "fits on 8 of 9 x rtx-4090" in idle.out.splitlines()[0]
    assert "1 idle" in idle.out
    assert cli("memory", "30B", "--gpu", "rtx-4090", "--gpus", 64, "--get", "parallel.zero").out == "3\n"


@pytest.mark.parametrize(
    ("devices", "context", "more"), [(8192, 8192, ()), (16_384, 8192, ()), (16_384, 131_072, (16,))]
)
def test_the_published_layouts_of_a_405b_are_found(cli, devices, context, more):
    """Eight tensor ways and sixteen stages, 8K without recomputation; 131K with context parallelism."""
    words = ("--gpu", "h100-sxm", "--gpus", devices, "--context", context, "--batch", 2**24, "--tensor", 8)
    kind = ("--context-parallel", *more) if more else ("--context-parallel", 1, "--recompute", "none")
    found = cli("memory", "405B", *words, "--pipeline", 16, *kind)
    assert found.status == 0
    assert f"fits on {devices:,} x h100-sxm" in found.out


def test_memory_is_checked_wherever_devices_are_given(cli):
    """One line: how many it needs, what is too large; the size that is named fits when it is typed."""
    words = ("optimal", "--gpus", 1, "--gpu", "rtx-4090", "--time", "3y")
    found = cli(*words)
    (line,) = [line for line in found.err.splitlines() if "does not fit" in line]
    assert line.startswith("warning: 5.69B needs 5 x rtx-4090; it does not fit on 1")
    assert "parameters    5.69B" in found.out  # one size has one figure
    limit = line.split("--limit '")[1].rstrip("'")
    assert "fit on" not in cli(*words, "--limit", limit).err
    assert "fit on" in cli(*words, "--limit", "params <= 1.4B").err
    for words in (("loss", "--params", "7B", "--tokens", "1T"), ("target", "--loss", 2.1)):
        assert "does not fit on 1" in cli(*words, "--gpus", 1, "--gpu", "rtx-4090").err
    loose = ("loss", "--params", "7B", "--tokens", "1T", "--gpus", 2, "--gpu", "h100-sxm")
    assert "does not fit" not in cli(*loose).err
    assert "does not fit on 2" in cli(*loose, "--margins", "states=50%").err
    assert "says nothing" in cli("loss", "--params", "7B", "--tokens", "1T", "--margins", "states=50%").err
    many = ("--from", "1d", "--to", "1000d", "--points", 4, "--by", "time", "--gpus", 1, "--gpu", "rtx-4090")
    assert "2 of 4 plans do not fit their GPUs" in cli("sweep", *many).err


def test_a_bound_on_memory_makes_no_mixture(cli):
    """A question about a dense model stays one: refused, with what to type for either."""
    found = cli("optimal", "--flops", "1e21", "--max-memory", "24GB")
    assert found.status == 2
    assert "--experts" in found.err
    limit = found.err.split("--limit '")[1].split("'")[0]
    assert cli("optimal", "--flops", "1e21", "--limit", limit).status == 0
    assert cli("optimal", "--flops", "1e21", "--max-memory", "24GB", "--experts", 8).status == 0


@pytest.mark.parametrize("flops", ["3e17", "1e19", "4.4e20", "7e22"])
@pytest.mark.parametrize("devices", [(), ("--gpu", "rtx-4090", "--gpus", 7), ("--gpu", "h100-sxm", "--gpus", 100)])
def test_a_step_of_a_plan_divides(cli, flops, devices):
    """By replicas and micro-batches, in round numbers."""
    found = cli("optimal", "--flops", flops, "--shape", *devices, "--json").json["blueprint"]
    sequences = found["tokens_per_step"] / found["sequence"]
    if found["layout"] is not None:
        layout = found["layout"]
        assert sequences == layout["parallel"]["data"] * layout["micro_batch"] * layout["accumulation"]
        sequences = layout["accumulation"] * layout["micro_batch"]
    while sequences % 2 == 0:
        sequences /= 2
    assert sequences in {1, 3}


def test_a_plan_for_a_model_counts_it_as_the_law_does(cli, config):
    """All parameters for one law, FLOP per token of the architecture for another."""
    for words in (("loss", "--tokens", "2T"), ("optimal", "--flops", "1e21")):
        assert cli(*words, "--model", config, "--get", "params").out == f"{PARAMS}\n"
    per_token = cli("optimal", "--model", config, "--flops", "1e21", "--preset", "deepseek-llm-2024", "--json").json
    # M = 6 x (parameters without tables and head) + 12 L d T at T = 2048 (arXiv:2401.02954)
    expected = 6 * (int(PARAMS) - 2 * 128_256 * 4096) + 12 * 32 * 4096 * 2048
    assert per_token["params"] == pytest.approx(expected)


def test_the_size_is_given_once(cli, config):
    """By --params or by --model."""
    for command in (("loss", "--tokens", "2T"), ("optimal", "--flops", "1e21")):
        found = cli(*command, "--model", config, "--params", "7B")
        assert found.status == 2
        assert "the size is given twice" in found.err
    assert "there is no model size" in cli("loss", "--tokens", "2T").err


def test_a_student_learns_what_to_train(cli):
    """Eight cards for a month: what, whether it fits, how long, what loss, at what price, and how sure."""
    words = ("optimal", "--gpus", "8", "--gpu", "rtx-4090", "--time", "30d", "--shape", "--region", "France")
    found = cli(*words)
    assert found.status == 0
    for word in ("loss", "architecture", "layout", "micro-batch", "steps", "of 25.8 GB", "time", "cost", "carbon"):
        assert word in found.out
    assert "1.6x either way, 80 %" in found.out
    blueprint = cli(*words, "--json").json["blueprint"]
    assert blueprint["fits"]
    assert blueprint["config"]["model_type"] == "llama"


def test_words_about_a_run_need_the_run(cli):
    """A region, a batch, a style or a context without --shape is an error; so is a stream with it."""
    for word in ("--region", "--batch", "--style", "--context"):
        found = cli("optimal", "--flops", "1e21", word, "1M")
        assert found.status == 2
        assert "add --shape" in found.err
    assert "one budget at a time" in cli("optimal", "-", "--shape").err


def test_memory_bounds_a_plan(cli):
    """The largest size that needs 8 GB a device is chosen, and named as the limit that binds."""
    words = ("optimal", "--gpus", "8", "--gpu", "rtx-4090", "--time", "365d")
    found = cli(*words, "--limit", "memory_gb <= 8", "--json").json
    assert found["binding"][0]["limit"] == "memory_gb <= 8 GB"
    assert found["params"] < cli(*words, "--json").json["params"]
    assert "needs --gpu and --gpus" in cli("optimal", "--flops", "1e21", "--limit", "memory_gb <= 8").err


def test_what_is_served_is_named(cli):
    """Keys and values are those of so many sequences of such a length, which a line tells."""
    assert "\n  1 sequence of 1,024 tokens at once" in cli("memory", "gpt2", "--serve").out
    told = cli("memory", "gpt2", "--serve", "--sequences", "3", "--context", "256").out
    assert "\n  3 sequences of 256 tokens at once" in told
    words = ("memory", "llama-3.1-8b", "--serve", "--gpu", "rtx-4090")
    assert "it fits with --gpus 2, or --context 32768, or --weight-bits 4" in " ".join(cli(*words).out.split())
    assert cli(*words, "--context", "32768").status == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--context", "4096"), "4,096 tokens are longer than the 1,024"),
        (("--context", "4096", "--serve"), "4,096 tokens are longer than the 1,024"),
        (("--context", "4096", "--gpu", "v100", "--ways"), "4,096 tokens are longer than the 1,024"),
        (("--gpu", "v100", "--precision", "bf16"), "no bf16 rate of"),
        (("--gpu", "a100", "--states", "fp8"), "no fp8 rate of"),
        (("--gpu", "rtx-4090", "--precision", "nvfp4"), "no fp4 rate of"),
    ],
)
def test_what_the_model_or_the_device_does_not_have_is_warned_of(cli, words, message):
    """In one line."""
    assert message in cli("memory", "gpt2", *words).err


def test_what_they_have_passes_without_a_warning(cli):
    """Numbers of the device, the model's whole context, and adapters, which learn in fp16 too."""
    assert cli("memory", "gpt2", "--gpu", "rtx-4090", "--precision", "fp8", "--context", "1024").err == ""
    assert cli("memory", "gpt2", "--gpu", "v100", "--tune", "lora").err == ""


def test_what_a_training_config_says_and_memory_does_not_count_is_warned_of(cli):
    """One line for each; adapters with magnitudes are counted, and a model of other sizes is refused."""
    plain = "base_model: llama-3.2-1b\nadapter: lora\nlora_r: 8\nsequence_len: 512\nsample_packing: true\n"
    devices = ("--gpus", "1", "--gpu", "l4")
    Path("plain.yaml").write_text(plain + "lora_modules_to_save: []\nrl:\n")
    assert "memory is counted" not in cli("memory", "plain.yaml", *devices).err
    more = "lora_modules_to_save: [lm_head]\nrl: dpo\npeft_use_dora: true\nlora_target_modules: [q_proj, qkv_proj]\n"
    Path("more.yaml").write_text(plain + more)
    for ways in ((), ("--ways",)):
        found = cli("memory", "more.yaml", *devices, *ways).err
        assert "lora_modules_to_save: memory is counted without what is trained in full" in found
        assert "rl: memory is counted without its pairs" in found
        assert "lora_target_modules: adapters are counted as on all matrices" in found
        assert "--tune dora" in found
    Path("other.yaml").write_text(plain + "overrides_of_model_config: {num_hidden_layers: 2}\n")
    assert cli("memory", "other.yaml", *devices).status == 2
