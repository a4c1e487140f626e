"""Which column is which: recognition, mappings, numbers as written, units of the loss, derived sizes, filters."""

import math
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.errors import FileError, ScaleplanError, UnknownNameError, UsageError
from scaleplan.fitting.reading import read_runs
from scaleplan.tables.cells import is_missing, to_number


def read(tmp_path, text, **options):
    path = tmp_path / "runs.csv"
    path.write_text(text, encoding="utf-8")
    return read_runs(path, **options)


def table(header, *rows):
    return "\n".join([header, *rows]) + "\n"


@pytest.mark.parametrize(
    "header",
    [
        "params,tokens,loss",
        "N,D,L",
        "N,D (tokens),loss (nats)",
        "n_params,train_tokens,val_loss",
        "nParams,trainTokens,valLoss",
        "Model Size,Training Tokens,validation_loss",
        "non_emb_params,tokens_seen,eval/openlm/loss",
        "config.n_params,config.data.train_tokens,summary.val/loss",
        "model/params,optim/n_tokens,train/loss",
        "total_params,num_tokens,test loss",
        "model_size,toks seen,Final eval CE",
    ],
)
def test_usual_names_are_recognised(tmp_path, header):
    """The names that papers, spreadsheets and trackers use need no mapping."""
    runs = read(tmp_path, table(header, "1e8,2e9,3.5", "2e8,4e9,3.2"))
    assert runs.params.tolist() == [1e8, 2e8]
    assert runs.tokens.tolist() == [2e9, 4e9]
    assert runs.loss.tolist() == [3.5, 3.2]
    assert (runs.columns["params"], runs.columns["tokens"], runs.columns["loss"]) == tuple(header.split(","))


def test_the_own_name_of_a_role_wins_and_the_others_are_told(tmp_path):
    """N wins over non_emb_params and loss over loss_c4, and a note says how to choose otherwise."""
    text = table("non_emb_params,N,D,loss_c4,loss", "8e7,1e8,2e9,3.9,3.5", "1.7e8,2e8,4e9,3.6,3.2")
    runs = read(tmp_path, text)
    assert (runs.columns["params"], runs.columns["loss"]) == ("N", "loss")
    assert any("'non_emb_params'" in note and "--map params=" in note for note in runs.notes)
    assert any("'loss_c4'" in note for note in runs.notes)
    assert read(tmp_path, text, mapping={"params": "non_emb_params"}).params.tolist() == [8e7, 1.7e8]


def test_a_loss_that_is_spelt_out_wins_over_ce(tmp_path):
    """CE is cross-entropy where nothing else is the loss, and no second candidate where something is."""
    runs = read(tmp_path, table("params,tokens,val_loss,ce", "1e8,2e9,3.5,3.6", "2e8,4e9,3.2,3.3"))
    assert runs.columns["loss"] == "val_loss"


def test_all_columns_that_are_missing_are_named_at_once(tmp_path):
    """A table in words of its own needs one look at the error, not one for each role."""
    with pytest.raises(FileError, match="final loss, nor for the parameters, nor for the training tokens") as caught:
        read(tmp_path, table("big,much,bad", "1e8,2e9,3.5"))
    assert "--map loss=COLUMN --map params=COLUMN --map tokens=COLUMN; columns: 'big'" in caught.value.hint
    with pytest.raises(FileError, match="column for the parameters, nor for the training tokens") as caught:
        read(tmp_path, table("big,much,loss", "1e8,2e9,3.5"))
    assert "--map params=COLUMN --map tokens=COLUMN;" in caught.value.hint
    with pytest.raises(FileError, match=r"final loss$"):
        read(tmp_path, table("params,tokens,bad", "1e8,2e9,3.5"))


def test_two_columns_of_equal_rank_are_an_error_that_lists_them(tmp_path):
    """Training and validation loss are never guessed between; the hint is the option that chooses."""
    with pytest.raises(FileError, match="2 columns could be the final loss: 'train/loss', 'val/loss'") as caught:
        read(tmp_path, table("N,D,train/loss,val/loss", "1e8,2e9,3.4,3.5"))
    assert caught.value.hint == "choose with --map 'loss=val/loss'"


def test_an_empty_column_and_an_equal_column_are_no_candidates(tmp_path):
    """A column without values cannot be meant, and two columns with the same values are one."""
    text = table("N,D,tokens,train/loss,val/loss", "1e8,2e9,2e9,,3.5", "2e8,4e9,4e9,NaN,3.2")
    assert read(tmp_path, text).columns["loss"] == "val/loss"


