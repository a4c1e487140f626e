"""A design turned into runs: shapes, batches, steps, times, prices, names and order, and what is refused."""

from __future__ import annotations

import math
import shlex
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import scaleplan as sp
from scaleplan.fitting.pilot import PilotRun
from scaleplan.ladder.plan_runs import LIMIT, LaunchRequest, make_ladder, rules_for_runs
from scaleplan.models.shape import shape as shape_of
from scaleplan.output.views.ladder import ladder_report
from scaleplan.planning.context import Context

COMMAND = "train --layers {layers} --lr {lr} --seed {seed} --gpus {gpus} --out {out}"


@pytest.fixture(scope="module")
def design():
    """Return a design of small runs, some of them repeated."""
    return sp.design(flops="1e19", target="1e22", limit="params >= 5M", most_runs=12)


@pytest.fixture(scope="module")
def ladder(design):
    """Return its ladder on one H100 a run."""
    return made(design)


def made(design, **options):
    return make_ladder(design, **{"output": "pilots", "command": COMMAND, "gpu": "h100", **options})


def nearest_of(design, params, tokens):
    """Return the run of a design whose sizes are nearest."""
    return min(
        design.runs, key=lambda each: abs(math.log(each.params / params)) + abs(math.log(each.tokens / tokens))
    )


def test_every_repeated_run_is_there_under_a_name_of_its_own(design, ladder):
    """Position, sizes of the design, seed; safe as a folder's name."""
    assert len(ladder.runs) == sum(run.seeds for run in design.runs)
    names = [run.name for run in ladder.runs]
    assert [int(name.partition("-")[0]) for name in names] == list(range(len(names)))
    assert len({name[3:] for name in names}) == len(names)
    assert all(set(name) <= set("0123456789.-kMBTs") for name in names)
    sizes = {(run.params, run.tokens): run.seeds for run in design.runs}
    for (params, tokens), seeds in sizes.items():
        own = [
            run.seed
            for run in ladder.runs
            if abs(math.log(run.params / params)) < 0.03 and abs(math.log(run.tokens / tokens)) < 0.03
        ]
        assert sorted(own) == list(range(seeds))


def test_a_run_is_whole_steps_of_whole_sequences_of_a_shape_of_its_size(design, ladder):
    """Its tokens are those that are trained, as near the design's as its batch allows."""
    for run in ladder.runs:
        nearest = nearest_of(design, run.params, run.tokens)
        assert run.params == pytest.approx(nearest.params, rel=0.02)
        assert abs(run.tokens - nearest.tokens) <= run.batch / 2
        assert run.tokens == run.steps * run.batch
        assert run.batch == run.batch_sequences * run.context
        assert run.context == 2048
        assert run.flops == pytest.approx(6 * run.params * run.tokens, rel=1e-12)
        shape = sp.shape(nearest.params, vocab=run.vocab)
        assert (shape.model.params, shape.model.architecture.layers) == (run.params, run.layers)
        assert run.width == shape.config["hidden_size"]
        assert run.ffn_width == shape.config["intermediate_size"]
        assert run.heads == shape.config["num_attention_heads"]
        assert run.head_width * run.heads == run.width
        assert run.vocab == shape.config["vocab_size"]


def test_all_runs_have_one_vocabulary(design):
    """That of the smallest with a warning, or the one that is given; losses of two tokenizers do not compare."""
    found = made(design)
    smallest = sp.shape(min(run.params for run in design.runs))
    assert {run.vocab for run in found.runs} == {smallest.config["vocab_size"]} == {4096}
    assert [notice.code for notice in found.warnings].count("small_vocabulary") == 1
    given = made(design, vocab="8k")
    assert {run.vocab for run in given.runs} == {8064}  # rows in whole tiles
    assert "small_vocabulary" not in [notice.code for notice in given.warnings]
    with pytest.raises(sp.ScaleplanError, match="there is no llama shape of") as error:
        made(design, vocab=256_000)
    assert "--limit 'params >= " in error.value.hint


@pytest.mark.parametrize("rule", ["porian-2024", "step-law-2025", "deepseek-llm-2024", "moonlight-2025"])
def test_batch_and_rate_are_those_that_hyperparameters_shows(design, rule):
    """By every rule that gives both, for a vocabulary of the shape's."""
    for run in made(design, rule=rule).runs[::5]:
        advice = sp.hyperparameters(
            params=run.params, tokens=run.tokens, vocabulary=run.vocab, gpu="h100", gpus=1, context=run.context
        )
        shown = next(answer for answer in advice.rules if answer.rule == rule)
        assert run.batch_sequences == shown.batch_sequences
        assert run.lr == pytest.approx(shown.learning_rate, rel=2e-2)  # three digits, of the design's tokens


