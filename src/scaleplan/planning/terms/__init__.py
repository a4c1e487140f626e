"""Terms of the cost: what a budget pays for beside training. One file and one entry each."""

from __future__ import annotations

from scaleplan.planning.constraint import Entry, Key, Option

__all__ = ["TERMS"]

TERMS: dict[str, Entry] = {
    "inference": Entry(
        where="scaleplan.planning.terms.inference:Inference",
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
            Key("training_only", record="scaleplan.planning.terms.inference:TrainingOnly"),
        ),
    ),
}
"""Every term, by name."""
