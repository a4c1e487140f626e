"""Units in headings: which part of a heading is the unit, what it means, and which cells it scales."""

import pytest

from scaleplan.errors import FileError
from scaleplan.fitting.reading import read_runs


def read(tmp_path, text, **options):
    path = tmp_path / "runs.csv"
    path.write_text(text, encoding="utf-8")
    return read_runs(path, **options)


@pytest.mark.parametrize(
    ("role", "column", "cell"),
    [
        *(
            ("params", name, "0.1")
            for name in ("Model Size (B)", "params_B", "paramsB", "Parameters, B", "N [billion]")
        ),
        *(("params", name, "100") for name in ("params_M", "Params (M)", "config.model_size_M", "million params")),
        *(("params", name, "100") for name in ("N (1e6)", "#Params (10^6)", "parameters (×10⁶)", "n_params_m")),
        ("params", "log10(N)", "8"),
        ("params", "Total Params (M)", "100"),
        *(
            ("tokens", name, "2")
            for name in ("tokens (billions)", "tokens_B", "D in billions", "Train tokens (B tokens)")
        ),
        ("tokens", "Pretraining Data Size (T)", "0.002"),
        ("tokens", "dataset_tokens", "2000000000"),
        *(("flops", name, "1.2") for name in ("FLOPs (1E18)", "compute (EFLOP)", "C [x10^18]", "train_exaflops")),
        *(("flops", name, "1.2e18") for name in ("FLOPs", "Compute [FLOPs]")),
        *(("flops", name, str(1.2e18 / 8.64e19)) for name in ("PF-days", "Compute (PFLOP/s-days)", "pf_days")),
        ("flops", "total train ZFLOPs", "0.0012"),
    ],
)
def test_a_unit_in_a_heading_scales_the_numbers_below(tmp_path, role, column, cell):
    """Spreadsheets and papers write the unit beside the name, before it, after it, or in it."""
    plain = {"params": "1e8", "tokens": "2e9", "loss": "3.5"}
    if role == "flops":
        del plain["tokens"]
    plain[role] = cell
    names = [f'"{column}"' if name == role else name for name in plain]
    row = ",".join(plain.values())
    runs = read(tmp_path, f"{','.join(names)}\n{row}\n{row}\n", keep=["duplicate"])
    assert (runs.params[0], runs.tokens[0]) == pytest.approx((1e8, 2e9), rel=1e-9)
    assert runs.flops[0] == pytest.approx(1.2e18, rel=1e-9)


@pytest.mark.parametrize("column", ["D (tokens)", "tokens", "Training Tokens", "n_tokens"])
def test_a_heading_without_a_unit_scales_nothing(tmp_path, column):
    """What is in brackets need not be a unit of the count."""
    assert read(tmp_path, f"N,{column},loss\n1e8,2e9,3.5\n").tokens.tolist() == [2e9]


def test_a_cell_with_a_suffix_of_its_own_is_not_scaled_twice(tmp_path):
    """7B below 'Size (B)' is 7e9, and so is 7."""
    runs = read(tmp_path, "Model Size (B),tokens,loss\n7B,2e11,2.3\n7,3e11,2.2\n700M,3e11,2.4\n")
    assert runs.params.tolist() == [7e9, 7e9, 7e8]
    assert runs.columns["params"] == "Model Size (B)*1e9"


def test_the_users_own_factor_wins_over_the_heading(tmp_path):
    """``*1`` reads the numbers as they stand, and a column that is mapped as a whole keeps its unit."""
    text = "Size of it (M),tokens,loss\n100000000,2e9,3.5\n"
    assert read(tmp_path, text, mapping={"params": "Size of it (M)*1"}).params.tolist() == [1e8]
    small = text.replace("100000000", "100")
    assert read(tmp_path, small, mapping={"params": "Size of it (M)"}).params.tolist() == [1e8]


def test_counts_below_a_heading_in_millions_are_questioned(tmp_path):
    """A hundred million millions of parameters is no model: the numbers need no unit."""
    with pytest.raises(FileError, match=r"'Params \(M\)' are around 1e14 by the unit in the heading") as caught:
        read(tmp_path, "Params (M),tokens,loss\n100000000,2e9,3.5\n")
    assert "Params (M)*1'" in caught.value.hint
