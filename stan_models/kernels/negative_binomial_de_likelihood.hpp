#ifndef BAYESEXPR_KERNELS_NEGATIVE_BINOMIAL_DE_LIKELIHOOD_HPP
#define BAYESEXPR_KERNELS_NEGATIVE_BINOMIAL_DE_LIKELIHOOD_HPP
/* Log-likelihood of a block of genes in every component, and its derivatives.

   With z = y + phi + 8 and z0 = phi + 8, log gamma(x) is Stirling's series at x + 8 less the logarithm of x (x + 1) ... (x + 7),
   and the terms of NB2(y | mu, phi) are grouped so that nothing large cancels for any phi up to the Poisson limit:

     log NB2 = (y + phi) log(z / (mu + phi)) - phi log(z0 / phi) + y log mu - y - log y!
               + r(z) - r(z0) - 1/2 log(M(y + phi) / M(phi))
     r(z)    = log gamma(z) - (z - 1/2) log z + z - log(2 pi) / 2,     M(x) = (x (x + 1) ... (x + 7))^2 / (x + 8)^15

   so that a count costs one logarithm for each distinct mean; the M of a gene's samples are multiplied and share another.
   With D(x) = log(x + 8) - digamma(x), whose recurrence is P'/P of P(x) = x (x + 1) ... (x + 7), a polynomial in x (x + 7):

     d log NB2 / d log mu  = phi (y - mu) / (mu + phi)
     d log NB2 / d phi     = log(z / (mu + phi)) + (mu - y) / (mu + phi) - D(y + phi) + D(phi) - log(z0 / phi)
     d2 log NB2 / d phi2   = 1/z - 1/z0 - D'(y + phi) + D'(phi) + mu / (phi (mu + phi)) + (y - mu) / (mu + phi)^2
     expected information of log mu = phi mu / (mu + phi)

   Exponentials are taken once for each distinct pair of design rows and once for each sample's factor: means are products.
   Series: Abramowitz and Stegun (1964) 6.1.41, 6.3.18; the coefficients here are minimax fits on x + 8 >= 8. */
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
// Linear predictors are held in +-kMaxLogMean, factors of samples in exp(+-20) and precisions in [1e-30, 1e30], so that products
// of means and counts stay finite; the density is flat beyond, where a study never is.
constexpr double kMaxLogMean = 600, kMaxLogFactor = 20;
constexpr double kMaxPhi = 1e30, kMaxLogPhi = 69;

}  // namespace

struct bx_nbde_data {
  std::size_t G, S, K, R, C, E, P, blocks, rows;
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

/** What log gamma, digamma and trigamma need at x: r(x + 8), D(x), M(x) and D'(x), see the head. x in [1e-30, 1e31]. */
template <bool kCurvature>
struct Gamma {
  Vec r, d, m, dd;

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
    const Vec slope = dp * (inverse * z), outer = x + x + 7.0;
    d = outer * slope + 0.5 * i +
        w * (0.083333333333300187075 - w * 0.0083333332271405488877 +
             w2 * (0.0039681992615693685275 - w * 0.0041567284637524834674 + w2 * 0.0068262752398201712911));
    if constexpr (kCurvature) {
      const Vec ddp = 2.0 * (p1 + p2) + 2.0 * (t + t + 6.0) * (t + t + 22.0);
      dd = 2.0 * slope + outer * outer * (ddp * (inverse * z) - slope * slope) - 0.5 * w -
           i * w * (0.16666666666660037 - w * 0.033333332908562196 +
                    w2 * (0.023809195569616211 - w * 0.033253827710019868 + w2 * 0.068262752398201713));
    }
    const Vec ratio = p * (w2 * w2);
    m = ratio * ratio * z;
  }
};

/** Working memory of one block of genes: kLanes genes side by side. */
struct Work {
  Array memory;
  Vec *eta, *mean, *row_sum, *row_information;  // [rows]
  Vec *value, *slope, *residual;         // [pairs] what likelihood finds; residual times its weight afterwards
  Vec *information, *bend;               // [pairs] of log mu, and the second derivative in phi
  Vec *log_lik, *d_phi, *dd_phi, *omega;  // [C]
  Vec *psi, *gradient;                   // [P]
  Vec* effect;                           // [K + R] natural effects, then what the likelihood pulls at them

  explicit Work(const bx_nbde_data& a) {
    const std::size_t pairs = a.pair_row.size();
    memory = Array(kLanes * (4 * a.rows + 5 * pairs + 4 * a.C + 3 * a.P));
    Vec* next = reinterpret_cast<Vec*>(memory.get());
    for (Vec** p : {&eta, &mean, &row_sum, &row_information}) *p = next, next += a.rows;
    for (Vec** p : {&value, &slope, &residual, &information, &bend}) *p = next, next += pairs;
    for (Vec** p : {&log_lik, &d_phi, &dd_phi, &omega}) *p = next, next += a.C;
    for (Vec** p : {&psi, &gradient, &effect}) *p = next, next += a.P;
  }
};

