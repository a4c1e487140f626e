"""What training keeps for every parameter."""

import pytest
from tests.models.examples import LLAMA_3_8B

from scaleplan.errors import UnknownNameError, UsageError
from scaleplan.models.memory import STATES, states_of
from scaleplan.models.tuning import method_of
from scaleplan.models.weights import weights_of


def test_zero_shares_the_states_in_stages():
    """7.5B parameters on 64 devices need 120, 31.4, 16.6 and 1.9 GB (ZeRO, arXiv:1910.02054, figure 1)."""
    mixed = states_of("mixed")
    gigabytes = [7.5 * sum(mixed.shared(stage, 64)) for stage in range(4)]
    assert gigabytes == pytest.approx([120.0, 31.41, 16.64, 1.875], rel=1e-3)  # the paper prints 31.4, 16.6, 1.9


@pytest.mark.parametrize(
    ("name", "fixed", "shared"),
    [("mixed-fp16-megatron", 4, 16), ("mixed-fp32-grads", 6, 12), ("fp32", 8, 8), ("mixed", 4, 12)],
)
def test_a_distributed_optimizer_shares_only_its_own_states(name, fixed, shared):
    """Megatron-LM states 4 + 16/n, 6 + 12/n and 8 + 8/n bytes per parameter; ZeRO-1 is 4 + 12/n."""
    assert sum(states_of(name).shared(1, 8)) == pytest.approx(fixed + shared / 8)


def test_totals_are_those_of_the_sources():
    """Bytes per parameter on one device, by way of training."""
    assert {name: row.total for name, row in STATES.items()} == {
        "mixed": 16,
        "mixed-fp32-grads": 18,
        "mixed-fp16-megatron": 20,
        "fp32": 16,
        "bf16": 8,
        "8bit-adam": 10,
        "momentum": 12,
        "fp8": 13,
        "offload": 4,
    }


def test_full_sharding_leaves_nothing_whole():
    """Stage 3 divides every byte."""
    for row in STATES.values():
        assert sum(row.shared(3, 10)) == pytest.approx(row.total / 10)


def test_unknown_names_and_stages_are_refused():
    """The error lists what there is."""
    with pytest.raises(UnknownNameError, match="'adafactor'"):
        states_of("adafactor")
    with pytest.raises(UsageError, match="no ZeRO stage 4"):
        states_of("mixed").shared(4, 8)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mixed", {"precision": "mixed", "optimizer": "adamw"}),
        ("fp32", {"precision": "fp32", "optimizer": "adamw"}),
        ("bf16", {"precision": "bf16", "optimizer": "adamw"}),
        ("8bit-adam", {"precision": "mixed", "optimizer": "adamw-8bit"}),
        ("momentum", {"precision": "mixed", "optimizer": "lion"}),
        ("offload", {"precision": "mixed", "optimizer": "adamw", "offload": "optimizer"}),
    ],
)
def test_named_states_are_those_of_a_precision_and_an_optimizer(name, options):
    """Two ways to say the same; only the maxima of blocks, 1/64 byte a moment, are left out of the round name."""
    found = weights_of(LLAMA_3_8B, method_of(**options)[0]).states
    assert found == pytest.approx(STATES[name], abs=2 / 64)
