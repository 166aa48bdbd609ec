#ifndef BAYESEXPR_KERNELS_NEGATIVE_BINOMIAL_DE_BLOCK_HPP
#define BAYESEXPR_KERNELS_NEGATIVE_BINOMIAL_DE_BLOCK_HPP
/* Log density of the genes of the differential-expression program, and its analytic gradient.

   One gene, its subscript dropped; x_cs is row s of the design of component c, w_s a row of the other terms' design:

     log mu_cs = alpha + log_f_s + log_length_s + x_cs' b + w_s' v,      b = m + s d,  v = tau .* u
     phi       = exp(sigma_phi e) / (a0 + a1 exp(-alpha))
     log p     = N(alpha | mu_alpha, sigma_alpha) + N(e | 0, 1) + t_nu(d) + N(u | 0, 1)
                 + log sum_c exp(log_weight_c + l_c),    l_c = sum_s log NB2(y_s | mu_cs, phi)

   Negative binomial. With z = y + phi + 8 and z0 = phi + 8, log gamma(x) is Stirling's series at x + 8 less the logarithm of
   x (x + 1) ... (x + 7), and the terms are grouped so that nothing large cancels for any phi up to the Poisson limit:

     log NB2 = (y + phi) log(z / (mu + phi)) - phi log(z0 / phi) + y log mu - y - log y!
               + r(z) - r(z0) - 1/2 log(M(y + phi) / M(phi))
     r(z)    = log gamma(z) - (z - 1/2) log z + z - log(2 pi) / 2,     M(x) = (x (x + 1) ... (x + 7))^2 / (x + 8)^15

   so that a count costs one logarithm for each distinct mean; the M of a gene's samples are multiplied and share another. With
   D(x) = log(x + 8) - digamma(x), whose recurrence is P'/P of P(x) = x (x + 1) ... (x + 7), a polynomial in x (x + 7):

     d log NB2 / d log mu  = phi (y - mu) / (mu + phi)
     d log NB2 / d log phi = phi [log(z / (mu + phi)) + (mu - y) / (mu + phi) - D(y + phi) + D(phi) - log(z0 / phi)]

   The mixture weighs the components' gradients with omega_c = exp(log_weight_c + l_c) / sum. Exponentials are taken once
   for each distinct pair of design rows (x_cs, w_s), and for each sample's factor; means are their products. */
#include "negative_binomial_de_core.hpp"

#include <algorithm>
#include <cmath>
#include <new>
#include <vector>

#include "simd_math.hpp"

namespace bayesexpr {

/** Uninitialised array of doubles on a cache line's boundary. */
class Array {
 public:
  Array() = default;
  explicit Array(std::size_t n) : p_(static_cast<double*>(::operator new(n * sizeof(double) + 8, kAlign))) {}
  Array(Array&& other) noexcept : p_(other.p_) { other.p_ = nullptr; }
  Array& operator=(Array&& other) noexcept {
    std::swap(p_, other.p_);
    return *this;
  }
  ~Array() { ::operator delete(p_, kAlign); }
  double* get() const { return p_; }

 private:
  static constexpr std::align_val_t kAlign{64};
  double* p_ = nullptr;
};

}  // namespace bayesexpr

namespace {

using bayesexpr::Array;

constexpr double kHalfLog2Pi = 0.918938533204672741780;
constexpr double kMaxLogMean = 300;  // linear predictors are held in +-kMaxLogMean, precisions in [1e-30, 1e30]
constexpr double kMaxPhi = 1e30, kMaxLogPhi = 69;

}  // namespace

struct bx_nbde_data {
  std::size_t G, S, K, R, C, blocks, rows;
  std::vector<double> row;              // [rows][K + R] distinct rows of (component_design, nuisance_design)
  std::vector<std::size_t> pair_start;  // [S + 1] first pair of a sample; a pair is a distinct row in a sample
  std::vector<std::size_t> pair_row;    // [pairs] its row
  std::vector<std::size_t> pair_of;     // [C][S] pair of a component and a sample
  std::vector<std::size_t> user_start;  // [pairs + 1] first entry of a pair in user
  std::vector<std::size_t> user;        // components that use the pair
  std::vector<std::size_t> place_start; // [rows + 1] first entry of a row in place
  std::vector<std::size_t> place;       // pairs of the row
  bayesexpr::Array count;                          // [blocks][S][lanes]
  bayesexpr::Array constant;                       // [blocks][lanes] sum over samples of -y - log y!
  bool has_length = false;
  bayesexpr::Array log_length, length;             // [blocks][S][lanes], where given and not all zero
};

namespace {

/** What log gamma and digamma need at x: see the head of the file. x in [1e-30, 1e31]. */
struct Gamma {
  Vec r, d, m;

