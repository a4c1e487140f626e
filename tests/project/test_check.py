"""Tests of verdicts: one predicate on unrounded numbers, intervals, what cannot be judged, hostile names."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scaleplan.api as sp
from scaleplan.project.check import NEGATED, bound, decisive_amount
from scaleplan.units import parse
from scaleplan.units.limits import QUANTITIES, parse_limit

RUN = '[[run]]\nname = "r"\nparams = "7B"\ntokens = "1T"\n'


def project(text, *, policy=()):
    """Write a project file with a policy of errors."""
    Path("scaleplan.toml").write_text(f"{text}\n[policy]\nerror = {json.dumps(list(policy))}\n")


def verdicts(result):
    """Return the verdicts of a JSON answer."""
    return json.loads(result.out)["verdicts"]


@pytest.mark.parametrize(
    "params, limit, message",
    [
        ("70.0001B", "params <= 70B", "params 70.0001B > 70B"),
        ("70000000100", "params <= 70B", "params 70.0000001B > 70B"),
        ("69.9999B", "params <= 70B", None),
        ("70B", "params < 70B", "params 70.0B >= 70B"),
        ("6.9996B", "params >= 7B", "params 6.9996B < 7B"),
        ("7.0001B", "params = 7B", "params 7.0001B ≠ 7B"),
    ],
)
def test_the_message_has_the_digits_it_takes(cli, params, limit, message):
    """Rounded to three digits both sides would look alike; status, message and exit status agree."""
    project(RUN.replace("7B", params), policy=[limit])
    result = cli("check", "--json", "-q")
    (verdict,) = verdicts(result)
    assert (result.status, verdict["status"]) == ((0, "pass") if message is None else (1, "fail"))
    if message is not None:
        assert verdict["message"] == message


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(set(QUANTITIES) - {"gpus", "memory_gb"})),
    st.sampled_from(["<=", ">=", "<", ">", "="]),
    st.floats(1e-3, 1e6),
    st.floats(-1e-6, 1e-6),
)
def test_what_is_shown_compares_as_what_was_judged(quantity, op, edge, off):
    """The text of a value, read back, is on the same side of the limit as the value itself."""
    kind = QUANTITIES[quantity]
    scale = {"params": 1e6, "tokens": 1e6, "flops": 1e18}.get(kind, 1.0)
    (limit,) = parse_limit(f"{quantity} {op} {edge * scale!r}" + (" FLOP" if kind == "flops" else ""))
    value = limit.value * (1 + off)
    assert parse(kind, bound(limit)) == limit.value
    text = decisive_amount(limit, value)
    assert limit.holds(parse(kind, text)) == limit.holds(value)
    if not limit.holds(value) and op in ("<=", ">=", "="):
        assert text != bound(limit)
    assert set(NEGATED) >= {op}


def test_a_confidence_asks_the_end_of_the_interval_that_the_plan_shows(cli):
    """For an upper limit the upper end must keep it, for a lower limit the lower end; the estimate may keep both."""
    plan = sp.loss(params=7e9, tokens=1e12)
    low, high = plan.interval.loss
    inside, outside = plan.loss + 0.5 * (high - plan.loss), high + 1e-6
    below, beneath = plan.loss - 0.5 * (plan.loss - low), low - 1e-6
    limits = [
        f"loss <= {inside!r}",
        f"loss@90% <= {inside!r}",
        f"loss@90% <= {outside!r}",
        f"loss@90% >= {below!r}",
        f"loss@90% >= {beneath!r}",
        f"loss@50% <= {inside!r}",
    ]
    project(RUN, policy=limits)
    found = verdicts(cli("check", "--json", "-q"))
    assert [verdict["status"] for verdict in found] == ["pass", "fail", "pass", "fail", "pass", "pass"]
    assert (found[1]["low"], found[1]["high"]) == (low, high)
    assert found[5]["high"] == sp.loss(params=7e9, tokens=1e12, level=0.5).interval.loss[1]


@pytest.mark.parametrize(
    "limit, hint",
    [
        ("days <= 30", "gpus"),
        ("cost <= 1M USD", "gpu"),
        ("epochs <= 4", "unique_tokens"),
        ("carbon_kg <= 5000", "region"),
        ("memory_gb <= 80", "gpus"),
        ("flops@90% <= 1e30", "loss"),
    ],
)
def test_what_is_not_known_is_an_error_and_never_a_pass(cli, limit, hint):
    """A limit on a quantity that the run does not have exits with 2 and says what to add."""
    project(RUN, policy=[limit])
    result = cli("check", "--json", "-q")
    (verdict,) = verdicts(result)
    assert (result.status, verdict["status"]) == (2, "error")
    assert hint in verdict["hint"]


def test_every_quantity_can_be_limited(cli):
    """A run with hardware, data and a grid has all of them."""
    extra = 'gpu = "h100-sxm"\ngpus = 512\nunique_tokens = "500B"\ngrid = "FRA"\n'
    names = list(QUANTITIES)
    project(RUN + extra, policy=[f"{name} >= 1e-9" if name != "gpus" else "gpus >= 1" for name in names])
    result = cli("check", "--json", "-q")
    assert {verdict["quantity"]: verdict["status"] for verdict in verdicts(result)} == dict.fromkeys(names, "pass")


def test_a_warning_does_not_fail(cli):
    """A limit that only warns is told with its message, and the exit status stays 0."""
    Path("scaleplan.toml").write_text(
        RUN
        + '[policy]\nwarn = [{ limit = "params <= 1B", message = "ask first" }]\n[run.policy]\nwarn = []\n'.replace(
            "[run.policy]\nwarn = []\n", ""
        )
    )
    result = cli("check", "--format", "github", "-q")
    assert result.status == 0
    assert result.out.startswith("::warning file=scaleplan.toml,line=3,")
    assert "ask first" in result.out


def test_a_run_may_have_limits_of_its_own(cli):
    """They are judged beside the common ones, and for this run alone."""
    Path("scaleplan.toml").write_text(
        RUN + 'policy.error = ["tokens <= 1B"]\n' + RUN.replace('"r"', '"s"') + '[policy]\nerror = ["params <= 7B"]\n'
    )
    found = [
        (verdict["run"], verdict["quantity"], verdict["status"]) for verdict in verdicts(cli("check", "--json", "-q"))
    ]
    assert found == [("r", "params", "pass"), ("r", "tokens", "fail"), ("s", "params", "pass")]


@pytest.mark.parametrize(
    "text, told",
    [
        ("[[run]]\nname = 'r'\n", "cannot be planned: the run has no params and no tokens"),
        (RUN + 'gpu = "h1000"\n', "unknown GPU"),
        (RUN + "flops = 1e21\n", "params, tokens and a budget"),
        (RUN.replace('"1T"', '{ key = "a.b", from = "none.json" }'), "'none.json' does not exist"),
        (RUN.replace('"7B"', '"7 potatoes"'), "potatoes"),
    ],
)
def test_a_run_that_cannot_be_planned_is_told_with_the_others(cli, text, told):
    """Its error is a verdict, the other runs are judged, and the exit status is 2."""
    project(text + '[[run]]\nname = "fine"\nparams = "1B"\ntokens = "1B"\n', policy=["params <= 10B"])
    result = cli("check", "--json", "-q")
    found = verdicts(result)
    assert (result.status, [verdict["status"] for verdict in found]) == (2, ["error", "pass"])
    assert told in found[0]["message"]


@pytest.mark.parametrize(
    "text, told",
    [
        ("", "there is no run to check"),
        ("[[run]]\n", "run[0].name: this key is missing"),
        (RUN + RUN, "a name that no other run has"),
        (RUN + "parms = 1\n", "unknown key"),
        (RUN + "[policy]\nerror = ['parms <= 1']\n", "policy.error[0]: unknown quantity 'parms'"),
        (RUN + "[policy]\nerrors = []\n", "unknown key"),
        (RUN + "[policy]\nerror = 'params <= 1'\n", "expected a list"),
        (RUN + "model = 'a.json'\n", "not both"),
        (RUN.replace('"1T"', '{ batch = "a" }'), "expected an amount"),
        (RUN.replace('"1T"', '{ batch = "a", sequence = 1, steps = 2 }'), "no file is named"),
        ("[defaults]\ngpus = 3\n" + RUN, "unknown setting"),
        ("x = [", "not valid TOML"),
    ],
)
def test_a_file_that_is_not_understood_is_one_error(cli, text, told):
    """The error names the file and the key on standard error, and the exit status is 2."""
    Path("other.toml").write_text(text)
    result = cli("check", "other.toml")
    assert (result.status, result.out) == (2, "")
    assert told in result.err
    assert "other.toml" in result.err


def test_values_come_from_toml_json_and_yaml_alike(cli):
    """The same config in three formats gives the same plan; factors multiply, numbers stand for themselves."""
    Path("c.toml").write_text("[a]\nb = 1024\n[m]\nl = [4096]\ns = 1000\n")
    Path("c.json").write_text('{"a": {"b": 1024},\n "m": {"l": [4096], "s": 1000}}')
    Path("c.yaml").write_text("a: {b: 1024}\nm: {l: [4096], s: 1e3}\n")
    runs = [
        f'[[run]]\nname = "{name}"\nfrom = "c.{name}"\nparams = "1B"\n'
        'tokens = { batch = ["a.b", 2], sequence = "m.l[0]", steps = "m.s" }\n'
        for name in ("toml", "json", "yaml")
    ]
    project("\n".join(runs), policy=["tokens = 8388608000"])
    result = cli("check", "--json", "-q")
    assert [verdict["value"] for verdict in verdicts(result)] == [1024 * 2 * 4096 * 1000] * 3
    assert [(verdict["file"], verdict["line"]) for verdict in verdicts(result)] == [
        ("c.toml", 2),
        ("c.json", 1),
        ("c.yaml", 1),
    ]


def test_a_missing_key_suggests_the_one_that_is_there(cli):
    """The hint knows the keys beside it."""
    Path("c.yaml").write_text("trainer: {max_steps: 1}\n")
    project(RUN.replace('"1T"', '{ key = "trainer.max_step", from = "c.yaml" }'), policy=["params <= 1T"])
    (verdict,) = verdicts(cli("check", "--json", "-q"))
    assert verdict["hint"] == "did you mean 'trainer.max_steps'?"


HOSTILE = (
    "<script>alert(1)</script>",
    "\x1b[31mred",
    "::error::injected",
    "a\n::error::b",
    "=cmd()",
    "@SUM(A1)",
    "[bold]b[/bold]",
    "| a | `b` | ![x](http://e)",
    "{0}](x)",
)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize(
    "name_of_format", ["text", "json", "jsonl", "csv", "tsv", "markdown", "github", "junit", "sarif"]
)
def test_hostile_names_come_out_inert(cli, name, name_of_format):
    """A run's name and a policy's message act as nothing: no markup, no command, no formula, no escape sequence."""
    Path("scaleplan.toml").write_text(
        RUN.replace('"r"', json.dumps(name))
        + f"[policy]\nerror = [{{ limit = 'params <= 1B', message = {json.dumps(name)} }}]\n"
    )
    result = cli("check", "--format", name_of_format, "-q")
    assert result.status == 1
    out = result.out
    assert "\x1b" not in out
    if name_of_format == "github":
        assert len(out.splitlines()) == 1
        assert out.startswith("::error file=")
    else:
        assert not any(line.startswith("::") for line in out.splitlines())
    if name_of_format == "junit":
        ET.fromstring(out)
    if name_of_format in ("json", "sarif"):
        json.loads(out)
    if name_of_format == "markdown":
        assert "<script" not in out
        assert "![" not in out.replace("!\\[", "")
    if name_of_format in ("csv", "tsv"):
        rows = list(csv.reader(io.StringIO(out), delimiter="," if name_of_format == "csv" else "\t"))
        assert not any(cell.startswith(("=", "+", "@")) for row in rows for cell in row)


def test_a_hundred_runs_are_judged_alike_twice(cli):
    """Each with its own size, tokens and devices; twice the same bytes."""
    runs = "".join(
        f'[[run]]\nname = "r{i}"\nparams = {7e9 + i}\ntokens = "{1000 + i}B"\ngpus = {8 + i}\n' for i in range(100)
    )
    project('[defaults]\ngpu = "h100-sxm"\n' + runs, policy=["cost <= 250k USD", "days <= 30", "loss@95% <= 2.5"])
    first = cli("check", "--json", "-q")
    assert len(verdicts(first)) == 300
    assert cli("check", "--json", "-q").out == first.out


def test_the_file_that_init_writes_keeps_its_own_policy(cli):
    """It passes as it is, is not overwritten by accident, and names every limit's quantity rightly."""
    assert cli("init").status == 0
    assert cli("check").status == 0
    kept = Path("scaleplan.toml").read_text()
    Path("scaleplan.toml").write_text("mine = 1\n")
    assert cli("init").status == 2
    assert Path("scaleplan.toml").read_text() == "mine = 1\n"
    assert cli("init", "--force").status == 0
    assert Path("scaleplan.toml").read_text() == kept


