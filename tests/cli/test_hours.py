"""Hours, days, money and energy on the command line: each with its band and its origin, in every command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.cli.conftest import command_line

CLUSTER = ("--gpus", "64", "--gpu", "h100-sxm")
ASK = {
    "optimal": ("optimal", "--flops", "1e22", *CLUSTER),
    "optimal by time": ("optimal", "--time", "30d", *CLUSTER),
    "optimal drawn out": ("optimal", "--time", "30d", "--shape", *CLUSTER),
    "loss": ("loss", "--params", "7B", "--tokens", "1T", *CLUSTER),
    "target": ("target", "--params", "7B", *CLUSTER),
    "sweep": ("sweep", "--from", "1e21", "--to", "1e22", "--points", "3", *CLUSTER),
    "compare": ("compare", "--time", "30d", "--preset", "besiroglu-2024", "--preset", "muennighoff-2023", *CLUSTER),
    "marginal": ("marginal", "--flops", "1e22", *CLUSTER),
    "convert": ("convert", "--flops", "1e22", "--params", "7B", *CLUSTER),
    "precisions": ("precisions", "--time", "30d", *CLUSTER),
    "hyperparameters": ("hyperparameters", "--flops", "1e22", *CLUSTER),
    "loss by a deadline": ("loss", "--params", "7B", "--tokens", "1T", "--gpu", "h100-sxm", "--time", "30d"),
    "target by a deadline": ("target", "--loss", "2.2", "--time", "30d", "--cost", "20k", *CLUSTER),
    "convert by a deadline": ("convert", "--flops", "1e22", "--params", "7B", "--time", "30d", *CLUSTER),
}
NOT_OF_ONE = ("precisions", "loss by a deadline")  # the speed of some GPUs says nothing of others
MEASURED = {name: words for name, words in ASK.items() if name not in NOT_OF_ONE}


@pytest.mark.parametrize("words", ASK.values(), ids=ASK)
def test_every_command_prints_the_band_and_the_price(words):
    """Text: 1.6x either way or the range itself at 80 %, and the price with its source and date."""
    found = command_line(*words, "--quiet")
    assert found.status == 0
    assert "80 %" in found.out
    assert "price: $2.95/h, default of 2026-05: round figure" in " ".join(found.out.split())


@pytest.mark.parametrize("words", ASK.values(), ids=ASK)
def test_every_command_dates_a_named_price(words):
    """``--price spot`` has its source and its date, too."""
    found = command_line(*words, "--price", "spot", "--quiet")
    assert found.status == 0
    assert re.search(r"\$\d+\.\d+/h, spot, [^:]+ of \d{4}[-\d]*: \w", " ".join(found.out.split())), found.out


@pytest.mark.parametrize(
    "words, line",
    [
        (
            "loss --params 7B --tokens 2T --time 30d",
            "144 x h100-sxm in the median, 233 to be 90 % sure; in servers of 8: 144",
        ),
        (
            "convert --flops 1e23 --params 7B --time 30d",
            "30.0 days take 172 x h100-sxm in the median, 279 to be 90 %",
        ),
        ("convert --flops 1e23 --params 7B --time 30d --gpus 128", "chance of keeping 30.0 days: 22 %"),
        ("target --loss 2.1 --time 30d --gpus 64 --cost 70k", "chance of keeping 30.0 days: 94 %, $70,000: 41 %"),
        ("optimal --flops 1e23 --gpus 100 --limit days<=20", "chance of keeping 20.0 days: 50 %"),
        ("optimal --time 30d --gpus 64", "chance of keeping 30.0 days: 50 %"),
        ("convert --gpu-hours 7200 --time 30d", "30.0 days take 10 x h100-sxm; in servers of 8: 16 10 x"),
    ],
)
def test_deadlines_and_chances_are_told(words, line):
    """In one line each, below the bill."""
    found = command_line(*words.split(), "--gpu", "h100-sxm", "--quiet")
    assert line in " ".join(found.out.split()), found.out


def test_the_report_tells_the_chance():
    """Of a limit, beside the bill."""
    words = (
        "report",
        "--flops",
        "1e22",
        "--gpus",
        "16",
        "--gpu",
        "h100-sxm",
        "--limit",
        "days <= 40",
        "-o",
        "page.html",
    )
    assert command_line(*words, "--quiet").status == 0
    assert "Chance of keeping 40.0 days: 74 %" in Path("page.html").read_text()


def test_a_policy_tells_its_chance():
    """In the message, which annotations show, and in JSON."""
    project(RUN)
    found = command_line("check", "--limit", "days <= 60", "--json")
    verdict = found.json["verdicts"][0]
    assert verdict["message"] == f"days 67.0 > 60 ({round(100 * verdict['chance'])} % chance to keep it)"
    found = command_line("check", "--limit", "days@80% <= 60", "--format", "github")
    assert "(estimate 67.0, 38 %25 chance to keep it)" in found.out


@pytest.mark.parametrize("words", MEASURED.values(), ids=MEASURED)
def test_every_command_takes_a_measurement(words):
    """No band then: the text says that it is measured, and every paid hour is taken to run so."""
    found = command_line(*words, "--measured", "410k tokens/s at 7B", "--quiet")
    assert (found.status, found.err) == (0, "")
    assert "measured: 410k tokens/s at 7B" in " ".join(found.out.split())
    assert "either way" not in found.out
    both = command_line(*words, "--measured", "410k tokens/s at 7B", "--mfu", "0.4")
    assert (both.status, "--measured and --mfu both say" in both.err) == (2, True)


def test_precisions_compares_speeds_and_takes_none():
    """A measurement is that of one precision."""
    found = command_line(*ASK["precisions"], "--measured", "420 TFLOP/s")
    assert (found.status, "--measured is what this command compares" in found.err) == (2, True)


@pytest.mark.parametrize("name", ["optimal", "optimal by time", "loss", "target"])
def test_json_has_the_intervals_beside_the_values(name):
    """Keys of their own: each value times and over the band, and the level."""
    budget = command_line(*ASK[name], "--json").json["budget"]
    assert (budget["band"], budget["interval_level"]) == (1.6, 0.8)
    for key in ("gpu_hours", "days", "cost", "energy_kwh"):
        assert budget[f"{key}_interval"] == pytest.approx([budget[key] / 1.6, budget[key] * 1.6])
    assert (budget["price_date"], budget["price_source"].partition(":")[0]) == ("2026-05", "default")
    bought = budget["bought_flops_interval"]
    assert (bought is None) == (name != "optimal by time")


def test_a_budget_in_time_says_what_it_may_buy():
    """The other direction: the same default, the same band, on the compute."""
    found = command_line(*ASK["optimal by time"], "--quiet").out
    assert "GPU-hours do 2.4e22 – 6.14e22 FLOP (80 %)" in found


@pytest.mark.parametrize(
    "amount, exact, ranged",
    [
        (("--flops", "1e22"), "flops", "gpu_hours"),
        (("--gpu-hours", "10k"), "gpu_hours", "flops"),
        (("--cost", "10k"), "cost", "flops"),
        (("--energy", "10 MWh"), "energy_kwh", "flops"),
    ],
)
def test_a_conversion_ranges_what_it_does_not_know(amount, exact, ranged):
    """The amount that is given is exact, and what a utilisation makes of it has the band."""
    found = command_line("convert", *amount, "--gpu", "h100-sxm", "--params", "7B", "--json").json
    assert found[f"{exact}_interval"] is None
    assert found[f"{ranged}_interval"] == pytest.approx([found[ranged] / 1.6, found[ranged] * 1.6])


@pytest.mark.parametrize(
    "price, text",
    [
        ("spot", "price: $1.25/h, spot, specialist (Nebius) of 2025: SkyPilot catalog"),
        ("reserved-1y", "price: $2.35/h, reserved-1y, market index (SemiAnalysis) of 2026-03: market write-up"),
        ("3.10", "price: $3.10/h, given"),
    ],
)
def test_a_price_has_its_source_and_its_date(price, text):
    """Whichever price was chosen, wherever it was used."""
    for name in ("optimal", "sweep", "convert", "marginal", "optimal drawn out"):
        found = command_line(*ASK[name], "--price", price, "--quiet").out
        assert text in " ".join(found.split()), name


def test_a_given_utilisation_is_told_as_given():
    """No band, and what is assumed in its place."""
    found = command_line(*ASK["optimal"], "--mfu", "0.4", "--quiet").out
    assert "at 40 % utilisation (given; assumed for every paid hour)" in " ".join(found.split())
    assert "either way" not in found


def test_the_energy_of_palm_is_what_was_published():
    """8.4M chip-hours at 378.5 W with the host and a PUE of 1.08: 3,436 MWh, in three numbers."""
    words = ("convert", "--gpu-hours", "8404992", "--gpu", "tpu-v4", "--params", "540B", "--pue", "1.08")
    found = command_line(*words, "--json").json
    assert found["energy_kwh"] == pytest.approx(3.436e6, rel=1e-3)
    assert (found["chip_w"], found["host_w"], found["pue"]) == (170, 208.5, 1.08)
    text = " ".join(command_line(*words).out.split())
    assert "power: 170 W for each chip and 208 W for its host, times a PUE of 1.08" in text


RUN = '[[run]]\nname = "base"\nparams = "7B"\ntokens = "2T"\ngpu = "h100-sxm"\ngpus = 64\n'


def project(text):
    """Write a project into the working folder."""
    Path("scaleplan.toml").write_text(text)


def test_check_and_diff_say_the_band():
    """The bill that a reviewer reads has its range; a limit at a confidence uses it."""
    project(RUN)
    found = command_line("check")
    assert "GPU-hours, days, cost, energy and carbon: 1.6x either way, 80 %" in found.out
    checked = command_line("check", "--json").json["runs"][0]
    for name in ("gpu_hours", "days", "cost", "energy_kwh"):
        value = checked["values"][name]
        assert checked["intervals"][name] == pytest.approx([value / 1.6, value * 1.6])
    cost = checked["values"]["cost"]
    found = command_line("check", "--limit", f"cost <= {1.01 * cost:.0f}")
    assert found.status == 0
    assert "$303,000 ($190,000 – $485,000; 51 % chance to keep it)" in " ".join(found.out.split())
    assert command_line("check", "--limit", f"cost@80% <= {1.59 * cost:.0f}").status == 1
    assert command_line("check", "--limit", f"cost@80% <= {1.61 * cost:.0f}").status == 0
    assert command_line("check", "--limit", f"cost@95% <= {1.61 * cost:.0f}").status == 1
    Path("other.toml").write_text(RUN.replace("2T", "3T"))
    assert "1.6x either way, 80 %" in command_line("diff", "scaleplan.toml", "other.toml").out


@pytest.mark.parametrize(
    "limit, chance",
    [("cost <= {0}", 0.5), ("cost <= {1}", 0.9), ("cost > {1}", 0.1), ("cost <= {2}", 0.1), ("params <= 8B", None)],
)
def test_a_limit_has_its_chance(limit, chance):
    """The band is 80 % of a normal distribution of the logarithm: a tenth lies beyond each end."""
    project(RUN)
    cost = command_line("check", "--json").json["runs"][0]["values"]["cost"]
    text = limit.format(*(f"{value:.2f}" for value in (cost, cost * 1.6, cost / 1.6)))
    verdict = command_line("check", "--limit", text, "--json").json["verdicts"][0]
    assert verdict["chance"] == (None if chance is None else pytest.approx(chance, abs=1e-3))


def test_a_measurement_is_a_key_of_a_run():
    """It wins over a default of the file, and excludes another speed of the run."""
    project("[defaults]\nmfu = 0.4\n" + RUN + 'measured = "410k tokens/s"\n')
    days = command_line("check", "--json").json["runs"][0]["values"]["days"]
    assert days == pytest.approx(2e12 / 410e3 / 86_400)
    project(RUN + 'measured = "410k tokens/s"\nmfu = 0.4\n')
    found = command_line("check")
    assert (found.status, "--measured and --mfu both say" in " ".join(found.out.split())) == (2, True)
    project(RUN + "measured = 410000\n")
    assert command_line("check").status == 2


def test_what_is_typed_wins_over_a_setting_of_another_speed(monkeypatch):
    """A standing --mfu does not stand in the way of a measurement, nor the other way round; two typed ones do."""
    monkeypatch.setenv("SCALEPLAN_MFU", "0.4")
    words = ("loss", "--params", "7B", "--tokens", "1T", *CLUSTER, "--json")
    assert command_line(*words).json["budget"]["mfu"] == 0.4
    measured = command_line(*words, "--measured", "410k tokens/s").json["budget"]
    assert measured["utilisation_source"] == "measured: 410k tokens/s"
    monkeypatch.delenv("SCALEPLAN_MFU")
    Path("scaleplan.toml").write_text('[defaults]\nmeasured = "300 TFLOP/s"\n')
    assert command_line(*words).json["budget"]["mfu"] == pytest.approx(300 / 989.4)
    assert command_line(*words, "--profile", "project").json["budget"]["profile"] == "project"


def test_what_is_saved_is_shown_again():
    """The new keys of plans, conversions, checks and marginal gains come back as they were."""
    project(RUN)
    for words in (*ASK.values(), ("check",)):
        first = command_line(*words, "--json")
        Path("saved.json").write_text(first.out)
        assert json.loads(command_line("show", "saved.json", "--json").out) == json.loads(first.out)
