"""Paid time, training time and what they cost, by hand: goodput is the share of the paid time that trains."""

from __future__ import annotations

import pytest

import scaleplan as sp

PEAK = 989.4e12  # dense bf16 of an H100 SXM, NVIDIA's data sheet halved for sparsity


@pytest.mark.parametrize("goodput", [0.8, 0.95, 1.0])
def test_a_cluster_is_paid_for_all_of_its_days(goodput):
    """64 devices for 30 days are 46,080 hours, of which the share of goodput becomes FLOP."""
    plan = sp.optimal(gpus=64, time="30d", gpu="h100-sxm", mfu=0.4, goodput=goodput, price=2.0)
    budget = plan.budget
    assert budget.gpu_hours == pytest.approx(64 * 30 * 24)
    assert budget.days == pytest.approx(30)
    assert budget.cost == pytest.approx(64 * 30 * 24 * 2.0)
    assert plan.flops == pytest.approx(64 * 30 * 86_400 * PEAK * 0.4 * goodput, rel=1e-9)


@pytest.mark.parametrize("goodput", [0.8, 0.95, 1.0])
def test_a_run_takes_longer_where_less_of_the_time_trains(goodput):
    """1e22 FLOP at peak x 0.4 x goodput, on 64 devices."""
    budget = sp.optimal(flops="1e22", gpus=64, gpu="h100-sxm", mfu=0.4, goodput=goodput, price=2.0).budget
    hours = 1e22 / (PEAK * 0.4 * goodput) / 3600
    assert budget.gpu_hours == pytest.approx(hours, rel=1e-9)
    assert budget.days == pytest.approx(hours / 64 / 24, rel=1e-9)
    assert budget.cost == pytest.approx(hours * 2.0, rel=1e-9)
