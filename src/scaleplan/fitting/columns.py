r"""Recognise the columns of a table of runs: parameters, tokens, compute, loss and further roles.

The user's own mapping comes first. Otherwise recognition is a table of names, tried in order, and nothing else, so
that a choice can be explained: a column with the role's own name (``params`` or ``N``) wins over a usual name
(``n_params``), that over a name of a particular count (``non_emb_params``). A column without a single value is no
candidate, and columns with the same values are one. Every choice among several is a note; a choice that would be a
guess is an error.

A mapping is one of::

    COLUMN              the cells of a column, as they are
    log10(COLUMN)       the cells are logarithms to base 10
    COLUMN*1e9          the cells are in billions
    steps*batch*2048    products and quotients of columns and numbers: samples*seq_len, flops/6/params
    COLUMN~REGEX        what the group of a regular expression finds inside the text: Name~model-(\d+m)
    20, 7B              no column at all: the same number for every run

A column whose name is exactly the text always wins, so that any name can be written. A unit in a heading, as in
``Model Size (B)``, ``params_M`` or ``FLOPs (1E21)``, scales the numbers below it that have no suffix of their own.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scaleplan.errors import FileError, UnknownNameError, UsageError, escape_control, quote
from scaleplan.fitting.exports import ONE_ROW_A_RUN, chart_or_scalar, is_history, step_column
from scaleplan.fitting.table import to_number, to_numbers, to_text
from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from scaleplan.arrays import Array, Mask
    from scaleplan.fitting.table import Cell, RawTable

__all__ = ["LOSS_UNITS", "ColumnMapping", "candidates", "normalised", "read_mapping", "recognise"]

ROLES: dict[str, str] = {
    "params": "parameters",
    "tokens": "training tokens",
    "flops": "training compute in FLOP",
    "loss": "final loss",
    "tokens_per_param": "tokens per parameter",
    "unique_tokens": "distinct tokens available",
    "weight": "weight in the fit",
    "group": "group of runs with a law of its own",
    "name": "name of the run",
    "state": "state of the run",
}
"""What a column can stand for, and what it means."""

class LossUnit(NamedTuple):
    """How a loss is written (``nats``, ``bits``, or ``ppl`` for exp of nats) and what it is per."""

    scale: str
    per: str

    @property
    def meaning(self) -> str:
        """The unit in words."""
        return f"perplexity per {self.per}" if self.scale == "ppl" else f"{self.scale}/{self.per}"

    @property
    def kept(self) -> str:
        """The unit in which the loss is kept: logarithms of perplexities, and bits only where a text is measured."""
        return f"nats/{self.per}" if self.scale == "ppl" or self.per in {"token", "word"} else self.meaning

    @property
    def factor(self) -> float:
        """What a loss, or the logarithm of a perplexity, is multiplied by to be in the unit in which it is kept."""
        return math.log(2) if self.scale == "bits" and self.kept.startswith("nats") else 1.0


LOSS_UNITS: dict[str, LossUnit] = {
    "nats": LossUnit("nats", "token"),
    "bits": LossUnit("bits", "token"),
    "ppl": LossUnit("ppl", "token"),
    "bpb": LossUnit("bits", "byte"),
    "bpc": LossUnit("bits", "character"),
    "bpw": LossUnit("bits", "word"),
    "word_ppl": LossUnit("ppl", "word"),
    "byte_ppl": LossUnit("ppl", "byte"),
    "char_ppl": LossUnit("ppl", "character"),
    "nats/byte": LossUnit("nats", "byte"),
    "nats/character": LossUnit("nats", "character"),
    "nats/word": LossUnit("nats", "word"),
}
"""The units in which a loss column can be written. What is per token, byte, character or word is never the same."""

_NAMES = {
    "params": (
        "params, n",
        (
            "n params, num params, nparams, parameters, n parameters, num parameters, model params, "
            "param count, params count, parameter count, model size, size, model parameters, trainable params, "
            "trainable parameters, n model params, num model params, number of parameters, number of params"
        ),
        (
            "total params, params total, n total, n params total, total parameters, n all, non emb params, "
            "non embedding params, params non emb, params non embedding, nonemb params, params no emb, "
            "params no embed, n non emb, n non embedding, non embedding parameters, n params non embedding, "
            "n nonemb, active params, n active, params active"
        ),
    ),
    "tokens": (
        "tokens, d",
        (
            "d tokens, train tokens, training tokens, n tokens, num tokens, num token, tokens seen, "
            "total tokens, tokens total, token count, tokens trained, n train tokens, seen tokens, "
            "total train tokens, num train tokens, tokens processed, n training tokens, dataset tokens, "
            "data tokens, pretraining tokens, pretrain tokens, consumed tokens, tokens consumed, "
            "number of tokens, number of training tokens, num tokens seen, num input tokens seen, "
            "pretraining data size, training data size, train data size, data size, dataset size"
        ),
    ),
    "flops": (
        "flops, flop, c",
        (
            "c flops, compute, train flops, training flop, training flops, total flops, train flop, "
            "flops total, n flops, compute budget, training compute, train compute, flops budget, c compute, "
            "total compute, total training flops, total train flops, total flos, pretraining flops, "
            "pretrain flops, pretraining compute"
        ),
    ),
    "tokens_per_param": (),  # never by name: it only stands in for parameters or tokens on request
    "unique_tokens": ("unique tokens, n unique tokens, num unique tokens, unique d, d unique",),
    "weight": ("weight, weights, fit weight",),
    "group": (),  # never by name: grouping changes what is fitted
    "name": ("name, run, run name, run id, id, key", "display name, job name, job, exp name, experiment, experiment name, exp"),
    "state": ("state, status, run state",),
}
"""The names of each role, best first: its own, usual ones, those of a particular count."""

_KNOWN = {role: tuple(frozenset(names.split(", ")) for names in tiers) for role, tiers in _NAMES.items()}

_LOSS_NAMES = frozenset(
    {
        *("loss", "l", "final loss", "nll", "cross entropy", "ppl", "perplexity", "bpb", "bits per byte", "bpc"),
        *("bits per character", "bits per token", "bpt", "loss bits", "loss bpb", "word perplexity", "byte perplexity"),
    }
)
"""What a column of the loss, in any unit, is called by itself; longer names contain one of the words below."""

_SCALES = {
    "ppl": frozenset({"ppl", "perplexity", "perplexities", "pplx"}),
    "bits": frozenset({"bits", "bit", "bpb", "bpc", "bpt", "bpw"}),
    "nats": frozenset({"loss", "nll", "xent", "crossentropy", "entropy", "nats", "nat"}),
}

_PER = {
    "byte": frozenset({"byte", "bytes", "bpb"}),
    "character": frozenset({"char", "chars", "character", "characters", "bpc"}),
    "word": frozenset({"word", "words", "bpw"}),
    "token": frozenset({"token", "tokens", "bpt"}),
}

_NOT_A_LOSS = frozenset(
    {
        *("aux", "auxiliary", "balance", "balancing", "router", "z", "scale", "scaler", "weight", "coef"),
        *("std", "stderr", "sem", "se", "stdev", "kl", "count", "step", "steps"),
    }
)

_CAMEL, _NOT_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])"), re.compile(r"[^a-z0-9]+")
_BRACKETS = re.compile(r"[\[(][^\])]*[\])]")


def normalised(name: str) -> str:
    """Return a column name in lower case with single spaces: ``trainTokens`` and ``train_tokens`` are one name."""
    return _NOT_WORD.sub(" ", _CAMEL.sub(" ", name.rpartition("#")[0] or name).lower()).strip()


def candidates(role: str, names: Sequence[str], *, loss_unit: str = "nats") -> dict[str, int]:
    """Return the columns with a name for ``role`` and their rank, best first, else in file order."""
    ranks = {name: _loss_rank(loss_unit, name) if role == "loss" else _rank(role, name) for name in names}
    known = {name: rank for name, rank in ranks.items() if rank is not None}
    return dict(sorted(known.items(), key=lambda item: item[1]))


def unit_in_name(name: str) -> tuple[str | None, str | None]:
    """Return the scale of a loss (nats, bits, ppl) and what it is per, by a column's name; None where it is silent."""
    whole = set(normalised(name).split())
    last = set(normalised(re.split(r"[./]", name)[-1]).split())
    scale = next((scale for parts in (last, whole) for scale, words in _SCALES.items() if parts & words), None)
    if scale == "ppl" and "log" in whole:
        scale = "nats"
    return scale, next((per for per, words in _PER.items() if whole & words), None)


