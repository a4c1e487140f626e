"""Prices: dated defaults, named alternatives, the user's own."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from scaleplan.errors import FileError, UnknownNameError, UsageError
from scaleplan.files import data_folder
from scaleplan.hardware.accelerators import Accelerators
from scaleplan.hardware.prices import Prices

REFERENCE = Path(__file__).parents[2].parent / "shared" / "reference" / "prices.csv"


@pytest.fixture(scope="module")
def prices():
    return Prices([data_folder()])


@pytest.mark.parametrize(
    "gpu, usd",
    [
        ("h100-sxm", 2.95),
        ("h200-sxm", 3.75),
        ("b200", 5.5),
        ("a100-sxm-80", 1.5),
        ("v100-sxm2-32", 0.4),
        ("tpu-v4", 3.22),
    ],
)
def test_common_accelerators_have_a_dated_default(prices, gpu, usd):
    """The default is a round market figure with its date and source."""
    price = prices.default(gpu)
    assert (price.usd_per_hour, price.commitment) == (usd, "default")
    assert price.date
    assert price.source
    assert prices.named(gpu, "default") == price


@pytest.mark.parametrize("gpu", ["mi300x", "tpu-v5p", "gaudi2", "trn1", "rtx-5090"])
def test_a_price_nobody_recorded_is_not_made_up(prices, gpu):
    """Accelerators without a sourced price have neither a default nor a listed price."""
    assert prices.default(gpu) is None
    assert prices.listed(gpu) == ()
    with pytest.raises(UsageError, match=f"no spot price for {gpu}"):
        prices.named(gpu, "spot")


@pytest.mark.parametrize(
    "gpu, name, usd, date",
    [
        ("h100-sxm", "spot", 1.25, "2025"),
        ("h100-sxm", "on-demand", 2.95, "2026-05"),  # the newest; of that month the cheaper of 2.95 and 3.00
        ("h100-sxm", "reserved-1y", 2.35, "2026-03"),
        ("h100-sxm", "Reserved-1y, Hyperscaler", 7.67, "2025-03-17"),
        ("h100-sxm", "hyperscaler on-demand", 6.88, "2026-03"),
        ("rtx-4090", "peer-to-peer", 0.35, "2025-03-03"),
        ("h800-sxm", "paper", 2.0, "2024-12"),  # the nominal rate of the DeepSeek-V3 report
    ],
)
def test_a_name_finds_the_newest_matching_price(prices, gpu, name, usd, date):
    """Commitment, kind of provider, or both; the newest counts, then the cheapest."""
    price = prices.named(gpu, name)
    assert (price.usd_per_hour, price.date) == (usd, date)


@pytest.mark.parametrize("name", ["sopt", "", "spot cheap"])
def test_an_unknown_name_is_refused(prices, name):
    """Words that are neither a commitment nor a kind of provider are not ignored."""
    with pytest.raises(UnknownNameError, match="unknown price"):
        prices.named("h100-sxm", name)


def test_a_missing_price_says_which_there_are(prices):
    """The hint lists what is known for this accelerator."""
    with pytest.raises(UsageError) as caught:
        prices.named("a100-sxm-80", "spot")
    assert caught.value.hint.endswith("known for a100-sxm-80: on-demand, reserved-1y, reserved-3y")


def test_every_priced_accelerator_exists(prices):
    """A price is filed under the id of an accelerator that ships."""
    ids = set(Accelerators([data_folder()]).ids())
    assert {price.accelerator for price in (*prices.listed(), *prices._defaults.values())} <= ids


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference table is not part of the project")
def test_the_listed_prices_are_the_reference_prices(prices):
    """Every recorded row ships, and no row that was written from memory."""
    ids = Accelerators([data_folder()]).ids()
    with REFERENCE.open(newline="") as stream:
        expected = sorted(
            (row["accelerator"], float(row["usd_per_hour"]), row["commitment"], row["date"])
            for row in csv.DictReader(stream)
            if row["source"] != "memory" and row["accelerator"] in ids
        )
    assert sorted((p.accelerator, p.usd_per_hour, p.commitment, p.date) for p in prices.listed()) == expected


OWN = """
schema = 1
[[default]]
accelerators = ["h100-sxm", "mi300x"]
usd_per_hour = 1.75
date = "2026-07"
source = "our contract"
[[price]]
accelerator = "h100-sxm"
usd_per_hour = 0.99
commitment = "spot"
provider_class = "specialist"
date = "2024"
source = "our contract"
"""


def test_the_users_prices_come_first(tmp_path):
    """A default replaces the bundled one; listed prices replace those of the same kind, whatever their date."""
    (tmp_path / "prices.toml").write_text(OWN)
    both = Prices([data_folder(), tmp_path])
    assert both.default("mi300x").usd_per_hour == 1.75
    assert both.default("h100-sxm").usd_per_hour == 1.75
    assert both.named("h100-sxm", "spot").usd_per_hour == 0.99
    assert both.named("h100-sxm", "reserved-1y").usd_per_hour == 2.35


@pytest.mark.parametrize(
    "old, new",
    [("usd_per_hour = 1.75", "usd_per_hour = 0"), ("commitment", "comitment"), ("[[price]]", "[[prices]]")],
)
def test_a_wrong_price_file_is_refused(tmp_path, old, new):
    """Free hardware, misspelt keys and misspelt tables are errors with the file's name."""
    (tmp_path / "prices.toml").write_text(OWN.replace(old, new))
    with pytest.raises(FileError, match=r"prices\.toml: "):
        Prices([tmp_path])
