"""What each device holds of a mixture of experts, divided or not, by hand."""

from __future__ import annotations

import pytest

import scaleplan as sp

WIDTH, INNER, LAYERS, HEADS, VOCAB, EXPERTS = 1024, 4096, 12, 8, 32_000, 8
MIXTURE = {
    "model_type": "mixtral",
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS,
    "vocab_size": VOCAB,
    "num_local_experts": EXPERTS,
    "num_experts_per_tok": 2,
}
ROUTED = LAYERS * EXPERTS * 3 * WIDTH * INNER
# attention, router and two norms a layer; two tables; a norm at the end
PLAIN = LAYERS * (4 * WIDTH**2 + WIDTH * EXPERTS + 2 * WIDTH) + 2 * VOCAB * WIDTH + WIDTH


def test_the_counts_are_those_of_the_config():
    """What the rest of this page reckons with."""
    found = sp.model(MIXTURE)
    assert found.params == PLAIN + ROUTED
    assert found.active_params == PLAIN + ROUTED * 2 // EXPERTS


@pytest.mark.parametrize("ways", [1, 2, 4, 8])
def test_the_states_of_experts_are_shared_among_those_who_hold_them(ways):
    """ZeRO-1 on 8 devices, e of them expert-parallel: 12 bytes of optimizer states a parameter.

    Plain parameters are replicated 8 times and their states shared by 8. A device holds 1/e of the experts, which
    8/e devices share: 12/8 bytes of all of them on each, for any e.
    """
    memory = sp.memory(MIXTURE, gpus=8, expert=ways, zero=1, states="mixed", context=512).memory
    assert memory.optimizer == pytest.approx(12 * (PLAIN + ROUTED) / 8)
    assert memory.weights == pytest.approx(2 * (PLAIN + ROUTED / ways))
    assert memory.gradients == pytest.approx(2 * (PLAIN + ROUTED / ways))


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_the_cluster_holds_each_state_of_an_expert_as_often_as_the_stage_says(stage):
    """All eight devices together, with four expert-parallel: shared states once, the others once a replica."""
    memory = sp.memory(MIXTURE, gpus=8, expert=4, zero=stage, states="mixed", context=512).memory
    copies = {True: (1, 1), False: (8, 2)}  # of plain parameters and of experts: 8 and 8/4 replicas
    for held, size, first in ((memory.weights, 2, 3), (memory.gradients, 2, 2), (memory.optimizer, 12, 1)):
        plain, routed = copies[stage >= first]
        assert 8 * held == pytest.approx(size * (plain * PLAIN + routed * ROUTED))


def test_activations_of_experts_are_those_of_the_experts_that_a_token_uses():
    """Bytes of a token in a layer by arXiv:2205.05198, with a copy of the token to each of two experts and back.

    8 d for norms and inputs, 4 a q for queries and outputs and as much for keys and values, 6 f for each expert of
    three matrices, 2 d there and 2 d back for each.
    """
    found = sp.memory(MIXTURE, gpus=1, context=512, recompute="none").memory
    token = 8 * WIDTH + 4 * WIDTH + 4 * WIDTH + 2 * (6 * INNER + 4 * WIDTH)
    assert found.activations == pytest.approx(512 * LAYERS * token)
