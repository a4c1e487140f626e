"""Recognise what a metric is by its name: the names that trainers and trackers give to a loss, a rate, a count.

A name plays a role: a curve of :data:`~scaleplan.logs.run_log.QUANTITIES`, a count of steps, or a thing that is
stated of the whole run. Several names may play one; the rank tells which is meant first: ``train/loss`` before
``train/loss_total``, a loss before its perplexity, the metric of a step before that of an epoch.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from scaleplan.tables.headings import forms, headings, normalised
from scaleplan.tables.loss_units import LOSS_UNITS, NOT_A_LOSS, unit_in_name

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["EVALUATION", "STATED", "TRAINING", "Meaning", "metric_names", "role_of", "split_named", "stated_names"]


class Meaning(NamedTuple):
    """What a name means: its ``role``, how far it is from the plainest name of it, and how its numbers are written.

    ``unit`` is that of a loss (``"nats"``, ``"ppl"``, ``"bpb"`` …); other numbers are multiplied by ``factor``.
    ``means_over`` is ``"epoch"`` for a mean over an epoch, ``"running mean"`` for a smoothed value.
    """

    role: str
    rank: float
    factor: float = 1.0
    unit: str = "nats"
    means_over: str | None = None


TRAINING = frozenset({"train", "training", "trn"})
EVALUATION = frozenset(
    {"val", "valid", "validation", "validate", "eval", "evaluation", "test", "testing", "dev", "heldout", "held"}
)
"""Words of metrics that are measured on text which is not trained on."""


def split_named(folder: str) -> str | None:
    """Return the last word of a name where it is that of a split of the data, of training or of an evaluation."""
    word = normalised(folder).rpartition(" ")[2]
    return word if word in TRAINING | EVALUATION else None


_STEPS: tuple[str, ...] = (
    "trainer global step|train global step|training global step|global step|optimizer step|optimizer steps",
    (
        "step|train step|training step|iteration|train iteration|iter|train iter|time batch|update|num updates"
        "|num update|updates|step num|step number|iteration step|step idx|current step|trainer step|opt step|steps"
        "|iterations|iters|step id|it|itr|num steps|n iter|n steps|training steps|train steps|batch|batches|n updates"
        "|global iter|global iteration|steps done|steps completed|completed steps"
    ),
    "val step|eval step|validation step|eval global step|val iter|eval iter|micro step|batch idx",
)
"""Names of the count of steps, best first."""

_COUNTED_LOGS = frozenset({"_step", "Step"})
"""W&B's count of calls of its log function; as ``Step`` in the exports of charts."""

_TOKENS = frozenset(
    {
        *(
            "tokens",
            "train tokens",
            "training tokens",
            "consumed tokens",
            "tokens consumed",
            "tokens seen",
            "n tokens",
        ),
        *("seen tokens", "num tokens", "num input tokens seen", "total tokens", "tokens total", "time token", "d"),
        *(
            "tokens trained",
            "trained tokens",
            "tokens processed",
            "processed tokens",
            "token count",
            "num tokens seen",
        ),
        *("cumulative tokens", "tokens cumulative", "cum tokens", "total tokens seen", "tokens so far", "token"),
        *("total tokens trained", "total train tokens", "train tokens total", "tokens num", "train tokens seen"),
        *("train num tokens", "train consumed tokens", "train total tokens", "total num tokens", "n tokens seen"),
        *("tokens seen total", "d tokens", "total tokens processed", "throughput total tokens", "tokens trainable"),
        *("total consumed tokens", "number of tokens", "tokens used", "global tokens", "total training tokens"),
        *("train tokens total seen", "train num input tokens seen", "num tokens trained", "training tokens seen"),
        *("number of tokens seen", "number of training tokens", "train tokens consumed", "tokens ingested"),
    }
)
_SECONDS = frozenset(
    {
        *("runtime", "elapsed", "elapsed time", "elapsed seconds", "elapsed s", "seconds", "relative time", "time s"),
        *("train time", "training time", "time elapsed", "elapsed sec", "total time", "wall clock", "wall time s"),
        *("wallclock", "wall clock time", "relative time process", "relative time wall", "walltime", "wall seconds"),
        *("train time ms", "elapsed ms", "time sec", "time seconds", "total time s", "time total", "elapsed minutes"),
        *(
            "elapsed hours",
            "time ms",
            "total training time",
            "time since start",
            "elapsed time s",
            "hours",
            "minutes",
        ),
        *("relative time hr", "elapsed min", "total time seconds", "training time s", "train time s", "secs"),
        *("elapsed secs", "wall time seconds", "elapsed time seconds", "cumulative time", "total seconds", "sec"),
    }
)
_STEP_SECONDS = frozenset(
    {
        *(
            "step time",
            "iter time",
            "iteration time",
            "step time seconds",
            "step time s",
            "step time sec",
            "dt",
            "dt ms",
        ),
        *("time per step", "time per iteration", "step time ms", "iter time ms", "time per iteration ms", "iter dt"),
        *("seconds per step", "sec per step", "perf step time seconds", "train step time", "step duration", "dt s"),
        *("time per iter", "time per iter ms", "ms per step", "step ms", "seconds per iteration", "iter time s"),
    }
)
_TIME_UNITS = {
    **dict.fromkeys(("ms", "milliseconds", "msec"), 1e-3),
    **dict.fromkeys(("minutes", "min", "mins"), 60.0),
    **dict.fromkeys(("hours", "hour", "hr", "hrs", "h"), 3600.0),
}
_CLOCK = frozenset(
    {"timestamp", "wall time", "unix time", "time", "ts", "created at", "datetime", "date", "unixtime"}
)

