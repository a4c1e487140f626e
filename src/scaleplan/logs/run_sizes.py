"""The sizes of a run: as the user gives them, as its log states or counts them, as the files beside it have them.

Where two of these contradict each other, the first counts and a notice says so, once for all runs alike.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.errors import Notice, UsageError, quote
from scaleplan.logs.config_beside import ConfigBeside, ConfigsBeside, read_config_of_run
from scaleplan.logs.ladder_run import RUN_FILE
from scaleplan.logs.last_part import last_entry
from scaleplan.units import format_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from scaleplan.logs.ladder_run import LadderRunFile
    from scaleplan.logs.run_log import RunLog
    from scaleplan.logs.sizes_given import GivenSizes

__all__ = ["RunSizes", "SizesOfRuns", "last_step", "names_listed", "size_in_name"]

_AGREE = 0.05
"""Two statements of one quantity that differ by more contradict each other: a last partial batch or a warm-up of the
batch moves tokens by less."""

_SAME_COUNT = 0.01  # of parameters: 124M and 124,439,808 are one size

_ALIKE = 0.3
"""The logarithm of a count of a config and one that a log prints, for one model: some leave out the embeddings, which
small models have a quarter of their parameters in."""

_NAMED = {
    "batch": "a batch of {}",
    "sequence": "sequences of {}",
    "gpus": "GPUs: {}",
    "steps": "steps: {}",
    "batch_tokens": "tokens of a step: {}",
    "params": "{} parameters",
}
"""Values of a training config that a log may state too, in words."""

_OF_LADDER = {
    "batch": "another batch",
    "sequence": "other sequences",
    "steps": "other steps",
    "batch_tokens": "other tokens of a step",
    "params": "other parameters",
    "seed": "another seed",
}
"""What a log has otherwise than the file of a ladder's run, in words."""

_MOST_NAMED = 4

_SIZE_IN_NAME = re.compile(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?[mMbB])(?![A-Za-z0-9])")


class RunSizes(NamedTuple):
    """What is known of the sizes of a run, and from where."""

    params: float | None
    params_from: str | None
    flops_per_token: float | None
    tokens: float | None
    tokens_from: str | None
    tokens_per_step: float | None
    batch: float | None
    sequence: int | None
    devices: int | None
    total: float | None


