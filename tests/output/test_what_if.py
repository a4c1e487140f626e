"""The live part of a report in a real browser: the same numbers as the program, by hand, by keyboard, by ear."""

from __future__ import annotations

import json
import math
import re
import shlex

import pytest
from tests.laws.forecasts import made, preset_text
from tests.output import chromium

import scaleplan as sp
from scaleplan.__main__ import run
from scaleplan.files import data_folder
from scaleplan.output.html.page import report
from scaleplan.planning.plan import one_a_cause
from scaleplan.units import bare_end, format_count, format_days, format_flops, format_number, money_in

pytestmark = pytest.mark.skipif(chromium.PROGRAM is None, reason=chromium.MISSING)

CLUSTER = {"gpus": "64", "time": "30d", "gpu": "h100-sxm", "limit": ["tokens_per_param >= 20", "cost <= 200k"]}
MONEY = {"cost": "50k", "gpu": "a100", "inference_tokens": "100B"}
FEW = {"flops": "1e22", "unique_tokens": "50B", "level": "0.5", "preset": "besiroglu-2024"}
OWN = {"flops": "1e21", "gpu": "b200"}
EURO = {"flops": "1e22", "gpu": "h100-sxm", "exchange_rate": "1 EUR = 1.08 USD", "preset": "besiroglu-2024"}

DRAWN = {"flops": "1e22"}
UNCERTAIN = """[uncertainty]
parameters = ["A", "B", "E", "alpha", "beta"]
method = "draws"
samples = 5
freedom = 12
draws = [
  [482, 2085, 1.817, 0.3478, 0.3658], [500, 2000, 1.82, 0.347, 0.366], [470, 2100, 1.81, 0.35, 0.364],
  [440, 2300, 1.80, 0.346, 0.369], [510, 1900, 1.83, 0.349, 0.363],
]

[uncertainty.backtest]
factors = [3, 10, 30]
rms = [0.002, 0.005, 0.008]

"""
"""Draws in place of a covariance, few residuals, and the errors of backtests, which widen with the compute."""

SETTINGS = [
    ("cluster", {}),
    ("cluster", {"budget": 12}),
    ("cluster", {"budget": 1.5, "price": 4}),
    ("cluster", {"budget": 90, "price": 2}),
    ("cluster", {"share": 2.5}),
    ("cluster", {"budget": 5, "share": 0.97}),
    ("cluster", {"form": "flops", "budget": 3e21}),
    ("cluster", {"form": "flops", "budget": 7e22, "share": 1.4}),
    ("cluster", {"form": "cost", "budget": 123456, "price": 3.21}),
    ("cluster", {"form": "gpu_hours", "budget": 80000}),
    ("money", {}),
    ("money", {"budget": 1e6}),
    ("money", {"budget": 7000, "price": 0.9, "share": 3}),
    ("money", {"form": "flops", "budget": 2.5e21, "share": 0.1}),
    ("few", {}),
    ("few", {"budget": 4e23}),
    ("few", {"budget": 2e21, "share": 10}),
    ("own", {}),
    ("own", {"budget": 3e20, "price": 7}),
    ("own", {"budget": 2e21, "share": 4}),
    ("own", {"form": "cost", "budget": 900}),
    ("drawn", {}),
    ("drawn", {"budget": 6e23, "share": 2}),
    ("euro", {}),
]

