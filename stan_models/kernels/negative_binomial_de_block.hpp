#ifndef BAYESEXPR_KERNELS_NEGATIVE_BINOMIAL_DE_BLOCK_HPP
#define BAYESEXPR_KERNELS_NEGATIVE_BINOMIAL_DE_BLOCK_HPP
/* Log density of the genes of the differential-expression program, and its analytic gradient, for a block of genes at a time.

   One gene, its subscript dropped; x_cs is row s of the design of component c, w_s that of the other terms' design:

     log mu_cs = alpha + log_f_s + log_length_s + x_cs' b + w_s' v,      b = m + s d,  v = tau .* u
     phi       = exp(sigma_phi e) / (a0 + a1 exp(-alpha))
     log p     = N(alpha | mu_alpha, sigma_alpha) + N(e | 0, 1) + t_nu(d) + N(u | 0, 1)
                 + log sum_c exp(log_weight_c + l_c),    l_c = sum_s log NB2(y_s | mu_cs, phi)

   Where all genes share one dispersion there is no e and a1 is zero: phi = 1 / a0, t = 0.

   The gradient of the mixture is that of its components weighed with omega_c = exp(log_weight_c + l_c) / sum. With
   rho_cs = d l_c / d log mu_cs, q = sum_c omega_c d l_c / d log phi and t = a1 exp(-alpha) / (a0 + a1 exp(-alpha)):

     d / d b         = sum_c omega_c sum_s rho_cs x_cs              d / d d = s d / d b,   d / d m = d / d b,   d / d s = d' d / d b
     d / d v         = sum_c omega_c sum_s rho_cs w_s               d / d u = tau .* d / d v,     d / d tau = u .* d / d v
     d / d alpha     = sum_c omega_c sum_s rho_cs + q t             d / d e = sigma_phi q,        d / d sigma_phi = e q
     d / d log_f_s   = sum_c omega_c rho_cs                         d / d log a0 = -q (1 - t),    d / d log a1 = -q t
     d / d log_weight_c = omega_c

   to which the priors add theirs; the sums over components and samples go over the distinct rows of the design. */
#include "negative_binomial_de_likelihood.hpp"

namespace {

/** Hyperparameters made ready, and what all genes add to their gradient. */
struct Model {
  const bx_nbde_data& a;
  const bx_nbde_hyper& hyper;
  Factors factors;
  double a0, a1, constant;  // constant: of the priors of one gene
  std::vector<double> m;
  Array memory;
  Vec value, mu_alpha, sigma_alpha, log_a0, log_a1, sigma_phi, s;
  Vec *d_m, *d_log_weight, *d_tau, *d_log_f, *d_shift;
  std::size_t vectors;  // of the sums above, those behind pointers

  static constexpr std::size_t kScalars = 7;
  /** Sums of a part. */
  static std::size_t sums(const bx_nbde_data& a, std::size_t shifts) { return kScalars + a.K + a.C + a.R + a.S + shifts; }

  Model(const bx_nbde_data& data, const bx_nbde_hyper& h, std::size_t shifts)
      : a(data), hyper(h), factors(h.log_f, data.S), m(data.K, 0.0), vectors(sums(data, shifts) - kScalars) {
    const double K = static_cast<double>(a.K), P = static_cast<double>(a.P);
    a0 = std::exp(std::min(std::max(h.log_a0, -60.0), 60.0));
    a1 = a.E ? std::exp(std::min(std::max(h.log_a1, -60.0), 60.0)) : 0.0;
    if (h.m) m.assign(h.m, h.m + a.K);
    constant = -P * kHalfLog2Pi - std::log(h.sigma_alpha);
    if (h.nu > 0)
      constant += std::lgamma(0.5 * (h.nu + K)) - std::lgamma(0.5 * h.nu) - 0.5 * K * (std::log(0.5 * h.nu));
    memory = Array(kLanes * vectors);
    d_m = reinterpret_cast<Vec*>(memory.get());
    d_log_weight = d_m + a.K, d_tau = d_log_weight + a.C, d_log_f = d_tau + a.R, d_shift = d_log_f + a.S;
    clear();
  }

