"""Values of training configs: lengths with units, references, scripts that are not run, and bounded work."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaleplan.documents.document import parse_document
from scaleplan.documents.key_path import Undetermined, parse_key
from scaleplan.errors import FileError

CASES = Path(__file__).parents[2].parent / "shared" / "cases"


def tokens_of(cli, text, *, name="train.yaml", tokens='{ batch = "batch", sequence = "length", steps = "steps" }'):
    """Return the verdict on the tokens of a run whose config is this text."""
    Path(name).write_text(text)
    Path("scaleplan.toml").write_text(
        f'[[run]]\nname = "r"\nfrom = "{name}"\nparams = "1B"\ntokens = {tokens}\n'
        '[policy]\nerror = ["tokens <= 1e16"]\n'
    )
    result = cli("check", "--json", "-q")
    (verdict,) = json.loads(result.out)["verdicts"]
    assert result.status == {"pass": 0, "error": 2}[verdict["status"]]
    return verdict


@pytest.mark.parametrize(
    "steps, expected",
    [
        ("4800", 4800 * 256 * 2048),
        ("4800ba", 4800 * 256 * 2048),
        ("4_800 ba", 4800 * 256 * 2048),
        ("4.8e3ba", 4800 * 256 * 2048),
        ("26e9tok", 26e9),
        ("26_000_000_000tok", 26e9),
        ("1000000sp", 1_000_000 * 2048),
    ],
)
def test_a_length_counts_what_its_unit_says(cli, steps, expected):
    """Batches are steps, samples are sequences, tokens are tokens (Composer's units; llm-foundry and OLMo)."""
    verdict = tokens_of(cli, f"batch: 256\nlength: 2048\nsteps: {steps}\n")
    assert verdict["value"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "steps", ["1ep", "2 ep", "1dur", "10h", "30min", "5iter", "auto", "-1", "null", "???", "true", "[1]", "0"]
)
@pytest.mark.parametrize("line", [1, 3])
def test_what_the_file_does_not_determine_is_named_with_its_line(cli, steps, line):
    """Passes over data of unknown size, times, and what is left to the run: an error with file, line and key."""
    lines = ["batch: 256", "length: 2048"]
    lines.insert(line - 1, f"steps: {steps}")
    verdict = tokens_of(cli, "\n".join(lines))
    assert (verdict["file"], verdict["line"]) == ("train.yaml", line)
    assert f"train.yaml:{line}: steps: not determined by the file" in verdict["message"]
    assert verdict["hint"]


@pytest.mark.parametrize("steps", ["50e9T", "2e12T", "7 potatoes", "5 e3", "1.5.2", "1e400", "x", "1,5", "1e-400"])
def test_what_is_no_amount_is_an_error_with_its_line(cli, steps):
    """The line is that of the config, and a power of ten with a suffix has two readings."""
    verdict = tokens_of(cli, f"batch: 256\nlength: 2048\nsteps: {steps}\n")
    assert verdict["status"] == "error"
    assert (verdict["file"], verdict["line"]) == ("train.yaml", 3)
    assert "train.yaml:3: steps: " in verdict["message"]


@pytest.mark.parametrize(
    "text, status",
    [
        ("n: 26e9tok", "pass"),
        ("n: 2.6e10", "pass"),
        ("n: 26B", "pass"),
        ("n: 63900ba", "error"),
        ("n: 100sp", "error"),
        ("n: 1ep", "error"),
    ],
)
def test_a_single_key_of_tokens_is_tokens(cli, text, status):
    """A length in steps or samples needs the batch and the sequence: the hint says how."""
    verdict = tokens_of(cli, text, tokens='{ key = "n" }')
    assert verdict["status"] == status
    if status == "error":
        assert "train.yaml:1: n: " in verdict["message"]


@pytest.mark.parametrize(
    "text", ["batch: 256\nlength: 2048\nsteps: 5tok\nmore: 2", "batch: 7ba\nlength: 2048\nsteps: 5\nmore: 1"]
)
def test_units_are_not_multiplied_by_what_they_hold_already(cli, text):
    """Tokens times a factor, or batches where sequences are expected: refused."""
    tokens = '{ batch = "batch", sequence = "length", steps = ["steps", "more"] }'
    assert tokens_of(cli, text, tokens=tokens)["status"] == "error"


@pytest.mark.parametrize(
    "text, key, value",
    [
        ("a: ${b}\nb: 5\n", "a", 5),
        ("a: ${b.c}\nb: {c: 5}\n", "a", 5),
        ("x: {a: '${.b}', b: 5}\n", "x.a", 5),
        ("x: {a: '${..b}'}\nb: 5\n", "x.a", 5),
        ("a: ${b}ba\nb: 5\n", "a", "5ba"),
        ("a: ${b}\nb: ${c}\nc: 5\n", "a", 5),
        ("x: [{n: 5}]\na: ${x[0].n}\n", "a", 5),
        ("a: ${oc.env:N}\n", "a", Undetermined),
        ("a: ${multiply:2,3}\n", "a", 6),
        ("a: ${divide_ceil:${b},4}\nb: 9\n", "a", 3),
        ("a: ${multiply:${b},${c.d}}\nb: 9\nc: {d: 2}\n", "a", 18),
        ("a: ${multiply:${oc.env:N},2}\n", "a", Undetermined),
        ("a: ${build_hydra_args:2,3}\n", "a", Undetermined),
        ("a: ${divide:1,0}\n", "a", Undetermined),
        ("a: ${a}\n", "a", Undetermined),
        ("a: ${b}\nb: ${a}\n", "a", Undetermined),
        ("a: ${b}\n", "a", Undetermined),
        ("a: ${b}\nb: {c: 1}\n", "a", Undetermined),
        ("a: ${${b}}\nb: c\nc: 5\n", "a", 5),
        ("a: ${\n", "a", Undetermined),
        ("a: 1:30:00\n", "a", Undetermined),
        ("a: 0100\n", "a", Undetermined),
        ("a: 0x10\n", "a", 16),
        ("a: 6E-4\n", "a", "6E-4"),
        ("a: 1_000\n", "a", 1000),
        ("a: .inf\n", "a", float("inf")),
    ],
)
def test_references_and_numbers_of_yaml(text, key, value):
    """A reference to one key of the file is followed; what another reader would take otherwise is not determined."""
    found = parse_document(text, name="a.yaml").find(parse_key(key))
    if value is Undetermined:
        assert isinstance(found.value, Undetermined)
    else:
        assert found.value == value


def test_a_reference_leads_to_the_place_of_the_literal(cli):
    """Both places are told: where the run looks, and where the number stands."""
    verdict = tokens_of(
        cli,
        "v: {n: 2048}\nbatch: 256\nlength: ${v.n}\nsteps: 5\n",
        tokens='{ batch = "length", sequence = 1, steps = 1 }',
    )
    assert [(verdict["line"], verdict["key"]), *((at["line"], at["key"]) for at in verdict["also"])][:2] == [
        (3, "length"),
        (1, "v.n"),
    ]


@pytest.mark.parametrize(
    "text", ["a: !include x.yaml\n", "a: !ENV '${HOME}'\n", "a: !!python/name:os.system x\n", "a: 2024-01-01\n"]
)
def test_tags_and_dates_are_not_amounts(text):
    """An include is not followed, and nothing is constructed."""
    with pytest.raises(FileError, match="line 1") as caught:
        parse_document(text, name="a.yaml").find(("a",))
    assert (caught.value.file, caught.value.line) == ("a.yaml", 1)


BAD_YAML = [
    "a: \x00",
    "a: \x1b[31m",
    'a: "\\U99999999"',
    "a: !foo!bar 1",
    "a: *b",
    "%YAML 9\n%YAML 9\n---\na: 1",
    "\t- a",
    "a: [1",
    "--- 1\n--- 2",
    "a: \ufffe",
    "{" * 5000,
    "a: " + "[" * 100_000,
    "&a " * 2000,
]


@pytest.mark.parametrize("text", BAD_YAML, ids=range(len(BAD_YAML)))
def test_a_text_that_is_no_yaml_is_an_error_of_its_file(cli, text):
    """NUL, ESC, bad code points, bad tags, bad nesting: exit status 2, annotated in the config."""
    verdict = tokens_of(cli, text)
    assert verdict["status"] == "error"
    assert verdict["file"] == "train.yaml"
    assert "\x1b" not in json.dumps(verdict, ensure_ascii=False)


@pytest.mark.parametrize(
    "scalar",
    [
        "!!int x",
        "!!float x",
        "!!bool maybe",
        "!!timestamp x",
        "!!binary '***'",
        "!!set x",
        "!!null x",
        "!<tag:x> 1",
        "!!int '" + "1" * 9000 + "'",
        "1" * 9000,
        "0x" + "f" * 9000,
        "1e" + "9" * 900,
    ],
)
def test_a_value_that_is_not_of_its_tag_is_an_error(cli, scalar):
    """Of every standard tag; no number is too long to be refused."""
    assert tokens_of(cli, f"batch: {scalar}\nlength: 1\nsteps: 1\n")["status"] == "error"


@pytest.mark.parametrize(
    "name, text",
    [
        ("c.json", '{"batch": NaN}'),
        ("c.json", '{"batch": 1e999, "length": 1, "steps": 1}'),
        ("c.json", '{"batch": 1, "batch": 2}'),
        ("c.json", '{"batch": ' + "9" * 5000 + "}"),
        ("c.json", "[" * 50_000),
        ("c.json", "[]"),
        ("c.toml", "batch = nan\nlength = 1\nsteps = 1\n"),
        ("c.toml", "batch = " + "[" * 5000),
        ("c.toml", "batch = " + "{a=" * 5000),
        ("c.toml", "batch = " + "9" * 5000),
        ("c.toml", "batch = 1979-05-27\n"),
        ("c.py", "batch = 9**9**9**9\nlength = steps = 1\n"),
        ("c.py", "batch = 'x' * 10**9\nlength = steps = 1\n"),
        ("c.py", "batch = " + "(" * 500),
        ("c.py", "batch = 1 / 0\nlength = steps = 1\n"),
        ("c.sh", "batch='1"),
        ("c.sh", "batch=$(cat /etc/passwd)\nlength=1\nsteps=1\n"),
        ("c.env", "batch=1\n"),
    ],
)
def test_no_format_has_a_text_that_is_a_bug_of_ours(cli, name, text):
    """Each is an error of exit status 2 that names the file."""
    verdict = tokens_of(cli, text, name=name)
    assert verdict["status"] == "error"
    assert name in verdict["message"]


# --- work that is bounded by the size of the text

WIDE = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 25))
LONG = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: *a{i - 1}, k{i}: 1}}\n" for i in range(1, 1500))
DOUBLING = "batch: ${b0}\n" + "".join(f"b{i}: ${{b{i + 1}}}${{b{i + 1}}}\n" for i in range(60)) + "b60: 1\n"


