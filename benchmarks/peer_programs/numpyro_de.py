"""The flagship in NumPyro, sampled by its NUTS; called as :mod:`exchange` says.

Double precision; chains one after another on one thread, which costs less processor time than chains in step, for
those wait for the longest trajectory of all. The likelihood shares lgamma between the two components of a gene.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from exchange import NAMES, Study, answer, used
from jax.scipy.special import gammaln, logsumexp
from numpyro.infer import MCMC, NUTS, init_to_value
from numpyro.infer.util import potential_energy

jax.config.update("jax_enable_x64", True)


def model(d: dict[str, Any], p: dict[str, Any]) -> None:
    """All parameters on the whole real line, from data and the numbers of the priors."""
    mu_alpha = numpyro.sample("mu_alpha", dist.Normal(p["mu_alpha_mean"], p["mu_alpha_sd"]))
    log_sigma_alpha = numpyro.sample("log_sigma_alpha", dist.Normal(p["sigma_alpha_log_mean"], p["sigma_alpha_log_sd"]))
    log_a0 = numpyro.sample("log_a0", dist.Normal(p["log_a0_mean"], p["log_a0_sd"]))
    log_a1 = numpyro.sample("log_a1", dist.Normal(p["log_a1_mean"], p["log_a1_sd"]))
    logit = numpyro.sample("logit_sigma_phi", dist.ImproperUniform(dist.constraints.real, (), ()))
    share = jax.nn.sigmoid(logit)
    sigma_phi = p["sigma_phi_max"] * share
    prior = dist.LogNormal(p["sigma_phi_log_mean"], p["sigma_phi_log_sd"]).log_prob(sigma_phi)
    numpyro.factor("sigma_phi", prior + jnp.log(sigma_phi) + jnp.log1p(-share))
    m = numpyro.sample("m", dist.Normal(0.0, p["m_sd"]))
    log_s = numpyro.sample("log_s", dist.Normal(p["s_log_mean"], p["s_log_sd"]))
    ratio = numpyro.sample("log_weight_ratio", dist.ImproperUniform(dist.constraints.real, (), ()))
    log_weight = jax.nn.log_softmax(jnp.stack([jnp.zeros(()), ratio]))
    numpyro.factor("weight", (jnp.asarray(p["weight_concentration"]) * log_weight).sum())
    log_tau = numpyro.sample("log_tau", dist.ImproperUniform(dist.constraints.real, (), ()))
    tau, s = jnp.exp(log_tau), jnp.exp(log_s)
    numpyro.factor("tau", dist.HalfNormal(p["tau_sd"]).log_prob(tau) + log_tau)
    v = numpyro.sample("v", dist.Normal(0.0, p["size_factor_sd"]).expand([d["basis"].shape[1]]).to_event(1))
    genes = d["count"].shape[1]
    alpha = numpyro.sample("alpha", dist.Normal(mu_alpha, jnp.exp(log_sigma_alpha)).expand([genes]).to_event(1))
    e = numpyro.sample("e", dist.Normal(0.0, 1.0).expand([genes]).to_event(1))
    b = m + s * numpyro.sample("d", dist.StudentT(p["nu"]).expand([genes]).to_event(1))
    gamma = tau * numpyro.sample("u", dist.Normal(0.0, 1.0).expand([genes]).to_event(1))
    log_phi = sigma_phi * e - jnp.logaddexp(log_a0, log_a1 - alpha)
    base = alpha + (d["log_size_factor"] + d["basis"] @ v)[:, None] + d["nuisance_design"] * gamma
    phi, y = jnp.exp(log_phi), d["count"]
    common = (gammaln(y + phi) - gammaln(phi) - d["log_factorial"] + phi * log_phi).sum(axis=0)

    def rest(eta: Any) -> Any:
        return (y * eta - (y + phi) * jnp.logaddexp(log_phi, eta)).sum(axis=0)

    each = jnp.stack([rest(base), rest(base + d["design"] * b)])
    numpyro.factor("counts", (common + logsumexp(log_weight[:, None] + each, axis=0)).sum())


def program(study: Study, settings: dict[str, Any]) -> dict[str, Any]:
    """Evaluate the density, and sample where chains are asked for."""
    d, p = {name: jnp.asarray(value) for name, value in study.data.items()}, dict(study.prior)
    density = jax.jit(lambda point: -potential_energy(model, (d, p), {}, point))
    points = [{name: jnp.asarray(value) for name, value in point.items()} for point in study.points]
    out: dict[str, Any] = {"log_density": [float(density(point)) for point in points]}
    if not settings["chains"]:
        return out
    start = init_to_value(values={name: jnp.asarray(value) for name, value in study.start.items()})

    def sampled(warmup: int, draws: int, chains: int) -> Any:
        kernel = NUTS(model, init_strategy=start, target_accept_prob=settings["target_accept"], max_tree_depth=10)
        chain = MCMC(
            kernel,
            num_warmup=warmup,
            num_samples=draws,
            num_chains=chains,
            chain_method="sequential",
            progress_bar=False,
        )
        chain.run(jax.random.PRNGKey(settings["seed"]), d, p, extra_fields=("num_steps", "diverging"))
        return chain

    begun = used()
    sampled(1, 1, 1)
    compiled = used()
    chain = sampled(settings["warmup"], settings["draws"], settings["chains"])
    ended = used()
    draws = chain.get_samples(group_by_chain=True)
    fields = chain.get_extra_fields(group_by_chain=True)
    out |= {name: np.asarray(draws[name]) for name in NAMES}
    out |= {"compile_cpu_seconds": compiled - begun, "cpu_seconds": max(ended - 2 * compiled + begun, 0.0)}
    return out | {"steps": float(fields["num_steps"].mean()), "divergences": int(fields["diverging"].sum())}


if __name__ == "__main__":
    answer(program, f"numpyro {numpyro.__version__}, jax {jax.__version__}")
