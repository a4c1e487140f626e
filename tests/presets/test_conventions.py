"""Counting parameters: the Pearce and Song mapping, and what is refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.errors import UsageError
from scaleplan.laws.additive import Additive
from scaleplan.presets.conventions import (
    Embedding,
    convert_params,
    flops_per_token,
    optimal_flops_of_size,
    unconvertible,
)

EPOCH = Additive(A=482.01, B=2085.43, E=1.8172, alpha=0.3478, beta=0.3658)  # Besiroglu et al. 2024


def test_the_embedding_of_chinchillas_family():
    """A vocabulary of 32,000 and an aspect ratio of 39.225 give omega = 47491 (Pearce and Song 2024)."""
    assert Embedding.of(vocabulary=32_000, aspect_ratio=39.225).omega == pytest.approx(47491, rel=5e-6)


@given(st.floats(1e-3, 1e30), st.floats(1.0, 1e8))
def test_the_mapping_is_undone_exactly(size, omega):
    """Total of non-embedding of a total is the total, to rounding."""
    family = Embedding(omega=omega)
    assert family.total(family.non_embedding(size)) == pytest.approx(size, rel=1e-13)


@pytest.mark.parametrize("size, share", [(1e9, 0.05), (1e8, 0.22), (1e7, 1.02)])
def test_embeddings_matter_in_small_models(size, share):
    """47491/N^(2/3) of the rest: 5 % at 1e9, 22 % at 1e8, and as much again at 1e7."""
    assert convert_params(size, source="non_embedding", target="total") / size - 1 == pytest.approx(share, abs=0.005)


def test_a_count_without_the_input_embedding_has_the_matrix_once():
    """The head of an untied model takes the place of the tied embedding."""
    assert convert_params(7e9, source="total", target="total_minus_input_embedding") == 7e9
    small = convert_params(7e9, source="total_minus_input_embedding", target="non_embedding")
    assert Embedding().total(small) == pytest.approx(7e9, rel=1e-14)


@pytest.mark.parametrize(
    "source, target", [("flops_per_token", "total"), ("non_embedding", "active"), ("total", "x")]
)
def test_what_cannot_be_converted_is_refused_with_a_reason(source, target):
    """No number is made up for FLOP per token, activated parameters or unknown conventions."""
    with pytest.raises(UsageError, match=r"cannot convert parameters from '\w+' to '\w+': .{20,}"):
        convert_params(1e9, source=source, target=target)


def test_the_same_convention_needs_no_conversion():
    """Even one that converts into no other stays itself."""
    assert unconvertible("active", "active") is None
    assert convert_params(5.2e10, source="active", target="active") == 5.2e10


@pytest.mark.parametrize("size", [1e5, 1e8, 1e11])
def test_the_compute_of_a_size_is_where_that_size_is_optimal(size):
    """Along constant N_E*D the loss in total parameters is least at the given N_E."""
    product = optimal_flops_of_size(EPOCH, size) / 6

    def loss(non_embedding):
        return EPOCH.loss(Embedding().total(non_embedding), product / non_embedding)

    step = 1e-4
    slope = (loss(size * math.exp(step)) - loss(size * math.exp(-step))) / (2 * step)
    bend = (loss(size * math.exp(step)) - 2 * loss(size) + loss(size * math.exp(-step))) / step**2
    assert abs(slope) < 1e-6 * bend  # the optimum lies within 1e-6 of the size
    assert bend > 0


def test_deepseeks_flop_per_token():
    """Their 7B (30 layers, width and sequence 4096): M = 42,278,584,320, 8.4557e22 FLOP on 2T (arXiv:2401.02954)."""
    found = flops_per_token(layers=30, width=4096, sequence=4096)
    assert found == 42_278_584_320
    assert found * 2e12 == pytest.approx(8.4557e22, rel=1e-4)
