"""The memory of a model on devices, asked from Python."""

import pytest

import scaleplan as sp
from scaleplan.errors import UnreachableError, UsageError

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
    with pytest.raises(UsageError, match="longer than any model's"):
        sp.model(MIXTURE, context=context)


def test_what_is_wished_is_kept_or_refused():
    """A micro-batch that does not fit is no layout."""
    assert sp.memory("7B", gpu="h100-sxm", gpus=8, tensor=4, states="8bit-adam").states == "8bit-adam"
    with pytest.raises(UnreachableError):
        sp.memory("7B", gpu="h100-sxm", gpus=8, batch="1M", micro_batch=64, recompute="none")
    with pytest.raises(UsageError, match="however many devices"):
        sp.memory("70B", gpu="rtx-4090", context="10M")
