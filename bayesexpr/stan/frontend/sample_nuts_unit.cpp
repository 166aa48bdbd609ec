// The No-U-Turn sampler with the unit metric, and the sampler that leaves the parameters alone.
#include <stan/services/sample/fixed_param.hpp>
#include <stan/services/sample/hmc_nuts_unit_e.hpp>
#include <stan/services/sample/hmc_nuts_unit_e_adapt.hpp>

#include "sampler_settings.hpp"

namespace frontend {

int sample_nuts_unit(session& run, chains& chain) {
  sampler_settings s(run.method);
  if (!s.adapt)
    return stan::services::sample::hmc_nuts_unit_e(
        run.model, chain.count, chain.inits, run.seed, run.id, chain.init_radius, s.num_warmup, s.num_samples, s.thin,
        s.save_warmup, run.refresh, s.stepsize, s.stepsize_jitter, max_depth(run.method), run.interrupt, run.logger,
        chain.init_writers, chain.draws, chain.diagnostics);
  return stan::services::sample::hmc_nuts_unit_e_adapt(
      run.model, chain.count, chain.inits, run.seed, run.id, chain.init_radius, s.num_warmup, s.num_samples, s.thin,
      s.save_warmup, run.refresh, s.stepsize, s.stepsize_jitter, max_depth(run.method), s.delta, s.gamma, s.kappa, s.t0,
      run.interrupt, run.logger, chain.init_writers, chain.draws, chain.diagnostics, chain.adapted);
}

int sample_fixed_param(session& run, chains& chain) {
  return stan::services::sample::fixed_param(
      run.model, chain.count, chain.inits, run.seed, run.id, chain.init_radius, run.method["num_samples"].integer(),
      run.method["thin"].integer(), run.refresh, run.interrupt, run.logger, chain.init_writers, chain.draws,
      chain.diagnostics);
}

}  // namespace frontend
