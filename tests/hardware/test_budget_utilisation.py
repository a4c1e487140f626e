"""The circle between the utilisation and the size of the model it pays for."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from scaleplan.hardware.budget import consistent_mfu
from scaleplan.hardware.utilisation import Utilisation

EDGES = (0.5e9, 3e9, 10e9, 30e9)


def stepped(values, edges=EDGES):
    """Return utilisation as a step function of the size, as the table gives it."""

    def at(params):
        mfu = values[sum(params >= edge for edge in edges)]
        return Utilisation(mfu=mfu, goodput=1.0, profile="typical", source="test", band=None)

    return at


def test_a_size_inside_a_step_is_its_own_answer():
    """Far from the steps the utilisation is simply that of the size it pays for."""
    found = consistent_mfu(stepped([0.35, 0.45, 0.45, 0.45, 0.40]), lambda u: 1e9 * u / 0.4, EDGES)
    assert (found.utilisation.mfu, found.consistent) == (0.45, True)
    assert found.params == 1e9 * 0.45 / 0.4


def test_of_two_answers_the_lower_is_taken():
    """Where both 0.35 and 0.45 agree with the size they pay for, 0.35 promises less."""
    found = consistent_mfu(stepped([0.35, 0.45, 0.45, 0.45, 0.40]), lambda u: 0.5e9 * u / 0.40, EDGES)
    assert (found.utilisation.mfu, found.consistent) == (0.35, True)


def test_a_two_cycle_takes_the_lower_of_its_two():
    """0.45 pays for more than 30B, where 0.40 holds; 0.40 pays for less, where 0.45 holds: 0.40, and said."""
    found = consistent_mfu(stepped([0.35, 0.45, 0.45, 0.45, 0.40]), lambda u: 30e9 * u / 0.42, EDGES)
    assert (found.utilisation.mfu, found.consistent) == (0.40, False)
    assert found.params == 30e9 * 0.40 / 0.42


@settings(max_examples=300)
@given(
    values=st.lists(st.sampled_from([0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5]), min_size=5, max_size=5),
    reference=st.floats(1e7, 1e12),
    exponent=st.floats(0, 1),
)
def test_the_answer_agrees_with_itself_or_errs_on_the_low_side(values, reference, exponent):
    """For any steps: consistent means exactly so, otherwise the plan would reach more than was assumed."""
    at = stepped(values)
    calls = []

    def params_at(utilisation):
        calls.append(utilisation)
        return reference * (utilisation / 0.3) ** exponent

    found = consistent_mfu(at, params_at, EDGES)
    assert len(calls) <= len(set(values))
    reached = at(found.params).mfu
    if found.consistent:
        assert reached == found.utilisation.mfu
        assert all(at(params_at(lower)).mfu != lower for lower in set(values) if lower < reached)
    else:
        assert reached > found.utilisation.mfu
        assert all(at(params_at(value)).mfu != value for value in set(values))