@pytest.mark.parametrize(
    "name, text, key",
    [
        ("c.yaml", WIDE, "a24.x"),
        ("c.yaml", WIDE, "a24.missing"),
        ("c.yaml", LONG, "a1499.x"),
        ("c.yaml", LONG, "a1499.missing"),
        ("c.yaml", "a: &a {<<: *a}\n", "a.x"),
        ("c.yaml", DOUBLING, "batch"),
        ("c.yaml", "x" * 3_000_000, "a"),
        ("c.yaml", 'a: "' + "x" * 100_000 + '"', "a"),
        ("c.toml", "a." * 30_000 + "b = 1\n", "a"),
        ("c.toml", ('"k"' + " . 'k'" * 5000 + " = 1\n") * 5, "k"),
        ("c.toml", "a = [" + "[" * 90 + ",".join(["1"] * 30_000) + "]" * 90 + "]\n", "a"),
        ("c.json", '{"b": ' + "[" * 300 + ",".join(["1"] * 50_000) + "]" * 300 + ', "a": 1}', "a"),
        ("c.sh", "b0=11\n" + "".join(f"b{i}=$b{i - 1}$b{i - 1}\n" for i in range(1, 60)), "b59"),
        ("c.py", "a = 1\n" + "a = a + a\n" * 3000, "a"),
        ("c.py", "".join(f"class c{i}:\n x = 1\n" for i in range(3000)), "c5.x"),
        ("c.py", "".join(f"x{i} = 1\n" for i in range(3000)) + "from y import *\n" * 3000, "x5"),
        ("c.py", "a = [" + "1," * 20_000 + "]\n" + "b = a\na[0] = 1\n" * 2000, "b[0]"),
        ("c.sh", "((" + "a" * 100_000 + "))", "a"),
        ("c.sh", "((" + "a[" * 50_000 + "))", "a"),
        ("c.yaml", "".join(f"k{i}: 1\n" for i in range(4000)), "k5"),
    ],
)
def test_a_small_text_costs_little(name, text, key, cpu_seconds):
    """Merges of merges, aliases, references, nesting: a denial of service takes more than the second allowed here."""

    def read():
        with suppress(FileError):
            document = parse_document(text, name=name)
            document.find(parse_key(key))
            document.names(())

    assert cpu_seconds(read) < 1


