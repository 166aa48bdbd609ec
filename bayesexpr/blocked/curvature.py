r"""How bent the hyperparameters' density is, given the genes' whitened coordinates, for a mass matrix.

Hyperparameters enter the density in three ways: by themselves, x; as the size factor f of each sample; and by what the
genes' coordinates follow, c. The log density being l(x, f, c), with f = B v and c linear in all of them, its second
derivatives follow from those of l. Differences in x and c, some tens whatever the number of samples, give all of these
but :math:`\partial^2 l / \partial f \partial f^\top`. That is diagonal, since a sample's counts see no other's size
factor, but for genes that are between "no change" and a change: it is taken as diagonal, which one difference along all
size factors at once gives. Nothing here touches the posterior: any positive definite mass matrix is right.
"""

from __future__ import annotations

import numpy as np

from bayesexpr.blocked.target import Target
from bayesexpr.distributions import Float, sum_to_zero_basis

DIFFERENCE = 1e-3
"""Step of the forward differences: every hyperparameter is a logarithm or a location of order one."""


def curvature(target: Target, zeta: Float, z: Float) -> Float:
    """Return minus the second derivatives [H, H] of the log density in zeta [H], given what genes z [G, P] hold."""
    at, maps = target.at, target.whitening
    theta = begin = maps.theta(zeta)
    log_f, shift = target.log_f(theta), target.shift(theta)
    own, C = at.v.start, shift.size

    def slopes(theta: Float, log_f: Float, shift: Float) -> Float:
        found = target.slopes(theta, log_f, shift, z, begin)[1]
        return np.concatenate([found.theta[:own], found.shift.ravel(), found.log_f])

    here = slopes(theta, log_f, shift)
    second = np.zeros((here.size, here.size))
    for k in range(own):
        second[k] = slopes(theta + DIFFERENCE * (np.arange(at.H) == k), log_f, shift) - here
    for k in range(C):
        moved = shift.ravel() + DIFFERENCE * (np.arange(C) == k)
        second[own + k] = slopes(theta, log_f, moved.reshape(shift.shape)) - here
    few, samples = slice(0, own + C), slice(own + C, None)
    second[few, few] = (second[few, few] + second[few, few].T) / 2
    second[samples, few] = second[few, samples].T
    along = (slopes(theta, log_f + DIFFERENCE, shift) - here)[samples]
    second[samples, samples] = np.diag(along)

    jacobian = np.zeros((here.size, at.H))
    jacobian[:own, :own] = np.eye(own)
    jacobian[own : own + C] = maps.driver.reshape(C, at.H)
    if at.estimated:
        jacobian[samples, at.v] = sum_to_zero_basis(at.S)
    found = jacobian.T @ second @ jacobian / -DIFFERENCE
    found[at.v, at.v] += np.eye(at.H - own) / target.model.prior("size_factors").sd ** 2
    return np.asarray(maps.theta_scale.T @ found @ maps.theta_scale)
