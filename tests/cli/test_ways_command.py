"""``memory --ways`` as a command: status, headline, rows and formats."""

from __future__ import annotations

import json
import re

import pytest

import scaleplan as sp


def test_the_command(cli):
    """Status, headline and rows; what is not about ways is refused without them."""
    asked = ("memory", "llama-3.1-8b", "--gpu", "rtx-4090")
    found = cli(*asked, "--ways", "--epochs", "3", "--data-tokens", "5M")
    assert found.status == 0
    assert found.out.startswith("yes, llama-3.1-8b")
    assert "QLoRA" in found.out.splitlines()[0]
    assert "for 15.0M tokens (3 x 5.00M" in found.out
    assert max(map(len, found.out.splitlines())) <= 100
    none = cli("memory", "llama-3.1-70b", "--gpu", "rtx-3060-12", "--ways")
    assert none.status == 1
    assert none.out.startswith("no: ")
    assert "no way to train" in none.err
    without = cli(*asked, "--tokens", "1B")
    assert without.status == 2
    assert "add --ways" in without.err
    nowhere = cli("memory", "llama-3.1-8b", "--ways")
    assert nowhere.status == 2
    assert "--gpu" in nowhere.err


def test_ranges_have_one_unit(cli):
    """Of the time in the headline that of the time itself, and of the memory that choices leave open its own."""
    words = ("memory", "7B", "--gpu", "h100-sxm", "--gpus", "8")
    headline = cli(*words, "--ways", "--tokens", "10M").out.partition("\n\n")[0].replace("\n  ", " ")
    assert re.search(r", \d+ seconds \([\d.]+ – \d+ seconds\)", headline), headline
    assert re.search(r"\d – [\d.]+ GB allocated by the trainer", cli(*words).out)


def test_standing_settings_hold_in_the_comparison_alone(cli, monkeypatch):
    """A price and a utilisation wait for it; a setting of another meaning than the option's is none of it."""
    for name, value in {"PRICE": "2", "MFU": "0.3", "PRECISION": "fp16"}.items():
        monkeypatch.setenv(f"SCALEPLAN_{name}", value)
    asked = ("memory", "gpt2", "--gpu", "rtx-4090", "--json")
    alone, compared = cli(*asked), cli(*asked, "--ways")
    assert (alone.status, compared.status) == (0, 0)
    assert (compared.json["price_per_hour"], compared.json["utilisation"]) == (2, 0.3)
    for name in ("PRICE", "MFU", "PRECISION"):
        monkeypatch.delenv(f"SCALEPLAN_{name}")
    assert alone.json == cli(*asked).json


@pytest.mark.parametrize("form", ["json", "csv", "tsv", "jsonl", "markdown"])
def test_every_format(cli, form, tmp_path):
    """One row a way; saved JSON is shown again as it was."""
    words = ("memory", "gpt2", "--gpu", "rtx-4090", "--ways", "--hours", "1")
    found = cli(*words, "--format", form)
    assert found.status == 0
    rows = len(sp.ways("gpt2", gpu="rtx-4090", hours=1).ways)
    if form in ("csv", "tsv", "jsonl"):
        assert len(found.out.splitlines()) == rows + (form != "jsonl")
    if form == "json":
        assert json.loads(found.out)["schema"] == "scaleplan/ways/1"
        path = tmp_path / "ways.json"
        path.write_text(found.out, encoding="utf-8")
        assert cli("show", str(path)).out == cli(*words).out


def test_what_the_headline_leaves_out_is_told(cli):
    """A limit has no tokens of its own; what is cheaper than the answer reaches a part of the model."""
    words = ("memory", "gpt2", "--gpu", "h100-sxm", "--ways")
    limited = cli(*words, "--cost", "5").out
    assert "tokens (give" not in limited
    assert "\n  in sequences of 1,024\n" in limited
    shown = cli(*words).out
    assert "for 10.0M tokens (give" in shown
    assert "cheaper than LoRA r16 are only ways that train a part" in shown
    assert "cheaper than" not in cli(*words, "--tune", "lora").out


def test_the_command_in_detail_can_be_pasted(cli):
    """The last hint names the model as it was typed, and the figures that it leads to are those of the row."""
    for model in ("gpt2", "124M"):
        shown = cli("memory", model, "--gpu", "m4-max", "--ways").out
        words = " ".join(shown.split()).split(" in detail: scaleplan ")[1].split(" the memory of ")[0].split()
        again = cli(*words)
        headline, first = shown.splitlines()[0], again.out.splitlines()[0]
        assert first.split(" to train: ")[1].split(" of ")[0] == headline.split(" of ")[0].split(", ")[-1]
