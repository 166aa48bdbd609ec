"""An exact sampler of ``negative_binomial_de`` that moves genes and hyperparameters in turn.

Given the hyperparameters the genes are independent: each makes a short Hamiltonian trajectory of its own, in a
processor's first cache, and accepts for itself. Then the hyperparameters move given the genes' whitened coordinates;
effects of other terms are carried along with their scales. The posterior is the Stan program's, whose density is
evaluated by the same compiled core.
"""
