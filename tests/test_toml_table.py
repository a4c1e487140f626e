"""TOML is written so that it reads back as what was written, byte for byte the same each time."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.toml_table import toml_text

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALAR = st.one_of(
    TEXT, st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False)
)
VALUE = st.recursive(
    SCALAR,
    lambda inner: st.one_of(st.lists(SCALAR, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=12,
)


@given(st.dictionaries(TEXT, VALUE, max_size=5))
def test_what_is_written_reads_back(table):
    """Every mapping of texts, numbers, lists and mappings survives the round trip exactly."""
    assert tomllib.loads(toml_text(table)) == table


def test_tables_and_rows_are_laid_out_for_people():
    """Scalars come before tables, a matrix has one row a line, lists of mappings are arrays of tables."""
    table = {
        "range": {"params": [1.0, 2.0]},
        "id": "a",
        "rows": [[1.0, 0.5], [0.5, 1.0]],
        "notes": [{"text": "x"}, {"text": "y"}],
    }
    assert toml_text(table) == (
        'id = "a"\nrows = [\n  [1.0, 0.5],\n  [0.5, 1.0],\n]\n\n[range]\nparams = [1.0, 2.0]\n\n'
        '[[notes]]\ntext = "x"\n\n[[notes]]\ntext = "y"\n'
    )


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_not_finite_is_refused(number):
    """No file that is read back holds NaN or infinity."""
    with pytest.raises(ValueError, match="does not belong"):
        toml_text({"x": number})


def test_a_value_without_a_form_in_toml_is_refused():
    """None has no form in TOML, and is not written as something else."""
    with pytest.raises(TypeError, match="NoneType"):
        toml_text({"x": None})
