"""Conversions: every quantity to every other and back."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaleplan.errors import UnknownNameError, UsageError
from scaleplan.hardware.budget import BudgetRequest, Catalogue
from scaleplan.hardware.convert import QUANTITIES
from scaleplan.hardware.convert import convert as convert_amount
from scaleplan.hardware.energy import PowerDraw
from scaleplan.units import FLOP_PER_PF_DAY


@pytest.fixture(autouse=True, scope="module")
def _bundled_data_only(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCALEPLAN_PRESETS", str(tmp_path_factory.mktemp("presets")))
        yield


CATALOGUE = Catalogue()


def convert(*, params=None, grid=None, to=None, **words):
    """Convert one amount on some hardware, all by name."""
    amounts = {name: words.pop(name, None) for name in QUANTITIES}
    return convert_amount(CATALOGUE, amounts, BudgetRequest(**words), params=params, grid=grid, to=to)


FULL = {"gpu": "a100", "gpus": 64, "mfu": 0.4, "price": 2.0, "grid": "FRA"}


def test_a_pf_day_is_a_petaflop_per_second_for_a_day():
    """1e15 * 86,400 = 8.64e19; GPT-3's 3,640 PF-days are 3.14e23 FLOP (Brown et al. 2020, table D.1)."""
    assert FLOP_PER_PF_DAY == 8.64e19
    assert convert(pf_days=3640).flops == pytest.approx(3.14e23, rel=2e-3)


def test_without_hardware_only_compute_is_known():
    """FLOP and PF-days need no accelerator; the rest is absent, not invented."""
    found = convert(flops=8.64e20)
    assert found.pf_days == 10
    assert all(getattr(found, name) is None for name in QUANTITIES[2:])


def test_one_hour_in_every_unit():
    """One A100-hour at 0.4: 4.49e17 FLOP, 2 USD, the energy of 400 W, its carbon in France in 2023."""
    found = convert(gpu_hours=1, **FULL, power=PowerDraw(load=1, host=1, pue=1))
    assert found.flops == pytest.approx(3600 * 312e12 * 0.4)
    assert found.days == pytest.approx(1 / 64 / 24)
    assert (found.cost, found.currency) == (2.0, "USD")
    assert found.energy_kwh == pytest.approx(0.4)
    assert found.carbon_kg == pytest.approx(0.4 * 0.056)
    assert (found.grid, found.grid_g_co2_per_kwh, found.grid_year) == ("FRA", 56.0, 2023)


@settings(max_examples=60)
@given(log_flops=st.floats(12, 30), start=st.sampled_from(QUANTITIES))
def test_every_quantity_leads_back_to_all_others(log_flops, start):
    """Convert to one quantity and from it: all seven agree to rounding."""
    there = convert(flops=10**log_flops, **FULL)
    back = convert(**{start: getattr(there, start)}, **FULL)
    for name in QUANTITIES:
        assert getattr(back, name) == pytest.approx(getattr(there, name), rel=1e-12)


def test_the_default_utilisation_follows_the_size():
    """Given a size it is that of the size; without one it is assumed aloud."""
    mfu = 0.60 / (1 + (20e6 / 0.1e9) ** 0.5) * 0.61
    assert convert(flops=1e21, gpu="a100", params=0.1e9, price=1).mfu == pytest.approx(mfu, rel=5e-4)
    assumed = convert(flops=1e21, gpu="a100", price=1)
    assert [warning.code for warning in assumed.warnings] == ["utilisation_size_assumed"]


@pytest.mark.parametrize(
    "words, error",
    [
        ({}, "no amount to convert"),
        ({"flops": 1e21, "pf_days": 3}, "more than one amount: flops and pf_days"),
        ({"gpu_hours": 10}, "gpu_hours needs --gpu"),
        ({"energy_kwh": 10}, "energy_kwh needs --gpu"),
        ({"days": 10, "gpu": "h100"}, "days need --gpus"),
        ({"cost": 10, "gpu": "mi300x", "mfu": 0.3}, "--cost needs a price"),
        ({"carbon_kg": 10, "gpu": "h100"}, "carbon needs --region"),
        ({"flops": 1e21, "grid": "FRA"}, "--region needs --gpu"),
        ({"flops": float("nan")}, "flops is a number above 0"),
        ({"flops": -1}, "flops is a number above 0"),
        ({"flops": 1e21, "mfu": 0.3}, "--mfu says nothing"),
        ({"flops": 1e21, "to": "kwh"}, "cannot convert to 'kwh'"),
        ({"flops": 1e21, "to": "cost"}, "flops alone does not determine cost"),
        ({"gpu_hours": 1, "gpu": "h100", "mfu": 0.4, "to": "days"}, "gpu_hours alone does not determine days"),
    ],
)
def test_what_is_undetermined_is_said(words, error):
    """None, several, or an amount that lacks what it needs; the hint says what to add."""
    with pytest.raises(UsageError, match=error) as caught:
        convert(**words)
    if "alone" in error or "needs" in error or "need " in error:
        assert caught.value.hint


def test_an_unknown_grid_is_refused():
    """A country that is not listed is an error, not the world average."""
    with pytest.raises(UnknownNameError, match="unknown grid"):
        convert(gpu_hours=1, gpu="h100", grid="Atlantis")


def test_the_result_is_a_flat_json_object():
    """to_dict has a schema and only plain values; what is not known is null."""
    data = convert(flops=1e21, gpu="mi300x", mfu=0.3).to_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["schema"] == "scaleplan/conversion/1"
    assert data["cost"] is None
    assert [warning["code"] for warning in data["warnings"]] == ["no_price"]