def test_hours_are_those_of_loss_and_the_cost_beside_the_compute(design):
    """As ``loss --params --tokens --gpu --gpus`` predicts them; a run's own cost at the same speed."""
    free = replace(design, run_cost=0.0)
    for gpus in (1, 4):
        for plain, run in zip(made(free, gpus=gpus).runs, made(design, gpus=gpus).runs, strict=True):
            plan = sp.loss(params=plain.params, tokens=plain.tokens, gpu="h100", gpus=gpus)
            assert plain.hours == pytest.approx(24 * plan.budget.days, rel=1e-12)
            if run.name == plain.name:
                longer = (run.flops + design.run_cost) / run.flops
                assert run.hours == pytest.approx(plain.hours * longer, rel=1e-12)


def test_limits_leave_time_and_totals_are_those_of_the_runs(ladder):
    """Three times the prediction, half an hour at least; the most is what the limits allow."""
    for run in ladder.runs:
        assert max(0.5, LIMIT * run.hours) <= run.limit_hours < max(0.5, LIMIT * run.hours) + 0.25
    hours = [run.hours for run in ladder.runs]
    assert ladder.gpu_hours == pytest.approx(sum(hours))
    assert ladder.cost == pytest.approx(ladder.price * sum(hours))
    assert ladder.most_cost == pytest.approx(ladder.price * sum(run.limit_hours for run in ladder.runs))
    assert max(hours) <= 24 * ladder.days <= sum(hours)
    assert ladder.days < ladder.most_days
    assert (ladder.gpu, ladder.gpus, ladder.at_once, ladder.currency) == ("h100-sxm", 1, 8, "USD")


def test_longest_first_and_as_many_days_as_places_leave(design):
    """One at a time takes all hours; as many as there are runs the longest."""
    one, every = made(design, at_once=1), made(design, at_once=1000)
    assert all(a.hours >= b.hours for a, b in pairwise(one.runs))
    assert one.days == pytest.approx(sum(run.hours for run in one.runs) / 24)
    assert every.days == pytest.approx(one.runs[0].hours / 24)
    assert every.at_once == len(every.runs)


def test_gpus_of_a_run_share_its_batch_and_are_paid_for(design):
    """GPU-hours are those of all of them; a batch of too few sequences for all of them is warned of."""
    found = made(design, gpus=8)
    few = [run.batch_sequences for run in found.runs if run.batch_sequences < 8]
    assert all(run.batch_sequences % 8 == 0 for run in found.runs if run.batch_sequences >= 8)
    (message,) = [notice.message for notice in found.warnings if notice.code == "idle_gpus"]
    assert message.startswith(f"{len(few)} of {len(found.runs)} runs")
    assert f"the least {min(few)}, " in message
    assert f"--gpus {min(few)}, or" in message
    fewer = made(design, gpus=min(few))
    assert "idle_gpus" not in [notice.code for notice in fewer.warnings]
    assert found.gpu_hours == pytest.approx(8 * sum(run.hours for run in found.runs))


def test_utilisation_price_and_currency_are_the_planners(design):
    """At half the utilisation twice the hours; in euros at the rate that is given."""
    low, high = (made(replace(design, run_cost=0.0), mfu=mfu, price=2.0) for mfu in ("20%", "40%"))
    assert low.gpu_hours == pytest.approx(2 * high.gpu_hours)
    assert high.cost == pytest.approx(2 * high.gpu_hours)
    euros = made(design, price="2 USD", exchange_rate="1 EUR = 1.25 USD")
    assert (euros.currency, euros.price) == ("EUR", pytest.approx(1.6))
    assert euros.cost == pytest.approx(1.6 * euros.gpu_hours)


def test_words_are_the_command_with_the_values_of_the_run(ladder):
    """One program and its arguments."""
    for run in ladder.runs:
        expected = f"train --layers {run.layers} --lr {np.format_float_positional(run.lr)} --seed {run.seed} --gpus 1"
        assert shlex.join(run.words) == f"{expected} --out pilots/{run.name}"
        assert run.out == f"pilots/{run.name}"


