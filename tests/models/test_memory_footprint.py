"""How large a model fits, without a concrete shape."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.models.count import count
from scaleplan.models.feasibility import device_bytes, largest_params
from scaleplan.models.memory import typical


@given(st.floats(min_value=1e7, max_value=1e13))
def test_proportions_have_the_size_asked_for(params):
    """Whole widths and blocks keep a size to 2 %, from 10M up."""
    assert count(typical(params)).params == pytest.approx(params, rel=0.02)


def test_a_typical_7b_looks_like_one():
    """Llama-7B has 32 layers of 4096 and 6.7B parameters."""
    found = typical(6.74e9)
    assert 30 <= found.layers <= 42
    assert 3600 <= found.width <= 4300


@pytest.mark.parametrize("gpus", [1, 8, 512])
def test_the_largest_size_takes_just_the_memory(gpus):
    """What fits is at the limit, and states alone would allow no more than N = n * memory / 16."""
    size = largest_params(24e9, gpus=gpus, sequence=2048)
    assert device_bytes(size, gpus=gpus, sequence=2048) == pytest.approx(24e9, rel=0.01)
    assert size < gpus * 24e9 / 16


def test_nothing_fits_less_than_the_overhead():
    """The framework alone takes 2 GB."""
    assert largest_params(1e9, gpus=8, sequence=2048) == 0.0
