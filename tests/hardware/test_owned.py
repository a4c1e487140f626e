"""The price of hardware of one's own, and answers in another currency."""

from __future__ import annotations

import pytest

import scaleplan as sp
from scaleplan.errors import QuantityError, ScaleplanError, UsageError

OWNED = "price=30k USD, years=4, use=70%, overhead=20%"
HOURS = {"gpu_hours": 1000, "gpu": "h100-sxm", "mfu": 0.4}
EURO = "1 EUR = 1.08 USD"


def test_the_price_of_an_hour_is_capital_and_power():
    """Worked by hand: 30,000 x 1.2 over 4 x 8,766 x 0.7 hours, and the power of chip and host times the PUE."""
    found = sp.convert(**HOURS, owned=OWNED, power_price="0.08 USD/kWh", pue=1.25)
    assert found.owned.capital_per_hour == pytest.approx(36_000 / 24_544.8)
    kw = (found.chip_w + found.host_w) / 1000 * 1.25
    assert found.owned.power_per_hour == pytest.approx(kw * 0.08)
    assert found.price_per_hour == pytest.approx(36_000 / 24_544.8 + kw * 0.08)
    assert found.cost == pytest.approx(1000 * found.price_per_hour)
    # the part of the bill that is power is the energy of the bill at the price of power
    assert found.cost - 1000 * found.owned.capital_per_hour == pytest.approx(found.energy_kwh * 0.08)
    assert found.price_source.startswith("owned: ")
    assert found.price_source.count("(given)") == 2


def test_a_reserved_server_slot_of_the_field_notes():
    """$31,000 over 4 years at 80 % is about $1.1 an hour before power."""
    found = sp.convert(**HOURS, owned="price=31,000, years=4, use=80%")
    assert found.price_per_hour == pytest.approx(1.1, abs=0.01)
    assert [notice.code for notice in found.warnings] == ["power_not_priced"]


def test_a_converted_price_of_power_is_told_in_three_digits():
    """As every figure that is computed; one that was given as it was given."""
    options = {**HOURS, "owned": OWNED, "exchange_rate": EURO}
    assert "at 0.0741 EUR/kWh" in sp.convert(**options, power_price="0.08 USD").price_source
    assert "at 0.08 EUR/kWh" in sp.convert(**options, power_price="0.08 EUR").price_source


def test_a_limit_on_money_without_a_currency_is_shown_as_it_was_given():
    """With the two ways to say which one is meant; a single limit needs no list."""
    with pytest.raises(QuantityError) as caught:
        sp.optimal(flops=1e22, gpu="h100-sxm", exchange_rate=EURO, limit="cost <= 20k")
    assert caught.value.text == "cost <= 20k"
    assert caught.value.hint == "write cost <= 20k EUR or cost <= 20k USD"


def test_sunk_capital_costs_its_power_alone():
    """The money of a budget buys energy then."""
    found = sp.convert(cost=1000, gpu="h100-sxm", mfu=0.4, owned="sunk", power_price="0.10")
    assert found.cost == 1000
    assert found.energy_kwh == pytest.approx(10_000)
    assert found.owned.capital_per_hour == 0


@pytest.mark.parametrize(
    "options, said",
    [
        ({"power_price": 0.08}, "a rented price has the power in it"),
        ({"owned": OWNED, "price": 2}, "--price and --owned"),
        ({"owned": "sunk"}, "costs its power alone"),
        ({"owned": "30k"}, "does not say what a GPU costs"),
        ({"owned": "price=30k, years=4"}, "lacks use"),
        ({"owned": "price=30k, years=400, use=1"}, "longer than any device"),
        ({"owned": "price=30k, years=4, use=1, power=3"}, "no part"),
        ({"owned": "price=30k EUR, years=4, use=1"}, "another currency"),
        ({"owned": "price=30k, years=4, use=140%"}, "not a fraction"),
    ],
)
def test_what_is_no_price_is_refused(options, said):
    """A wrong figure is named."""
    with pytest.raises(ScaleplanError, match=said):
        sp.convert(**HOURS, **options)


