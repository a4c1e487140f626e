"""Units of a loss: what is per token, byte, character or word is never taken for another, by name or by statement."""

import math

import pytest

from scaleplan.advice.batch import advise_batch
from scaleplan.api import optimal
from scaleplan.errors import FileError, UsageError
from scaleplan.fitting.fit import fit
from scaleplan.fitting.reading import read_runs
from scaleplan.tables.loss_units import LOSS_UNITS, stated_unit


def read(tmp_path, column, cell="2.5", **options):
    path = tmp_path / "runs.csv"
    path.write_text(f'N,D,"{column}"\n1e8,2e9,{cell}\n2e8,4e9,{cell}\n', encoding="utf-8")
    return read_runs(path, **options)


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        *((name, "bpb") for name in ("val_bpb", "bits_per_byte", "wikitext.bits_per_byte,none", "Loss (bits/byte)")),
        *((name, "bpc") for name in ("bpc", "val/bpc", "bits_per_character", "bits per char")),
        *((name, "word_ppl") for name in ("word_perplexity", "wikitext.word_perplexity,none", "ppl_word")),
        *((name, "byte_ppl") for name in ("byte_perplexity", "wikitext.byte_perplexity,none")),
        *((name, "char_ppl") for name in ("char_ppl", "character perplexity")),
        *((name, "ppl") for name in ("ppl", "eval_perplexity", "token_perplexity", "eval/ppl/c4.jsonl")),
        *((name, "nats/byte") for name in ("loss_per_byte", "val loss (nats/byte)")),
        *((name, "bits") for name in ("bits_per_token", "bpt")),
        *(
            (name, None)
            for name in ("val_loss", "loss", "nll", "log_ppl", "eval/ppl_set/loss", "lr", "word_ppl_stderr")
        ),
    ],
)
def test_the_unit_is_in_the_name(column, unit):
    """The names of harnesses and trackers; a plain loss states none."""
    assert stated_unit(column) == unit


@pytest.mark.parametrize(
    ("unit", "kept", "factor"),
    [
        ("nats", "nats/token", 1.0),
        ("bits", "nats/token", math.log(2)),
        ("bpb", "bits/byte", 1.0),
        ("bpc", "bits/character", 1.0),
        ("bpw", "nats/word", math.log(2)),
        ("nats/byte", "nats/byte", 1.0),
        ("nats/character", "nats/character", 1.0),
        ("nats/word", "nats/word", 1.0),
    ],
)
def test_nats_a_token_are_recorded_only_where_known(tmp_path, unit, kept, factor):
    """Of a plain 'loss' column the user states the unit; what is per byte or word stays so."""
    runs = read(tmp_path, "loss", loss_unit=unit)
    assert (runs.loss_unit, runs.loss[0]) == (kept, pytest.approx(2.5 * factor))


@pytest.mark.parametrize(
    ("unit", "kept"),
    [("ppl", "nats/token"), ("word_ppl", "nats/word"), ("byte_ppl", "nats/byte"), ("char_ppl", "nats/character")],
)
def test_a_perplexity_is_a_logarithm_of_its_own_unit(tmp_path, unit, kept):
    """Exp of the nats per word is no loss per token."""
    runs = read(tmp_path, "ppl", repr(math.exp(2.5)), loss_unit=unit)
    assert (runs.loss_unit, runs.loss[0]) == (kept, pytest.approx(2.5))


@pytest.mark.parametrize("unit", [name for name, unit in LOSS_UNITS.items() if unit.per == "byte"])
def test_tokens_a_byte_convert_what_is_per_byte(tmp_path, unit):
    """0.25 tokens a byte: a token has four times the nats of a byte."""
    cells = {"bits": 2.5 / math.log(2), "ppl": math.exp(2.5), "nats": 2.5}
    runs = read(tmp_path, "loss", repr(cells[LOSS_UNITS[unit].scale]), loss_unit=unit, tokens_per_byte=0.25)
    assert (runs.loss_unit, runs.loss[0]) == ("nats/token", pytest.approx(10.0))


def test_a_stated_unit_that_the_name_contradicts_is_refused(tmp_path):
    """Bits per byte taken for nats per token would pass for a very good model."""
    with pytest.raises(UsageError, match="'val_bpb' is in bits/byte by its name, not in nats/token") as caught:
        read(tmp_path, "val_bpb", mapping={"loss": "val_bpb"})
    assert caught.value.hint == "--loss-unit bpb reads it"
    with pytest.raises(UsageError, match="perplexity per word by its name"):
        read(tmp_path, "word_perplexity", mapping={"loss": "word_perplexity"}, loss_unit="ppl")


def test_every_unit_of_a_file_is_named(tmp_path):
    """A word perplexity, a byte perplexity and bits per byte stand side by side in a harness's output."""
    path = tmp_path / "runs.csv"
    path.write_text("N,D,word_perplexity,byte_perplexity,bits_per_byte\n1e8,2e9,342.2,2.83,1.50\n", encoding="utf-8")
    for unit in ("nats", "ppl"):
        with pytest.raises(
            FileError, match=r"'word_perplexity' is in perplexity per word.*'bits_per_byte'"
        ) as caught:
            read_runs(path, loss_unit=unit)
        assert "--loss-unit bpb or --loss-unit word_ppl or --loss-unit byte_ppl" in caught.value.hint


