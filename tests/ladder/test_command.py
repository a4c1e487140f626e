"""The template of a command: its words, its placeholders, and what is refused or warned of."""

from __future__ import annotations

import shlex

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.errors import UnknownNameError, UsageError, is_visible
from scaleplan.ladder.command import PLACEHOLDERS, check_visible, parse_command
from scaleplan.ladder.ladder import LadderRun

VALUES = dict.fromkeys(PLACEHOLDERS, 7) | {"out": "pilots/l06-s0", "name": "l06-s0", "lr": 0.00123, "flops": 3e15}


def words(text, **values):
    return parse_command(text).words_of(VALUES | values)


def test_a_command_becomes_words():
    text = "python train.py --layers {layers} '--note=a  b {seed}' --lr={lr} --out {out} ''"
    assert words(text, layers=12) == (
        *("python", "train.py", "--layers", "12", "--note=a  b 7", "--lr=0.00123", "--out", "pilots/l06-s0", ""),
    )


def test_braces_of_the_commands_own():
    text = """train '{{"lr": {lr}, "sizes": {{"layers": {layers}}}}}' {out} {{out}}"""
    assert words(text)[1:] == ('{"lr": 0.00123, "sizes": {"layers": 7}}', "pilots/l06-s0", "{out}")


def test_every_placeholder_but_the_count_of_gpus_is_a_field_of_a_run():
    fields = set(LadderRun.__annotations__)
    assert set(PLACEHOLDERS) - fields == {"gpus"}
    assert fields - set(PLACEHOLDERS) == {"words", "hours", "limit_hours", "tied_embeddings"}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        *((0.00123, "0.00123"), (5e-5, "0.00005"), (1.2345678901234566e-7, "0.00000012345678901234566")),
        *(
            (3e15, "3000000000000000"),
            (1.5e21, "1500000000000000000000"),
            (0.1, "0.1"),
            (65_536, "65536"),
            (2.0, "2"),
        ),
    ],
)
def test_numbers_are_plain_digits(value, written):
    assert words("train {out} {lr}", lr=value)[2] == written


@given(st.floats(min_value=1e-12, max_value=1e30))
def test_float_and_yaml_read_a_number_alike(value):
    (text,) = words("train {out} {lr}", lr=value)[2:]
    assert float(text) == value
    assert float(yaml.safe_load(text)) == value
    assert set(text) <= set("0123456789.")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "names no program", "train.py"),
        ("   ", "names no program", "train.py"),
        ("'' {out}", "names no program", "train.py"),
        ("train 'a {out}", "not closed", "quotation marks"),
        ('train "{out}', "not closed", "quotation marks"),
        ("train {out}\\", "ends in a backslash", "quotation marks"),
        ("train --layers {layers}", "no {out}", "--out {out}"),
        ("train {{out}}", "no {out}", "--out {out}"),
        ("train {out} {leyers}", "unknown placeholder 'leyers'", "did you mean 'layers'?"),
        ("train {out} {LAYERS}", "unknown placeholder", "did you mean 'layers'?"),
        ("train {out} {batch_size}", "unknown placeholder", "did you mean 'batch'?"),
        ("train {out} {zzz}", "unknown placeholder", "known: out, name, layers, width"),
        ("train {out} {words}", "unknown placeholder", "known: out"),
        ("train {out} {hours}", "unknown placeholder", "known: out"),
        ("train {out} {index}", "unknown placeholder", "known: out"),
        ("train {out} {out:>30}", "'{out:>30}'", "write {out}"),
        ("train {out} {lr:.3e}", "'{lr:.3e}'", "write {lr}"),
        ("train {out} {lr!r}", "'{lr!r}'", "write {lr}"),
        ("train {out} {lr:{seed}}", "take no format", "write {lr}"),
        ("train {out} {}", "'{}'", "placeholders: out, name"),
        ("train {out} {0}", "'{0}'", "placeholders: out, name"),
        ("train {out} {lr.real}", "'{lr.real}'", "placeholders: out, name"),
        ("train {out} {lr[0]}", "'{lr[0]}'", "placeholders: out, name"),
        ("train {out} { lr }", "without its partner", "{{ and }}"),
        ("train {out} {lr", "without its partner", "{{ and }}"),
        ("train {out} lr}", "without its partner", "{{ and }}"),
        ("train {out} '{\"lr\": {lr}}'", "no placeholder", "{{ and }}"),
        ("train {out} ${HOME}", "'${HOME}'", "no shell"),
        ("train {out}\n--lr {lr}", "a line break", "one line"),
        ("train {out} \\\r\n--lr {lr}", "a line break", "one line"),
        ("train\t{out}", "a tab", "one line"),
        ("train {out} \x1b[31m", "'\\x1b'", "one line"),
        ("train {out} a\xa0b", "'\\xa0'", "one line"),
        ("train {out} a\u202eb", "'\\u202e'", "one line"),
        ("train {out} \udc80", "'\\udc80'", "one line"),
        ("train {out} \0", "'\\x00'", "one line"),
    ],
)
def test_refused_with_the_way_out(text, message, hint):
    with pytest.raises(UsageError) as caught:
        parse_command(text)
    assert message in caught.value.message
    assert hint in (caught.value.hint or "") or hint in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.exit_status == 2


