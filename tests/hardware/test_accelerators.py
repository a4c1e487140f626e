"""Accelerators: the figures that ship, the names they answer to, the precision that counts."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from scaleplan.errors import FileError, UnknownNameError, UsageError
from scaleplan.files import data_folder
from scaleplan.hardware.accelerators import Accelerators

REFERENCE = Path(__file__).parents[2].parent / "shared" / "reference" / "accelerators.csv"
MORE, VISIBLE = (REFERENCE.with_name(f"accelerators_{name}.csv") for name in ("more", "memory_bytes"))
GIB, MIB = 2**30, 2**20
BYTES = {  # as drivers show them in published logs, beside the table that is compared where it is there
    "v100-sxm2-16": 16160 * MIB,
    "v100-sxm2-32": 32510 * MIB,
    "t4": 15360 * MIB,
    "rtx-3090": 24576 * MIB,
    "rtx-4090": 24564 * MIB,
    "rtx-4070": 12282 * MIB,
    "rtx-a6000": 49140 * MIB,
    "a100-sxm-40": 40960 * MIB,
    "a100-pcie-80": 81920 * MIB,
    "h100-sxm": 81559 * MIB,
    "h100-nvl": 95830 * MIB,
    "h20": 97871 * MIB,
    "a10": 23028 * MIB,
    "a40": 46068 * MIB,
    "gaudi2": 98304 * MIB,
    "mi250x": 2 * 68_702_699_520,
    "mi300x": 206_141_652_992,
    "rx-7900-xtx": 25_753_026_560,
    "m4-max": 128 * GIB,
    "tpu-v4": 32 * GIB,
}
POWER = {"tpu-v3": 262, "mi250x": 500, "mi300a": 550}
"""A vendor's measured maximum, of which 220 W is the mean; and design powers, whose peaks are 560 and 760 W."""
LEFT_OUT = {("h20e", "tdp_w"), ("rx-7900-xtx", "tdp_w"), ("ascend-910c", "int8_tops")}
"""Figures that the notes of the table call remembered, or not sure."""
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
    return Accelerators([data_folder()])


def test_every_accelerator_is_complete(bundled):
    """All tables of the bundled file pass their checks, and each id finds itself."""
    assert len(bundled.all()) == 96
    for accelerator in bundled.all():
        assert bundled.get(accelerator.id) == accelerator
        assert accelerator.as_of == "2026-08"
        assert accelerator.peaks or accelerator.utilisation_class is None, accelerator.id


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
        ("NVIDIA GeForce RTX 5070 Ti", "rtx-5070-ti"),
        ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", "rtx-pro-6000-maxq"),
        ("AMD Radeon RX 7900 XTX", "rx-7900-xtx"),
        ("Intel Arc B580", "arc-b580"),
        ("Apple M5", "m5"),
    ],
)
def test_names_that_people_type_are_understood(bundled, typed, ident):
    """Short names, driver names and spellings with other separators find the device."""
    assert bundled.get(typed).id == ident


def test_an_unknown_name_gets_a_suggestion(bundled):
    """The error names the listing command and the closest name."""
    with pytest.raises(UnknownNameError, match="unknown GPU 'h10o'") as caught:
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