class SizesOfRuns:
    """The sizes of runs, found one run after the other, and the warnings about them.

    ``vocab`` is the vocabulary of configs that have none; with ``by_name`` a size may be read from the name of a run.
    """

    def __init__(self, given: GivenSizes, *, vocab: int | None, by_name: bool) -> None:
        self._given, self._vocab, self._by_name = given, vocab, by_name
        self._beside = ConfigsBeside(vocab=vocab)
        self._models: dict[str, ConfigBeside] = {}
        self._notices: dict[tuple[str, str], list[str]] = {}

    def notices(self) -> Iterator[Notice]:
        """Yield the warnings, each with the names of its runs."""
        for (code, message), names in self._notices.items():
            yield Notice(code=code, message=f"{names_listed(names)}: {message}")

    def of(self, log: RunLog) -> RunSizes:
        """Return the sizes of a run: as given, as the log states or counts them, as a config beside it has them."""
        name, stated, given = log.name, log.stated, self._given
        configs = self._configs(log)
        values = self._agreeing(log, configs)
        params, params_from, per_token = self._params(log, configs)
        sequence = _first(given.context.of(name), stated.sequence, values.get("sequence"))
        devices = _first(stated.devices, values.get("gpus"))
        batch = _first(given.batch.of(name), stated.batch, values.get("batch"))
        per_step, source = self._tokens_per_step(log, values, batch=batch, sequence=sequence)
        tokens, tokens_from = None, None
        counted = _counted(log, sequence)
        if counted is not None:
            tokens, tokens_from = counted, "counted in the log"
            own = tokens / last_step(log)
            if per_step is not None and abs(math.log(per_step / own)) > _AGREE:
                self._note(
                    "tokens_differ",
                    f"the log counts other tokens than its steps times the tokens of a step, {source}; "
                    "those of the log count",
                    f"{name} ({format_count(tokens)}, not {format_count(per_step * last_step(log))})",
                )
                per_step = own
            per_step = per_step if per_step is not None and source != "given" else own
        elif per_step is not None and not math.isnan(last_step(log)):
            tokens, tokens_from = last_step(log) * per_step, f"steps × tokens of a step, {source}"
            if source == "given":
                self._compare_stated(log, per_step)
        total = _first(given.steps.of(name), stated.total_steps, values.get("steps"))
        planned = _first(stated.total_tokens, values.get("tokens"))
        if total is None and planned is not None and per_step:
            total = float(planned) / per_step
        if batch is None and per_step and sequence:
            batch = per_step / float(sequence)
        return RunSizes(
            params=params,
            params_from=params_from,
            flops_per_token=per_token,
            tokens=tokens,
            tokens_from=tokens_from,
            tokens_per_step=per_step,
            batch=None if batch is None else float(batch),
            sequence=None if sequence is None else int(sequence),
            devices=None if devices is None else int(devices),
            total=None if total is None else float(total),
        )

    def _agreeing(self, log: RunLog, configs: Sequence[ConfigBeside]) -> Mapping[str, Any]:
        """Return the values of a training config that the log does not contradict: it may be that of another run."""
        stated = log.stated
        in_log = {"batch": stated.batch, "sequence": stated.sequence, "gpus": stated.devices}
        in_log |= {"steps": stated.total_steps, "batch_tokens": stated.tokens_per_step}
        kept: dict[str, Any] = {}
        for config in reversed(configs):
            kept |= config.values
        source = next((config.source for config in configs if config.values), "")
        for key, amount in in_log.items():
            own = kept.get(key)
            if amount and own and abs(math.log(float(own) / float(amount))) > _AGREE:
                self._differs(source, key, f"{own:,}", f"{amount:,.0f}", log.name)
                for name in (key, "batch_tokens") if key in ("batch", "sequence") else (key,):
                    kept.pop(name, None)
        planned = kept.get("steps")
        if planned is None and kept.get("tokens") and kept.get("batch_tokens"):
            planned = kept["tokens"] / kept["batch_tokens"]
        if planned is not None and last_step(log) > (1 + _AGREE) * float(planned):
            self._differs(source, "steps", f"{planned:,.0f}", f"{last_step(log):,.0f}", log.name)
            kept.pop("steps", None)
            kept.pop("tokens", None)
        if log.ladder is not None and stated.seed not in (None, log.ladder.seed):
            self._differs(RUN_FILE, "seed", f"{log.ladder.seed}", f"{stated.seed}", log.name)
        return kept

    def _differs(self, source: str, key: str, own: str, in_log: str, run: str) -> None:
        if source == RUN_FILE:  # one of each run: a line for all
            message = f"the log has {_OF_LADDER[key]} than {RUN_FILE}; the log counts"
            self._note("run_file_differs", message, f"{run} ({in_log}, not {own})")
            return
        has = _NAMED[key].format(own)
        message = f"{source} has {has}, the log {in_log}, which counts; it may be the config of another run"
        self._note("config_differs", message, run)

    def _tokens_per_step(
        self, log: RunLog, values: Mapping[str, Any], *, batch: float | None, sequence: float | None
    ) -> tuple[float | None, str]:
        """Return the tokens of a step and where they are from."""
        given, stated = self._given, log.stated
        product = float(batch) * float(sequence) if batch and sequence else None
        own = [given.batch.of(log.name), given.context.of(log.name)]
        config = "the training config" if log.ladder is None else RUN_FILE
        for amount, source in (
            (given.tokens_per_step.of(log.name), "given"),
            (product if any(own) else None, "given"),
            (stated.tokens_per_step, "stated in the log"),
            (product if stated.batch and stated.sequence else None, "stated in the log"),
            (product if stated.batch or stated.sequence else None, f"of the log and {config}"),
            (values.get("batch_tokens"), f"of {config}"),
            (product, f"of {config}"),
        ):
            if amount:
                return float(amount), source
        return None, ""

    def _compare_stated(self, log: RunLog, per_step: float) -> None:
        """Tell that the tokens of a step by the options are not what the log states."""
        stated = log.stated
        printed = stated.tokens_per_step or (stated.batch or 0) * (stated.sequence or 0)
        if printed and abs(math.log(per_step / printed)) > _AGREE:
            self._note(
                "tokens_per_step_differ",
                "the log states other tokens of a step than the options; the options count",
                f"{log.name} ({format_count(per_step)}, not {format_count(printed)})",
            )

    def _params(self, log: RunLog, configs: Sequence[ConfigBeside]) -> tuple[float | None, str | None, float | None]:
        """Return the parameters of a run, where they are from, and the FLOP of a token where a config tells them."""
        given = self._given.params.of(log.name)
        config = next((config for config in configs if config.counted is not None), None)
        counted = None if config is None else config.counted
        per_token = self._flops_per_token(log, configs, counted)
        if given is not None:
            if counted is not None and config is not None and abs(math.log(float(given) / counted)) > _SAME_COUNT:
                self._note(
                    "params_differ",
                    f"--params is not what {config.source} has; the option counts",
                    f"{log.name} ({format_count(float(given))}, not {format_count(counted)})",
                )
                per_token = None
            return float(given), "given", per_token
        printed = log.stated.params
        if config is not None and counted is not None:
            if printed is None or abs(math.log(printed / counted)) <= _ALIKE:
                return counted, config.source, per_token
            self._differs(config.source, "params", format_count(counted), format_count(printed), log.name)
        if printed is not None:
            return float(printed), "log", None
        for other in configs:
            if other.problem is not None:
                self._note("config_unread", f"no model from the config beside it: {other.problem}", log.name)
        guess = size_in_name(log.name)
        if self._by_name and guess is not None:
            self._note("params_from_name", "params are read from the name alone, not counted", f"{log.name}")
            return guess, "name", None
        return None, None, None

    def _flops_per_token(self, log: RunLog, configs: Sequence[ConfigBeside], counted: float | None) -> float | None:
        """Return the FLOP of a token by the first model of a size that is counted; None without one."""
        for config in configs:
            if counted is None or config.model is None:
                continue
            if abs(math.log(config.model.params / counted)) <= _SAME_COUNT:
                return config.model.flops_per_token
            self._note(
                "params_differ",
                f"the config beside the log is not of the size that {RUN_FILE} has, which counts",
                f"{log.name} ({format_count(config.model.params)}, not {format_count(counted)})",
            )
            break
        return None

    def _configs(self, log: RunLog) -> tuple[ConfigBeside, ...]:
        """Return the config that is given for a run, else what its ladder has of it, and those beside its log."""
        named = self._given.model.of(log.name)
        own = () if log.ladder is None else (_of_ladder(log.ladder),)
        if named is None:
            top = None if log.ladder is None else Path(log.ladder.source).parent
            return own if log.source == "-" else (*own, *self._beside.of(Path(log.source), log.name, top=top))
        text = str(named)
        if text not in self._models:
            self._models[text] = read_config_of_run(text, vocab=self._vocab)
            if self._models[text].model is None:
                raise UsageError(f"--model {quote(text)}: {self._models[text].problem}")
        return (self._models[text], *own)

    def _note(self, code: str, message: str, run: str) -> None:
        names = self._notices.setdefault((code, message), [])
        if run not in names:
            names.append(run)


