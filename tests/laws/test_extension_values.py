"""Worked values of the extension laws, each computed from the coefficients as their papers print them."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan.laws.additive import Additive, ThreeExponent
from scaleplan.laws.curves import MultiPower
from scaleplan.laws.mixtures import Abnar, Clark
from scaleplan.presets.library import Library

# Clark et al. 2022 (arXiv:2202.01169): a, b, c, d, E_start, E_max
CLARK = {
    "s-base": (-0.082, -0.108, 0.009, 1.104, 1.847, 314.478),
    "rl-r": (-0.083, -0.126, 0.012, 1.111, 1.880, 469.982),
    "hash": (-0.087, -0.136, 0.012, 1.157, 4.175, 477.741),
}
# Abnar et al. 2025 (arXiv:2501.12370)
ABNAR = Abnar(
    alpha=0.5962, beta=0.3954, lam=-0.1666, delta=0.1603, gamma=0.1595,
    a=16612.50, b=5455.67, c=0.4598, d=17.26, e=0.94,
)  # fmt: skip
# Busbridge et al. 2025 (arXiv:2502.08606), the supervised law
BUSBRIDGE = ThreeExponent(E=1.220, A=3355.0, alpha=0.408, B=18186.0, beta=0.431, gamma=0.452)
# Luo et al. 2025 (arXiv:2503.12811), authors' code: L0, A, alpha, B, C, beta, gamma by size of the model in millions
LUO = {
    25: (3.04045406, 0.52468604, 0.50786857, 363.78751622, 2.06560812, 0.58279013, 0.64142257),
    100: (2.6514477, 0.60115152, 0.45295811, 437.9464276, 2.13245612, 0.59785199, 0.65523644),
    400: (2.37474466, 0.65421216, 0.42878731, 523.42464371, 2.02462735, 0.59350493, 0.63472457),
}
# Brandfonbrener et al. 2024 (arXiv:2411.12925), authors' output file: E, A, B, alpha, beta by corpus
BRANDFONBRENER = {
    "fineweb-edu": (2.00219, 2517.51, 7160.56, 0.45402, 0.44947),
    "slimpajama": (2.00685, 2048.35, 6018.81, 0.44092, 0.43849),
    "proof-pile-2": (1.33004, 3770.76, 3588.08, 0.50713, 0.43494),
    "starcoder": (0.86259, 7753.62, 4189.62, 0.54682, 0.43865),
}


def clark(router):
    return Clark(**dict(zip(("a", "b", "c", "d", "E_start", "E_max"), CLARK[router], strict=True)))


def schedule(kind):
    """Return 24,000 rates: 2160 of warm-up to 3e-4, then constant, cosine to 3e-5, or decay from step 20,000."""
    peak, last, steps, warm, decay = 3e-4, 3e-5, 24_000, 2_160, 20_000
    rates = np.full(steps, peak)
    rates[:warm] = np.linspace(0, peak, warm)
    if kind == "cosine":
        progress = np.arange(steps - warm) / (steps - warm)
        rates[warm:] = last + 0.5 * (peak - last) * (1 + np.cos(np.pi * progress))
    if kind == "wsd":
        rates[decay:] = peak * (last / peak) ** (np.arange(steps - decay) / (steps - decay))
    return rates


@pytest.mark.parametrize(
    "router, params, experts, loss",
    [
        ("s-base", 1.3e9, 1, 2.2373571),
        ("s-base", 1.3e9, 64, 2.0497788),
        ("rl-r", 1.3e9, 1, 2.2386321),
        ("rl-r", 5.5e7, 128, 2.5243778),
        ("hash", 1.3e9, 1, 2.2261641),
        ("hash", 5.5e7, 128, 2.4935305),
    ],
)
def test_the_law_of_routed_models(router, params, experts, loss):
    """Logarithms of base 10, at the saturating count of experts."""
    assert clark(router).value(params=params, experts=float(experts)) == pytest.approx(loss, rel=1e-6)


def test_a_routed_model_has_a_dense_equivalent():
    """5e6 parameters with 128 experts count for 5.18e7, which has the same loss as a dense model."""
    law = clark("s-base")
    effective = law.effective_params(5e6, 128.0)
    assert effective == pytest.approx(51828432, rel=1e-6)
    assert law.value(params=effective, experts=1.0) == pytest.approx(law.value(params=5e6, experts=128.0))


@pytest.mark.parametrize(
    "params, tokens, sparsity, loss", [(1e9, 2e10, 0.0, 2.5656813), (2e10, 2e11, 0.95, 2.0513829)]
)
def test_the_law_of_sparsity(params, tokens, sparsity, loss):
    """Total parameters, tokens and the share of inactive experts."""
    assert ABNAR.value(params=params, tokens=tokens, sparsity=sparsity) == pytest.approx(loss, rel=1e-6)


def test_the_supervised_law_of_distillation():
    """1.82e9 parameters on 3.64e10 tokens."""
    assert BUSBRIDGE.loss(1.82e9, 3.64e10) == pytest.approx(2.2508848, rel=1e-6)


@pytest.mark.parametrize(
    "size, kind, loss",
    [
        (25, "cosine", 3.3151865),
        (25, "wsd", 3.2662603),
        (100, "cosine", 2.9900247),
        (100, "wsd", 2.935197),
        (400, "constant", 2.8168401),
    ],
)
def test_the_multi_power_law(size, kind, loss):
    """The loss at the last of 24,000 steps."""
    law = MultiPower(**dict(zip(("L0", "A", "alpha", "B", "C", "beta", "gamma"), LUO[size], strict=True)))
    assert law.value(rates=schedule(kind)) == pytest.approx(loss, rel=1e-7)


@pytest.mark.parametrize(
    "corpus, loss",
    [
        ("fineweb-edu", 2.2329223),
        ("slimpajama", 2.258962),
        ("proof-pile-2", 1.4655538),
        ("starcoder", 0.99555231),
    ],
)
def test_the_fits_that_over_predict_a_larger_run(corpus, loss):
    """The additive law at 3.31e9 parameters and 5.04e10 tokens; the runs there ended 4 to 6 % lower."""
    law = Additive(**dict(zip(("E", "A", "B", "alpha", "beta"), BRANDFONBRENER[corpus], strict=True)))
    # the coefficients are printed to six digits, the values come from more
    assert law.loss(3309980160.0, 50352770000.0) == pytest.approx(loss, rel=2e-5)


def test_the_native_multimodal_law():
    """Shukor et al. 2025 (arXiv:2504.07951), sparse early fusion: the loss, and the tokens at 3.8e25 FLOP."""
    law = Library().load("nmm-sparse-2025").law
    assert law.loss(1e9, 1e11) == pytest.approx(2.6904846, rel=1e-6)
    assert law.best_split(3.8e25 / 6)[1] == pytest.approx(1.7648245e14, rel=1e-6)


def test_the_interleaved_audio_law():
    """SODA 2026 (arXiv:2602.16687): the size at 3.8e25 FLOP."""
    assert Library().load("soda-2026").law.best_split(3.8e25 / 6)[0] == pytest.approx(2.2022493e11, rel=1e-6)


@pytest.mark.parametrize("factor, wasted", [(2.0, 0.15667699), (0.5, 0.15550238)])
def test_the_share_of_compute_that_a_wrong_size_wastes(factor, wasted):
    """With the exponents 0.3478 and 0.3658, twice and half the size waste a seventh of the compute."""
    law = Additive(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)
    overhead = law.size_overhead(factor)
    assert overhead / (1 + overhead) == pytest.approx(wasted, rel=1e-6)
