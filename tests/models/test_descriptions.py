"""The language of layers: what is counted by it, and that whatever is written in it is counted or refused."""

import copy
import json
import random
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaleplan.errors import FileError, ScaleplanError
from scaleplan.files import data_folder
from scaleplan.models.config import Fields
from scaleplan.models.count import count, executed_params, kv_bytes_per_token, state_bytes
from scaleplan.models.families.checking import check
from scaleplan.models.families.description import KEYS
from scaleplan.models.families.expansion import expand
from scaleplan.models.families.expressions import FUNCTIONS, ExpressionError, compiled
from scaleplan.models.families.finding import INDEX, FamilyLibrary, described, families, index_of
from scaleplan.models.families.parts import SHORTHANDS
from scaleplan.models.families.parts import SIZES as PART_SIZES
from scaleplan.models.model import read_model

GRAMMAR = Path(__file__).parents[2].parent / "shared" / "reference" / "arch_grammar"
needs_grammar = pytest.mark.skipif(not GRAMMAR.is_dir(), reason="the reference descriptions lie beside the project")
FAMILIES = data_folder() / "families"

SMALL = """
schema = 1
name = "small"
[let]
d = 64
h = 4
[model]
vocab = 100
tied = true
atoms = ["final norm: norm d"]
[[stack]]
repeat = 3
layers = [["attention", "mlp"]]
[part.attention]
atoms = ["norm: norm d"]
attention = { heads = "h", head_size = "share(d, h)" }
[part.mlp]
atoms = ["norm: norm d", "up: matrix d -> 4*d + bias", "down: matrix 4*d -> d"]
"""


def read(text):
    """Return the architecture of a description with its sizes inside."""
    return expand(described(tomllib.loads(text), source="mine.toml"))


@needs_grammar
@pytest.mark.parametrize(
    ("file", "total", "cache", "state", "per_key"),
    [
        ("qwen3_next", 79_674_391_296, 12_288, 20_054_016, 196_608),
        ("kimi_linear", 49_133_074_464, 3_456, 12_042_240, 122_880),
        ("longcat_flash", 560_664_958_976, 32_256, 0, 2_293_760),
        ("gemma3n_e4b", 6_835_235_568, 20_480, 0, 286_720),
        ("zamba", 7_232_490_496, 193_024, 11_284_480, 386_048),
        ("nemotron_h", 1_968_355_712, 2_048, 1_089_536, 16_384),
    ],
)
def test_odd_architectures_are_counted_from_their_description_alone(file, total, cache, state, per_key):
    """Six descriptions with their sizes inside give the counts of the reference implementation to the last digit."""
    model = read_model(str(GRAMMAR / f"{file}.toml"))
    a = model.architecture
    assert model.params == total
    assert kv_bytes_per_token(a, bytes_per_value=1) == cache
    assert state_bytes(a, bytes_per_value=1) == state
    assert sum(2 * many * part.pairs for many, part in a.parts()) == per_key


@needs_grammar
def test_a_shared_part_is_held_once_and_runs_wherever_it_stands():
    """Zamba's one attention block runs 13 times: 7.2B weights multiply as 11.5B, which a note says."""
    model = read_model(str(GRAMMAR / "zamba.toml"))
    assert executed_params(model.architecture) == model.summary().executed_params == 11_520_503_808
    assert any("shared 13 times" in note and "11,520,503,808" in note for note in model.notes)
    assert model.summary().state_bytes_per_sequence == 2 * 11_284_480


def test_a_description_counts_by_hand():
    """The parts of a small one: tables, 3 layers of attention and biased blocks, norms."""
    assert count(read(SMALL)).params == 100 * 64 + 64 + 3 * (4 * 64**2 + 64 + 8 * 64**2 + 4 * 64 + 64)
    assert read_model(tomllib.loads(SMALL)).family == "small"


