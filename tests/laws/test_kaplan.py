"""Kaplan et al. 2020 (arXiv:2001.08361): its own conventions, and its disagreements with itself."""

from __future__ import annotations

import pytest

from scaleplan.presets.library import Library

PF_DAY = 8.64e19


@pytest.fixture
def law():
    return Library().load("kaplan-2020").law


def test_the_budget_is_that_of_training_at_the_critical_batch(law):
    """Hoffmann et al. 2022 quote 4.68B for this law at 1e21 FLOP, which only C_min = C/2 gives."""
    assert law.split(1e21)[0] == pytest.approx(4.68e9, rel=1e-3)


def test_small_batches_reach_more_with_the_same_compute(law):
    """C_min = C instead of C/2: 2^0.73 times the size, and a lower loss."""
    small = law.with_regime("small")
    assert small.split(1e21)[0] / law.split(1e21)[0] == pytest.approx(2**0.73, rel=1e-12)
    assert small.frontier_loss(1e21) / law.frontier_loss(1e21) == pytest.approx(0.5**0.05, rel=1e-12)


def test_table_6_is_kept_as_printed(law):
    """At one PF-day: 1.3e9 parameters, 2e6 tokens a batch, 5.4e3 steps, 2e10 tokens, and loss (3.1e8)^0.05."""
    assert law.optimal_params(PF_DAY) == pytest.approx(1.3e9, rel=1e-12)
    assert law.optimal_batch_tokens(PF_DAY) == pytest.approx(2.0e6, rel=1e-12)
    assert law.optimal_steps(PF_DAY) == pytest.approx(5.4e3, rel=1e-12)
    assert law.optimal_tokens(PF_DAY) == pytest.approx(2e10, rel=1e-12)
    assert law.loss_of_compute(PF_DAY) == pytest.approx(3.1e8**0.05, rel=1e-12)


def test_the_tokens_of_the_budget_support_table_6(law):
    """D = 2 C_min/(6N) is 2.2e10 at one PF-day: 10 % above Table 6, and half of equation 6.7's 4e10."""
    tokens = law.split(2 * PF_DAY)[1]
    assert tokens == pytest.approx(2.2e10, rel=0.01)


def test_the_learning_rate_turns_negative_above_its_range(law):
    """Near 1.2e10 parameters; the authors limit the rule to 1e10."""
    assert law.learning_rate(1e10) > 0
    assert law.learning_rate(1.25e10) < 0


def test_the_surface_is_not_the_source_of_the_allocation(law):
    """The optimum of L(N, D) at 6ND grows as C^0.575, not C^0.73: alpha_D/(alpha_N + alpha_D)."""

    def best(product):
        sizes = [10 ** (6 + i / 2000) for i in range(16_000)]
        return min(sizes, key=lambda size: law.loss(size, product / size))

    assert best(1e22) / best(1e20) == pytest.approx(100**0.575, rel=5e-3)
