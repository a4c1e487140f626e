"""Every way to train or tune a model on some devices: what fits, how long, and what it costs."""

from __future__ import annotations

import shlex
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.trainers.kinds import KINDS

import scaleplan as sp
from scaleplan.errors import ScaleplanError, UsageError
from scaleplan.models import questions
from scaleplan.planning.context import Context

DATA = Context()
sized = cache(questions.sized)


def ways(model="llama-3.1-8b", gpu="rtx-4090", **options):
    """Return the comparison, data files read once."""
    return sp.ways(model, gpu=gpu, data=DATA, **options)


def named(found):
    """Return the ways by name."""
    return {way.name: way for way in found.ways}


def keywords(text):
    """Return options as they are typed as keywords."""
    words = shlex.split(text)
    pairs = {}
    for at, word in enumerate(words):
        if word.startswith("--"):
            value = words[at + 1] if at + 1 < len(words) and not words[at + 1].startswith("--") else True
            pairs[word.removeprefix("--").replace("-", "_")] = value
    return pairs


def test_what_a_student_asks():
    """An 8B model on a card of 24 GB: QLoRA fits, in hours and for a dollar or so; mixed precision does not."""
    found = ways()
    rows = named(found)
    assert found.fits
    assert rows["QLoRA r16"].fits
    assert not rows["full mixed"].fits
    assert not rows["full bf16"].fits
    assert found.best.name.startswith("QLoRA")
    assert 0.5 < found.best.hours < 5
    assert 0.2 < found.best.cost < 3
    scratch = rows["from scratch"]
    assert scratch.tokens == pytest.approx(20 * found.params, rel=0.1)
    assert scratch.hours > 365.25 * 24
    assert [way.weights for way in found.serving] == ["bf16", "int8", "nf4"]


@pytest.mark.parametrize(
    "model, gpu, gpus, options",
    [
        ("llama-3.1-8b", "rtx-4090", 1, {}),
        ("llama-3.1-8b", "rtx-4090", 2, {"context": 4096}),
        ("llama-3.1-70b", "a100-sxm-80", 8, {}),
        ("mixtral-8x7b", "h100-sxm", 4, {"batch": "256k"}),
        ("gpt2", "t4", 1, {"margins": "states=90%, reserve=1GB"}),
        ("350M", "rtx-3060-12", 1, {"micro_batch": 3, "recompute": "full"}),
    ],
)
def test_each_row_can_be_asked_by_itself(model, gpu, gpus, options):
    """``memory`` with the options of a row needs the same bytes, and fits as the row says."""
    found = ways(model, gpu, gpus=gpus, **options)
    assert len(found.ways) > 10
    for way in found.ways:
        alone = sp.memory(model, gpu=gpu, data=DATA, **keywords(way.options))
        assert alone.memory.total == pytest.approx(way.memory_bytes, rel=1e-12), way.name
        assert alone.fits is way.fits
        assert alone.device_used == way.device_used
    for served in found.serving:
        alone = sp.memory(model, gpu=gpu, data=DATA, margins=options.get("margins"), **keywords(served.options))
        assert (alone.memory.total, alone.fits) == (served.memory_bytes, served.fits)


def test_the_order():
    """What fits, the fewest hours first and of equals the least memory; host memory last; then by what is needed."""
    found = [way for way in ways().ways if not way.from_scratch]
    fitting = [way for way in found if way.fits]
    assert found == [*fitting, *(way for way in found if not way.fits)]
    for host in (False, True):
        own = [(way.hours, way.memory_bytes) for way in fitting if way.on_host is host]
        assert own
        assert own == sorted(own)
    assert [way.on_host for way in fitting] == sorted(way.on_host for way in fitting)
    needed = [way.memory_bytes for way in found if not way.fits]
    assert needed == sorted(needed)


def test_nothing_fits():
    """The nearest way is named, and options with which the answer is yes, each of which is true."""
    found = ways("llama-3.1-70b", "rtx-3060-12")
    assert not found.fits
    assert found.best.memory_bytes == min(way.memory_bytes for way in found.ways)
    assert found.ways_out
    for option in found.ways_out:
        assert ways("llama-3.1-70b", "rtx-3060-12", **keywords(option)).fits
    short = ways("llama-3.1-8b", "rtx-3060-12", context=65536)
    assert "--context" in short.ways_out[0]
    for option in short.ways_out:
        given_options = {"context": 65536, **keywords(option)}
        assert ways("llama-3.1-8b", "rtx-3060-12", **given_options).fits