@pytest.mark.parametrize("name", sorted(families().files()))
def test_every_family_is_a_valid_description(name):
    """Each can be read, uses no name that is not there, and says in one line which models it counts."""
    found = families().load(name)
    check(found)
    assert found.title
    assert "\n" not in found.title
    assert len(found.title) < 150
    assert not set(found.fields) - {key for key in found.fields if found.uses(key)} or found.like, "a field is unused"


def test_the_index_is_that_of_the_files():
    """The file that saves reading every family names what they state; ``bash docs/write`` writes it anew."""
    assert json.loads((FAMILIES / INDEX).read_text(encoding="utf-8")) == index_of(FAMILIES)


@pytest.mark.parametrize(
    ("model_type", "most"), [("llama", 1), ("code_llama", 3), ("mixtral", 3), ("gemma3_text", 5)]
)
def test_only_the_family_of_a_config_is_read(model_type, most, monkeypatch):
    """One file and those that it is like, whatever the number of families; the index where the names differ."""
    read_files = []
    for name in ("read_table", "read_text"):
        original = getattr(__import__("scaleplan.models.families.finding", fromlist=[name]), name)
        monkeypatch.setattr(
            f"scaleplan.models.families.finding.{name}",
            lambda path, original=original, **words: read_files.append(path) or original(path, **words),
        )
    assert FamilyLibrary([FAMILIES]).get(model_type) is not None
    assert len(read_files) <= most


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("d = 64", 'd = "9**9**9**9"', "let.d"),
        ("d = 64", 'd = "8**8"', None),
        ("d = 64", 'd = "h"\nx = "d"\ny = "x"', None),
        ("d = 64", 'd = "x"\nx = "d"', "'d' is defined by itself"),
        ("d = 64", "d = -64", "width of the family small: 'd' is '-64', expected a whole number"),
        ("d = 64", 'd = "64 / 3"', "expected a whole number"),
        ("d = 64", "d = 0", "width of the family small is 0"),
        ("d = 64", "d = 1.5", "let.d: expected a size or an expression, found '1.5'"),
        ("d = 64", "d = [64]", "let.d: expected a size or an expression"),
        ("d = 64", 'd = "widht"\nwidth = 64', "let.d: unknown name 'widht'"),
        ("d = 64", 'd = "__import__(1)"', "is not allowed in an expression"),
        ("d = 64", 'd = "(1).real"', "is not allowed in an expression"),
        ("d = 64", "d = \"'%999999999d' % 1\"", "its values do not fit together"),
        ("d = 64", 'd = "[1] * 10**9"', "too large"),
        ("d = 64", f'd = "{"-" * 1500}1"', "nested too deeply"),
        ("d = 64", f'd = "{"+1" * 3000}"', "longer than 2000 characters"),
        ("d = 64", 'd = "h // 0"', "division by zero"),
        ("d = 64", 'd = "share(65, h)"', "width 65 is not a multiple of 4 attention heads"),
        ("i = 1\n", "", None),
        ("d = 64", "d = 64\ni = 3", "let.i: a name is letters, digits and underscores"),
        ("vocab = 100", "vocab = 0", "vocab of the family small is 0"),
        ("vocab = 100", "vocabulary = 100", "model: unknown key 'vocabulary'"),
        ("vocab = 100", "", "model.vocab: unknown name 'vocab'"),
        ('atoms = ["final norm: norm d"]', 'atoms = "final norm: norm d"', "model.atoms: expected a list of atoms"),
        ('"final norm: norm d"', '"final norm: nrm d"', "model.atoms: cannot read 'final norm: nrm d'"),
        ('"final norm: norm d"', '"x: vector d + bias"', "cannot read 'x: vector d + bias'"),
        ('"final norm: norm d"', "7", "cannot read '7'"),
        ("repeat = 3", "repeat = 0", "every repeat is 0"),
        ("repeat = 3", "repeat = 200000", "200,000 layers, expected at most 10,000"),
        ("repeat = 3", "repeat = [3]", "stack 1.repeat: expected a size or an expression"),
        ("repeat = 3", "repeats = 3", "stack 1: unknown key 'repeats'"),
        ('[["attention", "mlp"]]', '"attention"', "stack 1.layers: expected a list"),
        ('[["attention", "mlp"]]', '[["atention", "mlp"]]', "there is no part 'atention'"),
        ('[["attention", "mlp"]]', '[["attention"]]', "part.mlp stands in no layer"),
        ('[["attention", "mlp"]]', '[{ if = "i", thn = "mlp" }]', "stack 1.layers: expected names of parts"),
        ('"attention", "mlp"', '"attention", { by = "i", 0 = "mlp" }', "'1' is no kind of layer"),
        ("[part.attention]", '[part.attention]\nparts = ["mlp"]', None),
        ("[part.attention]", '[part.attention]\nparts = ["attention"]', "part 'attention' holds itself"),
        ("[part.attention]", "[part.attention]\nparts = [3]", "part.attention.parts: expected names of parts"),
        ("[part.mlp]", '[part.mlp]\nparts = [{ part = "attention", times = 99999 }]', "more than 10,000 atoms"),
        ("[part.attention]", "[part.attention]\nwindws = 3", "part.attention: unknown key 'windws'"),
        ("[part.attention]", "[part.attention]\nwindow = \"'a'\"", "part.attention.window"),
        ('heads = "h"', 'head = "h"', "part.attention.attention: unknown size 'head'"),
        ('heads = "h"', 'heads = "3", kv_heads = 2', "3 attention heads cannot share 2 key-value heads evenly"),
        ('heads = "h"', "heads = [4]", "part.attention.attention.heads: expected a size or an expression"),
        ('heads = "h"', "heads = \"'4'\"", "part.attention.attention.heads"),
        ('heads = "h", ', "", "part.attention.attention: heads is missing"),
        ("schema = 1", "schema = 2", "schema: expected 1"),
        ("schema = 1", 'schema = 1\nlike = "lama"', "like: there is no family 'lama'"),
        ("schema = 1", 'schema = 1\nstak = "x"', "'stak' is no key of a description"),
        ("[let]", '[fields]\nx = "size ="\n[let]', "fields.x: expected the name of a field"),
        ("[let]", "[fields]\nx = 3\n[let]", "fields.x: expected the name of a field"),
        ("[let]", '[fields]\nx = "x_size = y"\n[let]', "fields.x: unknown name 'y'"),
        ("[let]", '[fields]\nx = "sise x_size = 4"\n[let]', "fields.x: unknown kind of field 'sise'"),
    ],
)
def test_a_description_that_is_wrong_says_where(old, new, says):
    """One clear line that names the file and the key; what is only unusual is counted."""
    assert old in SMALL or says is None
    if says is None:
        assert count(read(SMALL.replace(old, new))).params > 0
        return
    with pytest.raises(FileError) as caught:
        read(SMALL.replace(old, new, 1))
    assert says in caught.value.message
    assert "mine.toml" in caught.value.message
    assert "\n" not in caught.value.message


