"""The flagship in PyMC, sampled by nutpie; called as :mod:`exchange` says.

Compiled by numba, chains on one core. The likelihood shares lgamma between the two components of a gene.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import nutpie
import pymc as pm
import pytensor.tensor as pt
from exchange import NAMES, Study, answer, used


def model(study: Study) -> pm.Model:
    """All parameters on the whole real line."""
    d, p, start = study.data, study.prior, study.start
    genes, y, nuisance = d["count"].shape[1], d["count"].astype(float), d["nuisance_design"]
    with pm.Model() as built:
        mu_alpha = pm.Normal("mu_alpha", p["mu_alpha_mean"], p["mu_alpha_sd"], initval=start["mu_alpha"])
        log_sigma_alpha = pm.Normal(
            "log_sigma_alpha", p["sigma_alpha_log_mean"], p["sigma_alpha_log_sd"], initval=start["log_sigma_alpha"]
        )
        log_a0 = pm.Normal("log_a0", p["log_a0_mean"], p["log_a0_sd"], initval=start["log_a0"])
        log_a1 = pm.Normal("log_a1", p["log_a1_mean"], p["log_a1_sd"], initval=start["log_a1"])
        logit = pm.Flat("logit_sigma_phi", initval=start["logit_sigma_phi"])
        share = pm.math.sigmoid(logit)
        sigma_phi = p["sigma_phi_max"] * share
        prior = pm.logp(pm.LogNormal.dist(p["sigma_phi_log_mean"], p["sigma_phi_log_sd"]), sigma_phi)
        pm.Potential("sigma_phi", prior + pt.log(sigma_phi) + pt.log1p(-share))
        m = pm.Normal("m", 0.0, p["m_sd"], initval=start["m"])
        log_s = pm.Normal("log_s", p["s_log_mean"], p["s_log_sd"], initval=start["log_s"])
        ratio = pm.Flat("log_weight_ratio", initval=start["log_weight_ratio"])
        log_weight = pt.stack([-pt.softplus(ratio), -pt.softplus(-ratio)])
        pm.Potential("weight", (np.asarray(p["weight_concentration"]) * log_weight).sum())
        log_tau = pm.Flat("log_tau", initval=start["log_tau"])
        tau, s = pt.exp(log_tau), pt.exp(log_s)
        pm.Potential("tau", pm.logp(pm.HalfNormal.dist(p["tau_sd"]), tau) + log_tau)
        v = pm.Normal("v", 0.0, p["size_factor_sd"], shape=d["basis"].shape[1], initval=start["v"])
        alpha = pm.Normal("alpha", mu_alpha, pt.exp(log_sigma_alpha), shape=genes, initval=start["alpha"])
        e = pm.Normal("e", 0.0, 1.0, shape=genes, initval=start["e"])
        b = m + s * pm.StudentT("d", nu=p["nu"], mu=0.0, sigma=1.0, shape=genes, initval=start["d"])
        gamma = tau * pm.Normal("u", 0.0, 1.0, shape=genes, initval=start["u"])
        log_phi = sigma_phi * e - pt.logaddexp(log_a0, log_a1 - alpha)
        base = alpha + (d["log_size_factor"] + pt.dot(d["basis"], v))[:, None] + nuisance * gamma
        phi = pt.exp(log_phi)
        common = (pt.gammaln(y + phi) - pt.gammaln(phi) - d["log_factorial"] + phi * log_phi).sum(axis=0)

        def rest(eta: Any) -> Any:
            return (y * eta - (y + phi) * pt.logaddexp(log_phi, eta)).sum(axis=0)

        each = pt.logaddexp(log_weight[0] + rest(base), log_weight[1] + rest(base + d["design"] * b))
        pm.Potential("counts", (common + each).sum())
    return built


def program(study: Study, settings: dict[str, Any]) -> dict[str, Any]:
    """Evaluate the density, and sample where chains are asked for."""
    built = model(study)
    density = built.compile_logp()
    out: dict[str, Any] = {"log_density": [float(density(point)) for point in study.points]}
    if not settings["chains"]:
        return out
    begun = used()
    compiled = nutpie.compile_pymc_model(built, backend="numba")
    ready = used()
    trace = nutpie.sample(
        compiled,
        draws=settings["draws"],
        tune=settings["warmup"],
        chains=settings["chains"],
        cores=1,
        target_accept=settings["target_accept"],
        seed=settings["seed"],
        progress_bar=False,
    )
    out |= {"compile_cpu_seconds": ready - begun, "cpu_seconds": used() - ready}
    out |= {name: np.asarray(trace["posterior"][name]) for name in NAMES}
    out["steps"] = float(trace["sample_stats"]["n_steps"].mean())
    return out | {"divergences": int(trace["sample_stats"]["diverging"].sum())}


if __name__ == "__main__":
    answer(program, f"pymc {pm.__version__}, nutpie {nutpie.__version__}")
