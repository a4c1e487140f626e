"""The answer about a running training: the forecast beside the plan, the verdict, and what is left."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from tests.tracking import ending_curves

import scaleplan as sp
from scaleplan.errors import FileError, UnknownNameError, UsageError
from scaleplan.hardware.budget import BudgetRequest
from scaleplan.logs.recorder import Recorder
from scaleplan.planning.context import Context
from scaleplan.tracking import track as tracking
from scaleplan.tracking.alarm import Alarm, CourseCheck
from scaleplan.tracking.ending import Ending, forecast_end
from scaleplan.tracking.pace import pace_of, steps_per_second
from scaleplan.tracking.planned import Planned, PlanSource, in_unit, of_run, planned_in
from scaleplan.tracking.registered import LossInterval, content_hash
from scaleplan.tracking.stopping import parse_condition
from scaleplan.tracking.verdict import FALL, compared, look_again, since_when, verdict_of


def logged(name="run", *, steps=600, total=1000, every=1, pause_at=None, **stated):
    """Return a run whose loss falls as a power law with a little noise, and whose steps take two seconds."""
    recorder = Recorder(name, f"{name}.log", line=1, format_name="test")
    recorder.state(total_steps=total, **stated)
    noise = np.random.default_rng(1)
    for step in range(every, steps + 1, every):
        seconds = 2.0 * step + (10_000.0 if pause_at is not None and step > pause_at else 0.0)
        loss = (2.0 + 2.0 * step**-0.4) * math.exp(noise.normal(0, 0.004))
        recorder.add(step, {"loss": loss, "seconds": seconds, "lr": 1e-3})
    return recorder.run()


def ending(loss=2.2, sd=0.005, *, upper_bound=False):
    """Return a forecast without methods."""
    return Ending(
        loss=loss,
        level=0.9,
        interval=(loss * math.exp(-1.645 * sd), loss * math.exp(1.645 * sd)),
        sd=sd,
        upper_bound=upper_bound,
        methods=(),
    )


def planned(loss=2.2, low=None, high=None):
    """Return a planned loss that judges."""
    interval = None if low is None else LossInterval(level=0.9, loss=(low, high))
    return Planned(source=PlanSource(kind="plan", name="mine", judges=True), loss=loss, interval=interval)


def registered():
    """Return a registered forecast by a law of runs of one's own."""
    made = sp.register(params="1B", tokens="20B")
    made = replace(made, preset="my-law", runs="pilots.csv", runs_sha256="0" * 64)
    return replace(made, sha256=content_hash(made.to_dict()))


class TestVerdict:
    @pytest.mark.parametrize(
        ("end", "plan", "verdict"),
        [
            (ending(2.2), planned(2.2, 2.18, 2.22), "on course"),
            (ending(2.3), planned(2.2, 2.18, 2.22), "worse"),
            (ending(2.1), planned(2.2, 2.18, 2.22), "better"),
            (ending(2.2, sd=0.05), planned(2.2, 2.18, 2.22), "too early"),
            (ending(2.2, sd=0.05), planned(2.2, 2.0, 2.45), "on course"),  # no wider than the plan itself
            (ending(2.3, upper_bound=True), planned(2.2, 2.18, 2.22), "too early"),  # a decay may still come
            (ending(2.1, upper_bound=True), planned(2.2, 2.18, 2.22), "better"),  # and makes this only lower
            # an sd of 0.5 % explains 1.2 %: 2.39 times as much leaves each of six looks a sixth of 10 %
            (ending(2.224), planned(2.2), "on course"),
            (ending(2.23), planned(2.2), "worse"),
        ],
    )
    def test_a_forecast_is_judged_by_what_both_uncertainties_explain(self, end, plan, verdict):
        assert compared(end, plan, level=0.9) == verdict

    @pytest.mark.parametrize(
        ("comparison", "kind", "verdict"),
        [
            (None, "worse", "worse"),
            ("on course", "worse", "worse"),
            ("too early", "better", "better"),
            ("better", "worse", "better"),  # the forecast knows of the departure
            ("worse", "better", "worse"),
            ("better", "diverging", "diverging"),
            ("on course", None, "on course"),
            (None, None, None),
        ],
    )
    def test_a_departure_counts_unless_the_forecast_settles_the_opposite(self, comparison, kind, verdict):
        alarm = None if kind is None else Alarm(kind=kind, since=1.0, size=0.01)
        assert verdict_of(comparison, alarm) == verdict

    def test_a_verdict_holds_since_the_first_of_the_looks_that_agree(self):
        assert since_when("worse", lambda share: "worse" if share >= 0.5 else "on course") == 0.5
        assert since_when("worse", lambda share: "on course") is None
        assert since_when("worse", lambda share: "worse" if share != 0.6 else "too early") == 0.7


