// The settings that all Hamiltonian samplers share, read once from the tree.
#ifndef FRONTEND_SAMPLER_SETTINGS_HPP
#define FRONTEND_SAMPLER_SETTINGS_HPP

#include "session.hpp"

namespace frontend {

struct sampler_settings {
  int num_warmup, num_samples, thin;
  bool save_warmup;
  bool adapt;
  double stepsize, stepsize_jitter;
  double delta, gamma, kappa, t0;
  unsigned init_buffer, term_buffer, window;

  explicit sampler_settings(const argument& sample)
      : num_warmup(sample["num_warmup"].integer()),
        num_samples(sample["num_samples"].integer()),
        thin(sample["thin"].integer()),
        save_warmup(sample["save_warmup"].flag()),
        adapt(sample["adapt"]["engaged"].flag()),
        stepsize(sample["algorithm"]["hmc"]["stepsize"].real()),
        stepsize_jitter(sample["algorithm"]["hmc"]["stepsize_jitter"].real()),
        delta(sample["adapt"]["delta"].real()),
        gamma(sample["adapt"]["gamma"].real()),
        kappa(sample["adapt"]["kappa"].real()),
        t0(sample["adapt"]["t0"].real()),
        init_buffer(sample["adapt"]["init_buffer"].unsigned_integer()),
        term_buffer(sample["adapt"]["term_buffer"].unsigned_integer()),
        window(sample["adapt"]["window"].unsigned_integer()) {}
};

inline int max_depth(const argument& sample) {
  return sample["algorithm"]["hmc"]["engine"]["nuts"]["max_depth"].integer();
}

}  // namespace frontend

#endif