def test_auxiliary_losses_and_rates_are_not_recognised(tmp_path):
    """A router's balancing loss, FLOP per step and tokens per second are none of the roles."""
    text = table(
        "N,D,aux_loss,z_loss,val_loss,flops_per_step,tok / sec", "1e8,2e9,0.1,0.2,3.5,7,9", "2e8,4e9,0,0,3,7,9"
    )
    runs = read(tmp_path, text)
    assert runs.columns["loss"] == "val_loss"
    assert "flops" not in runs.columns


@pytest.mark.parametrize(
    "text, number",
    [
        ("26450112", 26450112.0),
        ("529M", 529e6),
        ("125m", 125e6),
        ("2.81B", 2810000000.0),
        ("1,439,795,200", 1439795200.0),
        ("4.116163e+08", 411616300.0),
        ("263.4344e9", 263434400000.0),
        ("1E-03", 0.001),
        ("23%", 0.23),
        (" 4 B tokens ", 4e9),
        ("1.0T", 1e12),
        ("32.0K", 32000.0),
        ("3.2 ZFLOP", 3.2e21),
        ("-1.5", -1.5),
        (7, 7.0),
    ],
)
def test_numbers_are_read_as_people_write_them(text, number):
    """Suffixes, separators, exponents and percent signs, to the last digit: 2.81B is 2810000000."""
    assert to_number(text) == number


@pytest.mark.parametrize(
    "text", ["1,00", "12X", "B", ".", "1e", "--5", "4B4", "3,14", "0:14:58", "7" * 70 + "M", True]
)
def test_what_is_no_number_is_refused(text):
    """A cell that is not a number in a known notation is never guessed."""
    with pytest.raises(ValueError):
        to_number(text)


@pytest.mark.parametrize("cell", ["", " ", "-", "–", "NaN", "n/a", "?", "null", None, float("nan")])
def test_the_usual_marks_of_absence_are_missing(cell):
    """Every tool writes an absent value in its own way."""
    assert is_missing(cell)
    assert math.isnan(to_number(cell))


@given(st.floats(min_value=1e-300, max_value=1e300))
def test_a_plain_float_is_read_exactly(number):
    """What Python writes is read back bit by bit."""
    assert to_number(repr(number)) == number


@given(st.text(max_size=40))
def test_any_text_is_a_number_missing_or_refused(text):
    """No text of a cell can raise anything but ValueError."""
    try:
        assert isinstance(to_number(text), float)
    except ValueError:
        assert not is_missing(text)


def test_an_unreadable_cell_costs_its_row_and_is_quoted(tmp_path):
    """The row is listed with the role and the text of the cell."""
    runs = read(tmp_path, table("N,D,loss", "1e8,2e9,3.5", "12X,4e9,3.2", "2e8,4e9,3.2"))
    assert [(f.row, f.reason, f.detail) for f in runs.dropped] == [(3, "unreadable", "params is '12X', not a number")]


def test_logarithms_are_read_on_request_and_refused_otherwise(tmp_path):
    """Columns around 9 and 18 are no counts: the error names both ways out, and each works."""
    text = table("size,log_d,loss", "125m,9.0,4.2", "350m,10.0,3.9")
    mapping = {"tokens": "log_d"}
    with pytest.raises(FileError, match=r"tokens in 'log_d' are around 9\.5, too few to be a count") as caught:
        read(tmp_path, text, mapping=mapping)
    assert "tokens=log10(log_d)" in caught.value.hint
    by_option = read(tmp_path, text, mapping=mapping, log10=["log_d"])
    by_mapping = read(tmp_path, text, mapping={"tokens": "log10(log_d)"})
    assert by_option.tokens.tolist() == by_mapping.tokens.tolist() == [1e9, 1e10]
    assert by_option.columns["tokens"] == "log10(log_d)"
    with pytest.raises(UsageError, match="plays no role"):
        read(tmp_path, text, mapping={"tokens": "log10(log_d)", "params": "125M"}, log10=["size"])


def test_a_mapping_scales_extracts_and_sets_constants(tmp_path):
    """Billions, a size inside a run name, and a token count that all runs share."""
    text = table("run,N_b,loss", "model-12m.lr_1,0.012,4.2", "model-1.5b.lr_1,1.5,3.0")
    scaled = read(tmp_path, text, mapping={"params": "N_b*1e9", "tokens": "20B"})
    assert scaled.params.tolist() == [1.2e7, 1.5e9]
    assert scaled.tokens.tolist() == [2e10, 2e10]
    extracted = read(tmp_path, text, mapping={"params": r"run~model-([\d.]+[mb])", "tokens_per_param": "20"})
    assert extracted.params.tolist() == [1.2e7, 1.5e9]
    assert extracted.tokens.tolist() == [2.4e8, 3e10]


