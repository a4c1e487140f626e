"""Figures of the same runs: what tensors took at the peak, and what the driver showed."""

from __future__ import annotations

import pytest

import scaleplan as sp

# foundation-model-stack/fms-acceleration, scripts/benchmarks/refs/a100_80gb.csv and a100_80gb_liger.csv: one or more
# A100 80 GB, packed sequences of 4,096 tokens, layers recomputed, rank 16 on q, k, v and o; bytes and MiB
FUSED = {"kernels": "compiled", "loss": "fused", "also": "dropout"}

PAIRS = [
    ("mistral-7b-v0.1", 1, 4, {"tune": "full", "precision": "bf16"}, 72_971_724_288, 77_705),
    ("mistral-7b-v0.1", 1, 4, {"tune": "lora"}, 26_108_963_328, 29_731),
    ("mistral-7b-v0.1", 1, 8, {"tune": "lora"}, 37_098_695_168, 43_195),
    ("mistral-7b-v0.1", 1, 4, {"tune": "qlora", "also": "upcast"}, 22_825_932_800, 27_023),
    ("mistral-7b-v0.1", 1, 8, {"tune": "qlora", "also": "upcast"}, 40_278_956_032, 47_145),
    ("mistral-7b-v0.1", 1, 4, {"tune": "qlora"}, 15_860_019_712, 19_931),
    ("mistral-7b-v0.1", 1, 8, {"tune": "qlora"}, 26_849_751_552, 34_355),
    ("mistral-7b-v0.1", 1, 4, {"tune": "lora", "quantize": "gptq-int4"}, 15_890_329_088, 20_453),
    ("mixtral-8x7b", 2, 2, {"tune": "lora"}, 57_540_387_840, 62_617),
    ("mixtral-8x7b", 1, 4, {"tune": "qlora"}, 36_218_024_448, 38_405),
    ("llama-2-70b", 1, 4, {"tune": "qlora"}, 68_159_977_472, 72_829),
    ("llama-3-8b", 1, 4, {"tune": "lora", **FUSED}, 24_905_936_896, 25_465),
    ("llama-3-8b", 1, 16, {"tune": "lora", **FUSED}, 50_891_223_040, 53_115),
    ("llama-3-8b", 1, 32, {"tune": "qlora", **FUSED}, 74_089_427_968, 78_505),
    ("llama-3-8b", 4, 8, {"tune": "full", "precision": "fsdp", **FUSED}, 44_061_352_448, None),
]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_both_figures_are_met(pair):
    """Within 12 and 15 %, without a trainer; fused losses leave no blocks behind, others two copies of the logits."""
    model, gpus, at_once, way, allocated, shown = pair
    also = ",".join(filter(None, [way.get("also"), "no-unpacked"]))
    adapters = {} if way["tune"] == "full" else {"rank": 16, "targets": "q,k,v,o"}
    asked = {**way, **adapters, "also": also, "gpus": gpus, "context": 4096, "micro_batch": at_once}
    division = {"zero": 3 if gpus > 1 else None, "tensor": 1, "pipeline": 1, "context_parallel": 1}
    found = sp.memory(model, gpu="a100-sxm-80", recompute="full", **asked, **division)
    assert found.allocated == pytest.approx(allocated, rel=0.12)
    if shown is not None:
        assert found.device_used == pytest.approx(shown * 2**20, rel=0.15)
