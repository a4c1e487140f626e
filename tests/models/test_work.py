"""The work of a token in a way to train: against a count by hand, and against speeds that trainers publish."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

import scaleplan as sp
from scaleplan.hardware.budget import Catalogue
from scaleplan.models.count import attention_flops, executed_params
from scaleplan.models.tuning import method_of
from scaleplan.models.work import work_of

LLAMA = sp.model("llama-3.1-8b").architecture
MIXTURE = sp.model("mixtral-8x7b").architecture
FULL, BF16 = method_of(tune="full", precision="bf16")[0], "bf16"


def work(a=LLAMA, *, context=2048, recompute="none", **options):
    """Return the work of a way by its options."""
    return work_of(a, method_of(**options)[0], context=context, recompute=recompute)


@pytest.mark.parametrize("name", ["llama-3.1-8b", "mixtral-8x7b", "gpt2", "deepseek-v3", "bert-large-uncased"])
def test_training_everything_is_three_forward_passes(name):
    """6 N_flop and attention: the convention of ``model``; full recomputation adds the layers, not the head."""
    a = sp.model(name).architecture
    attention = attention_flops(a, context=512, causal=a.causal)
    matrices = executed_params(a)
    found = work(a, context=512, tune="full", precision="bf16")
    assert found.flops == pytest.approx(6 * matrices + attention, rel=1e-12)
    again = work(a, context=512, tune="full", precision="bf16", recompute="full")
    outside = a.head_rows * a.head_width + sum(atom.executed for atom in a.atoms)
    assert again.flops - found.flops == pytest.approx(2 * (matrices - outside) + attention / 3, rel=1e-12)


def test_adapters_save_the_gradients_of_what_is_frozen():
    """By hand for Llama 3.1 8B: 4 FLOP a weight of layers and head, 6 for each of the adapters', and attention."""
    d, inner, keys, layers, rank = 4096, 14336, 1024, 32, 16
    shapes = [(d, d), (d, keys), (d, keys), (d, d), (d, inner), (d, inner), (inner, d)]
    layer = sum(rows * columns for rows, columns in shapes)
    adapters = rank * sum(rows + columns for rows, columns in shapes)
    attention = 12 * layers * d * 2048 / 2
    found = work(tune="lora", rank=rank)
    assert found.flops == pytest.approx(4 * (layers * layer + 128256 * d) + 6 * layers * adapters + attention)
    assert found.weights == pytest.approx(2 * layers * adapters)
    assert found.moved == 0


def test_experts_work_as_many_as_a_token_uses():
    """Each of the two experts of a token is a product; all eight are unpacked where they are quantised."""
    found, packed = work(MIXTURE, tune="lora"), work(MIXTURE, tune="qlora")
    assert found.forward < 2 * 13.5e9
    assert packed.flops == found.flops
    bits, passes, held = 4 + 32 / 64, 2, 46.5e9
    assert packed.moved == pytest.approx(passes * held * (bits / 8 + 4), rel=0.01)


def test_layers_below_the_first_trained_one_have_a_forward_pass_alone():
    """The last 8 of 32 layers: a quarter of the gradients, and nothing of the others is recomputed."""
    whole, last = work(tune="full", precision=BF16), work(tune="full", precision=BF16, trained_layers=8)
    head = 2 * LLAMA.vocab * LLAMA.width
    assert last.forward == whole.forward
    assert last.inputs - head == pytest.approx((whole.inputs - head) / 4)
    assert last.weights - head == pytest.approx((whole.weights - head) / 4)
    again = [work(tune="full", precision=BF16, trained_layers=n, recompute="full").recomputed for n in (8, 32)]
    assert again[0] == pytest.approx(again[1] / 4)


def test_frozen_parts_lack_their_own_gradient_only():
    """Without the tables: the head's product stays, both ways."""
    whole, without = work(tune="full", precision=BF16), work(tune="full", precision=BF16, freeze="embeddings")
    assert whole.flops - without.flops == pytest.approx(2 * LLAMA.vocab * LLAMA.width)
    assert (without.forward, without.inputs) == (whole.forward, whole.inputs)


