"""Fast approximations of each gene's posterior given the hyperparameters."""
