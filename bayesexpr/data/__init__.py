"""Counts, their readers, the design and the size factors."""