_STATED: dict[str, str] = {
    "params": (
        "params|n params|num params|parameters|num parameters|n parameters|model params|param count|parameter count"
        "|model parameters|total params|total parameters|model num parameters|number of parameters|model n params"
        "|trainable params|model size|n model params|params total|num model params|number of params"
    ),
    "total_steps": (
        "total steps|max steps|num iterations|train iters|total iterations|max iters|num training steps|n total steps"
        "|num train steps|total training steps|max iterations|total iters|max step|total train steps|steps total"
        "|num total steps|max train steps|total batches|total num steps|max training steps|final step"
    ),
    "total_tokens": (
        "target tokens|max tokens|token budget|tokens budget|budget tokens|tokens target|max train tokens"
        "|total token budget|tokens planned|planned tokens|num train tokens"
    ),
    "tokens_per_step": (
        "tokens per step|tokens per batch|tokens per iteration|tokens per iter|batch tokens|global batch tokens"
        "|batch size tokens|tokens per update|global batch size tokens|tokens step|tokens per optimizer step"
        "|batch size in tokens|tokens per global batch|total batch tokens|tokens in batch"
    ),
    "batch": (
        "global batch size|gbs|effective batch size|total batch size sequences|global train batch size"
        "|total train batch size|batch size sequences|n batch global|total batch size|gbsz"
    ),
    "batch_maybe": "batch size|train batch size|bsz|bs",
    "sequence": (
        "sequence length|seq len|seq length|max seq len|max seq length|context length|block size|seqlen|ctx len"
        "|max sequence length|sequence len|context|n ctx|context size|train seq len|max sequence len"
        "|ctx|context window"
    ),
    "devices": "world size|devices|num devices|n gpus|num gpus|n devices|gpu count|gpus|ngpus|num processes",
    "seed": "seed|random seed|global seed|manual seed|rng seed|train seed|torch seed",
    "gpu": "gpu|gpu name|device name|gpu type|accelerator",
}
_STATED_NAMES = {form: role for role, names in _STATED.items() for form in names.split("|")}

STATED = frozenset(_STATED)
"""The roles of what is stated of a whole run."""


def stated_names(role: str) -> tuple[str, ...]:
    """Return the names of a thing that is stated of a whole run, the plainest first."""
    return tuple(_STATED[role].split("|"))


_RUN_NAMES: tuple[str, ...] = (
    "run id|run|run name|run key|run uuid|runid|runname|run hash|wandb run id|run number",
    "name|experiment|experiment name|exp|exp name|trial|trial id|job|job id|job name|model id|experiment id",
)
_SPLITS = frozenset({"split", "mode", "phase", "kind", "stage", "subset", "type", "event", "set", "prefix"})
_METRIC_NAMES = frozenset({"metric", "metric name", "tag", "key", "variable", "kind", "type", "series", "name"})
_METRIC_VALUES = frozenset({"value", "metric value"})