def test_a_file_of_ones_own_prices_ones_own_hardware(tmp_path, monkeypatch):
    """An [[owned]] table has the same keys; a price that is typed wins over it."""
    (tmp_path / "prices.toml").write_text(
        'schema = 1\n[[owned]]\naccelerators = ["h100-sxm"]\nprice = 30_000\nyears = 4\nuse = 0.7\noverhead = 0.2\n'
        'power_price = 0.08\ndate = "2026-05"\nsource = "our purchasing"\n',
        encoding="utf-8",
    )
    monkeypatch.setenv("SCALEPLAN_PRESETS", str(tmp_path))
    found = sp.convert(**HOURS)
    assert found.price_per_hour == sp.convert(**HOURS, owned=OWNED, power_price=0.08).price_per_hour
    assert found.price_source.count("(our purchasing)") == 2
    assert found.price_date == "2026-05"
    assert sp.convert(**HOURS, price=2.5).price_per_hour == 2.5
    assert sp.convert(**HOURS, exchange_rate=EURO).price_per_hour == pytest.approx(found.price_per_hour / 1.08)
    shown = next(gpu for gpu in sp.list_gpus(vendor="nvidia").gpus if gpu.id == "h100-sxm")
    assert shown.default_usd_per_hour == found.price_per_hour
    dearer = sp.convert(**HOURS, power_price="0.16")
    assert dearer.price_per_hour - found.price_per_hour == pytest.approx(found.owned.power_per_hour)


# ---- another currency ----------------------------------------------------------------------------------------------


def test_an_answer_is_the_same_in_another_currency():
    """Every amount of money is divided by the rate, and nothing else changes."""
    dollars = sp.optimal(cost="270k USD", gpu="h100-sxm")
    euros = sp.optimal(cost="250k EUR", gpu="h100-sxm", exchange_rate=EURO)
    assert (dollars.budget.currency, euros.budget.currency) == ("USD", "EUR")
    assert euros.params == dollars.params
    assert euros.budget.cost == 250_000
    assert euros.budget.cost_usd == pytest.approx(dollars.budget.cost)
    assert euros.budget.price_per_hour * 1.08 == pytest.approx(dollars.budget.price_per_hour)
    assert euros.budget.exchange_rate == 1.08
    assert euros.budget.price_source.endswith("at 1 EUR = 1.08 USD (given)")


@pytest.mark.parametrize("limit", ["cost <= 50k EUR", "cost <= 54k USD"])
def test_limits_are_in_either_currency(limit):
    """Both bind at the same plan."""
    plan = sp.optimal(cost="250k EUR", gpu="h100-sxm", exchange_rate=EURO, limit=[limit])
    own = sp.optimal(cost="50k EUR", gpu="h100-sxm", exchange_rate=EURO)
    assert plan.params == pytest.approx(own.params, rel=0.02)
    assert [each.limit for each in plan.binding] == [limit]


def test_money_for_inference_is_in_the_same_currency():
    """Training and inference are added up in one."""
    options = {"flops": 1e23, "gpu": "h100-sxm", "inference_tokens": 1e12, "inference_mfu": 0.1}
    dollars = sp.optimal(**options, inference_price="1 USD")
    euros = sp.optimal(**options, inference_price="1 USD", exchange_rate=EURO)
    assert euros.params == dollars.params
    assert euros.total_cost * 1.08 == pytest.approx(dollars.total_cost)


@pytest.mark.parametrize(
    "options",
    [
        {"cost": "250k EUR"},
        {"cost": "250k", "exchange_rate": EURO},
        {"cost": 250e3, "exchange_rate": EURO},
        {"cost": "250k GBP", "exchange_rate": EURO},
        {"cost": "250k EUR", "exchange_rate": EURO, "limit": ["cost <= 200k"]},
        {"cost": "250k", "limit": ["cost <= 200k EUR"]},
        {"cost": "250k USD", "price": "2 EUR/h"},
    ],
)
def test_money_without_a_rate_or_a_currency_is_refused(options):
    """Nothing is guessed."""
    with pytest.raises(QuantityError):
        sp.optimal(gpu="h100-sxm", **options)


def test_a_sweep_over_money_is_in_its_currency():
    """Both ends may name either currency."""
    found = sp.sweep(start="10k EUR", stop="108k USD", points=3, by="cost", gpu="h100-sxm", exchange_rate=EURO)
    assert [plan.budget.cost for plan in found] == pytest.approx([10_000, 31_622.8, 100_000], rel=1e-5)


def test_a_rate_without_hardware_is_refused():
    """There is no money to convert."""
    with pytest.raises(UsageError, match="--exchange-rate says nothing"):
        sp.optimal(flops=1e21, exchange_rate=EURO)
