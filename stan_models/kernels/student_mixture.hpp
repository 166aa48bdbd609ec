#ifndef BAYESEXPR_KERNELS_STUDENT_MIXTURE_HPP
#define BAYESEXPR_KERNELS_STUDENT_MIXTURE_HPP
/* Draws from mixtures of Student-t distributions, and their densities; a lane is a draw.

   Mode m is center_m + root_m (t .* n): n is standard normal, and t makes the coordinates of one group Student-t together
   (multivariate) with nu degrees of freedom, those of the other with `light`:  t^2 = (nu / 2) / Gamma(nu / 2).

   Random numbers are those of SplitMix64 (Steele, Lea and Flood 2014, OOPSLA) at a counter: number i of draw j is a function of
   the gene's key, j and i alone, the same on every processor, and in NumPy in bayesexpr/empirical_bayes/noise.py. Normal deviates
   by Box and Muller (1958, Ann Math Stat 29:610); a gamma deviate of integer shape is minus the logarithm of a product of
   uniform ones. */
#include "simd_math.hpp"

#include <cmath>
#include <vector>

namespace {

constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15u;

/** The random numbers of some draws, one after another. */
class Numbers {
 public:
  /** From number `first` of lane 0 on; the next lane's are `apart` further. */
  BX_INLINE Numbers(std::uint64_t key, std::uint64_t first, std::uint64_t apart) {
    Bits lane{};
    for (std::size_t i = 0; i < kWidth; ++i) lane[i] = i;
    a_ = key + kGolden * (first + lane * apart);
    b_ = a_ + kGolden * kWidth * apart;
  }

  /** Uniform on (0, 1), 52 bits. */
  BX_INLINE Vec uniform() {
    a_ += kGolden, b_ += kGolden;
    return {uniform(a_), uniform(b_)};
  }

 private:
  static BX_INLINE Native uniform(Bits x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    x = x ^ (x >> 31);
    return ((Native)((x >> 12) | kOneBits) - 1.0) + 0x1p-53;
  }

  Bits a_, b_;
};

/** cos(2 pi u) and sin(2 pi u) for u in [0, 1]: Taylor's series about the nearest quarter, to 1e-15. */
BX_INLINE void circle(Native u, Native& cosine, Native& sine) {
  const Bits quarter = (Bits)(u * 4.0 + 4503599627370496.0) & 7u;
  const Native r = (u - 0.25 * ((Native)(quarter | kTwo52Bits) - 4503599627370496.0)) * 6.28318530717958647693;
  const Native r2 = r * r;
  const Native c = 1.0 + r2 * (-1.0 / 2 + r2 * (1.0 / 24 + r2 * (-1.0 / 720 + r2 * (1.0 / 40320 + r2 * (-1.0 / 3628800 +
                   r2 * (1.0 / 479001600 - r2 * (1.0 / 87178291200)))))));
  const Native s = r + r * r2 * (-1.0 / 6 + r2 * (1.0 / 120 + r2 * (-1.0 / 5040 + r2 * (1.0 / 362880 + r2 * (-1.0 / 39916800 +
                   r2 * (1.0 / 6227020800 - r2 * (1.0 / 1307674368000)))))));
  const Bits odd = Bits{} - (quarter & 1u);
  const Bits first = ((Bits)c & ~odd) | ((Bits)s & odd), second = ((Bits)s & ~odd) | ((Bits)c & odd);
  cosine = (Native)(first ^ (((quarter + 1u) & 2u) << 62));
  sine = (Native)(second ^ ((quarter & 2u) << 62));
}

BX_INLINE Vec square_root(Vec x) {
  for (std::size_t i = 0; i < kWidth; ++i) x.a[i] = std::sqrt(x.a[i]), x.b[i] = std::sqrt(x.b[i]);
  return x;
}

/** The mixture of one gene after another. */
struct StudentMixture {
  const std::size_t P, M, first_heavy, heavy, nu, light;
  struct Mode {
    const double *center, *root, *back;
    double below, log_scale;  // below: probability of the modes before it
  };
  std::vector<Mode> modes{};  // those that have a share
  double constant = 0;
  std::vector<Vec> step = std::vector<Vec>(P + 1), psi = std::vector<Vec>(P), height = std::vector<Vec>(M);

