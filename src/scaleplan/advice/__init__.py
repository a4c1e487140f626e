"""What goes with a plan: batch, learning rate, vocabulary, precision, demand, and what the next doubling buys."""
