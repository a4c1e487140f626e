"""The hardware of compute and its cost: accelerators, utilisation, prices, energy, and budgets turned into FLOP."""
