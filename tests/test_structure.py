"""The structure of the source: no circles, names that mean one thing, and imports at the top."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections import defaultdict
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import pytest

import scaleplan
from scaleplan.cli import model as commands
from scaleplan.models import memory_questions, trained, training_setup
from scaleplan.models.usual_ways import way_options
from scaleplan.planning import request as requests
from scaleplan.planning.constraints import constraint_options
from scaleplan.planning.request import Request, option_names

ROOT = Path(scaleplan.__file__).parent
MODULES = {
    ".".join(("scaleplan", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): ast.parse(
        path.read_text(encoding="utf-8")
    )
    for path in ROOT.rglob("*.py")
}
PACKAGES = {name.rpartition(".")[0] for name in MODULES}
LAZY = 70
"""Imports inside functions: in registries and for heavy libraries, where start-up pays for them."""


def imports(name, tree):
    """Yield the modules of this package that a module imports, for types alone too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found = inner if inner in MODULES else node.module
                if found in MODULES and found != name:
                    yield found


def test_no_module_imports_itself_in_a_circle():
    """Not even for its types: a depth-first walk meets no module that it is still inside of."""
    edges = {name: sorted(set(imports(name, tree))) for name, tree in MODULES.items()}
    edges["scaleplan"] = []  # it only lists what can be imported from it
    done, inside = set(), []

    def visit(name):
        assert name not in inside, f"circle: {' -> '.join([*inside[inside.index(name) :], name])}"
        if name not in done:
            inside.append(name)
            for other in edges[name]:
                visit(other)
            inside.pop()
            done.add(name)

    for name in MODULES:
        visit(name)


def test_a_public_class_name_stands_once():
    """A name means one thing in the whole tree."""
    places = defaultdict(list)
    for name, tree in MODULES.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(name)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_a_module_name_stands_twice_only_for_subject_view_and_command():
    """``models.model``, ``output.views.model`` and ``cli.model`` may share a name; two subjects may not."""
    places = defaultdict(list)
    for name in MODULES.keys() - PACKAGES:
        if not {"cli", "output"} & set(name.split(".")) and not name.endswith(".base"):
            places[name.rpartition(".")[2]].append(name)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_imports_stand_at_the_top():
    """Few are inside functions."""
    nodes = {
        (name, node.lineno)
        for name, tree in MODULES.items()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert len(nodes) <= LAZY


def test_a_plan_imports_few_modules():
    """What a plain plan does not need is not loaded; every module costs start-up."""
    code = (
        "import contextlib, io, sys\n"
        "from scaleplan.__main__ import run\n"
        "with contextlib.redirect_stdout(io.StringIO()): run(['optimal', '--flops', '1e21'])\n"
        "print(sum(name.partition('.')[0] == 'scaleplan' for name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 45


KEYWORDS = [name for name in vars(requests) if name.endswith("Keywords")]


@pytest.mark.parametrize("name", KEYWORDS)
def test_keywords_of_python_are_declared_options(name):
    """The typed keywords are those of the request and of the registered constraints, and nothing else."""
    keywords = set(getattr(requests, name).__annotations__)
    declared = {item.name for item in fields(Request)} | {option.name for option in constraint_options()}
    assert keywords <= declared


def test_every_option_can_be_given_in_python():
    """A keyword that is missing from the typed ones would be refused by a type checker."""
    typed = set(requests.BudgetKeywords.__annotations__)
    declared = set(option_names("hardware", "budget", "law", "python", "limits", "sides", "run", "memory"))
    assert declared | {option.name for option in constraint_options()} == typed
    assert set(get_type_hints(requests.HardwareKeywords, localns={"Amount": str})) == {
        *option_names("hardware"),
        "gpus",
    }


def test_options_of_memory_are_those_of_python():
    """The command, the function and what a training config states have the same names; each is about one thing."""
    keywords = set(inspect.signature(memory_questions.memory).parameters) - {"source", "data"}
    groups = [group for name, group in vars(commands).items() if name.endswith("Options") and name != "ShapeOptions"]
    assert keywords - {"margins"} <= set().union(*(group.__annotations__ for group in groups))
    training = {*training_setup.LAYOUT, *way_options()}
    assert keywords - training == {"gpu", "serve", "sequences", "weight_bits", "cache_bits", "vocab"}
    assert training <= keywords
    assert {*trained._OPTIONS.values(), *trained._WAYS.values()} <= training
