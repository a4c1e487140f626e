"""Files as people keep them, made here with their answers: each row is used or set apart, and each number read."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from tests.fitting.synthetic import LADDERS, LAWS, nested_lines, short, spreadsheet, table, tracker_export

from scaleplan.errors import FileError
from scaleplan.fitting.reading import read_runs

SIZES = np.array([2e7, 6.4e7, 1.6e8, 4.1e8, 1.03e9])
TOKENS = np.array([1e9, 4e9, 9e9, 2.4e10, 6e10])
LOSS = LAWS["even"].loss(SIZES, TOKENS).round(5)


def written(folder, text, name="runs.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def lines(*rows):
    return "\n".join(",".join(str(cell) for cell in row) for row in rows) + "\n"


def agree(runs, answers):
    """Whether a reading sets apart the rows that the answers say, and takes from the others what they hold."""
    assert {finding.row: finding.reason for finding in runs.dropped} == {
        answer.row: answer.status for answer in answers if answer.status != "ok"
    }
    used = {answer.row: answer for answer in answers if answer.status == "ok"}
    assert sorted(used) == runs.rows.tolist()
    # sizes written for people have 3 digits: half a unit of the third digit is at most 0.5 %
    np.testing.assert_allclose(runs.params, [used[row].params for row in runs.rows], rtol=0.005)
    np.testing.assert_allclose(runs.tokens, [used[row].tokens for row in runs.rows], rtol=0.005)
    assert runs.loss.tolist() == [used[row].loss for row in runs.rows]


@pytest.mark.parametrize("seed", range(4))
def test_a_tracker_export_agrees_with_its_answers(tmp_path, seed):
    """Blank losses, rows that are there twice and diverged runs are found, and no other."""
    text, answers = tracker_export(seed=seed)
    assert {"missing_loss", "duplicate", "diverged"} <= {answer.status for answer in answers}
    agree(read_runs(written(tmp_path, text)), answers)


@pytest.mark.parametrize("seed", range(4))
def test_nested_json_lines_agree_with_their_answers(tmp_path, seed):
    """Runs without a loss yet and runs without a size are found; numbers are read from numbers and from text."""
    text, answers, unique = nested_lines(seed=seed)
    assert {"zero_loss", "missing_size"} <= {answer.status for answer in answers}
    runs = read_runs(written(tmp_path, text, "runs.jsonl"))
    agree(runs, answers)
    assert runs.columns["tokens"] == "config.data.train_tokens"
    np.testing.assert_allclose(runs.unique_tokens, unique[runs.rows - 1], rtol=0.005)


@pytest.mark.parametrize(
    "column, above",
    [("Web Eval Loss", 0), ("Wiki Eval Loss", 0.3), ("Code Eval Loss", -0.9), ("Avg Train Loss", -0.02)],
)
def test_a_spreadsheet_with_section_rows_needs_one_choice(tmp_path, column, above):
    """Four columns could be the loss; with one chosen, section rows and rows without a loss are set apart."""
    text, answers = spreadsheet()
    path = written(tmp_path, text)
    with pytest.raises(FileError, match="4 columns could be the final loss"):
        read_runs(path)
    runs = read_runs(path, mapping={"loss": column})
    assert runs.dropped_by_reason() == {"heading": 3, "missing_loss": 2}
    assert runs.rows.tolist() == [answer.row for answer in answers]
    assert runs.params.tolist() == [answer.params for answer in answers]
    assert runs.tokens.tolist() == [answer.tokens for answer in answers]
    assert runs.loss == pytest.approx([answer.loss + above for answer in answers], abs=1e-9)
    np.testing.assert_allclose(runs.flops, 6 * runs.params * runs.tokens, rtol=0.005)
    with_tables = read_runs(path, mapping={"loss": column, "params": "N_w_emb", "flops": "Est C"})
    assert (with_tables.params - runs.params).tolist() == [28_672_000] * len(runs)


@pytest.mark.parametrize("word", ["model", "size", "arch"])
def test_sizes_in_run_names_are_an_error_with_a_way_out(tmp_path, word):
    """The hint of the error, given as a mapping, reads the sizes from the names."""
    rows = [
        (f"exp3.{word}-{short(n).lower()}.lr_1e-3", d, loss) for n, d, loss in zip(SIZES, TOKENS, LOSS, strict=True)
    ]
    path = written(tmp_path, lines(("Name", "n_tokens", "loss"), *rows))
    with pytest.raises(FileError, match="size seems to be inside the text of column 'Name'") as caught:
        read_runs(path)
    role, _, column = caught.value.hint.split("'")[1].partition("=")
    runs = read_runs(path, mapping={role: column})
    assert runs.params == pytest.approx(SIZES, rel=0.005)
    assert runs.tokens.tolist() == TOKENS.tolist()


def test_logarithms_and_perplexity_are_read_on_request(tmp_path):
    """Tokens and compute as powers of ten, the loss as a perplexity."""
    flops = 6 * SIZES * TOKENS
    rows = zip(map(short, SIZES), np.log10(TOKENS), np.log10(flops), np.exp(LOSS), strict=True)
    path = written(tmp_path, lines(("model_size", "num_token", "flops", "ppl"), *rows))
    with pytest.raises(FileError, match="no column for the loss in nats"):
        read_runs(path)
    with pytest.raises(FileError, match="too few to be a count"):
        read_runs(path, loss_unit="ppl")
    runs = read_runs(path, loss_unit="ppl", log10=["tokens", "flops"])
    np.testing.assert_allclose(runs.params, SIZES, rtol=0.005)
    np.testing.assert_allclose(runs.tokens, TOKENS, rtol=1e-12)
    np.testing.assert_allclose(runs.flops, flops, rtol=1e-12)
    np.testing.assert_allclose(runs.loss, LOSS, rtol=1e-12)


def test_sizes_as_text_and_bits_per_byte(tmp_path):
    """A number of tokens that is the name of a corpus, and a loss that is not there, are set apart."""
    rows = [*zip(map(short, SIZES), map(short, TOKENS), LOSS, strict=True), ("4B", "the pile", 0.8), ("8B", "2T", "")]
    path = written(tmp_path, lines(("params", "tokens", "bpb"), *rows))
    runs = read_runs(path, loss_unit="bpb")
    assert runs.loss_unit == "bits/byte"
    assert runs.dropped_by_reason() == {"unreadable": 1, "missing_loss": 1}
    assert runs.loss.tolist() == LOSS.tolist()


def test_two_header_rows_name_the_columns_of_a_span(tmp_path):
    """Evaluations without token counts: a curve over size can use them, a surface cannot."""
    heads = ("Model", "Params", "web", "", "quiz", ""), ("", "", "ppl", "bpb", "acc", "acc_norm")
    rows = [(f"m{k}", short(n), 20 - k, 1.1 - k / 10, 50 + k, 51 + k) for k, n in enumerate(SIZES)]
    path = written(tmp_path, lines(*heads, *rows))
    with pytest.raises(FileError, match="no column for the training tokens"):
        read_runs(path, loss_unit="bpb")
    runs = read_runs(path, loss_unit="bpb", needed=("params", "loss"))
    assert runs.columns["loss"] == "web/bpb"
    assert runs.rows.tolist() == [3, 4, 5, 6, 7]
    assert runs.loss == pytest.approx([1.1, 1.0, 0.9, 0.8, 0.7])


@pytest.mark.parametrize("ratio", [20, 7.5])
def test_an_object_of_losses_by_run_name(tmp_path, ratio):
    """The tokens stand in the name, and the parameters are the tokens over a ratio."""
    names = [f"d=1024_l={k}-{tokens:.0f}-100-3e-05" for k, tokens in enumerate(TOKENS)]
    path = written(tmp_path, json.dumps(dict(zip(names, LOSS.tolist(), strict=True))), "runs.json")
    mapping = {"loss": "value", "tokens": r"key~-(\d{6,})-", "tokens_per_param": f"{ratio:g}"}
    runs = read_runs(path, mapping=mapping)
    assert list(runs.labels) == names
    np.testing.assert_allclose(runs.tokens, TOKENS, rtol=1e-12)
    np.testing.assert_allclose(runs.params, TOKENS / ratio, rtol=1e-12)
    assert runs.loss.tolist() == LOSS.tolist()


@pytest.mark.parametrize("given", ["params,tokens", "params,flops", "tokens,flops"])
def test_two_sizes_give_the_third(tmp_path, given):
    """C = 6ND, whichever is left out."""
    known = {"params": SIZES, "tokens": TOKENS, "flops": 6 * SIZES * TOKENS}
    names = given.split(",")
    rows = zip(*(known[name].tolist() for name in names), LOSS, strict=True)
    runs = read_runs(written(tmp_path, lines((*names, "loss"), *rows)))
    for role, values in known.items():
        np.testing.assert_allclose(getattr(runs, role), values, rtol=1e-12)


@pytest.mark.parametrize("unit, factor", [("bits", math.log(2)), ("nats", 1.0)])
def test_losses_become_nats(tmp_path, unit, factor):
    """Bits per token are ln 2 of a nat each."""
    rows = zip(SIZES, TOKENS, LOSS, strict=True)
    path = written(tmp_path, lines(("params", "tokens", "loss" if unit == "nats" else "bits_per_token"), *rows))
    assert read_runs(path, loss_unit=unit).loss == pytest.approx(LOSS * factor, rel=1e-14)


@pytest.mark.parametrize("seed", range(2))
def test_a_sweep_reduces_to_the_best_of_each_cell(tmp_path, seed):
    """One run for each size and number of tokens, that with the least loss of those that count."""
    text, answers = tracker_export(seed=seed)
    runs = read_runs(written(tmp_path, text), best=True)
    best = {}
    for answer in answers:
        if answer.status == "ok":
            cell = answer.params, answer.tokens
            best[cell] = min(best.get(cell, math.inf), answer.loss)
    assert sorted(runs.loss.tolist()) == sorted(best.values())


@pytest.mark.parametrize("ladder", LADDERS)
def test_every_digit_of_a_ladder_is_read_back(tmp_path, ladder):
    """Runs written with 17 digits are the runs, and further columns come along on request."""
    points = LADDERS[ladder](LAWS["even"], noise=0.01, seed=1)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, len(points))
    path = written(tmp_path, table(points, weight=[repr(float(value)) for value in weight], seed=range(len(points))))
    runs = read_runs(path, extra=["seed"])
    for role in ("params", "tokens", "loss"):
        assert getattr(runs, role).tolist() == getattr(points, role).tolist()
    assert runs.weight.tolist() == weight.tolist()
    assert runs.extra["seed"].tolist() == list(range(len(points)))
    assert runs.dropped == ()
