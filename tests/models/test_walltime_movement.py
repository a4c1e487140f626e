"""How long a step moves data: the bytes of a parameter over the network and from memory, by hand."""

from __future__ import annotations

import pytest

import scaleplan as sp

WIDTH, INNER, LAYERS, HEADS, VOCAB = 1024, 4096, 12, 8, 32_000
DENSE = {
    "model_type": "llama",
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "vocab_size": VOCAB,
}
PARAMS = LAYERS * (4 * WIDTH**2 + 3 * WIDTH * INNER + 2 * WIDTH) + 2 * VOCAB * WIDTH + WIDTH
NETWORK = 50e9  # bytes per second of a 400 Gb/s port


@pytest.mark.parametrize("gpus", [8, 64, 256])
def test_gradients_are_reduced_and_weights_gathered_over_the_replicas(gpus):
    """A ring moves (r - 1)/r of 2 bytes twice for the gradients, and as much to gather the weights: 4 bytes each way.

    That is 2 bytes of gradient out and in (reduce-scatter) and 2 bytes of weight (all-gather) for each parameter.
    """
    plan = sp.loss(model=DENSE, tokens="10B", gpu="h100-sxm", gpus=gpus, shape=True, batch="4M")
    found, layout = plan.blueprint.least_time, plan.blueprint.layout.parallel
    assert plan.params == PARAMS
    assert layout.tensor == layout.pipeline == 1
    assert found.devices == gpus
    expected = PARAMS * (2 + 2) * (1 - 1 / gpus) / NETWORK
    assert found.movement_seconds == pytest.approx(expected, rel=1e-9)


def test_one_device_moves_its_weights_gradients_and_states_from_memory():
    """Alone there is no network: 2 bytes read forward and backward, 2 written, 12 read and written, at 3.35 TB/s."""
    plan = sp.loss(model=DENSE, tokens="10B", gpu="h100-sxm", gpus=1, shape=True, batch="64k")
    expected = PARAMS * (3 * 2 + 2 * 12) / 3.35e12
    assert plan.blueprint.least_time.movement_seconds == pytest.approx(expected, rel=1e-9)