@pytest.mark.parametrize(
    "typed, why",
    [
        ("mi308x", "contradict each other"),
        ("AMD Instinct MI455X", "projections"),
        ("Rubin", "announced"),
        ("Huawei Ascend 910B", "does not say which"),
        ("WSE-3", "dense"),
        ("RTX PRO 6000 Blackwell Server Edition", "rtx-pro-6000-blackwell"),
        ("rtx 3080", r"10 GB \(rtx-3080-10\)"),
    ],
)
def test_a_device_without_figures_says_why(bundled, tmp_path, typed, why):
    """Announced and disputed devices, and names of several, are known and have no row; a user's own row is used."""
    with pytest.raises(UnknownNameError, match=f"unknown GPU '{typed}': .*{why}") as caught:
        bundled.get(typed)
    assert "did you mean" not in caught.value.hint
    (tmp_path / "accelerators.toml").write_text(OWN.replace('"mine"', f'"{typed.casefold()}"'))
    assert Accelerators([data_folder(), tmp_path]).get(typed).peak() == 50e12


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference table is not part of the project")
def test_every_figure_is_the_reference_figure(bundled):
    """Each shipped cell equals the reference cell, and exactly the rows that are verified, or partly, ship."""
    with REFERENCE.open(newline="") as stream:
        rows = {row["id"]: row for row in csv.DictReader(stream) if row["status"] == "VERIFIED"}
    with MORE.open(newline="") as stream:
        more = {row["id"]: row for row in csv.DictReader(stream)}
    for ident, row in more.items():
        if row["status"] in {"VERIFIED", "PARTLY"}:
            rows[ident] = row
        else:
            with pytest.raises(UnknownNameError):
                bundled.get(ident)
    assert set(bundled.ids()) == rows.keys()
    for accelerator in bundled.all():
        row = rows[accelerator.id]
        for name in LEFT_OUT:
            if name[0] == accelerator.id:
                row[name[1]] = ""
        for precision in PRECISIONS:
            cell = row[f"{precision}_{'tops' if precision == 'int8' else 'tflops'}"]
            assert accelerator.peaks.get(precision) == (float(cell) * 1e12 if cell else None)
        assert accelerator.status == {"VERIFIED": "verified", "PARTLY": "partly verified"}[row["status"]]
        assert accelerator.bandwidth == float(row["mem_bw_gbs"]) * 1e9
        if accelerator.id in POWER or row["tdp_w"]:
            assert accelerator.tdp_w == POWER.get(accelerator.id, float(row["tdp_w"]))
        else:  # where the vendor publishes none there is an estimate that says so, or nothing
            assert accelerator.tdp_w is None or accelerator.tdp_estimated
        assert (accelerator.name, accelerator.vendor, accelerator.year) == (
            row["name"],
            row["vendor"],
            int(row["year"]),
        )
        assert accelerator.link_bandwidth == (float(row["link_gbs_bidir"]) * 1e9 if row["link_gbs_bidir"] else None)
        assert accelerator.unified_memory == (row["link"] == "unified memory" or accelerator.id == "mi300a")
        gigabytes = 32 if accelerator.id == "tpu-v4" else float(row["memory_gb"])  # the table has it in bytes
        assert 0.91 < accelerator.memory_bytes / (gigabytes * GIB) <= 1, (
            "GB of a memory are GiB, less ECC and reserves"
        )


@pytest.mark.skipif(not VISIBLE.exists(), reason="the reference table is not part of the project")
def test_memory_is_what_the_devices_report(bundled):
    """The bytes that nvidia-smi, rocm-smi and vendor pages show, not a marketing figure times 1e9."""
    with VISIBLE.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 18
    for row in rows:
        assert bundled.get(row["id"]).memory_bytes == float(row["bytes_visible"]), row["id"]


@pytest.mark.parametrize("ident, visible", BYTES.items())
def test_memory_is_what_published_logs_show(bundled, ident, visible):
    """GiB is GiB: a card of "24 GB" has 24,564 MiB and not 24e9 bytes, and one with ECC less than it is sold with."""
    assert bundled.get(ident).memory_bytes == visible


def test_a_device_without_a_peak_refuses_time_and_cost(tmp_path, bundled):
    """Apple publishes no FLOP/s: time and cost are refused in one line; own rows too."""
    (tmp_path / "accelerators.toml").write_text(OWN.replace("tflops = { bf16 = 50 }", "").replace("tdp_w = 100", ""))
    for device in (bundled.get("m4"), bundled.get("m5-max"), Accelerators([tmp_path]).get("mine")):
        assert device.peaks == {}
        for precision in (None, "bf16", "fp32"):
            with pytest.raises(UsageError, match=f"no peak rate of {device.id} is published") as caught:
                device.peak(precision)
            assert "scaleplan memory" in caught.value.hint


def test_fp32_does_not_pass_for_an_unpublished_16_bit_peak(bundled):
    """GB10 has a peak in fp32 and in fp4 and none in 16 bits: it is not planned on in fp32 unasked."""
    with pytest.raises(UsageError, match="gb10 has no known peak in 'bf16'"):
        bundled.get("gb10").peak()
    assert bundled.get("gb10").peak("fp32") == 31e12


def test_every_power_says_what_it_is(bundled):
    """A measured maximum is no design power; chip and host of a TPU v4 are two more numbers, each with its source."""
    chip = bundled.get("tpu-v4")
    assert (chip.tdp_w, chip.tdp_basis, chip.power_w, chip.host_power_w) == (192, "measured maximum", 170, 208.5)
    assert bundled.get("a10g").tdp_w == 300
    assert bundled.get("a10").tdp_w == 150
    assert (bundled.get("mi300a").tdp_w, bundled.get("h20e").tdp_w) == (550, None)
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
        (("bandwidth_gbs = 100", ""), r"accelerator\[0\].bandwidth_gbs: this key is missing"),
        (("tdp_w = 100", 'tdp_w = 100\nstatus = "sure"'), "status: expected one of verified, partly verified"),
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
