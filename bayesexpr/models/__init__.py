"""One model per file, priors and the registry."""