def stated_unit(name: str) -> str | None:
    """Return the loss unit that a column's name states, for one that is no plain loss per token; None for others."""
    scale, per = unit_in_name(name)
    if scale is None or (scale == "nats" and per in {None, "token"}) or set(normalised(name).split()) & _NOT_A_LOSS:
        return None
    wanted = LossUnit(scale, per or "token")
    return next((key for key, unit in LOSS_UNITS.items() if unit == wanted), None)


def _listed(names: Sequence[str], *, most: int = 12) -> str:
    """Return column names for a message, shortened when there are many."""
    shown = ", ".join(f"'{escape_control(name)[:60]}'" for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _rank(role: str, name: str) -> int | None:
    rank = _plain_rank(role, name)
    if rank is not None or role not in _SIZE_ROLES:
        return rank
    bare, _, _ = heading(name, role)
    rank = None if bare == name else _plain_rank(role, bare)
    return None if rank is None else max(rank, 1)


def _plain_rank(role: str, name: str) -> int | None:
    for tier, known in enumerate(_KNOWN[role]):
        for part, form in enumerate(_forms(name)):
            if form in known:
                return max(tier, min(part, 1))
    return None


def _loss_rank(unit: str, name: str) -> int | None:
    full, known = normalised(name), LOSS_UNITS[unit]
    if full == "l":
        return 0 if unit == "nats" else None
    scale, per = unit_in_name(name)
    if scale != known.scale or per not in {None, known.per}:
        return None
    if set(full.split()) & _NOT_A_LOSS or name.endswith(("__MIN", "__MAX")):
        return None
    return 0 if full in _LOSS_NAMES else 1


def _forms(name: str) -> Iterator[str]:
    """Yield the name, then the name without brackets, then the ends of its path: a.b.c, b.c, c."""
    yield normalised(name)
    yield normalised(_BRACKETS.sub(" ", name))
    parts = re.split(r"[./]", name)
    if parts[-1] in {"value", "_value"} and len(parts) > 1:  # W&B nests each setting once more
        parts = parts[:-1]
        yield normalised(parts[-1])
    for start in range(1, len(parts)):
        yield normalised(".".join(parts[start:]))


_SIZE_ROLES = frozenset({"params", "tokens", "flops", "unique_tokens"})

_PREFIXES = {"k": 3, "kilo": 3, "m": 6, "mega": 6, "g": 9, "giga": 9, "t": 12, "tera": 12, "p": 15, "peta": 15} | {
    "e": 18,
    "exa": 18,
    "z": 21,
    "zetta": 21,
    "y": 24,
    "yotta": 24,
}
_COUNTS = {
    **dict.fromkeys(("k", "thousand", "thousands"), 3),
    **dict.fromkeys(("m", "mn", "mm", "mio", "mil", "million", "millions"), 6),
    **dict.fromkeys(("b", "bn", "g", "billion", "billions"), 9),
    **dict.fromkeys(("t", "tn", "trn", "trillion", "trillions"), 12),
}
_PF_DAYS = re.compile(r"(?:pf|pflops?|petaflops?)(?: s)? days?")
_FLOP_WORD = re.compile(rf"({'|'.join(sorted(_PREFIXES, key=len, reverse=True))})flop(?:s|)")
_POWER = re.compile(r"(?:x )?(?:1e|10 ?e?|10 )(\d{1,2})")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_COUNTED = frozenset({"params", "param", "parameters", "tokens", "token", "toks", "tok", "flop", "flops"})


def heading(name: str, role: str) -> tuple[str, float, bool]:
    """Return the name without its unit, the factor that the unit means, and whether the cells are logarithms.

    The unit stands in brackets (``Model Size (B)``, ``FLOPs [1E21]``, ``tokens (in billions)``), at the end
    (``params_M``, ``D in billions``, ``compute, PF-days``), before the name (``million tokens``) or in it (``ZFLOPs``).
    """
    text = name.rpartition("#")[0] or name
    if match := re.match(r"(?i)\s*log_?10[\s_(]+(.*?)\)?\s*$", text):
        return match[1], 1.0, True
    for match in re.finditer(r"[\[(]([^\])]*)[\])]", text):
        factor = _unit(match[1], role)
        if factor is not None:
            return f"{text[: match.start()]} {text[match.end() :]}".strip() or text, factor, False
    words = normalised(text).split()
    for count in range(min(4, len(words) - 1), 0, -1):
        rest, unit = " ".join(words[:-count]), " ".join(words[-count:])
        factor = _unit(unit, role)
        if factor is not None and not (len(rest) == 1 and len(unit) == 1):
            bare = rest.removesuffix(" in")
            return bare, factor, False
    if len(words) > 1 and role != "flops" and len(words[0]) > 1 and words[0] in _COUNTS:
        return " ".join(words[1:]), 10.0 ** _COUNTS[words[0]], False
    if role == "flops":
        for position, word in enumerate(words):
            if match := _FLOP_WORD.fullmatch(word):
                return " ".join([*words[:position], "flops", *words[position + 1 :]]), 10.0 ** _PREFIXES[match[1]], False
        if _PF_DAYS.fullmatch(" ".join(words)):
            return "flops", 8.64e19, False
    return name, 1.0, False


def _unit(text: str, role: str) -> float | None:
    """Return the factor that a text means as a unit: B, in millions, 1e9, x10^21, ZFLOPs, PF-days; None for others."""
    plain = text.translate(_SUPERSCRIPTS) if not re.search("10[⁰¹²³⁴⁵⁶⁷⁸⁹]", text) else re.sub(
        "10([⁰¹²³⁴⁵⁶⁷⁸⁹]+)", lambda match: f"10^{match[1].translate(_SUPERSCRIPTS)}", text
    )
    words = re.sub(r"[^a-z0-9]+", " ", plain.replace("×", "x ").lower()).split()
    words = words[1:] if words[:1] in (["in"], ["x"], ["of"]) else words
    joined = " ".join(words)
    if role == "flops":
        if _PF_DAYS.fullmatch(joined):
            return 8.64e19
        if match := _FLOP_WORD.fullmatch(joined):
            return 10.0 ** _PREFIXES[match[1]]
    if len(words) > 1 and words[-1] in _COUNTED:
        joined = " ".join(words[:-1])
    if match := _POWER.fullmatch(joined.removeprefix("x")):
        return 10.0 ** int(match[1])
    power = _COUNTS.get(joined)
    if role == "flops" and joined in _PREFIXES and len(joined) == 1 and power is None:
        power = _PREFIXES[joined]
    return None if power is None else 10.0**power


_LOG10 = re.compile(r"log10\((?P<inner>.*)\)")


class ColumnMapping(Record):
    """The source of the values of one role; ``text`` is the user's way to write it.

    ``factors`` are what a product multiplies (exponent 1) or divides by (-1); then ``column`` is None. ``heading`` is
    the unit in the column's heading, which scales the cells that have no suffix of their own.
    """

    text: str
    column: str | None = None
    pattern: re.Pattern[str] | None = None
    log10: bool = False
    scale: float = 1.0
    constant: float | None = None
    factors: tuple[tuple[ColumnMapping, int], ...] = ()
    heading: float = 1.0

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the file that the values come from."""
        if self.factors:
            return tuple(name for factor, _ in self.factors for name in factor.columns)
        return () if self.column is None else (self.column,)

    def cells(self, table: RawTable) -> list[Cell]:
        """Return the cells, with the text that the pattern finds where there is a pattern."""
        if self.factors:
            return [*self.numbers(table)[0].tolist()]
        if self.column is None:
            return [self.constant] * len(table.rows)
        cells = table.column(self.column)
        if self.pattern is None:
            return cells
        matches = [self.pattern.search(to_text(cell)) for cell in cells]
        return [match[1] if match is not None else None for match in matches]

    def numbers(self, table: RawTable) -> tuple[Array, Mapping[int, str]]:
        """Return one number a row, NaN where there is none, and the text of the cells that cannot be read."""
        if self.factors:
            return self._product(table)
        cells = self.cells(table)
        numbers, unreadable = to_numbers(cells)
        with np.errstate(all="ignore"):
            values = (10.0**numbers if self.log10 else numbers) * self.scale
            if self.heading != 1.0:
                values = np.where([_has_suffix(cell) for cell in cells], values, values * self.heading)
            return values, unreadable

    def _product(self, table: RawTable) -> tuple[Array, Mapping[int, str]]:
        values = np.ones(len(table.rows))
        unreadable: dict[int, str] = {}
        for factor, exponent in self.factors:
            numbers, texts = factor.numbers(table)
            with np.errstate(all="ignore"):
                values = values * numbers if exponent > 0 else values / numbers
            unreadable |= texts
        return values, unreadable


def _has_suffix(cell: Cell) -> bool:
    """Whether a cell says itself that it is in thousands, millions, billions or a prefix of FLOP."""
    return isinstance(cell, str) and re.search(r"(?i)\d\s*(?:[kmgbt]|[kmgtpezy]?flops?)", cell) is not None


def read_mapping(text: str, table: RawTable, *, role: str) -> ColumnMapping:
    """Read the user's mapping of a role.

    Raises UnknownNameError for a text that is no column of the file and no number, UsageError for a regular
    expression that is invalid or has no group.
    """
    if text in table.names:
        return _with_heading(ColumnMapping(text=text, column=text), role)
    if match := _LOG10.fullmatch(text.strip()):
        return ColumnMapping(text=text, column=_column(match["inner"], table), log10=True)
    column, tilde, pattern = text.partition("~")
    if tilde:
        return ColumnMapping(text=text, column=_column(column, table), pattern=_pattern(pattern, role))
    if _OPERATOR.search(text) and _find(text, table) is None:
        return _product(text, table, role)
    try:
        return ColumnMapping(text=text, constant=_positive(text, role))
    except UsageError:
        return _with_heading(ColumnMapping(text=text, column=_column(text, table)), role)


_OPERATOR = re.compile(r"[*/×]")


def _product(text: str, table: RawTable, role: str) -> ColumnMapping:
    """Read a product or quotient of columns and numbers, of the longest column names that the file has."""
    pieces = re.split(r"([*/×])", text)
    factors: list[tuple[ColumnMapping, int]] = []
    start, sign = 0, 1
    while start < len(pieces):
        for end in range(len(pieces), start, -2):  # a name may hold the signs: 'eval/tokens'
            part = "".join(pieces[start:end])
            factor = _factor(part, table)
            if factor is not None:
                break
        else:
            if not pieces[start].strip():
                raise UsageError(f"{role}={quote(text)} lacks a factor", hint="write COLUMN*COLUMN, COLUMN/NUMBER")
            raise UnknownNameError("column", pieces[start].strip(), table.names)
        factors.append((factor, sign))
        if end < len(pieces):
            sign = -1 if pieces[end] == "/" else 1
        start = end + 1
    if len(factors) == 2 and factors[0][0].column and factors[1][0].constant:
        (column, _), (number, exponent) = factors
        return replace(column, text=text, scale=float(number.constant or 1.0) ** exponent)
    return ColumnMapping(text=text, factors=tuple(factors))


def _factor(text: str, table: RawTable) -> ColumnMapping | None:
    """Return a column or a positive number as a factor; None for anything else."""
    if match := _LOG10.fullmatch(text.strip()):
        name = _find(match["inner"], table)
        return None if name is None else ColumnMapping(text=text, column=name, log10=True)
    name = _find(text, table)
    if name is not None:
        return ColumnMapping(text=text, column=name)
    try:
        return ColumnMapping(text=text, constant=_positive(text.strip(), "a factor"))
    except UsageError:
        return None


def _with_heading(mapped: ColumnMapping, role: str) -> ColumnMapping:
    """Return the mapping of a whole column with the unit in its heading, for a role that is a size."""
    if role not in _SIZE_ROLES or mapped.column is None:
        return mapped
    _, factor, log10 = heading(mapped.column, role)
    if log10:
        return replace(mapped, text=f"log10({mapped.column})", log10=True)
    return mapped if factor == 1.0 else replace(mapped, text=f"{mapped.column}*{factor:g}", heading=factor)


def _find(text: str, table: RawTable) -> str | None:
    """Return the column that a text names, in any case of letters; None for none or several."""
    name = text.strip()
    if name in table.names:
        return name
    folded = [known for known in table.names if known.casefold() == name.casefold()]
    return folded[0] if len(folded) == 1 else None


def _column(text: str, table: RawTable) -> str:
    name, found = text.strip(), _find(text, table)
    if found is not None:
        return found
    repeated = [known for known in table.names if known.rpartition("#")[0] == name]
    if repeated:
        hint = f"name one of {_listed(repeated)}"
        raise UsageError(f"{table.source} has {len(repeated)} columns called {quote(name)}", hint=hint)
    raise UnknownNameError("column", name, table.names)


def _pattern(text: str, role: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UsageError(f"regular expression {quote(text)} for {role}: {error}") from None
    if pattern.groups < 1:
        hint = "put brackets around the number: model-(\\d+m)"
        raise UsageError(f"regular expression {quote(text)} for {role} has no group", hint=hint)
    return pattern


def _positive(text: str, role: str) -> float:
    try:
        number = to_number(text)
    except ValueError:
        number = float("nan")
    if not 0 < number < float("inf"):
        raise UsageError(f"{quote(text)} for {role} is not a positive number")
    return number


_EVALUATION = frozenset({"val", "valid", "validation", "eval", "evaluation", "test"})

_SIZE_IN_TEXT = re.compile(r"(?<![A-Za-z0-9])([A-Za-z]+[-_=])\d+(?:\.\d+)?[kmbKMB](?![A-Za-z0-9])")


def recognise(
    table: RawTable, *, mapping: Mapping[str, str], log10: Collection[str], loss_unit: str, needed: Collection[str]
) -> tuple[dict[str, ColumnMapping], list[str]]:
    """Return the mapping of each role that the file has, and notes on choices a reader may want to change.

    Raises UsageError for a role that does not exist or a logarithm of a column that plays no role, FileError when
    several columns could play a role or none plays one that is needed and cannot be derived.
    """
    for role in mapping:
        if role not in ROLES:
            raise UnknownNameError("role", role, ROLES)
    columns = {role: read_mapping(text, table, role=role) for role, text in mapping.items()}
    if "loss" in columns:
        _require_unit(columns["loss"], loss_unit)
    elif "loss" in needed and (export := chart_or_scalar(table.names)) is not None:
        what, way = export
        raise FileError(f"{table.source}: this is {what}", hint=way)
    if "params" in needed and not any(role in columns or candidates(role, table.names) for role in ("params", "flops")):
        _refuse_history(table)
    notes: list[str] = []
    for role in ("loss", "params", "tokens", "flops", "unique_tokens", "weight"):
        if role in columns or (role == "loss" and "loss" not in needed):
            continue
        found = candidates(role, table.names, loss_unit=loss_unit)
        if role == "loss" and not found:  # a plain 'loss' is in the unit that the user states
            per = {None, LOSS_UNITS[loss_unit].per}
            found = {name: rank for name, rank in candidates(role, table.names).items() if unit_in_name(name)[1] in per}
        used = np.isfinite(columns["loss"].numbers(table)[0]) if "loss" in columns else None
        name, note = _choose(role, found, table, needed=role in needed, used=used)
        if name is not None:
            columns[role] = _with_heading(ColumnMapping(text=name, column=name), role)
            if columns[role].text != name:
                notes.append(f"{role} is {quote(columns[role].text)}, by the heading")
        notes += [note] if note else []
    for role in ("name", "state"):
        for name in candidates(role, table.names):
            columns.setdefault(role, ColumnMapping(text=name, column=name))
    _apply_log10(columns, log10, table)
    if "group" not in columns:
        notes += [
            f"column {quote(name)} may separate groups: --group {quote(name)}"
            for name in table.names
            if normalised(name) == "group"
        ]
    _require(columns, needed, table, loss_unit)
    for role, mapped in columns.items():
        _require_unambiguous(role, mapped, table)
    return columns, notes


def _refuse_history(table: RawTable) -> None:
    """Refuse the steps of one run without its size."""
    step = step_column(table.names)
    if step is not None and is_history(to_numbers(table.column(step))[0].tolist()):
        raise FileError(
            f"{table.source}: this is the history of one run by {quote(step)}, not a table of runs",
            hint=f"{ONE_ROW_A_RUN}; or fit the curve of this run: --form offset_power --x {quote(step)}",
        )


def _require_unit(mapped: ColumnMapping, loss_unit: str) -> None:
    """Refuse a column of the loss whose name states another unit than the user."""
    for name in mapped.columns:
        (scale, per), wanted = unit_in_name(name), LOSS_UNITS[loss_unit]
        agrees = per in {None, wanted.per} and (scale in {None, "nats"} or scale == wanted.scale)
        unit = stated_unit(name) if scale is not None else None
        if not agrees and unit is not None and unit != loss_unit:
            raise UsageError(
                f"{quote(name)} is in {LOSS_UNITS[unit].meaning} by its name, not in {wanted.meaning}",
                hint=f"--loss-unit {unit} reads it",
            )


def _require_unambiguous(role: str, mapped: ColumnMapping, table: RawTable) -> None:
    """Refuse a column whose cells are like ``4,467`` where nothing tells a decimal comma from thousands."""
    for name in mapped.columns:
        if name not in table.ambiguous or role in {"name", "state", "group"}:
            continue
        cell = next(to_text(cell) for cell in table.column(name) if "," in to_text(cell))
        point, none = cell.replace(",", "."), cell.replace(",", "")
        raise FileError(
            f"{table.source}: {quote(cell)} in column {quote(name)} may be {point} or {none}",
            hint="write decimal points, or no commas in thousands",
        )


def _choose(
    role: str, found: Mapping[str, int], table: RawTable, *, needed: bool, used: Mask | None
) -> tuple[str | None, str | None]:
    """Return the best of the columns found that has values in the ``used`` rows, if any, and a note on the choice."""
    distinct: dict[str, Array] = {}
    for name in found:
        numbers = to_numbers(table.column(name))[0]
        if used is not None:
            numbers = np.where(used, numbers, np.nan)
        repeated = any(np.array_equal(numbers, other, equal_nan=True) for other in distinct.values())
        if np.isfinite(numbers).any() and not repeated:
            distinct[name] = numbers
    if not distinct:
        return None, None
    first, *others = distinct
    best = [name for name in distinct if found[name] == found[first]]
    if len(best) > 1 and not needed:
        return None, f"{len(best)} columns could be {role}, and none is needed: {_listed(best)}"
    if len(best) > 1:
        likely = next((name for name in best if _EVALUATION & set(normalised(name).split())), first)
        hint = f"choose with --map '{role}={escape_control(likely)}'"
        raise FileError(f"{table.source}: {len(best)} columns could be the {ROLES[role]}: {_listed(best)}", hint=hint)
    note = f"{role} is column {quote(first)}; --map {role}=… chooses {_listed(others)} instead" if others else None
    return first, note


def _apply_log10(columns: dict[str, ColumnMapping], log10: Collection[str], table: RawTable) -> None:
    for name in log10:
        column = name if name in table.names else None
        roles = [role for role, mapped in columns.items() if (mapped.column == column if column else role == name)]
        if not roles:
            if column is None:
                raise UnknownNameError("column", name, table.names)
            raise UsageError(
                f"--log10 {quote(name)}: that column plays no role", hint="--map 'tokens=log10(COLUMN)' gives it one"
            )
        for role in roles:
            columns[role] = replace(columns[role], text=f"log10({columns[role].text})", log10=True, scale=1.0)


def _require(columns: Mapping[str, ColumnMapping], needed: Collection[str], table: RawTable, loss_unit: str) -> None:
    if "loss" in needed and "loss" not in columns:
        raise _no_loss(table, loss_unit)
    have = {role for role in ("params", "tokens", "flops", "tokens_per_param") if role in columns}
    lacking = [role for role in ("params", "tokens", "flops") if role in needed and role not in have]
    if not lacking or len(have) >= 2:  # any two give the third
        return
    role = next((role for role in ("params", "tokens") if role not in have), lacking[0])
    unread = _without_numbers(role, table)
    if unread is not None:
        raise unread
    problem = f"{table.source}: no column for the {ROLES[role]}"
    pattern = _text_with_sizes(table) if role == "params" else None
    if pattern is not None:
        column, prefix = pattern
        raise FileError(
            f"{problem}; the size seems to be inside the text of column {quote(column)} ('{prefix}…')",
            hint=f"--map 'params={escape_control(column)}~{prefix}([\\d.]+[kmbKMB])' takes it from there",
        )
    product = _tokens_product(table) if role == "tokens" else None
    if product is not None:
        raise FileError(problem, hint=f"--map {quote(f'tokens={product}')} multiplies them")
    needs = "two of params, tokens and flops are needed, the third follows"
    raise FileError(problem, hint=f"{needs}: --map {role}=COLUMN; columns: {_listed(table.names)}")


def _no_loss(table: RawTable, loss_unit: str) -> FileError:
    units = {name: unit for name in table.names if (unit := stated_unit(name)) is not None and unit != loss_unit}
    units = {name: unit for name, unit in units.items() if np.isfinite(to_numbers(table.column(name))[0]).any()}
    if units:
        named = ", ".join(f"{quote(name)} is in {LOSS_UNITS[unit].meaning}" for name, unit in units.items())
        # what is per byte can be compared across tokenizers, so it is named before the others
        order = sorted(set(units.values()), key=lambda unit: (unit != "bpb", list(LOSS_UNITS).index(unit)))
        hint = " or ".join(f"--loss-unit {unit}" for unit in order[:3])
        problem = f"no column for the loss in {LOSS_UNITS[loss_unit].meaning}; {named}"
        return FileError(f"{table.source}: {problem}", hint=f"{hint} reads {'it' if len(units) == 1 else 'one of them'}")
    unread = _without_numbers("loss", table, loss_unit=loss_unit)
    if unread is not None:
        return unread
    hint = f"choose with --map loss=COLUMN; columns: {_listed(table.names)}"
    return FileError(f"{table.source}: no column with values for the final loss", hint=hint)


def _without_numbers(role: str, table: RawTable, *, loss_unit: str = "nats") -> FileError | None:
    """Return the error for a column that has a name for the role and no number, with an example; None for none."""
    for name in candidates(role, table.names, loss_unit=loss_unit):
        numbers, unread = to_numbers(table.column(name))
        if unread and not np.isfinite(numbers).any():
            position, text = next(iter(unread.items()))
            problem = f"{quote(text)} in column {quote(name)} is no number"
            return FileError(
                f"{table.source}: row {table.rows[position]}: {problem}", hint=f"--map {role}=COLUMN names another"
            )
    return None


_FACTORS = (
    (
        "tokens per step, tokens per batch, tokens per iteration, batch tokens, batch size tokens, global batch tokens, "
        "batch size in tokens, global batch size tokens, tokens per update",
        "train samples, consumed samples, num samples, n samples, samples seen, total samples, samples, n sequences, "
        "num sequences, sequences, training samples",
        "batch size, global batch size, gbs, gbsz, bsz, batch, train batch size, effective batch size, total batch size, "
        "batch size sequences",
    ),
    (
        "max steps, steps, train steps, training steps, num steps, n steps, total steps, num train steps, iterations, "
        "train iters, iters, max iters, num iterations, n iters, total iters, iteration, step, global step, updates, "
        "num updates",
    ),
    (
        "seq len, sequence length, seq length, seqlen, context length, context, block size, max seq len, n ctx, ctx, "
        "ctx len, max length, max sequence length, max seq length, sequence len, context size, context window",
    ),
)
"""The names of what tokens are the product of: a batch, the steps, and the length of a sequence."""


def _tokens_product(table: RawTable) -> str | None:
    """Return the product of columns that gives the training tokens, by their names; None where there is none."""

    def column(names: str) -> str | None:
        known = names.split(", ")
        found = [(known.index(form), name) for name in table.names for form in _forms(name) if form in known]
        numeric = [name for _, name in sorted(found) if np.isfinite(to_numbers(table.column(name))[0]).any()]
        return numeric[0] if numeric else None

    (in_tokens, samples, batch), (steps,), (length,) = (tuple(map(column, names)) for names in _FACTORS)
    for product in ((steps, in_tokens), (samples, length), (steps, batch, length)):
        if all(product):
            return "*".join(name for name in product if name is not None)
    return None


def _text_with_sizes(table: RawTable) -> tuple[str, str] | None:
    """Return a text column and the word before the size that most of its cells share: ('Name', 'model-')."""
    for name in table.names:
        cells = [to_text(cell) for cell in table.column(name)]
        prefixes = Counter(prefix for cell in cells for prefix in set(_SIZE_IN_TEXT.findall(cell)))
        if prefixes:
            prefix, count = prefixes.most_common(1)[0]
            if 2 * count > len(cells):
                return name, prefix
    return None
