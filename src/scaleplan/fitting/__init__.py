"""From runs to a law: the fit, its uncertainty, its diagnosis and its backtest."""
