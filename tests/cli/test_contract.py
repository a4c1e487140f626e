"""The contract with scripts: keys, values, streams, formats and exit statuses of an answer."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from scaleplan.output import FORMATS

OPTIMAL = ("optimal", "--flops", "1e21")
CLUSTER = ("--gpus", "64", "--gpu", "h100-sxm", "--time", "30d")
SWEEP = ("sweep", "--from", "1e18", "--to", "1e24")

PLAN = (
    "schema", "preset", "form", "flops", "params", "tokens", "loss", "tokens_per_param", "params_convention",
    "flops_convention", "loss_unit", "converted", "interval", "near_optimal", "size_errors", "optimum", "excess_loss",
    "compute_overhead", "budget", "warnings",
)  # fmt: skip
BUDGET = (
    "source", "gpu", "gpus", "gpu_hours", "days", "utilisation", "peak_flops_per_s", "precision", "cost", "currency",
    "mfu", "goodput", "profile", "price_per_hour", "energy_kwh", "utilisation_source",
)  # fmt: skip
INTERVAL = ("level", "params", "tokens", "loss", "tokens_per_param")


def in_order(keys, expected):
    """Whether the expected keys are there, in this order; further keys may stand among them."""
    return tuple(key for key in keys if key in expected) == expected


def test_a_plan_has_the_keys_of_the_contract_in_their_order(cli):
    """A renamed or moved key would break scripts: it needs a new schema number."""
    plan = cli(*OPTIMAL, "--json").json
    assert plan["schema"] == "scaleplan/plan/1"
    assert in_order(plan, PLAN)
    assert in_order(plan["budget"], BUDGET)
    assert in_order(plan["interval"], INTERVAL)
    assert tuple(plan["near_optimal"]) == ("compute_overhead", "params")
    assert tuple(plan["size_errors"]) == ("half", "double")
    assert plan["interval"]["level"] == 0.9
    assert plan["near_optimal"]["compute_overhead"] == 0.05


def test_a_plan_has_the_same_keys_whatever_was_asked(cli):
    """Absent is null, never missing."""
    keys = [
        list(cli(*words, "--json").json)
        for words in (
            OPTIMAL,
            ("optimal", *CLUSTER),
            (*OPTIMAL, "--params", "7B"),
            (*OPTIMAL, "--preset", "llama3-2024"),
            ("loss", "--params", "7B", "--tokens", "2T"),
            ("target", "--loss", "2.1"),
        )
    ]
    assert all(found == keys[0] for found in keys)


def test_the_answer_is_in_base_units(cli):
    """The default law at 1e21 FLOP: 2.78e9 parameters on 6.00e10 tokens, loss 2.306 (Besiroglu et al. 2024)."""
    plan = cli(*OPTIMAL, "--json").json
    assert plan["params"] == pytest.approx(2.778e9, rel=1e-3)
    assert plan["tokens"] == pytest.approx(5.999e10, rel=1e-3)
    assert plan["loss"] == pytest.approx(2.306, rel=1e-3)
    assert 6 * plan["params"] * plan["tokens"] == pytest.approx(plan["flops"], rel=1e-10)
    assert plan["budget"]["source"] == "flops"
    assert plan["budget"]["gpu"] is None


def test_a_cluster_says_how_its_flops_came_about(cli):
    """Every number of the derivation is part of the answer, and they agree with each other."""
    plan = cli("optimal", *CLUSTER, "--mfu", "0.4", "--goodput", "1", "--json").json
    budget = plan["budget"]
    assert (budget["source"], budget["gpu"], budget["gpus"], budget["days"]) == ("cluster", "h100-sxm", 64, 30.0)
    assert budget["utilisation"] == 0.4
    assert budget["gpu_hours"] == pytest.approx(64 * 30 * 24)
    spent = budget["gpu_hours"] * 3600 * budget["peak_flops_per_s"] * budget["utilisation"]
    assert plan["flops"] == pytest.approx(spent)
    assert budget["cost"] == pytest.approx(budget["gpu_hours"] * budget["price_per_hour"])
    assert budget["currency"] == "USD"


@pytest.mark.parametrize("words", [SWEEP, ("compare", "--flops", "1e24")], ids=lambda words: words[0])
def test_several_plans_are_one_object_or_one_a_line(cli, words):
    """The same plans in json and jsonl."""
    plans = cli(*words, "--json").json
    assert plans["schema"] == "scaleplan/plans/1"
    assert [json.loads(line) for line in cli(*words, "--format", "jsonl").out.splitlines()] == plans["plans"]
    assert all(in_order(plan, PLAN) for plan in plans["plans"])


def test_a_comparison_converts_sizes_and_never_losses(cli):
    """Parameters by one convention beside the law's own count; losses stay as each law states them."""
    plans = {plan["preset"]: plan for plan in cli("compare", "--flops", "1e24", "--json").json["plans"]}
    kaplan = plans["kaplan-2020"]
    assert kaplan["params_convention"] == "non_embedding"
    assert kaplan["converted"]["convention"] == "total"
    assert kaplan["converted"]["params"] > kaplan["params"]
    assert "Pearce" in kaplan["converted"]["method"]
    assert plans["llama3-2024"]["loss"] is None
    assert all(plan["excess_loss"] in (None, 0.0) for plan in plans.values())