def test_the_examples_in_the_starting_file_are_valid(cli, repository):
    """With the comment signs of its examples removed, it still reads and every run is planned."""
    from scaleplan.project.starting import starter

    lines = starter().splitlines()
    start = next(i for i, line in enumerate(lines) if line == "# [[run]]")
    shown = [
        line.removeprefix("# ")
        if i >= start
        and line.startswith(
            ("# [[", "# name", "# from", "# model", "# cost", "# limit", "# tokens = { batch =", "# gpus = {")
        )
        else line
        for i, line in enumerate(lines)
    ]
    text = "\n".join(shown).replace("configs/config.json", "configs/model.json").replace("gpus_per_node", "devices")
    Path("scaleplan.toml").write_text(text)
    result = json.loads(cli("check", "--json", "-q").out)
    assert [run["name"] for run in result["runs"]] == ["base", "from-config", "largest"]
    assert all(run["preset"] for run in result["runs"])


@pytest.mark.parametrize("command", [["optimal", "--flops", "1e21"], ["marginal", "--flops", "1e21"]])
@pytest.mark.parametrize("name", ["github", "junit", "sarif"])
def test_commands_that_do_not_judge_refuse_the_formats_of_judges(cli, command, name):
    """The error says which command has them."""
    result = cli(*command, "--format", name)
    assert (result.status, "check" in result.err) == (2, True)


