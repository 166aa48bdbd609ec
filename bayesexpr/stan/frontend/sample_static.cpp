// Hamiltonian Monte Carlo with a fixed integration time. Its services run one chain, so several go in turn.
#include <stan/services/sample/hmc_static_dense_e.hpp>
#include <stan/services/sample/hmc_static_dense_e_adapt.hpp>
#include <stan/services/sample/hmc_static_diag_e.hpp>
#include <stan/services/sample/hmc_static_diag_e_adapt.hpp>
#include <stan/services/sample/hmc_static_unit_e.hpp>
#include <stan/services/sample/hmc_static_unit_e_adapt.hpp>

#include "sampler_settings.hpp"

namespace frontend {

namespace {

int one_chain(session& run, chains& chain, std::size_t i) {
  namespace service = stan::services::sample;
  sampler_settings s(run.method);
  const argument& hmc = run.method["algorithm"]["hmc"];
  const std::string& metric = hmc["metric"].text;
  double int_time = hmc["engine"]["static"]["int_time"].real();
  unsigned id = run.id + static_cast<unsigned>(i);
  stan::callbacks::writer& no_writer = chain.init_writers[i];
  const stan::io::var_context& init = *chain.inits[i];
  if (metric == "unit_e" && s.adapt)
    return service::hmc_static_unit_e_adapt(
        run.model, init, run.seed, id, chain.init_radius, s.num_warmup, s.num_samples, s.thin, s.save_warmup,
        run.refresh, s.stepsize, s.stepsize_jitter, int_time, s.delta, s.gamma, s.kappa, s.t0, run.interrupt,
        run.logger, no_writer, chain.draws[i], chain.diagnostics[i]);
  if (metric == "unit_e")
    return service::hmc_static_unit_e(run.model, init, run.seed, id, chain.init_radius, s.num_warmup, s.num_samples,
                                      s.thin, s.save_warmup, run.refresh, s.stepsize, s.stepsize_jitter, int_time,
                                      run.interrupt, run.logger, no_writer, chain.draws[i], chain.diagnostics[i]);
  const stan::io::var_context& inverse = *chain.metrics[i];
  if (metric == "dense_e" && s.adapt)
    return service::hmc_static_dense_e_adapt(
        run.model, init, inverse, run.seed, id, chain.init_radius, s.num_warmup, s.num_samples, s.thin, s.save_warmup,
        run.refresh, s.stepsize, s.stepsize_jitter, int_time, s.delta, s.gamma, s.kappa, s.t0, s.init_buffer,
        s.term_buffer, s.window, run.interrupt, run.logger, no_writer, chain.draws[i], chain.diagnostics[i]);
  if (metric == "dense_e")
    return service::hmc_static_dense_e(run.model, init, inverse, run.seed, id, chain.init_radius, s.num_warmup,
                                       s.num_samples, s.thin, s.save_warmup, run.refresh, s.stepsize,
                                       s.stepsize_jitter, int_time, run.interrupt, run.logger, no_writer,
                                       chain.draws[i], chain.diagnostics[i]);
  if (s.adapt)
    return service::hmc_static_diag_e_adapt(
        run.model, init, inverse, run.seed, id, chain.init_radius, s.num_warmup, s.num_samples, s.thin, s.save_warmup,
        run.refresh, s.stepsize, s.stepsize_jitter, int_time, s.delta, s.gamma, s.kappa, s.t0, s.init_buffer,
        s.term_buffer, s.window, run.interrupt, run.logger, no_writer, chain.draws[i], chain.diagnostics[i]);
  return service::hmc_static_diag_e(run.model, init, inverse, run.seed, id, chain.init_radius, s.num_warmup,
                                    s.num_samples, s.thin, s.save_warmup, run.refresh, s.stepsize, s.stepsize_jitter,
                                    int_time, run.interrupt, run.logger, no_writer, chain.draws[i],
                                    chain.diagnostics[i]);
}

}  // namespace

int sample_static(session& run, chains& chain) {
  for (std::size_t i = 0; i < chain.count; ++i) {
    int code = one_chain(run, chain, i);
    if (code != 0) return code;
  }
  return 0;
}

}  // namespace frontend
