"""The least time of a run, and what sets it."""

import pytest
from tests.models.examples import LLAMA_3_8B, LLAMA_3_405B

from scaleplan.models.memory import Parallel
from scaleplan.models.walltime import Machine, beyond_utilisation, least_time, step_latency

H100 = Machine(flops_per_second=989.4e12 * 0.41, bandwidth=3.35e12)
RUN = {"flops": 3.8e25, "tokens": 15.6e12, "sequence": 8192, "batch_tokens": 2048 * 8192}


def test_a_405b_run_takes_66_days_of_compute():
    """3.8e25 FLOP on 16,384 devices of 989 TFLOP/s at 41 % (Llama-3.1-405B)."""
    found = least_time(LLAMA_3_405B, H100, parallel=Parallel(tensor=8, pipeline=16), gpus=16_384, **RUN)
    assert found.days == pytest.approx(66, abs=0.5)
    assert found.binds == "compute"
    assert found.most_devices == 262_144


def test_more_devices_than_the_batch_feeds_do_not_help():
    """2048 sequences feed 2048 replicas of 8 devices, whether 20,000 or a million are there."""
    found = [
        least_time(LLAMA_3_405B, H100, parallel=Parallel(tensor=8), gpus=gpus, **RUN) for gpus in (20_000, 10**6)
    ]
    assert found[0] == found[1]
    assert (found[0].binds, found[0].devices) == ("batch", 16_384)


def test_a_step_of_a_hundred_layers_waits_10_to_20_ms():
    """Collectives and kernels that depend on each other, whatever the bandwidth."""
    assert 0.010 < step_latency(100) < 0.020


def test_small_steps_are_bound_by_latency_or_movement():
    """A small batch on many devices leaves each so little compute that the rest decides."""
    tiny = {"flops": 1e21, "tokens": 2e10, "sequence": 128, "batch_tokens": 128 * 64}
    fast = Machine(flops_per_second=1e16, bandwidth=1e14, network=1e13)
    assert least_time(LLAMA_3_8B, fast, parallel=Parallel(tensor=8), **tiny).binds == "latency"
    slow = Machine(flops_per_second=1e16, bandwidth=1e14, network=1e10)
    assert least_time(LLAMA_3_8B, slow, parallel=Parallel(tensor=8), **tiny).binds == "movement"


def test_runs_beyond_1e28_flop_in_three_months_are_warned_of():
    """1e28 FLOP in 90 days is where utilisation starts to fall (arXiv:2411.01137); a longer run may have more."""
    assert beyond_utilisation(0.99e28, 90) is None
    assert beyond_utilisation(1.9e28, 180) is None
    notice = beyond_utilisation(1.01e28, 90)
    assert notice is not None
    assert notice.code == "beyond_utilisation"
