"""Real files of other people, read as they are and compared with their answer keys."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from scaleplan.errors import FileError
from scaleplan.fitting.reading import read_runs

DATA = Path(__file__).parents[2].parent / "shared" / "data"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the folder with other people's runs is not here")


def key(name):
    with (DATA / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def reasons(runs):
    return {finding.row: finding.reason for finding in runs.dropped}


@pytest.mark.parametrize("options", [{}, {"group": "Group"}])
def test_a_tracker_export_agrees_with_its_key(options):
    """15 blanked losses, 12 duplicates and 3 diverged runs are found, no other; values agree to 3 digits."""
    runs = read_runs(DATA / "messy_wandb_export.csv", **options)
    answers = {int(row["row"]) + 1: row for row in key("messy_wandb_export_key.csv")}  # its row 1 is below the header
    word = {"missing_loss": "missing_loss", "duplicate": "duplicate", "diverged": "diverged"}
    assert reasons(runs) == {row: word[item["status"]] for row, item in answers.items() if item["status"] != "ok"}
    assert len(runs) == 521
    used = [answers[row] for row in runs.rows.tolist()]
    # sizes written for people have 3 digits: half a unit of the third digit is at most 0.5 %
    np.testing.assert_allclose(runs.params, [float(item["params"]) for item in used], rtol=0.005)
    np.testing.assert_allclose(runs.tokens, [float(item["tokens"]) for item in used], rtol=0.005)
    assert runs.loss.tolist() == [float(item["loss"]) for item in used]


def test_nested_json_lines_agree_with_their_key():
    """9 unfinished runs (loss 0) and 12 runs without sizes are found; every other value is exact to its 3 digits."""
    runs = read_runs(DATA / "messy_runs.jsonl")
    answers = {int(row["line"]): row for row in key("messy_runs_key.csv")}
    word = {"unfinished": "zero_loss", "dedup_no_size": "missing_size"}
    assert reasons(runs) == {row: word[item["status"]] for row, item in answers.items() if item["status"] != "ok"}
    used = [answers[row] for row in runs.rows.tolist()]
    assert len(used) == 296
    np.testing.assert_allclose(runs.params, [float(item["params"]) for item in used], rtol=0.005)
    np.testing.assert_allclose(runs.tokens, [float(item["tokens"]) for item in used], rtol=0.005)
    np.testing.assert_allclose(runs.unique_tokens, [float(item["unique_tokens"]) for item in used], rtol=0.005)
    assert runs.loss.tolist() == [float(item["loss"]) for item in used]


def test_a_spreadsheet_with_section_rows_needs_one_choice():
    """Four loss columns are an error; with one chosen, 75 section rows and 5 rows without a loss are set apart."""
    path = DATA / "raw" / "misfitting_dense_sheet.csv"
    with pytest.raises(FileError, match="4 columns could be the final loss"):
        read_runs(path)
    runs = read_runs(path, mapping={"loss": "C4 Eval Loss"})
    assert runs.dropped_by_reason() == {"heading": 75, "missing_loss": 5}
    assert (runs.columns["params"], runs.columns["tokens"], runs.columns["flops"]) == ("N", "D", "C")
    # row 4 of the sheet: N 12047168, D 209715200, C 1.52E+16 = 6ND to 3 digits
    assert (runs.rows[0], runs.params[0], runs.tokens[0], runs.flops[0]) == (4, 12047168, 209715200, 1.52e16)
    np.testing.assert_allclose(runs.flops, 6 * runs.params * runs.tokens, rtol=0.005)
    embedded = read_runs(path, mapping={"loss": "C4 Eval Loss", "params": "N_w_emb", "flops": "Est C"})
    assert embedded.params[0] == 40719168


def test_sizes_in_run_names_are_an_error_with_a_way_out():
    """70 'failed' runs with perplexities; the hint of the error reads the sizes, 12M to 100M, from the names."""
    path = DATA / "raw" / "misfitting_spm_wandb_export.csv"
    mapping = {"loss": "eval/ppl/text_eval/c4.jsonl"}
    with pytest.raises(FileError, match="size seems to be inside the text of column 'Name'") as caught:
        read_runs(path, mapping=mapping, loss_unit="ppl")
    role, _, column = caught.value.hint.split("'")[1].partition("=")
    runs = read_runs(path, mapping=mapping | {role: column}, loss_unit="ppl")
    assert len(runs) + len(runs.dropped) == 70
    assert sum(finding.reason == "crashed" for finding in runs.flagged) == len(runs)
    assert (runs.params.min(), runs.params.max()) == (12e6, 100e6)
    assert runs.loss[0] == pytest.approx(math.log(145.35198827324635))  # first row of the export


def test_logarithms_and_perplexity_are_read_on_request():
    """OPT trajectories: 9.0 is 1e9 tokens, and flops are 6ND of the printed size within its rounding."""
    path = DATA / "raw" / "opt_trajectories_log10.csv"
    with pytest.raises(FileError, match="no column for the loss in nats"):
        read_runs(path)
    with pytest.raises(FileError, match="too few to be a count"):
        read_runs(path, loss_unit="ppl")
    runs = read_runs(path, loss_unit="ppl", log10=["tokens", "flops"])
    assert len(runs) == 142
    assert (runs.params[0], runs.tokens[0], runs.params[-1]) == (125e6, 1e9, 175e9)
    np.testing.assert_allclose(runs.flops, 6 * runs.params * runs.tokens, rtol=1e-9)


def test_sizes_as_text_and_bits_per_byte():
    """61 evaluations of mixtures of experts; 5 rows whose token count is a corpus name and 1 without a value."""
    runs = read_runs(DATA / "raw" / "ibm_moe_sizes_as_strings.csv", loss_unit="bpb")
    assert len(runs) == 61
    assert runs.loss_unit == "bits/byte"
    assert runs.dropped_by_reason() == {"unreadable": 5, "missing_loss": 1}
    assert sorted(set(runs.params.tolist())) == [4e9, 8e9, 16.7e9]
    assert (runs.tokens[0], runs.loss[0]) == (64e9, 0.7896)


def test_two_header_rows_of_a_real_sheet():
    """Evaluations without token counts: a curve over size can use them, a surface cannot."""
    path = DATA / "raw" / "llms_0shot_two_header_rows.csv"
    with pytest.raises(FileError, match="no column for the training tokens"):
        read_runs(path, loss_unit="bpb")
    runs = read_runs(path, loss_unit="bpb", needed=("params", "loss"))
    assert runs.columns["loss"] == "wikitext/bpb"
    assert (runs.rows[0], runs.params[0], runs.loss[0]) == (4, 355e6, 0.8866)


def test_an_object_of_losses_by_run_name():
    """The tokens are in the name and parameters are a twentieth; 3 of the 435 runs diverged."""
    mapping = {"loss": "value", "tokens": r"key~-(\d{6,})-", "tokens_per_param": "20"}
    runs = read_runs(DATA / "raw" / "gadre_grid.json", mapping=mapping)
    assert runs.dropped_by_reason() == {"diverged": 3}
    published = {row["name"]: float(row["params"]) for row in key("gadre_grid.csv")}
    np.testing.assert_allclose(runs.params, [published[name] for name in runs.labels], rtol=1e-12)


@pytest.mark.parametrize(
    "raw, clean, count",
    [
        ("chinchilla_epoch_svg_extracted_data.csv", "chinchilla_epoch.csv", 245),
        ("llama3_isoflops_points.csv", "llama3_isoflop.csv", 133),
    ],
)
def test_two_sizes_of_the_source_give_the_third(raw, clean, count):
    """Untouched sources with compute and one size agree with the prepared sets, written with 8 digits."""
    source, prepared = read_runs(DATA / "raw" / raw), read_runs(DATA / clean)
    assert len(source) == len(prepared) == count
    for role in ("params", "tokens", "flops", "loss"):
        np.testing.assert_allclose(getattr(source, role), getattr(prepared, role), rtol=1e-7)


PREPARED = [
    ("chinchilla_isoflop.csv", {}, 124),
    ("porian_isoflop.csv", {"group": "group"}, 1745),
    ("gadre.csv", {"group": "dataset"}, 104),
    ("datablations.csv", {}, 296),
    ("datablations.csv", {"where": ["in_published_fit = 1"]}, 182),
    ("misfitting_final.csv", {"best": True}, 81),
    ("misfitting_curves.csv", {"keep": ["duplicate", "diverged"]}, 4852),
    ("routed_moe.csv", {"extra": ["experts"]}, 223),
    ("steplaw_dense.csv", {"best": True}, 17),
    ("nanochat_optima.csv", {"loss_unit": "bpb"}, 12),
    ("learning_curves_lang.csv", {"mapping": {"tokens": "seen"}, "needed": ("tokens", "loss")}, 712),
]


def test_prepared_sets_lose_no_measurement():
    """Sets without failed runs are read whole, and sweeps reduce to the number of their cells."""
    found = [(name, options, len(read_runs(DATA / name, **options))) for name, options, _ in PREPARED]
    assert found == PREPARED


def test_repeated_data_are_told_of_a_form_that_counts_them_as_new(tmp_path):
    """Up to four epochs are as good as new; sixteen are not, and the form that knows is named."""
    path = tmp_path / "runs.csv"
    path.write_text("params,tokens,unique_tokens,loss\n1e8,4e9,1e9,3.1\n2e8,1.6e10,1e9,2.9\n", encoding="utf-8")
    (notice,) = read_runs(path).warnings
    assert "1 of 2 runs repeat their data, up to 16 times" in notice.message
    assert not read_runs(path, needed=("params", "tokens", "unique_tokens", "loss")).warnings


def test_rows_of_a_curve_are_told_apart_by_its_input(tmp_path):
    """Without params and tokens all rows had one size: the best of them was kept, and a high one had diverged."""
    path = tmp_path / "runs.csv"
    path.write_text("flops,loss\n1e17,9.1\n1e18,3.1\n1e19,3.05\n1e20,3.0\n1e21,2.95\n", encoding="utf-8")
    assert len(read_runs(path, needed=("flops", "loss"), best=True)) == 5
    path.write_text(path.read_text().replace("flops", "steps"), encoding="utf-8")
    runs = read_runs(path, needed=("loss",), extra=("steps",), best=True)
    assert len(runs) == 5
    assert not any("higher loss than smaller" in note for note in runs.notes)
