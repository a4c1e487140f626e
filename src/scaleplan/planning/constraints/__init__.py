"""Constraints between a law and a plan: one registry, one file a constraint.

An entry is all that the command line, the Python API and the output need of a constraint; its class is imported when
one of its options is given. A quantity that a law leaves open (``chooses``) is registered by the law's name for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from scaleplan.errors import Notice, UsageError
from scaleplan.planning.constraints.base import EffectiveQuantity, Entry, Key, Option, Term, Variant
from scaleplan.record import Record
from scaleplan.units import exact, parse_gigabytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scaleplan.planning.constraints.base import Constraint
    from scaleplan.presets.preset import Preset

    Amount = str | float

__all__ = [
    "CONSTRAINTS",
    "NONE",
    "ConstraintKeywords",
    "Constraints",
    "constraint_keys",
    "constraint_options",
    "constraints_of",
    "home_preset",
]

CONSTRAINTS: dict[str, Entry] = {
    "repetition": Entry(
        where="scaleplan.planning.constraints.repetition:Repetition",
        options=(Option("unique_tokens", "D", "Distinct tokens there are: 300B. Beyond them data repeats.", True),),
        keys=(
            Key("unique_tokens", "unique tokens", "tokens"),
            Key("epochs", "epochs"),
            Key("effective_tokens", "effective tokens", "tokens"),
            Key("effective_params", kind="params"),
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
            Key("ptq_critical_tokens", kind="tokens"),
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
    "inference": Entry(
        where="scaleplan.planning.constraints.inference:Inference",
        options=(
            Option("inference_tokens", "D", "Tokens the model will serve: 2T. The budget pays for them too.", True),
            Option("inference_mfu", "F", "Utilisation of inference, to count it in money; decoding may reach 1%."),
            Option(
                "inference_price",
                "USD/H",
                "Price of a GPU-hour of inference; as for training if not given.",
                money=True,
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
    "experts": Entry(
        where="scaleplan.planning.constraints.experts:ExpertCount",
        options=(
            Option("experts", "E", "Experts a layer of a mixture, or auto for the best number."),
            Option("max_memory", "GB", "Memory that all experts and the cache must fit, in bf16: 80GB."),
            Option("kv_tokens", "T", "Tokens whose keys and values are cached in that memory: 16k."),
        ),
        keys=(
            Key("experts", "experts", "count"),
            Key("total_params", "parameters (all)", "params"),
            Key("memory_gb", "memory (GB)"),
        ),
        preset="joint-moe-2025",
        chooses=True,
    ),
    "granularity": Entry(
        where="scaleplan.planning.constraints.experts:Granularity",
        options=(Option("granularity", "G", "Granularity of a mixture, 4*width/(width of an expert), or auto."),),
        keys=(Key("granularity", "granularity"),),
        preset="fine-grained-moe-2024",
        chooses=True,
    ),
}
"""Every constraint: effective quantities in the order in which they apply, terms of the cost, and choices."""


class ConstraintKeywords(TypedDict, total=False):
    """The options of the constraints, as typed keywords of Python; a test holds them against the registry."""

    unique_tokens: Amount | None
    compute_multiplier: Amount | None
    inference_tokens: Amount | None
    inference_mfu: Amount | None
    inference_price: Amount | None
    train_bits: Amount | None
    bits_weights: Amount | None
    bits_activations: Amount | None
    bits_kv: Amount | None
    ptq_bits: Amount | None
    fp_format: str | None
    quant_block: Amount | None
    moe_leverage: str | None
    experts: Amount | None
    max_memory: Amount | None
    kv_tokens: Amount | None
    granularity: Amount | None


class Constraints(Record):
    """The constraints of a plan, in the order of the registry."""

    items: tuple[Constraint, ...] = ()

    def __iter__(self) -> Iterator[Constraint]:
        return iter(self.items)

    @property
    def effective(self) -> tuple[EffectiveQuantity, ...]:
        """The maps from nominal to effective quantities, in the order in which they apply."""
        return tuple(item for item in self.items if isinstance(item, EffectiveQuantity))

    @property
    def terms(self) -> tuple[Term, ...]:
        """The costs that the budget pays beside training."""
        return tuple(item for item in self.items if isinstance(item, Term))

    @property
    def variant(self) -> Variant | None:
        """The quantity of the law that the plan chooses."""
        return next((item for item in self.items if isinstance(item, Variant)), None)

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
        kept = (new if item is old else item for item in self.items)
        return Constraints(items=tuple(item for item in kept if item is not None))

    def stacked(self) -> Notice | None:
        """Warn of a combination that was never validated."""
        effective = [item for item in self.effective if not item.advice]
        # a variant is part of its law, which was measured with it, and accounts for inference
        stack = [item for item in self.items if not item.advice and (effective or not isinstance(item, Variant))]
        if len(stack) < 2:
            return None
        message = f"{' and '.join(map(_name_of, stack))} together were never validated: each was measured alone"
        return Notice(code="stacked_assumptions", message=message)


NONE = Constraints()
"""No constraints."""


def constraints_of(options: Mapping[str, str | float | None], preset: Preset) -> Constraints:
    """Return the constraints that some options declare, and the quantity that the law leaves open.

    Raises UsageError for an amount that cannot be read, or options that do not go together.
    """
    own = getattr(preset.law, "variable", None)
    if own is None and all(value is None for value in options.values()):
        return NONE
    items = []
    for name, entry in CONSTRAINTS.items():
        if not entry.chooses and entry.given(options):
            items.append(entry.load().from_options(options).adapted(preset))
        elif entry.chooses and name == own:
            items.append(entry.load().from_options(options))
        elif entry.chooses and entry.given(options):
            option = next(option.name for option in entry.options if options.get(option.name) is not None)
            choice = entry.options[0].name
            add = (
                "" if options.get(choice) is not None else f"for a mixture give --{choice} too, a number or auto; or "
            )
            raise UsageError(
                f"--{option.replace('_', '-')} says nothing to preset '{preset.id}', which knows no {name}",
                hint=f"{add}choose a law of mixtures, such as {entry.preset}{_dense_hint(option, options)}",
            )
    return Constraints(items=tuple(items))


def _dense_hint(option: str, options: Mapping[str, str | float | None]) -> str:
    """Return what bounds the size of a dense model by a memory, its parameters in bf16."""
    if option != "max_memory":
        return ""
    params = parse_gigabytes(options[option] or 0) * 1e9 / 2
    return f"; a dense model's parameters fit it in bf16 with --limit 'params <= {exact('params', params)}'"


def _name_of(constraint: Constraint) -> str:
    """Return the name by which a constraint is registered."""
    where = f"{type(constraint).__module__}:{type(constraint).__name__}"
    return next(name for name, entry in CONSTRAINTS.items() if entry.where == where)


def constraint_options() -> tuple[Option, ...]:
    """Return the options of every constraint."""
    return tuple(option for entry in CONSTRAINTS.values() for option in entry.options)


def constraint_keys() -> tuple[Key, ...]:
    """Return the keys that constraints add to every plan."""
    return tuple(key for entry in CONSTRAINTS.values() for key in entry.keys)


def home_preset(options: Mapping[str, object]) -> tuple[str, bool] | None:
    """Return the law that a constraint was measured on, and whether it can be carried over to another law.

    Of a quantity that some laws leave open only the quantity itself brings its law, not what bounds it: a question
    about a dense model stays one.
    """
    for entry in CONSTRAINTS.values():
        brings = entry.options[:1] if entry.chooses else entry.options
        if entry.preset is not None and any(options.get(option.name) is not None for option in brings):
            return entry.preset, not entry.chooses
    return None