/** Log factors of the samples and their exponentials. */
struct Factors {
  std::vector<double> log, natural;
  Factors(const double* log_f, std::size_t S) : log(log_f, log_f + S), natural(S) {
    for (std::size_t s = 0; s < S; ++s) {
      log[s] = std::min(std::max(log[s], -kMaxLogFactor), kMaxLogFactor);
      natural[s] = std::exp(log[s]);
    }
  }
};

/** How far to differentiate. */
enum class Order { kValue, kGradient, kCurvature };

/**
 * Log-likelihood of every component for one block: work.log_lik; for the gradient work.d_phi (its derivative in phi) and
 * work.residual (that in log mu, for each pair); for the curvature work.dd_phi and work.information.
 */
template <Order kOrder>
BX_INLINE void likelihood(const bx_nbde_data& a, std::size_t block, const Factors& f, Vec alpha, Vec phi, const Vec* effect,
                          const Vec* nuisance, Work& work) {
  constexpr bool kGradient = kOrder != Order::kValue, kCurvature = kOrder == Order::kCurvature;
  const double* row = a.row.data();
  for (std::size_t i = 0; i < a.rows; ++i) {
    Vec eta = alpha;
    for (std::size_t k = 0; k < a.K; ++k) eta += *row++ * effect[k];
    for (std::size_t k = 0; k < a.R; ++k) eta += *row++ * nuisance[k];
    work.eta[i] = clamp(eta, -kMaxLogMean, kMaxLogMean);
    work.mean[i] = exponential(work.eta[i]);
  }
  const Gamma<kCurvature> at_phi(phi);
  const Vec scale_m = 1.0 / at_phi.m;
  const double samples = static_cast<double>(a.S);
  const Vec log_shift = log_ratio(phi + 8.0, phi, splat(8.0));
  Vec shared = load(a.constant.get() + block * kLanes) - samples * (phi * log_shift + at_phi.r);
  Vec d_shared = samples * (at_phi.d - log_shift);
  Vec dd_shared{};
  if constexpr (kCurvature) dd_shared = samples * (at_phi.dd - 1.0 / (phi + 8.0));
  Product product;
  const double* count = a.count.get() + block * a.S * kLanes;
  for (std::size_t s = 0; s < a.S; ++s, count += kLanes) {
    const Vec y = load(count);
    const Vec x = y + phi;
    const Vec z = x + 8.0;
    const Gamma<kCurvature> g(x);
    Vec log_factor = splat(f.log[s]), factor = splat(f.natural[s]);
    if (a.has_length) {
      const std::size_t at = (block * a.S + s) * kLanes;
      log_factor += load(a.log_length.get() + at);
      factor *= load(a.length.get() + at);
    }
    shared += g.r + y * log_factor;
    d_shared -= g.d;
    if constexpr (kCurvature) dd_shared += 1.0 / z - g.dd;
    product.multiply(g.m * scale_m);
    for (std::size_t i = a.pair_start[s]; i < a.pair_start[s + 1]; ++i) {
      const Vec mu = work.mean[a.pair_row[i]] * factor;
      const Vec difference = y - mu;
      Vec inverse;
      const Vec log_z = log_ratio(z, mu + phi, difference + 8.0, inverse);
      work.value[i] = x * log_z + y * work.eta[a.pair_row[i]];
      if constexpr (kGradient) {
        const Vec h = difference * inverse;
        work.slope[i] = log_z - h;
        work.residual[i] = phi * h;
        if constexpr (kCurvature) {
          work.information[i] = phi * mu * inverse;
          work.bend[i] = (mu / phi + h) * inverse;
        }
      }
    }
  }
  shared -= 0.5 * product.log(samples);
  const std::size_t* pair = a.pair_of.data();
  for (std::size_t c = 0; c < a.C; ++c, pair += a.S) {
    Vec value = shared, slope = d_shared, bend = dd_shared;
    for (std::size_t s = 0; s < a.S; ++s) {
      value += work.value[pair[s]];
      if constexpr (kGradient) slope += work.slope[pair[s]];
      if constexpr (kCurvature) bend += work.bend[pair[s]];
    }
    work.log_lik[c] = value;
    if constexpr (kGradient) work.d_phi[c] = slope;
    if constexpr (kCurvature) work.dd_phi[c] = bend;
  }
}

}  // namespace

#endif