def cells_of(value, prefix=""):
    """Return what a table shows of a JSON object: keys joined by dots, ``.low`` and ``.high``, codes of warnings."""
    if prefix.endswith("warnings"):
        return {prefix: " ".join(item["code"] for item in value)}
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in cells_of(item, f"{prefix}.{key}".lstrip(".")).items()}
    if isinstance(value, list) and not (len(value) == 2 and all(isinstance(item, int | float) for item in value)):
        return {prefix: json.dumps(value)}
    if isinstance(value, list):
        return {f"{prefix}.low": value[0], f"{prefix}.high": value[1]}
    return {prefix: value}


@pytest.mark.parametrize(("name", "delimiter"), [("csv", ","), ("tsv", "\t")])
@pytest.mark.parametrize(
    "words", [OPTIMAL, ("optimal", *CLUSTER), SWEEP, ("compare", "--flops", "1e24")], ids=lambda words: words[0]
)
def test_tables_hold_the_values_of_the_json_to_the_last_digit(cli, words, name, delimiter):
    """The same in json, jsonl, csv and tsv."""
    plans = [json.loads(line) for line in cli(*words, "--format", "jsonl").out.splitlines()]
    rows = list(csv.DictReader(io.StringIO(cli(*words, "--format", name).out), delimiter=delimiter))
    for plan, row in zip(plans, rows, strict=True):
        for key, value in cells_of(plan).items():
            if isinstance(value, str):
                assert row[key] == value
            elif value is None:
                assert not any(row[name] for name in row if name == key or name.startswith(f"{key}."))
            else:
                assert float(row[key]) == value


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("github", "junit", "sarif")])
def test_every_format_answers(cli, name):
    """Each has the answer in it."""
    found = cli(*OPTIMAL, "--format", name)
    assert (found.status, found.err) == (0, "")
    assert "besiroglu-2024" in found.out.replace("\\", "")


def test_json_is_short_for_format_json(cli):
    """And beside another format it is a contradiction, not a choice."""
    assert cli(*OPTIMAL, "--json").out == cli(*OPTIMAL, "--format", "json").out
    assert cli(*OPTIMAL, "--format", "json", "--json").out == cli(*OPTIMAL, "--format", "json").out
    both = cli(*OPTIMAL, "--format", "csv", "--json")
    assert (both.status, both.out) == (2, "")
    assert both.error["message"] == "--json and --format csv exclude each other"


def test_the_same_input_gives_the_same_bytes(cli):
    """Nothing depends on time, on chance or on what ran before."""
    words = ("compare", "--flops", "1e24", "--json")
    assert cli(*words).out == cli(*words).out


def test_get_prints_one_bare_value(cli):
    """Ready for ``N=$(…)``: every digit, no quotes, one line."""
    plan = cli(*OPTIMAL, "--json").json
    assert cli(*OPTIMAL, "--get", "params").out == f"{plan['params']!r}\n"
    assert cli(*OPTIMAL, "--get", "preset").out == "besiroglu-2024\n"
    assert cli(*OPTIMAL, "--get", "interval.loss.low").out == f"{plan['interval']['loss'][0]!r}\n"
    assert cli(*OPTIMAL, "--get", "budget.source").out == "flops\n"


def test_get_of_a_null_is_a_no(cli):
    """A script must not go on with an empty number: exit status 1, nothing on standard output."""
    for words in (
        (*OPTIMAL, "--get", "budget.gpu"),
        (*OPTIMAL, "--preset", "llama3-2024", "--get", "loss"),
        (*OPTIMAL, "--preset", "llama3-2024", "--get", "interval.loss.low"),
    ):
        found = cli(*words)
        assert (found.status, found.out) == (1, "")
        assert "not available" in found.err


def test_get_of_a_compound_field_is_a_mistake(cli):
    """The names inside are offered."""
    found = cli(*OPTIMAL, "--get", "interval.loss")
    assert (found.status, found.out) == (2, "")
    assert "interval.loss.low" in found.err


def test_get_of_several_plans_is_one_value_a_line(cli):
    """A column of a sweep."""
    found = [float(value) for value in cli(*SWEEP, "--points", "3", "--get", "flops").out.split()]
    assert found == pytest.approx([1e18, 1e21, 1e24], rel=1e-10)


