"""Functional forms of scaling laws: one form a module, registered here by name."""