_NO_CURVE = frozenset(
    {
        *(
            "best",
            "min",
            "max",
            "minimum",
            "maximum",
            "lowest",
            "worst",
            "final",
            "init",
            "initial",
            "target",
            "plan",
        ),
        *(
            "std",
            "var",
            "variance",
            "delta",
            "change",
            "improvement",
            "threshold",
            "predicted",
            "forecast",
            "expected",
        ),
        *(
            "history",
            "weighted",
            "hparam",
            "hparams",
            "baseline",
            "reference",
            "ref",
            "prev",
            "previous",
            "last",
            "patience",
            "grad",
        ),
    }
)
"""Words of what is a record, a bound or a comparison and no curve."""

_OTHER_LOSSES = frozenset(
    {
        *(
            "mtp",
            "indexer",
            "l2",
            "l1",
            "reg",
            "regularization",
            "regularisation",
            "penalty",
            "value",
            "policy",
            "vf",
        ),
        *("critic", "actor", "reward", "kd", "distill", "distillation", "teacher", "student", "commit", "commitment"),
        *("vq", "recon", "reconstruction", "contrastive", "adversarial", "discriminator", "generator", "mse", "mae"),
        *("router", "moe", "lb", "orthogonal", "entropies", "halting", "ponder", "sparsity", "decoder", "encoder"),
        *("accuracy", "acc", "runtime", "samples", "seconds", "time", "percentile", "spike", "skipped", "nan"),
        *("layer", "head", "block", "domain", "rank", "norm", "lr", "vs", "per", "mtp1", "ntp2"),
    }
)
"""Words of losses that are no cross-entropy of the next token over all of the text."""

_PLAIN_LOSS = frozenset(
    {
        *("loss", "losses", "lm", "ce", "cross", "entropy", "nll", "xent", "crossentropy", "language", "model"),
        *(
            "avg",
            "average",
            "mean",
            "global",
            "metrics",
            "metric",
            "out",
            "learning",
            "step",
            "epoch",
            "per",
            "token",
        ),
        *("tokens", "nats", "in", "reduced", "log", "text", "causal", "next", "perplexity", "ppl", "bits", "bpb"),
        *(
            "byte",
            "bpc",
            "character",
            "nat",
            "objective",
            "summary",
            "history",
            "set",
            "out",
            "ntp",
            "all",
            "softmax",
        ),
    }
)
"""Words that a name of a loss may have without being another one."""

_RATE_WORDS = frozenset(
    {
        *(
            "lr",
            "learning",
            "rate",
            "train",
            "training",
            "optim",
            "optimizer",
            "current",
            "group",
            "group0",
            "pg",
            "pg1",
        ),
        *("param", "0", "lrs", "learningrate", "opt", "scheduler", "step", "metrics", "params", "schedule", "state"),
        *("adam", "adamw", "decoupled", "fused", "w", "sgd", "lion", "muon", "avg", "general", "trainer", "hyper"),
    }
)
_NO_RATE = frozenset(
    {
        *("max", "min", "peak", "base", "initial", "init", "end", "final", "warmup", "decay", "steps", "iters"),
        *("type", "name", "momentum", "weight", "target", "embed", "embedding", "floor", "start", "loss", "original"),
    }
)
_SETTINGS = frozenset({"config", "args", "hparams", "hyperparameters", "hyperparams", "settings", "cfg", "arguments"})

_ENVELOPES = frozenset({"data", "metrics", "payload", "body", "fields", "record", "extra", "scalars"})
"""Keys that only wrap the others of an object."""

_PARENS = re.compile(r"\([^)]*\)")


def role_of(name: str) -> Meaning | None:
    """Return what a name means; None where it plays no role."""
    return _role_of(name) if len(name) <= _LONGEST_NAME else None


_LONGEST_NAME = 200  # characters of a name of a metric; a longer one is a text