def test_a_perplexity_per_word_is_doubted_by_the_bits_per_byte_beside_it(tmp_path):
    """log2(18.66)/0.7896 = 5.35 bytes is a word of English with its space; a token has 3.5 to 4.8."""
    path = tmp_path / "runs.csv"
    path.write_text("N,D,wikitext ppl,wikitext bpb\n1e8,2e9,18.6648,0.7896\n2e8,2e9,16.1,0.75\n", encoding="utf-8")
    (warning,) = read_runs(path, loss_unit="ppl").warnings
    assert "5.35 bytes" in warning.message
    assert "--loss-unit word_ppl" in warning.message
    path.write_text("N,D,ppl,bpb\n1e8,2e9,18.6648,0.95\n2e8,2e9,16.1,0.9\n", encoding="utf-8")
    assert read_runs(path, loss_unit="ppl").warnings == ()


def test_rules_of_the_loss_refuse_a_loss_that_is_not_per_token(tmp_path):
    """Kaplan's and MiniCPM's batches are powers of nats per token: a loss per byte would make them far larger."""
    path = tmp_path / "bytes.csv"
    rows = [f"{n},{d},{0.5 + 60 / n**0.34 + 190 / d**0.345}" for n in (2e7, 4e7, 8e7) for d in (5e8, 1e9, 2e9, 4e9)]
    path.write_text("\n".join(["N,D,loss_per_byte", *rows]), encoding="utf-8")
    fitted = fit(path, loss_unit="nats/byte", samples=0)
    advice = advise_batch(optimal(preset=fitted.preset, flops="1e18"))
    batches = {rule.rule: rule for rule in advice.rules if rule.rule in {"kaplan-2020", "minicpm-2024"}}
    assert [rule.batch_tokens for rule in batches.values()] == [None, None]
    assert all("nats/token" in rule.reason and "nats/byte" in rule.reason for rule in batches.values())


def test_the_vocabulary_is_an_input_where_a_rule_converts_counts():
    """Of 30M parameters 41 % are embeddings with 32,000 tokens, 0.5 % with the 256 of bytes."""
    plan = optimal(flops="1.8e17", params="30M")

    def counted(**options):
        rules = {rule.rule: rule for rule in advise_batch(plan, **options).rules}
        return rules["step-law-2025"].asked_with["params"] / 30e6

    assert counted() == pytest.approx(0.588, abs=0.005)
    assert counted(vocabulary=32_000) == pytest.approx(counted(), rel=1e-4)
    assert counted(vocabulary=256) == pytest.approx(0.996, abs=0.002)
    with pytest.raises(UsageError, match="a vocabulary of 1"):
        counted(vocabulary=1)


@pytest.mark.parametrize(
    "column", ["log10(loss)", "ln_loss", "excess_loss", "reducible loss", "loss_diff", "log2 loss"]
)
def test_what_is_computed_from_a_loss_is_none(tmp_path, column):
    """Logarithms and differences of losses are left for the user to name; a log loss is a cross-entropy."""
    with pytest.raises(FileError, match="no column"):
        read(tmp_path, column)
    assert read(tmp_path, "log_loss").loss_unit == "nats/token"


def test_losses_above_a_uniform_guess_are_doubted(tmp_path):
    """A plain column of 33.9 holds perplexities: a guess over a million tokens costs 13.8 nats."""
    (notice,) = read(tmp_path, "loss", "33.9").warnings
    assert "uniform guess" in notice.message
    assert "--loss-unit ppl" in notice.message
    assert not read(tmp_path, "loss", "11.9").warnings
    assert not read(tmp_path, "ppl", "33.9", loss_unit="ppl").warnings


@pytest.mark.parametrize("spread, known", [(0.0, True), (0.005, True), (0.1, False)])
def test_bits_per_byte_beside_a_loss_tell_the_bytes_of_a_token(tmp_path, spread, known):
    """Where the two have one ratio in all runs; a ratio that wanders is of two texts."""
    losses = [3.5, 3.2, 3.0, 2.8]
    text = "".join(
        f"{(i + 1) * 1e8:g},{(i + 1) * 2e9:g},{loss},{loss / math.log(2) / (4.3 * (1 + spread * i / 3))}\n"
        for i, loss in enumerate(losses)
    )
    path = tmp_path / "runs.csv"
    path.write_text(f"params,tokens,loss,bpb\n{text}", encoding="utf-8")
    runs = read_runs(path, mapping={"loss": "loss"})
    assert runs.loss.tolist() == losses
    assert runs.bytes_per_token == (pytest.approx(4.3, rel=spread + 1e-9) if known else None)
    told = [note for note in runs.notes if note.startswith("a token has 4.3")]
    assert len(told) == known


def test_tokens_per_byte_tell_the_bytes_of_a_token(tmp_path):
    """What converts the losses is the inverse."""
    assert read(tmp_path, "bpb", "0.9", loss_unit="bpb", tokens_per_byte=0.25).bytes_per_token == 4