def test_a_size_in_the_run_name_is_found_and_the_way_out_works(tmp_path):
    """Without a size column the error shows where sizes are; its hint, taken literally, reads the file."""
    text = table("Name,tokens,loss", "a_model-12m.x,2e9,4.2", "b_model-100m.x,2e9,3.7")
    with pytest.raises(FileError, match="no column for the parameters; the size seems to be inside") as caught:
        read(tmp_path, text)
    option = caught.value.hint.split("'")[1]
    role, _, column = option.partition("=")
    assert read(tmp_path, text, mapping={role: column}).params.tolist() == [1.2e7, 1e8]


@pytest.mark.parametrize(
    "mapping, message",
    [
        ({"loss": "val_los"}, "unknown column 'val_los'"),
        ({"lossy": "val_loss"}, "unknown role 'lossy'"),
        ({"params": "N~12m"}, "has no group"),
        ({"params": "N~(12m"}, "regular expression"),
        ({"params": "N*x"}, "unknown column 'x'"),
        ({"params": "N*"}, "lacks a factor"),
    ],
)
def test_a_wrong_mapping_is_refused_with_its_text(tmp_path, mapping, message):
    """Misspelt columns and roles and broken expressions are named."""
    with pytest.raises(UsageError, match=message):
        read(tmp_path, table("N,D,val_loss", "1e8,2e9,3.5"), mapping=mapping)


def test_missing_columns_say_what_is_there(tmp_path):
    """No loss, and too little known of the size, list the columns and the option."""
    with pytest.raises(FileError, match="no column with values for the final loss") as caught:
        read(tmp_path, table("N,D,accuracy", "1e8,2e9,0.5"))
    assert "'accuracy'" in caught.value.hint
    with pytest.raises(FileError, match="no column for the training tokens") as caught:
        read(tmp_path, table("N,loss", "1e8,3.5"))
    assert "two of params, tokens and flops" in caught.value.hint


@pytest.mark.parametrize("pair", [("params", "tokens"), ("params", "flops"), ("tokens", "flops")])
@pytest.mark.parametrize("convention, k, c", [("6ND", 6.0, 0.0), ("9.59ND + 2.3e8D", 9.59, 2.3e8), ("MD", 1.0, 0.0)])
def test_the_third_size_follows_from_the_convention(tmp_path, pair, convention, k, c):
    """Any two of N, D and C = k N D + c D give the third."""
    full = {"params": 7e10, "tokens": 1.4e12, "flops": (k * 7e10 + c) * 1.4e12}
    text = table(",".join([*pair, "loss"]), ",".join([*(repr(full[role]) for role in pair), "1.9"]))
    runs = read(tmp_path, text, flops_convention=convention)
    for role, value in full.items():
        assert getattr(runs, role)[0] == pytest.approx(value, rel=1e-12)  # a few roundings


def test_products_beyond_64_bit_integers_are_floats(tmp_path):
    """6*N*D of integer cells is 5.88e23, far beyond 9.2e18, and is right."""
    assert read(tmp_path, table("N,D,loss", "70000000000,1400000000000,1.9")).flops.tolist() == [5.88e23]


def test_given_flops_that_follow_no_count_are_counted_as_6nd(tmp_path):
    """Of two runs at 1 and 2 times 6ND nobody can tell which is right: both are counted, with a warning."""
    runs = read(tmp_path, table("N,D,C,loss", "1e8,2e9,2.4e18,3.5", "2e8,4e9,4.8e18,3.2"))
    assert runs.flops.tolist() == [1.2e18, 4.8e18]
    (warning,) = runs.warnings
    assert warning.code == "compute_differs"
    assert "1.00 (row 3) to 2.00 (row 2) times 6ND" in warning.message


@pytest.mark.parametrize(
    "unit, cell, options, expected, said",
    [
        ("nats", "2.5", {}, 2.5, "nats/token"),
        ("ppl", repr(math.exp(2.5)), {}, 2.5, "nats/token"),
        ("bits", repr(2.5 / math.log(2)), {}, 2.5, "nats/token"),
        # bits per byte = nats per token * (tokens/byte) / ln 2
        ("bpb", repr(2.5 * 0.25 / math.log(2)), {"tokens_per_byte": 0.25}, 2.5, "nats/token"),
        ("bpb", "0.9", {}, 0.9, "bits/byte"),
    ],
)
def test_the_unit_of_the_loss_is_converted_on_request(tmp_path, *, unit, cell, options, expected, said):
    """Perplexity, bits per token and bits per byte become nats per token; bits per byte may stay what they are."""
    runs = read(tmp_path, table("N,D,loss", f"1e8,2e9,{cell}"), loss_unit=unit, **options)
    assert runs.loss[0] == pytest.approx(expected, rel=1e-14)
    assert runs.loss_unit == said