class TestNextLook:
    def test_it_is_where_the_interval_has_halved(self):
        """The error falls as ((1 - s)/s)^0.9: from half of the run on it is half as large at 0.684."""
        look = look_again(0.5, ending(), None, None, level=0.9)
        odds = (1 - look.seen) / look.seen
        assert odds**FALL == pytest.approx(0.5)
        assert look.reason == "the interval is half as wide"

    def test_or_where_the_verdict_may_change_first(self):
        """At a difference of 0.7 % an sd of 0.5 % explains it, and one of 0.29 % does not."""
        look = look_again(0.5, ending(2.2 * math.exp(0.007)), planned(2.2), "on course", level=0.9)
        sd = 0.005 * ((1 - look.seen) / look.seen) ** FALL
        assert 2.394 * sd == pytest.approx(0.007, rel=1e-3)
        assert look.reason == "the verdict may change"

    def test_before_a_decay_it_waits_for_what_is_left_to_fall(self):
        """At a constant rate to 80 %, most of the fall in the decay after it: half is left in the midst of it."""
        way = [(0.5, math.log(1.04)), (0.8, math.log(1.03)), (1.0, 0.0)]
        path = tuple((1000 * share, 2.2 * math.exp(left), 2.0, 2.4) for share, left in way)
        look = look_again(0.5, replace(ending(), path=path), None, None, level=0.9)
        assert look.seen == pytest.approx(0.8 + 0.2 * (1 - 0.5 * math.log(1.04) / math.log(1.03)))

    @pytest.mark.skipif(not ending_curves.DATA.is_dir(), reason="the shared data are not beside this repository")
    @pytest.mark.parametrize("plan", ["wsd_20000_24000", "cosine_24000"])
    def test_the_interval_has_halved_when_it_says_so(self, plan):
        curve = ending_curves.multi_power()[f"400M/{plan}"]
        now = forecast_end(ending_curves.cut(curve, 0.5))
        look = look_again(0.5, now, None, None, level=0.9)
        then = forecast_end(ending_curves.cut(curve, look.seen))
        assert 0.3 < then.sd / now.sd < 0.6

    def test_none_at_the_end(self):
        assert look_again(0.995, ending(), None, None, level=0.9) is None


