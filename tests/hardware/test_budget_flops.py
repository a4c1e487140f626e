"""From a budget to FLOP and back, with the utilisation settled against the size it pays for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaleplan.errors import UnknownNameError, UsageError
from scaleplan.hardware.budget import BudgetRequest, Catalogue
from scaleplan.hardware.device_budget import resolve_budget, resolve_consistently
from scaleplan.hardware.energy import PowerDraw
from scaleplan.laws.additive import Additive

CATALOGUE = Catalogue()
H100 = 989.4e12  # dense bf16, FLOP/s
CHINCHILLA = Additive(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)  # Besiroglu et al. 2024


@pytest.fixture(autouse=True, scope="module")
def _bundled_data_only(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCALEPLAN_PRESETS", str(tmp_path_factory.mktemp("presets")))
        yield


def best_params(flops):
    """Return the compute-optimal size by C = 6ND."""
    return CHINCHILLA.best_split(flops / 6)[0]


def codes(funding):
    return [notice.code for notice in funding.notices]


def test_plain_flop_are_themselves():
    """Nothing else is known about a budget in FLOP."""
    found = resolve_budget(CATALOGUE, BudgetRequest(flops=1e21))
    assert (found.flops, found.params, found.notices) == (1e21, None, ())
    assert found.budget.source == "flops"
    assert found.budget.gpu_hours is None


def test_hours_become_flop_by_peak_and_utilisation():
    """2000 H100-hours at 989.4 TFLOP/s and 0.4 are 2.85e21 FLOP."""
    found = resolve_budget(CATALOGUE, BudgetRequest(gpu_hours=2000, gpu="h100", mfu=0.4))
    assert found.flops == pytest.approx(2000 * 3600 * H100 * 0.4, rel=1e-15)
    assert f"{found.flops:.3g}" == "2.85e+21"
    budget = found.budget
    assert (budget.source, budget.gpu, budget.gpu_hours, budget.gpus, budget.days) == (
        "gpu_hours",
        "h100-sxm",
        2000,
        None,
        None,
    )
    assert (budget.peak_flops_per_s, budget.precision) == (H100, "bf16")
    assert (budget.utilisation, budget.mfu, budget.goodput, budget.profile) == (0.4, 0.4, 1.0, None)
    assert budget.utilisation_source == "given"
    assert (budget.cost, budget.currency, budget.price_per_hour) == (2000 * 2.95, "USD", 2.95)
    assert budget.energy_kwh == pytest.approx(2000 * 0.7 * 0.85 * 1.25 * 1.10)


def test_a_cluster_for_some_time_is_its_hours():
    """64 devices for 30 days are 46,080 hours."""
    budget = resolve_budget(CATALOGUE, BudgetRequest(gpus=64, time=30 * 86400, gpu="h100", mfu=0.4)).budget
    assert (budget.source, budget.gpu_hours, budget.gpus) == ("cluster", 46080, 64)
    assert budget.days == pytest.approx(30)


def test_money_buys_hours_at_the_price():
    """10,000 USD at a given 2 USD are 5,000 hours; the cost shown is the money given."""
    budget = resolve_budget(CATALOGUE, BudgetRequest(cost=10_000, gpu="h100", mfu=0.4, price=2)).budget
    assert (budget.gpu_hours, budget.cost, budget.price_per_hour) == (5000, 10_000, 2)


def test_a_named_price_is_looked_up():
    """--price spot takes the listed spot price."""
    assert (
        resolve_budget(CATALOGUE, BudgetRequest(cost=1250, gpu="h100", mfu=0.4, price="spot")).budget.gpu_hours
        == 1000
    )


def test_gpt3_takes_the_days_it_took():
    """3.14e23 FLOP on 10,000 V100 at 24.6 of 125 TFLOP/s took 14.8 days (Patterson et al. 2021)."""
    budget = resolve_budget(CATALOGUE, BudgetRequest(flops=3.14e23, gpus=10_000, gpu="v100", mfu=24.6 / 125)).budget
    assert (budget.source, budget.precision) == ("flops", "fp16")
    assert budget.days == pytest.approx(14.8, abs=0.05)
    assert budget.gpu_hours == pytest.approx(3.552e6, rel=2e-3)


def test_the_precision_chooses_the_peak():
    """fp8 doubles the peak, and a device without bf16 says what it has."""
    assert (
        resolve_budget(
            CATALOGUE, BudgetRequest(gpu_hours=1, gpu="h100", precision="fp8", mfu=0.3)
        ).budget.peak_flops_per_s
        == 1978.9e12
    )
    with pytest.raises(UsageError, match="no known peak"):
        resolve_budget(CATALOGUE, BudgetRequest(gpu_hours=1, gpu="v100", precision="bf16", mfu=0.3))


def test_goodput_is_apart_and_multiplies():
    """utilisation = mfu * goodput; a profile brings its goodput, and a given one wins."""
    given = resolve_budget(CATALOGUE, BudgetRequest(gpu_hours=1, gpu="h100", mfu=0.4, goodput=0.8)).budget
    assert given.utilisation == pytest.approx(0.32)
    profile = resolve_budget(CATALOGUE, BudgetRequest(gpu_hours=1, gpu="h100", mfu=0.4, profile="end-to-end")).budget
    assert (profile.mfu, profile.goodput, profile.profile) == (0.4, 0.9, "project")
    both = resolve_budget(
        CATALOGUE, BudgetRequest(gpu_hours=1, gpu="h100", profile="end-to-end", goodput=0.95), params=7e9
    ).budget
    assert (both.mfu, both.goodput) == (pytest.approx(0.44 / (1 + (20e6 / 7e9) ** 0.5) * 0.61, rel=5e-4), 0.95)


def test_no_price_is_no_cost_and_says_why():
    """An accelerator without a price has no cost, with the reason; a budget in money cannot do without."""
    found = resolve_budget(CATALOGUE, BudgetRequest(gpu_hours=10, gpu="mi300x", mfu=0.3))
    assert (found.budget.cost, found.budget.currency, found.budget.price_per_hour) == (None, None, None)
    assert codes(found) == ["no_price"]
    with pytest.raises(UsageError, match="--cost needs a price for mi300x") as caught:
        resolve_budget(CATALOGUE, BudgetRequest(cost=10, gpu="mi300x", mfu=0.3))
    assert "--price" in caught.value.hint


def test_unknown_accelerators_and_prices_are_named():
    """Names are checked before anything is computed."""
    with pytest.raises(UnknownNameError, match="unknown GPU"):
        resolve_budget(CATALOGUE, BudgetRequest(gpu_hours=10, gpu="h1000"))
    with pytest.raises(UnknownNameError, match="unknown price"):
        resolve_budget(CATALOGUE, BudgetRequest(gpu_hours=10, gpu="h100", price="cheap"))


@pytest.mark.parametrize("hours", [1e300, 5e-324])
def test_absurd_budgets_are_refused(hours):
    """Overflow and underflow are an answer, not infinity or zero."""
    with pytest.raises(UsageError, match="beyond what can be planned"):
        resolve_budget(CATALOGUE, BudgetRequest(gpu_hours=hours, gpu="h100", mfu=1e-30 if hours < 1 else 0.4))


def test_power_changes_the_energy_only():
    """The paper convention, design power times hours, can be asked for."""
    request = BudgetRequest(gpu_hours=1_720_320, gpu="a100", mfu=0.4, power=PowerDraw(load=1, host=1, pue=1))
    assert resolve_budget(CATALOGUE, request).budget.energy_kwh == pytest.approx(688_128)  # Llama 2 70B, 688 MWh


def test_a_given_utilisation_needs_no_size():
    """The best size is not even asked for."""
    found = resolve_consistently(
        CATALOGUE, BudgetRequest(gpu_hours=10, gpu="h100", mfu=0.4), lambda paid: pytest.fail("asked")
    )
    assert found.params is None


def test_flop_with_hardware_ask_for_the_size_once():
    """The budget fixes the size, the size the utilisation, and that the hours."""
    sizes = []
    found = resolve_consistently(
        CATALOGUE, BudgetRequest(flops=1e21, gpu="h100"), lambda paid: sizes.append(paid.flops) or 2.8e9
    )
    assert sizes == [1e21]
    assert found.flops == 1e21
    mfu = round(0.44 / (1 + (20e6 / 2.8e9) ** 0.5) * 0.61, 4)  # a default has four digits
    assert (found.budget.mfu, found.params) == (pytest.approx(mfu), 2.8e9)
    assert found.budget.gpu_hours == pytest.approx(1e21 / (H100 * mfu * 0.90 * 3600))


def test_a_mixture_of_experts_is_charged():
    """The factor for mixtures of experts reaches the FLOP."""
    request = BudgetRequest(gpu_hours=1e5, gpu="h100")
    assert resolve_budget(CATALOGUE, request, params=7e9, moe=True).flops == pytest.approx(
        0.8 * resolve_budget(CATALOGUE, request, params=7e9).flops, rel=5e-4
    )


def test_a_step_down_at_the_best_size_is_said():
    """Where one card's level pays for more than one card holds, and that of several for less: the lower, and said."""
    request = BudgetRequest(gpu_hours=1e6, gpu="rtx-4090", price=1)
    middle = 1e6 * 3600 * 165.2e12 * 0.55 * 0.42
    found = resolve_consistently(CATALOGUE, request, lambda paid: 30e9 * (paid.flops / middle) ** 0.5)
    assert found.params == pytest.approx(30e9, rel=1e-6)
    assert "utilisation_step" in codes(found)


@settings(max_examples=150)
@given(
    log_hours=st.floats(0, 9),
    gpu=st.sampled_from(["a100", "h100", "v100", "rtx-4090", "tpu-v5e", "mi250x"]),
    gpus=st.sampled_from([None, 1, 8, 300, 4096]),
    profile=st.sampled_from([None, "benchmark", "end-to-end"]),
)
def test_the_utilisation_agrees_with_the_size_it_pays_for(log_hours, gpu, gpus, profile):
    """The size is the best for the FLOP, and the utilisation is that of the size unless a notice says so."""
    request = BudgetRequest(gpu_hours=10**log_hours, gpu=gpu, gpus=gpus, profile=profile, price=1)
    found = resolve_consistently(CATALOGUE, request, lambda paid: best_params(paid.flops))
    assert found.params == pytest.approx(best_params(found.flops), rel=1e-12)
    again = resolve_budget(CATALOGUE, request, params=found.params)
    if "utilisation_step" in codes(found):
        assert again.flops > found.flops
    else:
        assert again.flops == found.flops
