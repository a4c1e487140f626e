"""Default utilisation: the table, its factors, the profiles, and how well they predict."""

from __future__ import annotations

import json
import math
import statistics
from pathlib import Path

import pytest

from scaleplan.errors import FileError, UsageError
from scaleplan.files import data_folder
from scaleplan.hardware.accelerators import Accelerators
from scaleplan.hardware.utilisation import UtilisationTable

RUNS = Path(__file__).parents[2].parent / "shared" / "reference" / "real_models.json"


@pytest.fixture(scope="module")
def accelerators():
    return Accelerators([data_folder()])


@pytest.fixture(scope="module")
def table():
    return UtilisationTable([data_folder()])


# One value of each row and column of the published defaults: (device, precision, params, devices) -> mfu.
TABLE = [
    ("a100", "bf16", 0.1e9, 8, 0.35),
    ("a100", "bf16", 1e9, 8, 0.45),
    ("a100", "fp16", 7e9, 8, 0.45),
    ("a100", "bf16", 70e9, 8, 0.40),
    ("h100", "bf16", 0.1e9, 8, 0.30),
    ("h200", "bf16", 1e9, 8, 0.38),
    ("gh200", "bf16", 7e9, 8, 0.40),
    ("h800", "bf16", 70e9, 8, 0.38),
    ("h100", "fp8", 0.1e9, 8, 0.18),
    ("h100", "fp8", 70e9, 8, 0.30),
    ("b200", "bf16", 7e9, 8, 0.38),
    ("gb300", "fp8", 70e9, 8, 0.33),
    ("v100", "fp16", 70e9, 8, 0.25),
    ("rtx-4090", "bf16", 1e9, 1, 0.45),
    ("rtx-4090", "bf16", 1e9, 8, 0.30),
    ("rtx-4090", "bf16", 70e9, 1, 0.20),  # no value for one card: a model of this size is spread over several
    ("mi300x", "bf16", 7e9, 8, 0.32),
    ("tpu-v5p", "bf16", 7e9, 8, 0.55),
    ("tpu-v6e", "bf16", 7e9, 8, 0.42),
    ("gaudi3", "bf16", 7e9, 8, 0.35),
    ("trn2", "bf16", 0.1e9, 8, 0.25),
    ("m2-max", "fp16", 0.1e9, 1, 0.25),
]


@pytest.mark.parametrize("case", TABLE, ids=lambda case: f"{case[0]}-{case[1]}-{case[2]:g}-{case[3]}")
def test_the_default_is_the_tables(table, accelerators, case):
    """Class, precision and size choose the cell; up to 128 devices nothing is lost to scale."""
    gpu, precision, params, gpus, mfu = case
    found = table.default(accelerators.get(gpu), precision=precision, params=params, gpus=gpus)
    assert found.mfu == mfu
    assert found.value == mfu  # typical: goodput is not taken off
    assert (found.profile, found.goodput, found.band) == ("typical", 1.0, 1.5)
    assert f"{mfu:g}" in found.source


def test_many_devices_take_the_last_column(table, accelerators):
    """Above 1000 devices a small model counts as large, and loses 3.5 % a doubling above 128."""
    found = table.default(accelerators.get("a100"), params=1e9, gpus=2048)
    assert found.mfu == pytest.approx(0.40 * 0.965**4, rel=1e-12)


@pytest.mark.parametrize("params, gpus, loss", [(7e9, 512, 0.965**2), (70e9, 512, 0.985**2), (7e9, 128, 1.0)])
def test_scale_costs_per_doubling(table, accelerators, params, gpus, loss):
    """Models below 10B lose 3.5 % a doubling above 128 devices, larger ones 1.5 %."""
    alone = table.default(accelerators.get("h100"), params=params, gpus=8)
    scaled = table.default(accelerators.get("h100"), params=params, gpus=gpus)
    assert scaled.mfu == pytest.approx(alone.mfu * loss, rel=1e-12)


def test_profiles_and_mixtures_scale_the_value(table, accelerators):
    """benchmark is the table x 1.15, end-to-end x 0.85 with goodput 0.90 apart, a mixture of experts x 0.65."""
    h100 = accelerators.get("h100")
    benchmark = table.default(h100, params=7e9, profile="benchmark")
    assert benchmark.value == pytest.approx(0.40 * 1.15)
    paid = table.default(h100, params=7e9, profile="End-to-End")
    assert (paid.mfu, paid.goodput) == (pytest.approx(0.40 * 0.85), 0.90)
    assert paid.value == pytest.approx(0.40 * 0.85 * 0.90)
    assert table.default(h100, params=7e9, moe=True).mfu == pytest.approx(0.40 * 0.65)


