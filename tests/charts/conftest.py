"""Planners and charts that the tests of pictures share."""

from __future__ import annotations

import pytest

from scaleplan.charts import planning_plots as curves
from scaleplan.charts import planning_plots as planning
from scaleplan.planning.context import Context
from scaleplan.planning.planner import Planner
from scaleplan.planning.request import Request

CONTEXT = Context()


def planner_of(**words):
    """Return the planner of a question in the words of the options."""
    return Planner.of(Request.of(words, CONTEXT), CONTEXT)


@pytest.fixture(autouse=True, scope="session")
def _bundled_data_only(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCALEPLAN_PRESETS", str(tmp_path_factory.mktemp("presets")))
        yield


@pytest.fixture(scope="session")
def planner():
    """Return the default law without bounds."""
    return planner_of(preset="besiroglu-2024")


@pytest.fixture(scope="session")
def charts(planner):
    """Return the pictures of planning for 1e21 FLOP, by kind."""
    budgets = curves.budgets_around(planner.preset, (1e23,))
    laws = [planner_of(preset=name) for name in ("besiroglu-2024", "hoffmann-2022-a2", "kaplan-2020")]
    drawn = (
        planning.frontier_chart(planner, budgets, at=1e23),
        planning.isoflop_chart(planner, [1e20, 1e21, 1e23]),
        planning.loss_chart(planner, budgets, at=1e23),
        planning.compare_chart(laws, budgets, at=1e23),
        planning.money_chart(planner, budgets, at=1e21, steps=[*planning.next_steps(planner, 1e21)]),
    )
    return {chart.kind: chart for chart in drawn}
