"""Budget requests: exactly one form, complete, possible."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import pytest

from scaleplan.errors import UsageError
from scaleplan.hardware.budget import Budget, BudgetRequest
from scaleplan.hardware.energy import PowerDraw

FORMS = {
    "flops": {"flops": 1e21},
    "gpu_hours": {"gpu_hours": 1e4},
    "cluster": {"gpus": 64, "time": 30 * 86400},
    "cost": {"cost": 1e5},
}
OPTIONS = {"flops": "--flops", "gpu_hours": "--gpu-hours", "cluster": "--gpus with --time", "cost": "--cost"}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_recognised(form):
    """Alone, with its accelerator, a form names itself."""
    assert BudgetRequest(**FORMS[form], gpu="h100").source() == form


@pytest.mark.parametrize("first, second", [(a, b) for a in FORMS for b in FORMS if a < b])
def test_two_budgets_are_refused_by_name(first, second):
    """The error names both options."""
    with pytest.raises(UsageError, match="more than one budget") as caught:
        BudgetRequest(**FORMS[first], **FORMS[second], gpu="h100").source()
    assert OPTIONS[first] in caught.value.message
    assert OPTIONS[second] in caught.value.message


@pytest.mark.parametrize("form", ["gpu_hours", "cluster", "cost"])
def test_hardware_forms_need_an_accelerator(form):
    """The error says which option needs it and how to find one."""
    with pytest.raises(UsageError, match=f"{OPTIONS[form]} needs --gpu") as caught:
        BudgetRequest(**FORMS[form]).source()
    assert "scaleplan gpus list" in caught.value.hint


@pytest.mark.parametrize(
    "request_, error",
    [
        ({}, "there is no budget"),
        ({"gpu": "h100"}, "there is no budget"),
        ({"gpus": 8, "gpu": "h100"}, "--gpus alone is no budget"),
        ({"time": 8, "gpu": "h100"}, "--time alone is no budget"),
        ({"flops": 1e21, "time": 8}, "--flops and --time"),
    ],
)
def test_half_a_budget_says_what_is_missing(request_, error):
    """No form, devices without time, time without devices."""
    with pytest.raises(UsageError, match=error):
        BudgetRequest(**request_).source()


@pytest.mark.parametrize(
    "option",
    [
        {"mfu": 0.4},
        {"gpus": 8},
        {"price": "spot"},
        {"goodput": 0.9},
        {"precision": "bf16"},
        {"profile": "typical"},
        {"power": PowerDraw()},
    ],
)
def test_no_hardware_option_is_ignored(option):
    """A utilisation or price without an accelerator has nothing to act on."""
    with pytest.raises(UsageError, match=f"--{next(iter(option))} says nothing"):
        BudgetRequest(flops=1e21, **option).source()


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["flops", "gpu_hours", "gpus", "time", "cost", "price", "mfu", "goodput"])
def test_impossible_figures_are_refused(name, bad):
    """Nothing is zero, negative, infinite or no number."""
    with pytest.raises(UsageError, match=f"{name} is a number above 0"):
        BudgetRequest(**{name: bad}, gpu="h100").source()


@pytest.mark.parametrize("name", ["mfu", "goodput"])
def test_a_percentage_in_place_of_a_fraction_is_refused(name):
    """40 for 0.4 is met with the fraction."""
    with pytest.raises(UsageError, match="at most 1") as caught:
        BudgetRequest(flops=1e21, gpu="h100", **{name: 40}).source()
    assert caught.value.hint == "try 0.4"


def test_accelerators_are_whole():
    """Half a device is a mistake."""
    with pytest.raises(UsageError, match="whole"):
        BudgetRequest(gpus=1.5, time=60, gpu="h100").source()


def test_the_keys_of_a_budget_are_pinned():
    """These are keys of the JSON contract: adding is fine, renaming is a new schema."""
    assert [field.name for field in fields(Budget)] == [
        "source",
        "gpu",
        "gpus",
        "gpu_hours",
        "days",
        "utilisation",
        "peak_flops_per_s",
        "precision",
        "cost",
        "currency",
        "mfu",
        "goodput",
        "profile",
        "price_per_hour",
        "energy_kwh",
        "utilisation_source",
        "band",
        "interval_level",
        "gpu_hours_interval",
        "days_interval",
        "cost_interval",
        "energy_kwh_interval",
        "bought_flops_interval",
        "price_source",
        "price_date",
        "chip_w",
        "host_w",
        "pue",
        "deadline",
        "exchange_rate",
        "owned",
        "interruptions",
        "expected_interruptions",
    ]


def test_plain_flop_read_no_data():
    """Resolving --flops imports neither the accelerators nor a TOML parser, and opens no file."""
    code = (
        "import sys\n"
        "from scaleplan.hardware.budget import BudgetRequest\n"
        "import scaleplan.planning.on_hardware\n"
        "assert BudgetRequest(flops=1e21).plain().flops == 1e21\n"
        "names = ('accelerators', 'device_budget', 'prices', 'utilisation')\n"
        "heavy = {'tomllib', 'numpy', *(f'scaleplan.hardware.{name}' for name in names)}\n"
        "loaded = heavy & set(sys.modules)\n"
        "sys.exit(f'loaded {loaded}' if loaded else 0)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