class TestConditions:
    @pytest.fixture
    def run(self, monkeypatch):
        monkeypatch.setattr(tracking, "read_logs", lambda _: iter([logged()]))
        alarm = Alarm(kind="worse", since=300.0, size=0.02)
        monkeypatch.setattr(tracking, "check_course", lambda *_: CourseCheck(alarm=alarm, conclusive=True))
        monkeypatch.setattr(tracking, "forecast_end", lambda *_, **__: ending(2.2, sd=0.01))
        return sp.track("run.log")

    @pytest.mark.parametrize(
        ("text", "met"),
        [
            ("loss > 2.1", True),
            ("loss > 2.25", False),
            ("loss > 2.17@90%", True),  # the lower end of the one-sided 90 % interval is 2.2 exp(-1.2816 * 0.01)
            ("loss > 2.175@90%", False),
            ("loss@90% > 2.17", True),
            ("loss > 2.19@60%", True),
            ("loss > 2.22@20%", False),  # 18 %
            ("loss > 2.215@20%", True),  # 25 %
            ("loss < 2.23@90%", True),
            ("loss < 2.225@90%", False),
            ("verdict = worse", True),
            ("verdict == worse", True),
            ("verdict = diverging", False),
            ("verdict = too-early", False),
            ("days_left > 0.005", True),  # 400 steps of two seconds are 0.0093 days
            ("days_left > 1", False),
            ("cost_left > 1", False),  # not known
            ("seen >= 50%", True),
        ],
    )
    def test_a_condition_is_met_or_not(self, run, text, met):
        assert (parse_condition(text).met(run) is not None) == met

    @pytest.mark.parametrize(
        "text", ["", "loss", "loss > ", "verdict", "verdict = bad", "verdict > worse", "days_left > 3@90%",
                 "loss = 2@90%", "los > 2", "loss > 2.1@190%", "loss > 2.1@"],
    )  # fmt: skip
    def test_what_is_no_condition_is_refused(self, text):
        with pytest.raises(UsageError):
            parse_condition(text)

    def test_the_reasons_are_kept(self, monkeypatch, run):
        found = sp.track("run.log", fail_on=["verdict = worse", "loss > 3"])
        assert found.stopped_by == ("the verdict is worse since step 300",)


class TestPace:
    def test_the_median_leaves_pauses_out(self):
        """Two seconds a step, whatever stood still between."""
        assert steps_per_second(logged(pause_at=550), None, None) == pytest.approx(0.5)

    def test_days_and_cost_are_of_the_measured_speed(self):
        """400 steps of two seconds on 8 devices at 3 dollars: 800 s and 5.33 dollars."""
        pace = pace_of(
            logged(), Context(), steps_left=400, tokens_per_step=1e6, params=1e9,
            request=BudgetRequest(gpu="h100-sxm", gpus=8.0, price=3.0),
        )  # fmt: skip
        assert pace.days_left == pytest.approx(800 / 86400)
        assert pace.cost_left == pytest.approx(800 / 3600 * 8 * 3)
        assert pace.tokens_per_second == pytest.approx(5e5)
        # 6 · 1e9 · 5e5 FLOP/s over 8 · 989.4 TFLOP/s (dense bf16 of an H100 SXM)
        assert pace.mfu == pytest.approx(3e15 / (8 * 989.4e12), rel=1e-3)

    def test_more_than_the_peak_is_refused(self):
        with pytest.raises(UsageError, match="of the peak"):
            pace_of(
                logged(), Context(), steps_left=400, tokens_per_step=1e6, params=1e11,
                request=BudgetRequest(gpu="h100-sxm", gpus=8.0),
            )  # fmt: skip


