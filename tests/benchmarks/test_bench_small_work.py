"""Small work that must stay small: reading a config, finding a shape, refusing enormous text.

Run on demand: ``pytest -s tests/benchmarks/test_bench_small_work.py``; times are the best of several tries.
"""

import json
from time import perf_counter

from scaleplan.errors import QuantityError
from scaleplan.models import read_model
from scaleplan.models.families.finding import _library
from scaleplan.models.shape import shape
from scaleplan.units import KINDS

LLAMA_3_8B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
    "max_position_embeddings": 8192,
}


def best(action, *, tries):
    """Return the least time of one call in seconds."""
    times = []
    for _ in range(tries):
        start = perf_counter()
        action()
        times.append(perf_counter() - start)
    return min(times)


def test_reading_a_config():
    """Under 5 ms of work, the family's description among it, whatever file has it."""
    for model_type in ("llama", "code_llama", "mistral", "gemma3_text"):
        text = json.dumps(LLAMA_3_8B | {"model_type": model_type})

        def read(text=text):
            _library.cache_clear()
            read_model(text)

        took = best(read, tries=20)
        print(f"\nreading a config of {model_type}: {1e3 * took:.2f} ms")
        assert took < 0.005


def test_finding_a_shape():
    """Under 100 ms even at 1e12 parameters, where there are most candidates."""
    took = best(lambda: shape(1e12), tries=4)
    print(f"\nfinding a shape of 1e12 parameters: {1e3 * took:.0f} ms")
    assert took < 0.1


def test_refusing_enormous_text():
    """A million characters take no longer than the longest amount."""

    def refuse():
        for parser in KINDS.values():
            try:
                parser("9" * 10**6)
            except QuantityError:
                continue

    took = best(refuse, tries=3)
    print(f"\nrefusing a million digits, all kinds: {1e3 * took:.2f} ms")
    assert took < 0.1
