"""Make a ladder of a design: a shape, a batch, a learning rate, a time and a price for every run.

A run trains whole steps of a batch of whole sequences: as many as come nearest the tokens of the design. Its tokens
and its compute are those of these steps and of the shape that was found, not those that the design has.
"""

from __future__ import annotations

import math
import os
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from scaleplan.advice.batch import RuleInput, rule_answer, whole_batch
from scaleplan.errors import Notice, ScaleplanError, UnknownNameError, UsageError
from scaleplan.hardware.device_budget import resolve_budget
from scaleplan.ladder.command import check_visible, parse_command
from scaleplan.ladder.engines import ENGINES, engine_of, remote_folder
from scaleplan.ladder.ladder import Ladder, LadderRun
from scaleplan.ladder.launch_warnings import launch_warnings
from scaleplan.ladder.list_of_runs import ACTIVE_STARTS
from scaleplan.ladder.sized_run import SizedRun
from scaleplan.ladder.spending import Spending
from scaleplan.models.questions import parse_whole
from scaleplan.models.styles import STYLES
from scaleplan.planning.context import Context
from scaleplan.planning.placement import layouts_on, model_of, sequence_of
from scaleplan.planning.request import Request
from scaleplan.presets.conventions import Embedding
from scaleplan.record import Record
from scaleplan.units import counted, exact, format_count, parse_integer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scaleplan.fitting.pilot import PilotDesign, PilotRun
    from scaleplan.ladder.command import CommandTemplate
    from scaleplan.models import Model
    from scaleplan.planning.request import LaunchKeywords
    from scaleplan.presets.rules import Rule, RuleLibrary
    from scaleplan.units import Amount

__all__ = ["DEFAULT_RULE", "DEFAULT_STYLE", "LaunchRequest", "make_ladder", "rules_for_runs"]

DEFAULT_RULE = "step-law-2025"
"""The rule whose batch and rate follow the tokens too: pilots have from one to hundreds of tokens a parameter.

By size alone a run of few tokens has a hundred steps at a rate for many. A ladder of 1M to 11M parameters that was
trained by each rule came out well by this one, far below its range, and badly by ``porian-2024``, within its sizes.
"""

DEFAULT_STYLE = "llama"

_AT_ONCE = 8  # runs: what an array job or a Kubernetes namespace is usually allowed by default

_MOST_GPUS = 8  # of one machine, in every server that the engines rent out by default

LIMIT = 3.0
"""Times the predicted hours, after which a run is stopped. A default utilisation holds within 1.6x for 80 % of
projects (``utilisation.toml``), by which 3x is too little for about 1 in 1000."""

_LEAST_LIMIT = 0.5
"""Hours that every run may take: an image, a compilation and the first data can take as long as a short run."""

_LIMIT_STEP = 0.25  # hours, to which limits are rounded up: queues ask for minutes, and people read them

_ROUND_SIZES = tuple(digit * 10.0**power for power in range(6, 11) for digit in (1, 2, 5))
"""Sizes that a design may begin with."""

_RATE_DIGITS = 3  # of a learning rate, which no rule gives more exactly

_ANY_FLOPS, _ANY_PARAMS = 1e18, 1e8
"""Compute and size of some run of a ladder, which any hardware that can be given can do."""

_SOME_RUN: Mapping[str, Any] = {
    "name": "00-s0",
    "seed": 0,
    "lr": 1e-3,
    "flops": _ANY_FLOPS,
    "words": (),
    **dict.fromkeys(("params", "tokens", "layers", "width", "heads", "kv_heads", "head_width", "ffn_width"), 1),
    **dict.fromkeys(("vocab", "context", "batch", "batch_sequences", "steps"), 1),
}
"""A run whose sizes do not matter, for a file that shows what the engine cannot have."""


