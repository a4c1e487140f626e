"""Preset files: what the bundled ones say, and what is refused."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import tomllib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaleplan.errors import FileError, UnknownNameError, UsageError
from scaleplan.files import data_folder
from scaleplan.laws.base import Allocation, Curve, LossSurface
from scaleplan.presets.library import DEFAULT_PRESET, Library, read_preset

LIBRARY = Library([data_folder() / "laws"])
PRESETS = LIBRARY.all()
BUDGETS = [10.0**power for power in range(12, 31, 2)]

GOOD = """
schema = 1
id = "own"
title = "Own law"
form = "additive"
source = "own runs"
status = "refit"
[coefficients]
E = 1.7
A = 400
B = 2000
alpha = 0.35
beta = 0.36
[conventions]
params = "total"
"""


def written(folder, text, name="own.toml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_every_bundled_file_is_a_valid_preset():
    """Each file loads, and its id is the name of its file."""
    assert {preset.id for preset in PRESETS} == {path.stem for path in (data_folder() / "laws").glob("*.toml")}


def test_no_two_presets_answer_to_one_name():
    """Ids and aliases are unique, whatever the case."""
    names = [name.casefold() for preset in PRESETS for name in (preset.id, *preset.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "alias, expected",
    [
        ("chinchilla", "besiroglu-2024"),
        ("epoch", "besiroglu-2024"),
        ("Kaplan", "kaplan-2020"),
        ("llama3", "llama3-2024"),
        ("deepseek", "deepseek-llm-2024"),
        ("hoffmann", "hoffmann-2022-a3"),
        ("hoffmann-a3", "hoffmann-2022-a3"),
        ("porian", "porian-2024-rw-tuned"),
        ("gadre", "gadre-2024-c4"),
        ("muennighoff", "muennighoff-2023"),
        ("muennighoff-2023-c4", "muennighoff-2023"),
        ("henighan-2020", "henighan-2020-language"),
        ("sardana-2024", "sardana-2024-all"),
        ("olmo-ladder-2024", "olmo-ladder-2024-c4"),
        ("HUNYUAN", "hunyuan-large-2024"),
    ],
)
def test_people_find_a_law_by_the_names_they_type(alias, expected):
    """Aliases resolve, in any case of letters."""
    assert LIBRARY.load(alias).id == expected


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.id)
def test_a_law_answers_between_1e12_and_1e30(preset):
    """Splits spend the budget, sizes, tokens and losses are monotone in it, and the loss stays above the floor."""
    law = preset.law
    if isinstance(law, Curve):
        assert not preset.allocates
        return
    before = None
    for flops in BUDGETS:
        if isinstance(law, Allocation):
            (params, tokens), loss = law.split(flops), law.frontier_loss(flops)
        else:
            assert isinstance(law, LossSurface)
            split = law.best_split(flops / preset.cost.per_param_token)
            if split is None:
                assert not preset.allocates
                continue
            params, tokens = split
            loss = law.loss(params, tokens)
            # rounding against E hides the rest above 1e28 FLOP in no bundled law
            assert law.least_product(loss) == pytest.approx(flops / preset.cost.per_param_token, rel=1e-7)
            assert loss > law.floor
        assert preset.cost.flops(params, tokens) == pytest.approx(flops, rel=1e-12)
        if before:
            assert params > before[0]
            assert tokens > before[1]
            assert loss is None or loss < before[2]
        before = params, tokens, loss


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.id)
def test_a_preset_says_where_its_numbers_come_from(preset):
    """Every preset has a source with an identifier; a single source or a rounding is explained in a note."""
    assert "arXiv:" in preset.source or "github.com/" in preset.source
    assert preset.notes
    if preset.refusal is not None:
        assert len(preset.refusal) > 20


def test_the_default_carries_its_full_covariance():
    """Standard deviations are those the authors print for A and B (Besiroglu et al. 2024: 124.58 and 1293.23)."""
    preset = LIBRARY.load(DEFAULT_PRESET)
    known = preset.uncertainty
    sizes = [math.sqrt(known.covariance[i][i]) for i in range(5)]
    assert known.parameters == ("ln A", "ln B", "ln E", "alpha", "beta")
    # the authors take the standard deviation of A itself, which for a log-normal is wider than A times that of ln A
    assert 482.01 * sizes[0] == pytest.approx(124.58, rel=0.01)
    assert known.covariance[0][3] / (sizes[0] * sizes[3]) == pytest.approx(0.99932, abs=5e-6)
    assert known.covariance[1][4] / (sizes[1] * sizes[4]) == pytest.approx(0.99968, abs=5e-6)


def test_the_default_law_is_centred_where_its_bootstrap_is():
    """The medians of the bootstrap (laws.md 4.3) lie near the published optimum, and the interval is around them."""
    preset = LIBRARY.load(DEFAULT_PRESET)
    point = replace(preset, uncertainty=replace(preset.uncertainty, centre=())).centre()
    sizes = [math.sqrt(preset.uncertainty.covariance[i][i]) for i in range(5)]
    assert preset.centre() != point
    assert all(abs(a - b) < 0.5 * size for a, b, size in zip(preset.centre(), point, sizes, strict=True))


def test_the_law_moves_along_its_uncertain_coordinates():
    """At the point estimate it is the law itself; logarithms move the coefficient by a factor."""
    preset = LIBRARY.load(DEFAULT_PRESET)
    centre = replace(preset, uncertainty=replace(preset.uncertainty, centre=())).centre()
    for name, value in preset.law_at(centre).coefficients().items():
        assert value == pytest.approx(preset.law.coefficients()[name], rel=1e-14)
    moved = preset.law_at((centre[0] + math.log(2), *centre[1:4], 0.4))
    assert moved.coefficients()["A"] == pytest.approx(2 * preset.law.A, rel=1e-14)
    assert moved.beta == 0.4


def test_units_are_applied_after_the_coefficients_move(tmp_path):
    """A law in billions is moved as published, then brought to raw units."""
    text = GOOD.replace("[conventions]", '[units]\nparams = 1e9\n[uncertainty]\nparameters = ["ln A"]\n'
                        "covariance = [[0.01]]\n[conventions]")  # fmt: skip
    preset = read_preset(written(tmp_path, text))
    for law in (preset.law, preset.law_at(preset.centre())):
        assert law.coefficients()["A"] == pytest.approx(400 * 1e9**0.35)


def test_an_id_is_read_from_one_file_without_heavy_imports():
    """Loading the default imports neither NumPy nor SciPy nor a form it does not use, and opens one preset."""
    code = (
        "import sys, scaleplan.presets.library as reader\n"
        "opened = []\n"
        "true = reader.read_table\n"
        "reader.read_table = lambda path, what: opened.append(path) or true(path, what=what)\n"
        "from scaleplan.presets.library import Library\n"
        "Library().load('besiroglu-2024')\n"
        "assert len(opened) == 1, opened\n"
        "heavy = {'numpy', 'scipy', 'rich', 'difflib', 'scaleplan.laws.kaplan'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_users_file_wins_over_a_bundled_one(tmp_path):
    """A file of the same id in a later folder replaces the bundled preset."""
    written(tmp_path, GOOD.replace('"own"', '"besiroglu-2024"'), "besiroglu-2024.toml")
    assert Library([data_folder() / "laws", tmp_path]).load("besiroglu-2024").title == "Own law"


def test_a_path_may_have_any_name(tmp_path):
    """A file named by path need not be called after its id."""
    assert LIBRARY.load(str(written(tmp_path, GOOD, "something.toml"))).id == "own"


def test_in_a_folder_the_id_is_the_name_of_the_file(tmp_path):
    """Otherwise a name would find a file that says it is another law."""
    written(tmp_path, GOOD, "other.toml")
    with pytest.raises(FileError, match="the name of the file"):
        Library([tmp_path]).load("other")


def test_a_broken_neighbour_does_not_hide_a_good_preset(tmp_path):
    """Aliases resolve past files that cannot be read, and an unknown name mentions them."""
    written(tmp_path, GOOD.replace('id = "own"', 'id = "own"\naliases = ["mine"]'))
    written(tmp_path, "mine = [", "broken.toml")
    library = Library([tmp_path, tmp_path / "absent"])
    assert library.load("mine").id == "own"
    with pytest.raises(UnknownNameError) as caught:
        library.load("mime")
    assert "did you mean 'mine'?" in caught.value.hint
    assert "broken.toml" in caught.value.hint


@pytest.mark.parametrize("name", ["besiroglu", "bessiroglu-2024", "", "x" * 10_000, "\x1b[31m"])
def test_an_unknown_name_is_one_clear_error(name):
    """Empty, long and hostile names give a short message without control characters."""
    if name == "besiroglu":
        assert LIBRARY.load(name).id == "besiroglu-2024"
        return
    with pytest.raises(UnknownNameError) as caught:
        LIBRARY.load(name)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 200


def test_a_typing_mistake_is_recognised():
    """The closest preset is suggested."""
    with pytest.raises(UnknownNameError) as caught:
        LIBRARY.load("bessiroglu-2024")
    assert "did you mean 'besiroglu-2024'?" in caught.value.hint


UNCERTAIN = '[uncertainty]\nparameters = ["ln A", "alpha"]\n'
BAD = {
    "broken TOML": ("schema = = 1", "line 1"),
    "binary": ("\x00\x01", "TOML"),
    "no schema": (GOOD.replace("schema = 1", ""), "schema: this key is missing"),
    "newer schema": (GOOD.replace("schema = 1", "schema = 3"), "schema: expected 1 or 2"),
    "boolean schema": (GOOD.replace("schema = 1", "schema = true"), "schema: expected a whole number"),
    "unknown key": (GOOD.replace("title", "titel"), "title: this key is missing"),
    "extra key": ("colour = 'red'" + GOOD, "'colour': unknown key"),
    "unknown form": (GOOD.replace('"additive"', '"additiv"'), "form: expected one of"),
    "misspelt coefficient": (GOOD.replace("alpha =", "alhpa ="), "coefficients.alpha: this key is missing"),
    "extra coefficient": (GOOD.replace("E = 1.7", "E = 1.7\ngamma = 1"), "'coefficients.gamma': unknown key"),
    "nan": (GOOD.replace("1.7", "nan"), "coefficients.E: expected a finite number"),
    "infinite": (GOOD.replace("1.7", "inf"), "coefficients.E: expected a finite number"),
    "huge integer": (GOOD.replace("1.7", "1" + "0" * 400), "coefficients.E: expected a finite number"),
    "text": (GOOD.replace("1.7", "'1.7'"), "coefficients.E: expected a finite number"),
    "boolean": (GOOD.replace("1.7", "true"), "coefficients.E: expected a finite number"),
    "negative exponent": (GOOD.replace("0.35", "-0.35"), "coefficients.alpha: expected a finite number above 0"),
    "absurd exponent": (GOOD.replace("0.35", "1e-300"), "no finite answer"),
    "absurd scale": (GOOD.replace("400", "1e308").replace("0.35", "1e-4"), "no finite answer"),
    "bad status": (GOOD.replace('"refit"', '"sure"'), "status: expected one of"),
    "bad convention": (GOOD.replace('"total"', '"totl"'), "conventions.params: expected one of"),
    "bad compute": (GOOD + 'flops = "6 N D"', "conventions.flops: expected a compute convention"),
    "compute of nothing": (GOOD + 'flops = "0ND"', "conventions.flops"),
    "compute that does not fit": (GOOD + 'flops = "MD"', "conventions.flops: does not go with"),
    "control character": (GOOD.replace("Own law", "Own \\u001b[31m law"), "title: expected one line"),
    "two lines": (GOOD.replace("Own law", "Own\\nlaw"), "title: expected one line"),
    "empty title": (GOOD.replace("Own law", " "), "title: expected one line"),
    "bad id": (GOOD.replace('"own"', '"../own"'), "id: expected letters"),
    "bad alias": ('aliases = ["a b"]' + GOOD, "aliases: expected names"),
    "bad note": (GOOD + "[[notes]]\ntext = 3", r"notes\[0\].text: expected text"),
    "reversed range": (GOOD + "[range]\nparams = [2, 1]", "range.params: expected .low, high."),
    "unknown range": (GOOD + "[range]\nparam = [1, 2]", "'range.param': unknown key"),
    "refusal without reason": (GOOD + "[use]\nallocate = false", "use.reason: this key is missing"),
    "unit of zero": (GOOD + "[units]\nparams = 0", "units.params: expected a finite number above 0"),
    "table that is none": (
        "conventions = 'total'" + GOOD.replace('[conventions]\nparams = "total"', ""),
        "expected a table",
    ),
    "hostile provenance": (GOOD + '[fit]\ndata = "\\u0007"', "fit: expected printable texts"),
    "unknown parameter": (
        GOOD + UNCERTAIN.replace("alpha", "gamma"),
        "uncertainty.parameters: expected coefficients",
    ),
    "repeated parameter": (GOOD + UNCERTAIN.replace("alpha", "A"), "each uncertain coefficient once"),
    "no parameters": (GOOD + "[uncertainty]\nparameters = []", "each uncertain coefficient once"),
    "nothing known": (GOOD + UNCERTAIN, "either covariance or draws"),
    "both": (GOOD + UNCERTAIN + "covariance = []\ndraws = []", "either covariance or draws"),
    "not square": (GOOD + UNCERTAIN + "covariance = [[1, 0]]", "square, symmetric"),
    "ragged": (GOOD + UNCERTAIN + "covariance = [[1, 0], [1]]", "all of one length"),
    "asymmetric": (GOOD + UNCERTAIN + "covariance = [[1, 0.1], [0.2, 1]]", "square, symmetric"),
    "indefinite": (GOOD + UNCERTAIN + "covariance = [[1, 2], [2, 1]]", "positive semidefinite"),
    "negative variance": (GOOD + UNCERTAIN + "covariance = [[1, 0], [0, -1]]", "positive semidefinite"),
    "covariance without variance": (GOOD + UNCERTAIN + "covariance = [[0, 1], [1, 1]]", "positive semidefinite"),
    "draws of other width": (GOOD + UNCERTAIN + "draws = [[1]]", "rows of 2 numbers"),
    "absurd draw": (GOOD + UNCERTAIN + "draws = [[1e6, 0.3]]", "a draw is out of range"),
    "draw out of domain": (GOOD + UNCERTAIN + "draws = [[5, -0.3]]", "outside its domain"),
    "empty backtest": (
        GOOD + UNCERTAIN + "covariance = [[1, 0], [0, 1]]\n[uncertainty.backtest]\nfactors = []\nrms = []",
        "one error for each factor",
    ),
    "shrinking backtest": (
        GOOD + UNCERTAIN + "covariance = [[1, 0], [0, 1]]\n[uncertainty.backtest]\nfactors = [0.5]\nrms = [0.1]",
        "numbers of at least 1",
    ),
}


@pytest.mark.parametrize("text, message", BAD.values(), ids=BAD)
def test_a_bad_file_is_refused_with_the_key(tmp_path, text, message):
    """Each mistake gives one error with the file and the key."""
    path = written(tmp_path, text)
    with pytest.raises(FileError, match=message) as caught:
        read_preset(path)
    assert "own.toml" in caught.value.message
    assert caught.value.message.isprintable()


def test_a_misspelt_key_is_met_with_the_right_one(tmp_path):
    """Unknown keys suggest the known one, optional ones included."""
    with pytest.raises(FileError) as caught:
        read_preset(written(tmp_path, GOOD + "[range]\ntoken_per_param = [1, 2]"))
    assert caught.value.hint == "did you mean 'tokens_per_param'?"


def test_a_folder_is_not_a_preset(tmp_path):
    """A directory named like a preset is one clear error."""
    (tmp_path / "own.toml").mkdir()
    with pytest.raises(FileError, match="is a directory"):
        Library([tmp_path]).load("own")


def test_a_perfectly_correlated_covariance_is_accepted(tmp_path):
    """Positive semidefinite includes singular: one coefficient may determine another."""
    text = GOOD + UNCERTAIN + "covariance = [[0.04, 0.002], [0.002, 0.0001]]"
    assert read_preset(written(tmp_path, text)).uncertainty.covariance[0][1] == 0.002


def test_a_written_fit_table_is_kept(tmp_path):
    """Provenance of a fit is free-form and handed on."""
    preset = read_preset(written(tmp_path, GOOD + '[fit]\nrows = 240\n[fit.dropped]\nreason = "outliers"'))
    assert preset.fit == {"rows": 240, "dropped": {"reason": "outliers"}}


def test_a_law_may_refuse_to_choose(tmp_path):
    """The reason is part of the preset."""
    preset = read_preset(written(tmp_path, GOOD + '[use]\nallocate = false\nreason = "measured at one ratio"'))
    assert not preset.allocates
    assert preset.refusal == "measured at one ratio"
    assert replace(preset, refusal=None).allocates


def test_some_notes_are_repeated_by_every_plan():
    """Of Kaplan's notes plans repeat two: on the exponent, and on the two fits that losses come from."""
    preset = LIBRARY.load("kaplan-2020")
    assert len(preset.caveats) == 2
    assert "0.73" in preset.caveats[0]
    assert "separate fits" in preset.caveats[1]
    assert set(preset.caveats) < set(preset.notes)