@pytest.mark.parametrize(
    "case",
    [
        ("a100", 7e9, 8, False),
        ("h100", 7e9, 8, False),
        ("mi300x", 7e9, 8, True),
        ("gaudi2", 7e9, 8, True),
        ("trn1", 7e9, 8, True),
        ("b200", 7e9, 8, True),
        ("b200", 70e9, 8, False),
        ("rtx-4090", 1e9, 1, False),
        ("rtx-4090", 1e9, 4, True),
        ("h20", 7e9, 8, True),  # takes the row of its larger siblings
        ("m2-max", 70e9, 1, True),  # no value for this size
    ],
)
def test_thin_evidence_is_said(table, accelerators, case):
    """AMD, Gaudi, Trainium, Blackwell below 8B and several consumer cards rest on little evidence."""
    gpu, params, gpus, thin = case
    notices = table.default(accelerators.get(gpu), params=params, gpus=gpus).notices
    assert [notice.code for notice in notices] == (["utilisation_thin_evidence"] if thin else [])


def test_an_unknown_size_is_assumed_aloud(table, accelerators):
    """Without a size the value is that of a 7B model, and a notice says so."""
    found = table.default(accelerators.get("h100"))
    assert found.mfu == 0.40
    assert [notice.code for notice in found.notices] == ["utilisation_size_assumed"]


@pytest.mark.parametrize("gpu, gpus, said", [("rtx-4090", None, True), ("rtx-4090", 1, False), ("h100", None, False)])
def test_one_card_is_assumed_aloud(table, accelerators, gpu, gpus, said):
    """Where several cards reach less than one, an unknown number counts as one and a notice says so."""
    notices = table.default(accelerators.get(gpu), params=1e9, gpus=gpus).notices
    assert [notice.code for notice in notices] == (["utilisation_gpus_assumed"] if said else [])


@pytest.mark.parametrize("gpu, precision", [("mi300x", "fp8"), ("h100", "tf32"), ("b200", "fp4")])
def test_no_row_is_no_guess(table, accelerators, gpu, precision):
    """Where nothing is published the user must give the utilisation."""
    with pytest.raises(UsageError, match=f"no default utilisation for .* in {precision}") as caught:
        table.default(accelerators.get(gpu), precision=precision)
    assert "--mfu" in caught.value.hint


def test_an_unknown_profile_gets_a_suggestion(table, accelerators):
    """Profiles are few, and a typing mistake is met with the closest."""
    with pytest.raises(UsageError, match="unknown profile 'typcal'") as caught:
        table.default(accelerators.get("h100"), profile="typcal")
    assert caught.value.hint == "did you mean 'typical'?"


@pytest.mark.parametrize(
    "old, new, error",
    [
        ("band = 1.5", "band = 0.5", "band: expected a finite number of at least 1"),
        ("sizes = [0.5e9, 3e9", "sizes = [4e9, 3e9", "sizes: expected model sizes"),
        ("mfu = [0.35, 0.45, 0.45, 0.40]", "mfu = [0.35, 45, 0.45]", "mfu: expected one to 4 fractions"),
        ("mfu = [0.35, 0.45, 0.45, 0.40]", "mfu = [0.3, 0.3, 0.3, 0.3, 0.3]", "mfu: expected one to 4 fractions"),
        ('precisions = ["bf16", "fp16"]', 'precisions = ["bf16", "bf16", "fp8"]', "has two rows in class 'hopper'"),
        ("typical = {", "normal = {", "profiles: expected a profile named typical"),
        ("[moe]", "[moe]\nfactr = 1", "unknown key"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path, old, new, error):
    """The user's own table is checked like every file."""
    text = (data_folder() / "utilisation.toml").read_text()
    assert old in text
    (tmp_path / "utilisation.toml").write_text(text.replace(old, new))
    with pytest.raises(FileError, match=error):
        UtilisationTable([tmp_path])


def test_no_table_at_all_is_an_error(tmp_path):
    """An installation without its data says so."""
    with pytest.raises(FileError, match=r"no utilisation\.toml"):
        UtilisationTable([tmp_path])


def hours_ratio(run, accelerators, table):
    """Return predicted over published device-hours, 6ND against the peak of the run's precision."""
    accelerator = accelerators.get(run["hardware"])
    utilisation = table.default(
        accelerator,
        precision=run["precision"],
        params=run["params_active"],
        gpus=run["num_accelerators"],
        profile="end-to-end",
        moe=run["params_active"] != run["params_total"],
    )
    flops_per_hour = accelerator.peak(run["precision"]) * utilisation.value * 3600
    return run["flops_6nd"] / flops_per_hour / run["gpu_hours"]


@pytest.mark.skipif(not RUNS.exists(), reason="the published runs are not part of the project")
def test_end_to_end_predicts_what_published_runs_paid(accelerators, table):
    """35 runs: median ratio 0.9 to 1.15, at least four in five within a factor of 1.5, 33 within 2.

    The reference states 28 within 1.35, 30 within 1.5, 33 within 2 with every run against its 16-bit peak; two fp8
    runs counted against their fp8 peak, as the table's fp8 row is, come out a little closer.
    """
    runs = [run for run in json.loads(RUNS.read_text())["runs"] if run["gpu_hours"]]
    ratios = [hours_ratio(run, accelerators, table) for run in runs]
    assert len(ratios) == 35
    assert 0.9 <= statistics.median(ratios) <= 1.15
    within = [sum(abs(math.log(ratio)) <= math.log(factor) for ratio in ratios) for factor in (1.35, 1.5, 2)]
    assert within == [29, 31, 33]
