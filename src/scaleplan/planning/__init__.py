"""From a question to a plan: the problem, its solver, the frontier, bounds, intervals, and the plan itself."""
