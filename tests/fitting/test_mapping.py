"""Mappings by the user's formula: products and quotients of columns and numbers."""

import pytest

from scaleplan.errors import FileError, UnknownNameError, UsageError
from scaleplan.fitting.fit import fit
from scaleplan.fitting.reading import read_runs

TEXT = "n_params,max_steps,batch_size,seq_len,tok/s,hours,val_loss\n2e7,2000,256,1024,1e6,0.1456,4.46\n"


def read(tmp_path, text=TEXT, **mapping):
    path = tmp_path / "runs.csv"
    path.write_text(text, encoding="utf-8")
    return read_runs(path, mapping=mapping)


@pytest.mark.parametrize(
    ("formula", "tokens"),
    [
        ("max_steps*batch_size*seq_len", 2000 * 256 * 1024),
        ("max_steps * batch_size * 1024", 2000 * 256 * 1024),
        ("2*max_steps*batch_size*seq_len/2", 2000 * 256 * 1024),
        ("tok/s*hours*3600", 1e6 * 0.1456 * 3600),
        ("Max_Steps*524288/1e0", 2000 * 524288),
        ("max_steps/0.001", 2e6),
        ("1B/2", 5e8),
    ],
)
def test_products_and_quotients_of_columns_and_numbers(tmp_path, formula, tokens):
    """Trackers log steps, batch and length; a name may hold a sign, and the longest name wins."""
    runs = read(tmp_path, tokens=formula)
    assert runs.tokens[0] == pytest.approx(tokens, rel=1e-12)
    assert runs.columns["tokens"] == formula


@pytest.mark.parametrize(
    ("formula", "message"),
    [("max_steps*batch", "unknown column 'batch'"), ("max_steps*", "lacks a factor"), ("max/steps", "'max/steps'")],
)
def test_a_wrong_formula_is_refused_with_its_part(tmp_path, formula, message):
    """The factor that is no column and no number is named."""
    with pytest.raises((UsageError, UnknownNameError), match=message):
        read(tmp_path, tokens=formula)


@pytest.mark.parametrize(
    ("names", "product"),
    [
        ("max_steps,batch_size,seq_len", "max_steps*batch_size*seq_len"),
        ("iters,gbs,block_size", "iters*gbs*block_size"),
        ("train_samples,sequence_length,x", "train_samples*sequence_length"),
        ("global_step,tokens_per_step,x", "global_step*tokens_per_step"),
    ],
)
def test_the_product_is_named_where_the_tokens_are_missing(tmp_path, names, product):
    """The hint can be pasted."""
    with pytest.raises(FileError, match="no column for the training tokens") as caught:
        read(tmp_path, f"params,{names},loss\n1e8,10,20,30,3.5\n")
    assert f"--map 'tokens={product}'" in caught.value.hint


def test_a_curve_needs_its_own_columns_alone(tmp_path):
    """Sizes in billions beside it, without a unit, and no loss at all are none of its business."""
    path = tmp_path / "runs.csv"
    rows = [
        f"m{i},{size},{flops},{accuracy}"
        for i, (size, flops, accuracy) in enumerate(
            [(0.1, 1e20, 0.9), (0.4, 1e21, 0.75), (1, 3e21, 0.68), (3, 1e22, 0.61), (7, 3e22, 0.56), (13, 1e23, 0.5)]
        )
    ]
    path.write_text("\n".join(["Model,Size,FLOPs,Error", *rows]), encoding="utf-8")
    fitted = fit(path, form="power", x="flops", y="error", samples=0)
    assert fitted.runs.spans() == {"flops": (1e20, 1e23)}


def test_a_message_names_the_column_and_a_cell(tmp_path):
    """A column with the right name whose cells are no numbers is not called missing."""
    with pytest.raises(FileError, match="row 2: 'three point five' in column 'loss' is no number"):
        read(tmp_path, "params,tokens,loss\n1e8,2e9,three point five\n")
    with pytest.raises(FileError, match="row 2: '2 lakh' in column 'tokens' is no number"):
        read(tmp_path, "params,tokens,loss\n1e8,2 lakh,3.5\n")
