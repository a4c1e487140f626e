"""Advice beside a plan: batch, learning rate, vocabulary, precision, demand, and the gain of the next doubling."""
