"""The JSON Schemas of the files that people write agree with what reads the files."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import tomllib
from collections import defaultdict
from pathlib import Path
from random import Random

import pytest
from jsonschema import Draft202012Validator

import scaleplan
from scaleplan.errors import FileError
from scaleplan.files import data_folder
from scaleplan.hardware.accelerators import Accelerators
from scaleplan.hardware.prices import Prices
from scaleplan.models.families.finding import described
from scaleplan.output.file_schemas import FILES
from scaleplan.output.schemas import schema, schema_list
from scaleplan.presets.library import preset_of
from scaleplan.project.project import read_project
from scaleplan.toml_table import Table

PROJECT = """
[defaults]
gpu = "h100-sxm"
mfu = 0.4
[[run]]
name = "base"
from = "train.yaml"
model = "llama.json"
tokens = { batch = "data.batch", sequence = 8192, steps = ["steps", 2] }
gpus = { key = ["cluster.nodes", "cluster.devices"], from = "cluster.toml" }
region = "USA"
limit = ["params <= 7B"]
[[run]]
name = "of-a-size"
params = 7e9
tokens = { batch_tokens = 1000000, steps = "steps", from = "train.yaml" }
preset = { key = "law", from = "train.yaml" }
policy.warn = [{ limit = "epochs <= 1", message = "new data is cheaper" }, "loss <= 2"]
[policy]
error = ["cost <= 250k USD"]
"""

FORECAST = {
    "law": {"E": 1.8, "A": 400.0, "B": 1500.0, "alpha": 0.34, "beta": 0.36, "gamma": 1.0},
    "span": [40.0, 50.0, 1.0, 5.0],
    "terms": [[0, 0]],
    "weights": [0.0],
    "root": [0.01],
    "noise": 0.005,
}


def read_toml(path):
    return tomllib.loads(Path(path).read_text())


def toml_text(data):
    """Return a document with inline tables alone, which takes any value."""
    return "".join(f"{key} = {inline(value)}\n" for key, value in data.items())


def inline(value):
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{json.dumps(key)} = {inline(inner)}' for key, inner in value.items())} }}"
    return f"[{', '.join(map(inline, value))}]" if isinstance(value, list) else json.dumps(value)


def laws():
    """Return presets of every form, and one with every table."""
    found = {}
    for path in sorted((data_folder() / "laws").iterdir()):
        data = read_toml(path)
        found.setdefault(data["form"], data)
    full = copy.deepcopy(found["additive"])
    full["schema"] = 2
    full.pop("units", None)
    full["forecast"] = FORECAST
    full["coefficients"] = {key: value for key, value in FORECAST["law"].items() if key != "gamma"}
    full["range"] = {"params": [1e7, 1e9], "tokens": [1e9, 1e12], "flops": [1e17, 1e21], "tokens_per_param": [3, 140]}
    full["fit"] = {"file": "runs.csv"}
    full["use"] = {"allocate": False, "reason": "a test"}
    full["line"] = {"params": [1e7, 1e8], "tokens": [2e8, 2e9], "within": 1.1}
    full["conventions"]["bytes_per_token"] = 4.2
    full["notes"] = [{"text": "a note", "warn": True}]
    full["uncertainty"] = {
        "parameters": ["E"], "covariance": [[1e-6]], "centre": [1.8], "method": "none", "samples": 10, "freedom": 9,
        "backtest": {"factors": [1.0], "rms": [0.01]},
    }  # fmt: skip
    drawn = copy.deepcopy(full)
    drawn["uncertainty"] = {"parameters": ["E"], "draws": [[1.8], [1.9]]}
    return [*found.values(), full, drawn]


def devices(data, folder):
    """Read accelerators as the program does, each of them."""
    (folder / "accelerators.toml").write_text(toml_text(data))
    Accelerators([folder]).all()


def prices(data, folder):
    (folder / "prices.toml").write_text(toml_text(data))
    Prices([folder])


def project(data, folder):
    (folder / "scaleplan.toml").write_text(toml_text(data))
    read_project(folder / "scaleplan.toml")


def law(data, folder):
    preset_of(Table(tomllib.loads(toml_text(data)), source="law.toml"))


def family(data, folder):
    described(tomllib.loads(toml_text(data)), source="mine.toml")


READERS = {"preset": law, "project": project, "accelerators": devices, "prices": prices, "family": family}


def small(name, table, most):
    """Return a file with few of its rows, so that reading it takes no time: one with each key."""
    data = read_toml(data_folder() / f"{name}.toml")
    rows, seen = [], set()
    for row in data[table]:
        new = {(key, inner) for key in row for inner in (row[key] if isinstance(row[key], dict) else "-")}
        if new - seen and len(rows) < most:
            rows.append(row)
            seen |= new
    return data | {table: rows}


@pytest.fixture(scope="module")
def files():
    """Return files of each kind that the readers take."""
    gpus = small("accelerators", "accelerator", 30)
    gpus["accelerator"].append(
        {
            "id": "mine", "name": "Mine", "vendor": "me", "year": 2026, "memory_bytes": 8e10, "bandwidth_gbs": 1e3,
            "sources": ["a note"], "power_w": 400, "host_power_w": 0, "power_source": "measured",
            "tdp_estimated": True, "tdp_basis": "measured maximum", "unified_memory": True, "link_devices": 4,
            "note": "-", "form": "-",
            "class_by_likeness": True, "sparse_headline": True, "status": "partly verified", "class": "h100",
        }
    )  # fmt: skip
    owned = {
        "accelerators": ["mine"], "price": 25e3, "years": 4, "use": 0.7, "overhead": 0.3, "power_price": 0.1,
        "source": "a note", "date": "2026",
    }  # fmt: skip
    rented = small("prices", "price", 6) | {"default": read_toml(data_folder() / "prices.toml")["default"][:3]}
    return {
        "preset": laws(),
        "project": [tomllib.loads(PROJECT)],
        "accelerators": [gpus],
        "family": [read_toml(data_folder() / "families" / f"{name}.toml") for name in ("llama", "zamba", "bert")],
        "prices": [rented | {"owned": [owned]}],
    }


@pytest.fixture(scope="module")
def validators():
    return {name: Draft202012Validator(schema(name)) for name in FILES}


def test_every_shipped_file_is_of_its_schema(validators):
    """All laws, accelerators, prices and families that come with the program, and the project to start from."""
    root = data_folder()
    found = {
        "preset": [*(root / "laws").iterdir()],
        "accelerators": [root / "accelerators.toml"],
        "prices": [root / "prices.toml"],
        "family": sorted((root / "families").glob("*.toml")),
        "project": [Path(scaleplan.__file__).parent / "project" / "starter.toml"],
    }
    assert found.keys() == FILES.keys()
    for name, paths in found.items():
        for path in paths:
            assert [error.message for error in validators[name].iter_errors(read_toml(path))] == [], path


def test_schemas_are_schemas_with_their_names():
    """Valid by the draft that they name, each with its own id, the same bytes each time."""
    ids = set()
    for entry in schema_list().schemas:
        found = schema(entry.name)
        Draft202012Validator.check_schema(found)
        assert found["$id"] == f"urn:{entry.id.replace('/', ':', 1)}"
        ids.add(entry.id)
        assert json.dumps(found) == json.dumps(schema(entry.id))
    assert len(ids) == len(schema_list().schemas)


def inside(document, path, form):
    """Return the schema of the table at a path of a file, of coefficients that of the form."""
    if path == ("coefficients",):
        branches = (each for each in document["allOf"] if each["if"]["properties"]["form"]["const"] == form)
        return next(branches)["then"]["properties"]["coefficients"]
    node = document
    for key in path:
        node = node["properties"][key]
        node = node.get("items", node)
    return node


@pytest.mark.parametrize("name", [name for name in READERS if name != "family"])  # which are read without getters
def test_a_schema_has_the_keys_that_the_reader_reads(name, files, validators, monkeypatch, tmp_path):
    """Of each table, neither more nor less; a reader that learns a key is found here until its schema has it."""
    read = defaultdict(set)
    done = Table.done

    def watched(table):
        done(table)
        path = tuple(part.partition("[")[0] for part in table.path.split(".")) if table.path else ()
        read[top["form"] if path == ("coefficients",) else "", path] |= table.read

    monkeypatch.setattr(Table, "done", watched)
    for top in files[name]:
        READERS[name](top, tmp_path)
    document = validators[name].schema
    assert read
    for (form, path), keys in read.items():
        if "policy" in path and len(path) > 1 and path[-1] in ("error", "warn"):  # a rule: a text, or a table
            assert keys == {"limit", "message"}
            continue
        node = inside(document, path, form)
        patterned = {key for key in keys if any(key[0] in pattern for pattern in node.get("patternProperties", {}))}
        assert keys - patterned == set(node["properties"]), (form, path)


def tables_in(value, path=()):
    """Yield the way to every table of a file, of lists the first three."""
    if isinstance(value, dict):
        yield path
        for key, inner in value.items():
            yield from tables_in(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value[:3]):
            yield from tables_in(inner, (*path, i))


def at(value, path):
    for key in path:
        value = value[key]
    return value


def is_read(name, data, folder):
    try:
        READERS[name](data, folder)
    except FileError:
        return False
    return True


FREE = {"sources", "fit", "exponents", "let", "fields", "defaults", "config", "model", "part", "stack"}
"""Tables with any keys, or with a language of their own."""


@pytest.mark.parametrize("name", READERS)
def test_an_unknown_key_is_refused_by_schema_and_reader(name, files, validators, tmp_path):
    """In every table of every file."""
    for whole in files[name]:
        for path in tables_in(whole):
            if FREE & {*path}:
                continue
            data = copy.deepcopy(whole)
            at(data, path)["nosuch"] = 1
            assert not validators[name].is_valid(data), path
            assert not is_read(name, data, tmp_path), path


WRONG = (True, 0, -1, 2, 0.5, "x", "", [], [1, "a"], ["a"], {}, {"a": 1}, [[1], "b"], [{"a": 1}])


@pytest.mark.parametrize("name", READERS)
def test_what_a_schema_refuses_the_reader_refuses(name, files, validators, tmp_path):
    """Any value of any file replaced or gone; and a flag or a table in place of a text is refused by both."""
    choose = Random(name)
    for _ in range(100):
        whole = copy.deepcopy(choose.choice(files[name]))
        table = at(whole, choose.choice([path for path in tables_in(whole) if not FREE & {*path}]))
        if not table:
            continue
        key = choose.choice([*table])
        old, new = table.pop(key), choose.choice((None, *WRONG))
        if new is not None:
            table[key] = new
        by_reader, by_schema = is_read(name, whole, tmp_path), validators[name].is_valid(whole)
        assert by_schema or not by_reader, (key, old, new)
        if isinstance(old, str) and isinstance(new, bool | dict) and key != "if":  # which is an expression
            assert not by_schema, (key, old, new)
            assert not by_reader, (key, old, new)


@pytest.mark.skipif(shutil.which("taplo") is None, reason="taplo is not installed")
def test_taplo_takes_the_schema_of_a_project(tmp_path):
    """An editor that knows TOML finds a wrong key by it, and none in a right file."""
    place = tmp_path / "project.schema.json"
    place.write_text(json.dumps(schema("project")))
    for text, status in ((PROJECT, 0), (PROJECT.replace("[policy]\nerror", "[policy]\nerorr"), 1)):
        file = tmp_path / "scaleplan.toml"
        file.write_text(text)
        done = subprocess.run(
            ["taplo", "lint", "--schema", place.as_uri(), str(file)], capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stderr
