"""Notebooks that come with the package; ``bayesexpr report`` executes them."""