@lru_cache(maxsize=1 << 14)
def _role_of(name: str) -> Meaning | None:
    words = normalised(name).split()
    while len(words) > 1 and words[0] in _ENVELOPES:
        del words[0]
    if not words:
        return None
    plain = " ".join(words)
    in_settings = not _SETTINGS.isdisjoint(words)
    if not in_settings:
        if name in _COUNTED_LOGS and name.startswith("_"):
            return Meaning("step", 9.0)
        for read in (_step, _loss, _rate, _norm, _speed, _tokens, _seconds):
            found = read(name, plain, words)
            if found is not None:
                return found
    return _stated(name)


def _step(name: str, plain: str, words: list[str]) -> Meaning | None:  # noqa: ARG001  one signature
    for tier, names in enumerate(_STEPS):
        if plain in names.split("|"):
            return Meaning("step", tier + 0.1 * (plain != "step" and "step" not in words))
    if plain in {"epoch", "epochs", "train epoch", "trainer epoch"}:
        return Meaning("epoch", 0.0)
    return None


def _loss(name: str, plain: str, words: list[str]) -> Meaning | None:  # noqa: ARG001
    found = set(words)
    scale, per = unit_in_name(name)
    crossed = {"cross", "entropy"} <= found or not {"crossentropy", "ce", "nll", "xent"}.isdisjoint(found)
    if not (crossed or {"loss", "losses", "bpb", "bpt"} & found or scale in {"ppl", "bits"}):
        return None
    means_over = None
    if words[-1] in {"step", "epoch"}:  # Lightning's two means of one metric
        means_over = "epoch" if words[-1] == "epoch" else None
        found.discard(words[-1])
    if {"ema", "smooth", "smoothed", "running", "debiased"} & found:
        means_over = "running mean"
        found -= {"ema", "smooth", "smoothed", "running", "debiased"}
    if found & (NOT_A_LOSS - {"step"}) or found & _NO_CURVE or found & (_OTHER_LOSSES - _PLAIN_LOSS):
        return None
    if name.endswith(("__MIN", "__MAX")) or ("scale" in found and "loss" in found):
        return None
    evaluated = found & EVALUATION
    role = "val_loss" if evaluated else "loss"
    others = found - _PLAIN_LOSS - TRAINING - EVALUATION - {"total"}
    rank = 2.0 * len(others) + 0.5 * ("total" in found) + 0.01 * (not crossed) + 0.001 * (not found & TRAINING)
    if evaluated:
        rank += 0.2 if evaluated & {"test", "testing", "dev"} else 0.1 if evaluated & {"eval", "evaluation"} else 0.0
    if means_over is not None:
        rank += 1.0
    unit = _unit(scale, per)
    if unit is None:
        return None
    return Meaning(role, rank + (0.0 if unit == "nats" else 20.0), unit=unit, means_over=means_over)


def _unit(scale: str | None, per: str | None) -> str | None:
    """Return the unit of a loss by what its name says; None for one of no known unit."""
    scale, per = scale or "nats", per or "token"
    return next((key for key, unit in LOSS_UNITS.items() if unit == (scale, per)), None)


def _rate(name: str, plain: str, words: list[str]) -> Meaning | None:
    found = set(words)
    if "lrm" in found or (found & {"lr", "rate"} and found & {"mult", "multiplier", "rel", "relative", "scale"}):
        return Meaning("relative_lr", 0.0) if "loss" not in found else None
    if not (found & {"lr", "lrs", "learningrate"} or "learning rate" in plain) or found & _NO_RATE:
        return None
    if found & EVALUATION:
        return None
    later = re.search(r"(?:group|pg)[ _]?(\d+)", name.lower())
    number = int(later[1]) if later else 0
    first = 1 if "pg" in name.lower() else 0
    extra = len({word for word in found - _RATE_WORDS if not re.fullmatch(r"(?:group|pg)?\d+", word)})
    return Meaning("lr", 1.0 * extra + 0.5 * max(0, number - first))


def _norm(name: str, plain: str, words: list[str]) -> Meaning | None:  # noqa: ARG001
    found = set(words)
    if not (
        {"gnorm", "gradnorm"} & found or ("norm" in found and found & {"grad", "gradient", "grads", "gradients"})
    ):
        return None
    if found & {"layer", "layers", "weight", "bias", "embed", "embedding", "clip", "clipping", "max", "threshold"}:
        return None
    plain_words = {"grad", "gradient", "grads", "gradients", "norm", "gnorm", "gradnorm", "global", "total", "avg"}
    extra = found - plain_words - TRAINING - {"optim", "l2", "learning", "step", "2", "0", "mean"}
    return Meaning("grad_norm", 1.0 * len(extra) + 0.1 * ("max" in found)) if len(extra) <= 1 else None