  /** Begin a part: all sums are zero. */
  void clear() {
    for (std::size_t i = 0; i < vectors; ++i) d_m[i] = Vec{};
    value = mu_alpha = sigma_alpha = log_a0 = log_a1 = sigma_phi = s = Vec{};
  }

  /** Write the sums of a part, over the lanes. */
  void collect(double* out) const {
    for (const Vec* one : {&value, &mu_alpha, &sigma_alpha, &log_a0, &log_a1, &sigma_phi, &s}) *out++ = sum(*one);
    for (std::size_t i = 0; i < vectors; ++i) *out++ = sum(d_m[i]);
  }

  /** Weights of the components in work.omega, given the likelihoods; returns the log of their sum. */
  BX_INLINE Vec mix(Work& work) const {
    Vec top = splat(-1e300);
    for (std::size_t c = 0; c < a.C; ++c) {
      work.omega[c] = work.log_lik[c] + std::max(hyper.log_weight[c], -1e30);
      top = larger(top, work.omega[c]);
    }
    Vec total{};
    for (std::size_t c = 0; c < a.C; ++c) {
      work.omega[c] = exponential(larger(work.omega[c] - top, splat(-700.0)));
      total += work.omega[c];
    }
    const Vec inverse = 1.0 / total;
    for (std::size_t c = 0; c < a.C; ++c) work.omega[c] *= inverse;
    return top + logarithm(total);
  }

  /**
   * Log density of one block at work.psi and its gradient, work.gradient; adds to the sums of the hyperparameters.
   * live: 1 for a gene, 0 for a lane beyond the last one. precision: for the curvature P x P vectors, see
   * bx_nbde_gene_terms.
   */
  template <Order kOrder>
  BX_INLINE Vec block(std::size_t index, Vec live, bool prior_only, Work& work, Vec* precision) {
    const std::size_t K = a.K, R = a.R, S = a.S, C = a.C;
    const Vec alpha = work.psi[0], e = a.E ? work.psi[1] : Vec{};
    const Vec *d = work.psi + 1 + a.E, *u = d + K;
    Vec *g = work.gradient, *g_d = g + 1 + a.E, *g_u = g_d + K;

    const Vec deviation = (alpha - hyper.mu_alpha) * (1 / hyper.sigma_alpha);
    Vec squares = deviation * deviation + e * e, d2{};
    for (std::size_t k = 0; k < K; ++k) d2 += d[k] * d[k];
    for (std::size_t k = 0; k < R; ++k) squares += u[k] * u[k];
    Vec result = constant - 0.5 * squares, pull = splat(-1.0);
    if (hyper.nu > 0) {
      const double half = 0.5 * (hyper.nu + static_cast<double>(K));
      result -= half * log_one_plus(d2 * (1 / hyper.nu));
      pull = -2 * half / (hyper.nu + d2);
    } else {
      result -= 0.5 * d2;
    }
    g[0] = deviation * (-1 / hyper.sigma_alpha);
    if (a.E) g[1] = -e;
    for (std::size_t k = 0; k < K; ++k) g_d[k] = pull * d[k];
    for (std::size_t k = 0; k < R; ++k) g_u[k] = -u[k];
    mu_alpha -= g[0] * live;
    sigma_alpha += (deviation * deviation - 1.0) * live;
    if (prior_only) {
      value += result * live;
      return result;
    }

    const Vec falling = a1 * exponential(clamp(-alpha, -kMaxLogMean, kMaxLogMean));
    const Vec inverse_trend = 1.0 / (a0 + falling);
    const Vec phi = clamp(exponential(clamp(hyper.sigma_phi * e, -100, 100)) * inverse_trend, 1 / kMaxPhi, kMaxPhi);
    Vec* effect = work.effect;
    for (std::size_t k = 0; k < K; ++k) effect[k] = m[k] + hyper.s * d[k];
    for (std::size_t k = 0; k < R; ++k) effect[K + k] = hyper.tau[k] * u[k];
    likelihood<kOrder>(a, index, factors, alpha, phi, effect, effect + K, work);
    result += mix(work);
    value += result * live;

    // d log_lik / d log phi, and d / d log mu summed over the samples of each distinct row
    Vec slope{};
    for (std::size_t c = 0; c < C; ++c) {
      work.omega[c] *= live;
      slope += work.omega[c] * work.d_phi[c];
      d_log_weight[c] += work.omega[c];
    }
    slope *= phi;
    for (std::size_t s = 0; s < S; ++s) {
      Vec sample{};
      for (std::size_t i = a.pair_start[s]; i < a.pair_start[s + 1]; ++i) {
        Vec weight{};
        for (std::size_t j = a.user_start[i]; j < a.user_start[i + 1]; ++j) weight += work.omega[a.user[j]];
        work.residual[i] *= weight;
        if constexpr (kOrder == Order::kCurvature) work.information[i] *= weight;
        sample += work.residual[i];
      }
      d_log_f[s] += sample;
    }
    for (std::size_t i = 0; i < a.rows; ++i) {
      Vec total{};
      for (std::size_t j = a.place_start[i]; j < a.place_start[i + 1]; ++j) total += work.residual[a.place[j]];
      work.row_sum[i] = total;
      if constexpr (kOrder == Order::kCurvature) {
        Vec information{};
        for (std::size_t j = a.place_start[i]; j < a.place_start[i + 1]; ++j) information += work.information[a.place[j]];
        work.row_information[i] = information;
      }
    }

    const Vec trend = falling * inverse_trend;
    log_a0 -= slope * (1.0 - trend);
    log_a1 -= slope * trend;
    sigma_phi += slope * e;
    g[0] += slope * trend;
    if (a.E) g[1] += slope * hyper.sigma_phi;
    for (std::size_t k = 0; k < K + R; ++k) effect[k] = Vec{};
    const double* row = a.row.data();
    for (std::size_t i = 0; i < a.rows; ++i) {
      g[0] += work.row_sum[i];
      for (std::size_t k = 0; k < K + R; ++k) effect[k] += *row++ * work.row_sum[i];
    }
    for (std::size_t k = 0; k < K; ++k) {
      g_d[k] += hyper.s * effect[k];
      d_m[k] += effect[k];
      s += d[k] * effect[k];
    }
    for (std::size_t k = 0; k < R; ++k) {
      g_u[k] += hyper.tau[k] * effect[K + k];
      d_tau[k] += u[k] * effect[K + k];
    }
    if constexpr (kOrder == Order::kCurvature) curvature(phi, slope, trend, pull, work, precision);
    return result;
  }

