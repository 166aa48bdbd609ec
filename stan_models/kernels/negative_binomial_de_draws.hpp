#ifndef BAYESEXPR_KERNELS_NEGATIVE_BINOMIAL_DE_DRAWS_HPP
#define BAYESEXPR_KERNELS_NEGATIVE_BINOMIAL_DE_DRAWS_HPP
/* The density of negative_binomial_de_block.hpp for many draws of one gene: a lane is a draw, with hyperparameters of its own,
   where there a lane is a gene. The likelihood is grouped as in negative_binomial_de_likelihood.hpp. */
#include "negative_binomial_de_likelihood.hpp"

namespace {

class DrawsOfGene {
 public:
  /** hyper: rows mu_alpha, 1 / sigma_alpha, log sigma_alpha, a0, a1, sigma_phi, s, m [K], log_weight [C], tau [R] (one per
      column), log_f [S], exp(log_f) [S], each with a value for every draw. nu: degrees of freedom of the slab; 0: normal.
      Where all genes share one dispersion it is a0, and a1 is zero. */
  DrawsOfGene(const bx_nbde_data& data, const double* hyper, std::size_t draws, double nu)
      : a_(data), work_(data), D_(draws), nu_(nu), count_(data.S), log_length_(data.S, 0.0), length_(data.S, 1.0) {
    for (const double** row : {&mu_alpha_, &inverse_sigma_alpha_, &log_sigma_alpha_, &a0_, &a1_, &sigma_phi_, &s_})
      *row = hyper, hyper += D_;
    m_ = hyper, log_weight_ = m_ + a_.K * D_, tau_ = log_weight_ + a_.C * D_, log_f_ = tau_ + a_.R * D_;
    factor_ = log_f_ + a_.S * D_;
    const double K = static_cast<double>(a_.K), P = static_cast<double>(a_.P);
    prior_ = -P * kHalfLog2Pi;
    if (nu > 0) prior_ += std::lgamma(0.5 * (nu + K)) - std::lgamma(0.5 * nu) - 0.5 * K * std::log(0.5 * nu);
  }

  /** Go to a gene, whose coordinates are psi [P, D]. */
  void enter(std::size_t gene, const double* psi) {
    psi_ = psi;
    const std::size_t block = gene / kLanes, lane = gene % kLanes;
    constant_ = a_.constant.get()[gene];
    for (std::size_t s = 0; s < a_.S; ++s) {
      const std::size_t at = (block * a_.S + s) * kLanes + lane;
      count_[s] = a_.count.get()[at];
      if (a_.has_length) log_length_[s] = a_.log_length.get()[at], length_[s] = a_.length.get()[at];
    }
  }

  /** Evaluate the draws from `at` on, as many as there are lanes; arrays are the gene's own. */
  void evaluate(std::size_t at, double* log_density, double* log_phi, double* effect, double* nuisance, double* probability) {
    at_ = at, live_ = std::min(kLanes, D_ - at);
    const std::size_t K = a_.K, R = a_.R;
    const Vec alpha = of(psi_), e = a_.E ? of(psi_ + D_) : Vec{};
    const double *d = psi_ + (1 + a_.E) * D_, *u = d + K * D_;
    const Vec deviation = (alpha - of(mu_alpha_)) * of(inverse_sigma_alpha_);
    Vec squares = deviation * deviation + e * e, d2{};
    for (std::size_t k = 0; k < K; ++k) d2 += of(d + k * D_) * of(d + k * D_);
    for (std::size_t k = 0; k < R; ++k) squares += of(u + k * D_) * of(u + k * D_);
    Vec result = prior_ - of(log_sigma_alpha_) - 0.5 * squares;
    if (nu_ > 0)
      result -= 0.5 * (nu_ + static_cast<double>(K)) * log_one_plus(d2 * (1 / nu_));
    else
      result -= 0.5 * d2;

    const Vec falling = of(a1_) * exponential(clamp(-alpha, -kMaxLogMean, kMaxLogMean));
    const Vec log_precision = of(sigma_phi_) * e - logarithm(of(a0_) + falling);
    const Vec phi = precision(log_precision);
    means();
    likelihood(phi);

    Vec top = splat(-1e300), total{};
    for (std::size_t c = 0; c < a_.C; ++c) {
      work_.omega[c] = work_.log_lik[c] + larger(of(log_weight_ + c * D_), splat(-1e30));
      top = larger(top, work_.omega[c]);
    }
    for (std::size_t c = 0; c < a_.C; ++c) {
      work_.omega[c] = exponential(larger(work_.omega[c] - top, splat(-700.0)));
      total += work_.omega[c];
    }
    const Vec inverse = 1.0 / total;
    for (std::size_t c = 0; c < a_.C; ++c) put(probability + c * D_, work_.omega[c] * inverse);
    put(log_density, result + top + logarithm(total));
    put(log_phi, log_precision);
    for (std::size_t k = 0; k < K; ++k) put(effect + k * D_, work_.effect[k]);
    for (std::size_t k = 0; k < R; ++k) put(nuisance + k * D_, work_.effect[K + k]);
  }

