"""What a forward pass leaves behind, against the published closed forms."""

import pytest
from tests.models.examples import LLAMA_3_8B, classic

from scaleplan.errors import UnknownNameError
from scaleplan.models.activations import layer_kept, loss_bytes
from scaleplan.models.memory import Parallel, Training, training_memory
from scaleplan.models.tuning import Method

KORTHIKANTI = Method(attention="eager", dropout=True)


def kept(model, method, *, sequence=2048, recompute="none", tensor=1):
    """Return the bytes of a token in a layer."""
    kinds = dict(
        zip(
            ("none", "selective", "full"),
            layer_kept(model, model.stacks[0], method, sequence=sequence, tensor=tensor),
            strict=True,
        )
    )
    return kinds[recompute]


@pytest.mark.parametrize(
    ("model", "batch", "gib"),
    [
        (classic(48, 6144, 64), 4, (316, 4.5)),
        (classic(96, 12288, 96), 1, (256, 4.5)),
        (classic(105, 20480, 128), 1, (402, 8.2)),
    ],
    ids=["22B", "175B", "530B"],
)
def test_published_totals_are_reproduced(model, batch, gib):
    """GiB of activations without and with full recomputation (arXiv:2205.05198), s = 2048."""
    found = [kept(model, KORTHIKANTI, recompute=kind) * model.layers * 2048 * batch for kind in ("none", "full")]
    assert [x / 2**30 for x in found] == pytest.approx(gib, rel=5e-3)  # printed to two or three digits


@pytest.mark.parametrize("ways", [1, 2, 8])
def test_the_closed_form_of_tensor_and_sequence_parallelism(ways):
    """(34 + 5as/d)/t, times d, with tensor and sequence parallelism together (arXiv:2205.05198)."""
    scores = 5 * 96 * 2048 / 12288
    found = kept(classic(96, 12288, 96), KORTHIKANTI, tensor=ways)
    assert found == pytest.approx(12288 * (34 + scores) / ways)


def test_fused_attention_and_no_dropout_leave_32_widths():
    """Without scores and the masks of what is added 32 of the 34 d bytes stay."""
    assert kept(classic(96, 12288, 96), Method()) == 32 * 12288


def test_a_modern_decoder_keeps_34_widths_with_fused_kernels_and_49_without():
    """Llama-3-8B: 8d + 4aq + 4kq + 6f bytes; without fused kernels norms keep 8 d more, and blocks 2 f."""
    assert kept(LLAMA_3_8B, Method()) == 34 * 4096
    assert kept(LLAMA_3_8B, Method(kernels="eager")) == 49 * 4096
    assert kept(LLAMA_3_8B, Method(kernels="eager", attention="sdpa")) == 52 * 4096  # keys and values for each head


def test_operation_selective_recomputation_keeps_every_second_product():
    """The input, the core's output, and of q, k, v, o, gate, up, down the odd ones; fused, no down."""
    d, k, f = 4096, 1024, 14336
    assert kept(LLAMA_3_8B, Method(kernels="eager"), recompute="selective") == 2 * (d + d + d + k + f + d)
    assert kept(LLAMA_3_8B, Method(), recompute="selective") == 2 * (d + d + d + k + f)


def test_full_recomputation_keeps_inputs_and_works_on_one_layer():
    """2 d bytes stay; one layer and 4 f for its gradients come when the logits have gone, and count where more."""
    assert kept(LLAMA_3_8B, Method(), recompute="full") == 2 * 4096
    tokens, layers = 8192, 32
    plain, lean = (
        training_memory(LLAMA_3_8B, Training(sequence=tokens, recompute="full", method=method), Parallel())
        for method in (Method(), Method(loss="fused"))
    )
    assert plain.activations == tokens * layers * 2 * 4096
    assert lean.activations + lean.logits == tokens * (layers * 2 * 4096 + 34 * 4096 + 4 * 14_336)


@pytest.mark.parametrize(
    ("loss", "each"), [("full", 12), ("compiled", 8), ("shifted", 18), ("chunked", 1.5), ("chunked-16", 4.25)]
)
def test_logits_take_bytes_by_what_the_loss_copies(loss, each):
    """A vocabulary of 128,256: log-probabilities and two gradients in fp32, or less."""
    assert loss_bytes(LLAMA_3_8B, Method(loss=loss)) == each * 128_256


def test_a_fused_loss_keeps_no_logits():
    """It takes as many tokens at a time as make their logits as large as the hidden states."""
    assert loss_bytes(LLAMA_3_8B, Method(loss="fused")) == 8 * 4096


def test_unknown_recomputation_is_refused():
    """The error says what there is."""
    with pytest.raises(UnknownNameError, match="'some'"):
        training_memory(LLAMA_3_8B, Training(sequence=1, recompute="some"), Parallel())
