"""The trade between steps and tokens around the critical batch."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.advice.batch import Cluster, Tradeoff

BATCHES = st.floats(3, 9).map(lambda power: 10.0**power)


def test_the_expected_trade():
    """S_min = 1e4 and E_min = 1e9: at 2e4 steps 2e9 tokens, and the critical batch is 1e5 (arXiv:1812.06162)."""
    trade = Tradeoff(tokens_min=1e9, critical=1e5)
    assert trade.steps_min == pytest.approx(1e4, rel=1e-9)
    assert trade.steps(1e5) == pytest.approx(2e4, rel=1e-9)
    assert trade.tokens(1e5) == pytest.approx(2e9, rel=1e-9)


@given(batch=BATCHES, critical=BATCHES)
def test_every_batch_lies_on_the_hyperbola(batch, critical):
    """(S/S_min - 1)(E/E_min - 1) = 1 and E = B*S, which define the trade."""
    trade = Tradeoff(tokens_min=1e11, critical=critical)
    steps, tokens = trade.steps(batch), trade.tokens(batch)
    assert (steps / trade.steps_min - 1) * (tokens / trade.tokens_min - 1) == pytest.approx(1, rel=1e-6)
    assert batch * steps == pytest.approx(tokens, rel=1e-12)


def test_at_the_critical_batch_both_are_twice_their_least():
    """The definition of the critical batch."""
    trade = Tradeoff(tokens_min=1e11, critical=1e6)
    assert trade.steps(1e6) == pytest.approx(2 * trade.steps_min)
    assert trade.tokens(1e6) == pytest.approx(2 * trade.tokens_min)


@given(batch=st.floats(4096, 1e9), gpus=st.integers(1, 10_000))
def test_no_batch_is_faster_than_the_best(batch, gpus):
    """Among batches of at least a sequence, the one that feeds every accelerator wins."""
    trade = Tradeoff(tokens_min=1e11, critical=1e6)
    cluster = Cluster(flops_per_second=4e14, gpus=gpus, sequence=4096.0, gpus_per_replica=1.0)
    best = cluster.seconds(1e22, trade, cluster.best_batch(trade))
    assert best <= cluster.seconds(1e22, trade, batch) * (1 + 1e-12)
    assert best > cluster.floor_seconds(1e22, trade)


def test_with_any_number_of_accelerators_the_critical_batch_takes_twice_the_floor():
    """Time = F/rate * (1/G + sequence/B_crit) with B = G*sequence: twice its limit at B = B_crit."""
    trade = Tradeoff(tokens_min=1e11, critical=2**20)
    cluster = Cluster(flops_per_second=4e14, gpus=None, sequence=4096.0, gpus_per_replica=8.0)
    seconds = cluster.seconds(1e22, trade, cluster.best_batch(trade))
    assert cluster.best_batch(trade) == 2**20
    assert cluster.fed(2**20) == 2048
    assert seconds == pytest.approx(2 * cluster.floor_seconds(1e22, trade), rel=1e-12)
    assert seconds == pytest.approx(2 * 1e22 / (2048 * 4e14), rel=1e-12)


def test_half_a_sequence_feeds_one_replica():
    """A batch cannot be spread over less than one replica."""
    cluster = Cluster(flops_per_second=1.0, gpus=None, sequence=4096.0, gpus_per_replica=4.0)
    assert cluster.fed(100.0) == 4
    assert math.isclose(cluster.fed(8192.0), 8)
