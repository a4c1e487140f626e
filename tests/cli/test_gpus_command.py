"""GPUs side by side: each row is the plan of its own, and files of one's own are checked with their lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.conftest import command_line

import scaleplan as sp
from scaleplan.errors import UnknownNameError, UsageError

GPUS = """\
schema = 1

[[accelerator]]
id = "our-b200"
name = "B200 of our cluster"
vendor = "NVIDIA"
year = 2025
memory_gb = 192
bandwidth_gbs = 8000
class = "blackwell"
sources = ["our acceptance tests, 2026-10"]
tflops = { bf16 = 2250 }
"""
PRICES = """\
schema = 1

[[default]]
accelerators = ["our-b200"]
usd_per_hour = 2.40
date = "2026-10"
source = "our contract"
"""


@pytest.fixture(scope="module")
def run():
    """Return three GPUs for one run and a deadline; one of them is too small for the number that is given."""
    return sp.compare_gpus(["rtx-4090", "h100-sxm", "b200"], params="70B", tokens="200B", gpus=8, region="FRA")


@pytest.mark.parametrize(
    "options, ask",
    [
        ({"params": "7B", "tokens": "2T", "time": "30d"}, sp.loss),
        ({"loss": 2.2, "time": "30d"}, sp.target),
        ({"cost": "50k", "gpus": 8}, sp.optimal),
        ({"gpus": 64, "time": "30d"}, sp.optimal),
        ({"flops": 1e22, "gpus": 16, "limit": ["params <= 7B"]}, sp.optimal),
    ],
)
def test_each_row_is_the_plan_of_its_gpu(options, ask):
    """The same figures as the command for one GPU gives, whatever is asked for."""
    found = sp.compare_gpus(["h100-sxm", "a100-sxm-80"], **options)
    assert {row.gpu for row in found.compared} == {"h100-sxm", "a100-sxm-80"}
    for row in found.compared:
        plan = ask(gpu=row.gpu, **options)
        assert (row.flops, row.params, row.tokens, row.loss) == (plan.flops, plan.params, plan.tokens, plan.loss)
        for name in ("gpus", "days", "days_interval", "cost", "cost_interval", "energy_kwh", "price_date"):
            assert getattr(row, name) == getattr(plan.budget, name), name
        assert row.chances == plan.chances


def test_memory_is_judged_as_by_the_command(run):
    """8 cards of 24 GB do not hold 70B, and how many do is told; the row stays."""
    rows = {row.gpu: row for row in run.compared}
    assert [rows[name].fits for name in ("rtx-4090", "h100-sxm", "b200")] == [False, False, True]
    for name, row in rows.items():
        assert row.fewest_gpus == sp.memory("70B", gpu=name).fewest_devices
    assert [row.cost for row in run.compared] == sorted(row.cost for row in run.compared)
    assert all(row.carbon_kg == pytest.approx(row.energy_kwh * 0.056) for row in run.compared)
    assert run.grid == "FRA"


def test_without_a_number_each_has_the_fewest_that_hold_the_model():
    """Also of a budget, whose model depends on the number that it is trained on."""
    for options in ({"params": "13B", "tokens": "1T"}, {"cost": "20k"}):
        for row in sp.compare_gpus(["rtx-4090", "h100-sxm"], **options).compared:
            assert row.gpus_source == "memory"
            assert row.gpus == row.fewest_gpus
            assert row.fits


def test_the_usual_ones_have_a_price_and_a_peak():
    """Those of a vendor without any price are all of it; what cannot be told is named, not hidden."""
    usual = sp.compare_gpus(flops=1e21)
    assert {"h100-sxm", "a100-sxm-80", "rtx-4090", "b200", "tpu-v5e"} <= {row.gpu for row in usual.compared}
    assert all(row.cost is not None and row.price_date and row.price_source for row in usual.compared)
    amd = sp.compare_gpus(vendor="amd", params="7B", tokens="1T")
    assert "mi300x" in {row.gpu for row in amd.compared}
    assert amd.sort == "gpu_hours"
    assert any(each.code == "left_out" and "rx-7900-xtx" in each.message for each in amd.warnings)
    dear = sp.compare_gpus(["h100-sxm", "a40"], cost="10k")
    assert [row.gpu for row in dear.compared] == ["h100-sxm"]
    assert [each.message for each in dear.warnings if each.code == "left_out"] == [
        "a40 is left out: --cost needs a price for a40"
    ]


@pytest.mark.parametrize(
    "sort, name", [("days", "days"), ("energy_kwh", "energy_kwh"), ("loss", "loss"), (None, "loss")]
)
def test_rows_are_sorted(sort, name):
    """Of a budget by the loss that it reaches, unless another order is named."""
    found = sp.compare_gpus(["rtx-4090", "h100-sxm", "a100-sxm-80"], cost="50k", sort=sort)
    values = [getattr(row, name) for row in found.compared]
    assert values == sorted(values)


@pytest.mark.parametrize(
    "options, error",
    [
        ({}, "there is no budget"),
        ({"loss": 2.1, "flops": 1e22}, "--flops is another question beside --loss"),
        ({"loss": 2.1, "params": "7B"}, "--params is another question beside --loss"),
        ({"params": "7B", "tokens": "1T", "gpu_hours": "10k"}, "--gpu-hours is another question beside --params"),
        ({"flops": 1e22, "measured": "410k tokens/s at 7B"}, "--measured is the speed of one GPU"),
        ({"flops": 1e22, "gpu": "h100"}, "--gpu says nothing about a comparison"),
        ({"flops": 1e22, "names": ["h100"], "vendor": "amd"}, "--vendor chooses among all"),
        ({"flops": 1e22, "vendor": "acme"}, "unknown vendor"),
        ({"flops": 1e22, "sort": "colour"}, "unknown order"),
        (
            {"flops": 1e22, "names": ["h100", "b200"], "sort": "carbon_kg"},
            "--sort carbon_kg needs what is known of no",
        ),
        ({"flops": 1e22, "names": ["nosuch"]}, "unknown GPU"),
        ({"cost": 1e4, "names": ["a40"]}, "--cost needs a price for a40"),
    ],
)
def test_what_is_no_comparison_is_refused(options, error):
    """In one line, with the option that is too much."""
    with pytest.raises((UsageError, UnknownNameError), match=error):
        sp.compare_gpus(**options)


def test_the_table_fits_a_narrow_terminal():
    """80 columns, with money and its range, what does not fit, and every price with its source and date."""
    words = ("gpus", "compare", "--params", "70B", "--tokens", "200B", "--gpus", "8", "--time", "60d", "--quiet")
    found = command_line(*words)
    assert found.status == 0
    table = found.out.split("\n\n")[1]
    assert max(map(len, table.splitlines())) <= 80
    assert "needs 17" in table
    assert "$293,000  $183,000 – $469,000" in table
    text = " ".join(found.out.split())
    assert "h100-sxm $2.95/h" in text
    assert "default of 2026-05: round figure" in text
    assert "chance of keeping 60.0 days: < 1 % on each" in text


@pytest.mark.parametrize(
    "budget, amount, said",
    [
        (("--flops", "1e22"), 1e22, "what 1e22 FLOP buys"),
        (("--cost", "200k"), 2e5, "what $200,000 buys"),
        (("--gpu-hours", "20k"), 2e4, "what 20,000 GPU-hours buy"),
    ],
)
def test_the_title_has_the_budget_and_not_what_a_limit_leaves_of_it(budget, amount, said):
    """Where a limit keeps each GPU from spending it, each row has the run that it buys, and what it spends."""
    found = command_line(
        "gpus", "compare", "h100-sxm", "a100-sxm-80", *budget, "--gpus", "64", "--limit", "days <= 3"
    )
    assert found.out.startswith(said + ": 2 kinds of GPU")
    assert "params" in found.out.splitlines()[2]
    assert all(spent in found.out for spent in ("$13,600", "$6,910"))
    form = budget[0].removeprefix("--").replace("-", "_")
    result = sp.compare_gpus(["h100-sxm", "a100-sxm-80"], gpus=64, limit="days <= 3", **{form: amount})
    assert result.budget_amount == amount
    (unspent,) = [notice.message for notice in result.warnings if "unspent" in notice.message]
    assert "77 %" in unspent or ("h100-sxm" in unspent and "a100-sxm-80" in unspent)  # the same of both, or of each


def test_a_deadline_that_is_the_budget_stands_in_the_title():
    """In days, though a limit on money ends each run sooner."""
    found = sp.compare_gpus(["h100-sxm", "a100-sxm-80"], gpus=64, time="20d", limit="cost <= 10k")
    assert found.budget_amount == pytest.approx(20)
    assert str(found).startswith("what 64 GPUs do in 20.0 days")
    assert "days" in str(found).splitlines()[2]


def test_notes_of_a_law_are_those_of_all_gpus():
    """Several of one kind are all told, none as if it were of one GPU."""
    messages = [each.message for each in sp.compare_gpus(["h100", "b200"], flops=1e20, preset="kaplan-2020").warnings]
    plan = [each.message for each in sp.optimal(flops=1e20, preset="kaplan-2020").warnings]
    assert len(plan) > 1
    assert set(plan) <= set(messages)


def test_rows_and_fields():
    """CSV has a row for each GPU, and fields can be chosen."""
    words = ("gpus", "compare", "h100-sxm", "b200", "--params", "7B", "--tokens", "1T", "--quiet")
    csv = command_line(*words, "--format", "csv").out.splitlines()
    assert len(csv) == 3
    chosen = command_line(*words, "--fields", "gpu,gpus", "--format", "csv").out
    assert chosen == "gpu,gpus\nb200,1\nh100-sxm,2\n"
    assert command_line(*words, "--get", "sort").out == "cost\n"


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Write two files of one's own into a preset folder, which is the working folder too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCALEPLAN_PRESETS", str(tmp_path))
    Path("accelerators.toml").write_text(GPUS)
    Path("prices.toml").write_text(PRICES)


def test_files_of_ones_own_are_used_and_told(own):
    """By id from the preset folder, and by path; the price has its own source."""
    assert command_line("gpus", "validate", "accelerators.toml", "prices.toml").status == 0
    shown = command_line("gpus", "show", "our-b200").out
    assert "accelerators.toml" in shown.splitlines()[-1]
    assert command_line("gpus", "path", "our-b200").out.strip() == str(Path("accelerators.toml").resolve())
    question = ("convert", "--flops", "1e22", "--params", "7B", "--json", "--gpu")
    by_id, by_path = (command_line(*question, name).json for name in ("our-b200", "./accelerators.toml"))
    assert by_id == by_path
    assert (by_id["price_per_hour"], by_id["price_source"]) == (2.4, "default: our contract")


def test_a_path_names_the_only_gpu_of_its_file(own, monkeypatch):
    """Without a preset folder; several are refused, and so is a file in the project of a repository."""
    monkeypatch.delenv("SCALEPLAN_PRESETS")
    plan = sp.loss(params="7B", tokens="1T", gpu="accelerators.toml", price=2.4, time="30d")
    assert plan.budget.gpu == "our-b200"
    assert not any(notice.code == "does_not_fit" for notice in plan.warnings)
    Path("two.toml").write_text(GPUS + GPUS.partition("\n")[2].replace("our-b200", "other"))
    assert "two.toml has 2 GPUs" in command_line("gpus", "show", "two.toml").err
    Path("scaleplan.toml").write_text(
        '[[run]]\nname = "a"\nparams = "7B"\ntokens = "1T"\ngpu = "accelerators.toml"\n'
    )
    found = command_line("check")
    assert found.status == 2
    assert "is a file, and a run names a GPU by its id" in " ".join(found.out.split())


@pytest.mark.parametrize(
    "name, change, line, message",
    [
        ("accelerators.toml", ("memory_gb = 192", "memory_gb = -192"), 8, "expected a finite number above 0"),
        (
            "accelerators.toml",
            ("bandwidth_gbs", "bandwith_gbs"),
            3,
            "accelerator[0].bandwidth_gbs: this key is missing",
        ),
        ("accelerators.toml", ("year = 2025", "yaer = 2025"), 3, "accelerator[0].year: this key is missing"),
        ("accelerators.toml", ('class = "blackwell"', 'class = "black"'), 10, "expected one of a100"),
        ("accelerators.toml", ("bf16 = 2250", "bf17 = 2250"), 12, "unknown key"),
        ("accelerators.toml", ("schema = 1", "schema = 2"), 1, "expected 1"),
        ("accelerators.toml", ("[[accelerator]]", "[[acelerator]]"), None, "has no [[accelerator]]"),
        ("accelerators.toml", ("year = 2025", "year = "), None, "not valid TOML"),
        ("prices.toml", ('"our-b200"', '"out-b200"'), 4, "no GPU has the id 'out-b200'"),
        ("prices.toml", ('"2026-10"', '"May 2026"'), 6, "expected a date"),
        ("prices.toml", ("usd_per_hour = 2.40", "usd_per_hour = 0"), 5, "expected a finite number above 0"),
        ("prices.toml", ("source", "sauce"), 3, "source: this key is missing"),
    ],
)
def test_each_fault_is_told_with_its_line(own, name, change, line, message):
    """The file, the key and what was expected; exit status 2."""
    path = Path(name)
    path.write_text(path.read_text().replace(*change))
    monkey = command_line("gpus", "validate", "accelerators.toml", "prices.toml", "--json")
    assert monkey.status == 2 or name == "prices.toml"
    (file,) = [each for each in monkey.json["files"] if each["file"] == name]
    assert not file["valid"]
    problem = file["problems"][0]
    assert message in problem["message"]
    assert problem["line"] == line


def test_a_comparison_in_euros_is_one_table_and_says_how_many_gpus_are_sure(cli):
    """The currency stands once, in the heading; beside the GPUs of the median stands how many are sure."""
    run = ("gpus", "compare", "h100-sxm", "a100-sxm-80", "--params", "7B", "--tokens", "2T", "--time", "60d")
    done = cli(*run, "--cost", "300k EUR", "--exchange-rate", "1 EUR = 1.08 USD")
    header, first = done.out.splitlines()[2:4]
    assert header.split() == ["GPU", "GPUs", "days", "cost,", "EUR", "80", "%", "energy", "memory"]
    assert first.split()[-1] == "fits"
    assert "EUR" not in first
    assert "1.6x as many to be 90 % sure" in " ".join(done.out.split())
    assert "sure" not in cli(*run, "--mfu", "40%").out
