"""The command that starts each run of a ladder: a template of one program and its arguments.

It is split into words as a POSIX shell would split it, and placeholders within words are replaced by the values of a
run. No shell ever reads it, so that no value, and no name of a folder, can do more than be an argument.
"""

from __future__ import annotations

import re
import shlex
from string import Formatter
from typing import TYPE_CHECKING

from scaleplan.errors import Notice, UnknownNameError, UsageError, is_visible, quote
from scaleplan.record import Record
from scaleplan.units.format import plain_digits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["PLACEHOLDERS", "CommandTemplate", "check_visible", "parse_command"]

PLACEHOLDERS: Mapping[str, str] = {
    "out": "the folder of the run",
    "name": "its name",
    "layers": "layers",
    "width": "width of the residual stream",
    "heads": "attention heads",
    "kv_heads": "heads of keys and values",
    "head_width": "width of a head",
    "ffn_width": "width of the feed-forward layers",
    "vocab": "size of the vocabulary",
    "context": "tokens of a sequence",
    "params": "all parameters",
    "tokens": "tokens to train on",
    "flops": "compute in FLOP",
    "batch": "tokens of a step",
    "batch_sequences": "sequences of a step",
    "steps": "steps",
    "lr": "peak learning rate",
    "seed": "seed",
    "gpus": "GPUs of the run",
}
"""What a command may have in braces, with what it stands for; the values of a run come by these names."""

_OPTION = "--command"

_BRACES = "{{ and }} stand for braces of the command's own"

Part = tuple[str, str | None]
"""Text of a word, and the placeholder that follows it."""


class CommandTemplate(Record):
    """A template that has been read: ``words`` as pieces of text, each with the placeholder that follows it."""

    text: str
    words: tuple[tuple[Part, ...], ...]
    warnings: tuple[Notice, ...] = ()

    def words_of(self, values: Mapping[str, str | float]) -> tuple[str, ...]:
        """Return the program and its arguments for one run, by the names of :data:`PLACEHOLDERS`.

        Raises UsageError where a folder of such a name would be read as part of a script.
        """
        written = {name: value if isinstance(value, str) else plain_digits(value) for name, value in values.items()}
        out = written.get("out", "")
        check_visible(out, "the path of the runs")
        if out.startswith("-"):  # a program would take it for an option
            written["out"] = f"./{out}"
        if shlex.quote(out) != out and any(_is_script(self.words, position) for position in self._with("out")):
            raise UsageError(
                f"a script within {_OPTION} would read the path {quote(out)} as part of itself",
                hint=f"hand it over as an argument: {_AS_ARGUMENT}; or take a folder of plain letters",
            )
        return tuple(
            "".join(text + ("" if name is None else written[name]) for text, name in word) for word in self.words
        )

    def has(self, *placeholders: str) -> bool:
        """Return whether any of some placeholders is in the command."""
        return any(name in placeholders for word in self.words for _, name in word)

    def _with(self, placeholder: str) -> Iterator[int]:
        for position, word in enumerate(self.words):
            if any(name == placeholder for _, name in word):
                yield position


_AS_ARGUMENT = """sh -c '… "$1" …' sh {out}"""


def parse_command(text: str) -> CommandTemplate:
    """Read the template of a command; raises UsageError, and UnknownNameError for an unknown placeholder."""
    check_visible(text, _OPTION)
    try:
        words = shlex.split(text)
    except ValueError as error:
        wrong = "ends in a backslash" if "escape" in str(error) else "has a quotation mark that is not closed"
        raise UsageError(
            f"{_OPTION} {wrong}: {quote(text)}", hint="a word with spaces stands in quotation marks"
        ) from None
    if not words or not words[0]:
        raise UsageError(f"{_OPTION} names no program", hint=f"{_OPTION} 'python train.py --out {{out}}'")
    read = tuple(tuple(_parts(word)) for word in words)
    if not any(name == "out" for word in read for _, name in word):
        raise UsageError(
            f"{_OPTION} has no {{out}}: every run would write to the same place",
            hint="hand the program the folder of its run, as in --out {out}",
        )
    return CommandTemplate(text=text, words=read, warnings=tuple(_warnings(text, words)))


def check_visible(text: str, what: str) -> None:
    """Raise UsageError where a text has line breaks or other characters that do not show."""
    if is_visible(text):
        return
    hidden = next(c for c in text if not is_visible(c))
    kind = "a line break" if hidden in "\r\n" else "a tab" if hidden == "\t" else f"the character {quote(hidden)}"
    raise UsageError(f"{what} has {kind}: {quote(text)}", hint="write it in one line, of characters that show")


