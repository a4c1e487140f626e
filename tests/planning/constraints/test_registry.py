"""A constraint is one file and one entry: nothing else knows of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import scaleplan as sp
from scaleplan.planning.constraints import CONSTRAINTS, constraint_keys, constraint_options

FILE = '''
"""An effective quantity for a test: tokens of a given quality."""

from dataclasses import dataclass

from scaleplan.planning.constraints.base import EffectiveQuantity
from scaleplan.planning.constraints.recipe import Scaled
from scaleplan.errors import Notice


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality(EffectiveQuantity):
    quality: float

    @classmethod
    def from_options(cls, options):
        return cls(quality=float(options["data_quality"]))

    def on(self, surface):
        return Scaled(most=(1.0, self.quality))

    def facts(self, point):
        return {"data_quality": self.quality}

    def notices(self, point):
        return (Notice(code="quality", message="quality is assumed"),)

    @staticmethod
    def remarks(facts):
        return (f"each token counts for {facts['data_quality']:g}",)
'''
MAIN = """
import sys
from scaleplan.planning.constraints.base import Entry, Key, Option
from scaleplan.planning.constraints import CONSTRAINTS
CONSTRAINTS["quality"] = Entry(
    where="quality:Quality",
    options=(Option("data_quality", "F", "What a token is worth."),),
    keys=(Key("data_quality", "data quality"),),
)
from scaleplan.__main__ import main
main()
"""


@pytest.fixture
def scaleplan(tmp_path):
    (tmp_path / "quality.py").write_text(FILE)
    (tmp_path / "start.py").write_text(MAIN)

    def run(*words):
        return subprocess.run(
            [sys.executable, str(tmp_path / "start.py"), *words],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(sp.__file__).parents[1])])},
        )

    return run


def test_one_file_and_one_entry_add_an_effective_quantity(scaleplan):
    """Its option, its key, its fact, its remark and its notice are all there, and the law sees its effect."""
    assert "--data-quality" in scaleplan("optimal", "--help-all").stdout
    done = scaleplan("optimal", "--flops", "1e21", "--data-quality", "2", "--json")
    plan = json.loads(done.stdout)
    assert plan["data_quality"] == 2
    assert "quality is assumed" in done.stderr
    # twice the tokens for the same: the law at (N, 2 D)
    assert plan["loss"] == pytest.approx(sp.loss(params=plan["params"], tokens=2 * plan["tokens"]).loss, rel=1e-12)
    text = scaleplan("optimal", "--flops", "1e21", "--data-quality", "2").stdout
    assert "data quality" in text
    assert "each token counts for 2" in text


def test_it_joins_what_was_there(scaleplan):
    """With repeated data, inference and a limit it makes one problem, and the stack is said."""
    done = scaleplan(
        *("target", "--loss", "2.2", "--data-quality", "1.5", "--unique-tokens", "100B"),
        *("--inference-tokens", "1T", "--limit", "epochs <= 4", "--json"),
    )
    plan = json.loads(done.stdout)
    assert plan["loss"] == pytest.approx(2.2, rel=1e-9)
    assert plan["epochs"] <= 4
    assert "stacked_assumptions" in {each["code"] for each in plan["warnings"]}


def test_every_key_is_in_every_plan():
    """A key of a constraint that was not asked for is null, and None as an attribute."""
    plan = sp.optimal(flops=1e21)
    for key in constraint_keys():
        assert plan.to_dict()[key.name] is None
        assert getattr(plan, key.name) is None
    with pytest.raises(AttributeError, match="no attribute 'nosuch'"):
        plan.nosuch  # noqa: B018


def test_names_are_unique():
    """No two constraints declare the same option or key, and every class can be loaded."""
    for names in ([option.name for option in constraint_options()], [key.name for key in constraint_keys()]):
        assert len(set(names)) == len(names)
    assert all(entry.load().remarks for entry in CONSTRAINTS.values())


def test_an_unknown_word_is_refused():
    """A misspelt keyword is a TypeError, as for any Python function."""
    with pytest.raises(TypeError, match="unique_token"):
        sp.optimal(flops=1e21, unique_token=1e9)
