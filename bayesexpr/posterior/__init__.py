"""Draws, diagnostics, contrasts, decisions and predictive checks."""
