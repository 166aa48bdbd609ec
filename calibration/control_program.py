"""The negative controls with real fits: one Stan program in which every planted error is a matter of data.

Whether an error of the likelihood, of the design or of a prior is planted is told by numbers, so that the program is
compiled once; errors of the draws are planted in the draws, and the approximations are Stan's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from bayesexpr.stan.methods import MethodDraws
from bayesexpr.stan.program import StanProgram
from bayesexpr.stan.settings import SamplerSettings

from .backend import Posterior
from .compiled import Compiled, compiled, run
from .controls import NO_BUG, Bug, offsets_of, spoil, stated
from .digests import digest_of, methods, program_digest

PROGRAM = StanProgram(
    name="two_groups",
    code="""/* two_groups: genes counted in two groups of samples, with places to plant errors

   count[s, g] ~ NB2(exp(alpha[g] + x[s] beta[g] + log_offset[s]), exp(log_phi[g])), counted weight[s] times */
data {
  int<lower=1> G; // genes
  int<lower=1> S; // samples
  array[S, G] int<lower=0> count;
  vector[S] log_offset; // natural logarithm
  vector[S] x; // design
  vector[S] weight;
  int<lower=0, upper=3> likelihood; // 0 none, 1 negative binomial, 2 Poisson, 3 phi and 1 / phi exchanged
  vector[2] alpha_prior; // mean and sd
  vector[2] beta_prior;
  vector[2] log_phi_prior;
  real log_phi_power; // -1 where the Jacobian of the logarithm is missing
}
parameters {
  vector[G] alpha;
  vector[G] beta;
  vector[G] log_phi;
}
model {
  alpha ~ normal(alpha_prior[1], alpha_prior[2]);
  beta ~ normal(beta_prior[1], beta_prior[2]);
  log_phi ~ normal(log_phi_prior[1], log_phi_prior[2]);
  target += log_phi_power * sum(log_phi);
  if (likelihood > 0) {
    vector[G] phi = exp(likelihood == 3 ? -log_phi : log_phi);
    for (s in 1 : S) {
      vector[G] eta = alpha + x[s] * beta + log_offset[s];
      if (likelihood == 2) target += weight[s] * poisson_log_lpmf(count[s] | eta);
      else target += weight[s] * neg_binomial_2_log_lpmf(count[s] | eta, phi);
    }
  }
}
""",
)
SETTINGS = SamplerSettings(chains=1, warmup=150, draws=300, adapt_delta=0.7, init_buffer=40, window=80, term_buffer=30)
"""Enough for 99 draws nearly without dependence; a warm-up shorter than Stan's, for there are many fits."""
_LIKELIHOODS = {"none": 0, "nb": 1, "poisson": 2, "inverse_phi": 3}
_METHODS = {"laplace": "laplace", "mean_field": "advi"}


@dataclass(frozen=True)
class ControlBackend:
    """Fits by Stan under a planted error.

    Attributes
    ----------
    settings
        Of NUTS; the seed is that of the simulation.
    compiled
        Found by :meth:`prepare`.
    """

    bug: Bug = NO_BUG
    settings: SamplerSettings = SETTINGS
    compiled: Compiled | None = None

    @property
    def name(self) -> str:
        """Name, for records."""
        return f"stan ({self.bug.name})"

    def prepare(self) -> ControlBackend:
        """Compile the program, unless that was done."""
        return self if self.compiled is not None else replace(self, compiled=compiled(PROGRAM))

    def fit(self, data: Mapping[str, Any], seed: int) -> Posterior:
        """Draw from the posterior that the bug leads to."""
        return self.planted(self.sample(data, seed), data, seed)

    def sample(self, data: Mapping[str, Any], seed: int) -> MethodDraws:
        """Run Stan with what is wrong in likelihood, design or priors; what is wrong in the draws comes after it."""
        method = _METHODS.get(str(self.bug.draws), "nuts")
        return run(self.compiled, method, stan_data(self.bug, data), self.settings, seed)

    def planted(self, found: MethodDraws, data: Mapping[str, Any], seed: int) -> Posterior:
        """Do to the draws of :meth:`sample` what the bug does to them, and state what the program would."""
        values = np.stack([found.variables[k] for k in ("alpha", "beta", "log_phi")], axis=-1)
        chains, draws, genes, _ = values.shape
        spoilt = spoil(values.reshape(chains * draws, genes, 3), self.bug, np.random.default_rng(seed))
        parameters = {k: v.reshape(chains, draws, *v.shape[1:]) for k, v in stated(self.bug, spoilt, data).items()}
        divergent = found.diagnostics.get("divergent__")
        return Posterior(parameters, {} if divergent is None else {"divergences": float(divergent.sum())})

    def digest(self) -> str:
        """Digest of program, settings and bug."""
        code = methods(type(self), "fit")
        return digest_of(program_digest(PROGRAM), *code, asdict(self.settings), repr(self.bug))

    def versions(self) -> dict[str, str]:
        """Versions of Stan and of the compiler."""
        return {} if self.compiled is None else self.compiled.versions()


def stan_data(bug: Bug, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the program's data block, with the error planted."""
    belief, count = bug.belief, np.asarray(data["count"])
    return {
        "G": count.shape[1],
        "S": count.shape[0],
        "count": count,
        "log_offset": offsets_of(bug, np.asarray(data["offset"])),
        "x": [belief.x[g] for g in belief.group],
        "weight": list(belief.weight),
        "likelihood": _LIKELIHOODS[belief.likelihood],
        "alpha_prior": list(belief.alpha),
        "beta_prior": list(belief.beta),
        "log_phi_prior": list(belief.log_phi),
        "log_phi_power": belief.log_phi_power,
    }