def test_memory_is_the_least_that_each_device_can_hold(cli):
    """7B parameters of 16 bytes of states do not fit 80 GB; shared by 64 devices they do (architecture.md 6)."""
    run = '[[run]]\nname = "one"\nparams = "7B"\ntokens = "140B"\ngpu = "h100-sxm"\n'
    for gpus, status in ((1, 1), (64, 0)):
        project(f"{run}gpus = {gpus}\n", policy=["memory_gb <= 80"])
        assert cli("check", "-q").status == status


def test_a_run_may_name_a_published_model(cli, git):
    """A file or folder of that name wins; a misspelt name gets the right one, and another model another bill."""
    run = RUN.replace('params = "7B"', 'model = "meta-llama/Llama-3.1-8B"') + 'gpu = "h100-sxm"\ngpus = 64\n'
    project(run, policy=["params >= 8.03B", "params <= 8.031B"])
    assert cli("check", "-q").status == 0
    git("init", "-q", ".")
    git("add", ".")
    git("commit", "-q", "-m", "a run")
    project(run.replace("3.1-8B", "3.2-3B"))
    assert "-4.82B" in cli("diff", "--base", "HEAD").out
    project(run.replace("Llama-3.1-8B", "Lama-3.1-8B"))
    wrong = cli("check")
    assert wrong.status == 2
    assert "did you mean 'meta-llama/Llama-3.1-8B'? 'scaleplan models list'" in " ".join(wrong.out.split())
    project(run)
    Path("meta-llama/Llama-3.1-8B").mkdir(parents=True)
    assert cli("check").status == 2


