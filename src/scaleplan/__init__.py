"""Plan the training of language models: compute in, parameters, tokens and expected loss out."""

__version__ = "0.1.0"
