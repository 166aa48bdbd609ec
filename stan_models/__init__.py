"""Stan program templates, their shared functions and kernels."""
