// The No-U-Turn sampler with a diagonal metric.
#include <stan/services/sample/hmc_nuts_diag_e.hpp>
#include <stan/services/sample/hmc_nuts_diag_e_adapt.hpp>

#include "sampler_settings.hpp"

namespace frontend {

int sample_nuts_diag(session& run, chains& chain) {
  sampler_settings s(run.method);
  if (!s.adapt)
    return stan::services::sample::hmc_nuts_diag_e(
        run.model, chain.count, chain.inits, chain.metrics, run.seed, run.id, chain.init_radius, s.num_warmup,
        s.num_samples, s.thin, s.save_warmup, run.refresh, s.stepsize, s.stepsize_jitter, max_depth(run.method),
        run.interrupt, run.logger, chain.init_writers, chain.draws, chain.diagnostics);
  return stan::services::sample::hmc_nuts_diag_e_adapt(
      run.model, chain.count, chain.inits, chain.metrics, run.seed, run.id, chain.init_radius, s.num_warmup,
      s.num_samples, s.thin, s.save_warmup, run.refresh, s.stepsize, s.stepsize_jitter, max_depth(run.method), s.delta,
      s.gamma, s.kappa, s.t0, s.init_buffer, s.term_buffer, s.window, run.interrupt, run.logger, chain.init_writers,
      chain.draws, chain.diagnostics, chain.adapted);
}

}  // namespace frontend
