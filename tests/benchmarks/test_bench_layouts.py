"""The search for a layout must stay unnoticed, whatever the model and the number of devices.

Run on demand: ``pytest -s tests/benchmarks/test_bench_layouts.py``; times are the best of several tries.
"""

from time import perf_counter

import pytest
from tests.models.test_feasibility import MODELS

from scaleplan.models.layout import LayoutSearch
from scaleplan.models.sequences import Batch

CASES = [(24e9, 1, 64, 2048), (24e9, 1, 100, 8192), (80e9, 8, 1024, 8192), (80e9, 8, 16_384, 131_072)]


def searched(name, memory_bytes, linked, count, sequence):
    """Search as ``memory`` does: the fewest devices, the preferred layout, the nearest one where none fits."""
    search = LayoutSearch(MODELS[name], memory_bytes=memory_bytes, linked=linked, sequence=sequence)
    fewest = search.fewest
    return fewest, search.best(count, Batch(count)) or search.closest(count)


@pytest.mark.parametrize("name", MODELS)
def test_searching_a_layout(name):
    """Under 100 ms for any of these devices."""
    for case in CASES:
        times = []
        for _ in range(3):
            start = perf_counter()
            searched(name, *case)
            times.append(perf_counter() - start)
        print(f"\n{name} on {case[2]:,} devices, {case[3]:,} tokens: {1e3 * min(times):.1f} ms")
        assert min(times) < 0.1