EUROS = '[defaults]\ngpu = "h100-sxm"\nexchange_rate = "1 EUR = 1.08 USD"\n'


@pytest.mark.parametrize(
    "limit, status, message",
    [
        ("cost <= 150k EUR", "pass", "cost 140,000 EUR <= 150,000 EUR"),
        ("cost <= 151.6k USD", "fail", "cost $152,000 > $151,600"),
        ("cost <= 152k", "pass", "cost $152,000 <= $152,000"),
        ("cost@80% <= 150k EUR", "fail", "cost upper end at 80% 225,000 EUR > 150,000 EUR (estimate 140,000 EUR"),
        ("cost <= 150k GBP", "error", "is in another currency"),
    ],
)
def test_a_policy_may_be_in_the_currency_of_a_run(cli, limit, status, message):
    """A verdict is in the currency of its limit, and so is the range beside it; the values of runs are in dollars."""
    project(EUROS + RUN, policy=[limit])
    (verdict,) = verdicts(cli("check", "--json", "-q"))
    assert verdict["status"] == status
    assert message in verdict["message"]
    text = cli("check", "-q").out
    sign = " EUR" if "EUR" in limit else "$"
    assert status == "error" or text.count(sign) >= 3
    run = json.loads(cli("check", "--json", "-q").out)["runs"][0]
    assert run["values"]["cost"] == pytest.approx(run["budget"]["cost"] * 1.08)


