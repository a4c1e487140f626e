"""What does the project say about its runs: ``scaleplan.toml``, and the training configs it points into."""
