"""What judgements come to."""

import pytest

from scaleplan.project.check import EXIT_STATUSES, outcome


@pytest.mark.parametrize(
    "statuses, expected, exit_status",
    [
        ([], "within", 0),
        (["pass", "warn"], "within", 0),
        (["pass", "fail"], "violated", 1),
        (["fail", "error", "pass"], "unreadable", 2),
    ],
)
def test_the_worst_judgement_decides(statuses, expected, exit_status):
    """A warning is within; what cannot be judged outweighs a violation."""
    assert outcome(statuses) == expected
    assert EXIT_STATUSES[expected] == exit_status