  /** Weighted means of sum_c probability_c phi (y - mu_cs) / (mu_cs + phi) over all draws of the gene, for each sample. */
  void residuals(const double* log_phi, const double* probability, const double* weight, double* result) {
    std::fill_n(result, a_.S, 0.0);
    for (at_ = 0; at_ < D_; at_ += kLanes) {
      live_ = std::min(kLanes, D_ - at_);
      const Vec phi = precision(of(log_phi)), w = of(weight) * phi * ones(live_);
      means();
      for (std::size_t s = 0; s < a_.S; ++s) {
        const Vec factor = of(factor_ + s * D_) * length_[s];
        Vec total{};
        for (std::size_t i = a_.pair_start[s]; i < a_.pair_start[s + 1]; ++i) {
          Vec share{};
          for (std::size_t j = a_.user_start[i]; j < a_.user_start[i + 1]; ++j) share += of(probability + a_.user[j] * D_);
          const Vec mu = work_.mean[a_.pair_row[i]] * factor;
          total += share * (count_[s] - mu) / (mu + phi);
        }
        result[s] += sum(where_less(Vec{}, ones(live_), w * total, Vec{}));
      }
    }
  }

 private:
  BX_INLINE Vec of(const double* row) const { return load_some(row + at_, live_); }
  BX_INLINE void put(double* row, Vec v) const { store_some(row + at_, v, live_); }
  static BX_INLINE Vec precision(Vec log_phi) { return exponential(clamp(log_phi, -kMaxLogPhi, kMaxLogPhi)); }

  /** Effects, and log mean and mean of each distinct row of the design, but for the samples' factors. */
  BX_INLINE void means() {
    const std::size_t K = a_.K, R = a_.R;
    const double *d = psi_ + (1 + a_.E) * D_, *u = d + K * D_;
    Vec* effect = work_.effect;
    for (std::size_t k = 0; k < K; ++k) effect[k] = of(m_ + k * D_) + of(s_) * of(d + k * D_);
    for (std::size_t k = 0; k < R; ++k) effect[K + k] = of(tau_ + k * D_) * of(u + k * D_);
    const double* row = a_.row.data();
    for (std::size_t i = 0; i < a_.rows; ++i) {
      Vec eta = of(psi_);
      for (std::size_t k = 0; k < K + R; ++k) eta += *row++ * effect[k];
      work_.eta[i] = clamp(eta, -kMaxLogMean, kMaxLogMean);
      work_.mean[i] = exponential(work_.eta[i]);
    }
  }

  /** Log-likelihood of every component in work_.log_lik. */
  BX_INLINE void likelihood(Vec phi) {
    const Gamma<false> at_phi(phi);
    const Vec scale_m = 1.0 / at_phi.m;
    const double samples = static_cast<double>(a_.S);
    Vec shared = constant_ - samples * (phi * log_ratio(phi + 8.0, phi, splat(8.0)) + at_phi.r);
    Product product;
    for (std::size_t s = 0; s < a_.S; ++s) {
      const double y = count_[s];
      const Vec x = y + phi, z = x + 8.0, factor = of(factor_ + s * D_) * length_[s];
      const Gamma<false> g(x);
      shared += g.r + y * (of(log_f_ + s * D_) + log_length_[s]);
      product.multiply(g.m * scale_m);
      for (std::size_t i = a_.pair_start[s]; i < a_.pair_start[s + 1]; ++i) {
        const Vec mu = work_.mean[a_.pair_row[i]] * factor;
        work_.value[i] = x * log_ratio(z, mu + phi, y - mu + 8.0) + y * work_.eta[a_.pair_row[i]];
      }
    }
    shared -= 0.5 * product.log(samples);
    const std::size_t* pair = a_.pair_of.data();
    for (std::size_t c = 0; c < a_.C; ++c, pair += a_.S) {
      work_.log_lik[c] = shared;
      for (std::size_t s = 0; s < a_.S; ++s) work_.log_lik[c] += work_.value[pair[s]];
    }
  }

  const bx_nbde_data& a_;
  Work work_;
  const std::size_t D_;
  const double nu_;
  double prior_, constant_ = 0;
  std::vector<double> count_, log_length_, length_;
  const double *mu_alpha_, *inverse_sigma_alpha_, *log_sigma_alpha_, *a0_, *a1_, *sigma_phi_, *s_;
  const double *m_, *log_weight_, *tau_, *log_f_, *factor_;
  const double* psi_ = nullptr;
  std::size_t at_ = 0, live_ = 0;
};

}  // namespace

#endif