class TestPlans:
    def test_a_saved_plan_of_a_published_law_does_not_judge(self, tmp_path):
        path = tmp_path / "plan.json"
        plan = sp.optimal(gpus=8, gpu="h100-sxm", time="10d")
        path.write_text(json.dumps(plan.to_dict()))
        found = planned_in(path)
        assert found.loss == plan.loss
        assert not found.source.judges
        assert (found.params, found.tokens, found.gpu, found.gpus) == (plan.params, plan.tokens, "h100-sxm", 8)
        assert found.mfu == plan.budget.mfu

    def test_a_plan_by_a_law_of_ones_own_judges_in_the_same_unit_only(self, tmp_path):
        path = tmp_path / "plan.json"
        data = sp.optimal(flops="1e21").to_dict() | {"loss_text": None}
        path.write_text(json.dumps(data))
        assert in_unit(planned_in(path), "nats").source.judges
        assert in_unit(planned_in(path), "bpb").code == "no_verdict"
        path.write_text(json.dumps(data | {"loss_unit": "bits/byte"}))
        assert in_unit(planned_in(path), "nats").code == "no_verdict"
        assert in_unit(planned_in(path), "bpb").source.judges
        path.write_text(json.dumps(data | {"loss_unit": "not stated"}))
        assert [notice.code for notice in in_unit(planned_in(path), "nats").warnings] == ["loss_unit"]

    @pytest.mark.parametrize(
        ("params", "tokens", "judges"),
        [(1e9, 2e10, True), (1.2e9, 2.08e10, True), (1e9, 2.2e10, False), (2e9, 2e10, False), (None, None, True)],
    )
    def test_a_plan_judges_a_run_of_its_size_and_tokens_only(self, params, tokens, judges):
        own = replace(planned(), params=1e9, tokens=2e10)
        found = of_run(own, params=params, tokens=tokens).source
        assert found.judges is judges
        assert judges or "20.0B tokens" in found.reason or "1.00B parameters" in found.reason

    @pytest.mark.parametrize(
        "change", [{"loss": None}, {"loss": "x"}, {"loss": -1}, {"interval": {"level": 2, "loss": [1, 2]}},
                   {"interval": {"level": 0.9, "loss": [3, 2]}}, {"params": True}, {"schema": "scaleplan/fit/1"}],
    )  # fmt: skip
    def test_a_damaged_plan_is_refused(self, tmp_path, change):
        path = tmp_path / "plan.json"
        path.write_text(json.dumps(sp.optimal(flops="1e21").to_dict() | change))
        with pytest.raises(FileError):
            planned_in(path)

    def test_a_registered_forecast_judges_and_is_checked(self, tmp_path):
        path = tmp_path / "forecast.json"
        forecast = registered()
        path.write_text(json.dumps(forecast.to_dict()))
        found = planned_in(path)
        assert found.source.judges
        assert found.interval == LossInterval(level=0.9, loss=forecast.at(0.9))
        path.write_text(json.dumps(forecast.to_dict() | {"loss": 2.0}))
        with pytest.raises(FileError, match="changed"):
            planned_in(path)

    def test_a_registered_forecast_of_a_published_law_stands_beside_alone(self, tmp_path):
        path = tmp_path / "forecast.json"
        forecast = sp.register(params="1B", tokens="20B")
        path.write_text(json.dumps(forecast.to_dict()))
        found = planned_in(path)
        assert found.loss == forecast.loss
        assert not found.source.judges
        assert "another text" in found.source.reason