# --- what readers would take for different values


@pytest.mark.parametrize(
    "text, told",
    [
        ("a: {b: 1}\na: {b: 2}", "at line 2: the key 'a' appears twice"),
        ("a:\n  b: 1\n  b: 2", "at line 3: the key 'b' appears twice"),
        ('a: {b: 1}\n"a": {b: 2}', "at line 2: the key 'a' appears twice"),
        ('{"a": {"b": 1,\n"b": 2}}', "at line 2: the key 'b' appears twice"),
        ("z: [{q: 1, q: 2}]\na: {b: 1}", "at line 1: the key 'q' appears twice"),
        ("x: &x {b: 1}\na: {<<: *x, <<: {b: 2}}", "at line 2: the key '<<' appears twice"),
        ("? {k: 1, k: 2}\n: 1\na: {b: 1}", "at line 1: the key 'k' appears twice"),
        ("a: !!python/object:x {b: 1}", "line 1: the tag '!!python/object:x' is not acted on"),
        ("!include\na: {b: 1}", "line 1: the tag '!include' is not acted on"),
        ("x: &x !override {b: 1}\na: {<<: *x}", "line 1: the tag '!override' is not acted on"),
        ("a: {<<: 5}", "line 1: the tag '!!int' is not acted on"),
    ],
)
def test_what_yaml_leaves_to_its_reader_is_refused(text, told):
    """The first, the last, or neither of two; the mapping, or what its tag makes of it."""
    with pytest.raises(FileError) as caught:
        parse_document(text, name="c.yaml").find(("a", "b"))
    assert told in caught.value.message
    assert caught.value.line == int(re.search(r"line (\d+)", told)[1])