FILL = """
(settings) => {
  const set = (name, value, event) => {
    const control = document.getElementById(`what-if-${name}`);
    control.value = String(value);
    control.dispatchEvent(new Event(event, {bubbles: true}));
  };
  document.getElementById("what-if-reset").click();
  if (settings.form) set("form", settings.form, "change");
  for (const name of ["budget", "share", "price"]) if (name in settings) set(name, settings[name], "input");
  const found = {
    problem: document.getElementById("what-if-problem").textContent,
    command: document.getElementById("what-if-command").textContent,
  };
  for (const value of document.querySelectorAll("#what-if-results data")) {
    const {low, high} = value.dataset;
    const ends = low ? [Number(low), Number(high)] : null;
    const number = value.value === "" ? null : Number(value.value);
    found[value.id.replace("what-if-value-", "")] = [
      number, ends, value.textContent, document.getElementById(value.id.replace("value", "range")).textContent,
    ];
  }
  return found;
}
"""


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    """Return the question of each page."""
    folder = tmp_path_factory.mktemp("preset")
    own, drawn = folder / "own.toml", folder / "drawn.toml"
    own.write_text(preset_text(made(16)), encoding="utf-8")
    source = (data_folder() / "laws" / "besiroglu-2024.toml").read_text(encoding="utf-8")
    drawn.write_text(re.sub(r"(?s)\[uncertainty\].*?(?=\[conventions\])", UNCERTAIN, source), encoding="utf-8")
    files = {"own": {**OWN, "preset": str(own)}, "drawn": {**DRAWN, "preset": str(drawn)}}
    return {"cluster": CLUSTER, "money": MONEY, "few": FEW, "euro": EURO, **files}


@pytest.fixture(scope="module")
def visit(tab, questions, tmp_path_factory):
    """Return how to go to the page of a question, where one is not there already."""
    folder, there = tmp_path_factory.mktemp("pages"), []

    def visited(name):
        path = folder / f"{name}.html"
        if not path.exists():
            path.write_text(report(**questions[name]), encoding="utf-8")
        if there != [name]:
            tab.open(path.as_uri())
            there[:] = [name]
        return tab

    return visited


def test_the_command_of_a_setting_gives_its_plan(visit, capsys):
    """What the page says to ask the program is the same question, in every form of the budget."""
    for name, setting in (SETTINGS[i] for i in (2, 5, 7, 8, 9, 12, 16, 20)):
        page = visit(name).run(f"({FILL})({setting})")
        words = shlex.split(page["command"])
        assert words[:2] == ["scaleplan", "optimal"]
        assert run([*words[1:], "--json", "--quiet"]) == 0
        plan = json.loads(capsys.readouterr().out)
        for key in ("params", "tokens", "loss", "flops"):
            assert page[key][0] == pytest.approx(plan[key], rel=1e-9), page["command"]
        if "cost" in page:
            assert page["cost"][0] == pytest.approx(plan["budget"]["cost"], rel=1e-9)


def asked_of_the_program(question, setting, tokens):
    """Return the plan of the program at a setting of the page; ``tokens`` are those of a share that is not 1."""
    words = {name: value for name, value in question.items() if name not in ("flops", "gpu_hours", "time", "cost")}
    own = next(name for name in ("flops", "time", "cost") if name in question)
    form = setting.get("form") or {"time": "days"}.get(own, own)
    if "budget" not in setting:
        words[own] = question[own]
    elif form == "days":
        words["time"] = f"{setting['budget']}d"
    else:
        words[form] = setting["budget"]
    if "price" in setting:
        words["price"] = setting["price"]
    if setting.get("share", 1) != 1:
        words["tokens"] = tokens
    return sp.optimal(**words)