class LaunchRequest(Record):
    """How the runs of a design are to be started: an engine, a command for each, its model, tuning and machine.

    ``hardware`` holds the GPU, its utilisation and its price; ``folder`` is as it was given.
    """

    engine: str
    folder: str
    command: CommandTemplate
    rule: Rule
    style: str
    vocab: int | None
    gpus: int
    at_once: int
    image: str | None
    storage: str | None
    hardware: Request
    data: Context

    @classmethod
    def parse(
        cls,
        *,
        output: str | os.PathLike[str],
        command: str,
        engine: str = "slurm",
        rule: str = DEFAULT_RULE,
        vocab: Amount | None = None,
        at_once: Amount = _AT_ONCE,
        image: str | None = None,
        storage: str | None = None,
        **options: Unpack[LaunchKeywords],
    ) -> LaunchRequest:
        """Read the options; raises UsageError for what is wrong with one, or for two that do not go together."""
        data = Context()
        for name, text in {"--image": image, "--storage": storage, "--output": os.fspath(output)}.items():
            if text is not None:
                check_visible(text, name)
                if not text.strip():
                    raise UsageError(f"{name} is empty", hint="name something, or leave it out")
        _require_of_engine(engine, image=image, storage=storage)
        hardware = Request.of(dict(options), data)
        if hardware.gpu is None and engine != "csv":
            raise UsageError(
                f"{engine} needs --gpu, by which the time of each run is known",
                hint="--gpu h100-sxm; 'scaleplan gpus list' lists them",
            )
        gpus = 1 if hardware.gpus is None else int(hardware.gpus)
        if not 1 <= gpus <= _MOST_GPUS:
            raise UsageError(
                f"{counted(gpus, 'GPU')} for a run: all are on one machine", hint=f"give 1 to {_MOST_GPUS}"
            )
        style = hardware.style or DEFAULT_STYLE
        if style not in STYLES:
            raise UnknownNameError("style", style, STYLES)
        if STYLES[style].experts:
            dense = ", ".join(name for name, each in STYLES.items() if not each.experts)
            raise UsageError(
                f"the {style} style has experts, and a ladder is of dense models", hint=f"known: {dense}"
            )
        parse_whole(hardware.context, what="context")
        request = cls(
            engine=engine,
            folder=_shown_folder(output),
            command=parse_command(command),
            rule=_rule(rule, data.rules),
            style=style,
            vocab=None if vocab is None else parse_integer(vocab),
            gpus=gpus,
            at_once=parse_integer(at_once),
            image=image,
            storage=storage,
            hardware=hardware.changed(style=None, gpus=None if hardware.gpu is None else float(gpus)),
            data=data,
        )
        request._require_file()
        return request

    def _require_file(self) -> None:
        """Refuse, before runs are searched, what the file of the engine cannot have, by that of some run."""
        hours = None if self.hardware.gpu is None else 1.0
        run = self._with_command(LadderRun(**_SOME_RUN, out=self._out("00-s0"), hours=hours, limit_hours=hours))
        engine_of(self.engine).write(self._of_runs((run,), law="", target=1.0, warnings=()), (run,))

    def require_schedule(self, schedule: str) -> None:
        """Refuse runs that are not trained from scratch."""
        if schedule == "wsd":
            raise UsageError(
                f"runs of a design by {schedule} branch off one trunk, and a ladder starts each from scratch",
                hint="design them with --schedule cosine",
            )

    def ladder(self, design: PilotDesign) -> Ladder:
        """Return the runs of a design, ready to be written; raises UsageError for runs that cannot be started."""
        self.require_schedule(design.schedule)
        convention = design.params_convention
        if convention is None:
            raise UsageError(
                "this design, of an earlier version, does not say how its law counts parameters",
                hint="design the runs again",
            )
        models = self._models(design, convention)
        sized = [self._sized(design, run, models[run.params], convention) for run in design.runs]
        self._require_memory(models)
        order = sorted(sized, key=lambda each: (-(each.hours or each.flops), -each.model.params, -each.tokens))
        repeated = [(each, seed) for each in order for seed in range(each.seeds)]
        digits = max(2, len(str(len(repeated) - 1)))
        runs = tuple(
            self._run(each, f"{str(position).zfill(digits)}-{each.label}-s{seed}", seed)
            for position, (each, seed) in enumerate(repeated)
        )
        doubts = launch_warnings(
            order,
            engine=self.engine,
            command=self.command,
            rule=self.rule.id,
            style=self.style,
            vocab=self.vocab,
            gpus=self.gpus,
        )
        warnings = (*design.warnings, *self.command.warnings, *doubts)
        return self._of_runs(runs, law=design.law, target=design.target, warnings=warnings)

    def _of_runs(
        self, runs: tuple[LadderRun, ...], *, law: str, target: float, warnings: tuple[Notice, ...]
    ) -> Ladder:
        """Return a ladder of some runs, with what all of them take."""
        at_once, engine = min(self.at_once, len(runs)), engine_of(self.engine)
        gpu = None if self.hardware.gpu is None else self.data.accelerators.get(self.hardware.gpu)
        # a GPU-hour has one price, whatever a run computes
        budget = resolve_budget(self.data, self.hardware.paying(_ANY_FLOPS), params=_ANY_PARAMS).budget
        take = partial(Spending.of, gpus=self.gpus, at_once=at_once, price=budget.price_per_hour)
        likely, most = take([run.hours for run in runs]), take([run.limit_hours for run in runs])
        return Ladder(
            engine=self.engine,
            folder=self.folder,
            file=engine.file,
            submit=engine.submission(f"{self.folder}/{engine.file}", at_once),
            command=self.command.text,
            law=law,
            target=target,
            rule=self.rule.id,
            style=self.style,
            gpu=None if gpu is None else gpu.id,
            gpus=self.gpus,
            at_once=at_once,
            runs=runs,
            flops=math.fsum(run.flops for run in runs),
            gpu_hours=likely.gpu_hours,
            days=likely.days,
            cost=likely.cost,
            most_gpu_hours=most.gpu_hours,
            most_days=most.days,
            most_cost=most.cost,
            price=budget.price_per_hour,
            currency=budget.currency,
            image=self.image,
            storage=self.storage,
            vendor=None if gpu is None else gpu.vendor,
            warnings=warnings,
        )

    def _models(self, design: PilotDesign, convention: str) -> dict[int, Model]:
        """Return a model of each size, found once; raises UsageError for sizes that no shape of the style has.

        All have one vocabulary, since losses by different tokenizers do not compare.
        """
        models: dict[int, Model] = {}
        failed: dict[int, ScaleplanError] = {}
        vocab = self.vocab
        for size in sorted({run.params for run in design.runs}):
            try:
                models[size] = self._model(size, convention, vocab)
                vocab = models[size].architecture.vocab
            except ScaleplanError as error:
                failed[size] = error
        if failed:
            largest = max(failed)
            larger = (10.0 ** math.ceil(math.log10(largest)), *(size for size in models if size > largest))
            least = self._with_shape(larger, convention)
            of = "" if self.vocab is None else f" with a vocabulary of {self.vocab:,}"
            raise UsageError(
                f"there is no {self.style} shape of {format_count(largest)} parameters{of}: "
                f"{failed[largest].message}",
                hint=failed[largest].hint if least is None else f"--limit 'params >= {exact('params', least)}'",
            )
        return models

    def _model(self, size: float, convention: str, vocab: int | None) -> Model:
        """Return a model of a size as the law counts; raises ScaleplanError where the style has none."""
        longest = parse_whole(self.hardware.context, what="context")
        return model_of(size, convention, style=self.style, context=longest, vocab=vocab)[0]

    def least_size(self) -> float | None:
        """Return the least round size that has a shape, for a design to begin with; None where none is found."""
        return self._with_shape(_ROUND_SIZES, "total")  # of fewer counted parameters, a shape has more in all

    def _with_shape(self, sizes: Iterable[float], convention: str) -> float | None:
        """Return the first of some sizes that has a shape; None where none has."""
        for size in sizes:
            with suppress(ScaleplanError):
                self._model(size, convention, self.vocab)
                return size
        return None

    def _require_memory(self, models: Mapping[int, Model]) -> None:
        """Refuse runs whose model no layout fits on their GPUs; raises UsageError with the ways out."""
        gpu = self.hardware.gpu
        if gpu is None:
            return
        searches = {
            size: layouts_on(gpu, self.hardware, model.architecture, self.data) for size, model in models.items()
        }
        misfits = [size for size, search in searches.items() if not search.feasible.fits(self.gpus)]
        if not misfits:
            return
        held = [size for size in searches if size < misfits[0]]
        fewest = searches[misfits[-1]].fewest
        ways = [f"--gpus {fewest}"] if fewest is not None and fewest <= _MOST_GPUS else []
        ways += [f"--limit 'params <= {exact('params', held[-1])}'"] if held else []
        search = searches[misfits[0]]
        raise UsageError(
            f"a run of {format_count(misfits[0])} parameters does not fit on {counted(self.gpus, 'GPU')} of "
            f"{self.data.accelerators.get(gpu).id}: "
            f"{search.excess(self.gpus).text}",
            hint=" or ".join(ways) or "choose a GPU with more memory, or a shorter --context",
        )

    def _sized(self, design: PilotDesign, run: PilotRun, model: Model, convention: str) -> SizedRun:
        """Return a run of a design with its batch, steps, rate and time."""
        sequence = sequence_of(self.hardware, model.architecture)
        if sequence > run.tokens:
            raise UsageError(
                f"a sequence of {sequence:,} tokens is longer than a run of {format_count(run.tokens)}",
                hint="give a shorter --context, or --limit 'tokens >= …'",
            )
        per_token = run.flops / (run.params * run.tokens) * model.params_as(convention)
        sizes = RuleInput(
            law=design.law,
            params=model.params,
            params_convention="total",
            tokens=run.tokens,
            flops=per_token * run.tokens,
        )
        answer = rule_answer(
            self.rule,
            sizes,
            Embedding.of(vocabulary=model.architecture.vocab),
            lambda tokens: whole_batch(tokens / sequence, self.gpus),
        )
        if answer.learning_rate is None or answer.batch_sequences is None:
            raise UsageError(
                f"rule {self.rule.id} has no batch and rate for a run of {format_count(run.params)} parameters: "
                f"{answer.reason}",
                hint="--rule names another",
            )
        sequences = min(answer.batch_sequences, run.tokens // sequence)
        batch = sequences * sequence
        steps = max(1, round(run.tokens / batch))
        flops = per_token * steps * batch
        hours, notices = self._time(flops, design.run_cost or 0.0, model)
        return SizedRun(
            label=f"{format_count(run.params, digits=2)}-{format_count(run.tokens, digits=2)}",
            seeds=run.seeds,
            model=model,
            context=sequence,
            sequences=sequences,
            steps=steps,
            rate=float(f"{answer.learning_rate:.{_RATE_DIGITS}g}"),
            flops=flops,
            hours=hours,
            answer=answer,
            notices=notices,
        )

    def _time(self, flops: float, extra: float, model: Model) -> tuple[float | None, tuple[Notice, ...]]:
        """Return the hours of a run with ``extra`` FLOP beyond its compute, and warnings of its speed and price."""
        found = resolve_budget(self.data, self.hardware.paying(flops), params=model.active_params)
        if found.budget.gpu_hours is None:
            return None, found.notices
        return found.budget.gpu_hours / self.gpus * (flops + extra) / flops, found.notices

    def _run(self, sized: SizedRun, name: str, seed: int) -> LadderRun:
        """Return a run by its name and seed."""
        a = sized.model.architecture
        run = LadderRun(
            name=name,
            params=sized.model.params,
            tokens=sized.tokens,
            flops=sized.flops,
            seed=seed,
            layers=a.layers,
            width=a.width,
            heads=a.heads,
            kv_heads=a.kv_heads,
            head_width=a.head_size,
            ffn_width=a.ffn_width,
            vocab=a.vocab,
            context=sized.context,
            batch=sized.sequences * sized.context,
            batch_sequences=sized.sequences,
            steps=sized.steps,
            lr=sized.rate,
            out=self._out(name),
            words=(),
            hours=sized.hours,
            limit_hours=None if sized.hours is None else _limit(max(sized.hours, sized.least_hours)),
            tied_embeddings=sized.model.architecture.tied,
        )
        return self._with_command(run)

    def _out(self, name: str) -> str:
        """Return the folder of a run, as its command is given it."""
        return f"{remote_folder(self.folder) if engine_of(self.engine).remote else self.folder}/{name}"

    def _with_command(self, run: LadderRun) -> LadderRun:
        return replace(run, words=self.command.words_of(run.values(self.gpus)))


def make_ladder(
    design: PilotDesign,
    *,
    output: str | os.PathLike[str],
    command: str,
    engine: str = "slurm",
    rule: str = DEFAULT_RULE,
    vocab: Amount | None = None,
    at_once: Amount = _AT_ONCE,
    image: str | None = None,
    storage: str | None = None,
    **options: Unpack[LaunchKeywords],
) -> Ladder:
    """Return the runs of a design with shapes, batches, rates, times and commands; its ``write()`` writes the files.

    Nothing is started: the ladder's ``submit`` is the command that does, once the files are written.

    Parameters
    ----------
    design
        The runs, as :func:`scaleplan.design` returns them.
    output
        The folder for the files and for what the runs write, which is new or empty.
    command
        The training command, one program and its arguments: ``"python train.py --layers {layers} --out {out}"``.
        Names in braces stand for the values of each run: its fields, and ``{gpus}``; no shell reads the command.
    engine
        What starts the runs: ``slurm``, ``skypilot``, ``kubernetes``, or ``csv`` for a list.
    rule
        The rule of thumb for batch and learning rate.
    vocab
        Entries of the vocabulary of every run, that of your tokenizer; as many as suit the smallest if not given.
    at_once
        Runs at the same time.
    image
        A container image, in which the command runs.
    storage
        What keeps the folders of runs: a bucket for SkyPilot, a PersistentVolumeClaim for Kubernetes.
    options
        The GPU of the runs with ``gpus`` for each, its ``mfu``, ``price`` and ``exchange_rate``; the ``style`` of
        the shapes, and the ``context`` of a sequence.

    Raises
    ------
    UsageError
        For options that do not go together, and runs that no shape has, or whose model does not fit the GPUs.

    """
    return LaunchRequest.parse(
        output=output,
        command=command,
        engine=engine,
        rule=rule,
        vocab=vocab,
        at_once=at_once,
        image=image,
        storage=storage,
        **options,
    ).ladder(design)


def _require_of_engine(engine: str, *, image: str | None, storage: str | None) -> None:
    """Refuse an image or a place to keep runs where an engine has no use for it, or lacks one that it needs."""
    chosen = engine_of(engine)
    if chosen.storage is None:
        used = "--image" if image is not None else "--storage" if storage is not None else None
        if used is not None:
            remote = " and ".join(name for name, each in ENGINES.items() if each.remote)
            raise UsageError(f"{used} says nothing about {engine}", hint=f"it is for {remote}")
        return
    if storage is None:
        raise UsageError(
            f"{engine} needs --storage, where the folders of runs are kept: its machines vanish with what they wrote",
            hint=chosen.storage,
        )
    if chosen.image and image is None:
        raise UsageError(f"{engine} needs --image, in which the command runs", hint="--image python:3.13")


def rules_for_runs(library: RuleLibrary) -> tuple[str, ...]:
    """Return the rules that give a dense run a rate and a batch of the least loss, from its sizes alone."""
    return tuple(
        rule.id
        for rule in library.all()
        if rule.learning_rate is not None and rule.batch_kind == "optimal" and rule.advise == "always"
    )


def _rule(name: str, library: RuleLibrary) -> Rule:
    """Return a rule by which runs can be trained; raises UsageError for one that lacks a batch or a rate."""
    rule, known = library.load(name), rules_for_runs(library)
    if name in known:
        return rule
    if rule.advise != "always":
        lack = "is not for dense models of any size"
    elif rule.learning_rate is None:
        lack = "gives no learning rate"
    else:
        lack = "gives no batch" if rule.batch is None else "gives a critical batch, not one of the least loss"
    raise UsageError(f"rule {name} {lack}", hint=f"rules that give both: {', '.join(known)}")


def _shown_folder(output: str | os.PathLike[str]) -> str:
    """Return a folder as commands get it: with slashes but none at its end, and never like an option or a formula."""
    text = os.fspath(output).replace(os.sep, "/")
    text = text.rstrip("/") or "/"
    return f"./{text}" if text.startswith(ACTIVE_STARTS) else text


def _limit(hours: float) -> float:
    """Return after how many hours a run is stopped that is to take some."""
    return max(_LEAST_LIMIT, _LIMIT_STEP * math.ceil(LIMIT * hours / _LIMIT_STEP))
