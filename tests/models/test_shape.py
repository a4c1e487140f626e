"""Shapes: a size and a style become a concrete, aligned config of exactly the stated count."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaleplan.errors import UnknownNameError, UnreachableError, UsageError
from scaleplan.models import read_model
from scaleplan.models.shape import shape
from scaleplan.models.styles import STYLES, aspect_for

SIZES = (2e6, 1e7, 1.24e8, 1e9, 7e9, 7e10, 4e11, 1e12)


@settings(max_examples=60)
@given(
    exponent=st.floats(6.302, 12),
    style=st.sampled_from(sorted(STYLES)),
    convention=st.sampled_from(["total", "non_embedding"]),
)
def test_every_size_has_a_shape(exponent, style, convention):
    """From 2e6 to 1e12 each style hits the target within 1 %, or 2 % below 10M, with an exact and legal config."""
    params = 10**exponent
    result = shape(params, style=style, convention=convention)
    model = read_model(json.dumps(result.config))
    counted = model.params if convention == "total" else model.non_embedding_params
    assert abs(counted / params - 1) <= (0.01 if params >= 1e7 else 0.02)
    assert result.error == pytest.approx(counted / params - 1, abs=1e-12)
    assert result.params == model.params
    a = model.architecture
    assert a.heads % a.kv_heads == 0
    assert a.vocab % 128 == 0
    assert a.layers >= 2


@settings(max_examples=30)
@given(exponent=st.floats(8.5, 12), style=st.sampled_from([s for s in sorted(STYLES) if not STYLES[s].experts]))
def test_models_of_a_useful_size_are_aligned(exponent, style):
    """Above 300M parameters widths, inner widths and heads are multiples of what matrix units want."""
    a = shape(10**exponent, style=style).model.architecture
    assert a.width % 128 == 0
    assert a.ffn_width % (256 if a.width >= 4096 else 128) == 0
    assert a.head_size in {64, 128, 256}
    aspect = a.width / a.layers
    # within the 40-fold range that Kaplan et al. found flat, around the published ladders
    assert 0.55 < aspect / aspect_for(10**exponent) < 1.8


@pytest.mark.parametrize("degree", [2, 4, 8])
@pytest.mark.parametrize("style", ["llama", "qwen3", "mixtral", "gemma2"])
def test_tensor_parallel_ranks_share_evenly(style, degree):
    """Heads, key and value heads, inner width and vocabulary are divisible by the degree."""
    a = shape(1.3e10, style=style, tensor_parallel=degree).model.architecture
    inner = a.experts.width if a.experts else a.ffn_width
    assert all(part % degree == 0 for part in (a.heads, a.kv_heads, inner, a.vocab))


def test_gpt2_small_comes_out():
    """124M in the style of GPT-2 is GPT-2: 12 layers of width 768 with 12 heads and blocks of 3072."""
    result = shape(124e6, style="gpt2")
    a = result.model.architecture
    assert (a.layers, a.width, a.heads, a.ffn_width) == (12, 768, 12, 3072)
    assert result.published.name == "GPT-2"


def test_large_models_have_round_widths():
    """400B gets 128 heads in groups of 8 at width 16384, as Llama 3.1 405B, rather than 138 heads at 17664."""
    result = shape(4e11, style="llama3")
    a = result.model.architecture
    assert (a.width, a.heads, a.kv_heads) == (16384, 128, 8)
    assert result.published.name == "Llama 3.1 405B"


def test_alternatives_are_deeper_and_wider():
    """The alternatives have the size of the best within the tolerance, and another width over depth."""
    result = shape(7e9)
    best, deeper, wider = (x.model.architecture for x in (result, result.deeper, result.wider))
    assert deeper.width / deeper.layers < 0.75 * best.width / best.layers
    assert wider.width / wider.layers > best.width / best.layers / 0.75
    assert all(abs(x.error) <= 0.01 for x in (result, result.deeper, result.wider))


def test_options_are_kept():
    """Vocabulary (padded), tying, key and value heads, context and experts are what the user said."""
    result = shape(3e9, vocab=50257, tied=True, kv_heads=4, context=1234)
    a = result.model.architecture
    assert (a.vocab, a.tied, a.kv_heads, a.context) == (50304, True, 4, 1234)
    assert "padded to 50,304" in result.notes[0]
    e = shape(3e10, style="qwen3_moe", experts=64, experts_per_token=4).model.architecture.experts
    assert (e.count, e.per_token) == (64, 4)


def test_small_models_say_what_was_relaxed():
    """A tiny model gets a smaller vocabulary, finer alignment or fewer experts, and says so."""
    assert "crowd out" in shape(2e6).notes[0]
    notes = " ".join(shape(2e6, style="qwen3_moe").notes)
    assert "experts: too small" in notes
    assert "aligned to 16" in notes
    assert "token tables are" in shape(1e7, vocab=32768).notes[-1]


@pytest.mark.parametrize(
    "options, kind, says",
    [
        ({"style": "lama"}, UnknownNameError, "unknown style 'lama'"),
        ({"convention": "half"}, UsageError, "unknown parameter convention 'half'"),
        ({"params": 1e3}, UsageError, "outside"),
        ({"params": float("nan")}, UsageError, "outside"),
        ({"vocab": 0}, UsageError, "vocab '0'"),
        ({"tensor_parallel": -1}, UsageError, "tensor_parallel '-1'"),
        ({"experts": 8}, UsageError, "the llama style has no experts"),
        ({"style": "gpt2", "kv_heads": 2}, UsageError, "as many key-value heads as heads"),
        ({"style": "mixtral", "experts": 4, "experts_per_token": 5}, UsageError, "cannot use 5 of 4"),
        (
            {"params": 1e7, "vocab": 256_000},
            UnreachableError,
            "no llama shape has 10.00M total parameters within 1 %",
        ),
    ],
)
def test_impossible_wishes_are_refused(options, kind, says):
    """Names, domains and combinations are checked; a size that nothing reaches is an answer, not a crash."""
    with pytest.raises(kind, match=says):
        shape(**{"params": 1e9, **options})


def test_the_dictionary_is_json_with_a_schema():
    """``to_dict`` is plain JSON: the sizes, the config, both alternatives and the nearest published model."""
    record = shape(7e9).to_dict()
    assert record["schema"] == "scaleplan/shape/1"
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["config"]["model_type"] == "llama"
    assert record["deeper"]["config"]["hidden_size"] == record["deeper"]["width"]
    assert record["nearest"]["name"]


def test_shapes_are_deterministic():
    """The same wish gives the same config."""
    assert shape(3e9).to_dict() == shape(3e9).to_dict()


@pytest.mark.slow
@pytest.mark.parametrize("style", sorted(STYLES))
def test_the_real_library_builds_the_stated_count(style):
    """transformers instantiates each config, on the meta device, to exactly the stated parameters."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    for params in SIZES:
        result = shape(params, style=style)
        fields = {key: value for key, value in result.config.items() if key != "model_type"}
        config = transformers.AutoConfig.for_model(result.config["model_type"], **fields)
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(config)
        model.tie_weights()
        assert sum(parameter.numel() for parameter in model.parameters()) == result.params
