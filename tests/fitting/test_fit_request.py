"""The request of a fit: one declaration for the command line, Python and the record."""

from dataclasses import MISSING, fields

import pytest

import scaleplan as sp
from scaleplan.cli.fit import LawFormOptions, ObjectiveOptions, PresetOptions, ReadingOptions
from scaleplan.errors import UsageError
from scaleplan.fitting.fit_request import (
    FitKeywords,
    FitRequest,
    ObjectiveKeywords,
    ReadingKeywords,
    reading_arguments,
)
from scaleplan.fitting.objective import Objective

GROUPS = (ReadingOptions, ObjectiveOptions, LawFormOptions, PresetOptions)


def names(group):
    return {item.name for item in fields(group)}


def test_every_keyword_is_an_option_and_every_option_a_keyword():
    """The command line and Python take the same words."""
    assert names(ReadingOptions) == set(ReadingKeywords.__annotations__)
    assert names(ObjectiveOptions) == set(ObjectiveKeywords.__annotations__)
    assert set().union(*map(names, GROUPS)) == set(FitKeywords.__annotations__)


def test_the_request_holds_every_keyword():
    """What is not about reading is a field of the request or of its objective."""
    about_reading = {"group", *ReadingKeywords.__annotations__}
    held = names(FitRequest) | names(Objective)
    assert held - {"objective", "reading"} == set(FitKeywords.__annotations__) - about_reading


def test_defaults_of_the_options_are_those_of_the_request():
    """The command line without options and Python without keywords ask for the same fit."""
    defaults = {item.name: item.default for group in GROUPS for item in fields(group) if item.default is not MISSING}
    assert set(defaults) == set(FitKeywords.__annotations__)
    assert FitRequest.parse(defaults) == FitRequest.parse({}) == FitRequest(objective=Objective())


def test_only_changed_words_of_reading_are_repeated():
    """A preset repeats how the file was read, and is silent about defaults."""
    words = {"map": {"loss": "eval/loss"}, "where": ("lr <= 1",), "best": False, "loss_unit": "nats", "group": "mix"}
    request = FitRequest.parse(words)
    assert request.reading == {"group": "mix", "map": ["loss=eval/loss"], "where": ["lr <= 1"]}
    assert reading_arguments(words)["mapping"] == {"loss": "eval/loss"}


def test_a_curve_needs_its_columns_and_the_best_of_a_sweep_its_loss():
    """What every run must have follows from the form, and from --best."""
    curve = {"form": "power", "x": "data", "y": "tokens"}
    assert FitRequest.parse(curve).needed_roles == ("tokens",)
    assert FitRequest.parse(curve).extra_columns == ("data",)
    assert FitRequest.parse({**curve, "best": True}).needed_roles == ("tokens", "loss")
    assert FitRequest.parse({"form": "allocation"}).needed_roles == ("params", "tokens", "flops")
    assert FitRequest.parse({}).needed_roles == ("params", "tokens", "flops", "loss")


@pytest.mark.parametrize(
    "words",
    [
        {"x": "params"},
        {"form": "kaplan", "tied": True},
        {"samples": 1},
        {"target": "1e23", "form": "data_constrained"},
    ],
)
def test_contradictions_are_refused(words):
    """A request that contradicts itself is refused before any file is read."""
    with pytest.raises(UsageError):
        FitRequest.parse(words)


@pytest.mark.parametrize("samples", ["1", "1e9"])
@pytest.mark.parametrize("question", [sp.fit, sp.backtest])
def test_resamples_without_an_interval_or_without_end_are_refused(question, samples):
    """One gives no interval, and a thousand million no memory: refused before any file is read."""
    with pytest.raises(UsageError, match="resamples") as caught:
        question("nosuch.csv", samples=samples)
    assert "100,000 the most" in caught.value.hint