def test_a_size_that_a_shorthand_lacks_is_found_without_a_config():
    """The check of a file finds it, with what the shorthand needs."""
    with pytest.raises(FileError, match="heads is missing") as caught:
        check(described(tomllib.loads(SMALL.replace('heads = "h", ', "")), source="mine.toml"))
    assert caught.value.hint.startswith("it needs heads, head_size, and may have ")


@pytest.mark.parametrize("atom", ["words: table vocab x d", "head: matrix d -> vocab"])
def test_a_word_table_of_the_description_s_own_is_noted(atom):
    """The table and the head follow from vocab and width: a second one counts, and is said; a condition means it."""
    text = SMALL.replace("vocab = 100", 'vocab = "vocab"').replace("d = 64", "d = 64\nvocab = 100")
    own, meant = (text.replace('"final', f'"{tensor}", "final') for tensor in (atom, f"{atom} if true"))
    assert count(read(own)).params == count(read(text)).params + 6400
    assert any(note.startswith(f"'{atom.split(':')[0]}' is counted beside the ") for note in read(own).notes)
    assert not read(meant).notes
    assert not read(text).notes


ODD = [
    *("-1", "0", "d/0", "i", "nope", "'a'", "[]", "none", "1.5", "9**9**9", "'%9999999d' % 1", "[1]*10**9", "1e400"),
    *("-" * 1900 + "1", "(" * 500, "x.y", "starts(1, 'a')", "len(1)", "[[1]*400]*400", "a" * 3000, "=", "", "\x00"),
    *(10**30, -5, 1.5, True, [], {}, [1, [2]]),
]
DESCRIPTIONS = [
    tomllib.loads(SMALL),
    *(tomllib.loads((FAMILIES / f"{name}.toml").read_text()) for name in ("llama", "qwen3_next", "gpt2", "bert")),
]
SIZES = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2}
SIZES |= {"intermediate_size": 96, "vocab_size": 100, "max_position_embeddings": 32, "linear_num_key_heads": 2}
SIZES |= {
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_conv_kernel_dim": 4,
}


