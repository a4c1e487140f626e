"""The version of the program: a literal, which the build reads too."""

__version__ = "0.1.0"