  /** Go to a gene: its part of arrays [M, G, P], [M, G, P, P] and [M]. */
  void enter(const double* center, const double* root, const double* back, std::size_t genes, const double* share,
             double log_constant) {
    modes.clear(), constant = log_constant;
    double below = 0;
    for (std::size_t m = 0; m < M; below += share[m], ++m) {
      if (!(share[m] > 0)) continue;
      Mode mode{center + m * genes * P, root + m * genes * P * P, back + m * genes * P * P, below, std::log(share[m])};
      for (std::size_t p = 0; p < P; ++p) mode.log_scale += std::log(mode.back[p * P + p]);
      modes.push_back(mode);
    }
  }

  /** Draws from `at` on, as many as there are lanes, of `draws`. */
  void draw(std::uint64_t key, std::size_t at, std::size_t draws, double* to_psi, double* log_density) {
    const std::size_t pairs = (P + 1) / 2, each = 2 * pairs + 1 + nu / 2 + light / 2;
    Numbers numbers(key, at * each, each);
    for (std::size_t k = 0; k < pairs; ++k) {
      const Vec radius = square_root(-2.0 * logarithm(numbers.uniform())), turn = numbers.uniform();
      Vec cosine, sine;
      circle(turn.a, cosine.a, sine.a), circle(turn.b, cosine.b, sine.b);
      step[2 * k] = radius * cosine;
      if (2 * k + 1 < P) step[2 * k + 1] = radius * sine;
    }
    const Vec chosen = numbers.uniform();
    const Vec wide = stretch(numbers, nu), narrow = stretch(numbers, light);
    for (std::size_t p = 0; p < P; ++p) step[p] *= is_heavy(p) ? wide : narrow;

    const std::size_t live = std::min(kLanes, draws - at);
    for (const Mode& mode : modes)
      for (std::size_t p = 0; p < P; ++p) {
        Vec place = splat(mode.center[p]);
        for (std::size_t q = 0; q <= p; ++q) place += mode.root[p * P + q] * step[q];
        psi[p] = &mode == modes.data() ? place : where_less(splat(mode.below), chosen, place, psi[p]);
      }
    for (std::size_t p = 0; p < P; ++p) store_some(to_psi + p * draws + at, psi[p], live);

    Vec top = splat(-1e300), total{};
    for (std::size_t m = 0; m < modes.size(); ++m) top = larger(top, height[m] = log_height(modes[m]));
    if (modes.size() == 1) {
      store_some(log_density + at, constant + top, live);
      return;
    }
    for (std::size_t m = 0; m < modes.size(); ++m) total += exponential(larger(height[m] - top, splat(-700.0)));
    store_some(log_density + at, constant + top + logarithm(total), live);
  }

  bool is_heavy(std::size_t p) const { return p >= first_heavy && p < first_heavy + heavy; }

  static BX_INLINE Vec stretch(Numbers& numbers, std::size_t freedom) {
    Vec product = splat(1.0);
    for (std::size_t k = 0; k < freedom / 2; ++k) product = product * numbers.uniform();
    return square_root((-0.5 * static_cast<double>(freedom)) / logarithm(product));
  }

  Vec log_height(const Mode& mode) const {
    Vec far{}, near{};
    for (std::size_t p = 0; p < P; ++p) {
      Vec z{};
      for (std::size_t q = 0; q <= p; ++q) z += mode.back[p * P + q] * (psi[q] - mode.center[q]);
      (is_heavy(p) ? far : near) += z * z;
    }
    const double a = static_cast<double>(nu), b = static_cast<double>(light);
    return mode.log_scale - 0.5 * (a + static_cast<double>(heavy)) * log_one_plus(far * (1 / a)) -
           0.5 * (b + static_cast<double>(P - heavy)) * log_one_plus(near * (1 / b));
  }
};

}  // namespace

#endif
