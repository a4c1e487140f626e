"""Completion."""


def complete_values(layout):
    pass


def complete_options(command, ctx, found, incomplete):
    return found