@pytest.mark.parametrize(
    ("output", "shown"),
    [("pilots/", "pilots"), ("a b/c", "a b/c"), ("-x", "./-x"), ("=x", "./=x"), (".", "."), ("/tmp/p//", "/tmp/p")],
)
def test_folders_are_as_they_were_given(design, output, shown):
    """Without a slash at the end, and never like an option; the command that submits is quoted."""
    found = made(design, output=output)
    assert found.folder == shown
    assert found.runs[0].out == f"{shown}/{found.runs[0].name}"
    assert found.submit == f"sbatch {shlex.quote(f'{shown}/slurm.sh')}"


def test_folders_of_remote_engines_are_on_what_keeps_them(design):
    """A machine that vanishes writes to a mount."""
    found = made(design, engine="kubernetes", storage="claim", image="python:3.13")
    assert all(run.out == f"/ladder/pilots/{run.name}" for run in found.runs)
    assert (found.file, found.storage, found.image) == ("kubernetes.yaml", "claim", "python:3.13")


def test_a_list_needs_no_gpu(design):
    """It has no hours then, and the order is that of the compute."""
    found = made(design, engine="csv", gpu=None)
    assert (found.gpu, found.gpu_hours, found.days, found.cost, found.most_days) == (None,) * 5
    assert all(run.hours is None and run.limit_hours is None for run in found.runs)
    assert all(a.flops >= b.flops for a, b in pairwise(found.runs))


def test_the_size_is_counted_as_the_law_of_the_design_counts():
    """A law without the embeddings: the compute is that of the rest, the parameters are all."""
    design = sp.design(flops="1e20", target="1e23", preset="farseer-2025-refit", most_runs=6)
    assert design.params_convention == "non_embedding"
    for run in made(design).runs:
        nearest = nearest_of(design, run.flops / 6 / run.tokens, run.tokens)
        shape = shape_of(nearest.params, convention="non_embedding")
        assert run.params == shape.model.params > nearest.params
        assert run.flops == pytest.approx(6 * shape.model.counts.non_embedding_params * run.tokens)
        plan = sp.loss(
            model=shape.config, tokens=run.tokens, gpu="h100", gpus=1, preset="farseer-2025-refit", context=2048
        )
        days = plan.budget.days * (run.flops + design.run_cost) / run.flops
        assert (plan.flops, 24 * days) == (pytest.approx(run.flops), pytest.approx(run.hours))


def test_a_design_by_runs_is_counted_as_their_columns_say():
    """The law was fitted to sizes of the column's convention."""
    sizes = [(n, r * n) for n in (2e7, 4e7, 8e7, 16e7) for r in (5, 20, 80)]
    table = {
        "non_embedding_params": [n for n, _ in sizes],
        "tokens": [d for _, d in sizes],
        "loss": [1.8 + 420 / n**0.34 + 1300 / d**0.345 for n, d in sizes],
    }
    found = sp.design(table, flops="1e20", target="1e23", most_runs=4)
    assert found.params_convention == "non_embedding"
    assert all(run.params > 0 for run in made(found).runs)


def test_a_rule_beyond_its_range_and_few_steps_are_one_warning_each(design):
    """With how many runs they are about."""
    found = made(design)
    codes = [notice.code for notice in found.warnings]
    assert codes.count("rule_range") == 1
    message = next(notice.message for notice in found.warnings if notice.code == "rule_range")
    assert f"of {len(found.runs)} runs are beyond what rule step-law-2025 was fitted on" in message
    few = made(design, context=65536, rule="porian-2024")
    assert [notice.code for notice in few.warnings].count("few_steps") == 1


def test_steps_shorter_than_their_kernels_need_are_warned_of_and_get_their_time(design):
    """A model of 5M parameters on a fast GPU: what it computes is nothing beside what starts it."""
    tiny = PilotRun(params=5_000_000, tokens=40_000_000_000, flops=1.2e18, seeds=2)
    small = replace(design, runs=(tiny,), run_cost=0.0)
    found = made(small, gpu="gb300", mfu="90%", rule="step-law-2025", context=256)
    (message,) = [notice.message for notice in found.warnings if notice.code == "short_steps"]
    assert message.startswith("2 of 2 runs are predicted at ")
    run = found.runs[0]
    least = run.steps * run.layers * 3.5e-3 / 3600
    assert LIMIT * run.hours < 0.5 < LIMIT * least  # the least limit of a run does not hide which time counts
    assert LIMIT * least <= run.limit_hours < LIMIT * least + 0.25
    assert f"{2 * least:.2g} GPU-hours" in message
    slow = made(small, gpu="v100", mfu="1%", rule="step-law-2025", context=256)
    assert "short_steps" not in [notice.code for notice in slow.warnings]


