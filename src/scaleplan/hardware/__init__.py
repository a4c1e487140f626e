"""What compute runs on and costs: accelerators, utilisation, prices, energy, and budgets turned into FLOP."""