@pytest.mark.parametrize("text", ["x: &x {b: 2}\na: {<<: *x, b: 1}", "a: !!map {b: 1}", "a: &a {b: 1, c: *a}"])
def test_what_yaml_determines_is_read(text):
    """A key of its own beside a merged one is not twice the same."""
    assert parse_document(text, name="c.yaml").find(("a", "b")).value == 1


@pytest.mark.parametrize(
    "text, told",
    [
        ('{"x": 1,\n "x": 2}', "at line 2: the key 'x' appears twice"),
        ('{"x": [{"y": 1},\n {"y": 1, "\\u0079": 2}]}', "at line 2: the key 'y' appears twice"),
        ("[1,\n\n NaN]", "at line 3: NaN is not a JSON number"),
        ('{"x":\n -Infinity}', "at line 2: -Infinity is not a JSON number"),
    ],
)
def test_what_only_some_readers_of_json_take_is_refused_with_its_line(text, told):
    """Python's own takes the last of two keys, and numbers that JSON lacks."""
    with pytest.raises(FileError) as caught:
        parse_document(text, name="c.json")
    assert caught.value.message == f"c.json: not valid JSON {told}"
    assert caught.value.line == int(re.search(r"line (\d+)", told)[1])


@pytest.mark.parametrize(
    "after",
    [
        'a["b"] = 2',
        "a.update(b=2)",
        "a.setdefault('b', 2)",
        'c = a\nc["b"] = 2',
        'd = {"x": a}\nd["x"]["b"] = 2',
        "setattr(a, 'b', 2)",
        "exec(open('over.py').read())",
        "from over import *",
        "if debug:\n  a.b = 2",
        "match x:\n  case a: pass",
        "match x:\n  case [*a]: pass",
        "match x:\n  case {**a}: pass",
        "try: pass\nexcept E as a: pass",
        "def f():\n  global a\n  a = 2\nf()",
        "if debug:\n  def a(): pass",
    ],
)
def test_a_value_of_a_python_config_that_may_change_is_undetermined(after):
    """By any statement, through any name that shares it."""
    found = parse_document(f'a = {{"b": 1}}\n{after}\n', name="c.py").find(("a", "b"))
    assert found is None or isinstance(found.value, Undetermined)