def test_warnings_go_to_standard_error_and_into_the_json(cli):
    """Outside the fitted range is said once with the factors; ``--quiet`` leaves it to the JSON."""
    found = cli("optimal", "--flops", "1e24", "--json")
    codes = [warning["code"] for warning in found.json["warnings"]]
    assert "extrapolated_flops" in codes
    assert {"extrapolated_flops", "extrapolated_params", "extrapolated_tokens"} <= set(codes)
    assert found.err.count("warning: ") == 1 + sum(not code.startswith("extrapolated_") for code in codes)
    assert "77x the compute" in found.err  # 1e24 over the 1.296e22 of the fitted range
    quiet = cli("optimal", "--flops", "1e24", "--json", "--quiet")
    assert (quiet.err, quiet.out) == ("", found.out)


def test_each_side_of_the_fitted_range_is_watched(cli):
    """Compute, size, tokens and their ratio, below and above."""
    for words, expected in (
        (("loss", "--params", "1M", "--tokens", "10T"), {"params", "tokens", "tokens_per_param"}),
        (("loss", "--params", "1T", "--tokens", "100M"), {"params", "tokens", "tokens_per_param"}),
        (("optimal", "--flops", "1e16"), {"flops", "params", "tokens"}),
    ):
        codes = {warning["code"] for warning in cli(*words, "--json").json["warnings"]}
        assert {f"extrapolated_{name}" for name in expected} <= codes


def test_a_plain_answer_is_quiet_on_standard_error(cli):
    """Success without anything to warn of says nothing there."""
    assert cli(*OPTIMAL).err == ""


@pytest.mark.parametrize(
    "words",
    [
        OPTIMAL,
        (*OPTIMAL, "--gpus", "64", "--gpu", "h100-sxm"),
        (*OPTIMAL, "--params", "7B"),
        ("loss", "--params", "7B", "--tokens", "2T"),
        ("target", "--loss", "2.1"),
        SWEEP,
        ("convert", "--flops", "1e24", "--gpu", "h100-sxm", "--gpus", "512"),
        ("gpus", "list"),
    ],
    ids=" ".join,
)
def test_facts_and_tables_are_readable_at_eighty_columns(cli, words, monkeypatch):
    """Sentences may be wider, since a terminal wraps them without harm."""
    monkeypatch.setenv("COLUMNS", "80")
    for line in cli(*words).out.splitlines():
        assert len(line) <= 80 or not any("  " in part for part in [line.strip()]), line


def test_the_sketch_of_an_answer(cli):
    """The answer first, its uncertainty beside it, what a wrong size would waste below."""
    lines = cli(*OPTIMAL).out.splitlines()
    assert lines[0] == "1e21 FLOP (11.6 PF-days), besiroglu-2024"
    assert lines[2].split()[:4] == ["parameters", "2.78B", "90", "%"]
    assert lines[3].split()[:2] == ["tokens", "60.0B"]
    assert lines[4].split()[:2] == ["tokens/param", "21.6"]
    assert lines[5].split()[:2] == ["loss", "2.306"]
    assert lines[5].endswith("nats/token")
    assert lines[6].split()[:2] == ["perplexity", "10.03"]
    assert lines[8].strip().startswith("loss and interval: of this law on MassiveText (SentencePiece")
    text = " ".join(" ".join(lines).split())
    assert "within 5 % of the compute: 1.92B – 4.02B parameters; half or twice the size wastes 18 – 19 %" in text


def test_a_field_of_an_answer_is_one_value_although_its_table_has_it_too(cli):
    """``marginal`` is a plan with a table of doublings: a script wants the plan's size, and not that of every row."""
    whole = cli("marginal", "--flops", "1e21", "--json").json
    for field in ("params", "loss"):
        assert float(cli("marginal", "--flops", "1e21", "--get", field).out) == whole[field]
    rows = cli("marginal", "--flops", "1e21", "--get", "factor")
    assert (rows.status, rows.out) == (2, "")
    assert "in each of 7 rows" in rows.err


@pytest.mark.parametrize(
    "words",
    [
        "init scaleplan.toml",
        "shape 7B -o config.json",
        "plot isoflop --flops 1e21 -o picture.svg",
        "report --flops 1e21 -o page.html",
        "fit runs.csv --samples 0 -o law.toml",
    ],
)
def test_a_command_that_is_refused_writes_no_file(cli, words):
    """A field that the answer lacks is known once there is an answer, and before its file is written."""
    sizes = [1e7 * 2**number for number in range(9)]
    rows = [(n, n * 20 * (1 + i % 3)) for i, n in enumerate(sizes)]
    lines = [f"{n},{d},{1.8 + 420 / n**0.34 + 1300 / d**0.345}" for n, d in rows]
    Path("runs.csv").write_text("\n".join(["params,tokens,loss", *lines, ""]))
    refused = cli(*words.split(), "--get", "nosuch")
    assert (refused.status, refused.out) == (2, "")
    assert "unknown field 'nosuch'" in refused.err
    assert [path.name for path in Path().iterdir()] == ["runs.csv"]
    answered = cli(*words.split(), "--get", "schema")
    assert (answered.status, answered.out.count("\n")) == (0, 1)
    assert len([*Path().iterdir()]) == 2