def test_the_note_on_minicpms_rounding_tells_what_the_law_gives():
    """Its rounded constants and tied exponents give one ratio at every budget."""
    preset = Library().load("minicpm-2024")
    params, tokens = preset.law.best_split(1e21 / 6)
    assert any(f"they give {tokens / params:.1f} tokens per parameter" in note for note in preset.notes)


def test_a_preset_moves_to_another_batch_regime():
    """In the limit of small batches C_min is the whole budget, which buys 2^0.73 times the size."""
    preset = LIBRARY.load("kaplan-2020")
    small = preset.with_regime("small").law.split(1e21)[0]
    assert small / preset.law.split(1e21)[0] == pytest.approx(2**0.73, rel=1e-12)
    with pytest.raises(UnknownNameError):
        preset.with_regime("huge")


def test_a_law_without_regimes_refuses_them():
    """The hint says which law has them."""
    with pytest.raises(UsageError, match="does not depend on the batch regime"):
        LIBRARY.load("besiroglu-2024").with_regime("small")


NUMBERS = st.floats(allow_nan=True, allow_infinity=True) | st.integers() | st.booleans() | st.text(max_size=3)


@given(data=st.data())
@settings(max_examples=400)
def test_any_numbers_give_a_preset_or_one_error(tmp_path_factory, data):
    """Whatever the values of a bundled preset are replaced by, the reader answers or refuses, and never fails."""
    preset = data.draw(st.sampled_from(PRESETS))
    text = Path(preset.origin).read_text(encoding="utf-8")
    names = list(tomllib.loads(text)["coefficients"])
    for name in data.draw(st.lists(st.sampled_from(names), max_size=3)):
        value = data.draw(NUMBERS)
        written_value = str(value).lower() if isinstance(value, bool | int | float) else f'"{value!r}"'
        text = re.sub(rf"(?m)^{name} = .*$", lambda _, n=name, v=written_value: f"{n} = {v}", text)
    path = written(tmp_path_factory.getbasetemp(), text, "fuzzed.toml")
    with suppress(FileError):
        found = read_preset(path)
        assert all(math.isfinite(value) for value in found.law.coefficients().values())
