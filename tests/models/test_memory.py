"""Memory per device, against published measurements and by its own rules."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.models.examples import LLAMA_2_7B, LLAMA_2_70B, LLAMA_3_8B, LLAMA_3_8B_SIZES, LLAMA_3_405B, decoder

from scaleplan.errors import UsageError
from scaleplan.models.count import count
from scaleplan.models.memory import Parallel, Training, serving_memory, training_memory

SHORT = Training(sequence=2048, recompute="full")


def test_sharding_drops_as_measured():
    """TorchTitan, Llama-3.1-8B: 77.0 GiB on 8 and 62.0 GiB on 128 devices, 17.1 bytes per parameter shared."""
    training = Training(sequence=8192, states="fp32")
    few, many = (training_memory(LLAMA_3_8B, training, Parallel(data=n, zero=3)).total for n in (8, 128))
    per_param = (few - many) / (count(LLAMA_3_8B).params * (1 / 8 - 1 / 128))
    assert per_param == pytest.approx(16)
    assert per_param == pytest.approx(17.1, rel=0.07)  # what allocator and buffers add to the 16 bytes


def test_one_device_of_80_gb_cannot_hold_the_states_of_7b_and_two_can():
    """6.74B parameters have 108 GB of states; two devices with full sharding and recomputation hold them."""
    one = training_memory(LLAMA_2_7B, SHORT, Parallel())
    two = training_memory(LLAMA_2_7B, SHORT, Parallel(data=2, zero=3))
    assert one.states == pytest.approx(107.8e9, rel=1e-3)
    assert not one.fits(80e9)
    assert two.fits(80e9)


def test_the_published_layout_of_a_405b_fits():
    """Llama-3.1-405B on 16,384 devices of 80 GB: t = 8, p = 16, dp = 128, 16 micro-batches of 8192 tokens."""
    layout = Parallel(data=128, tensor=8, pipeline=16, zero=1)
    training = Training(sequence=8192, accumulation=16, states="mixed", recompute="full")
    found = training_memory(LLAMA_3_405B, training, layout)
    assert layout.devices == 16_384
    assert found.weights == pytest.approx(2 * 405.9e9 / 128, rel=0.1)  # the first stage has eight layers and a table
    assert found.fits(80e9)
    alone = training_memory(LLAMA_3_405B, training, Parallel(data=16_384, zero=1))
    assert not alone.fits(80e9)


def test_the_first_stage_of_a_pipeline_holds_all_layers_activations():
    """With p micro-batches in flight in L/p layers; interleaving with v chunks adds (p - 1)/(p v)."""
    training = Training(sequence=2048, accumulation=16)
    whole = training_memory(LLAMA_2_70B, training, Parallel())
    staged = training_memory(LLAMA_2_70B, training, Parallel(pipeline=8))
    mixed = training_memory(LLAMA_2_70B, training, Parallel(pipeline=8, virtual=2))
    # the backward pass of a layer works with 4 f bytes a token, which are less than the logits of the last stage
    assert staged.activations - 2048 * 4 * 28_672 == pytest.approx(whole.activations)
    assert mixed.activations - 2048 * 4 * 28_672 == pytest.approx(whole.activations * (1 + 7 / 16))


def test_the_last_stage_counts_where_the_logits_are():
    """A small model with a large vocabulary is fullest at the end."""
    small = decoder(**LLAMA_3_8B_SIZES | {"layers": 2})
    found = training_memory(small, Training(sequence=8192, recompute="full", micro_batch=4), Parallel(pipeline=2))
    assert found.logits == pytest.approx(4 * 8192 * 12 * 128_256)


@given(st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 4, 8]), st.integers(0, 3), st.integers(1, 64))
def test_more_devices_never_need_more_memory_each(tensor, pipeline, stage, data):
    """Doubling the data-parallel devices, or the stage, does not raise the need."""
    training = Training(sequence=4096, accumulation=8)
    base = Parallel(data=data, tensor=tensor, pipeline=pipeline, zero=stage)
    doubled = replace(base, data=2 * data)
    states = training_memory(LLAMA_2_70B, training, base).states
    assert training_memory(LLAMA_2_70B, training, doubled).states <= states
    if stage < 3:
        assert training_memory(LLAMA_2_70B, training, replace(base, zero=stage + 1)).states <= states


def test_serving_needs_weights_and_the_cache():
    """Llama-3-8B in 16 bits: 16.06 GB of weights, and 1 GiB of cache for each sequence of 8192 tokens."""
    found = serving_memory(LLAMA_3_8B, context=8192, sequences=16)
    assert found.weights == 2 * 8_030_261_248
    assert found.cache == 16 * 2**30
    halved = serving_memory(LLAMA_3_8B, context=8192, sequences=16, devices=2, weight_bytes=1, cache_bytes=1)
    assert halved.weights == found.weights / 4
    assert halved.cache == found.cache / 4


def test_a_layout_that_does_not_divide_the_model_is_refused():
    """Heads, layers and experts are whole."""
    with pytest.raises(UsageError, match="32 heads cannot be divided among 5"):
        training_memory(LLAMA_2_7B, SHORT, Parallel(tensor=5))
    with pytest.raises(UsageError, match="32 layers cannot be divided among 64"):
        training_memory(LLAMA_2_7B, SHORT, Parallel(pipeline=64))
    with pytest.raises(UsageError, match="0 experts cannot be divided"):
        training_memory(LLAMA_2_7B, SHORT, Parallel(data=8, expert=8))
    with pytest.raises(UsageError, match="data parallelism is a whole number"):
        Parallel(data=0)
