"""What is suggested for a name that does not exist: a slip, a synonym, or nothing rather than a far name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import scaleplan as sp
from scaleplan.cli.app import COMMANDS, execute
from scaleplan.errors import UnknownNameError, UsageError, did_you_mean
from scaleplan.hardware.accelerators import Accelerators
from scaleplan.planning.request import option_names
from scaleplan.toml_table import Table

GROUPS = ("budget", "hardware", "law", "limits", "sides", "run")
OPTIONS = [f"--{name.replace('_', '-')}" for name in option_names(*GROUPS)]


@pytest.mark.parametrize(
    "name, meant",
    [
        ("--budget", "--flops"),
        ("--compute", "--flops"),
        ("--grid", "--region"),
        ("--country", "--region"),
        ("--hours", "--gpu-hours"),
        ("--days", "--time"),
        ("--dollars", "--cost"),
        ("--gpu-count", "--gpus"),
        ("--num_gpus", "--gpus"),
        ("--device", "--gpu"),
        ("--size", "--params"),
        ("--model-size", "--params"),
        ("--data", "--tokens"),
        ("--config", "--model"),
        ("--law", "--preset"),
        ("--utilization", "--mfu"),
        ("--dtype", "--precision"),
        ("--seq-len", "--context"),
        ("--batch-size", "--batch"),
        ("--constraint", "--limit"),
        ("--gpuhours", "--gpu-hours"),
        ("--GPU_HOURS", "--gpu-hours"),
        ("--flop", "--flops"),
        ("--parmas", "--params"),
        ("--presett", "--preset"),
        ("--count", None),
        ("--learning-rate", None),
        ("--dry-run", None),
        ("--xyz", None),
        ("--", None),
    ],
)
def test_an_option_is_met_with_what_it_means(name, meant):
    """A synonym or a slip of the hand; never a word that only has some letters in common."""
    assert did_you_mean(name, OPTIONS) == meant


@pytest.mark.parametrize(
    "name, choices, meant",
    [
        ("b100", ["v100", "h100", "b200"], None),
        ("a800", ["a100", "a10"], None),
        ("rtx-4080", ["rtx-4090", "rtx-a6000"], None),
        ("rtx4080", ["rtx-4090"], None),
        ("tpu-v8", ["tpu-v3", "tpu-v4"], None),
        ("gaudi4", ["gaudi2", "gaudi3"], None),
        ("m4-max", ["m1-max", "m3-max"], None),
        ("b200-nvl", ["h200-nvl"], None),
        ("a10s", ["a100", "a10g"], "a10g"),
        ("l4s", ["l40"], None),
        ("gpt3", ["gptj", "gpt2"], None),
        ("llama4", ["llama3"], None),
        ("h100-smx", ["h100-pcie", "h100-sxm"], "h100-sxm"),
        ("h10o", ["h100", "h200"], "h100"),
        ("h10", ["h100", "h200"], "h100"),
        ("virginia", ["India", "Virgin Islands", "China"], None),
        ("Frnace", ["France", "Greece"], "France"),
        ("chinchila", ["chinchilla", "kaplan"], "chinchilla"),
        ("hofman", ["hoffmann", "kaplan"], "hoffmann"),
        ("kaplan-2002", ["kaplan-2020", "gadre-2024"], "kaplan-2020"),
        ("size", ["params", "tokens"], "params"),
        ("cost", ["budget.cost", "budget.days"], "budget.cost"),
        ("gpu_hours", ["budget.gpu_hours", "loss"], "budget.gpu_hours"),
        ("hours", ["budget.gpu_hours", "loss"], "budget.gpu_hours"),
        ("budget.hours", ["budget.source", "budget.gpu_hours"], "budget.gpu_hours"),
        ("budget.tdp", ["budget.source", "budget.gpu", "target"], None),
        ("money", ["budget.cost", "loss"], "budget.cost"),
        ("price", ["budget.price_per_hour", "loss"], "budget.price_per_hour"),
        ("low", ["interval.params.low", "interval.loss.low"], None),
        ("interval.los", ["interval.params.low", "interval.loss.low"], None),
        ("energy", ["energy_kwh", "days"], "energy_kwh"),
        ("memory", ["memory_gb", "days"], "memory_gb"),
        ("time", ["memory_gb", "days"], "days"),
        ("tokens/params", ["tokens", "params", "tokens_per_param"], "tokens_per_param"),
        ("tp", ["tensor", "pipeline"], "tensor"),
        ("seq", ["context", "zero"], "context"),
        ("md", ["text", "markdown"], "markdown"),
        ("int4", ["nf4", "int8", "gptq-int4"], "gptq-int4"),
        ("trl", ["huggingface", "torchtune"], "huggingface"),
        ("adam", ["adamw-8bit", "adamw"], "adamw"),
        ("interval.los.low", ["interval.loss.low", "interval.loss.high"], "interval.loss.low"),
    ],
)
def test_any_name_is_met_by_the_same_rules(name, choices, meant):
    """Accelerators, regions, presets, fields: another number of a series or another country is no correction."""
    assert did_you_mean(name, choices) == meant


@pytest.mark.parametrize(
    "name, meant", [("plan", "optimal"), ("chart", "plot"), ("validate", "check"), ("zzz", None)]
)
def test_a_command_is_met_with_what_it_means(name, meant):
    """Commands have synonyms too."""
    assert did_you_mean(name, COMMANDS) == meant


@given(name=st.text(max_size=30), choices=st.lists(st.text(max_size=30), max_size=5))
def test_a_suggestion_is_always_one_of_the_choices(name, choices):
    """Whatever is typed; an exact name is itself."""
    assert did_you_mean(name, choices) in [None, *choices]


def test_an_unknown_name_always_has_a_hint():
    """A suggestion, the listing command, or the names themselves."""
    assert UnknownNameError("thing", "zzz", ["one", "two"]).hint == "known: one, two"
    many = UnknownNameError("thing", "zzz", [f"name-{i}" for i in range(99)]).hint
    assert many.startswith("99 are known, among them name-0, ")
    with pytest.raises(UnknownNameError) as caught:
        Accelerators().get("b500")
    own = "one of your own: --gpu FILE.toml, which 'scaleplan gpus validate FILE.toml' checks"
    assert caught.value.hint == f"'scaleplan gpus list' lists them; {own}"


def test_the_hint_for_an_unknown_key_is_never_empty():
    """The keys that may stand there, or that none may."""
    table = Table({"limits": 1}, source="f.toml", path="policy")
    with pytest.raises(Exception, match="unknown key") as caught:
        table.done()
    assert caught.value.hint == "no key is known here"
    table.raw("error")
    with pytest.raises(Exception, match="unknown key") as caught:
        table.done()
    assert caught.value.hint == "known keys: error"


@pytest.mark.parametrize(
    "words, hint",
    [
        (("optimal", "--budget", "1e21"), "did you mean '--flops'?"),
        (("optimal", "--flops", "1e21", "--country", "France"), "did you mean '--region'?"),
        (("convert", "--flops", "1e21", "--grid", "France"), "name the GPU, such as --gpu h100-sxm"),
        (("optimal", "--flops", "1e21", "--get", "size"), "did you mean 'params'? '--json' lists them"),
        (
            ("optimal", "--flops", "1e21", "--gpu", "b500"),
            (
                "'scaleplan gpus list' lists them; one of your own: --gpu FILE.toml, which 'scaleplan gpus validate "
                "FILE.toml' checks"
            ),
        ),
    ],
)
def test_the_command_line_says_so(words, hint, capsys):
    """As people meet it."""
    assert execute(list(words)) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"hint: {hint}"


@pytest.mark.parametrize(
    "earlier, now",
    [
        ("convert --flops 1e23 --gpu h100-sxm --grid USA", "convert --flops 1e23 --gpu h100-sxm --region USA"),
        ("compare --flops 1e22 --with kaplan", "compare --flops 1e22 --preset kaplan"),
        ("hyperparameters --flops 1e21 --sequence 4096", "hyperparameters --flops 1e21 --context 4096"),
    ],
)
def test_an_earlier_name_of_an_option_still_works(earlier, now, capsys):
    """The same answer, word for word."""
    answers = []
    for line in (earlier, now):
        assert execute(line.split()) == 0
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1]


def test_an_earlier_keyword_still_works():
    """In Python too; both names of one thing are refused, and so is a range without an end."""
    earlier = sp.sweep(start="1e20", stop="1e21", points=2)
    assert sp.sweep(from_="1e20", to="1e21", points=2) == earlier
    assert sp.convert(flops=1e23, gpu="h100-sxm", grid="USA") == sp.convert(flops=1e23, gpu="h100-sxm", region="USA")
    with pytest.raises(UsageError, match="one thing"):
        sp.sweep(from_="1e20", start="1e20", to="1e21")
    with pytest.raises(UsageError, match="from one budget to another"):
        sp.sweep(from_="1e20")