def _speed(name: str, plain: str, words: list[str]) -> Meaning | None:
    found = set(words)
    if "mfu" in found or "model flops utilization" in plain or "model flops utilisation" in plain:
        return None if found & {"max", "min", "best", "target"} else Meaning("mfu", 0.1 * len(words), 1.0)
    counted = found & {"tok", "toks", "token", "tokens"}
    rated = found & {"sec", "second", "seconds", "s"} and (counted or "throughput" in found)
    if not ({"tps", "wps", "tgs"} & found or (counted and rated)) or found & EVALUATION:
        return None
    if found & {"samples", "sample", "steps", "batches", "max", "min"}:
        return None
    single = found & {"device", "gpu", "gpus", "tpu", "chip", "rank", "tgs", "wps"} or name == "throughput(tps)"
    return Meaning("device_tokens_per_second" if single else "tokens_per_second", 0.1 * len(words))


def _tokens(name: str, plain: str, words: list[str]) -> Meaning | None:
    if not set(words).isdisjoint({"per", "unique", "sec", "second"} | EVALUATION):
        return None
    bare = normalised(_PARENS.sub(" ", name))
    if plain in _TOKENS or bare in _TOKENS:
        return Meaning("tokens", 0.0, _heading_factor(name, "tokens"))
    for reading in headings(name, "tokens"):
        if normalised(reading.bare) in _TOKENS and not reading.log10 and len(reading.bare) > 1:
            return Meaning("tokens", 0.1, reading.factor)
    for position, form in enumerate(forms(name)):
        if form in _TOKENS and form != "d":
            return Meaning("tokens", 0.5 + 0.1 * position)
    if plain in {
        "consumed samples",
        "consumed train samples",
        "time sample",
        "samples",
        "train samples",
        "samples seen",
    }:
        return Meaning("samples", 0.0)
    return None


def _heading_factor(name: str, role: str) -> float:
    return next((reading.factor for reading in headings(name, role) if not reading.log10), 1.0)


def _seconds(name: str, plain: str, words: list[str]) -> Meaning | None:
    if not set(words).isdisjoint(EVALUATION | {"batch"}):
        return None
    if plain in _STEP_SECONDS:
        return Meaning("step_seconds", 0.0, 1e-3 if "ms" in words else 1.0)
    if plain in _CLOCK and name != "time":
        return Meaning("clock", 1.0)
    if plain in _SECONDS or plain == "time":
        factor = next((_TIME_UNITS[word] for word in words if word in _TIME_UNITS), 1.0)
        return Meaning("seconds", 0.0 if plain in _SECONDS else 1.0, factor)
    return None


def _stated(name: str) -> Meaning | None:
    for position, form in enumerate(forms(name)):
        role = _STATED_NAMES.get(form)
        if role is not None:
            return Meaning(role, 0.1 * position, _heading_factor(name, "params") if role == "params" else 1.0)
    for reading in headings(name, "params"):
        if normalised(reading.bare) in stated_names("params") and not reading.log10:
            return Meaning("params", 0.2, reading.factor)
    return None


class _Names(NamedTuple):
    """The columns that say what a row is about: the run, the split, and name and value of a metric."""

    run: str | None
    split: str | None
    metric: str | None
    value: str | None


def metric_names(names: Iterable[str]) -> _Names:
    """Return which columns name the run, the split, and a metric with its value."""
    known = {normalised(name): name for name in reversed(list(names))}
    run = next(
        (known[form] for tier in _RUN_NAMES for form in tier.split("|") if form in known and form != "model name"),
        None,
    )
    value = next((known[form] for form in _METRIC_VALUES if form in known), None)
    metric = (
        next((known[form] for form in sorted(_METRIC_NAMES) if form in known), None) if value is not None else None
    )
    if metric is not None and metric == run:
        run = None
    split = next(
        (known[form] for form in sorted(_SPLITS) if form in known and known[form] not in (metric, run)), None
    )
    return _Names(run, split, metric, value)