def test_another_unit_is_never_assumed(tmp_path):
    """A perplexity column is not a loss unless the option says so, and the error says which option."""
    text = table("N,D,eval_ppl", "1e8,2e9,30", "2e8,4e9,25")
    with pytest.raises(FileError, match="no column for the loss in nats/token; 'eval_ppl' is in perplex") as caught:
        read(tmp_path, text)
    assert "--loss-unit ppl" in caught.value.hint
    assert read(tmp_path, text, loss_unit="ppl").loss.tolist() == np.log([30.0, 25.0]).tolist()
    with pytest.raises(UnknownNameError, match="unknown loss unit 'nat'"):
        read(tmp_path, text, loss_unit="nat")
    with pytest.raises(UsageError, match="tokens per byte convert a loss per byte"):
        read(tmp_path, text, loss_unit="ppl", tokens_per_byte=0.3)


SWEEP = table(
    "name,group,lr,State,N,D,loss",
    "a1,rw,1e-3,finished,100M,2B,3.5",
    "a2,rw,3e-3,finished,100M,4B,3.4",
    "b1,c4,0.001,finished,200M,4B,3.2",
    "b2,c4,,finished,400M,8B,2.9",
)


@pytest.mark.parametrize(
    "condition, rows",
    [
        ("lr<=1e-3", [2, 4]),
        ("lr = 0.001", [2, 4]),
        ("lr == 1e-3", [2, 4]),
        ("lr > 1e-3", [3]),
        ("lr != 1e-3", [3, 5]),
        ("group=rw", [2, 3]),
        ("group != rw", [4, 5]),
        ("name ~ ^b", [4, 5]),
        ("N >= 200M", [4, 5]),
        ("params < 150M", [2, 3]),
        ("flops > 4e18", [4, 5]),
        ("tokens_per_param = 40", [3]),
        ("loss < 3.3", [4, 5]),
    ],
)
def test_conditions_choose_rows_by_column_or_role(tmp_path, condition, rows):
    """Numbers compare as numbers however written, texts as texts; an empty cell meets only 'not equal'."""
    runs = read(tmp_path, SWEEP, where=[condition])
    assert runs.rows.tolist() == rows
    assert {(f.reason, f.detail) for f in runs.dropped} == {("filtered", f"not {condition}")}


@pytest.mark.parametrize(
    "condition, message",
    [
        ("lr", "has no operator"),
        ("rate < 1", "unknown column 'rate'"),
        ("lr < fast", "'fast' is not a number"),
        ("name ~ (", "invalid regular expression"),
    ],
)
def test_a_wrong_condition_is_refused(tmp_path, condition, message):
    """The condition is quoted and the fault named."""
    with pytest.raises(UsageError, match=message):
        read(tmp_path, SWEEP, where=[condition])


def test_groups_labels_and_extra_columns_come_along(tmp_path):
    """Each run keeps its group and its name, and a further column is read as numbers."""
    runs = read(tmp_path, SWEEP, group="group", extra=["lr"])
    assert runs.rows.tolist() == [2, 3, 4]
    assert runs.group == ("rw", "rw", "c4")
    assert runs.select(runs.rows > 3).group == ("c4",)
    assert runs.labels == ("a1", "a2", "b1")
    assert runs.extra["lr"].tolist() == [0.001, 0.003, 0.001]
    assert [(f.row, f.reason, f.detail) for f in runs.dropped] == [(5, "missing_value", "no value in 'lr'")]
    assert any("--group 'group'" in note for note in read(tmp_path, SWEEP).notes)


def test_what_is_not_needed_may_be_absent(tmp_path):
    """A curve over one column needs neither the other sizes nor their being unambiguous."""
    runs = read(
        tmp_path,
        table("train_tokens,n_params,model_size,loss", "1e9,1,2,3.5", "2e9,3,4,3.2"),
        needed=("tokens", "loss"),
    )
    assert runs.tokens.tolist() == [1e9, 2e9]
    assert np.isnan(runs.params).all()


@given(st.binary(max_size=400))
def test_any_bytes_give_runs_or_one_of_our_errors(tmp_path_factory, content):
    """No content of a file can raise anything that is not written for a person."""
    path = tmp_path_factory.mktemp("any") / "runs.csv"
    path.write_bytes(b"N,D,loss\n1e8,2e9,3.5\n" + content)
    with suppress(ScaleplanError):
        assert len(read_runs(path)) >= 1


def test_a_loss_of_texts_is_the_reason_and_not_the_sizes(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("params,tokens,loss,note\n" + "".join(f"1e8,{n}e9,3.{n},fine\n" for n in range(1, 9)))
    with pytest.raises(FileError, match="row 2: 'fine' in 'note' is no number, and no row has a loss"):
        read_runs(path, mapping={"loss": "note"})
