"""Bayesian models of gene expression on Stan, with their calibration shown."""
