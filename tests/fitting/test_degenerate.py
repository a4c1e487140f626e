"""Runs that determine nothing end in an answer or in one error, and with no warning of a library."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from scaleplan.__main__ import run

SIZES, RATIOS = (1e7, 2e7, 4e7, 8e7), (5, 20, 80)

LOSSES = {
    "equal": lambda i, n: 2.5,
    "rising": lambda i, n: 1 + n / 1e9,
    "spread": lambda i, n: 10.0 ** (10 * i),
    "falling by size alone": lambda i, n: 3 - n / 1e9,
}


@pytest.mark.parametrize("options", [(), ("--tied",), ("--floor", "0"), ("--method", "all"), ("--robust", "none")])
@pytest.mark.parametrize("kind", LOSSES)
def test_runs_that_determine_nothing_are_no_bug(tmp_path, monkeypatch, capsys, kind, options):
    """Losses that do not change, rise, or differ by orders of magnitude."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{n:g},{r * n:g},{LOSSES[kind](i, n)}" for i, (n, r) in enumerate(product(SIZES, RATIOS))]
    Path("runs.csv").write_text("\n".join(["params,tokens,loss", *rows]))
    Path("five.csv").write_text("\n".join(["params,tokens,loss", *rows[::3][:4], rows[1]]))
    for words in (
        ("fit", "runs.csv", "--samples", "0", "--report", *options),
        ("fit", "five.csv", "--samples", "0", "--report", *options),
        ("design", "runs.csv", "--flops", "1e17", "--target", "1e19"),
    ):
        status = run([*words, "--json"])
        text = capsys.readouterr()
        assert status in (0, 1, 2), text.err
        assert "NaN" not in text.out
        assert "Infinity" not in text.out


def test_a_power_of_a_rising_share_is_warned_of(tmp_path, monkeypatch, capsys):
    """A power knows no ceiling, which a learning rate of the same shape does not need."""
    monkeypatch.chdir(tmp_path)
    for scale, warned in ((0.05, True), (0.0005, False)):
        rows = [
            f"{x:g},{scale * x**0.3 * (1 + 0.01 * (-1) ** k):.6g}" for k, x in enumerate((1, 3, 10, 30, 100, 300))
        ]
        Path("shares.csv").write_text("\n".join(["size,share", *rows]))
        assert run(["fit", "shares.csv", "--form", "power", "--x", "size", "--y", "share", "--samples", "0"]) == 0
        text = capsys.readouterr()
        assert ("share passes 1" in text.out + text.err) is warned