def _parts(word: str) -> Iterator[Part]:
    """Yield the pieces of a word; ``{{`` and ``}}`` are braces."""
    try:
        pieces = list(Formatter().parse(word))
    except ValueError:
        raise UsageError(f"{_OPTION} has a brace without its partner: {quote(word)}", hint=_BRACES) from None
    text = ""
    for before, name, form, conversion in pieces:
        text += before
        if name is None:
            continue
        if re.fullmatch(r"[^\W\d]\w*", name) is None:
            written = f"{{{name}{f':{form}' if form else ''}}}"
            raise UsageError(
                f"{_OPTION} has {quote(written)}, which is no placeholder", hint=f"{_BRACES}; {_known()}"
            )
        if text.endswith("$") and name not in PLACEHOLDERS:
            raise UsageError(
                f"{_OPTION} has '${{{name}}}', and no shell reads it",
                hint=f"write the value, or let a shell read it by sh -c, where {_BRACES}",
            )
        if name not in PLACEHOLDERS:
            raise UnknownNameError("placeholder", name, PLACEHOLDERS, otherwise=_BRACES)
        if form or conversion:
            wrong = f"{{{name}{f'!{conversion}' if conversion else ''}{f':{form}' if form else ''}}}"
            raise UsageError(
                f"{_OPTION} has {quote(wrong)}: values are written in plain digits and take no format",
                hint=f"write {{{name}}}",
            )
        yield text, name
        text = ""
    if text or not pieces:
        yield text, None


def _known() -> str:
    return f"placeholders: {', '.join(PLACEHOLDERS)}"


_SHELLS = frozenset({"sh", "ash", "bash", "dash", "fish", "ksh", "zsh"})

_INTERPRETERS = frozenset({"python", "perl", "ruby", "node"})


def _is_script(words: Sequence[tuple[Part, ...]], position: int) -> bool:
    """Return whether a word is a script that an interpreter before it will read, as the one after ``sh -c``."""
    *before, own = ["".join(text for text, _ in word) for word in words[: position + 1]]
    if re.match(r"-[ce].", own):  # an option with its script in one word
        before.append(own[:2])
    if not before or re.fullmatch(r"-[A-Za-z]*[ce]", before[-1]) is None:
        return False
    programs = [re.sub(r"[\d.]+$", "", text.rpartition("/")[2]) for text in before]
    if not _SHELLS.isdisjoint(programs):  # options of a shell may have words of their own: -o pipefail -c
        return True
    last = next((place for place in range(len(before))[::-1] if before[place][:1] != "-"), 0)
    return programs[last] in _INTERPRETERS


_READ_BY_A_SHELL = re.compile(
    r"&&|\|\||\d*(?:>>|<<|[<>])(?:&\d*)?|\$\(|\$\{|\$\w+|\$[@*#?$!-]|[;&|()`*?]|\[[^\]\s]+\]|(?<!\S)~[\w/]*|(?<!\S)#"
)
"""What means something to a shell outside quotation marks; within double ones only what begins with a dollar sign or
a backtick."""


def _warnings(text: str, words: Sequence[str]) -> Iterator[Notice]:
    """Yield what a shell would have read, and what reaches the program as it stands instead."""
    found = list(dict.fromkeys(_unquoted(text)))
    if re.fullmatch(r"[^\W\d]\w*=.*", words[0]):
        yield Notice(
            code="command_sets_variable",
            message=f"{quote(words[0])} of {_OPTION} is taken for the name of a program, as no shell reads it: "
            f"begin with 'env {words[0].partition('=')[0]}=…'",
        )
    if found:
        listed = ", ".join(map(quote, found[:6])) + (", …" if len(found) > 6 else "")
        yield Notice(
            code="command_without_shell",
            message=f"no shell reads {_OPTION}: {listed} {'reaches' if len(found) == 1 else 'reach'} the program as "
            f"written; for a shell, write sh -c '…', or a script of your own",
        )


def _unquoted(text: str) -> Iterator[str]:
    """Yield what a shell would act on: outside quotation marks, and of ``$`` and backticks within double ones."""
    position, within = 0, ""
    while position < len(text):
        letter = text[position]
        if within == "'":
            within = "" if letter == "'" else within
        elif letter == "\\" and not (within and text[position + 1 : position + 2] in {"$", "`"}):
            position += 1  # unlike a shell, shlex keeps the backslash before $ within double quotes
        elif letter == within:
            within = ""
        elif letter in "'\"" and not within:
            within = letter
        elif (found := _READ_BY_A_SHELL.match(text, position)) and (not within or letter in "$`"):
            yield found[0]
            position = found.end()
            continue
        position += 1
