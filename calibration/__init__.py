"""Simulation-based calibration, checks and records."""
