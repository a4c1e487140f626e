"""Energy and carbon: the published accounts of well-known runs, recomputed."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.errors import FileError, UnknownNameError, UsageError
from scaleplan.files import data_folder
from scaleplan.hardware.accelerators import Accelerators
from scaleplan.hardware.budget import BudgetRequest, Catalogue
from scaleplan.hardware.convert import convert
from scaleplan.hardware.device_budget import resolve_budget
from scaleplan.hardware.energy import HOST, LOAD, PUE, PowerDraw, PowerGrid, PowerGrids

REFERENCE = Path(__file__).parents[2].parent / "shared" / "reference" / "grid_carbon.csv"
PAPER = {"load": 1.0, "host": 1.0}
DEVICES = Accelerators([data_folder()])


@pytest.fixture(scope="module")
def grids():
    return PowerGrids([data_folder()])


@pytest.mark.parametrize(
    "hours, gpu, pue, mwh",
    [
        (1_720_320, "a100", 1.0, 688),  # Llama 2 70B
        (1_022_362, "a100", 1.1, 450),  # LLaMA 65B; published 449
        (30.84e6, "h100", 1.0, 21_588),  # Llama 3.1 405B
        (1_082_990, "a100", 1.0, 433.2),  # BLOOM: 433,196 kWh
    ],
)
def test_published_energy_is_reproduced(hours, gpu, pue, mwh):
    """Hours times design power times PUE gives the figure of each account, to the digits it states."""
    assert PowerDraw(**PAPER, pue=pue).of(DEVICES.get(gpu)).kwh(hours) / 1000 == pytest.approx(mwh, rel=6e-4)


@pytest.mark.parametrize(
    "hours, gpu, pue, chip, host, mwh",
    [
        (8_404_992, "tpu-v4", 1.08, 170, 208.5, 3436),  # PaLM 540B: 378.5 W a chip with its host
        (3.552e6, "v100", 1.10, 255, 75, 1289),  # GPT-3: 330 W with the host; Patterson 2021 publish 1,287
    ],
)
def test_measured_power_is_chip_and_host_and_building(*, hours, gpu, pue, chip, host, mwh):
    """Three numbers, two of them measured on the device: nothing else has to be given."""
    power = PowerDraw(pue=pue).of(DEVICES.get(gpu))
    assert (power.chip_w, power.host_w, power.pue) == (chip, host, pue)
    assert power.kwh(hours) / 1000 == pytest.approx(mwh, rel=6e-4)


def test_given_factors_win_over_what_was_measured():
    """The convention of most papers, design power times hours, can be had for any device."""
    assert PowerDraw(load=1, host=1, pue=1).of(DEVICES.get("tpu-v4")).kw == pytest.approx(0.192)


@pytest.mark.parametrize(
    "mwh, intensity, tonnes",
    [
        (1289, 429, 553),  # GPT-3; published 552
        (688.1, 423.5, 291.4),  # Llama 2 70B; published 291.42
        (449.8, 385, 173),  # LLaMA 65B
        (21_588, 413.7, 8930),  # Llama 3.1 405B
        (433.2, 57, 24.7),  # BLOOM
    ],
)
def test_published_emissions_are_reproduced(mwh, intensity, tonnes):
    """Energy times the intensity of the grid, with nothing subtracted, to the digits stated."""
    grid = PowerGrid(code="X", name="", kind="country", g_co2_per_kwh=intensity, year=2023, source="")
    assert grid.carbon_kg(mwh * 1000) / 1000 == pytest.approx(tonnes, rel=2e-3)


def test_the_defaults_are_a_tuned_run_in_a_large_data_centre():
    """0.85 of the design power, a quarter on top for the server, 10 % for the building."""
    assert PowerDraw().of(DEVICES.get("h100")).kw == pytest.approx(0.7 * 0.85 * 1.25 * 1.10)
    assert (LOAD["tuned"], HOST["server"], PUE["hyperscale"]) == (0.85, 1.25, 1.10)


@given(hours=st.floats(1e-3, 1e12), load=st.floats(0.01, 2), host=st.floats(1, 5), pue=st.floats(1, 5))
def test_energy_goes_back_to_hours(hours, load, host, pue):
    """kwh and gpu_hours are inverse, to rounding."""
    power = PowerDraw(load=load, host=host, pue=pue).of(DEVICES.get("a100"))
    assert power.gpu_hours(power.kwh(hours)) == pytest.approx(hours, rel=1e-12)


@pytest.mark.parametrize("wrong", [{"load": 0}, {"load": 85}, {"host": 0.9}, {"pue": 0.5}, {"pue": float("nan")}])
def test_impossible_power_is_refused(wrong):
    """A load in percent, a building that gives energy back, and nan are mistakes."""
    with pytest.raises(UsageError):
        PowerDraw(**wrong)


@pytest.mark.parametrize(
    "name, grams, year",
    [
        ("FRA", 56.0, 2023),
        ("france", 56.0, 2023),
        ("gcp:us-central1", 430, 2023),
        ("us-central1", 430, 2023),
        ("world", 475, 2019),
    ],
)
def test_a_grid_is_found_by_code_or_name(grids, name, grams, year):
    """Country codes and names, and cloud regions with or without the provider."""
    grid = grids.get(name)
    assert (grid.g_co2_per_kwh, grid.year) == (grams, year)
    assert grid.source


def test_an_unknown_grid_gets_a_suggestion(grids):
    """A typing mistake is met with the closest name."""
    with pytest.raises(UnknownNameError) as caught:
        grids.get("Frnace")
    assert "did you mean 'France'?" in caught.value.hint


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference table is not part of the project")
def test_the_grids_are_the_reference_grids(grids):
    """Every row ships with its intensity, year and source."""
    with REFERENCE.open(newline="") as stream:
        rows = {row["code"]: row for row in csv.DictReader(stream)}
    assert {grid.code for grid in grids.all()} == set(rows)
    for grid in grids.all():
        row = rows[grid.code]
        assert (grid.g_co2_per_kwh, grid.year) == (float(row["g_co2_per_kwh"]), int(row["year"]))
        assert (grid.name, grid.kind, grid.source) == (row["name"], row["kind"], row["source"])


def test_the_users_grids_win(tmp_path):
    """A file in the user's folder replaces one grid and keeps the others."""
    text = 'schema = 1\n[[grid]]\ncode = "FRA"\nname = "France"\ng_co2_per_kwh = 33\nyear = 2025\nsource = "own"\n'
    (tmp_path / "grid_carbon.toml").write_text(text)
    both = PowerGrids([data_folder(), tmp_path])
    assert both.get("FRA").g_co2_per_kwh == 33
    assert both.get("DEU").g_co2_per_kwh == 380.9
    (tmp_path / "grid_carbon.toml").write_text(text.replace("33", "-1"))
    with pytest.raises(FileError, match=r"grid\[0\].g_co2_per_kwh"):
        PowerGrids([tmp_path])


def test_a_device_of_unknown_power_has_no_energy():
    """H20 141GB is sold without a stated power: its hours are computed, its energy is not, with one warning."""
    catalogue = Catalogue()
    assert PowerDraw().of(catalogue.accelerators.get("h20e")) is None
    assert PowerDraw(load=0.5).of(catalogue.accelerators.get("h20e")) is None
    found = resolve_budget(catalogue, BudgetRequest(gpu_hours=100, gpu="h20e", mfu=0.4))
    assert (found.budget.energy_kwh, found.budget.chip_w, found.budget.pue) == (None, None, None)
    assert found.budget.gpu_hours == 100
    assert [notice.code for notice in found.notices if "power" in notice.code] == ["power_unknown"]
    for name, grid in (("energy_kwh", None), ("gpu_hours", "FRA")):
        with pytest.raises(UsageError, match="the power of h20e is not known"):
            convert(catalogue, {name: 1e4}, BudgetRequest(gpu="h20e", mfu=0.4), grid=grid)