  BX_INLINE explicit Gamma(Vec x) {
    const Vec z = x + 8.0;
    const Vec t = x * (x + 7.0);
    const Vec p1 = t * (t + 6.0), p2 = (t + 10.0) * (t + 12.0);
    const Vec p = p1 * p2;
    const Vec dp = (t + t + 6.0) * p2 + p1 * (t + t + 22.0);
    const Vec inverse = 1.0 / (z * p);
    const Vec i = inverse * p;
    const Vec w = i * i, w2 = w * w;
    r = i * (0.083333333333330253494 - w * 0.0027777777679124518307 +
             w2 * (0.00079364571611153726182 - w * 0.00059431759085621568878 + w2 * 0.0007726514467169820698));
    d = (x + x + 7.0) * (dp * (inverse * z)) + 0.5 * i +
        w * (0.083333333333300187075 - w * 0.0083333332271405488877 +
             w2 * (0.0039681992615693685275 - w * 0.0041567284637524834674 + w2 * 0.0068262752398201712911));
    const Vec ratio = p * (w2 * w2);
    m = ratio * ratio * z;
  }
};

/** Working memory of one block of genes: kLanes genes side by side. */
struct Work {
  Array memory;
  Vec *eta, *mean, *row_sum;             // [rows]
  Vec *value, *slope, *residual;           // [pairs]
  Vec *log_lik, *d_phi, *omega;            // [C]
  Vec *psi, *gradient;                     // [P]
  Vec* effect;                             // [K + R] natural effects, then what the likelihood pulls at them

  explicit Work(const bx_nbde_data& a) {
    const std::size_t pairs = a.pair_row.size(), P = 2 + a.K + a.R;
    memory = Array(kLanes * (3 * a.rows + 3 * pairs + 3 * a.C + 3 * P));
    Vec* next = reinterpret_cast<Vec*>(memory.get());
    for (Vec** p : {&eta, &mean, &row_sum}) *p = next, next += a.rows;
    for (Vec** p : {&value, &slope, &residual}) *p = next, next += pairs;
    for (Vec** p : {&log_lik, &d_phi, &omega}) *p = next, next += a.C;
    for (Vec** p : {&psi, &gradient, &effect}) *p = next, next += P;
  }
};

/** Log factors of the samples and their exponentials. */
struct Factors {
  std::vector<double> log, natural;
  Factors(const double* log_f, std::size_t S) : log(log_f, log_f + S), natural(S) {
    for (std::size_t s = 0; s < S; ++s) natural[s] = std::exp(std::min(std::max(log[s], -100.0), 100.0));
  }
};

/**
 * Log-likelihood of every component for one block: work.log_lik, and for the gradient work.d_phi (its derivative in phi) and
 * work.residual (its derivative in log mu, for each pair).
 */
template <bool kGradient>
BX_INLINE void likelihood(const bx_nbde_data& a, std::size_t block, const Factors& f, Vec alpha, Vec phi, const Vec* effect,
                          const Vec* nuisance, Work& work) {
  const double* row = a.row.data();
  for (std::size_t i = 0; i < a.rows; ++i) {
    Vec eta = alpha;
    for (std::size_t k = 0; k < a.K; ++k) eta += *row++ * effect[k];
    for (std::size_t k = 0; k < a.R; ++k) eta += *row++ * nuisance[k];
    work.eta[i] = clamp(eta, -kMaxLogMean, kMaxLogMean);
    work.mean[i] = exponential(work.eta[i]);
  }
  const Gamma at_phi(phi);
  const Vec scale_m = 1.0 / at_phi.m;
  const double samples = static_cast<double>(a.S);
  const Vec log_shift = log_ratio(phi + 8.0, phi, splat(8.0));
  Vec shared = load(a.constant.get() + block * kLanes) - samples * (phi * log_shift + at_phi.r);
  Vec d_shared = samples * (at_phi.d - log_shift);
  Product product;
  const double* count = a.count.get() + block * a.S * kLanes;
  for (std::size_t s = 0; s < a.S; ++s, count += kLanes) {
    const Vec y = load(count);
    const Vec x = y + phi;
    const Vec z = x + 8.0;
    const Gamma g(x);
    Vec log_factor = splat(f.log[s]), factor = splat(f.natural[s]);
    if (a.has_length) {
      const std::size_t at = (block * a.S + s) * kLanes;
      log_factor += load(a.log_length.get() + at);
      factor *= load(a.length.get() + at);
    }
    shared += g.r + y * log_factor;
    d_shared -= g.d;
    product.multiply(g.m * scale_m);
    for (std::size_t i = a.pair_start[s]; i < a.pair_start[s + 1]; ++i) {
      const Vec mu = work.mean[a.pair_row[i]] * factor;
      const Vec difference = y - mu;
      Vec inverse;
      const Vec log_z = log_ratio(z, mu + phi, difference + 8.0, inverse);
      work.value[i] = x * log_z + y * work.eta[a.pair_row[i]];
      if (kGradient) {
        const Vec h = difference * inverse;
        work.slope[i] = log_z - h;
        work.residual[i] = phi * h;
      }
    }
  }
  shared -= 0.5 * product.log(samples);
  const std::size_t* pair = a.pair_of.data();
  for (std::size_t c = 0; c < a.C; ++c, pair += a.S) {
    Vec value = shared, slope = d_shared;
    for (std::size_t s = 0; s < a.S; ++s) {
      value += work.value[pair[s]];
      if (kGradient) slope += work.slope[pair[s]];
    }
    work.log_lik[c] = value;
    if (kGradient) work.d_phi[c] = slope;
  }
}

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
  std::size_t sums;