def _of_ladder(run: LadderRunFile) -> ConfigBeside:
    """Return what the file of a ladder's run tells, as a config beside its log would."""
    batch = run.batch / run.context
    values = {"batch": int(batch) if batch.is_integer() else batch, "sequence": run.context}
    values |= {"batch_tokens": run.batch, "steps": run.steps, "tokens": run.tokens}
    return ConfigBeside(source=RUN_FILE, params=float(run.params), values=values)


def last_step(log: RunLog) -> float:
    """Return the last step of a log, with a loss that is a number or not; NaN of an empty one."""
    lost = math.nan if log.not_finite is None else log.not_finite.last
    return max((step for step in (log.last_step, lost) if not math.isnan(step)), default=math.nan)


def _counted(log: RunLog, sequence: float | None) -> float | None:
    """Return the tokens that a log counts, to its last step; None where it counts none."""
    counted, factor = last_entry(log.curves.get("tokens")), 1.0
    if counted is None and sequence:
        counted, factor = last_entry(log.curves.get("samples")), float(sequence)
    if counted is None or min(counted) <= 0:
        return None
    return factor * (counted[1] + max(last_step(log) - counted[0], 0.0) * counted[1] / counted[0])


def size_in_name(name: str) -> float | None:
    """Return the size that a name holds; None for none, and for several, of which one may be the tokens."""
    found = _SIZE_IN_NAME.findall(name)
    if len(found) != 1:
        return None
    return float(found[0][:-1]) * (1e6 if found[0][-1] in "mM" else 1e9)


def names_listed(names: Sequence[str]) -> str:
    """Return the first few names of runs, and how many more there are."""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"{', '.join(names[:_MOST_NAMED])}{more}"


def _first(*values: Any) -> Any:  # noqa: ANN401  numbers and texts of three sources
    return next((value for value in values if value is not None), None)