@pytest.mark.parametrize(
    ("command", "lacking"),
    [
        ("train {layers} {tokens} {batch} {lr} {seed} {out}", None),
        ("train {params} {steps} {batch_sequences} {lr} {seed} {out}", None),
        ("train {name} {out}", None),
        ("train {layers} {tokens} {batch} {lr} {out}", "has no {seed}: "),
        ("train {layers} {batch} {lr} {seed} {out}", "has no {tokens} or {steps}: "),
        ("train {lr} {seed} {out}", "no {layers}, {width} or {params}, no {tokens} or {steps}, no {batch} or"),
    ],
)
def test_a_command_that_leaves_out_what_runs_differ_by_is_warned_of(design, command, lacking):
    """The runs would be alike to the program; once, with the placeholders."""
    found = [notice.message for notice in made(design, command=command).warnings if notice.code == "values_unused"]
    assert len(found) == (lacking is not None)
    assert lacking is None or lacking in found[0]


def test_gpus_that_the_command_does_not_name_are_warned_of(design):
    """A program that is started once uses one; of one GPU nothing need be known."""
    plain = "train {layers} {tokens} {batch} {lr} {seed} {out}"
    for command, gpus, warned in (
        (plain, 2, 1),
        (plain, 1, 0),
        (f"torchrun --nproc-per-node {{gpus}} {plain}", 2, 0),
    ):
        codes = [notice.code for notice in made(design, command=command, gpus=gpus).warnings]
        assert codes.count("gpus_unused") == warned


def test_the_report_says_what_is_not_known_and_what_is_to_be_done_first(design):
    """Time and cost of a list without a GPU; folders that lie elsewhere, for the status."""
    listed = make_report(made(design, engine="csv", gpu=None, gpus=2))
    assert "8 runs at once on 2 GPUs each; no time or cost: --gpu predicts them" in listed
    remote = make_report(made(design, engine="skypilot", storage="s3://pilots-of-us"))
    assert "at $2.95 per GPU-hour; waiting in a queue is not counted" in remote
    assert "how far they are, once their folders are copied from s3://pilots-of-us: scaleplan ladder status" in remote


def test_the_report_says_whether_the_head_is_tied(ladder):
    """The parameters, and so the law, count one table or two; a style may tie small models alone."""
    assert {run.tied_embeddings for run in ladder.runs} == {True}
    assert ", tied to the output head; batch" in make_report(ladder)
    larger = [replace(run, tied_embeddings=False) for run in ladder.runs]
    assert ", apart from the output head; batch" in make_report(replace(ladder, runs=tuple(larger)))
    mixed = replace(ladder, runs=(replace(ladder.runs[0], params=4_000_000_000, tied_embeddings=False), *ladder.runs))
    assert ", apart from the output head from 4.00B parameters on, tied to it below; batch" in make_report(mixed)
    unknown = [replace(run, tied_embeddings=None) for run in ladder.runs]
    assert "output head" not in make_report(replace(ladder, runs=tuple(unknown)))


def test_hints_on_utilisation_name_options_that_design_has(design):
    """A speed cannot be given to it, only a utilisation."""
    found = made(design, gpu="rtx-4090")
    thin = next(notice.message for notice in found.warnings if notice.code == "utilisation_thin_evidence")
    assert "give --mfu" in thin


def make_report(ladder):
    """Return the remarks of the report of a ladder."""
    return "\n".join(ladder_report(ladder).remarks)


def test_the_same_question_has_the_same_answer(design, ladder):
    """Every digit."""
    assert made(design) == ladder


