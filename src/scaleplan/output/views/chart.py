"""A chart for people at a terminal: its title, the picture in braille, and what it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.charts.terminal import chart_lines
from scaleplan.output.report import Report

if TYPE_CHECKING:
    from scaleplan.charts.chart import Chart

__all__ = ["chart_report"]


def chart_report(chart: Chart) -> Report:
    """Return the report of a chart."""
    return Report(title=chart.title, drawing=("", *chart_lines(chart)), remarks=(chart.caption,))