def test_what_is_unpacked_into_a_mapping_may_replace_what_stands_before():
    """And not what stands after it."""
    document = parse_document('a = {"b": 1, **c, "d": 2}\n', name="c.py")
    assert document.find(("a", "b")) is None
    assert document.find(("a", "d")).value == 2


@pytest.mark.parametrize(
    "after",
    [
        "read N",
        "read -r -p x N",
        "for N in 1 2; do :; done",
        "select N in 1 2; do :; done",
        "while getopts x N; do :; done",
        "unset N",
        "printf -v N 2",
        "mapfile N",
        "((N *= 2))",
        "(( N = 2 ))",
        "((++N))",
        "N[0]=2",
        "if ((M)); then ((N<<=1)); fi",
    ],
)
def test_a_variable_that_a_command_sets_is_undetermined(after):
    """What a script computes is not read, and what it replaces is not either."""
    found = parse_document(f"M=1\nN=8\n{after}\ntrain --steps $N\n", name="c.sh")
    assert isinstance(found.find(("N",)).value, Undetermined)
    assert isinstance(found.find(("steps",)).value, Undetermined)
    assert found.find(("M",)).value == "1"


@pytest.mark.parametrize("after", ["export N", "if ((N > 4 && N != 7 && N == 8 && N <= 9)); then :; fi", "echo N"])
def test_a_variable_that_is_only_used_keeps_its_value(after):
    """A comparison sets nothing."""
    assert parse_document(f"N=8\n{after}\n", name="c.sh").find(("N",)).value == "8"


# --- scripts

PYTHON = """\
import os
batch_size = 12
block_size: int = 1024
gradient_accumulation_steps = 5 * 8  # of all devices
a, b = 1, 2
lr = 6e-4
steps = 600_000 // 2 + 1
steps *= 2
tokens = int(5e12)
path = os.environ["X"]
computed = f(3)
config = Train(steps=10, optim=dict(lr=1e-4, sizes=[3, 4]), n=batch_size)
for i in range(3):
    loop = i
class Sizes:
    width = 64 * batch_size
def inner():
    hidden = 3
batch_size2 = batch_size ** 2
negative = -1
"""


@pytest.mark.parametrize(
    "key, value, line",
    [
        ("batch_size", 12, 2),
        ("block_size", 1024, 3),
        ("gradient_accumulation_steps", 40, 4),
        ("steps", 600_002, 8),
        ("tokens", 5 * 10**12, 9),
        ("config.steps", 10, 12),
        ("config.optim.sizes[1]", 4, 12),
        ("config.n", 12, 12),
        ("Sizes.width", 768, 16),
        ("batch_size2", 144, 19),
        ("negative", -1, 20),
        ("path", Undetermined, 10),
        ("computed", Undetermined, 11),
        ("loop", Undetermined, 13),
        ("a", Undetermined, 5),
        ("os", Undetermined, 1),
        ("hidden", None, None),
        ("config.missing", None, None),
    ],
)
def test_a_python_config_is_read_and_not_run(key, value, line):
    """Literals and arithmetic of names assigned before; nothing that a run would have to compute."""
    found = parse_document(PYTHON, name="train.py").find(parse_key(key))
    if value is None:
        assert found is None
        return
    assert found.line == line
    assert isinstance(found.value, Undetermined) if value is Undetermined else found.value == value


def test_nothing_in_a_python_config_acts(tmp_path):
    """Reading it opens no file and prints nothing."""
    mark = tmp_path / "mark"
    text = f"open('{mark}', 'w')\na = open('{mark}', 'w')\nb = __import__('os').system('touch {mark}')\nc = 5\n"
    assert parse_document(text, name="a.py").find(("c",)).value == 5
    assert not mark.exists()


