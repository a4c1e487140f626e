"""Python as a scientist uses it: signatures, hints, results in a line, in a notebook and as data frames."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from dataclasses import FrozenInstanceError, fields, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import scaleplan as sp
from scaleplan.cli.app import COMMANDS
from scaleplan.errors import Notice
from scaleplan.output import Rendering
from scaleplan.output.data import flat
from scaleplan.planning.constraints import constraint_options
from scaleplan.planning.request import ConversionKeywords, Request
from scaleplan.signatures import OLD_KEYWORDS

FUNCTIONS = [name for name in sp.__all__ if inspect.isfunction(getattr(sp, name))]

PLANNING = ("optimal", "loss", "target", "sweep", "compare", "register", "report", "marginal", "hyperparameters")

OF_GROUPS = {
    "presets": ("list_presets", "show_preset", "validate_presets"),
    "gpus": ("list_gpus", "show_gpu", "compare_gpus"),
    "models": ("list_models", "show_model"),
    "ladder": ("ladder_status",),
    "families": ("list_families", "show_family", "validate_families"),
}
"""Of commands with commands of their own, the functions: ``presets`` and ``models`` are packages already."""

OF_OTHER_NAMES = {"show": "load", "break-even": "break_even"}

OF_THE_TERMINAL = {"help", "schema"}
"""Commands about the command line and its files; Python has ``help`` of its own."""


@pytest.fixture(scope="module")
def plan():
    return sp.optimal(flops="1e21")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_its_function(command):
    """Of the same name, or as the tables above say."""
    for name in OF_GROUPS.get(command, (OF_OTHER_NAMES.get(command, command),)):
        assert name in sp.__all__ or command in OF_THE_TERMINAL, name


def test_the_reference_lists_every_function():
    """Each once."""
    page = Path(__file__).parents[1] / "docs" / "reference" / "python.md"
    if not page.is_file():
        pytest.skip("the pages lie in the repository")
    listed = re.findall(r"(?m)^\.\. autofunction:: (\w+)$", page.read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_documented_with_its_keywords(name):
    """No keyword hides behind ``**options``, none has an old name, and what is required has no default."""
    signature = inspect.signature(getattr(sp, name))
    hidden = [each for each in signature.parameters.values() if each.kind is each.VAR_KEYWORD]
    assert not hidden or name == "evaluate"  # whose keywords are those that the law declares
    assert not OLD_KEYWORDS & signature.parameters.keys()
    assert inspect.getdoc(getattr(sp, name))
    assert "'" not in re.sub(r"= '[^']*'|\('[^)]*\)", "", str(signature)) or name == "evaluate"


@pytest.mark.parametrize("name", PLANNING)
def test_help_has_a_line_for_every_option_of_a_request(name):
    """With the type, and the default where there is one."""
    function = getattr(sp, name)
    shown, text = inspect.signature(function).parameters, inspect.getdoc(function)
    options = {item.name for item in fields(Request) if item.metadata.get("help")}
    for option in (options | {each.name for each in constraint_options()}) & shown.keys():
        assert re.search(rf"(?m)^(?:\w+, )*{option}(?:, \w+)*(?: : .+)?\n    \S", text), option
    assert not re.search(r"--\w", text)


def test_signatures_have_types_and_defaults():
    """As ``inspect`` and a notebook show them; editors read the typed keywords in the source."""
    shown = inspect.signature(sp.optimal).parameters
    assert list(shown)[:5] == ["flops", "gpu_hours", "gpus", "time", "cost"]
    assert shown["level"].default == 0.9
    assert repr(shown["gpu"].annotation) == "str | None"
    assert {"unique_tokens", "inference_tokens", "shape", "model"} <= shown.keys()
    assert inspect.signature(sp.convert).parameters.keys() >= ConversionKeywords.__annotations__.keys()
    reading = inspect.signature(sp.fit).parameters
    assert (reading["loss_unit"].default, reading["form"].default, reading["best"].default) == (
        "nats", "additive", False,
    )  # fmt: skip
    assert pickle.loads(pickle.dumps(sp.optimal)) is sp.optimal


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (lambda: sp.optimal(param=1), "unexpected keyword argument 'param': did you mean 'params'?"),
        (lambda: sp.optimal(flops=1e21, gpu_type="h100"), "did you mean 'gpu'?"),
        (lambda: sp.optimal(flops=[1e21], parms=1), "did you mean 'params'?"),
        (lambda: sp.fit("x.csv", loss_units="bits"), "did you mean 'loss_unit'?"),
        (lambda: sp.track("x.log", step=1), "did you mean 'steps'?"),
        (lambda: sp.memory("7B", seq_len=1), "did you mean 'context'?"),
        (lambda: sp.convert(flops=1e21, device="h100"), "did you mean 'gpu'?"),
        (lambda: sp.optimal(flops=1e21, xyzzy=1), "unexpected keyword argument 'xyzzy'"),
    ],
)
def test_an_unknown_keyword_gets_a_hint(call, hint):
    """A slip, or another word for the same thing."""
    with pytest.raises(TypeError, match=re.escape(hint) + "$"):
        call()


def test_an_amount_by_position_is_told_its_keyword():
    """What takes keywords alone says which one comes first; one GPU is as good as a list of one."""
    with pytest.raises(TypeError, match=re.escape("optimal() takes keywords alone, such as flops=…")):
        sp.optimal(1e21)
    with pytest.raises(TypeError, match=re.escape("loss() takes keywords alone, such as params=…")):
        sp.loss("7B", "2T")
    assert [row.gpu for row in sp.compare_gpus("h100", flops="1e21").compared] == ["h100-sxm"]


def test_an_unknown_attribute_gets_a_hint(plan):
    """Of the package, of a result, and of a record in it."""
    with pytest.raises(AttributeError, match="no attribute 'optimize': did you mean 'optimal'"):
        sp.optimize  # noqa: B018
    with pytest.raises(AttributeError, match="Plan has no attribute 'parameters': did you mean 'params'"):
        plan.parameters  # noqa: B018
    with pytest.raises(AttributeError, match="Budget has no attribute 'gpu_hour': did you mean 'gpu_hours'"):
        plan.budget.gpu_hour  # noqa: B018
    for name, meant in (("cost", "budget.cost"), ("days", "budget.days"), ("n", "params")):
        with pytest.raises(AttributeError, match=f"Plan has no attribute '{name}': did you mean '{meant}'"):
            getattr(plan, name)
    for name, meant in (("plan", "optimal"), ("gpus", "list_gpus"), ("plam", None)):
        with pytest.raises(AttributeError, match=f"'{name}'" + (f": did you mean '{meant}'" if meant else "$")):
            getattr(sp, name)
    with pytest.raises(AttributeError, match="no attribute 'xyzzy'"):
        sp.show_gpu("h100").xyzzy  # noqa: B018
    assert plan.epochs is None  # a key of a constraint
    assert not hasattr(plan, "_anything")


def test_old_names_of_keywords_are_taken():
    """Beside those of today, and not both."""
    assert sp.sweep(start=1e20, stop=1e21, points=2) == sp.sweep(from_=1e20, to=1e21, points=2)
    words = {"flops": 1e22, "gpu": "h100-sxm"}
    assert sp.convert(**words, grid="USA", model_params="7B") == sp.convert(**words, region="USA", params="7B")


RESULTS = {
    "Plan": lambda: sp.optimal(flops="1e21"),
    "Plans": lambda: sp.sweep(from_=1e18, to=1e24),
    "PlanArray": lambda: sp.optimal(flops=[1e20, 1e22]),
    "Conversion": lambda: sp.convert(flops=1e24, gpu="h100-sxm"),
    "Evaluation": lambda: sp.evaluate("besiroglu-2024", params="7B", tokens="2T"),
    "Model": lambda: sp.model("llama-3.1-8b"),
    "Shape": lambda: sp.shape("7B"),
    "MemorySummary": lambda: sp.memory("7B", gpu="h100-sxm"),
    "Ways": lambda: sp.ways("7B", gpu="h100-sxm", tokens="1B"),
    "Ladder": lambda: sp.make_ladder(
        sp.design(flops=1e18, target=1e21, limit=["params >= 1M"], most_runs=4),
        output="pilots",
        command="train --out {out}",
        gpu="h100",
    ),
    "Marginal": lambda: sp.marginal(flops=1e21),
    "Advice": lambda: sp.hyperparameters(flops=1e21),
    "PrecisionChoice": lambda: sp.precisions(cost="250k", gpu="b200"),
    "Vocabulary": lambda: sp.vocab("7B"),
    "AcceleratorList": sp.list_gpus,
    "PresetList": lambda: sp.list_presets(form="kaplan"),
    "PricedAccelerator": lambda: sp.show_gpu("h100"),
    "PresetSummary": lambda: sp.show_preset("chinchilla"),
    "PublicModel": lambda: sp.show_model("llama-3.1-8b"),
    "FamilySummary": lambda: sp.show_family("llama"),
    "Chart": lambda: sp.plot("frontier", flops=1e21),
    "LoggedRuns": lambda: sp.runs({"step": list(range(1, 40)), "loss": [3 - i / 100 for i in range(39)]}),
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_shown_in_a_line_as_text_and_as_html(name):
    """Of every kind: ``repr`` is short, ``str`` the report, and the HTML has matched tags and no script."""
    result = RESULTS[name]()
    assert re.fullmatch(rf"{name}\(.{{3,200}}\)", repr(result))
    assert str(result).splitlines()[0] in Rendering(result.viewed()).write("text")
    found = Tags()
    found.feed(result._repr_html_())
    assert found.open == []
    assert "script" not in found.seen
    assert ("svg" if name == "Chart" else "div") in found.seen
    columns = result.to_columns()
    assert len({len(cells) for cells in columns.values()}) == 1
    assert "schema" not in columns


class Tags(HTMLParser):
    """The elements of a text, checked to be closed."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], set()

    def handle_starttag(self, tag, attributes):
        self.seen.add(tag)
        if tag not in {"br", "col", "hr", "img", "link", "meta"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_plan_in_one_line(plan):
    """What was asked, by which law, and the answer."""
    assert repr(plan) == "Plan(1e21 FLOP, besiroglu-2024: 2.78B parameters, 60.0B tokens, loss 2.306)"
    assert repr(sp.sweep(from_=1e18, to=1e24)) == "Plans(13 plans, 1e18 – 1e24 FLOP, besiroglu-2024)"


def test_what_is_foreign_is_escaped_and_warnings_are_shown(plan):
    """A name from a file cannot become markup in a notebook; no warning is lost."""
    odd = replace(plan, preset="<img src=x>", warnings=(Notice(code="w", message="mind <b>this</b>"),))
    assert "<img" not in odd._repr_html_()
    assert "Warning: mind &lt;b&gt;this" in odd._repr_html_()
    assert str(odd).endswith("warning: mind <b>this</b>")


def test_a_record_that_no_view_can_show_has_a_repr(plan):
    """Made by hand, it may hold anything."""
    assert repr(replace(plan, flops="?")).startswith("Plan(preset, form, flops")


def test_results_are_copied_pickled_and_stay_frozen(plan):
    """As values are."""
    assert pickle.loads(pickle.dumps(plan)) == copy.deepcopy(plan) == copy.copy(plan) == plan
    assert replace(plan, loss=2.0).loss == 2.0
    if hasattr(copy, "replace"):  # from Python 3.13 on
        assert copy.replace(plan, loss=2.0).loss == 2.0
    with pytest.raises(FrozenInstanceError):
        plan.loss = 1.0


def test_several_plans_are_a_sequence():
    """Length, items, slices, in order."""
    plans, many = sp.sweep(from_=1e20, to=1e22, points=3), sp.optimal(flops=[1e20, 1e21, 1e22])
    assert (len(plans[1:]), plans[-1].flops, plans[0]) == (2, 1e22, next(iter(plans)))
    assert many[-1].params == plans[-1].params
    assert many[1:].params.tolist() == [plan.params for plan in plans[1:]]


def test_columns_are_those_of_the_csv_without_empty_ones():
    """By dotted names, of one type each."""
    plans = sp.sweep(from_=1e20, to=1e22, points=3, gpu="h100-sxm")
    columns = plans.to_columns()
    rows = [dict(flat(plan.to_dict())) for plan in plans]
    assert columns.keys() < rows[0].keys()
    assert columns["interval.loss.low"] == [row["interval.loss.low"] for row in rows]
    assert columns["budget.gpu"] == ["h100-sxm"] * 3
    left = rows[0].keys() - columns.keys() - {"schema"}
    assert all(row[name] in (None, "", "[]") for row in rows for name in left)
    many = sp.optimal(flops=[plan.flops for plan in plans]).to_columns()
    assert many["params"] == columns["params"]
    assert many["near_optimal.params.high"] == columns["near_optimal.params.high"]
    np.testing.assert_allclose(many["interval.tokens.low"], columns["interval.tokens.low"])


@pytest.mark.parametrize(
    ("library", "method"), [("pandas", "to_pandas"), ("polars", "to_polars"), ("pyarrow", "to_arrow")]
)
def test_results_become_data_frames(library, method):
    """And a frame of runs goes back into a fit."""
    pytest.importorskip(library, reason=f"{library} is not installed")
    frame = getattr(sp.compare(flops="1e21"), method)()
    assert len(frame) == 9
    assert list(getattr(frame, "column_names", None) or frame.columns)[:3] == ["preset", "form", "flops"]
    assert len(getattr(sp.list_gpus(), method)()) == len(sp.list_gpus().gpus)
    assert len(getattr(sp.optimal(flops=1e21), method)()) == 1


def test_a_library_that_is_not_there_is_named(monkeypatch, plan):
    """With the way to have it."""
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(sp.ScaleplanError, match="pandas is not installed"):
        plan.to_pandas()


def test_a_project_is_judged_compared_and_started(tmp_path, plan):
    """The functions of check, diff, show and init."""
    file = tmp_path / "scaleplan.toml"
    assert sp.init(tmp_path).file == str(file)
    with pytest.raises(sp.ScaleplanError, match="exists already"):
        sp.init(file)
    file.write_text('[[run]]\nname = "a"\nflops = "1e21"\n[policy]\nerror = ["params <= 1B"]\n')
    checked = sp.check(file)
    assert (checked.exit_status, len(checked.verdicts)) == (1, 1)
    assert sp.check(tmp_path, limit=["loss <= 3"]).verdicts[-1].status == "pass"
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    for path, flops in ((before, "1e21"), (after, "2e21")):
        path.write_text(Rendering(sp.optimal(flops=flops)).write("json"))
    assert sp.load(before).to_dict() == plan.to_dict()
    compute = next(each for each in sp.diff(before, after).changes if each.quantity == "flops")
    assert (compute.before, compute.after) == (1e21, 2e21)


def test_the_default_of_jobs_is_shown_as_it_is_given():
    """The record that it becomes says nothing to a reader."""
    assert "jobs: str | float = 1," in str(inspect.signature(sp.fit_each)).replace("'", "")