@pytest.mark.parametrize("name", ["QLoRA r16", "LoRA r16", "full bf16, adafactor, in backward"])
def test_the_longest_context_fits_and_a_longer_one_does_not(name):
    """With full recomputation and one sequence at once."""
    way = named(ways())[name]
    options = keywords(way.options) | {"recompute": "full", "micro_batch": 1}
    assert sp.memory("llama-3.1-8b", gpu="rtx-4090", **options, context=way.longest_context).fits
    assert not sp.memory("llama-3.1-8b", gpu="rtx-4090", **options, context=way.longest_context + 256).fits


def test_tokens_hours_and_money_are_in_proportion():
    """Three passes over 5M tokens are 15M; half as many take half the time; the range is the band either way."""
    whole, half = ways(epochs=3, data_tokens="5M"), ways(tokens=7.5e6)
    assert (whole.tokens, whole.epochs) == (15e6, 3)
    for one, other in zip(whole.ways, half.ways, strict=True):
        assert one.name == other.name
        if not one.from_scratch:
            assert one.hours == pytest.approx(2 * other.hours)
            assert one.cost == pytest.approx(one.hours * whole.price_per_hour)
            assert one.hours == pytest.approx(one.tokens / one.tokens_per_second / 3600)
            assert one.hours_interval == pytest.approx((one.hours / whole.band, one.hours * whole.band))
    assert whole.price_date == "2026-05"


@pytest.mark.parametrize("limit", [{"hours": 8}, {"cost": 20}, {"hours": 8, "cost": 20}])
def test_a_limit_asks_for_the_tokens(limit):
    """So many tokens take just the hours, or the money, that there are: the tighter one counts."""
    found = ways(**limit, data_tokens="5M")
    for way in found.ways[:3]:
        again = next(w for w in ways(tokens=way.possible_tokens).ways if w.options == way.options)
        spent = {"hours": again.hours, "cost": again.cost}
        assert max(spent[name] / value for name, value in limit.items()) == pytest.approx(1)
        assert way.possible_epochs == pytest.approx(way.possible_tokens / 5e6)


def test_choices_leave_out_what_contradicts_them():
    """A way to tune keeps its rows, a rank is made in all; an optimizer that no row names is made in all, too."""
    assert {way.name.split(",")[0] for way in ways(tune="qlora").ways} == {"QLoRA r16"}
    assert {way.name for way in ways(rank=64).ways} >= {"LoRA r64", "QLoRA r64"}
    assert not any("full" in way.name for way in ways(rank=64).ways)
    assert all("adafactor" in way.name or way.name[0] in "LQD" for way in ways(optimizer="adafactor").ways)
    assert {way.name for way in ways(optimizer="lion", tune="full").ways} >= {"full bf16, lion", "full mixed, lion"}
    assert all("on host" in way.name or "unsloth" in way.name for way in ways(offload="activations").ways)
    assert all(way.recompute == "full" for way in ways(recompute="full").ways)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"serve": True}, "--ways compares trainings"),
        ({"states": "mixed"}, "instead of states"),
        ({"epochs": 3}, "--epochs are passes over data"),
        ({"epochs": 3, "tokens": "1M"}, "both say how long"),
        ({"tune": "lora", "freeze": "norms"}, "no usual way agrees"),
        ({"optimizer": "lino"}, "unknown optimizer"),
        ({"profile": "none"}, "unknown profile"),
        ({"hours": 0}, "above 0"),
        ({"rank": 10_000}, "larger than the model's width"),
        ({"gpu": "rtx-3060-12", "cost": 5}, "--cost needs a price"),
    ],
)
def test_what_cannot_be_asked_is_refused(options, words):
    """By name, with the way out as a hint."""
    with pytest.raises(ScaleplanError, match=words) as caught:
        ways(**options)
    assert caught.value.hint or {"rank", "hours"} & options.keys()


def test_devices_without_a_peak_answer_memory_alone():
    """No hours are made up; those without a default utilisation take --mfu."""
    found = ways("llama-3.2-1b", "gb10")
    assert found.fits
    assert "bf16" in found.no_hours
    assert all(way.hours is None and way.tokens_per_second is None for way in found.ways)
    known = ways("llama-3.2-1b", "rtx-4090", mfu="40%", price=0.2)
    assert known.band is None
    assert (known.utilisation, known.price_per_hour) == (0.4, 0.2)
    assert all(way.hours_interval is None for way in known.ways)


def test_memory_that_is_shared_with_the_host_is_not_had_twice():
    """No way that lets something wait on the host."""
    found = ways("llama-3.2-3b", "m3-max")
    assert found.unified_memory
    assert found.fits
    assert not any("host" in way.name or "unsloth" in way.name or "paged" in way.name for way in found.ways)


