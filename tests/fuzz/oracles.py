"""Questions whose answers are known in another way: by brute force, by the inverse question, by another door.

An oracle is a function of a sandbox and a source of random numbers that puts one valid question at random and yields
what is wrong with the answer. Where a comparison has a tolerance, its reason stands beside it; all others are exact.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import traceback
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from tests.fuzz import files, values
from tests.fuzz.grammar import Case, commands
from tests.fuzz.harness import Finding, Outcome

import scaleplan as sp
from scaleplan.laws.base import Allocation
from scaleplan.output.data import flat
from scaleplan.planning.context import Context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.fuzz.harness import Sandbox

    Oracle = Callable[[Sandbox, Random], Iterator[Finding]]
    Plan = dict[str, Any]

__all__ = ["ORACLES", "chosen", "consulted"]

_SHARE = 10  # one case in so many consults an oracle


def chosen(seed: int, index: int, *, only: str | None = None) -> Oracle | None:
    """Return the oracle of a case, None where the case is a command line."""
    if only is not None:
        return None if only in commands() else {each.__name__: each for each in ORACLES}[only]
    return ORACLES[index // _SHARE % len(ORACLES)] if index % _SHARE == _SHARE - 1 else None


def consulted(sandbox: Sandbox, oracle: Oracle, seed: int, index: int) -> list[Finding]:
    """Put one question of an oracle and return what is wrong with the answer."""
    kind = f"oracle {oracle.__name__}"
    sandbox.empty()  # Python's own calls would read the presets of the case before
    try:
        found = [*oracle(sandbox, Random(f"{seed}:{index}:{oracle.__name__}"))]
    except Exception as error:  # noqa: BLE001  a bug that Python's callers meet, or one of the oracle
        frame = traceback.extract_tb(error.__traceback__)[-1]
        found = [Finding(kind, f"{type(error).__name__} in {frame.name}", str(error)[:300])]
    return [finding._replace(kind=kind) for finding in found]


# Calls


def run_line(
    sandbox: Sandbox, *words: str, given: bytes = b"", contents: Mapping[str, bytes] | None = None
) -> Outcome:
    """Run a command line without warnings on standard error."""
    return sandbox.call(Case(name="oracle", arguments=(*words, "--quiet"), given=given, files=contents or {}))


def options(question: Mapping[str, Any]) -> list[str]:
    """Return a question as options of the command line."""
    pairs = ((name, value if isinstance(value, list) else [value]) for name, value in question.items())
    return [f"--{name.replace('_', '-')}={each}" for name, several in pairs for each in several]


def plan_of(outcome: Outcome) -> Plan | None:
    """Return the JSON of an answer; None where there is none."""
    return json.loads(outcome.out) if outcome.status == 0 and outcome.out.startswith("{") else None


def wrong(cause: str, question: object, detail: object = "") -> Finding:
    """Return a finding about a question."""
    return Finding("oracle", cause, f"{question} {detail}")


def close(first: float, second: float, tolerance: float) -> bool:
    """Return whether two numbers are equal to a relative tolerance."""
    return math.isclose(first, second, rel_tol=tolerance)


# Questions


@cache
def laws(command: str) -> tuple[str, ...]:
    """Return the bundled laws and the files of fits that answer a plain question of a command."""
    questions: Mapping[str, Callable[..., object]] = {
        "optimal": lambda preset, data: sp.optimal(flops=1e21, preset=preset, data=data),
        "loss": lambda preset, data: sp.loss(params=1e9, tokens=2e10, preset=preset, data=data),
        "target": lambda preset, data: sp.target(loss=4.0, preset=preset, data=data),
    }
    context, known = Context(), []
    for name in (*context.library.ids(), *files.fitted()):
        try:
            questions[command](name, context)
        except sp.ScaleplanError:
            continue
        known.append(name)
    return tuple(known)


@cache
def surfaces() -> tuple[str, ...]:
    """Return the laws whose optimum is that of their loss: others allocate by one fit, and give a loss by another."""
    context = Context()
    return tuple(name for name in laws("loss") if not isinstance(context.preset(name).law, Allocation))


def budget(rng: Random) -> dict[str, Any]:
    """Return a budget in one of its forms."""
    gpu = rng.choice(["h100-sxm", "a100-sxm-80", "b200", "tpu-v5p", "mi300x"])
    return rng.choice(
        [
            {"flops": f"{10 ** rng.uniform(18, 25):.3g}"},
            {"flops": f"{10 ** rng.uniform(18, 25):.3g}", "gpu": gpu},
            {"gpu_hours": f"{10 ** rng.uniform(2, 7):.3g}", "gpu": gpu},
            {"gpus": str(2 ** rng.randrange(12)), "time": f"{rng.randrange(1, 90)}d", "gpu": gpu},
            {"cost": f"{10 ** rng.uniform(3, 8):.3g}", "gpu": rng.choice(["h100-sxm", "a100-sxm-80"])},
        ]
    )


def question(rng: Random) -> dict[str, Any]:
    """Return a valid question of ``optimal``, of any law and with constraints in some cases."""
    query = budget(rng)
    way = rng.random()
    if way < 0.5:
        query["preset"] = rng.choice(laws("optimal"))
    elif way < 0.6:
        query["unique_tokens"] = f"{10 ** rng.uniform(9, 13):.3g}"
    elif way < 0.7:
        query["inference_tokens"] = f"{10 ** rng.uniform(9, 14):.3g}"
    elif way < 0.75:
        query["compute_multiplier"] = rng.choice(["1.3", "2", "0.8"])
    return query


Bound = tuple[str, str, float]


def bounds(rng: Random, *names: str) -> list[Bound]:
    """Return a few limits as (quantity, operator, amount); the amount is what its text says to the last digit."""
    ranges = {
        "params": (6, 12.5), "tokens": (8, 14), "tokens_per_param": (-1, 4), "flops": (18, 25), "days": (0, 3),
        "gpu_hours": (2, 7), "cost": (3, 8), "epochs": (-1, 2),
    }  # fmt: skip
    found: list[Bound] = []
    for _ in range(rng.choice([1, 1, 2, 3])):
        name = rng.choice(names)
        found.append((name, rng.choice(["<=", "<=", ">="]), float(f"{10 ** rng.uniform(*ranges[name]):.4g}")))
    return found


def texts(found: Sequence[Bound]) -> list[str]:
    """Return limits as the command line has them."""
    return [f"{name} {sign} {amount!r}" for name, sign, amount in found]


def kept(plan: Plan, bound: Bound) -> bool:
    """Return whether a plan keeps a limit.

    To 1e-9, the slack that limits are read with; and where counts are whole numbers, to one parameter and one token.
    """
    name, sign, amount = bound
    value = plan[name] if name in plan else plan["budget"][name]
    if value is None:
        return False
    slack = amount * (1e-9 + 1 / plan["params"] + 1 / plan["tokens"])
    return bool(value <= amount + slack if sign == "<=" else value >= amount - slack)


# The oracles


def limits_are_kept(sandbox: Sandbox, rng: Random) -> Iterator[Finding]:
    """Every limit that a plan was given holds for it, as it is printed."""
    query = question(rng)
    hardware = ["days", "gpu_hours", "cost"] if "gpus" in query else []
    repeated = ["epochs"] if "unique_tokens" in query else []
    limits = bounds(rng, "params", "tokens", "tokens_per_param", "flops", *hardware, *repeated)
    query["limit"] = texts(limits)
    plan = plan_of(run_line(sandbox, "optimal", *options(query), "--json"))
    for bound in limits if plan is not None else ():
        assert plan is not None
        if not kept(plan, bound):
            yield wrong(f"a plan breaks its limit on {bound[0]}", query, {name: plan[name] for name in _SHOWN})


_SHOWN = ("params", "tokens", "flops", "loss", "tokens_per_param")


def refusals_are_proven(sandbox: Sandbox, rng: Random) -> Iterator[Finding]:
    """What limits exclude is refused, and nothing else is, for every law whose compute is 6ND.

    In logarithms the limits are intervals of n, d and d - n, so whether any model keeps them is known exactly.
    """
    flops = float(f"{10 ** rng.uniform(18, 25):.3g}")
    query: dict[str, Any] = {"flops": repr(flops)}
    preset = rng.choice(laws("optimal"))
    if Context().preset(preset).conventions.flops != "6ND":
        return
    query["preset"] = preset
    limits = bounds(rng, "params", "tokens", "tokens_per_param")
    if rng.random() < 0.3:
        query["params"] = f"{10 ** rng.uniform(7, 12):.4g}"
        limits += [("params", sign, float(query["params"])) for sign in ("<=", ">=")]
        query["limit"] = texts(limits[:-2])
    else:
        query["limit"] = texts(limits)
    outcome = run_line(sandbox, "optimal", *options(query), "--json")
    room = _room(limits, flops)
    if outcome.status == 0 and room < -1e-9:  # below rounding in the logarithms
        yield wrong("limits that exclude each other are answered", query, outcome.out[:0])
    if outcome.status == 1 and room > 1e-6:  # one parameter in a million: sizes are whole numbers
        yield wrong("limits that a model keeps are refused", query, outcome.err)


def _room(limits: Sequence[Bound], flops: float) -> float:
    """Return by how much, in logarithms, some model stays inside limits and a budget; below 0 where none does."""
    low = dict.fromkeys(("params", "tokens", "tokens_per_param"), -math.inf)
    high = dict.fromkeys(low, math.inf)
    for name, sign, amount in limits:
        if sign == "<=":
            high[name] = min(high[name], math.log(amount))
        else:
            low[name] = max(low[name], math.log(amount))
    least_params = max(low["params"], low["tokens"] - high["tokens_per_param"])
    most_params = min(high["params"], high["tokens"] - low["tokens_per_param"])
    least_tokens = max(low["tokens"], least_params + low["tokens_per_param"])
    rooms = [most_params - least_params, high["tokens"] - least_tokens]
    rooms.append(high["tokens_per_param"] - low["tokens_per_param"])
    rooms.append(math.log(flops / 6) - least_params - least_tokens)
    return min(room for room in rooms if not math.isnan(room))


def a_loss_gives_its_budget_back(sandbox: Sandbox, rng: Random) -> Iterator[Finding]:
    """``target`` at the loss of ``optimal`` needs the budget that the loss came from, with and without limits.

    To 1e-6: near the floor a loss determines its budget no better. At 1e25 FLOP the last digit of a loss is 1e-14 of
    what the budget can still change, and both ends are solved to 1e-9.
    """
    query: dict[str, Any] = {"preset": rng.choice(laws("target"))}
    if rng.random() < 0.5:
        query["limit"] = texts(bounds(rng, "params", "tokens", "tokens_per_param"))
    flops = f"{10 ** rng.uniform(18, 25):.3g}"
    plan = plan_of(run_line(sandbox, "optimal", f"--flops={flops}", *options(query), "--json"))
    if plan is None or plan["loss"] is None:
        return
    outcome = run_line(sandbox, "target", f"--loss={plan['loss']!r}", *options(query), "--json")
    back = plan_of(outcome)
    if back is None and "not reached within 100x the largest run" in outcome.err and _beyond(query, plan):
        return
    if back is None:
        yield wrong("the loss of a plan is called unreachable", {**query, "flops": flops}, outcome.err)
    elif back["flops"] > plan["flops"] * (1 + 1e-6) or back["loss"] > plan["loss"] * (1 + 1e-9):
        yield wrong(
            "more than a plan's budget for its loss", {**query, "flops": flops}, (back["flops"], plan["flops"])
        )
    elif "limit" not in query and not close(back["flops"], float(flops), 1e-6):
        yield wrong("another budget for the loss of a plan", {**query, "flops": flops}, back["flops"])


def _beyond(query: Mapping[str, Any], plan: Plan) -> bool:
    """Return whether a plan by a forecast costs more than a hundredfold of the largest run."""
    forecast = Context().preset(query["preset"]).forecast
    return forecast is not None and math.log(plan["params"] * plan["tokens"]) > forecast.span[1]


def a_plan_is_its_own_run(sandbox: Sandbox, rng: Random) -> Iterator[Finding]:
    """``loss`` of the size and tokens of a plan is the loss of the plan, and nothing is to be gained.

    To 1e-9 in the loss, whose derivative vanishes at a plan, and 1e-6 in the compute that an optimum would save.
    """
    query = {"flops": f"{10 ** rng.uniform(18, 25):.3g}", "preset": rng.choice(surfaces())}
    plan = plan_of(run_line(sandbox, "optimal", *options(query), "--json"))
    if plan is None:
        return
    sizes = [f"--params={plan['params']!r}", f"--tokens={plan['tokens']!r}", f"--preset={query['preset']}"]
    run = plan_of(run_line(sandbox, "loss", *sizes, "--json"))
    if run is None:
        return
    if not close(run["loss"], plan["loss"], 1e-9):
        yield wrong("another loss for the same run", query, (run["loss"], plan["loss"]))
    if run["compute_overhead"] is not None and abs(run["compute_overhead"]) > 1e-6:
        yield wrong("an optimum is not optimal", query, run["compute_overhead"])


def no_grid_beats_a_plan(sandbox: Sandbox, rng: Random) -> Iterator[Finding]:
    """No size on a grid, trained for all that the budget leaves, reaches a lower loss.

    To 1e-9: a plan's size is exact to about 1e-6, which costs its square. A forecast aims at the least mean
    of the losses of half to twice the size; a single size may do better.
    """
    preset = rng.choice(surfaces())
    extra: dict[str, Any] = {}
    if rng.random() < 0.4:
        name = rng.choice(["unique_tokens", "inference_tokens"])
        extra, preset = {name: f"{10 ** rng.uniform(10, 13):.3g}"}, "besiroglu-2024"
    limits = bounds(rng, "params", "tokens", "tokens_per_param") if rng.random() < 0.5 else []
    flops = float(f"{10 ** rng.uniform(19, 24):.3g}")
    query: dict[str, Any] = {"flops": repr(flops), "preset": preset, "limit": texts(limits), **extra}
    plan = plan_of(run_line(sandbox, "optimal", *options(query), "--json"))
    if plan is None or plan["loss"] is None:
        return
    context = Context()
    forecast = context.preset(preset).forecast

    def aim(run: Plan) -> float:
        return run["loss"] if forecast is None else forecast.aim(run["params"], run["tokens"])  # type: ignore[no-any-return]

    def spent(params: float, tokens: float) -> tuple[float, Plan]:
        run = sp.loss(params=params, tokens=tokens, preset=preset, data=context, **extra).to_dict()
        return run.get("total_flops") or run["flops"], run  # type: ignore[return-value]

    for _ in range(12):
        params = plan["params"] * math.exp(rng.choice([rng.uniform(-4, 4), rng.uniform(-0.2, 0.2)]))
        try:
            at_one, at_two = spent(params, 1e9)[0], spent(params, 2e9)[0]
            tokens = 1e9 + (flops - at_one) / (at_two - at_one) * 1e9  # the cost is a straight line in the tokens
            for name, sign, amount in limits:
                if name != "params" and sign == "<=":
                    tokens = min(tokens, amount if name == "tokens" else amount * params)
            if tokens <= 0:
                continue
            cost, run = spent(params, tokens)
        except sp.ScaleplanError:
            continue  # a run that the law does not know
        if cost <= flops * (1 + 1e-9) and all(kept(run, bound) for bound in limits) and (
            aim(run) < aim(plan) * (1 - 1e-9)
        ):  # fmt: skip
            better = (params, tokens, run["loss"])
            yield wrong("a size on a grid is better", query, (better, plan["params"], plan["tokens"], plan["loss"]))
            return


def more_is_never_worse(sandbox: Sandbox, rng: Random) -> Iterator[Finding]:
    """A larger budget reaches no higher a loss, nor does a wider limit; to the 1e-9 that plans are solved to."""
    query: dict[str, Any] = {"preset": rng.choice(laws("loss")), "flops": f"{10 ** rng.uniform(18, 24):.3g}"}
    limits = bounds(rng, "params", "tokens", "tokens_per_param")
    query["limit"] = texts(limits)
    plan = plan_of(run_line(sandbox, "optimal", *options(query), "--json"))
    if plan is None or plan["loss"] is None:
        return
    wider = [(name, sign, amount * (2 if sign == "<=" else 0.5)) for name, sign, amount in limits]
    changes: list[dict[str, Any]] = [
        {"flops": repr(float(query["flops"]) * 1.5)},
        {"limit": texts(wider)},
        {"limit": []},
    ]
    for change in changes:
        outcome = run_line(sandbox, "optimal", *options({**query, **change}), "--json")
        other = plan_of(outcome)
        if outcome.status == 1 or (other is not None and other["loss"] > plan["loss"] * (1 + 1e-9)):
            cause = f"more room in {next(iter(change))} is worse"
            yield wrong(cause, {**query, "then": change}, (plan["loss"], other and other["loss"], outcome.err))


def formats_agree(sandbox: Sandbox, rng: Random) -> Iterator[Finding]:
    """JSON, JSON Lines, CSV, TSV and a bare value hold the same numbers to the last digit, text those it shows."""
    words = [*rng.choice(files.SAVED)] if rng.random() < 0.5 else ["optimal", *options(question(rng))]
    if words[0] in ("show", "diff"):
        return
    data = plan_of(run_line(sandbox, *words, "--json"))
    if data is None:
        return
    answers = {name: run_line(sandbox, *words, "--format", name) for name in ("jsonl", "csv", "tsv", "text")}
    for name, outcome in answers.items():
        if outcome.status != 0:
            yield wrong(f"no {name} where there is JSON", words, outcome.err)
            return
    records = [json.loads(line) for line in answers["jsonl"].out.splitlines()]
    if len(records) == 1 and records[0].get("schema") == data["schema"] and records[0] != data:
        yield wrong("JSON Lines differ from JSON", words)
    for name, delimiter in (("csv", ","), ("tsv", "\t")):
        rows = [*csv.DictReader(io.StringIO(answers[name].out), delimiter=delimiter)]
        if len(rows) != len(records):
            yield wrong(f"{name} has another number of rows", words, (len(rows), len(records)))
            continue
        for row, record in zip(rows, records, strict=True):
            for key, value in flat(record):
                if isinstance(value, int | float) and not isinstance(value, bool) and float(row[key]) != value:
                    yield wrong(f"{name} differs from JSON in {key}", words, (row[key], value))
    # of a result with rows, --get reads a column of them, which has many values
    columns = set() if records == [data] else {key.partition(".")[0] for key, _ in flat(records[0])}
    scalars = [
        (key, value)
        for key, value in flat(data)
        if isinstance(value, int | float | str) and value != "" and key.partition(".")[0] not in columns
    ]
    key, value = rng.choice(scalars)
    bare = run_line(sandbox, *words, f"--get={key}").out.removesuffix("\n")
    expected = value if isinstance(value, str) else json.dumps(value)
    if bare != expected and "\n" not in bare:
        yield wrong(f"--get differs from JSON in {key.rpartition('.')[2]}", words, (bare, expected))
    if data["schema"] == "scaleplan/plan/1":
        yield from _text_differs(answers["text"].out, data, words)


_LABELS = {"parameters": "params", "tokens": "tokens", "tokens/param": "tokens_per_param", "loss": "loss"}
_SUFFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


def _text_differs(text: str, plan: Plan, words: Sequence[str]) -> Iterator[Finding]:
    """Compare the figures of a plan as text with its JSON, to half a unit of the last digit that is shown."""
    for label, key in _LABELS.items():
        found = re.search(
            rf"^  {re.escape(label)} +([\d,]+)(\.\d+)?(?:e\+?(-?\d+))?([kMBT]?)(?: |$)", text, re.MULTILINE
        )
        if found is None or plan[key] is None:
            continue
        whole, decimals, exponent, suffix = found.groups()
        scale = _SUFFIXES[suffix] * 10 ** int(exponent or 0)
        shown = float(whole.replace(",", "") + (decimals or "")) * scale
        # of a whole number three digits are shown, and zeros after them
        digits = -(len(decimals) - 1) if decimals else max(0, len(whole.replace(",", "")) - 3)
        unit = scale * 10.0**digits
        if abs(shown - plan[key]) > 0.5 * unit * (1 + 1e-6):  # a half itself is rounded either way
            yield wrong(f"text differs from JSON in {key}", words, (found[0].strip(), plan[key]))


def a_stream_is_its_plans(sandbox: Sandbox, rng: Random) -> Iterator[Finding]:
    """A budget read from standard input has the plan of the same budget given alone, to the last byte."""
    query = question(rng)
    form = rng.choice([name for name in ("flops", "gpu_hours", "time", "cost") if name in query])
    amounts = [query[form], *(f"{float(query[form].removesuffix('d')) * f:.4g}" for f in (2.0, 10.0))]
    query[form] = "-"
    lines = run_line(sandbox, "optimal", *options(query), "--format=jsonl", given="\n".join(amounts).encode())
    for amount, line in zip(amounts, lines.out.splitlines(), strict=False):
        single = run_line(sandbox, "optimal", *options({**query, form: amount}), "--format=jsonl").out
        if line + "\n" != single:
            keys = _differences(json.loads(line), json.loads(single)) if single else ["status"]
            yield wrong(f"a stream differs in {keys[0]}", {**query, form: amount}, keys)
            return


def _differences(first: Mapping[str, object], second: Mapping[str, object]) -> list[str]:
    one, other = dict(flat(first)), dict(flat(second))
    return [key for key in one | other if one.get(key, "") != other.get(key, "")] or ["order"]


def python_is_the_command_line(sandbox: Sandbox, rng: Random) -> Iterator[Finding]:
    """The functions of Python give what the commands print, to the last digit."""
    query = question(rng)
    command = rng.choice(["optimal", "loss", "target", "sweep", "compare", "convert"])
    if command == "loss":
        query = {"params": values.amount(rng, "params"), "tokens": values.amount(rng, "tokens")}
        query["preset"] = rng.choice(laws("loss"))
    elif command == "target":
        query = {
            rng.choice(["params", "tokens"]): f"{10 ** rng.uniform(9, 11):.3g}",
            "preset": rng.choice(laws("target")),
        }
    elif command == "sweep":
        query = {"start": "1e19", "stop": f"{10 ** rng.uniform(20, 25):.3g}", "points": rng.choice(["2", "3", "5"])}
    elif command in ("convert", "compare"):
        query = budget(rng)
    names = {"start": "from", "stop": "to"}
    outcome = run_line(
        sandbox, command, *options({names.get(name, name): value for name, value in query.items()}), "--json"
    )
    try:
        answer = json.loads(json.dumps(getattr(sp, command)(**query).to_dict()))
    except sp.ScaleplanError as error:
        if outcome.status != error.exit_status:
            yield wrong(f"Python refuses what {command} answers", query, error.message)
        return
    data = plan_of(outcome)
    if data is None:
        yield wrong(f"{command} refuses what Python answers", query, outcome.err)
    elif data != answer:
        yield wrong(f"{command} differs from Python", query, _differences(data, answer))


def a_sweep_is_its_plans(sandbox: Sandbox, rng: Random) -> Iterator[Finding]:
    """A sweep begins and ends at the budgets that were typed, and holds the plan of each of its budgets."""
    first, last = (f"{10 ** rng.uniform(*span):.3g}" for span in ((17, 20), (21, 25)))
    query = {"preset": rng.choice(laws("optimal"))}
    data = plan_of(
        run_line(
            sandbox,
            "sweep",
            f"--from={first}",
            f"--to={last}",
            f"--points={rng.randrange(2, 9)}",
            *options(query),
            "--json",
        )
    )
    if data is None:
        return
    plans = data["plans"]
    if (plans[0]["flops"], plans[-1]["flops"]) != (float(first), float(last)):
        yield wrong("a sweep does not end at its ends", (first, last), (plans[0]["flops"], plans[-1]["flops"]))
    plan = rng.choice(plans)
    single = plan_of(run_line(sandbox, "optimal", f"--flops={plan['flops']!r}", *options(query), "--json"))
    if single != plan:
        keys = _differences(plan, single or {})
        yield wrong(f"a sweep differs in {keys[0]}", query | {"flops": plan["flops"]}, keys)


def a_saved_result_shows_as_itself(sandbox: Sandbox, rng: Random) -> Iterator[Finding]:
    """``show`` of what ``--json`` wrote prints what the command prints, in every format.

    ``diff`` finds no change in it, and finds the one of a value that was changed.
    """
    words, contents = _saved_question(rng)
    saved = run_line(sandbox, *words, "--json", contents=contents)
    if saved.status not in (0, 1) or not saved.out:
        return
    files_too = {**contents, "saved.json": saved.out.encode()}
    for name in ("json", "text", "csv", "markdown", "jsonl"):
        direct = run_line(sandbox, *words, "--format", name, contents=contents)
        shown = run_line(sandbox, "show", "saved.json", "--format", name, contents=files_too)
        if shown.status != 0:
            yield wrong(f"a saved {words[0]} cannot be shown", words, shown.err)
            break
        if shown.out != direct.out:
            yield wrong(
                f"a saved {words[0]} shows otherwise as {name}", words, _first_difference(shown.out, direct.out)
            )
            break
    same = run_line(sandbox, "diff", "saved.json", "saved.json", contents=files_too)
    if same.status != 0:
        yield wrong(f"a saved {words[0]} cannot be compared with itself", words, same.err)
    elif not same.out.endswith(": nothing changed\n"):
        yield wrong(f"a saved {words[0]} differs from itself", words, same.out)
    if json.loads(saved.out)["schema"] in _OF_RUNS:  # of these not every value is a quantity
        return
    files_too["other.json"], key = _with_another_value(rng, saved.out)
    found = run_line(sandbox, "diff", "saved.json", "other.json", "--json", contents=files_too)
    if found.status not in (0, 2) or (found.status == 0 and not json.loads(found.out)["changes"]):
        yield wrong(f"another value in a {words[0]} is not found", (words, key), found.err)


_OF_RUNS = ("scaleplan/plan/1", "scaleplan/plans/1", "scaleplan/check/1")

_QUESTIONS_OF_RUNS = (
    ("fit", "RUNS", "--samples=5"),
    ("fit", "RUNS", "--samples=0", "--report", "--residuals"),
    ("fit", "RUNS", "--samples=0", "--method=all"),
    ("backtest", "RUNS", "--samples=0"),
    ("design", "RUNS", "--flops=1e20", "--target=1e23"),
    ("plot", "residuals", "RUNS"),
)


def _saved_question(rng: Random) -> tuple[list[str], dict[str, bytes]]:
    """Return a command line whose answer is a result of any kind, and the files that it reads."""
    way = rng.random()
    if way < 0.2:
        return rng.choice([["check"], ["diff", "scaleplan.toml", "scaleplan.toml"]]), files.project(rng, odd=False)
    if way < 0.4:
        return ["optimal", *options(question(rng))], {}
    if way < 0.5:
        return ["model", "config.json"], {"config.json": files.config(rng)}
    if way < 0.7:
        extension, table = files.runs(rng)
        name = f"runs.{extension}"
        words = [name if word == "RUNS" else word for word in rng.choice(_QUESTIONS_OF_RUNS)]
        return words, {name: table}
    return [*rng.choice(files.SAVED)], {}


def _with_another_value(rng: Random, text: str) -> tuple[bytes, list[object]]:
    """Return the JSON of a result with another number or text somewhere, and the way there."""
    data = json.loads(text)
    places: list[tuple[Any, Any, list[object]]] = []

    def visit(value: Any, way: list[object]) -> None:
        for key in value if isinstance(value, dict) else range(len(value)):
            if isinstance(value[key], dict | list):
                visit(value[key], [*way, key])
            elif value[key] is not None and key != "schema":
                places.append((value, key, [*way, key]))

    visit(data, [])
    holder, key, way = rng.choice(places)
    old = holder[key]
    holder[key] = not old if isinstance(old, bool) else old + "x" if isinstance(old, str) else 2 * old + 1
    return json.dumps(data).encode(), way


def _first_difference(first: str, second: str) -> tuple[str, str]:
    place = next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )
    return first[max(0, place - 40) : place + 40], second[max(0, place - 40) : place + 40]


def a_project_is_its_plans(sandbox: Sandbox, rng: Random) -> Iterator[Finding]:
    """``check`` judges a run by the plan that ``optimal`` or ``loss`` gives for the same question."""
    query = question(rng)
    command = "optimal"
    if rng.random() < 0.4:
        command, query = "loss", {"params": values.amount(rng, "params"), "tokens": values.amount(rng, "tokens")}
    plan = plan_of(run_line(sandbox, command, *options(query), "--json"))
    project = {}
    if query.get("preset") in files.fitted():  # the files of a project stay in its folder
        project["law.toml"] = Path(query["preset"]).read_bytes()
        query["preset"] = "law.toml"
    lines = ["[[run]]", 'name = "it"', *(f"{name} = {json.dumps(value)}" for name, value in query.items())]
    project["scaleplan.toml"] = "\n".join([*lines, "[policy]", 'error = ["flops <= 1e40"]', ""]).encode()
    outcome = run_line(sandbox, "check", "--json", contents=project)
    if (plan is None) != (outcome.status == 2):
        yield wrong("check and a plan do not agree on whether there is one", query, outcome.err)
        return
    if plan is not None:
        (run,) = json.loads(outcome.out)["runs"]
        for name in (*_SHOWN, "excess_loss", "compute_overhead", "gpu_hours", "days", "cost", "energy_kwh"):
            expected = plan[name] if name in plan else plan["budget"][name]
            if run["values"][name] != expected:
                yield wrong(f"check differs in {name}", query, (run["values"][name], expected))


def devices_only_help(sandbox: Sandbox, rng: Random) -> Iterator[Finding]:
    """More devices never turn a yes into a no, and the fewest that are named are the least that say yes."""
    size = f"{10 ** rng.uniform(8.3, 11.2):.2g}"
    words = [
        "memory",
        size,
        f"--gpu={rng.choice(['rtx-4090', 'a100-sxm-40', 'h100-sxm', 'h200-sxm', 'mi300x', 'l4'])}",
    ]
    words += rng.choice([[], [], ["--context=8192"], ["--zero=3"], ["--recompute=full"], ["--batch=1M"]])

    def fits(count: int) -> bool | None:
        outcome = run_line(sandbox, *words, f"--gpus={count}", "--json")
        return None if outcome.status == 2 or not outcome.out else json.loads(outcome.out)["fits"]

    count = rng.choice([1, 2, 3, 4, 6, 8, 16, 24, 64])
    answers = {number: fits(number) for number in (count, count + 1, 2 * count, 3 * count, 8 * count)}
    yes = [number for number, answer in answers.items() if answer]
    no = [number for number, answer in answers.items() if answer is False and yes and number > yes[0]]
    if no:
        yield wrong("more devices turn a yes into a no", words, answers)
    outcome = run_line(sandbox, *words, "--json")
    data = plan_of(outcome)
    fewest = None if data is None else data.get("gpus") or data.get("devices")
    if fewest and fewest > 1:
        fewer = rng.choice([fewest - 1, fewest // 2, rng.randrange(1, fewest)])
        if fits(fewest) is False or fits(max(1, fewer)):
            yield wrong(
                "the fewest devices are not the fewest", words, (fewest, fewer, fits(fewest), fits(max(1, fewer)))
            )


def an_amount_converts_back(sandbox: Sandbox, rng: Random) -> Iterator[Finding]:
    """FLOP become hours, days and money and back, to the 1e-12 that a few multiplications leave."""
    flops = 10 ** rng.uniform(18, 26)
    hardware = options(
        {"gpu": rng.choice(["h100-sxm", "a100-sxm-80"]), "gpus": str(2 ** rng.randrange(10)), "mfu": "0.4"}
    )
    there = plan_of(run_line(sandbox, "convert", f"--flops={flops!r}", *hardware, "--json"))
    if there is None:
        yield wrong("a plain conversion is refused", (flops, hardware))
        return
    for option, key, text in (
        ("gpu-hours", "gpu_hours", "{!r}"), ("cost", "cost", "{!r}"), ("time", "days", "{!r} days"),
        ("pf-days", "pf_days", "{!r}"), ("energy", "energy_kwh", "{!r} kWh"),
    ):  # fmt: skip
        if there.get(key) is None:
            continue
        back = plan_of(run_line(sandbox, "convert", f"--{option}={text.format(there[key])}", *hardware, "--json"))
        if back is None or not close(back["flops"], flops, 1e-12):
            yield wrong(f"{key} do not convert back", (flops, hardware), back and back["flops"])


def a_fit_sees_the_runs_alone(sandbox: Sandbox, rng: Random) -> Iterator[Finding]:
    """The order of the rows and the names of their columns change no law, and a law that is written plans as the fit.

    Runs that do not determine a law give one that must not choose a size, so the second half is not of these.

    The losses of two fits agree to 1e-6: sums in another order end the last step elsewhere, at 1e-8 in coefficients
    that trade off. The written law has every digit, so its plan is exact.
    """
    rows = [
        {key: row[key] for key in ("params", "tokens", "loss")} for row in files.ladder(rng, 14, sizes=5, noise=1e-3)
    ]
    shuffled = [{"N": row["params"], "D": row["tokens"], "L": row["loss"]} for row in rng.sample(rows, len(rows))]
    fitted = []
    for table in (shuffled, rows):
        words = ["fit", "runs.csv", "--samples=0", "--target=1e22", "--json", "-o", "law.toml"]
        data = plan_of(run_line(sandbox, *words, contents={"runs.csv": files.written("csv", table)}))
        if data is None:
            return
        fitted.append(data)
    plan, law = fitted[-1]["target"], sandbox.work / "law.toml"
    words = ["optimal", f"--flops={plan['flops']!r}", "--preset=law.toml", "--json"]
    again = plan_of(run_line(sandbox, *words, contents={"law.toml": law.read_bytes()})) if law.exists() else None
    same = again is not None and (again["params"], again["loss"]) == (plan["params"], plan["loss"])
    if fitted[-1]["identified"] and not same:
        yield wrong("a written law plans otherwise than the fit", plan, again)
    first, second = (data["coefficients"] for data in fitted)
    for params, tokens in ((1e8, 2e9), (1e9, 2e10)):
        one, other = (_additive(each, params, tokens) for each in (first, second))
        if not close(one, other, 1e-6):
            yield wrong("the order of the rows moves a fit", rows, (first, second))
            return


def _additive(c: Mapping[str, float], params: float, tokens: float) -> float:
    loss: float = c["E"] + c["A"] / params ** c["alpha"] + c["B"] / tokens ** c["beta"]
    return loss


def a_gate_fails_closed(sandbox: Sandbox, rng: Random) -> Iterator[Finding]:
    """A run that breaks its policy never passes, however its training config or a project beside it is damaged.

    Every run has more than one FLOP, so whatever is judged is violated and whatever cannot be judged is an error.
    """
    project = {name: content for name, content in files.project(rng, odd=False).items() if name != "scaleplan.toml"}
    pointed = [name for name in project if name.startswith("train")]
    lines = ["[[run]]", 'name = "it"', 'params = "1B"']
    if pointed:
        project[pointed[0]] = files.mutated(rng, project[pointed[0]])
        lines += [
            f'from = "{pointed[0]}"',
            'tokens = { batch = "data.batch", sequence = 2048, steps = "trainer.steps" }',
        ]
    else:
        lines += [f'tokens = "{values.amount(rng, "tokens")}"']
    project["scaleplan.toml"] = "\n".join([*lines, "[policy]", 'error = ["flops <= 1"]', ""]).encode()
    words = [
        "check",
        "scaleplan.toml",
        "--format",
        rng.choice(["text", "json", "github", "junit", "sarif", "markdown"]),
    ]
    if rng.random() < 0.3:
        harmless = b'[[run]]\nname = "other"\nflops = "1e21"\n[policy]\nerror = ["flops <= 1e30"]\n'
        project["other.toml"] = files.mutated(rng, harmless)
        words[1:1] = ["other.toml"]
    outcome = run_line(sandbox, *words, contents=project)
    if outcome.status not in (1, 2):
        yield wrong("a run that breaks its policy passes", words, project)


def counts_are_whole(sandbox: Sandbox, rng: Random) -> Iterator[Finding]:
    """Parameters, tokens, devices, steps and batches are whole numbers wherever they stand."""
    query = question(rng)
    if query.get("gpus") and rng.random() < 0.5:
        query["shape"] = True
    words = [word for word in options(query) if not word.startswith("--shape")] + ["--shape"] * ("shape" in query)
    plan = plan_of(run_line(sandbox, "optimal", *words, "--json"))
    for key, value in flat(plan or {}):
        if key.rpartition(".")[2] in _COUNTS and isinstance(value, float) and value % 1:
            yield wrong(f"{key} is no whole number", query, value)


_COUNTS = {"params", "tokens", "gpus", "steps", "batch", "batch_tokens", "experts", "total_params", "unique_tokens"}


def no_figure_is_impossible(sandbox: Sandbox, rng: Random) -> Iterator[Finding]:
    """Losses, sizes and tokens are above 0, and an interval holds its value, above 0 and of some width."""
    if rng.random() < 0.4:
        rows = files.ladder(rng, rng.choice([5, 6, 8, 12]), sizes=rng.choice([2, 3, 4]), noise=1e-2)
        words = ["fit", "runs.csv", "--samples=20", f"--target={10 ** rng.uniform(18, 25):.3g}", "--json"]
        fitted = plan_of(run_line(sandbox, *words, contents={"runs.csv": files.written("csv", rows)}))
        plan = (fitted or {}).get("target")
        query: dict[str, Any] = {"runs": rows}
    else:
        query = {"flops": f"{10 ** rng.uniform(3, 35):.3g}", "preset": rng.choice(laws("optimal"))}
        plan = plan_of(run_line(sandbox, "optimal", *options(query), "--json"))
    if not plan:
        return
    for name in ("params", "tokens", "loss"):
        value, pair = plan[name], (plan["interval"] or {}).get(name)
        if value is not None and value <= 0:
            yield wrong(f"{name} is not above 0", query, value)
        if pair and not 0 < pair[0] <= value <= pair[1]:
            yield wrong(f"the interval of {name} is impossible", query, (value, pair))
        if pair and name == "loss" and pair[0] == pair[1]:
            yield wrong("the interval of the loss has no width", query, (value, pair))


def spellings_agree(sandbox: Sandbox, rng: Random) -> Iterator[Finding]:
    """The same amount written in several ways is the same question."""
    number = rng.randrange(1, 999)
    ways = {
        "params": [
            f"{number}B",
            f"{number}e9",
            f"{number}000M",
            f"{number},000,000,000",
            f"{number}_000_000_000",
            f"{number} B",
        ],
        "tokens": [f"{number}B", f"{number}e9", f"{number}000M", f"{number}B tokens", f"{number},000,000,000"],
    }
    answers = set()
    for params, tokens in zip(ways["params"], rng.sample(ways["tokens"], 5), strict=False):
        outcome = run_line(sandbox, "loss", f"--params={params}", f"--tokens={tokens}", "--json")
        answers.add(outcome.out or outcome.err)
    if len(answers) != 1:
        yield wrong("a way to write an amount is another amount", number, len(answers))


ORACLES: tuple[Oracle, ...] = (
    limits_are_kept,
    refusals_are_proven,
    a_loss_gives_its_budget_back,
    a_plan_is_its_own_run,
    no_grid_beats_a_plan,
    more_is_never_worse,
    formats_agree,
    a_stream_is_its_plans,
    python_is_the_command_line,
    a_sweep_is_its_plans,
    a_saved_result_shows_as_itself,
    a_project_is_its_plans,
    devices_only_help,
    an_amount_converts_back,
    a_fit_sees_the_runs_alone,
    a_gate_fails_closed,
    counts_are_whole,
    no_figure_is_impossible,
    spellings_agree,
)
"""Every oracle."""