@given(
    rank=st.integers(1, 256),
    context=st.sampled_from([128, 2048, 32768]),
    tune=st.sampled_from(["lora", "qlora", "dora", "qdora"]),
)
def test_more_is_more_work(rank, context, tune):
    """A larger rank, a longer context and more recomputation take more; adapters less than everything."""
    base = work(tune=tune, rank=rank, context=context)
    assert work(tune=tune, rank=rank + 1, context=context).flops > base.flops
    assert work(tune=tune, rank=rank, context=2 * context).flops > base.flops
    some, all_of_it = (work(tune=tune, rank=rank, context=context, recompute=kind) for kind in ("selective", "full"))
    assert base.flops < some.flops < all_of_it.flops
    assert base.moved <= some.moved <= all_of_it.moved
    assert base.flops < work(tune="full", precision=BF16, context=context).flops


def qwen(width, layers, inner):
    """Return the first Qwen, whose fine-tuning its makers timed: a llama with biases."""
    heads = {"num_attention_heads": width // 128, "num_key_value_heads": width // 128}
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "intermediate_size": inner, "vocab_size": 151936}
    return {"model_type": "qwen2", "tie_word_embeddings": False, "max_position_embeddings": 8192, **heads, **sizes}


_7B, _1B = qwen(4096, 32, 11008), qwen(2048, 24, 5504)
_LORA = {"tune": "lora", "rank": 64}
_GPTQ = {**_LORA, "quantize": "gptq-int4"}
_TORCHTUNE = {"trainer": "torchtune", "rank": 8, "targets": "q,v,o"}
_L8, _L70, _L405 = "llama-3.1-8b", "llama-3.1-70b", "llama-3.1-405b"
_FULL = {"tune": "full", "precision": "bf16"}

SPEEDS = [
    # model, device, devices, options, context, tokens that a device takes at once, tokens per second
    *[
        (_L8, "rtx-4090", 1, {**_TORCHTUNE, "tune": "lora"}, 2048, 4096, 3083),  # torchtune's README, 2024-09
        (_L8, "rtx-4090", 1, {**_TORCHTUNE, "tune": "qlora"}, 2048, 4096, 2413),
        (_L8, "rtx-4090", 1, {**_FULL, "optimizer": "paged-adamw-8bit"}, 2048, 4096, 1650),
        (_L70, "a100-sxm-80", 8, {**_TORCHTUNE, "tune": "lora"}, 2048, 4096, 3497),
        (_L70, "a100-sxm-80", 8, {**_FULL, "offload": "optimizer"}, 2048, 4096, 1568),
        (_L405, "a100-sxm-80", 8, {**_TORCHTUNE, "tune": "qlora"}, 2048, 4096, 653),
    ],
    *[
        (model, "a100-sxm-80", 1, options, length, length, 8 * length / seconds)  # Qwen's README: 8 sequences a step
        for model, options, times in (
            (_7B, _LORA, {2048: 5.2, 4096: 10.1, 8192: 21.3}),
            (_7B, _GPTQ, {2048: 7.0, 4096: 11.6, 8192: 22.3}),
            (_1B, _LORA, {2048: 1.7, 4096: 3.3, 8192: 6.8}),
            (_1B, _GPTQ, {2048: 2.0, 4096: 3.4, 8192: 6.5}),
            (_1B, _FULL, {4096: 2.8, 8192: 5.6}),
        )
        for length, seconds in times.items()
    ],
]


def test_published_speeds_of_fine_tuning_are_within_the_band():
    """Twenty, all with full recomputation: four of five are within the band, and they are not off on the whole."""
    catalogue, ratios = Catalogue(), []
    profile = catalogue.utilisations.profile("fine-tuning")
    for source, gpu, gpus, options, context, at_once, measured in SPEEDS:
        model, device = sp.model(source), catalogue.accelerators.get(gpu)
        found = work(model.architecture, context=context, recompute="full", **options)
        reached = catalogue.utilisations.default(
            device, params=model.counts.active_params, gpus=gpus, profile="fine-tuning"
        )
        seconds = found.flops / (gpus * device.peak() * reached.value)
        seconds += found.moving_seconds(device.bandwidth) / (gpus * at_once)
        ratios.append(measured * seconds)
    assert len(ratios) == 20
    assert 0.85 <= math.exp(statistics.mean(map(math.log, ratios))) <= 1.15
    assert sum(1 / profile.band <= ratio <= profile.band for ratio in ratios) >= 16
    assert all(1 / 2.2 <= ratio <= 2.2 for ratio in ratios)
