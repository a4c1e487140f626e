"""Quantities of a law that a plan chooses: experts, granularity. One file and one entry each, by the law's name."""

from __future__ import annotations

from scaleplan.planning.constraint import Entry, Key, Option

__all__ = ["VARIANTS"]

VARIANTS: dict[str, Entry] = {
    "experts": Entry(
        where="scaleplan.planning.variants.experts:Experts",
        options=(
            Option("experts", "E", "Experts a layer of a mixture, or auto for the best number."),
            Option("max_memory", "GB", "Memory that all experts and the cache must fit, in bf16: 80GB."),
            Option("kv_tokens", "T", "Tokens whose keys and values are cached in that memory: 16k."),
        ),
        keys=(
            Key("experts", "experts"),
            Key("total_params", "parameters (all)", "params"),
            Key("memory_gb", "memory (GB)"),
        ),
        preset="joint-moe-2025",
    ),
    "granularity": Entry(
        where="scaleplan.planning.variants.granularity:Granularity",
        options=(Option("granularity", "G", "Granularity of a mixture, 4*width/(width of an expert), or auto."),),
        keys=(Key("granularity", "granularity"),),
        preset="fine-grained-moe-2024",
    ),
}
"""Every such quantity by the name that laws have for it."""
