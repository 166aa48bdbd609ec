"""The published model of differential expression, right and with each of the defects of its published program.

The equations are those of the chapter that this package implements: gene means and effects from common distributions,
normalisation factors of all samples but one, negative binomial counts. Each defect is a number in the data block, so
that one compiled program is all of them; the generator is right throughout. The half-normal priors of the scales reach
down to zero, where the centred chains of the chapter diverge; log-normal ones keep that apart from the defects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from bayesexpr.distributions import nb2_logpmf, nb2_rng
from bayesexpr.stan.program import StanProgram
from bayesexpr.stan.settings import SamplerSettings

from .backend import Posterior
from .compiled import Compiled, compiled, run
from .digests import digest_of, methods, program_digest
from .quantities import Quantity
from .ranks import Floats

PROGRAM = StanProgram(
    name="published_de",
    code="""/* published_de: two conditions, with places for the defects of the published program

   count[s, g] ~ NB2(exp(alpha[g] + x[s] beta[g] + log_f[s]), exp(log_phi[g])) */
data {
  int<lower=1> G; // genes
  int<lower=2> S; // samples
  int<lower=1> K; // dispersions: one for each gene, or one
  array[S, G] int<lower=0> count;
  vector[S] x; // design of the likelihood
  vector[S] x_reported; // design of log_lik
  vector[S] log_size_factor; // centre of the normalisation factors' prior
  real mu_alpha_mean;
  int<lower=0, upper=1> uniform_phi; // phi uniform on (0, 2e9), else log-normal
}
parameters {
  real mu_alpha;
  real<lower=0> sigma_alpha;
  real<lower=0> sigma_beta;
  vector[G] alpha;
  vector[G] beta;
  vector[S - 1] shift;
  vector<upper=log(2e9)>[K] log_phi;
}
transformed parameters {
  vector[S] log_f = log_size_factor + append_row(0, shift);
}
model {
  vector[G] phi = K == 1 ? rep_vector(exp(log_phi[1]), G) : exp(log_phi);
  mu_alpha ~ normal(mu_alpha_mean, 1.17);
  sigma_alpha ~ lognormal(0.4, 0.3);
  sigma_beta ~ lognormal(-0.4, 0.3);
  alpha ~ normal(mu_alpha, sigma_alpha);
  beta ~ normal(0, sigma_beta);
  shift ~ normal(0, 0.05);
  if (uniform_phi) target += sum(log_phi);
  else log_phi ~ normal(log(10), 1);
  for (s in 1 : S) count[s] ~ neg_binomial_2_log(alpha + x[s] * beta + log_f[s], phi);
}
generated quantities {
  vector[S] log_lik;
  {
    vector[G] phi = K == 1 ? rep_vector(exp(log_phi[1]), G) : exp(log_phi);
    for (s in 1 : S)
      log_lik[s] = neg_binomial_2_log_lpmf(count[s] | alpha + x_reported[s] * beta + log_f[s], phi);
  }
}
""",
)
SETTINGS = SamplerSettings(chains=1, warmup=400, draws=600, adapt_delta=0.9)
MU_ALPHA = 4.0
_TREATED = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
_SHARED = ("mu_alpha", "sigma_alpha", "sigma_beta")


@dataclass(frozen=True)
class Defect:
    """One deviation of the published program from the model it is to fit.

    Attributes
    ----------
    number
        In the list of its defects; 0 for none, 9 for all at once.
    log_lik_design
        ``log_lik`` uses the design in 0 and 1, the likelihood that in -1/2 and 1/2.
    doubled
        All of beta is added and subtracted, though beta is the total change.
    centred_on_data
        The prior of mu_alpha lies at the logarithm of the first sample's mean count.
    uniform_phi
        phi is uniform on (0, 2e9).
    common_phi
        One phi for all genes.
    equal_depth
        Normalisation factors are near one, whatever the depths.
    """

    name: str
    number: int = 0
    log_lik_design: bool = False
    doubled: bool = False
    centred_on_data: bool = False
    uniform_phi: bool = False
    common_phi: bool = False
    equal_depth: bool = False


NONE = Defect("no defect")
DEFECTS: tuple[Defect, ...] = (
    Defect("log_lik by another design than the likelihood's", 1, log_lik_design=True),
    Defect("all of beta on both sides", 2, doubled=True),
    Defect("prior of mu_alpha centred on the data", 3, centred_on_data=True),
    Defect("phi uniform up to 2e9", 4, uniform_phi=True),
    Defect("one phi for all genes", 5, common_phi=True),
    Defect("normalisation factors near one", 6, equal_depth=True),
    Defect("all of these at once", 9, True, True, True, True, True, True),
)


@dataclass(frozen=True)
class PublishedScenario:
    """Studies as the model describes them, sequenced to depths that differ as real ones do.

    Attributes
    ----------
    genes
        Number of genes; three against three samples.
    log_depth
        Natural log of the samples' depths, about their mean: known, up to 5 % (one sd).
    """

    genes: int = 10
    log_depth: tuple[float, ...] = (0.0, 0.7, -0.5, 1.1, -0.9, 0.3)

    @property
    def name(self) -> str:
        """Name, for records."""
        return f"published-{self.genes}"

    def simulate(self, rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
        """Draw parameters and counts."""
        G, depth = self.genes, np.array(self.log_depth)
        p: dict[str, Any] = {
            "mu_alpha": rng.normal(MU_ALPHA, 1.17),
            "sigma_alpha": rng.lognormal(0.4, 0.3),
            "sigma_beta": rng.lognormal(-0.4, 0.3),
            "log_phi": rng.normal(np.log(10.0), 1.0, G),
            "log_f": depth + np.append(0.0, rng.normal(0.0, 0.05, depth.size - 1)),
        }
        p["alpha"] = rng.normal(p["mu_alpha"], p["sigma_alpha"], G)
        p["beta"] = rng.normal(0.0, p["sigma_beta"], G)
        eta = p["alpha"] + (_TREATED[:, None] - 0.5) * p["beta"] + p["log_f"][:, None]
        count = nb2_rng(np.exp(np.minimum(eta, 20.0)), np.exp(p["log_phi"]), rng)
        p["stated_log_lik"] = log_lik(p, count)
        return p, {"count": count, "log_depth": depth}

    def measure(self, draws: Mapping[str, Any], data: Mapping[str, Any]) -> list[Quantity]:
        """Hyperparameters, a gene, sums over genes, log likelihoods: ours, and the one that the program states."""
        p = {name: np.asarray(values, dtype=np.float64) for name, values in draws.items()}
        found = [Quantity(name, p[name]) for name in _SHARED]
        found += [Quantity(f"{name}[0]", p[name][:, 0]) for name in ("alpha", "beta", "log_phi")]
        found += [Quantity(f"log_f[{s}]", p["log_f"][:, s]) for s in range(1, p["log_f"].shape[1])]
        found += [Quantity(f"sum({name})", p[name].sum(axis=1)) for name in ("alpha", "beta", "log_phi")]
        found.append(Quantity("sum(beta^2)", (p["beta"] ** 2).sum(axis=1)))
        each = log_lik(p, np.asarray(data["count"]))
        found.append(Quantity("log_lik", each.sum(axis=1), True))
        return [*found, Quantity("stated_log_lik", p["stated_log_lik"].sum(axis=1), True)]

    def implausible(self, data: Mapping[str, Any]) -> str | None:
        """Every data set is plausible."""
        return None

    def digest(self) -> str:
        """Digest of simulator and densities."""
        return digest_of(*methods(type(self), "simulate", "measure"), asdict(self))


@dataclass(frozen=True)
class PublishedBackend:
    """Fits by Stan with a defect.

    Attributes
    ----------
    settings
        Of NUTS; the seed is that of the simulation.
    compiled
        Found by :meth:`prepare`.
    """

    defect: Defect = NONE
    settings: SamplerSettings = SETTINGS
    compiled: Compiled | None = None

    @property
    def name(self) -> str:
        """Name, for records."""
        return f"stan ({self.defect.name})"

    def prepare(self) -> PublishedBackend:
        """Compile the program, unless that was done."""
        return self if self.compiled is not None else replace(self, compiled=compiled(PROGRAM))

    def fit(self, data: Mapping[str, Any], seed: int) -> Posterior:
        """Draw from the posterior that the defect leads to."""
        found = run(self.compiled, "nuts", stan_data(self.defect, data), self.settings, seed)
        draws = {name: found.variables[name] for name in (*_SHARED, "alpha", "beta", "log_f")}
        draws["log_phi"] = np.broadcast_to(found.variables["log_phi"], draws["alpha"].shape)
        draws["stated_log_lik"] = found.variables["log_lik"]
        return Posterior(draws, {"divergences": float(found.diagnostics["divergent__"].sum())})

    def digest(self) -> str:
        """Digest of program, settings and defect."""
        code = methods(type(self), "fit")
        return digest_of(program_digest(PROGRAM), *code, asdict(self.settings), repr(self.defect))

    def versions(self) -> dict[str, str]:
        """Versions of Stan and of the compiler."""
        return {} if self.compiled is None else self.compiled.versions()


def stan_data(defect: Defect, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the program's data block, with the defect."""
    count = np.asarray(data["count"])
    half = 1.0 if defect.doubled else 0.5
    x = half * (2.0 * _TREATED - 1.0)
    with np.errstate(divide="ignore"):
        centre = float(np.log(count[0].mean())) if defect.centred_on_data else MU_ALPHA
    return {
        "G": count.shape[1],
        "S": count.shape[0],
        "K": 1 if defect.common_phi else count.shape[1],
        "count": count,
        "x": x,
        "x_reported": _TREATED if defect.log_lik_design else x,
        "log_size_factor": np.zeros(count.shape[0]) if defect.equal_depth else np.asarray(data["log_depth"]),
        "mu_alpha_mean": centre,
        "uniform_phi": int(defect.uniform_phi),
    }


def log_lik(p: Mapping[str, Any], count: Any) -> Floats:
    """Log likelihood of each sample [..., S] of parameters with leading axes of draws, in NumPy."""
    alpha, beta, log_f = (np.asarray(p[name], dtype=np.float64) for name in ("alpha", "beta", "log_f"))
    eta = alpha[..., None, :] + (_TREATED[:, None] - 0.5) * beta[..., None, :] + log_f[..., None]
    return np.asarray(nb2_logpmf(count, np.exp(eta), np.exp(p["log_phi"])[..., None, :]).sum(axis=-1))
