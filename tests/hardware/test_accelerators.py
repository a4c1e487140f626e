"""Accelerators: the figures that ship, the names they answer to, the precision that counts."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from scaleplan.errors import FileError, UnknownNameError, UsageError
from scaleplan.hardware.accelerators import Accelerators

REFERENCE = Path(__file__).parents[2].parent / "shared" / "reference" / "accelerators.csv"
MORE, VISIBLE = (REFERENCE.with_name(f"accelerators_{name}.csv") for name in ("more", "memory_bytes"))
GIB = 2**30
BYTES = {  # as devices report them, and GiB where the maker says or means GiB
    "h100-sxm": 85_520_809_984,
    "h800-sxm": 85_520_809_984,
    "h200-sxm": 150_754_820_096,
    "b200": 192_265_846_784,
    "b300": 288_400_343_040,
    "gb200": 198_674_743_296,
    "gb300": 298_500_227_072,
    "rtx-5090": 34_190_917_632,
    "rtx-pro-6000-blackwell": 102_641_958_912,
    "rtx-6000-ada": 48 * GIB,
    "a10g": 24_146_608_128,
    "a10": 24_146_608_128,
    "l40s": 45 * GIB,
    "l4": 22 * GIB,
    "a100-sxm-80": 80 * GIB,
    "a800-sxm-80": 80 * GIB,
    "mi300x": 206_141_652_992,
    "tpu-v3": 32 * GIB,
    "tpu-v4": 32 * GIB,
    "tpu-v7": 192 * GIB,
    "trn1": 32 * GIB,
    "trn2": 96 * GIB,
    "trn3": 144 * GIB,
}
POWER = {"tpu-v3": 262, "mi250x": 500}
"""The vendor's measured maximum, of which 220 W is the mean; and the design power, of which 560 W is the peak."""
PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "fp8", "fp4", "int8")

OWN = """
schema = 1
[[accelerator]]
id = "mine"
name = "Mine"
vendor = "me"
year = 2026
memory_gb = 10
bandwidth_gbs = 100
tdp_w = 100
tflops = { bf16 = 50 }
sources = ["measured"]
"""


@pytest.fixture(scope="module")
def bundled():
    from scaleplan.files import data_folder

    return Accelerators([data_folder()])


def test_every_accelerator_is_complete(bundled):
    """All tables of the bundled file pass their checks, and each id finds itself."""
    assert len(bundled.all()) == 63
    for accelerator in bundled.all():
        assert bundled.get(accelerator.id) == accelerator
        assert accelerator.as_of == "2026-08"
        assert accelerator.utilisation_class is not None