def test_a_policy_in_another_currency_needs_a_rate(cli):
    """Without one the limit is not judged, and never passes in silence."""
    project('[defaults]\ngpu = "h100-sxm"\n' + RUN, policy=["cost <= 250k EUR"])
    result = cli("check", "--json", "-q")
    (verdict,) = verdicts(result)
    assert (result.status, verdict["status"]) == (2, "error")
    assert "--exchange-rate" in verdict["hint"]


def test_runs_in_two_currencies_are_compared_in_dollars(cli):
    """The same run in another currency has not changed."""
    project('[defaults]\ngpu = "h100-sxm"\n' + RUN)
    Path("old.json").write_text(cli("check", "--json", "-q").out)
    project(EUROS + RUN)
    Path("new.json").write_text(cli("check", "--json", "-q").out)
    changes = json.loads(cli("diff", "old.json", "new.json", "--json", "-q").out)["changes"]
    (cost,) = (change for change in changes if change["quantity"] == "cost")
    assert cost["after"] == pytest.approx(cost["before"], rel=1e-12)


def test_the_next_steps_of_a_new_project_can_be_pasted(cli):
    """Each command that init names stands whole on a line of 80 columns."""
    Path("config.json").write_text(
        '{"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, '
        '"num_attention_heads": 4, "vocab_size": 1000}'
    )
    Path("train.yaml").write_text(
        "model_name_or_path: ./config.json\nmax_steps: 10\nper_device_train_batch_size: 8\n"
    )
    lines = cli("init").out.splitlines()
    assert "1 training config found, with a run each: train.yaml" in " ".join(lines)
    commands = [line[line.index("scaleplan ") :] for line in lines if ": scaleplan " in line]
    assert commands == ["scaleplan check", "scaleplan diff --base main --fail-on 'total cost increase > 50%'"]
