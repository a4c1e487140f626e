"""Which column of a table of runs holds the parameters, the tokens, the compute, the loss.

Recognition is a table of names, tried in order, and nothing else, so that a choice can be explained: a column with
the role's own name (``params`` or ``N``) wins over a usual name (``n_params``), that over a name of a particular
count (``non_emb_params``). Two candidates of equal rank with different values are an error that lists them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaleplan.errors import inert

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["LOSS_UNITS", "ROLES", "Candidate", "candidates", "listed", "loss_unit_of", "words"]

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

LOSS_UNITS: dict[str, str] = {
    "nats": "nats/token",
    "bits": "bits/token",
    "ppl": "perplexity: exp of nats/token",
    "bpb": "bits/byte",
}
"""The units in which a loss column can be written."""

_NAMES: dict[str, tuple[frozenset[str], ...]] = {
    "params": (
        frozenset({"params", "n"}),
        frozenset(
            {
                *(
                    "n params",
                    "num params",
                    "nparams",
                    "parameters",
                    "n parameters",
                    "num parameters",
                    "model params",
                ),
                *("param count", "params count", "parameter count", "model size", "size", "model parameters"),
            }
        ),
        frozenset(
            {
                *("total params", "params total", "n total", "n params total", "total parameters", "n all"),
                *(
                    "non emb params",
                    "non embedding params",
                    "params non emb",
                    "params non embedding",
                    "nonemb params",
                ),
                *("params no emb", "params no embed", "n non emb", "n non embedding", "non embedding parameters"),
                *("n params non embedding", "n nonemb", "active params", "n active", "params active"),
            }
        ),
    ),
    "tokens": (
        frozenset({"tokens", "d"}),
        frozenset(
            {
                *(
                    "d tokens",
                    "train tokens",
                    "training tokens",
                    "n tokens",
                    "num tokens",
                    "num token",
                    "tokens seen",
                ),
                *("total tokens", "tokens total", "token count", "tokens trained", "n train tokens", "seen tokens"),
                *("total train tokens", "num train tokens", "tokens processed", "n training tokens"),
            }
        ),
    ),
    "flops": (
        frozenset({"flops", "flop", "c"}),
        frozenset(
            {
                *(
                    "c flops",
                    "compute",
                    "train flops",
                    "training flop",
                    "training flops",
                    "total flops",
                    "train flop",
                ),
                *("flops total", "n flops", "compute budget", "training compute", "train compute", "flops budget"),
                *("c compute", "total compute", "total training flops", "total train flops"),
            }
        ),
    ),
    "tokens_per_param": (frozenset(),),  # never by name: it only stands in for parameters or tokens on request
    "unique_tokens": (frozenset({"unique tokens", "n unique tokens", "num unique tokens", "unique d", "d unique"}),),
    "weight": (frozenset({"weight", "weights", "fit weight"}),),
    "group": (frozenset(),),  # never by name: grouping changes what is fitted
    "name": (frozenset({"name", "run", "run name", "run id", "id", "key"}),),
    "state": (frozenset({"state", "status", "run state"}),),
}
_LOSS_NAMES = {
    "nats": {"loss", "l", "final loss", "nll"},
    "bits": {"bits per token", "bpt", "loss bits"},
    "ppl": {"ppl", "perplexity"},
    "bpb": {"bpb", "bits per byte", "loss bpb"},
}
_LOSS_WORDS = {
    "nats": {"loss", "nll"},
    "bits": {"bpt", "bits"},
    "ppl": {"ppl", "perplexity"},
    "bpb": {"bpb"},
}
_NOT_A_LOSS = frozenset(
    {
        *("aux", "auxiliary", "balance", "balancing", "router", "z", "scale", "scaler", "weight", "coef"),
        *("std", "stderr", "sem", "kl", "count", "step", "steps"),
    }
)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NOT_WORD = re.compile(r"[^a-z0-9]+")
_BRACKETS = re.compile(r"[\[(][^\])]*[\])]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A column that may play a role; the lower ``rank`` wins."""

    name: str
    rank: int


def words(name: str) -> str:
    """Return a column name in lower case with single spaces: ``trainTokens`` and ``train_tokens`` are one name."""
    return _NOT_WORD.sub(" ", _CAMEL.sub(" ", name.rpartition("#")[0] or name).lower()).strip()


def candidates(role: str, names: Sequence[str], *, loss_unit: str = "nats") -> list[Candidate]:
    """Return the columns whose name says that they play ``role``, best rank first, in file order within a rank."""
    rank = _loss_rank if role == "loss" else _rank
    key = loss_unit if role == "loss" else role
    found = [Candidate(name=name, rank=place) for name in names if (place := rank(key, name)) is not None]
    return sorted(found, key=lambda candidate: candidate.rank)


def loss_unit_of(name: str) -> str | None:
    """Return the unit other than nats that a column name speaks of, or None."""
    spoken = set(words(name).split())
    for unit in ("ppl", "bpb", "bits"):
        if spoken & _LOSS_WORDS[unit] or words(name) in _LOSS_NAMES[unit]:
            return unit
    return None


def listed(names: Sequence[str], *, most: int = 12) -> str:
    """Return column names for a message, shortened when there are many."""
    shown = ", ".join(f"'{inert(name)[:60]}'" for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _rank(role: str, name: str) -> int | None:
    for tier, known in enumerate(_NAMES[role]):
        for part, form in enumerate(_forms(name)):
            if form in known:
                return max(tier, min(part, 1))
    return None


def _loss_rank(unit: str, name: str) -> int | None:
    full = words(name)
    if full in _LOSS_NAMES[unit]:
        return 0
    spoken = set(full.split())
    if spoken & _NOT_A_LOSS or (unit == "nats" and loss_unit_of(name) is not None):
        return None
    return 1 if spoken & _LOSS_WORDS[unit] else None


def _forms(name: str) -> Iterator[str]:
    """Yield the name, then the name without brackets, then the ends of its path: a.b.c, b.c, c."""
    yield words(name)
    yield words(_BRACKETS.sub(" ", name))
    parts = re.split(r"[./]", name)
    for start in range(1, len(parts)):
        yield words(".".join(parts[start:]))
