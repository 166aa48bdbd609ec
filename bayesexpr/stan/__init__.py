"""Rendering, compiling and running Stan programs; cmdstanpy lives here and nowhere else."""
