"""JSON Schema of the files that people write: presets, projects, accelerators, prices, descriptions of families.

Names, choices and bounds are those of the readers, and a test reads files with both: what a schema refuses the reader
refuses, each key that the reader reads stands here, and a key that it does not know is refused by both. Rules between
several keys, and the grammar of amounts, are the readers' alone.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

from scaleplan.files import DATA_SCHEMA
from scaleplan.hardware.accelerators import BASES, PRECISIONS, STATUSES
from scaleplan.hardware.owned import MOST_YEARS
from scaleplan.laws import LAWS, law_class
from scaleplan.laws.base import Units
from scaleplan.laws.curves import BREAK_PARTS, PerInput
from scaleplan.models.families import description
from scaleplan.planning.constraints import constraint_options
from scaleplan.planning.request import SETTINGS
from scaleplan.presets import preset
from scaleplan.presets.library import PRESET_NAME
from scaleplan.presets.preset import FitRange
from scaleplan.project.project import AMOUNTS, SEVERITIES, TEXTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["FILES"]

Node = dict[str, Any]

_TEXT: Node = {"type": "string"}
_TEXTS: Node = {"type": "array", "items": _TEXT}
_FLAG: Node = {"type": "boolean"}
_ABOVE_0: Node = {"type": "number", "exclusiveMinimum": 0}
_NUMBERS: Node = {"type": "array", "items": {"type": "number"}}
_PAIR: Node = {"type": "array", "items": _ABOVE_0, "minItems": 2, "maxItems": 2}
_MATRIX: Node = {"type": "array", "items": _NUMBERS}
_ANY_TABLE: Node = {"type": "object"}
_DATA: dict[str, Node] = {"schema": {"const": DATA_SCHEMA}}
_EXPRESSION: Node = {"type": ["string", "number", "boolean"]}
_AMOUNT: Node = {"type": ["string", "number"]}


def _number(*, above: float | None = None, at_least: float | None = None, at_most: float | None = None) -> Node:
    bounds = {"exclusiveMinimum": above, "minimum": at_least, "maximum": at_most}
    return {"type": "number", **{name: value for name, value in bounds.items() if value is not None}}


def _whole(at_least: int) -> Node:
    return {"type": "integer", "minimum": at_least}


def _one_of(choices: Iterable[object]) -> Node:
    return {"enum": list(choices)}


def _table(required: Mapping[str, Node], optional: Mapping[str, Node] | None = None) -> Node:
    """Return the schema of a table that has some keys, may have others, and has no further one."""
    keys = {**required, **(optional or {})}
    return {"type": "object", "properties": keys, "required": [*required], "additionalProperties": False}


def _tables(each: Node) -> Node:
    return {"type": "array", "items": each}


def preset_file() -> Node:
    """Return the schema of a preset: a law, of which the form says which coefficients there are."""
    conventions = _table(
        {"params": _one_of(preset.PARAMS_CONVENTIONS)},
        {**dict.fromkeys(("flops", "loss", "tokenizer", "corpus"), _TEXT), "bytes_per_token": _number(at_least=1)},
    )
    uncertainty = _table(
        {"parameters": _TEXTS | {"minItems": 1}},
        {
            "covariance": _MATRIX,
            "draws": _MATRIX,
            "centre": _NUMBERS,
            "method": _TEXT,
            "samples": _whole(1),
            "freedom": _whole(1),
            "backtest": _table({"factors": _NUMBERS, "rms": _NUMBERS}),
        },
    )
    forecast = _table(
        {
            "law": coefficients("three_exponent"),
            "span": _NUMBERS | {"minItems": 4, "maxItems": 4},
            "terms": _MATRIX,
            "weights": _NUMBERS,
            "root": _NUMBERS,
            "noise": _ABOVE_0,
        },
        {"reach": _ABOVE_0},
    )
    names = {"type": "string", "pattern": f"^(?:{PRESET_NAME.pattern})$"}
    node = _table(
        {
            "schema": _whole(1) | {"maximum": preset.SCHEMA, "description": "The format of preset files."},
            "id": names,
            "title": _TEXT,
            "source": _TEXT,
            "status": _one_of(preset.STATUSES),
            "form": _one_of(LAWS),
            "conventions": conventions,
            "coefficients": _ANY_TABLE,
        },
        {
            "aliases": _TEXTS | {"items": names},
            "units": _table({}, {item.name: _ABOVE_0 for item in fields(Units)}),
            "range": _table({}, {item.name: _PAIR for item in fields(FitRange)}),
            "uncertainty": uncertainty,
            "forecast": forecast,
            "line": _table({"params": _line(), "tokens": _line(), "within": _number(above=1)}),
            "use": _table({}, {"allocate": _FLAG, "reason": _TEXT}),
            "notes": _tables(_table({"text": _TEXT}, {"warn": _FLAG})),
            "fit": _ANY_TABLE,
        },
    )
    by_form = [
        {
            "if": {"properties": {"form": {"const": form}}, "required": ["form"]},
            "then": {"properties": {"coefficients": coefficients(form)}},
        }
        for form in LAWS
    ]
    return node | {"allOf": by_form}


def _line() -> Node:
    return {"type": "array", "items": _ABOVE_0, "minItems": 2}


def coefficients(form: str) -> Node:
    """Return the schema of the coefficients of a form, as its class declares them."""
    law = law_class(form)
    required: dict[str, Node] = {}
    optional: dict[str, Node] = {}
    patterns: Node = {}
    for item in fields(law):
        meta = item.metadata
        if "meaning" in meta:
            bounds = {name: meta[name] for name in ("above", "at_least", "at_most")}
            held = required if item.default is MISSING else optional
            held[item.name] = _number(**bounds) | {"description": meta["meaning"]}
        elif issubclass(law, PerInput) and item.name == law.per_input:
            required[item.name] = {"type": "object", "additionalProperties": {"type": "number"}, "minProperties": 1}
        elif item.name == "breaks":
            patterns[f"^[{''.join(BREAK_PARTS)}][1-9][0-9]*$"] = {"type": "number"}
        elif item.default == item.name:  # the name of a quantity, such as that of x
            required[item.name] = _TEXT
    return _table(required, optional) | ({"patternProperties": patterns} if patterns else {})


def project_file() -> Node:
    """Return the schema of a project: ``scaleplan.toml``, or ``[tool.scaleplan]``."""
    named = {**{name: _TEXT for name in (*TEXTS, "format", "color") if name in SETTINGS}}
    defaults = _table({}, {name: named.get(name, _AMOUNT) for name in SETTINGS})
    path: Node = {"anyOf": [_AMOUNT, {"type": "array", "items": _AMOUNT, "minItems": 1}]}
    from_config = _table({"key": path}, {"from": _TEXT})
    in_steps = [
        _table({"batch": path, "sequence": path, "steps": path}, {"from": _TEXT}),
        _table({"batch_tokens": path, "steps": path}, {"from": _TEXT}),
    ]
    amounts = (*AMOUNTS, *(each.name for each in constraint_options()))
    value: Node = {"anyOf": [_AMOUNT, from_config]}
    text: Node = {"anyOf": [_TEXT, from_config]}
    values = dict.fromkeys(amounts, value)
    values["tokens"] = {"anyOf": [_AMOUNT, from_config, *in_steps]}
    values |= dict.fromkeys(TEXTS, text)
    rule: Node = {"anyOf": [_TEXT, _table({"limit": _TEXT}, {"message": _TEXT})]}
    rules = _tables(rule)
    policy = _table({}, dict.fromkeys(SEVERITIES, rules))
    run = _table({"name": _TEXT}, {"from": _TEXT, **values, "limit": _TEXTS, "policy": policy})
    return _table({}, {"defaults": defaults, "run": _tables(run), "policy": policy})


def accelerators_file() -> Node:
    """Return the schema of ``accelerators.toml``."""
    optional: dict[str, Node] = {
        "aliases": _TEXTS,
        "form": _TEXT,
        **dict.fromkeys(("memory_bytes", "memory_gib", "memory_gb", "tdp_w", "link_gbs", "power_w"), _ABOVE_0),
        "host_power_w": _number(at_least=0),
        **dict.fromkeys(("link", "class", "note", "power_source"), _TEXT),
        **dict.fromkeys(("tdp_estimated", "sparse_headline", "class_by_likeness", "unified_memory"), _FLAG),
        "tdp_basis": _one_of(BASES),
        "tflops": _table({}, dict.fromkeys(PRECISIONS, _ABOVE_0)) | {"minProperties": 1},
        "link_devices": _whole(1),
        "status": _one_of(STATUSES),
    }
    required: dict[str, Node] = {
        **dict.fromkeys(("id", "name", "vendor"), _TEXT),
        "year": _whole(1900),
        "bandwidth_gbs": _ABOVE_0,
        "sources": _TEXTS,
    }
    one_memory = [{"required": [key]} for key in ("memory_bytes", "memory_gib", "memory_gb")]
    return _table(
        _DATA,
        {
            "as_of": _TEXT,
            "sources": _ANY_TABLE,
            "accelerator": _tables(_table(required, optional) | {"oneOf": one_memory}),
            "without_figures": _tables(_table({"names": _TEXTS, "reason": _TEXT})),
        },
    )


def prices_file() -> Node:
    """Return the schema of ``prices.toml``."""
    price = {"usd_per_hour": _ABOVE_0, "date": _TEXT, "source": _TEXT}
    listed = {**dict.fromkeys(("accelerator", "commitment", "provider_class"), _TEXT), **price}
    owned = {
        "accelerators": _TEXTS,
        "price": _ABOVE_0,
        "years": _number(above=0, at_most=MOST_YEARS),
        "use": _number(above=0, at_most=1),
    }
    owned_too = {"overhead": _number(at_least=0), "power_price": _ABOVE_0, "source": _TEXT, "date": _TEXT}
    return _table(
        _DATA,
        {
            "default": _tables(_table({"accelerators": _TEXTS, **price})),
            "price": _tables(_table(listed, {"provider": _TEXT, "confidence": _TEXT})),
            "owned": _tables(_table(owned, owned_too)),
        },
    )


def family_file() -> Node:
    """Return the schema of the description of a family: its keys; what its tables hold is a language of its own."""
    lines: Node = {"type": "array", "items": {"anyOf": [_TEXT, _table({"if": _EXPRESSION, "text": _TEXT})]}}
    kinds: dict[str, Node] = {
        "schema": {"const": description.SCHEMA},
        "name": _TEXT,
        "title": _TEXT,
        "stack": _tables(_ANY_TABLE),
        **dict.fromkeys(("model_types", "classes", "ignored", "sources"), _TEXTS),
        "notes": lines,
        "refuse": lines,
        **dict.fromkeys(("fields", "defaults", "let", "model", "part"), _ANY_TABLE),
    }
    keys = (*description.KEYS, *description.TABLES)
    required = ("schema", "name")
    return _table({key: kinds[key] for key in required}, {key: kinds.get(key, {}) for key in keys})


FILES = {
    "preset": ("a law: my-law.toml", preset_file),
    "project": ("scaleplan.toml, or [tool.scaleplan] of pyproject.toml", project_file),
    "accelerators": ("accelerators.toml: GPUs of your own", accelerators_file),
    "prices": ("prices.toml: prices of your own", prices_file),
    "family": ("the description of a model family", family_file),
}
"""The schemas of files by name: what the file is, and the function that returns the schema."""
