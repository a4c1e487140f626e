"""Plans drawn out to runs: architecture, layout, schedule, bill."""

import math

import pytest

import scaleplan as sp
from scaleplan.models.shape import shape
from scaleplan.models.styles import STYLES
from scaleplan.planning import placement
from scaleplan.planning.placement import model_of

CLUSTER = {"gpus": 512, "gpu": "h100-sxm", "time": "30d", "shape": True}


def test_a_run_names_everything():
    """A cluster and a time: what to train, how it is divided, how many steps, what it takes."""
    plan = sp.optimal(**CLUSTER, region="FRA")
    found = plan.blueprint
    assert found.architecture["params"] == pytest.approx(plan.params, rel=0.01)
    assert found.layout.parallel.devices == 512
    assert found.layout.memory.fits(80e9)
    assert found.steps == math.ceil(plan.tokens / found.tokens_per_step)
    assert found.tokens_per_step == (
        found.layout.parallel.data * found.layout.micro_batch * found.layout.accumulation * found.sequence
    )
    assert found.step_seconds * found.steps == pytest.approx(30 * 86_400 * 0.90)  # a tenth of the time does not train
    assert found.least_time.binds == "compute"
    assert found.least_time.days == pytest.approx(30 * 0.90, rel=0.01)


def test_the_bill_carries_its_error_and_its_dates():
    """Hours are known to 1.6x either way, so are days, money, energy; carbon is energy times the grid's intensity."""
    plan = sp.optimal(**CLUSTER, region="FRA")
    bill, budget = plan.blueprint.bill, plan.budget
    assert bill.factor == budget.band == 1.6
    for name in ("gpu_hours", "days", "cost", "energy_kwh"):
        value = getattr(budget, name)
        assert getattr(bill, name) == pytest.approx((value / 1.6, value * 1.6))
        assert getattr(budget, f"{name}_interval") == getattr(bill, name)
    assert bill.carbon_kg == pytest.approx(budget.energy_kwh * 56 / 1000)  # France, 56 g in 2023
    assert (bill.grid_year, bill.price_date, bill.utilisation_date) == (2023, "2026-05", "2026-11")


def test_a_given_utilisation_has_no_band():
    """Whoever measured it knows."""
    bill = sp.optimal(**CLUSTER, mfu=0.4, price=3.0).blueprint.bill
    assert bill.factor is None
    assert bill.price_date is None
    assert bill.days == pytest.approx((30, 30))


def test_steps_need_no_hardware():
    """A budget in FLOP has an architecture and a schedule, and neither layout nor bill."""
    found = sp.optimal(flops=1e21, shape=True, batch="1M").blueprint
    assert found.tokens_per_step == 1e6
    assert found.batch_source == "given"
    assert (found.layout, found.bill, found.least_time, found.fits) == (None, None, None, None)


def test_a_model_is_drawn_as_it_is():
    """No shape is looked for where there is a model."""
    sizes = {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257}
    plan = sp.loss(model={**sizes, "n_positions": 1024}, tokens="10B", gpu="a100-sxm-80", gpus=8, shape=True)
    assert plan.params == 124_439_808
    assert plan.blueprint.config is None
    assert plan.blueprint.sequence == 1024
    assert plan.blueprint.layout.recompute == "none"


def test_what_does_not_fit_says_what_would():
    """One card for ten years buys a model that it cannot hold; the limit that the notice names makes it fit."""
    words = {"gpus": 1, "gpu": "rtx-4090", "time": "3650d", "shape": True}
    plan = sp.optimal(**words)
    assert plan.blueprint.fits is False
    notice = next(each for each in plan.warnings if each.code == "does_not_fit")
    limit = notice.message.split("--limit '")[1].rstrip("'")
    smaller = sp.optimal(**words, limit=[limit])
    assert smaller.blueprint.fits
    assert smaller.params == pytest.approx(plan.blueprint.largest_params, rel=0.05)


def test_memory_that_forces_recomputation_is_told():
    """The least of it that fits is chosen, and said."""
    plan = sp.optimal(gpus=64, gpu="a100-sxm-40", time="180d", shape=True, context="8k")
    assert plan.blueprint.layout.recompute == "full"
    assert "recomputation" in {notice.code for notice in plan.warnings}


def test_a_run_of_1e28_flop_in_three_months_is_warned_of():
    """Beyond it, moving data makes utilisation fall (arXiv:2411.01137)."""
    plan = sp.optimal(gpus=10_000_000, gpu="h100-sxm", time="90d", params="1T", shape=True, mfu=0.4)
    assert plan.flops > 1e28
    assert "beyond_utilisation" in {notice.code for notice in plan.warnings}


def test_a_dense_law_asked_about_a_mixture_says_so():
    """It counts the parameters that a token uses, as they make the compute."""
    mixture = sp.shape("47B", style="mixtral").model
    plan = sp.loss(model=mixture, tokens="1T")
    assert plan.params == mixture.active_params
    assert plan.flops == 6 * mixture.active_params * 1e12
    assert "experts_as_active" in {notice.code for notice in plan.warnings}
    hours = sp.loss(model=mixture, tokens="1T", gpu="h100-sxm").budget
    assert "mixture of experts" in hours.utilisation_source


@pytest.mark.parametrize("convention", ["total", "non_embedding", "total_minus_input_embedding", "flops_per_token"])
def test_shapes_have_the_size_by_the_convention_of_the_law(convention):
    """Within 1 %, whatever is counted."""
    wanted = 4e10 if convention == "flops_per_token" else 7e9
    model, config = model_of(wanted, convention, style="llama")
    assert model.params_as(convention) == pytest.approx(wanted, rel=0.01)
    assert config["model_type"] == STYLES["llama"].model_type


@pytest.mark.parametrize("words", [{"experts": 8}, {"preset": "fine-grained-moe-2024", "granularity": 8}], ids=str)
def test_a_plan_by_a_law_of_mixtures_is_drawn_as_a_mixture(words):
    """All experts are in the architecture, so that memory holds them; a token uses what the law counts, to 15 %."""
    plan = sp.optimal(flops="1e21", shape=True, **words)
    drawn = plan.blueprint.architecture
    assert drawn["params"] == pytest.approx(plan.total_params, rel=0.01)
    assert drawn["active_params"] == pytest.approx(plan.params, rel=0.15)
    assert plan.blueprint.config["model_type"] == "mixtral"


def test_a_shape_is_found_once_for_all_the_gpus_of_a_comparison(monkeypatch):
    """Forty times as before took nearly all of the time; and what somebody changes in one answer stays there."""
    sizes = []

    def counted(params, **options):
        sizes.append(params)
        return shape(params, **options)

    monkeypatch.setattr(placement, "shape", counted)
    sp.compare_gpus(["h100-sxm", "a100-sxm-80", "rtx-4090"], flops=1.357e21)
    assert len(sizes) == 1
    _, config = model_of(1.5e9, "total", style="llama")
    config["num_hidden_layers"] = 0
    assert model_of(1.5e9, "total", style="llama")[1]["num_hidden_layers"] > 0
