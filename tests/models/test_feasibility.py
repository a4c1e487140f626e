"""What fits is proven: the search agrees with trying every layout, and more devices are never worse."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models.examples import (
    LLAMA_2_7B,
    LLAMA_2_70B,
    LLAMA_3_8B,
    LLAMA_3_8B_SIZES,
    LLAMA_3_405B,
    decoder,
    fewest_devices,
)

from scaleplan.errors import UsageError
from scaleplan.hardware.budget import Catalogue
from scaleplan.models.feasibility import Feasibility, FixedLayout, divisors
from scaleplan.models.layout import LayoutSearch, linked_devices
from scaleplan.models.margins import MARGINS, Margins, read_margins
from scaleplan.models.memory import (
    RECOMPUTE,
    Footprint,
    Parallel,
    Training,
    divides,
    training_memory,
)
from scaleplan.models.sequences import Batch
from scaleplan.models.tuning import method_of

FREE = Margins(reserve=1e6)  # small models on small devices, which no framework would fill
MIXTURE = decoder(
    layers=32,
    width=4096,
    heads=32,
    kv_heads=8,
    head_size=128,
    ffn_width=14336,
    vocab=32000,
    experts={"count": 8, "per_token": 2, "inner": 14336, "layers": 32},
)
FINE_MIXTURE = decoder(
    layers=48,
    width=2048,
    heads=32,
    kv_heads=4,
    head_size=128,
    ffn_width=6144,
    vocab=151936,
    experts={"count": 128, "per_token": 8, "inner": 768, "layers": 48},
)
LATENT_MIXTURE = decoder(
    layers=61,
    width=7168,
    heads=128,
    kv_heads=128,
    head_size=128,
    ffn_width=18432,
    vocab=129280,
    experts={"count": 256, "per_token": 8, "inner": 2048, "layers": 58, "shared": 2048},
    ranks={"query_rank": 1536, "kv_rank": 512, "nope": 128, "rope": 64, "value_size": 128},
)
MODELS = {
    "7B": LLAMA_2_7B,
    "8B, grouped keys": LLAMA_3_8B,
    "70B, grouped keys": LLAMA_2_70B,
    "405B": LLAMA_3_405B,
    "47B of 8 experts": MIXTURE,
    "30B of 128 experts": FINE_MIXTURE,
    "671B of 256 experts": LATENT_MIXTURE,
}
COUNTS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 24, 48, 64, 96, 100, 112, 128, 1000, 1024)
DEVICES = {24e9: 1, 40e9: 8, 80e9: 8, 192e9: 8, 199e9: 72}


def layouts(model, devices, sequence):
    """Yield every layout on exactly so many devices: each division, sharing, recomputation and schedule."""
    experts = divisors(model.experts.count) if model.experts else [1]
    for tensor, pipeline, context in product(range(1, 9), range(1, model.layers + 1), divisors(sequence)):
        data, rest = divmod(devices, tensor * pipeline * context)
        if rest or not divides(model, tensor):
            continue
        share = data * context
        for expert, groups, zero in product(experts, divisors(share), range(4)):
            if share % (groups * expert) == 0:
                parallel = Parallel(
                    data=data,
                    tensor=tensor,
                    pipeline=pipeline,
                    context=context,
                    expert=expert,
                    zero=zero,
                    groups=groups,
                )
                for recompute, accumulation in product(RECOMPUTE, (1, 2)):
                    yield parallel, Training(sequence=sequence, accumulation=accumulation, recompute=recompute)


@st.composite
def small_models(draw):
    """Draw a decoder of a few layers, some with grouped keys, some with experts."""
    heads = draw(st.sampled_from([2, 3, 4, 8]))
    width = 64 * heads
    experts = draw(st.sampled_from([None, None, 4, 6]))
    return decoder(
        layers=draw(st.integers(1, 4)),
        width=width,
        heads=heads,
        kv_heads=draw(st.sampled_from([n for n in (1, 2, heads) if heads % n == 0])),
        head_size=64,
        ffn_width=draw(st.sampled_from([2, 3])) * width,
        vocab=draw(st.sampled_from([64, 1000, 20_000])),
        experts=None if experts is None else {"count": experts, "per_token": 2, "inner": width, "layers": 1},
    )


WAYS = [
    {},
    {"precision": "bf16"},
    {"tune": "lora", "rank": 4},
    {"tune": "qlora", "rank": 4},
    {"precision": "bf16", "optimizer": "paged-adamw", "also": "in-backward"},
    {"precision": "fsdp", "loss": "chunked"},
    {"precision": "fp32", "also": "foreach"},
    {"trained_layers": 1},
]
"""Ways to train that hold different things: frozen weights, gradients apart from activations, gathered 16 bits."""


@settings(deadline=None, max_examples=35)
@given(
    small_models(),
    st.sampled_from([12, 64, 1024]),
    st.floats(0.02, 1.5),
    st.integers(1, 6),
    st.sampled_from([{}, *WAYS]),
)
def test_the_search_agrees_with_trying_every_layout(model, sequence, share, most, way):
    """On every small number of devices: what fits, the fewest that do, and the least that any layout needs."""
    footprint, (method, _) = Footprint(model, FREE), method_of(**way)
    memory_bytes = share * 16 * footprint.params + 4e6
    least = {
        count: min(
            footprint.memory(replace(training, method=method), parallel).demand(memory_bytes, FREE)
            for parallel, training in layouts(model, count, sequence)
        )
        for count in range(1, most + 1)
    }
    enough = [count for count, demand in least.items() if demand <= 1]
    fixed = FixedLayout(method=method)
    found = Feasibility(model, memory_bytes=memory_bytes, sequence=sequence, fixed=fixed, margins=FREE)
    assert [found.fits(count) for count in least] == [any(n <= count for n in enough) for count in least]
    if enough:
        assert found.fewest == enough[0]
    else:
        assert found.fewest is None or found.fewest > most
    best = min(least.values())
    assert found.least(most).demand == pytest.approx(best, rel=1e-9)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(list(MODELS)),
    st.sampled_from(list(DEVICES)),
    st.sampled_from([2048, 4096, 8192, 32_768, 131_072]),
    st.sampled_from(COUNTS),
    st.sampled_from(["mixed", "8bit-adam", "fp32"]),
)
def test_the_fewest_devices_are_the_least_number_with_a_yes(name, memory_bytes, sequence, count, states):
    """From there on there is a layout on any number, which holds what it says; below there is none."""
    search = LayoutSearch(
        MODELS[name],
        memory_bytes=memory_bytes,
        linked=DEVICES[memory_bytes],
        sequence=sequence,
        fixed=FixedLayout(states=states),
    )
    found = search.best(count, Batch(count))
    assert (found is not None) == (search.fewest is not None and count >= search.fewest)
    if found is None:
        closest = search.closest(count)
        assert not closest.memory.fits(memory_bytes)
        assert search.excess(count).over > 0
        return
    assert found.parallel.devices + found.idle == count
    assert found.training.states == states
    assert found.memory == training_memory(MODELS[name], found.training, found.parallel)
    assert found.memory.fits(memory_bytes)
    assert found.largest_micro_batch >= found.training.micro_batch


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(list(MODELS)),
    st.sampled_from(list(DEVICES)),
    st.sampled_from([2048, 8192, 131_072]),
    st.sampled_from(COUNTS),
)
def test_a_layout_is_found_again_when_its_parts_are_given(name, memory_bytes, sequence, count):
    """With every part of the layout given, the same layout is found."""
    words = {"memory_bytes": memory_bytes, "linked": DEVICES[memory_bytes], "sequence": sequence}
    found = LayoutSearch(MODELS[name], **words).best(count, Batch(count))
    if found is None:
        return
    parts = FixedLayout(
        states=found.training.states,
        recompute=found.training.recompute,
        micro_batch=found.training.micro_batch,
        **{part: getattr(found.parallel, part) for part in ("tensor", "pipeline", "context", "expert", "zero")},
    )
    assert LayoutSearch(MODELS[name], fixed=parts, **words).best(count, Batch(count)) == found


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(list(MODELS)),
    st.sampled_from([1, 3, 8, 10, 100, 1000]),
    st.sampled_from(COUNTS),
    st.booleans(),
)
def test_a_step_is_shared_evenly(name, sequences, count, given_batch):
    """By replicas and by micro-batches; a batch that was given stays within 1 % where each replica has 50 of it."""
    search = LayoutSearch(MODELS[name], memory_bytes=80e9, linked=8, sequence=4096)
    found = search.best(count, Batch(sequences, given=given_batch))
    if found is None:
        return
    assert found.sequences_per_step % (found.parallel.data * found.training.micro_batch) == 0
    if given_batch and sequences >= 50 * found.parallel.data:
        assert found.sequences_per_step == pytest.approx(sequences, rel=0.01)


@pytest.mark.parametrize("count", [1, 5, 7, 53, 59, 421, 976.56])
def test_a_proposed_batch_is_a_round_number(count):
    """No primes: powers of two and three times them, whatever the rule of thumb comes to."""
    each = Batch(count).each(1, None)
    assert each == pytest.approx(count, rel=0.26)
    while each % 2 == 0:
        each //= 2
    assert each in {1, 3}


PUBLISHED = {
    "8,192 devices, 8K": (8192, 8192, FixedLayout(tensor=8, pipeline=16, context=1, recompute="none")),
    "16,384 devices, 8K": (16_384, 8192, FixedLayout(tensor=8, pipeline=16, context=1, recompute="none")),
    "16,384 devices, 131K": (16_384, 131_072, FixedLayout(tensor=8, pipeline=16, context=16)),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_layouts_of_a_405b_fit(name):
    """Table 4 of arXiv:2407.21783, 16M tokens a step: found as given, and something fits where nothing is."""
    devices, sequence, fixed = PUBLISHED[name]
    words = {"memory_bytes": 80e9, "linked": 8, "sequence": sequence}
    batch = Batch(2**24 / sequence, given=True)
    found = LayoutSearch(LLAMA_3_405B, fixed=fixed, **words).best(devices, batch)
    assert found.parallel.data == devices // (8 * 16 * (fixed.context or 1))
    assert found.tokens_per_step == 2**24
    assert found.memory.fits(80e9)
    assert LayoutSearch(LLAMA_3_405B, **words).best(devices, batch) is not None


@pytest.mark.parametrize(
    ("model", "least"), [(LLAMA_2_7B, 2), (LLAMA_2_70B, 18), (LLAMA_3_405B, 102)], ids=["7B", "70B", "405B"]
)
def test_the_fewest_devices_of_80_gb_are_those_that_hold_the_states(model, least):
    """At least 16 N / (0.8 memory) of them; the work of a short sequence needs few more."""
    assert least <= fewest_devices(model, memory_bytes=80e9, sequence=2048) <= least + 6
    half = fewest_devices(model, memory_bytes=80e9, sequence=2048, margins=replace(MARGINS, states=0.4))
    assert half >= 2 * least - 1


def test_a_long_sequence_is_divided_and_not_refused():
    """A million tokens of a 70B on cards of 24 GB: context parallelism makes them few on each."""
    found = Feasibility(LLAMA_2_70B, memory_bytes=24e9, sequence=10**6)
    assert found.fewest_layout.parallel.context > 1
    assert found.fits(found.fewest)


def test_some_models_fit_no_number_of_devices():
    """A table of a trillion words, of which each device of a server holds an eighth at the least."""
    found = Feasibility(decoder(**LLAMA_3_8B_SIZES | {"vocab": 10**12}), memory_bytes=24e9, sequence=2048)
    assert found.fewest is None
    assert not found.fits(10**6)
    assert found.least(10**6).demand > 1


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        (FixedLayout(tensor=5), "32 heads cannot be divided among 5"),
        (FixedLayout(pipeline=64), "32 layers cannot be divided among 64"),
        (FixedLayout(context=3), "2,048 tokens cannot be divided among 3"),
        (FixedLayout(expert=8), "0 experts cannot be divided"),
    ],
)
def test_parts_that_divide_no_such_model_are_refused(fixed, message):
    """They are wrong on any number of devices, which is no answer of no."""
    with pytest.raises(UsageError, match=message):
        Feasibility(LLAMA_2_7B, memory_bytes=80e9, sequence=2048, fixed=fixed)


def test_parts_that_need_more_devices_are_refused():
    """Eight tensor ways are not on four devices."""
    search = LayoutSearch(LLAMA_2_7B, memory_bytes=80e9, linked=8, sequence=2048, fixed=FixedLayout(tensor=8))
    with pytest.raises(UsageError, match="needs 8 GPUs, and there are 4"):
        search.best(4, Batch(4))
    nine = search.best(9, Batch(9))
    assert (nine.parallel.devices, nine.idle) == (8, 1)


def test_key_value_heads_are_shared_evenly_or_copied():
    """Of 12 heads with 8 of keys and values, three ways would split a pair; of 8 with 2, eight ways hold copies."""
    even = decoder(**LLAMA_3_8B_SIZES | {"heads": 12, "kv_heads": 4, "ffn_width": 3 * 4096})
    (layers,) = even.stacks
    odd = replace(even, stacks=(layers._replace(parts=(replace(layers.parts[0], kv_heads=8), layers.parts[1])),))
    assert [ways for ways in range(1, 9) if divides(odd, ways)] == [1, 2, 4]
    assert divides(decoder(**LLAMA_3_8B_SIZES | {"heads": 8, "kv_heads": 2}), 8)


def test_tensor_parallelism_reaches_as_far_as_the_link():
    """What is found with a typed number of ways within the link is found without it too."""
    device = Catalogue().accelerators.get("gb200")
    words = {"memory_bytes": device.memory_bytes, "linked": linked_devices(device), "sequence": 131_072}
    free = LayoutSearch(LLAMA_3_405B, **words)
    ways = [n for n in range(1, device.link_devices + 1) if divides(LLAMA_3_405B, n)]
    assert list(free.feasible.tensors) == ways == [1, 2, 4, 8, 16, 32, 64]
    typed = [free.changed(fixed=FixedLayout(tensor=tensor)) for tensor in ways]
    assert free.fewest == min(search.fewest for search in typed)
    assert free.feasible.least(64).demand == min(search.feasible.least(64).demand for search in typed)
    servers = LayoutSearch(LLAMA_3_405B, **{**words, "linked": 8})
    assert free.feasible.least(64).demand < servers.feasible.least(64).demand


@pytest.mark.parametrize("name", MODELS)
def test_the_search_computes_few_layouts(name, monkeypatch):
    """Some thousand evaluations of a stage at most, of hundreds of thousands of layouts: it is bounded, not timed."""
    computed: list[object] = []
    stages = Footprint.stages
    monkeypatch.setattr(Footprint, "stages", lambda *args: computed.append(args) or stages(*args))
    for count, sequence in ((8, 2048), (100, 8192), (16_384, 131_072)):
        for memory_bytes, linked in DEVICES.items():
            computed.clear()
            search = LayoutSearch(MODELS[name], memory_bytes=memory_bytes, linked=linked, sequence=sequence)
            assert search.fewest is not None
            if search.best(count, Batch(count)) is None:
                search.closest(count)
            assert len(computed) < 5000


def test_margins_are_read_by_name():
    """What is not named stays; what is wrong is refused with its text."""
    assert read_margins(None) == MARGINS
    assert read_margins("states=90%, reserve=1GB") == replace(MARGINS, states=0.9, reserve=1e9)
    assert read_margins("usable=1, activations=1.1") == replace(MARGINS, usable=1.0, activations=1.1)
    for wrong in ("0.9", "state=0.9", "states=0.9,states=0.8", "states=120%", "activations=100", "usable=x"):
        with pytest.raises((UsageError, ValueError)):
            read_margins(wrong)


def test_looser_margins_need_no_more_devices():
    """Each of them, and all of them together fewer: the states of a 70B take 14 devices of 80 GB to the brim."""
    words = {"memory_bytes": 80e9, "sequence": 2048}
    strict = fewest_devices(LLAMA_2_70B, **words)
    for looser in ("states=95%", "usable=99%", "activations=1", "reserve=0.5GB"):
        assert fewest_devices(LLAMA_2_70B, margins=read_margins(looser), **words) <= strict
    loose = read_margins("states=99%, usable=99%, activations=1, reserve=1GB")
    assert fewest_devices(LLAMA_2_70B, margins=loose, **words) < strict