SHELL = """\
#!/bin/bash
GPUS=8
NODES=${NODES:-4}
SEQ_LEN=4096
MODEL_ARGS=(
    --num-layers 24 --hidden-size=2048
    --seq-length $SEQ_LEN   # a comment --seq-length 1
    --swiglu --normalization RMSNorm
)
TRAIN="--micro-batch-size 2 --train-iters 5000 --bf16"
DATE=$(date +%s)
torchrun --nproc_per_node $GPUS --nnodes $NODES train.py "${MODEL_ARGS[@]}" $TRAIN steps=7 --lr $LR
A=1
A=2
"""


@pytest.mark.parametrize(
    "key, value, line",
    [
        ("GPUS", "8", 2),
        ("NODES", "4", 3),
        ("--num-layers", "24", 6),
        ("num_layers", "24", 6),
        ("hidden-size", "2048", 6),
        ("seq_length", "4096", 7),
        ("swiglu", True, 8),
        ("normalization", "RMSNorm", 8),
        ("train_iters", "5000", 10),
        ("nproc_per_node", "8", 12),
        ("nnodes", "4", 12),
        ("steps", "7", 12),
        ("DATE", Undetermined, 11),
        ("lr", Undetermined, 12),
        ("A", Undetermined, 14),
        ("missing", None, None),
    ],
)
def test_a_shell_script_is_read_and_not_run(key, value, line):
    """Assignments and flags in any of their forms; not what a command would print or the environment has."""
    found = parse_document(SHELL, name="train.sh").find(parse_key(key))
    if value is None:
        assert found is None
        return
    assert found.line == line
    assert isinstance(found.value, Undetermined) if value is Undetermined else found.value == value


def test_every_format_gives_the_same_tokens(cli):
    """The same run in YAML, JSON, TOML, Python and shell."""
    texts = {
        "c.yaml": "batch: 256\nlength: 2048\nsteps: 100\n",
        "c.json": '{"batch": 256, "length": 2048, "steps": 100}',
        "c.toml": "batch = 256\nlength = 2048\nsteps = 100\n",
        "c.py": "batch = 256\nlength = 2048\nsteps = 10 * 10\n",
        "c.sh": "train --batch 256 --length=2048 steps=100\n",
    }
    assert {tokens_of(cli, text, name=name)["value"] for name, text in texts.items()} == {256 * 2048 * 100}


def test_an_undetermined_value_of_a_script_is_named_with_its_line(cli):
    """As in any other config."""
    verdict = tokens_of(cli, "batch=1\nlength=2\nsteps=$STEPS\n", name="run.sh")
    assert "run.sh:3: steps: not determined by the file" in verdict["message"]
    assert (verdict["file"], verdict["line"]) == ("run.sh", 3)


NOISE = st.text(st.characters(codec="utf-8"), max_size=60)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["a.yaml", "a.json", "a.toml", "a.py", "a.sh"]), NOISE, NOISE)
def test_any_text_is_read_or_refused(name, before, after):
    """No text, valid or not, raises anything but an error of its file."""
    for text in (
        before,
        f"a: {before}\nb: ${{a}}{after}\n",
        f"a = {before}\n{after}",
        f'{{"a": {before}}}',
        f"--a {before}",
    ):
        with suppress(FileError):
            document = parse_document(text, name=name)
            document.find(("a",))
            document.names(())


@pytest.mark.parametrize(
    "folder, status",
    [("k02-tokens-T", 2), ("k07-durations", 0), ("k15-python-config", 0)],
)
def test_the_cases_of_training_configs(cli, folder, status, monkeypatch):
    """A suffix behind a power of ten is refused; durations, references and Python literals are read."""
    if not CASES.is_dir():
        pytest.skip("the shared folder is not here")
    for path in (CASES / folder).iterdir():
        Path(path.name).write_bytes(path.read_bytes())
    result = cli("check", "--json", "-q")
    assert result.status == status
    (run,) = json.loads(result.out)["runs"]
    expected = {"k07-durations": 4800 * 256 * 2048, "k15-python-config": 12 * 5 * 8 * 1024 * 600_000}.get(folder)
    assert run["values"].get("tokens") == expected