KNOWN = ", ".join(rules_for_runs(Context().rules))


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"rule": "minicpm-2024"}, "rule minicpm-2024 gives no learning rate", KNOWN),
        ({"rule": "kaplan-2020"}, "gives a critical batch", KNOWN),
        ({"rule": "bergsma-2025"}, "gives no learning rate", KNOWN),
        ({"rule": "ling-2025"}, "not for dense models", KNOWN),
        ({"rule": "porian"}, "unknown rule 'porian'", "porian-2024"),
        ({"style": "mixtral"}, "the mixtral style has experts", "llama"),
        ({"style": "lama"}, "unknown style 'lama'", "llama"),
        ({"gpus": 9}, "9 GPUs for a run: all are on one machine", "1 to 8"),
        ({"gpus": 0}, "'0' is not a finite number above 0", ""),
        ({"at_once": 0}, "'0' is not a finite number above 0", ""),
        ({"gpu": None}, "slurm needs --gpu", "gpus list"),
        ({"gpu": "h999"}, "unknown", ""),
        ({"engine": "pbs"}, "unknown engine 'pbs'", "slurm"),
        ({"storage": "claim"}, "--storage says nothing about slurm", "skypilot and kubernetes"),
        ({"image": "python:3"}, "--image says nothing about slurm", "skypilot and kubernetes"),
        ({"engine": "skypilot"}, "skypilot needs --storage", "s3://"),
        ({"engine": "kubernetes", "storage": "claim"}, "kubernetes needs --image", "--image"),
        ({"engine": "kubernetes", "storage": " ", "image": "x"}, "--storage is empty", "leave it out"),
        ({"output": "a\nb"}, "line break", "one line"),
        ({"output": ""}, "--output is empty", ""),
        ({"command": "train --out {out} {depth}"}, "unknown placeholder 'depth'", "layers"),
        ({"command": "train"}, "has no {out}", "{out}"),
        ({"context": "8M"}, "a sequence of 8,000,000 tokens is longer than a run", "--context"),
        ({"context": 0}, "'0' is not a finite number above 0", ""),
        ({"gpu": "rtx-4090", "context": "512k"}, "does not fit on 1 GPU", "--gpus 4"),
    ],
)
def test_what_cannot_be_started_is_refused_with_the_way_out(design, options, message, hint):
    """Every one exits with status 2."""
    with pytest.raises(sp.ScaleplanError) as error:
        made(design, **options)
    assert message in error.value.message
    assert hint in (error.value.hint or "")
    assert error.value.exit_status == 2


def with_sizes(design, *sizes):
    """Return a design of one run of each size, of 20 tokens a parameter."""
    runs = (PilotRun(params=size, tokens=20 * size, flops=120.0 * size**2, seeds=1) for size in sizes)
    return replace(design, runs=tuple(runs))


@pytest.mark.parametrize(
    ("sizes", "options", "message", "hint"),
    [
        ((500_000, 5_000_000), {}, "there is no llama shape of 500k parameters: ", "--limit 'params >= 1M'"),
        ((1_400_000, 10_000_000), {"vocab": 32_000}, "shape of 1.40M parameters with a vocabulary of 32,000", "10M"),
        (
            (1_000_000_000, 9_000_000_000),
            {},
            "9.00B parameters does not fit on 1 GPU",
            "--gpus 3 or --limit 'params <= 1B'",
        ),
        ((90_000_000_000, 100_000_000_000), {"gpus": 2}, "90.0B parameters does not fit on 2 GPUs", "more memory"),
    ],
)
def test_sizes_that_no_shape_or_no_memory_has_are_refused(design, sizes, options, message, hint):
    """With a size that has one, or the GPUs that hold the largest."""
    with pytest.raises(sp.ScaleplanError) as error:
        made(with_sizes(design, *sizes), **options)
    assert message in error.value.message
    assert hint in error.value.hint


def test_branches_of_a_trunk_are_refused(design):
    """They are not started by themselves; nor is a size of which nothing says how it is counted."""
    with pytest.raises(sp.ScaleplanError, match="of an earlier version"):
        made(replace(design, params_convention=None))
    with pytest.raises(sp.ScaleplanError, match="branch off one trunk"):
        made(replace(design, schedule="wsd", cooldown=0.2))


@pytest.mark.parametrize(
    ("options", "says"),
    [({"price": "x"}, "unknown price 'x'"), ({"price": "nan"}, "unknown price"), ({"gpu": "h1000"}, "unknown GPU")],
)
def test_what_is_wrong_with_the_machine_is_known_before_runs_are_searched(options, says):
    with pytest.raises(sp.ScaleplanError, match=says):
        LaunchRequest.parse(output="pilots", command="train {name} {out}", **{"gpu": "h100", **options})
