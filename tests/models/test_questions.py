"""The memory of a model on devices, asked from Python."""

import pytest

import scaleplan as sp
from scaleplan.errors import FileError, QuantityError, UsageError

MIXTURE = sp.shape("47B", style="mixtral").model


def test_the_fewest_devices_are_taken_where_none_are_given():
    """7B in mixed precision has 112 GB of states: two devices of 80 GB."""
    found = sp.memory("7B", gpu="h100-sxm")
    assert (found.gpus, found.fewest_devices, found.fits) == (2, 2, True)


def test_sizes_models_and_configs_are_the_same_question():
    """A number, a text and a model of that size."""
    by_model = sp.memory(sp.shape("7B").model, gpus=8)
    assert sp.memory("7B", gpus=8).memory == sp.memory(7e9, gpus=8).memory == by_model.memory


def test_serving_shares_weights_and_cache():
    """Two devices and half the bits: a quarter of the weights each."""
    one = sp.memory(MIXTURE, serve=True, context="4k")
    two = sp.memory(MIXTURE, serve=True, context="4k", gpus=2, weight_bits=8)
    assert one.memory.weights == 2 * MIXTURE.params
    assert two.memory.weights == one.memory.weights / 4
    assert two.memory.cache == one.memory.cache / 2


def test_a_mixture_needs_memory_for_all_its_experts():
    """States count every parameter, activations those that a token uses."""
    found = sp.memory(MIXTURE, gpus=8, zero=3)
    assert found.memory.states == pytest.approx(16 * MIXTURE.params / 8)
    dense = sp.memory("47B", gpus=8, zero=3)
    assert found.memory.activations < dense.memory.activations


@pytest.mark.parametrize("context", ["1.7976931348623157e308", "1e30", 2e9])
def test_a_context_beyond_any_model_is_refused(context):
    """Its attention would cost more FLOP than there are numbers for."""
    with pytest.raises(UsageError, match=r"than any run has|from 1 to 1,000,000,000"):
        sp.model(MIXTURE, context=context)


def test_what_is_wished_is_kept():
    """A micro-batch that does not fit is no layout: the answer is no, with what is too large and what would fit."""
    assert sp.memory("7B", gpu="h100-sxm", gpus=8, tensor=4, states="8bit-adam").states == "8bit-adam"
    found = sp.memory("7B", gpu="h100-sxm", gpus=8, batch="1M", micro_batch=64, recompute="none")
    assert found.fits is False
    assert (found.micro_batch, found.recompute, found.excess.part) == (64, "none", "activations")
    assert any("--micro-batch" in way for way in found.ways_out)
    with pytest.raises(UsageError, match="needs 8 GPUs"):
        sp.memory("7B", gpu="h100-sxm", gpus=4, tensor=8)


@pytest.mark.parametrize("gpus", [1, 4, 5, 7, 12])
@pytest.mark.parametrize("size", ["7B", "30B"])
def test_every_way_out_of_a_no_is_a_yes(size, gpus):
    """What is suggested works when it is typed, and one device fewer does not."""
    found = sp.memory(size, gpu="rtx-4090", gpus=gpus)
    assert found.fits is (gpus >= found.fewest_devices)
    assert found.fits or found.ways_out
    for way in found.ways_out:
        option, value = way.split()
        name = option.removeprefix("--")
        assert sp.memory(size, gpu="rtx-4090", **({"gpus": gpus} | {name: value})).fits, way
    assert sp.memory(size, gpu="rtx-4090", gpus=found.fewest_devices).fits
    assert not sp.memory(size, gpu="rtx-4090", gpus=found.fewest_devices - 1).fits


@pytest.mark.parametrize("gpus", [40, 48, 64, 96, 100, 112, 128])
def test_more_devices_never_turn_a_yes_into_a_no(gpus):
    """30B on cards of 24 GiB fits 24 and so any more; 66B fits 56."""
    for size, least in (("30B", 24), ("66B", 56)):
        found = sp.memory(size, gpu="rtx-4090", gpus=gpus)
        assert (found.fewest_devices, found.fits) == (least, gpus >= least)
        assert found.states == "mixed"


def test_margins_are_those_that_are_given():
    """They decide, and stand in the answer."""
    strict = sp.memory("6.7B", gpu="h100-sxm", gpus=1, states="bf16")
    loose = sp.memory("6.7B", gpu="h100-sxm", gpus=1, states="bf16", margins="reserve=0, activations=1.1")
    wide = sp.memory("7B", gpu="rtx-4090", gpus=6, margins="states=70%")
    assert (strict.fits, loose.fits, wide.fits) == (True, True, False)
    assert loose.memory.total < strict.memory.total
    assert (loose.margins.activations, loose.memory.overhead) == (1.1, 0)
    assert (wide.excess.limit, wide.excess.share) == ("states", 0.7)
    assert sp.memory("70B", gpu="h100-sxm", serve=True, gpus=2, margins="usable=99%").fits


@pytest.mark.parametrize(("source", "message"), [("7e9B", "both a power of ten"), ("7Bx", "is not a number")])
def test_a_size_with_a_fault_is_no_missing_file(source, message):
    """A text that starts as a number is refused as one; the name of a file says that it does not exist."""
    with pytest.raises(QuantityError, match=message):
        sp.memory(source)
    with pytest.raises(FileError, match="does not exist"):
        sp.memory(f"{source}.json")


def test_memory_needs_no_peak():
    """What fits a Mac is computed, with the memory that its processor shares; a plan on it is refused."""
    found = sp.memory("llama-3.2-1b", gpu="m4", serve=True)
    assert (found.fits, found.memory_bytes, found.unified_memory) == (True, 32 * 2**30, True)
    assert sp.memory("1B", gpu="m5-max", gpus=1).unified_memory
    assert sp.memory("1B", gpu="h100-sxm").unified_memory is False
    assert sp.memory("1B").unified_memory is None
    with pytest.raises(UsageError, match="no peak rate of m4 is published"):
        sp.optimal(gpu="m4", gpus=1, time="30d")


@pytest.mark.parametrize("own", [{}, {"tune": "lora"}, {"tune": "lora", "trainer": "unsloth"}, {"loss": "chunked"}])
def test_what_other_ways_need_is_what_their_options_give(own):
    """Each row beside an answer, typed in place of that choice, is the same layout's memory."""
    same = {"gpu": "h100-sxm", "gpus": 1, "recompute": "full", "micro_batch": 1}
    found = sp.memory("gpt2", **same, **own)
    rows = {row.options: row.total for row in found.worth}
    for tune, precision in (("lora", None), ("qlora", None), ("full", "bf16")):
        typed = f"--tune {tune} " + ("--precision bf16" if precision else "--rank 16")
        options = {**same, **own, "tune": tune, "precision": precision, "rank": None if precision else 16}
        assert rows[typed] == sp.memory("gpt2", **options).memory.total, typed