@pytest.mark.parametrize(("name", "setting"), SETTINGS, ids=str)
def test_the_page_computes_what_the_program_does(visit, questions, name, setting):
    """To 1e-9 at every setting; the sizes of a forecast's interval to the digits that its bends have."""
    page = visit(name).run(f"({FILL})({setting})")
    assert page["problem"] == ""
    plan = asked_of_the_program(questions[name], setting, page["tokens"][0])
    if "share" in setting:
        best = visit(name).run(f"({FILL})({ {**setting, 'share': 1} })")
        share = plan.tokens / best["tokens"][0]
        # a default utilisation follows the size, and with it the compute of the money
        assert share == pytest.approx(setting["share"], rel=1e-9)
    shown = {
        "params": plan.params,
        "tokens": plan.tokens,
        "tokensPerParam": plan.tokens_per_param,
        "loss": plan.loss,
        "flops": plan.flops,
        "gpuHours": plan.budget.gpu_hours,
        "days": plan.budget.days,
        "cost": plan.budget.cost,
    }
    for key, value in shown.items():
        if key in page:
            assert page[key][0] == pytest.approx(value, rel=1e-9), key
    assert page["params"][2] == format_count(plan.params)
    assert page["loss"][2] == format_number(plan.loss, digits=4)
    assert page["flops"][2] == format_flops(plan.flops)
    if "days" in page:
        assert page["days"][2] == format_days(plan.budget.days)
        low, high = page["days"][1] or (0.0, 0.0)
        if high:
            assert page["days"][3] == f"80 %: {bare_end(format_days(low), format_days(high))} – {format_days(high)}"
    if "cost" in page:
        assert page["cost"][2] == money_in(plan.budget.currency)(plan.budget.cost)
    assert page["excessLoss"][0] == pytest.approx(plan.excess_loss, abs=1e-12)
    digits = 1e-8 if name == "own" else 1e-9
    for key, own in (("params", "params"), ("tokens", "tokens"), ("tokensPerParam", "tokens_per_param")):
        assert page[key][1] == pytest.approx(getattr(plan.interval, own), rel=digits), key
    assert page["loss"][1] == pytest.approx(plan.interval.loss, rel=1e-9)
    for key, own in (("gpuHours", "gpu_hours"), ("days", "days"), ("cost", "cost")):
        if key in page and page[key][1] is not None:
            assert page[key][1] == pytest.approx(getattr(plan.budget, f"{own}_interval"), rel=1e-9)


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ({"budget": -3}, "The budget is a number above 0."),
        ({"share": 0}, "The share is a number above 0."),
        ({"budget": 1e-14}, "There is no such plan: no run has so few or so many parameters or tokens."),
    ],
    ids=str,
)
def test_a_setting_without_a_plan_is_named(visit, setting, why):
    """In words, beside no numbers, and marked at the control that is wrong."""
    tab = visit("cluster")
    assert tab.run(f"({FILL})({setting})")["problem"] == why
    assert tab.run("document.getElementById('what-if-results').checkVisibility()") is False
    wrong = tab.run("[...document.querySelectorAll('[aria-invalid=true]')].map((each) => each.id)")
    assert wrong == ([f"what-if-{next(iter(setting))}"] if "number" in why else [])


def test_a_setting_beyond_the_runs_of_the_law_is_doubted(visit):
    """As the program warns of it: by how much, of each quantity."""
    doubt = "document.getElementById('what-if-doubt').textContent"
    tab = visit("cluster")
    tab.run(f"({FILL})({{budget: 5}})")
    assert tab.run(doubt) == ""
    tab.run(f"({FILL})({{form: 'flops', budget: 2.592e22}})")
    assert tab.run(doubt) == "Beyond what this law was fitted on: 2.0x the compute of the largest run."
    setting = {"form": "flops", "budget": 4e22, "price": 1}
    warnings = asked_of_the_program(CLUSTER, setting, None).warnings
    (notice,) = one_a_cause([each for each in warnings if each.code.startswith("extrapolated_")])
    tab.run(f"({FILL})({setting})")
    assert tab.run(doubt).removesuffix(".").lower() == notice.message.partition(";")[0].lower()
    tab = visit("own")
    tab.run(f"({FILL})({{budget: 1e27}})")
    assert tab.run(doubt).endswith("The runs of the law cannot vouch for this optimum.")


def test_a_converted_price_is_no_row_of_digits(visit):
    """$2.95 at 1.08 is 2.7314814…: six digits in the field, and the price of the plan until another is typed."""
    tab = visit("euro")
    tab.run(f"({FILL})({{}})")
    assert tab.run("document.getElementById('what-if-price').value") == "2.73148"
    assert "--price" not in tab.run("document.getElementById('what-if-command').textContent")


