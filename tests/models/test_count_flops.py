"""FLOP per token by every convention, against published tables and closed forms."""

import json
from pathlib import Path

import pytest
from tests.models.examples import LLAMA_2_7B, LLAMA_2_7B_SIZES, decoder

from scaleplan.models.count import attention_flops, count, training_flops
from scaleplan.models.families.finding import architecture_of
from scaleplan.models.model import describe

CONFIGS = Path(__file__).parents[2].parent / "shared" / "reference" / "configs.json"
MODELS = json.loads(CONFIGS.read_text(encoding="utf-8"))["models"] if CONFIGS.is_file() else {}
COUNTED = [name for name, row in MODELS.items() if "flops_per_token" in row]


@pytest.mark.parametrize("name", COUNTED or [pytest.param("", marks=pytest.mark.skip("no reference configs here"))])
def test_real_models_cost_what_the_reference_says(name):
    """6N, full and causal attention agree with the reference to rounding (1e-12 of 64-bit floats)."""
    row = MODELS[name]["flops_per_token"]
    flops = training_flops(architecture_of(MODELS[name]["config"], source=name), context=row["seq_len"])
    assert flops.flop_params == row["flop_params"]
    assert flops.six_n == pytest.approx(row["six_n_active"], rel=1e-12)
    assert flops.full_attention == pytest.approx(row["with_full_attention"], rel=1e-12)
    assert flops.causal_attention == pytest.approx(row["with_causal_attention"], rel=1e-12)


def test_llama_2_7b_at_its_context():
    """Llama-2-7B at 4096: 4.043e10 by 6N, 4.609e10 with full attention, 4.287e10 with the causal half."""
    flops = training_flops(LLAMA_2_7B, context=4096)
    assert flops.six_n == pytest.approx(4.043e10, rel=2e-4)
    assert flops.full_attention == pytest.approx(4.609e10, rel=2e-4)
    assert flops.causal_attention == pytest.approx(4.287e10, rel=2e-4)


def test_recomputation_adds_a_forward_pass_or_the_attention_core():
    """Full recomputation is 8N + 16 L a q T; selective adds the forward third of the attention term."""
    context = 4096
    flops = training_flops(LLAMA_2_7B, context=context)
    attention = 32 * 32 * 128 * context
    assert flops.full_recompute == pytest.approx(8 * flops.flop_params + 16 * attention, rel=1e-12)
    assert flops.selective_recompute == pytest.approx(flops.full_attention + 4 * attention, rel=1e-12)


def test_windows_bound_the_keys_that_a_query_meets():
    """A layer with a window w costs as one with a context of w; its causal mean is that of the exact sum."""
    local = decoder(**LLAMA_2_7B_SIZES, window=100, windowed_layers=32)
    context = 1000
    assert attention_flops(local, context=context, causal=False) == attention_flops(
        LLAMA_2_7B, context=100, causal=False
    )
    keys = sum(min(position + 0.5, 100) for position in range(context)) / context
    per_key = 12 * 32 * 32 * 128
    # the closed form integrates over the position: exact up to one key in the window's corner
    assert attention_flops(local, context=context, causal=True) == pytest.approx(per_key * keys, rel=1e-3)
    wide = decoder(**LLAMA_2_7B_SIZES, window=4096, windowed_layers=32)
    assert attention_flops(wide, context=context, causal=True) == attention_flops(
        LLAMA_2_7B, context=context, causal=True
    )


def test_encoders_attend_to_both_sides():
    """Without a causal mask the causal count is the full one."""
    encoder = decoder(**LLAMA_2_7B_SIZES, causal=False)
    flops = training_flops(encoder, context=512)
    assert flops.causal_attention == flops.full_attention


def test_deepseek_convention_is_six_per_matrix_weight_and_attention():
    """M = 72 L d² + 12 L d T is 6 per weight of two-matrix blocks of 4d, and full attention."""
    model = decoder(**LLAMA_2_7B_SIZES | {"ffn_width": 4 * 4096}, gated=False, norms=False)
    weights = count(model).non_embedding_params
    attention = attention_flops(model, context=4096, causal=False)
    found = describe(model, source="model", context=4096).params_as("flops_per_token")
    assert found == 72 * 32 * 4096**2 + 12 * 32 * 4096 * 4096 == 6 * weights + attention
