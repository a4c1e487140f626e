"""Effective quantities: what a nominal size and nominal tokens are worth to a law. One file and one entry each."""

from __future__ import annotations

from scaleplan.planning.constraint import Entry, Key, Option

__all__ = ["EFFECTIVE"]

EFFECTIVE: dict[str, Entry] = {
    "repetition": Entry(
        where="scaleplan.planning.effective.repetition:Repetition",
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
        where="scaleplan.planning.effective.recipe:Recipe",
        options=(Option("compute_multiplier", "F", "Compute that a better recipe is worth, your own number: 1.3."),),
        keys=(Key("compute_multiplier", "recipe multiplier"),),
    ),
    "precision": Entry(
        where="scaleplan.planning.effective.precision:Precision",
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
        where="scaleplan.planning.effective.quantisation:Quantisation",
        options=(Option("ptq_bits", "P", "Bits to which the weights are quantised after training: 4."),),
        keys=(
            Key("ptq_bits"),
            Key("ptq_loss_increase", "added by quantising"),
            Key("ptq_loss", "loss when quantised"),
            Key("ptq_critical_tokens"),
        ),
    ),
    "mixture_leverage": Entry(
        where="scaleplan.planning.effective.mixture_leverage:MixtureLeverage",
        options=(
            Option(
                "moe_leverage", "A,G", "Share of active experts and granularity of a mixture to compare: 0.031,12."
            ),
        ),
        keys=(Key("moe_leverage"), Key("moe_flops")),
    ),
    "floating_point": Entry(
        where="scaleplan.planning.effective.floating_point:FloatingPoint",
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
