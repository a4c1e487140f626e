"""The command line: parse, call, render, exit status; the only part that reads arguments and prints."""
