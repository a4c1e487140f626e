"""How results are told to people: one module a kind of result, each makes a report of it."""