class TestTrack:
    @pytest.fixture(autouse=True)
    def _log(self, monkeypatch):
        self.runs = [logged()]
        monkeypatch.setattr(tracking, "read_logs", lambda _: iter(self.runs))

    def test_a_forecast_near_the_truth(self):
        """The curve ends at 2 + 2 · 1000^-0.4 = 2.126."""
        found = sp.track("run.log", schedule="constant")
        low, high = found.interval.loss
        assert low <= 2 + 2 * 1000**-0.4 <= high
        assert (found.schedule, found.upper_bound) == ("constant", False)
        assert sp.track("run.log").upper_bound  # a decay may still come
        assert found.seen == pytest.approx(0.6)
        assert found.verdict is None
        assert "no_plan" in [notice.code for notice in found.warnings]
        assert found.days_left == pytest.approx(800 / 86400)

    def test_the_end_is_where_the_options_say(self):
        assert sp.track("run.log", steps=2000).total_steps == 2000
        self.runs = [logged(tokens_per_step=1e6)]
        assert sp.track("run.log", tokens="2B").total_steps == 2000
        with pytest.raises(UsageError, match="two places"):
            sp.track("run.log", tokens="2B", steps=1500)
        with pytest.raises(UsageError, match="already"):
            sp.track("run.log", steps=500)
        self.runs = [logged(total=None)]
        with pytest.raises(UsageError, match="where the run will end"):
            sp.track("run.log")
        with pytest.raises(UsageError, match="--tokens"):
            sp.track("run.log", tokens="2B")
        assert sp.track("run.log", tokens="2B", steps=2000).total_tokens == 2e9

    def test_several_runs_need_a_name(self):
        self.runs = [logged("a"), logged("b")]
        with pytest.raises(UsageError, match="a, b") as error:
            sp.track("run.log")
        assert "--run" in error.value.hint
        assert sp.track("run.log", run="b").run == "b"
        with pytest.raises(UnknownNameError):
            sp.track("run.log", run="c")

    def test_a_loss_without_a_square_is_none(self, tmp_path, monkeypatch):
        monkeypatch.undo()
        path = tmp_path / "run.csv"
        path.write_text("step,loss\n" + "".join(f"{step},{3 - step / 300}e300\n" for step in range(1, 100)))
        with pytest.raises(FileError, match="no numbers above 0"):
            sp.track(path, steps=200)

    def test_the_run_itself_and_larger_runs_are_no_smaller_ones(self, tmp_path, monkeypatch):
        monkeypatch.undo()
        rows = [f"{{}},{{}},{step * 1000},{2 + 4 * step**-0.4 + step % 3 / 500:.4f}" for step in range(1, 100)]
        log, pilots = tmp_path / "run.csv", tmp_path / "pilots.csv"
        log.write_text("\n".join(["run,params,tokens,loss", *(row.format("big", 10**9) for row in rows)]))
        others = (("big", 10**9), ("a", 10**7), ("b", 2 * 10**9))
        rows = [
            row.format(*each).replace(".2", ".3" if each[0] != "big" else ".2") for each in others for row in rows
        ]
        pilots.write_text("\n".join(["run,params,tokens,loss", *rows]))
        found = sp.track(log, tokens=200_000, pilots=pilots)
        assert found.smaller_runs == 2
        assert {"own_pilot", "larger_pilots"} <= {each.code for each in found.warnings}

    def test_two_plans_are_refused(self):
        with pytest.raises(UsageError, match="twice"):
            sp.track("run.log", plan="plan.json", preset="besiroglu-2024")

    def test_a_published_law_stands_beside_without_a_verdict(self):
        found = sp.track("run.log", preset="besiroglu-2024", params="1B", tokens="20B")
        assert found.plan_loss == sp.loss(params="1B", tokens="20B").loss
        assert found.verdict is None
        assert found.plan_source.reason is not None
        assert (found.total_tokens, found.tokens) == (2e10, 1.2e10)  # by the steps that the log states
        with pytest.raises(UsageError, match="parameters"):
            sp.track("run.log", preset="besiroglu-2024", tokens="20B")
        with pytest.raises(UsageError, match="tokens"):
            sp.track("run.log", preset="besiroglu-2024", params="1B")

    def test_a_lost_loss_diverges(self):
        recorder = Recorder("run", "run.log", line=1, format_name="test")
        recorder.state(total_steps=1000)
        for step in range(1, 401):
            recorder.add(step, {"loss": 2 + 2 * step**-0.4 if step <= 390 else math.nan})
        self.runs = [recorder.run()]
        found = sp.track("run.log")
        assert found.verdict == "diverging"
        assert found.since.step == pytest.approx(391, abs=1)
        assert found.loss is None

    def test_few_points_say_so(self, tmp_path):
        self.runs = [logged(every=50)]
        path = tmp_path / "forecast.json"
        path.write_text(json.dumps(registered().to_dict()))
        assert sp.track("run.log", plan=path).verdict == "too few points"

    def test_a_validation_loss_is_preferred_where_there_are_enough_points(self):
        recorder = Recorder("run", "run.log", line=1, format_name="test")
        recorder.state(total_steps=1000)
        for step in range(1, 601):
            recorder.add(step, {"loss": 2 + 2 * step**-0.4} | ({"val_loss": 2.1} if step % 20 == 0 else {}))
        self.runs = [recorder.run()]
        law = {"preset": "besiroglu-2024", "params": "1B", "tokens": "20B", "steps": 1000}
        assert sp.track("run.log", **law).metric == "validation"
        assert sp.track("run.log").metric == "training"
        assert sp.track("run.log", loss="val").metric == "validation"
        assert sp.track("run.log", **law, loss="train").metric == "training"
        with pytest.raises(UnknownNameError):
            sp.track("run.log", loss="test")