def test_a_keyboard_does_all(visit):
    """Every control is reached in order; arrows move a slider and its number; the button goes back to the plan."""
    tab = visit("cluster")
    tab.run(f"({FILL})({{}})")
    tab.run("document.getElementById('what-if-form').focus()")
    reached = []
    for _ in range(7):
        reached.append(tab.run("document.activeElement.id").removeprefix("what-if-"))
        assert tab.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        tab.press("Tab", 9)
    assert reached == ["form", "budget", "budget-slider", "share", "share-slider", "price", "price-slider"]
    assert tab.run("document.activeElement.id") == "what-if-reset"
    tab.run("document.getElementById('what-if-budget-slider').focus()")
    for _ in range(30):
        tab.press("ArrowRight", 39)
    assert float(tab.run("document.getElementById('what-if-budget').value")) == pytest.approx(30 * 10**0.3, rel=5e-3)
    assert tab.run("document.getElementById('what-if-budget-slider').getAttribute('aria-valuetext')") == "59.9 days"
    tab.run("document.getElementById('what-if-reset').focus()")
    tab.ask("Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
    tab.ask("Input.dispatchKeyEvent", type="keyUp", key="Enter", code="Enter", windowsVirtualKeyCode=13)
    assert tab.run("document.getElementById('what-if-budget').value") == "30"


def test_a_screen_reader_is_told_of_every_control_and_of_the_result(visit):
    """Each control has a name and a role, none the name of another; the summary is spoken once it has settled."""
    tab = visit("cluster")
    nodes = tab.ask("Accessibility.getFullAXTree")["nodes"]
    roles = ("slider", "spinbutton", "combobox", "button", "link", "image", "graphics-document", "region")
    named = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]
    controls = [pair for pair in named if pair[0] in roles]
    assert all(name for _, name in controls), controls
    inputs = [name for role, name in controls if role in ("slider", "spinbutton", "combobox")]
    assert len(inputs) == len(set(inputs)) == 7
    tab.run(f"({FILL})({{budget: 60}})")
    tab.run("new Promise((done) => setTimeout(done, 400))")
    spoken = tab.run("document.getElementById('what-if-summary').textContent")
    assert re.fullmatch(r"60\.0 days: \S+ parameters on \S+ tokens, loss [\d.]+, \$[\d,.]+\w?\.", spoken)
    assert tab.run("document.getElementById('what-if-summary').getAttribute('aria-live')") == "polite"


def test_print_has_the_values_of_a_changed_setting_alone(visit):
    """The controls stay off the paper; the plan's own values are printed above already."""
    tab = visit("cluster")
    tab.ask("Emulation.setEmulatedMedia", media="print")
    try:
        seen = "(id) => document.getElementById(id).checkVisibility()"
        tab.run(f"({FILL})({{}})")
        assert tab.run(f"({seen})('what-if')") is False
        tab.run(f"({FILL})({{budget: 60}})")
        assert tab.run(f"({seen})('what-if-results')") is True
        assert tab.run(f"({seen})('what-if-budget')") is False
    finally:
        tab.ask("Emulation.setEmulatedMedia", media="")


def test_nothing_is_refused_and_nothing_is_sent(visit):
    """The policy lets the script run; the console stays empty, and there is no request but that of the page."""
    tab = visit("few")
    tab.open(tab.run("location.href"))
    tab.run(f"({FILL})({{budget: 3e22}})")
    noise = [e for e in tab.events if e["method"] in ("Log.entryAdded", "Runtime.consoleAPICalled")]
    assert noise == []
    sent = {e["params"]["request"]["url"] for e in tab.events if e["method"] == "Network.requestWillBeSent"}
    assert len(sent - {"data:,"}) <= 1
    assert tab.run("document.body.innerHTML.includes('what-if')") is True
    assert not math.isnan(tab.run("Number(document.getElementById('what-if-value-loss').value)"))
