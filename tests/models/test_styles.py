"""The data file of published shapes."""

import pytest
from tests.models.examples import decoder

from scaleplan.models.styles import nearest, published_shapes


def test_published_shapes_are_consistent():
    """Names are unique, heads are shared evenly, and the dense shapes amount to about their size."""
    shapes = published_shapes()
    assert len(shapes) > 30
    assert len({shape.name for shape in shapes}) == len(shapes)
    for shape in shapes:
        assert shape.heads % shape.kv_heads == 0
        assert shape.source
        if shape.active_params == shape.params:
            # 12 L d² is the size of plain layers; tables and gated blocks make it up to a few times that
            assert 0.7 < shape.params / (12 * shape.layers * shape.width**2) < 4


@pytest.mark.parametrize(
    "name, params, layers, width, heads",
    [
        ("GPT-2", 124_439_808, 12, 768, 12),
        ("Pythia 6.9B", 6_857_302_016, 32, 4096, 32),
        ("Llama 3 8B", 8_030_261_248, 32, 4096, 32),
    ],
)
def test_a_published_model_is_nearest_to_itself(name, params, layers, width, heads):
    """The distance is zero to the same sizes."""
    sizes = {"layers": layers, "width": width, "heads": heads, "kv_heads": heads, "head_size": width // heads}
    architecture = decoder(**sizes, ffn_width=4 * width, gated=False, vocab=50304, tied=True)
    assert nearest(architecture, params=params, active_params=params).name == name