@pytest.mark.parametrize(
    "typed, ident",
    [
        ("h100", "h100-sxm"),
        ("H100 SXM", "h100-sxm"),
        ("NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("a100", "a100-sxm-80"),
        ("NVIDIA A100-SXM4-40GB", "a100-sxm-40"),
        ("4090", "rtx-4090"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("v100", "v100-sxm2-32"),
        ("Tesla V100-SXM2-16GB", "v100-sxm2-16"),
        ("h200", "h200-sxm"),
        ("b200", "b200"),
        ("trillium", "tpu-v6e"),
        ("TPU_v5p", "tpu-v5p"),
        ("Apple M2 Ultra", "m2-ultra"),
    ],
)
def test_names_that_people_type_are_understood(bundled, typed, ident):
    """Short names, driver names and spellings with other separators find the device."""
    assert bundled.get(typed).id == ident


def test_an_unknown_name_gets_a_suggestion(bundled):
    """The error names the listing command and the closest name."""
    with pytest.raises(UnknownNameError, match="unknown accelerator 'h10o'") as caught:
        bundled.get("h10o")
    assert "did you mean 'h100'?" in caught.value.hint
    assert "scaleplan gpus list" in caught.value.hint


@pytest.mark.parametrize("typed", ["", "nvidia", "-", "\x1b[31m", "h100" * 1000])
def test_a_name_without_substance_is_unknown(bundled, typed):
    """Empty, vendor-only, hostile and endless names are one clear error."""
    with pytest.raises(UnknownNameError):
        bundled.get(typed)


@pytest.mark.parametrize(
    "ident, asked, precision, tera",
    [
        ("h100-sxm", None, "bf16", 989.4),  # dense, not the sparse 1979 of the data sheet's headline
        ("h100-sxm", "FP8", "fp8", 1978.9),
        ("h100-sxm", "fp32", "tf32", 494.7),  # "fp32" training runs its products in tf32
        ("v100", None, "fp16", 125),
        ("t4", None, "fp16", 65),
        ("p100", "fp32", "fp32", 10.6),
        ("rtx-4090", None, "bf16", 165.2),  # fp32 accumulation; 330 is with fp16 accumulation
        ("m1-max", None, "fp16", 10.4),
    ],
)
def test_the_precision_decides_the_peak(bundled, ident, asked, precision, tera):
    """bf16 counts by default, fp16 where there is no bf16, tf32 for fp32 where there is tf32."""
    accelerator = bundled.get(ident)
    assert accelerator.precision(asked) == precision
    assert accelerator.peak(asked) == tera * 1e12


@pytest.mark.parametrize("ident, asked", [("v100", "bf16"), ("a100", "fp8"), ("h100", "fp5")])
def test_an_unsupported_precision_is_refused_with_those_there_are(bundled, ident, asked):
    """V100 has no bf16 and A100 no fp8; the hint lists what they have."""
    with pytest.raises(UsageError, match=f"no known peak in '{asked}'") as caught:
        bundled.get(ident).peak(asked)
    assert "fp16" in caught.value.hint


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference table is not part of the project")
def test_every_figure_is_the_reference_figure(bundled):
    """Each shipped cell equals the reference cell, and exactly the rows with a verified 16-bit peak ship."""
    with REFERENCE.open(newline="") as stream:
        rows = {row["id"]: row for row in csv.DictReader(stream)}
    verified = {ident for ident, row in rows.items() if row["status"] == "VERIFIED"}
    with MORE.open(newline="") as stream:
        more = {row["id"]: row for row in csv.DictReader(stream)}
    rows |= {ident: more[ident] for ident in ("rtx-pro-6000-blackwell", "a10g", "tpu-v4")}  # corrected there
    assert set(bundled.ids()) == verified | {"rtx-pro-6000-blackwell"}
    for accelerator in bundled.all():
        row = rows[accelerator.id]
        for precision in PRECISIONS:
            cell = row[f"{precision}_{'tops' if precision == 'int8' else 'tflops'}"]
            assert accelerator.peaks.get(precision) == (float(cell) * 1e12 if cell else None)
        assert accelerator.memory_bytes == BYTES.get(accelerator.id, float(row["memory_gb"]) * 1e9)
        assert accelerator.bandwidth == float(row["mem_bw_gbs"]) * 1e9
        assert accelerator.tdp_w == POWER.get(accelerator.id, float(row["tdp_w"]))
        assert (accelerator.name, accelerator.vendor, accelerator.year) == (
            row["name"],
            row["vendor"],
            int(row["year"]),
        )
        assert accelerator.link_bandwidth == (float(row["link_gbs_bidir"]) * 1e9 if row["link_gbs_bidir"] else None)


@pytest.mark.skipif(not VISIBLE.exists(), reason="the reference table is not part of the project")
def test_memory_is_what_the_devices_report(bundled):
    """The bytes that nvidia-smi, rocm-smi and vendor pages show, not a marketing figure times 1e9."""
    with VISIBLE.open(newline="") as stream:
        for row in csv.DictReader(stream):
            assert bundled.get(row["id"]).memory_bytes == float(row["bytes_visible"]), row["id"]


def test_every_power_says_what_it_is(bundled):
    """A measured maximum is no design power; chip and host of a TPU v4 are two more numbers, each with its source."""
    chip = bundled.get("tpu-v4")
    assert (chip.tdp_w, chip.tdp_basis, chip.power_w, chip.host_power_w) == (192, "measured maximum", 170, 208.5)
    assert bundled.get("a10g").tdp_w == 300
    assert bundled.get("a10").tdp_w == 150
    for device in bundled.all():
        assert (device.power_w is None and device.host_power_w is None) or device.power_source, device.id


@pytest.mark.parametrize("keys", ["memory_gb = 10\nmemory_gib = 10", ""])
def test_memory_stands_once(tmp_path, keys):
    """Two units of memory contradict each other, and none is a missing figure."""
    (tmp_path / "accelerators.toml").write_text(OWN.replace("memory_gb = 10", keys))
    with pytest.raises(FileError, match="exactly one of memory_bytes, memory_gib and memory_gb"):
        Accelerators([tmp_path]).get("mine")


def test_the_users_file_adds_and_replaces(tmp_path, monkeypatch, bundled):
    """accelerators.toml in the user's preset folder is read after the bundled one and wins."""
    (tmp_path / "accelerators.toml").write_text(OWN + OWN.replace('"mine"', '"h100-sxm"').replace("schema = 1", ""))
    monkeypatch.setenv("SCALEPLAN_PRESETS", str(tmp_path))
    both = Accelerators()
    assert both.get("mine").peak() == 50e12
    assert both.get("mine").utilisation_class is None
    assert both.get("H100").peak() == 50e12
    assert len(both.ids()) == len(bundled.ids()) + 1


@pytest.mark.parametrize(
    "change, error",
    [
        (("tdp_w = 100", "tdp_w = -1"), r"accelerator\[0\].tdp_w: expected a finite number above 0"),
        (("tdp_w = 100", ""), r"accelerator\[0\].tdp_w: this key is missing"),
        (("tdp_w = 100", "tdp_w = 100\ntpd = 3"), r"accelerator\[0\].tpd': unknown key"),
        (("bf16 = 50", "bf17 = 50"), "unknown key"),
        (("bf16 = 50", ""), "expected at least one of"),
        (('id = "mine"', 'id = "mine"\naliases = [""]'), "expected names with letters or digits"),
        (("schema = 1", "schema = 2"), "schema: expected 1"),
        (('id = "mine"', "id = 7"), "expected text"),
    ],
)
def test_a_wrong_file_is_refused_with_its_key(tmp_path, change, error):
    """Bad values, missing and unknown keys name the file and the key path."""
    (tmp_path / "accelerators.toml").write_text(OWN.replace(*change))
    with pytest.raises(FileError, match=error):
        Accelerators([tmp_path]).all()


@pytest.mark.parametrize("second", ['id = "mine"', 'id = "other"\naliases = ["Mine"]'])
def test_a_name_taken_twice_in_a_file_is_refused(tmp_path, second):
    """Two devices of one file cannot share a name."""
    (tmp_path / "accelerators.toml").write_text(OWN + OWN.replace("schema = 1", "").replace('id = "mine"', second))
    with pytest.raises(FileError, match="already names mine"):
        Accelerators([tmp_path])
