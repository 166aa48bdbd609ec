#ifndef BAYESEXPR_KERNELS_NEGATIVE_BINOMIAL_DE_MOVES_HPP
#define BAYESEXPR_KERNELS_NEGATIVE_BINOMIAL_DE_MOVES_HPP
/* Markov moves of the genes given the hyperparameters, a block of genes at a time. Given those the genes are independent, so each
   gene accepts or rejects for itself, and a block stays in the processor's first cache for a whole trajectory.

   1. Hamiltonian Monte Carlo (Duane et al. 1987; Neal 2011) on the whitened coordinates z of a gene, unit mass:
        p ~ N(0, I);  leapfrog steps of size eps;  accept with probability min(1, exp(H(z, p) - H(z', p'))).
   2. The tested effect drawn anew from its prior, all else as it is. The prior cancels against the proposal, what is left is the
      ratio of the mixture likelihoods: an unchanged gene's effect is independent at once, and a doubtful gene crosses from
      changed to unchanged and back without climbing over what lies between.

   A proposal whose density is not a number is rejected. Equations of the density: negative_binomial_de_block.hpp. */
#include "negative_binomial_de_block.hpp"

namespace {

/** One block of genes on its way; every gene is a lane. */
class Walker {
 public:
  Walker(const bx_nbde_data& data, const bx_nbde_map& map, const bx_nbde_hyper& hyper)
      : a_(data), map_(map), P_(data.P), model_(data, hyper, 0), work_(data), memory_(kLanes * 6 * P_) {
    Vec* next = reinterpret_cast<Vec*>(memory_.get());
    for (Vec** p : {&offset_, &scale_, &q_, &start_, &p_, &slope_}) *p = next, next += P_;
  }

  /** Go to block `index` and load its coordinates. */
  void enter(std::size_t index, const double* z) {
    index_ = index, first_ = index * kLanes, live_ = std::min(kLanes, a_.G - first_);
    mask_ = ones(live_);
    const std::size_t drivers = static_cast<std::size_t>(map_.drivers);
    for (std::size_t i = 0; i < P_; ++i) {
      const std::size_t at = i * a_.G + first_;
      offset_[i] = load_some(map_.center + at, live_);
      for (std::size_t j = 0; j < drivers; ++j)
        offset_[i] += load_some(map_.slope[i] + j * a_.G + first_, live_) * map_.shift[i + j * P_];
      scale_[i] = load_some(map_.scale + at, live_);
      q_[i] = load_some(z + at, live_);
    }
  }

  void leave(double* z) const {
    for (std::size_t i = 0; i < P_; ++i) store_some(z + i * a_.G + first_, q_[i], live_);
  }

  /** One trajectory; writes each gene's acceptance probability. */
  void trajectory(int64_t leaps, const double* step, const double* momentum, const double* log_uniform, double* acceptance) {
    const Vec eps = load_some(step + first_, live_);
    for (std::size_t i = 0; i < P_; ++i) start_[i] = q_[i], p_[i] = load_some(momentum + i * a_.G + first_, live_);
    const Vec before = density();
    const Vec energy = kinetic() - before;
    Vec after = before;
    for (int64_t l = 0; l < leaps; ++l) {
      for (std::size_t i = 0; i < P_; ++i) {
        p_[i] += 0.5 * eps * slope_[i];
        q_[i] += eps * p_[i];
      }
      after = density();
      for (std::size_t i = 0; i < P_; ++i) p_[i] += 0.5 * eps * slope_[i];
    }
    const Vec gain = energy - kinetic() + after;
    const Vec draw = load_some(log_uniform + first_, live_);
    for (std::size_t i = 0; i < P_; ++i) q_[i] = where_less(draw, gain, q_[i], start_[i]);
    value_ = where_less(draw, gain, after, before);
    const Vec sure = where_less(splat(-1e300), gain, gain, splat(-700.0));
    store_some(acceptance + first_, exponential(clamp(sure, -700.0, 0.0)), live_);
  }

  /** The tested effect from its prior, after a trajectory; writes 1 for each gene that took it, 0 for the others. */
  void refresh(const double* effect, const double* log_uniform, double* taken) {
    const std::size_t K = a_.K, d = 1 + a_.E;
    Vec was{}, is{};
    for (std::size_t k = 0; k < K; ++k) {
      Vec& q = q_[d + k];
      start_[d + k] = q;
      const Vec old = offset_[d + k] + scale_[d + k] * q, fresh = load_some(effect + k * a_.G + first_, live_);
      was += old * old, is += fresh * fresh;
      q = (fresh - offset_[d + k]) / scale_[d + k];
    }
    const double nu = model_.hyper.nu;
    const Vec prior = nu > 0 ? 0.5 * (nu + static_cast<double>(K)) * (log_one_plus(was * (1 / nu)) - log_one_plus(is * (1 / nu)))
                             : 0.5 * (was - is);
    const Vec gain = density() - value_ - prior;
    const Vec draw = load_some(log_uniform + first_, live_);
    for (std::size_t k = 0; k < K; ++k) q_[d + k] = where_less(draw, gain, q_[d + k], start_[d + k]);
    store_some(taken + first_, where_less(draw, gain, splat(1.0), splat(0.0)), live_);
  }

 private:
  /** Log density of each gene at q_, and its gradient there in slope_. */
  Vec density() {
    for (std::size_t i = 0; i < P_; ++i) work_.psi[i] = offset_[i] + scale_[i] * q_[i];
    const Vec value = model_.block<Order::kGradient>(index_, mask_, false, work_, nullptr);
    for (std::size_t i = 0; i < P_; ++i) slope_[i] = work_.gradient[i] * scale_[i];
    return value;
  }

  Vec kinetic() const {
    Vec squares{};
    for (std::size_t i = 0; i < P_; ++i) squares += p_[i] * p_[i];
    return 0.5 * squares;
  }

  const bx_nbde_data& a_;
  const bx_nbde_map& map_;
  const std::size_t P_;
  Model model_;
  Work work_;
  Array memory_;
  std::size_t index_ = 0, first_ = 0, live_ = 0;
  Vec mask_, value_;
  Vec *offset_, *scale_, *q_, *start_, *p_, *slope_;
};

}  // namespace

#endif
