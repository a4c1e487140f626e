"""Layouts for clusters: feasible, in the order of practice, and the fewest devices."""

import pytest
from tests.models.examples import LLAMA_2_7B, LLAMA_3_8B, LLAMA_3_405B, decoder, find_layout

from scaleplan.hardware.accelerators import Accelerators
from scaleplan.models.layout import FixedLayout, LayoutSearch, linked_devices
from scaleplan.models.memory import Footprint, Parallel, Training, training_memory
from scaleplan.models.sequences import Batch
from scaleplan.models.walltime import most_devices

SERVER = {"memory_bytes": 80e9, "linked": 8}


def test_a_405b_is_divided_by_tensor_and_pipeline():
    """On 16,384 devices of 80 GB: eight tensor ways as published, a pipeline, 16M tokens a step, little bubble."""
    found = find_layout(LLAMA_3_405B, gpus=16_384, sequence=8192, batch_tokens=2048 * 8192, **SERVER)
    assert found.parallel.tensor == 8
    assert found.parallel.pipeline > 1
    assert found.parallel.devices == 16_384
    assert found.tokens_per_step == 2048 * 8192
    assert found.bubble <= 0.25
    assert found.memory.fits(80e9)


def test_the_published_division_is_kept_where_it_is_given():
    """Llama-3.1-405B: t = 8 and p = 16 leave dp = 128 and m = 16 micro-batches of one sequence."""
    fixed = FixedLayout(tensor=8, pipeline=16, micro_batch=1)
    found = find_layout(LLAMA_3_405B, gpus=16_384, sequence=8192, batch_tokens=2048 * 8192, fixed=fixed, **SERVER)
    assert (found.parallel.data, found.training.accumulation, found.training.micro_batch) == (128, 16, 1)
    half = find_layout(LLAMA_3_405B, gpus=8192, sequence=8192, batch_tokens=2048 * 8192, fixed=fixed, **SERVER)
    assert (half.parallel.data, half.training.accumulation) == (64, 32)


def test_a_batch_feeds_only_so_many_devices():
    """16M tokens of 8192-token sequences with t = 8, p = 16: 16,384 devices for m = p, 262,144 for m = 1."""
    batch = {"batch_tokens": 2048 * 8192, "sequence": 8192, "replica": 128}
    assert most_devices(**batch, micro_batches=16) == 16_384
    assert most_devices(**batch) == 262_144


def test_full_sharding_alone_comes_first():
    """A model of 7B on 8 devices is sharded over them; nothing else divides it."""
    found = find_layout(LLAMA_2_7B, gpus=8, sequence=4096, batch_tokens=2**22, **SERVER)
    assert found.parallel == Parallel(data=8, zero=found.parallel.zero)
    cards = find_layout(LLAMA_2_7B, gpus=8, memory_bytes=24e9, linked=1, sequence=4096, batch_tokens=2**20)
    assert cards.parallel == Parallel(data=8, zero=3)
    assert cards.training.recompute == "full"


def test_a_step_has_a_sequence_for_every_replica():
    """A wanted batch below the devices is divided by tensor where linked, and raised where it cannot be."""
    linked = find_layout(LLAMA_3_8B, gpus=64, sequence=8192, batch_tokens=16 * 8192, **SERVER)
    assert linked.sequences_per_step == 16
    apart = find_layout(LLAMA_3_8B, gpus=64, memory_bytes=80e9, linked=1, sequence=8192, batch_tokens=8 * 8192)
    assert apart.sequences_per_step == 64


def test_states_are_kept_as_they_are_given():
    """3.0B parameters need 48 GB of states with Adam, 12 GB with the optimizer in host memory: no silent change."""
    small = decoder(layers=32, width=2560, heads=32, kv_heads=32, head_size=80, ffn_width=8192, vocab=32000)
    card = {"memory_bytes": 24e9, "linked": 1, "sequence": 2048}
    search = LayoutSearch(small, **card)
    assert search.best(1, Batch(2**8)) is None
    assert search.excess(1).text.startswith("the states need 48.3 GB")
    offloaded = find_layout(small, gpus=1, batch_tokens=2**19, fixed=FixedLayout(states="offload"), **card)
    assert offloaded.training.states == "offload"


def test_what_cannot_fit_says_how_many_could():
    """7B on one card of 24 GB: what is too large, by how much, and that six would do."""
    search = LayoutSearch(LLAMA_2_7B, memory_bytes=24e9, linked=1, sequence=4096)
    assert "80 % of a GPU" in search.excess(1).text
    assert search.fewest == 6
    assert search.best(5, Batch(2**8)) is None
    assert search.best(6, Batch(2**8)).memory.fits(24e9)


def test_more_than_512_devices_share_states_in_groups():
    """Hybrid sharding: full sharding within 512 devices, the same in each group."""
    found = find_layout(LLAMA_2_7B, gpus=2048, sequence=4096, batch_tokens=2048 * 4096, **SERVER)
    assert (found.parallel.data, found.parallel.zero) in {(2048, 1), (2048, 3)}
    fixed = FixedLayout(zero=3)
    sharded = find_layout(LLAMA_2_7B, gpus=2048, sequence=4096, batch_tokens=2048 * 4096, fixed=fixed, **SERVER)
    assert (sharded.parallel.groups, sharded.parallel.share) == (4, 512)
    whole = training_memory(LLAMA_2_7B, sharded.training, Parallel(data=2048, zero=3))
    assert sharded.memory.states == pytest.approx(4 * whole.states)


def test_the_largest_micro_batch_is_the_last_that_fits():
    """One more sequence does not."""
    training, parallel = Training(sequence=2048, recompute="full"), Parallel(data=8, zero=3)
    largest = Footprint(LLAMA_2_7B).largest_micro_batch(training, parallel, memory_bytes=80e9)

    def fits(sequences: int) -> bool:
        more = Training(sequence=2048, recompute="full", micro_batch=sequences)
        return training_memory(LLAMA_2_7B, more, parallel).fits(80e9)

    assert fits(largest)
    assert not fits(largest + 1)


def test_experts_are_spread_over_data_parallel_devices():
    """Eight experts of a 47B mixture go to different devices when states need it."""
    mixture = decoder(
        layers=32,
        width=4096,
        heads=32,
        kv_heads=8,
        head_size=128,
        ffn_width=14336,
        vocab=32000,
        experts={"count": 8, "per_token": 2, "inner": 14336, "layers": 32},
    )
    fixed = FixedLayout(expert=8, zero=1, tensor=1, pipeline=1)
    found = find_layout(mixture, gpus=64, sequence=4096, batch_tokens=2**22, fixed=fixed, **SERVER)
    assert found.parallel.expert == 8
    whole = training_memory(mixture, found.training, Parallel(data=64, zero=1))
    assert found.memory.states < 0.3 * whole.states


def test_links_are_those_of_servers_or_none():
    """Server fabrics link eight devices; cards on PCIe none."""
    devices = Accelerators()
    linked = {name: linked_devices(devices.get(name)) for name in ("h100-sxm", "a100-sxm-80", "tpu-v5p", "rtx-4090")}
    assert linked == {"h100-sxm": 8, "a100-sxm-80": 8, "tpu-v5p": 8, "rtx-4090": 1}