def places(value, path=()):
    """Yield the path to each value of nested tables and lists."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


@settings(max_examples=300, deadline=2000)
@given(st.randoms(use_true_random=False))
def test_no_description_raises_anything_but_our_errors(rng: random.Random):
    """Whatever stands where in a description, it is counted or refused at once in one line."""
    data = copy.deepcopy(rng.choice(DESCRIPTIONS))
    for _ in range(rng.randint(1, 3)):
        *path, last = rng.choice([path for path in places(data) if path])
        table = data
        for key in path:
            table = table[key]
        if rng.random() < 0.2:
            del table[last]
        else:
            table[last] = copy.deepcopy(rng.choice(ODD))
    try:
        architecture = expand(described(data, source="mine.toml"), Fields(SIZES, source="config.json"))
    except ScaleplanError as error:
        message = error.message
    else:
        message = ""
        assert count(architecture).params >= 1
    assert "\n" not in message
    assert len(message) < 600


LEAVES = st.one_of(st.integers(0, 1000).map(str), st.sampled_from(["a", "b", "true", "false"]))
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "//", "%", "/"]), inner).map(
            "({0[0]} {0[1]} {0[2]})".format
        ),
        st.tuples(inner, st.sampled_from(["<", "<=", "==", "!=", ">", ">="]), inner).map(
            "({0[0]} {0[1]} {0[2]})".format
        ),
        st.tuples(inner, inner, inner).map("({0[0]} if {0[1]} else {0[2]})".format),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map("({0[0]} {0[1]} {0[2]})".format),
        inner.map("(not {})".format),
        inner.map("(-{})".format),
        st.tuples(st.sampled_from(["min", "max"]), inner, inner).map("{0[0]}({0[1]}, {0[2]})".format),
        inner.map("abs({})".format),
    ),
    max_leaves=12,
)


@given(EXPRESSIONS, st.integers(0, 50), st.integers(1, 50))
def test_expressions_are_what_they_are_in_python(text, a, b):
    """Arithmetic, comparisons, choices and the functions give Python's values, or an error where Python has one."""
    python = text.replace("true", "True").replace("false", "False")
    try:
        expected = eval(python, {"__builtins__": {"min": min, "max": max, "abs": abs}}, {"a": a, "b": b})
    except ArithmeticError:
        with pytest.raises(ExpressionError):
            compiled(text)({"a": a, "b": b})
        return
    try:
        found = compiled(text)({"a": a, "b": b})
    except ExpressionError as error:
        message = error.message
    else:
        message = "too large" if found == expected else f"{found} is not {expected}"
    assert message.endswith("too large")


def test_a_value_that_is_no_number_is_never_formatted():
    """A remainder of a text would be a format, whose width is unbounded."""
    with pytest.raises(ExpressionError):
        compiled("'%999999999d' % 1")({})


