"""Losses as perplexity and in bits per byte: of plans, as goals, of laws, and where there is none."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import scaleplan as sp
from scaleplan.errors import FileError, QuantityError, ScaleplanError, UsageError
from scaleplan.planning.loss_amounts import parse_loss
from scaleplan.presets.library import Library

NATS = Library().load("besiroglu-2024").conventions
BYTES = Library().load("besiroglu-2024").with_bytes_per_token(4.3).conventions
BITS = next(preset for preset in Library().all() if preset.conventions.loss == "bits/byte").conventions


def test_a_plan_has_its_perplexity_with_its_interval():
    """exp of the loss, and of the ends; bits per byte follow from the bytes of a token."""
    plan = sp.optimal(flops="1e21", bytes_per_token=4.3)
    assert plan.perplexity == math.exp(plan.loss)
    assert plan.perplexity_interval == tuple(map(math.exp, plan.interval.loss))
    assert plan.bits_per_byte == pytest.approx(plan.loss / math.log(2) / 4.3)
    low, high = plan.bits_per_byte_interval
    assert low < plan.bits_per_byte < high
    assert sp.optimal(flops="1e21").bits_per_byte is None
    assert [*plan.to_dict()][-6:-1] == [
        *("perplexity", "perplexity_interval", "bytes_per_token", "bits_per_byte", "bits_per_byte_interval")
    ]


def test_a_limit_on_the_loss_does_not_advise_to_drop_a_unit():
    """8 perplexity is not a loss of 8."""
    with pytest.raises(QuantityError) as caught:
        sp.optimal(flops=1e21, limit=["loss <= 8 ppl"])
    assert "unit of the law" in caught.value.hint
    assert "write 8" not in caught.value.hint


def test_a_law_per_byte_is_not_sent_to_an_option_that_it_refuses():
    """The bytes of a token are stated for losses per token alone."""
    with pytest.raises(UsageError) as caught:
        sp.target(loss="8 ppl", preset="deepseek-llm-2024")
    assert caught.value.hint == "give it in bits/byte"


@pytest.mark.parametrize("preset", [each.id for each in Library().all() if each.conventions.loss != "nats/token"])
def test_another_unit_has_no_perplexity(preset):
    """A loss per byte, of an accuracy or of a unit that is not stated is left as it is."""
    with pytest.raises(UsageError, match="says nothing of preset"):
        Library().load(preset).with_bytes_per_token(4.3)
    law = Library().load(preset).law
    if any(set(each.inputs) == {"params", "tokens"} for each in law.relations()):
        found = sp.evaluate(preset, params="1B", tokens="20B")
        assert (found.perplexity, found.bits_per_byte) == (None, None)


@pytest.mark.parametrize(
    "text, conventions, loss",
    [
        ("2.1", NATS, 2.1),
        (2.1, NATS, 2.1),
        ("2.1 nats", NATS, 2.1),
        ("2.1 nats/token", NATS, 2.1),
        ("3 bits/token", NATS, 3 * math.log(2)),
        ("12 perplexity", NATS, math.log(12)),
        ("12 ppl", NATS, math.log(12)),
        ("0.95 bits/byte", BYTES, 0.95 * math.log(2) * 4.3),
        ("0.95 bpb", BYTES, 0.95 * math.log(2) * 4.3),
        ("0.6 nats/byte", BYTES, 0.6 * 4.3),
        ("0.95", BITS, 0.95),
        ("0.95 bits per byte", BITS, 0.95),
        ("0.6 nats/byte", BITS, 0.6 / math.log(2)),
    ],
)
def test_a_loss_is_read_in_any_unit_that_the_laws_follows_from(text, conventions, loss):
    """A plain number is in the law's own."""
    assert parse_loss(text, conventions) == pytest.approx(loss, rel=1e-14)


@pytest.mark.parametrize(
    "text, conventions, said",
    [
        ("0.95 bpb", NATS, "per byte"),
        ("12 ppl", BITS, "per token"),
        ("20 word_ppl", BYTES, "per word"),
        ("1.2 bits/character", BYTES, "per character"),
        ("2.1 foo", NATS, "no unit of a loss"),
        ("0.9 ppl", NATS, "above 1"),
        ("-2", NATS, "not above 0"),
    ],
)
def test_a_loss_of_another_unit_is_refused(text, conventions, said):
    """With what is missing."""
    with pytest.raises(ScaleplanError, match=said):
        parse_loss(text, conventions)


@given(loss=st.floats(1.9, 3.5))
def test_a_goal_in_any_unit_is_the_same_plan(loss):
    """The plan for a loss is the plan for its perplexity, and for its bits per byte."""
    plan = sp.target(loss=loss)
    assert sp.target(loss=f"{math.exp(loss)!r} ppl").flops == pytest.approx(plan.flops, rel=1e-9)
    bits = loss / math.log(2) / 4.3
    assert sp.target(loss=f"{bits!r} bits/byte", bytes_per_token=4.3).flops == pytest.approx(plan.flops, rel=1e-9)


@pytest.mark.parametrize("value, hint", [(0.23, "4.35"), (300, "4.3"), (0.5, "2")])
def test_bytes_of_a_token_that_no_tokenizer_has_are_refused(value, hint):
    """Tokens per byte are the likeliest slip."""
    with pytest.raises(UsageError, match="bytes on average") as caught:
        sp.optimal(flops=1e21, bytes_per_token=value)
    assert hint in caught.value.hint


def test_a_preset_may_state_the_bytes_of_a_token(tmp_path):
    """A key of [conventions], for losses per token alone."""
    text = Library().load("besiroglu-2024").origin
    lines = Path(text).read_text(encoding="utf-8").replace("[conventions]", "[conventions]\nbytes_per_token = 4.3")
    path = tmp_path / "own.toml"
    path.write_text(lines, encoding="utf-8")
    assert sp.optimal(flops=1e21, preset=str(path)).bytes_per_token == 4.3
    assert sp.optimal(flops=1e21, preset=str(path), bytes_per_token=4).bytes_per_token == 4
    path.write_text(lines.replace('loss = "nats/token"', 'loss = "bits/byte"'), encoding="utf-8")
    with pytest.raises(FileError, match="bytes_per_token"):
        sp.optimal(flops=1e21, preset=str(path))
