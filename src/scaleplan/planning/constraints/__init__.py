"""Effective quantities: what a nominal size and nominal tokens are worth to a law. One file and one entry each.

Terms of the cost: what a budget pays for beside training. One file and one entry each.

Quantities of a law that a plan chooses: experts, granularity. One file and one entry each, by the law's name.

Which constraints a question asks for: the words of their options → constraints, by the registries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaleplan.errors import Notice, UsageError
from scaleplan.planning.constraints.base import Entry, Key, Option
from scaleplan.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scaleplan.planning.constraints.base import Constraint, EffectiveQuantity, Term, Variant
    from scaleplan.presets.preset import Preset

__all__ = [
    "EFFECTIVE",
    "NONE",
    "TERMS",
    "VARIANTS",
    "Constraints",
    "constraints_of",
    "entries",
    "home_preset",
    "keys",
    "options",
]

EFFECTIVE: dict[str, Entry] = {
    "repetition": Entry(
        where="scaleplan.planning.constraints.repetition:Repetition",
        options=(Option("unique_tokens", "D", "Distinct tokens there are; beyond them data repeats: 300B."),),
        keys=(
            Key("unique_tokens", "unique tokens", "tokens"),
            Key("epochs", "epochs"),
            Key("effective_tokens", "effective tokens", "tokens"),
            Key("effective_params"),
            Key("loss_if_data_doubled"),
        ),
        preset="muennighoff-2023",
    ),
    "recipe": Entry(
        where="scaleplan.planning.constraints.recipe:Recipe",
        options=(Option("compute_multiplier", "F", "Compute that a better recipe is worth, your own number: 1.3."),),
        keys=(Key("compute_multiplier", "recipe multiplier"),),
    ),
    "precision": Entry(
        where="scaleplan.planning.constraints.precision:TrainingPrecision",
        options=(
            Option("train_bits", "P", "Bits of all matrix products in training, 4 to 16; 16 is bf16."),
            Option("bits_weights", "P", "Bits of the weights in training, 3 to 16."),
            Option("bits_activations", "P", "Bits of the activations in training, 4 to 16."),
            Option("bits_kv", "P", "Bits of keys and values in training, 4 to 16."),
        ),
        keys=(
            Key("params_worth", "worth of a parameter"),
            Key("bits_weights"),
            Key("bits_activations"),
            Key("bits_kv"),
        ),
    ),
    "quantisation": Entry(
        where="scaleplan.planning.constraints.quantisation:Quantisation",
        options=(Option("ptq_bits", "P", "Bits to which the weights are quantised after training: 4."),),
        keys=(
            Key("ptq_bits"),
            Key("ptq_loss_increase", "added by quantising"),
            Key("ptq_loss", "loss when quantised"),
            Key("ptq_critical_tokens"),
        ),
    ),
    "mixture_leverage": Entry(
        where="scaleplan.planning.constraints.moe_leverage:MixtureLeverage",
        options=(
            Option(
                "moe_leverage", "A,G", "Share of active experts and granularity of a mixture to compare: 0.031,12."
            ),
        ),
        keys=(Key("moe_leverage"), Key("moe_flops")),
    ),
    "floating_point": Entry(
        where="scaleplan.planning.constraints.floating_point:FloatingPoint",
        options=(
            Option("fp_format", "NAME", "Floating-point format of training, to check against the tokens: E4M3."),
            Option("quant_block", "B", "Values that share a scale in that format; 128 if not given."),
        ),
        keys=(
            Key("fp_format", kind="text"),
            Key("quant_block"),
            Key("fp_critical_tokens", "format's critical tokens", "tokens"),
        ),
    ),
}
"""Every effective quantity, in the order in which they apply to nominal quantities."""

TERMS: dict[str, Entry] = {
    "inference": Entry(
        where="scaleplan.planning.constraints.inference:Inference",
        options=(
            Option("inference_tokens", "D", "Tokens the model will serve; the budget pays for them too: 2T."),
            Option("inference_mfu", "F", "Utilisation of inference, to count it in money; decoding may reach 1%."),
            Option(
                "inference_price",
                "USD/H",
                "Price of an accelerator-hour of inference; as for training if not given.",
            ),
        ),
        keys=(
            Key("inference_tokens", "inference tokens", "tokens"),
            Key("inference_flops", "inference compute", "flops"),
            Key("total_flops", "total compute", "flops"),
            Key("inference_cost", "inference cost", "usd"),
            Key("total_cost", "total cost", "usd"),
            Key("training_only", record="scaleplan.planning.constraints.inference:TrainingOnly"),
        ),
    ),
}
"""Every term, by name."""

VARIANTS: dict[str, Entry] = {
    "experts": Entry(
        where="scaleplan.planning.constraints.experts:ExpertCount",
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
        where="scaleplan.planning.constraints.experts:Granularity",
        options=(Option("granularity", "G", "Granularity of a mixture, 4*width/(width of an expert), or auto."),),
        keys=(Key("granularity", "granularity"),),
        preset="fine-grained-moe-2024",
    ),
}
"""Every such quantity by the name that laws have for it."""


class Constraints(Record):
    """The effective quantities in front of a law, the terms beside its cost, and what a plan chooses in the law."""

    effective: tuple[EffectiveQuantity, ...] = ()
    terms: tuple[Term, ...] = ()
    variants: tuple[Variant, ...] = ()

    def __iter__(self) -> Iterator[Constraint]:
        yield from self.effective
        yield from self.terms
        yield from self.variants

    @property
    def scarce(self) -> tuple[EffectiveQuantity, ...]:
        """The effective quantities that are shortages."""
        return tuple(quantity for quantity in self.effective if quantity.scarcity)

    @property
    def priced(self) -> bool:
        """Whether money is shared between training and another term."""
        return any(term.priced for term in self.terms)

    def changed(self, old: Constraint, new: Constraint | None) -> Constraints:
        """Return them with one replaced, or removed for None."""
        kept = [new if item is old else item for item in self]
        first, second = len(self.effective), len(self.effective) + len(self.terms)
        return Constraints(
            effective=tuple(item for item in kept[:first] if item is not None),  # type: ignore[misc]
            terms=tuple(item for item in kept[first:second] if item is not None),  # type: ignore[misc]
            variants=self.variants,
        )

    def stacked(self) -> Notice | None:
        """Return what to say about a combination that nobody validated."""
        effective = [item for item in self.effective if not item.advice]
        # a variant is part of its law, which was measured with it, and reckons with inference
        stack = [*effective, *self.terms, *(self.variants if effective else ())]
        names = [_name_of(item) for item in stack]
        if len(names) < 2:
            return None
        message = f"{' and '.join(names)} together were never validated: each was measured alone"
        return Notice(code="stacked_assumptions", message=message)


NONE = Constraints()
"""No constraints."""


def constraints_of(words: Mapping[str, str | float | None], preset: Preset) -> Constraints:
    """Return the constraints that some words ask for, and what the law leaves to be chosen.

    Raises
    ------
    TypeError
        For a word that no constraint knows.
    UsageError
        For an amount that cannot be read, or words that do not go together.

    """
    unknown = set(words) - {option.name for option in options()}
    if unknown:
        msg = f"unexpected keyword argument '{min(unknown)}'"
        raise TypeError(msg)
    variant = _variant_of(words, preset)
    if variant is None and not any(value is not None for value in words.values()):
        return NONE
    made = [
        tuple(entry.load().from_words(words).beside(preset) for entry in registry.values() if entry.asked(words))
        for registry in (EFFECTIVE, TERMS)
    ]
    return Constraints(
        effective=made[0],  # type: ignore[arg-type]
        terms=made[1],  # type: ignore[arg-type]
        variants=() if variant is None else (variant,),
    )


def _variant_of(words: Mapping[str, str | float | None], preset: Preset) -> Variant | None:
    """Return the choice of the quantity that the law leaves open; None for a law that leaves none."""
    own = getattr(preset.law, "variable", None)
    for name, entry in VARIANTS.items():
        if name != own and entry.asked(words):
            option = next(option.name for option in entry.options if words.get(option.name) is not None)
            raise UsageError(
                f"--{option.replace('_', '-')} says nothing to preset '{preset.id}', which knows no {name}",
                hint=f"choose a law of mixtures, such as {entry.preset}",
            )
    return None if own is None else VARIANTS[own].load().from_words(words)  # type: ignore[return-value]


def _name_of(constraint: Constraint) -> str:
    """Return the name by which a constraint is registered."""
    where = f"{type(constraint).__module__}:{type(constraint).__name__}"
    registered = {**EFFECTIVE, **TERMS, **VARIANTS}
    return next(name for name, entry in registered.items() if entry.where == where)


def entries() -> tuple[Entry, ...]:
    """Return every registered constraint."""
    return (*EFFECTIVE.values(), *TERMS.values(), *VARIANTS.values())


def options() -> tuple[Option, ...]:
    """Return the options of every constraint."""
    return tuple(option for entry in entries() for option in entry.options)


def keys() -> tuple[Key, ...]:
    """Return the keys that constraints add to every plan."""
    return tuple(key for entry in entries() for key in entry.keys)


def home_preset(words: Mapping[str, object]) -> str | None:
    """Return the law that a constraint asked for was measured on; None where none says."""
    return next((entry.preset for entry in entries() if entry.preset is not None and entry.asked(words)), None)