def test_a_device_without_bf16_trains_no_weights_in_it():
    """Pure fp16 does not learn: adapters and mixed precision stay, and a notice says so."""
    found = ways("gpt2-xl", "t4")
    assert not any(way.name.startswith("full bf16") for way in found.ways)
    assert "no_bf16" in {notice.code for notice in found.warnings}


@pytest.mark.parametrize("device", ["t4", "m4-max"])
def test_a_rate_that_is_not_published_is_called_that(device):
    """An Apple device may compute in bf16; only that no rate is known is claimed."""
    (notice,) = [each for each in ways("gpt2-xl", device).warnings if each.code == "no_bf16"]
    assert notice.message.startswith(f"no bf16 rate of {device} is published")


def test_what_is_cheap_and_another_thing_is_not_the_answer():
    """Training the last layers alone, or by plain SGD: in its place among the rows, and no more."""
    found = ways("gpt2", "rtx-4090")
    assert not found.ways[0].answers
    assert found.best.answers
    large = ways("deepseek-v3", "h100-sxm", gpus=64)
    full = [(way.name, way.answers) for way in large.ways if way.name in ("full bf16, sgd", "full bf16, adafactor")]
    assert full == [("full bf16, sgd", False), ("full bf16, adafactor", True)]


AXOLOTL = """\
base_model: meta-llama/Llama-3.1-8B
adapter: qlora
lora_r: 32
load_in_4bit: true
sequence_len: 1024
sample_packing: true
micro_batch_size: 1
num_epochs: 3
gradient_checkpointing: true
optimizer: adamw_torch
"""


def test_a_training_config_states_its_way_and_its_passes(tmp_path):
    """Its own way is among the others, by its own options; epochs wait for the size of the data."""
    path = tmp_path / "axolotl.yaml"
    path.write_text(AXOLOTL, encoding="utf-8")
    found = ways(str(path), data_tokens="2M")
    assert (found.tokens, found.epochs, found.context) == (6e6, 3, 1024)
    own = [way for way in found.ways if way.configured]
    assert [way.name for way in own] == ["QLoRA r32, axolotl"]
    assert own[0].memory_bytes == sp.memory(str(path), gpu="rtx-4090", gpus=1).memory.total
    assert "LoRA r16" in named(found)
    assert ways(str(path)).tokens_source == "default"


@settings(max_examples=15, deadline=None)
@given(
    memory=st.floats(4, 200),
    more=st.floats(1.0, 3.0),
    model=st.sampled_from(["gpt2", "llama-3.2-1b", "1.5B"]),
    rank=st.integers(1, 128),
)
def test_more_memory_and_smaller_ranks_never_lose_a_way(memory, more, model, rank, tmp_path_factory):
    """A way that fits a device fits a larger one, and with a smaller rank."""
    small, large = (device(size, tmp_path_factory) for size in (memory, memory * more))
    fits = {way.name for way in ways_on(small, model).ways if way.fits}
    assert fits <= {way.name for way in ways_on(large, model).ways if way.fits}
    tuned = {way.name.replace(f"r{rank}", "r"): way for way in ways_on(small, model, rank=rank).ways}
    for way in ways_on(small, model, rank=rank + 1).ways:
        less = tuned[way.name.replace(f"r{rank + 1}", "r")]
        if less.recompute == way.recompute:
            assert less.memory_bytes < way.memory_bytes
        assert less.fits or not way.fits


class Devices(Context):
    """Data files with one device of one's own."""

    def __init__(self, path):
        super().__init__()
        from scaleplan.hardware.accelerators import Accelerators

        self.accelerators = Accelerators([path])


def device(gigabytes, factory, *, year=2026):
    """Return data files in which ``mine`` has so much memory."""
    path = factory.mktemp("devices")
    (path / "accelerators.toml").write_text(
        'schema = 1\n[[accelerator]]\nid = "mine"\nname = "Mine"\nvendor = "me"\nclass = "pcie"\n'
        f"year = {year}\nmemory_gb = {gigabytes}\nbandwidth_gbs = 1000\nsources = []\ntflops = {{ bf16 = 100 }}\n",
        encoding="utf-8",
    )
    return Devices(path)


def ways_on(data, model, **options):
    """Return the ways on one's own device, the model read once."""
    return sp.ways(sized(model), gpu="mine", data=data, **options)