def test_a_description_of_ones_own_counts_a_config(tmp_path):
    """Beside a config, like a family with a change, in the preset folder, or with its sizes inside."""
    sizes = {key: value for key, value in SIZES.items() if not key.startswith("linear")}
    mine = tmp_path / "mine.toml"
    mine.write_text('schema = 1\nname = "mine"\nlike = "llama"\n[part.attention.attention]\nqk_norm = "2*e"\n')
    plain = read_model(sizes | {"model_type": "llama"})
    found = read_model(sizes | {"model_type": "new-thing"}, arch=str(mine))
    assert found.params == plain.params + 3 * 2 * 16
    assert found.family == "mine"
    with pytest.raises(FileError, match="num_experts would change the count"):
        read_model(sizes | {"num_experts": 8}, arch=str(mine))
    with pytest.raises(FileError, match="missing fields hidden_size") as caught:
        read_model(str(mine))
    assert "--arch" in caught.value.hint
    with pytest.raises(FileError, match="describes its own layers"):
        read_model(tomllib.loads(SMALL), arch="llama")
    law = tmp_path / "law.toml"
    law.write_text('schema = 1\nid = "law"\n')
    with pytest.raises(FileError, match=r"law\.toml: "):
        read_model(str(law))


def test_ones_own_families_are_known_by_their_model_types(tmp_path, monkeypatch):
    """A file in the folder ``families`` of the preset folder is a family, and wins over the bundled one."""
    monkeypatch.setenv("SCALEPLAN_PRESETS", str(tmp_path))
    (tmp_path / "families").mkdir()
    own = tmp_path / "families" / "mine.toml"
    own.write_text('schema = 1\nname = "mine"\nlike = "llama"\nmodel_types = ["new-thing"]\nclasses = ["NewThing"]\n')
    sizes = {key: value for key, value in SIZES.items() if not key.startswith("linear")}
    plain = read_model(sizes | {"model_type": "llama"})
    assert read_model(sizes | {"model_type": "new-thing"}).params == plain.params
    assert read_model(sizes | {"architectures": ["NewThingForCausalLM"]}).family == "new-thing"
    own.write_text('schema = 1\nname = "mine"\nlike = "llama"\nmodel_types = ["newer"]\n[let]\nx = "nope"\n')
    monkeypatch.setenv("SCALEPLAN_PRESETS", str(tmp_path / "."))
    with pytest.raises(FileError, match=r"mine\.toml: let\.x: unknown name 'nope'"):
        FamilyLibrary([FAMILIES, tmp_path / "families"]).get("newer")


DOCS = Path(__file__).parents[2] / "docs" / "guides" / "architectures.md"


@pytest.mark.skipif(not DOCS.is_file(), reason="the documentation lies in the repository")
def test_the_documentation_names_the_whole_language():
    """Every function, kind of field, shorthand and key of a description is in docs/guides/architectures.md."""
    words = set(re.findall(r"[a-z_0-9]+", DOCS.read_text(encoding="utf-8").partition("\n## Families")[0]))
    kinds = {"size", "count", "integer", "number", "flag", "text", "list", "each", "pattern", "any", "present"}
    assert {*FUNCTIONS, *SHORTHANDS, *kinds, *PART_SIZES, *KEYS} <= words


@pytest.mark.skipif(not DOCS.is_file(), reason="the documentation lies in the repository")
def test_the_examples_of_the_documentation_are_counted():
    """Each description in docs/guides/architectures.md, with the sizes of a small config."""
    sizes = {"hidden_size": 64, "num_hidden_layers": 8, "num_attention_heads": 4}
    sizes |= {"intermediate_size": 128, "vocab_size": 100}
    texts = re.findall(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len(texts) >= 2
    for text in texts:
        description = described(tomllib.loads(text), source="example.toml")
        check(description)
        assert count(expand(description, Fields(sizes, source="config.json"))).params > 0