def test_an_unknown_placeholder_is_an_unknown_name():
    with pytest.raises(UnknownNameError):
        parse_command("train {out} {learningrate}")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("train {out} ; rm -rf x", ["';'"]),
        ("cd x && train {out}", ["'&&'"]),
        ("train {out} || true", ["'||'"]),
        ("train {out} | tee log", ["'|'"]),
        ("train {out} &", ["'&'"]),
        ("train {out} > log 2>&1", ["'>'", "'2>&1'"]),
        ("train {out} < data", ["'<'"]),
        ("train {out} $HOME", ["'$HOME'"]),
        ('train {out} "$HOME"', ["'$HOME'"]),
        ('train {out} "\\$HOME"', ["'$HOME'"]),  # shlex keeps the backslash, which a shell takes away
        ("train {out} $(date)", ["'$('"]),
        ('train {out} "`date`"', ["'`'"]),
        ("train {out} $1", ["'$1'"]),
        ("train {out} *.yaml", ["'*'"]),
        ("train {out} shard-[0-9]", ["'[0-9]'"]),
        ("train {out} shard-?", ["'?'"]),
        ("train {out} ~/data", ["'~/data'"]),
        ("train {out} # the first", ["'#'"]),
        ("(train {out})", ["'('", "')'"]),
    ],
)
def test_what_a_shell_would_have_read_is_warned_of_and_stays(text, found):
    command = parse_command(text)
    (warning,) = command.warnings
    assert warning.code == "command_without_shell"
    assert all(each in warning.message for each in found)
    assert "sh -c '…'" in warning.message
    assert "\n" not in warning.message
    assert command.words_of(VALUES) == tuple(word.replace("{out}", VALUES["out"]) for word in shlex.split(text))


@pytest.mark.parametrize(
    "text",
    [
        "train {out} 'a;b' '$HOME' '*' '~' '`x`' '>' '&&' '$(x)'",
        'train {out} "a;b" "*" ">" "~/x"',
        r"train {out} a\;b \$HOME \* \~ \`x",
        'sh -c \'train --out "$1" > "$1/log"\' sh {out}',
        "train {out} a=b a~b a#b 50% x:y @z ^ +1 -1 ,",
        "train {out} l'été 日本'",
    ],
)
def test_what_is_meant_as_it_stands_is_not_warned_of(text):
    assert parse_command(text).warnings == ()


def test_a_leading_variable_is_warned_of_with_the_way():
    (warning,) = parse_command("CUDA_VISIBLE_DEVICES=0 python train.py {out}").warnings
    assert warning.code == "command_sets_variable"
    assert "'env CUDA_VISIBLE_DEVICES=…'" in warning.message
    assert parse_command("env A=1 python train.py {out} A=1").warnings == ()


def test_a_folder_is_no_option_of_a_program():
    assert words("train --out {out}", out="-rf/l06")[2] == "./-rf/l06"


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("sh -c 'train {out} > log'", True),
        ("bash -euo pipefail -c 'train {out}'", True),
        ("env A=1 /usr/bin/bash -lc 'train --out={out}'", True),
        ("python3.11 -c 'print(\"{out}\")'", True),
        ("perl -e 'print \"{out}\"'", True),
        ("perl -w '-eprint \"{out}\"'", True),
        ("python '-cprint(\"{out}\")'", True),
        ("srun -n 1 bash -c 'train {out}'", True),
        ("sh -c 'train \"$1\"' sh {out}", False),
        ("python -u train.py -c{out}", False),
        ("-c {out}", False),
        ("python train.py -c out={out}", False),
        ("train -c {out}", False),
        ("sh run.sh {out}", False),
    ],
)
def test_no_folder_becomes_part_of_a_script(text, refused):
    command = parse_command(text)
    assert VALUES["out"] in " ".join(command.words_of(VALUES))
    hostile = VALUES | {"out": "pilots $(touch pwned)/l06"}
    if not refused:
        assert hostile["out"] in " ".join(command.words_of(hostile))
        return
    with pytest.raises(UsageError, match="a script within --command") as caught:
        command.words_of(hostile)
    assert "sh -c '… \"$1\" …' sh {out}" in caught.value.hint


def test_paths_are_of_characters_that_show():
    check_visible("pilots/l'été $(x) 日本 `y`", "the path")
    with pytest.raises(UsageError, match=r"the path of the runs has a line break: 'a\\nb'"):
        words("train {out}", out="a\nb")


VISIBLE = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cf", "Zl", "Zp", "Co", "Cn"))).filter(is_visible)


@given(st.lists(VISIBLE, min_size=1, max_size=6))
def test_any_words_survive_the_template(listed):
    if not listed[0]:
        listed[0] = "train"
    escaped = [word.replace("{", "{{").replace("}", "}}") for word in listed]
    command = parse_command(f"{shlex.join(escaped)} {{out}}")
    assert command.words_of(VALUES) == (*listed, VALUES["out"])
    assert [each for each in command.warnings if each.code != "command_sets_variable"] == []


@given(st.text(st.sampled_from("ab {}'\"\\$;`:!.0lr outlr"), max_size=25))
def test_any_text_is_read_or_refused(text):
    try:
        command = parse_command(text)
    except UsageError as error:
        assert error.message  # noqa: PT017
        return
    assert len(command.words_of(VALUES)) == len(shlex.split(text))