def test_what_waits_on_the_host_takes_its_way_there_and_back(tmp_path_factory):
    """Activations are bound by an old link where the work is not; layer inputs alone are not."""
    old, new = (device(40, tmp_path_factory, year=year) for year in (2018, 2026))
    slow, fast = (named(ways_on(data, "llama-3.2-1b")) for data in (old, new))
    there = "LoRA r16, activations on host"
    assert slow[there].hours > 1.2 * fast[there].hours
    assert fast[there].hours >= fast["LoRA r16"].hours
    for name in ("LoRA r16", "QLoRA r16, unsloth"):
        assert slow[name].hours == pytest.approx(fast[name].hours)


def test_a_device_of_ones_own_serves_too(tmp_path_factory):
    """Data files that are given are those of every row."""
    served = ways_on(device(14, tmp_path_factory), "llama-3.1-8b").serving
    assert [way.fits for way in served] == [False, True, True]


@pytest.mark.parametrize("model", ["llama-3.2-1b", "llama-3.1-8b", "mixtral-8x7b"])
def test_two_devices_lose_no_way(model):
    """What fits one fits two; fully sharded, states that fill a device take less of each of two."""
    one, two = ways(model, "a100-sxm-80"), ways(model, "a100-sxm-80", gpus=2)
    assert {way.name for way in one.ways if way.fits} <= {way.name for way in two.ways if way.fits}
    sharded = [named(ways(model, "a100-sxm-80", gpus=n, zero=3, recompute="full")) for n in (1, 2)]
    for name in ("full mixed", "full bf16"):
        assert sharded[1][name].memory_bytes < sharded[0][name].memory_bytes


def test_an_unknown_keyword_is_named():
    """As of any function."""
    with pytest.raises(TypeError, match="'ranks'"):
        ways(ranks=3)


def test_a_unit_is_refused_where_it_means_nothing():
    """Hours are a number."""
    with pytest.raises(UsageError):
        ways(hours=-1)


def test_a_memory_that_is_shared_with_the_host():
    """Nothing can be put elsewhere: no way is told to need less, and an answer in one line is a command that runs."""
    found = ways("gpt2", gpu="m4-max")
    names = [way.name for way in found.ways]
    assert len(names) == len(set(names))
    assert not any(way.on_host or "on host" in way.name or "paged" in way.name for way in found.ways)
    for options in ({"tune": "lora", "offload": "activations"}, {"states": "offload"}):
        shared, own = (sp.memory("gpt2", gpu=gpu, gpus=1, **options) for gpu in ("m4-max", "h100-sxm"))
        assert shared.memory.total > own.memory.total
    assert all("offload" not in worth.options for worth in shared.worth)


def test_nothing_moves_to_the_host_without_need():
    """Of two ways that are as fast, the one that keeps its activations is the answer where both fit."""
    found = ways("bert-base-uncased", "rtx-3060-12")
    rows = named(found)
    assert rows["LoRA r16"].hours == rows["LoRA r16, activations on host"].hours
    assert found.best is rows["LoRA r16"]


def test_a_vocabulary_that_is_given_stays_in_the_options(tmp_path):
    """A training config that leaves it open is asked for with it, way by way."""
    kind = next(kind for kind in KINDS if kind.trainer == "GPT-NeoX")
    path = tmp_path / kind.file
    path.write_text(kind.text, encoding="utf-8")
    found = ways(path, "h100-sxm", vocab=50257)
    alone = sp.memory(path, gpu="h100-sxm", **keywords(found.best.options))
    assert alone.memory.total == pytest.approx(found.best.memory_bytes, rel=1e-12)
    assert "--vocab 50257" in found.serving[0].options


@pytest.mark.parametrize("options", [{"hours": 1e300}, {"cost": 1e16}, {"epochs": 1e14, "data_tokens": 1e15}])
def test_a_run_beyond_any_other_is_refused(options):
    """Its figures would be infinite, or mean nothing."""
    with pytest.raises(UsageError) as caught:
        ways(**options)
    assert "at most" in caught.value.hint


def test_a_run_that_is_shorter_than_a_step_is_warned_of():
    """So many devices do not share it."""
    few, many = (ways("gpt2", "h100-sxm", gpus=n, tokens="1M") for n in (8, 10_000))
    assert "less_than_a_step" not in [each.code for each in few.warnings]
    assert "less_than_a_step" in [each.code for each in many.warnings]


def test_quantised_weights_need_kernels():
    """Of bitsandbytes there are none for TPUs, and none are needed for adapters on whole weights."""
    for options, noted in (({"tune": "qlora"}, True), ({"tune": "lora"}, False)):
        found = sp.memory("gpt2", gpu="tpu-v5e", **options)
        assert ("no_kernels" in [each.code for each in found.warnings]) is noted
    assert "no_kernels" in [each.code for each in ways("gpt2", "tpu-v5e").warnings]
    assert not sp.memory("gpt2", gpu="l4", tune="qlora").warnings