  /** Positive definite curvature of one block: see bx_nbde_gene_terms. slope: derivative in log phi. */
  BX_INLINE void curvature(Vec phi, Vec slope, Vec trend, Vec pull, Work& work, Vec* precision) const {
    const std::size_t K = a.K, R = a.R, P = a.P, first = 1 + a.E;
    Vec of_phi{};
    for (std::size_t c = 0; c < a.C; ++c) of_phi -= work.omega[c] * work.dd_phi[c];
    of_phi = larger(of_phi * phi * phi - slope, Vec{});
    for (std::size_t i = 0; i < P * P; ++i) precision[i] = Vec{};
    // what one unit of a coordinate adds to the linear predictor in a row of the design
    std::vector<double> unit(P);
    const double* row = a.row.data();
    for (std::size_t i = 0; i < a.rows; ++i, row += K + R) {
      unit[0] = 1.0;
      for (std::size_t k = 0; k < K; ++k) unit[first + k] = row[k] * hyper.s;
      for (std::size_t k = 0; k < R; ++k) unit[first + K + k] = row[K + k] * hyper.tau[k];
      for (std::size_t p = 0; p < P; ++p)
        for (std::size_t q = 0; q < P; ++q) precision[p * P + q] += (unit[p] * unit[q]) * work.row_information[i];
    }
    precision[0] += of_phi * trend * trend + 1 / (hyper.sigma_alpha * hyper.sigma_alpha);
    if (a.E) {
      precision[1] += of_phi * trend * hyper.sigma_phi;
      precision[P] += of_phi * trend * hyper.sigma_phi;
      precision[P + 1] += of_phi * (hyper.sigma_phi * hyper.sigma_phi) + 1.0;
    }
    for (std::size_t p = first; p < P; ++p) precision[p * P + p] += p < first + K ? -pull : splat(1.0);
  }
};

}  // namespace

#endif
