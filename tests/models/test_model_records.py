"""The records of models: their fields are the keys of the JSON, so that a saved one can be read back and shown."""

from dataclasses import fields, replace
from typing import get_type_hints

import pytest

import scaleplan as sp
from scaleplan.models.model import ModelSummary
from scaleplan.output.views.model import model_report, shape_report

GEMMA_2 = {
    "model_type": "gemma2",
    "hidden_size": 512,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "intermediate_size": 1408,
    "vocab_size": 32000,
}


@pytest.mark.parametrize(
    "record",
    [sp.model(GEMMA_2).summary(), sp.shape("1B").summary(), sp.memory("1B", gpu="h100-sxm")],
    ids=["model", "shape", "memory"],
)
def test_fields_are_the_keys_in_their_order(record):
    """Every type can be resolved."""
    names = [item.name for item in fields(record)]
    assert ["schema", *names] == list(record.to_dict())
    assert set(names) < set(get_type_hints(type(record)))


def test_a_record_that_was_read_back_is_shown_as_it_was():
    """With the number of layers with local attention, unless it was saved before there was that key."""
    found = sp.model(GEMMA_2).summary()
    data = found.to_dict()
    del data["schema"]
    saved = ModelSummary(**{**data, "notes": tuple(data["notes"])})
    assert model_report(saved) == model_report(found)
    older = replace(saved, windowed_layers=None)
    (live,) = [line for line in model_report(found).remarks if "bytes per token" in line]
    (read,) = [line for line in model_report(older).remarks if "bytes per token" in line]
    assert "; 4 layers keep no more than 4,096 tokens" in live
    assert "; layers with local attention keep no more than 4,096 tokens" in read


def test_a_shape_is_shown_from_its_record():
    """The chosen one and both alternatives."""
    report = shape_report(sp.shape("7B").summary())
    assert [row[0] for row in report.grid.rows] == ["chosen", "deeper", "wider"]
