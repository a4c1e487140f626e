"""What a forward pass leaves behind, against the published closed forms."""

import pytest
from tests.models.examples import LLAMA_3_8B, classic

from scaleplan.errors import UnknownNameError
from scaleplan.models.memory import layer_activations, logits_bytes

KORTHIKANTI = {"flash": False, "dropout": True}


@pytest.mark.parametrize(
    ("model", "batch", "gib"),
    [
        (classic(48, 6144, 64), 4, (316, 76.5, 4.5)),
        (classic(96, 12288, 96), 1, (256, 76.5, 4.5)),
        (classic(105, 20480, 128), 1, (402, 140, 8.2)),
    ],
    ids=["22B", "175B", "530B"],
)
def test_published_totals_are_reproduced(model, batch, gib):
    """GiB of activations without, with selective and with full recomputation (arXiv:2205.05198), s = 2048."""
    found = [
        layer_activations(model, sequence=2048, recompute=kind, **KORTHIKANTI).kept * model.layers * 2048 * batch
        for kind in ("none", "selective", "full")
    ]
    assert [x / 2**30 for x in found] == pytest.approx(gib, rel=5e-3)  # printed to two or three digits


@pytest.mark.parametrize("ways", [1, 2, 8])
def test_closed_forms_of_tensor_and_sequence_parallelism(ways):
    """10 + 24/t + 5as/(dt) without and (34 + 5as/d)/t with sequence parallelism, times d (arXiv:2205.05198)."""
    model, seq = classic(96, 12288, 96), 2048
    scores = 5 * 96 * seq / 12288
    apart = layer_activations(model, sequence=seq, tensor=ways, sequence_parallel=False, **KORTHIKANTI)
    both = layer_activations(model, sequence=seq, tensor=ways, **KORTHIKANTI)
    assert apart.kept == pytest.approx(12288 * (10 + 24 / ways + scores / ways))
    assert both.kept == pytest.approx(12288 * (34 + scores) / ways)


def test_a_modern_decoder_keeps_34_to_41_widths():
    """Llama-3-8B: 8d + 4aq + 4kq + 8f bytes, or 6f with the product recomputed, is 41 d, or 34 d."""
    whole = layer_activations(LLAMA_3_8B, sequence=8192).kept / 4096
    lean = layer_activations(LLAMA_3_8B, sequence=8192, recompute="selective").kept / 4096
    assert (round(lean), round(whole)) == (34, 41)


def test_full_recomputation_keeps_inputs_and_works_on_one_layer():
    """2 d bytes stay; one layer's worth of everything is needed while it is computed again."""
    full = layer_activations(LLAMA_3_8B, sequence=8192, recompute="full")
    assert full.kept == 2 * 4096
    assert full.working == layer_activations(LLAMA_3_8B, sequence=8192).kept


def test_logits_take_six_to_ten_bytes_an_entry():
    """A vocabulary of 128,256 at 8192 tokens: 6.3 GB, 10.5 GB with the gradient."""
    assert 8192 * logits_bytes(LLAMA_3_8B, fused=True) / 1e9 == pytest.approx(6.3, abs=0.05)
    assert 8192 * logits_bytes(LLAMA_3_8B) / 1e9 == pytest.approx(10.5, abs=0.05)


def test_unknown_recomputation_is_refused():
    """The error says what there is."""
    with pytest.raises(UnknownNameError, match="'some'"):
        layer_activations(LLAMA_3_8B, sequence=1, recompute="some")