  Model(const bx_nbde_data& data, const bx_nbde_hyper& h, std::size_t shifts)
      : a(data), hyper(h), factors(h.log_f, data.S), m(data.K, 0.0), sums(data.K + data.C + data.R + data.S + shifts) {
    const double K = static_cast<double>(a.K), P = static_cast<double>(2 + a.K + a.R);
    a0 = std::exp(std::min(std::max(h.log_a0, -60.0), 60.0));
    a1 = std::exp(std::min(std::max(h.log_a1, -60.0), 60.0));
    if (h.m) m.assign(h.m, h.m + a.K);
    constant = -P * kHalfLog2Pi - std::log(h.sigma_alpha);
    if (h.nu > 0)
      constant += std::lgamma(0.5 * (h.nu + K)) - std::lgamma(0.5 * h.nu) - 0.5 * K * (std::log(0.5 * h.nu));
    memory = Array(kLanes * sums);
    Vec* next = reinterpret_cast<Vec*>(memory.get());
    for (std::size_t i = 0; i < sums; ++i) next[i] = Vec{};
    value = mu_alpha = sigma_alpha = log_a0 = log_a1 = sigma_phi = s = Vec{};
    d_m = next, d_log_weight = d_m + a.K, d_tau = d_log_weight + a.C, d_log_f = d_tau + a.R, d_shift = d_log_f + a.S;
  }

  /** Weights of the components in work.omega, and the log of their sum: of one component alone where it is known. */
  BX_INLINE Vec mix(Work& work, std::int64_t component) const {
    if (component >= 0) {
      for (std::size_t c = 0; c < a.C; ++c) work.omega[c] = splat(c == static_cast<std::size_t>(component) ? 1.0 : 0.0);
      return work.log_lik[component];
    }
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
   * live: 1 for a gene, 0 for a lane beyond the last one. component: as in mix.
   */
  BX_INLINE Vec block(std::size_t index, Vec live, bool prior_only, std::int64_t component, Work& work) {
    const std::size_t K = a.K, R = a.R, S = a.S, C = a.C;
    const Vec alpha = work.psi[0], e = work.psi[1];
    const Vec *d = work.psi + 2, *u = d + K;
    Vec* g = work.gradient;

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
    g[1] = -e;
    for (std::size_t k = 0; k < K; ++k) g[2 + k] = pull * d[k];
    for (std::size_t k = 0; k < R; ++k) g[2 + K + k] = -u[k];
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
    likelihood<true>(a, index, factors, alpha, phi, effect, effect + K, work);
    result += mix(work, component);
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
        sample += work.residual[i];
      }
      d_log_f[s] += sample;
    }
    for (std::size_t i = 0; i < a.rows; ++i) {
      Vec total{};
      for (std::size_t j = a.place_start[i]; j < a.place_start[i + 1]; ++j) total += work.residual[a.place[j]];
      work.row_sum[i] = total;
    }

    const Vec trend = falling * inverse_trend;
    log_a0 -= slope * (1.0 - trend);
    log_a1 -= slope * trend;
    sigma_phi += slope * e;
    g[0] += slope * trend;
    g[1] += slope * hyper.sigma_phi;
    for (std::size_t k = 0; k < K + R; ++k) effect[k] = Vec{};
    const double* row = a.row.data();
    for (std::size_t i = 0; i < a.rows; ++i) {
      g[0] += work.row_sum[i];
      for (std::size_t k = 0; k < K + R; ++k) effect[k] += *row++ * work.row_sum[i];
    }
    for (std::size_t k = 0; k < K; ++k) {
      g[2 + k] += hyper.s * effect[k];
      d_m[k] += effect[k];
      s += d[k] * effect[k];
    }
    for (std::size_t k = 0; k < R; ++k) {
      g[2 + K + k] += hyper.tau[k] * effect[K + k];
      d_tau[k] += u[k] * effect[K + k];
    }
    return result;
  }
};

}  // namespace

#endif
