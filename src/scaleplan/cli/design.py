"""The command that designs pilot runs, and writes what starts them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from scaleplan.cli.command import Answer, command, single
from scaleplan.cli.fit import ObjectiveOptions, ReadingOptions, SurfaceOptions
from scaleplan.cli.options import EVERYDAY, MORE, PANELS, LaunchingOptions, LimitOptions, RunOfLadderOptions, keywords
from scaleplan.errors import UsageError
from scaleplan.output import LAUNCHING

if TYPE_CHECKING:
    from scaleplan.ladder.plan_runs import LaunchRequest

__all__ = ["APPS"]

APPS = {"design": single()}


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """The choice from a pool of candidates."""

    TITLE: ClassVar[str] = "From a pool of candidates"

    pool: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Candidate runs to choose from, one a row; their losses are not looked at."
        ),
        EVERYDAY,
    ] = None
    target_runs: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Runs to predict, with the columns of the pool; by default the pool's own."
        ),
    ] = None
    inputs: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMNS", help="Columns that tell candidates apart: params,tokens,lr; all if not given."
        ),
    ] = None
    pool_cost: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="What a candidate costs: a column, COLUMN*COLUMN, or 1; compute if not given."
        ),
    ] = None

    def refuse_without_pool(self) -> None:
        """Refuse what says nothing without a pool."""
        for name in ("target_runs", "inputs", "pool_cost"):
            if getattr(self, name) is not None:
                raise UsageError(
                    f"--{name.replace('_', '-')} is about a pool of candidates", hint="--pool FILE names it"
                )


_OF_PILOTS = {"aim": "both", "seeds": "3", "schedule": "cosine", "cooldown": "0.2"}


def _refuse_without_use(**options: object) -> None:
    """Refuse the options of a design by a law, which a pool does not use."""
    usual = {**_OF_PILOTS, **keywords(ObjectiveOptions(), SurfaceOptions())}
    for name, value in options.items():
        if value != usual.get(name):
            raise UsageError(
                f"--{name.replace('_', '-')} is about a law, and a choice from a pool assumes none",
                hint="leave it out, or the pool",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchOptions:
    """The files that start the runs."""

    TITLE: ClassVar[str] = PANELS["launch"]

    folder: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Write what starts the runs into a new folder, with --format slurm, skypilot, kubernetes or csv.",
        ),
        EVERYDAY,
    ] = None
    command: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="The command of a run: 'python train.py --layers {layers} --lr {lr} --out {out}'."
        ),
        EVERYDAY,
    ] = None
    rule: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Rule of thumb for batch and learning rate; step-law-2025 if not given."),
    ] = None
    vocab: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Entries of the vocabulary of every run, that of your tokenizer; as suit the smallest if not given.",
        ),
    ] = None
    at_once: Annotated[
        str | None, typer.Option(metavar="N", help="The most runs at the same time; 8 if not given.")
    ] = None
    image: Annotated[str | None, typer.Option(metavar="IMAGE", help="Container image that the command runs in.")] = (
        None
    )
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="What keeps the folders of runs: a bucket for SkyPilot, a PersistentVolumeClaim for Kubernetes.",
        ),
    ] = None

    def request(self, machine: RunOfLadderOptions, output: LaunchingOptions) -> LaunchRequest | None:
        """Return how runs are to be started, None where they are not; raises UsageError for half of what it takes."""
        launches = output.format in LAUNCHING
        every = {**keywords(self), **keywords(machine)}
        given = {name: value for name, value in every.items() if value is not None}
        if self.folder is None:
            if launches:
                raise UsageError(
                    f"--format {output.format} needs -o FOLDER, which the files are written into", hint="-o pilots"
                )
            used = next(iter(given), None)
            if used is not None:
                raise UsageError(
                    f"--{used.replace('_', '-')} is about files that start the runs",
                    hint=f"add -o FOLDER and --format {' or '.join(LAUNCHING)}, or leave it out",
                )
            return None
        if not launches and output.format != "csv":
            raise UsageError(
                "-o FOLDER needs an engine that starts the runs",
                hint=f"--format {', '.join(LAUNCHING)}, or csv for a list of them",
            )
        if self.command is None:
            raise UsageError(
                "-o FOLDER needs the command of a run",
                hint="--command 'python train.py --layers {layers} --out {out}'",
            )
        from scaleplan.ladder.ladder_folder import require_place
        from scaleplan.ladder.plan_runs import LaunchRequest

        request = LaunchRequest.parse(output=given.pop("folder"), engine=output.format, **given)
        require_place(request.folder)
        return request


_FEW = dict.fromkeys(("mfu", "price", "gpus", "context", "form", "loss_unit"), MORE)
"""Options that are everyday ones elsewhere, which pilots need seldom."""


@command(
    APPS["design"],
    shows=_FEW,
    examples=[
        "scaleplan design --flops 1e21 --target 5.76e23",
        "scaleplan design runs.csv --flops 1e21 --target 1e24 --limit 'params <= 3B'",
        "scaleplan design --flops 1e21 --target 5.76e23 --schedule wsd --format csv > runs-to-train.csv",
        "scaleplan design --pool candidates.csv --flops 5% --format csv > runs-to-train.csv",
        (
            "scaleplan design --main 1e22 --gpu h100 -f slurm -o pilots "
            "--command './train.sh {layers} {width} {tokens} {batch} {lr} {seed} {out}'"
        ),
    ],
)
def design(
    reading: ReadingOptions,
    objective: ObjectiveOptions,
    law: SurfaceOptions,
    limits: LimitOptions,
    *,
    launch: LaunchOptions,
    machine: RunOfLadderOptions,
    output: LaunchingOptions,
    runs: Annotated[
        str | None,
        typer.Argument(metavar="[RUNS]", help="Runs or logs that are there already; - for standard input."),
    ] = None,
    there: Annotated[
        str | None, typer.Option("--runs", metavar="RUNS", help="The same, as an option: pilots.csv."), MORE
    ] = None,
    flops: Annotated[
        str | None,
        typer.Option(
            metavar="AMOUNT",
            help="Compute for all new runs: 1e21, or 5% of the pool's cost. What pilots are worth if not given.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", "--main", metavar="AMOUNT", help="The budget that they are to advise on: 5.76e23."),
    ] = None,
    pool: PoolOptions,
    preset: Annotated[
        str | None,
        typer.Option("--preset", "-p", metavar="NAME", help="Law to guess with, without runs; besiroglu-2024."),
    ] = None,
    aim: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What to know at the target: loss, params, waste or both. The size N*, or what a wrong one wastes, "
            "for which the list is that of params.",
        ),
    ] = "both",
    noise: Annotated[
        str | None,
        typer.Option(metavar="F", help="Relative noise of a loss: 0.5%; by default that of the runs."),
        MORE,
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="N", help="How often a run may be repeated."), MORE] = "3",
    most_runs: Annotated[
        str, typer.Option(metavar="N", help="The most runs of the list, repeats counted."), MORE
    ] = "48",
    run_cost: Annotated[
        str | None,
        typer.Option(
            metavar="AMOUNT",
            help="Cost of a run beside its compute, in FLOP or as a share of the budget: 1e17, 0.1%.",
        ),
        MORE,
    ] = None,
    schedule: Annotated[
        str, typer.Option(metavar="NAME", help="cosine: runs from scratch; wsd: branches of one trunk a size."), MORE
    ] = "cosine",
    cooldown: Annotated[
        str, typer.Option(metavar="F", help="Share of a branch that cools down, with wsd."), MORE
    ] = "0.2",
) -> Answer:
    """Choose the pilot runs that will tell most about a larger budget, and say how many are worth their compute.

    With --pool they are chosen from a file of candidates, so that the loss of the largest can be predicted best.
    With -o the files that start them are written, and nothing is submitted.
    """
    from scaleplan.fitting import candidate_pool, pilot

    if runs is not None and there is not None:
        raise UsageError("RUNS and --runs both name runs that are there", hint="give one of them")
    given = there if runs is None else runs
    if pool.pool is not None:
        if output.format in LAUNCHING or launch.folder is not None:
            raise UsageError(
                "candidates of a pool have settings of their own, from which no command is made",
                hint="--format csv without -o lists those that are chosen",
            )
        launch.request(machine, output)
        _refuse_without_use(aim=aim, seeds=seeds, schedule=schedule, cooldown=cooldown)
        _refuse_without_use(run_cost=run_cost, **keywords(objective, law))
        if flops is None:
            raise UsageError("a choice from a pool needs a budget", hint="--flops 5% is a share of the pool's cost")
        chosen = candidate_pool.choose_runs(
            flops=flops,
            target=target,
            runs=given,
            preset=preset,
            noise=noise,
            most_runs=most_runs,
            **keywords(pool, reading, limits),
        )
        return Answer(result=chosen, notices=chosen.warnings)
    pool.refuse_without_pool()
    if target is None:
        raise UsageError(
            "a design needs a target", hint="--target 5.76e23 is the budget that the runs are to advise on"
        )
    started = launch.request(machine, output)
    if started is not None:
        started.require_schedule(schedule)
    found = pilot.design(
        given,
        flops=flops,
        target=target,
        preset=preset,
        aim=aim,
        noise=noise,
        seeds=seeds,
        most_runs=most_runs,
        run_cost=run_cost,
        schedule=schedule,
        cooldown=cooldown,
        least_params=None if started is None else started.least_size(),
        **keywords(reading, objective, law, limits),
    )
    if started is None:
        return Answer(result=found, notices=found.warnings)
    ladder = started.ladder(found)
    form = "json" if output.json else "text"
    return Answer(result=ladder, notices=ladder.warnings, write=ladder.write, form=form)
