"""What the two ends of a pipeline hold beside their layers: the token table first, the output head last, by hand."""

from __future__ import annotations

import pytest

import scaleplan as sp

WIDTH, INNER, LAYERS, HEADS, VOCAB = 1024, 4096, 8, 8, 256_000
LAYER = 4 * WIDTH**2 + 3 * WIDTH * INNER + 2 * WIDTH
TABLE = VOCAB * WIDTH


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("stages", [2, 4])
def test_the_last_stage_holds_the_output_head(stages, tied):
    """With a large vocabulary and a long sequence the last stage is the fullest, for it has the logits too.

    Its weights are its share of the layers and one table, its own or a copy of the first stage's.
    """
    config = {
        "model_type": "llama",
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "vocab_size": VOCAB,
        "tie_word_embeddings": tied,
    }
    found = sp.memory(config, gpus=stages, pipeline=stages, context="8k", recompute="full", states="mixed").memory
    assert found.logits == pytest.approx(8000 * 12 * VOCAB)
    held = (LAYERS * LAYER + WIDTH) / stages + TABLE  # the norm at the end is spread over the stages
    assert found.weights == pytest.approx(2 * held, rel=1e-9)
    assert found.gradients == pytest.approx(2 * held, rel=1e-9)
    assert found.optimizer == pytest.approx(12 * held, rel=1e-9)
