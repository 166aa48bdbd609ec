#ifndef BAYESEXPR_KERNELS_SIMD_MATH_HPP
#define BAYESEXPR_KERNELS_SIMD_MATH_HPP
/* Elementary functions on short vectors of doubles, one gene per lane.

   Only the vector extensions of GCC and clang are used: the compiler lowers them to whatever the processor has, so the same
   text is AVX-512 code under -march=native and SSE2 or NEON code without it. Nothing here relies on NaN, infinities or signed
   zeros, and the integer tricks on the exponent field survive the reassociation that -ffast-math permits.
   Included by kernel translation units only: vectors never cross the C interface, whose callers may be compiled for another
   vector width. */
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wpsabi"  // every function that takes a vector is inlined, so its calling convention is moot
#endif

namespace {

#if defined(__AVX512F__)
constexpr std::size_t kLanes = 8;
#elif defined(__AVX__)
constexpr std::size_t kLanes = 4;
#else
constexpr std::size_t kLanes = 2;
#endif
typedef double Vec __attribute__((vector_size(8 * kLanes)));
typedef std::int64_t Int __attribute__((vector_size(8 * kLanes)));
typedef std::uint64_t Bits __attribute__((vector_size(8 * kLanes)));

#define BX_INLINE inline __attribute__((always_inline))

BX_INLINE Vec splat(double x) { return Vec{} + x; }

BX_INLINE Vec load(const double* p) {
  Vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

BX_INLINE void store(double* p, Vec v) { std::memcpy(p, &v, sizeof v); }

BX_INLINE double sum(Vec v) {
  double total = 0;
  for (std::size_t i = 0; i < kLanes; ++i) total += v[i];
  return total;
}

BX_INLINE Vec larger(Vec a, Vec b) { return a > b ? a : b; }

BX_INLINE Vec clamp(Vec x, double low, double high) {
  const Vec lo = splat(low), hi = splat(high);
  x = x < lo ? lo : x;
  return x > hi ? hi : x;
}

constexpr double kLn2 = 0.693147180559945309417;
constexpr std::uint64_t kOneBits = 0x3FF0000000000000u;       // bits of 1.0
constexpr std::uint64_t kExponentField = 0xFFF0000000000000u;  // sign and exponent
constexpr std::uint64_t kTwo52Bits = 0x4330000000000000u;     // bits of 2^52: or-ing n < 2^52 into them gives 2^52 + n

/** The integer in the low bits of n, 0 <= n < 2^52, less 1023, as a double. */
BX_INLINE Vec unbias(Bits n) { return (Vec)(n | kTwo52Bits) - (4503599627370496.0 + 1023.0); }

/** exp(x) for |x| <= 700: x = k ln 2 + r, |r| <= ln(2) / 2, and a minimax polynomial of exp(r), relative error 2e-16. */
BX_INLINE Vec exponential(Vec x) {
  const Bits shifted = (Bits)(x * 1.44269504088896340736 + (4503599627370496.0 + 1023.0));  // low bits: k + 1023
  const Vec k = unbias(shifted & 0x7FFu);
  const Vec r = (x - k * 0.693147180369123816490) - k * 1.90821492927058770002e-10;
  const Vec r2 = r * r;
  const Vec a = 0.5 + r * 0.16666666666666667453;
  const Vec b = 0.041666666666624127873 + r * 0.0083333333333300618325;
  const Vec c = 0.0013888888917213716901 + r * 0.00019841269863053616878;
  const Vec d = 0.000024801521295954375131 + r * 2.7557268459997064772e-6;
  const Vec e = 2.7620088445409748161e-7 + r * 2.5100385495510319078e-8;
  const Vec p = a + r2 * (b + r2 * (c + r2 * (d + r2 * e)));
  return (Vec)(shifted << 52) * (1.0 + (r + r2 * p));
}

/**
 * log(z / q) for positive normal z and q with one division, given their difference.
 *
 * q is scaled by the power of two that brings it closest to z (their bit patterns, read as integers, differ by about
 * 2^52 log2(z / q)), then log(z / q) = k ln 2 + 2 atanh((z - q) / (z + q)). Where k = 0 the difference is taken as given:
 * where z and q share a huge part that `difference` does not, the result keeps its full relative accuracy, like log1p.
 *
 * @param inverse_q set to 1 / q, at the price of two products
 */
BX_INLINE Vec log_ratio(Vec z, Vec q, Vec difference, Vec& inverse_q) {
  const Bits apart = (Bits)z - (Bits)q + (kOneBits + 0x0008000000000000u);
  const Bits power = apart & kExponentField;
  const Vec scaled = q * (Vec)power;
  const Vec numerator = power == (Bits{} + kOneBits) ? difference : z - scaled;
  const Vec denominator = z + scaled;
  const Vec inverse = 1.0 / (q * denominator);
  inverse_q = denominator * inverse;
  const Vec s = numerator * (q * inverse);
  const Vec s2 = s * s, s4 = s2 * s2;
  const Vec a = 0.66666666666666943132 + s2 * 0.399999999993261451;
  const Vec b = 0.28571428839176972634 + s2 * 0.22222182401701198125;
  const Vec c = 0.18184630285470626571 + s2 * 0.15283215200403296951;
  const Vec p = a + s4 * (b + s4 * (c + s4 * 0.15122916021127986977));
  return unbias(apart >> 52) * kLn2 + (s + s + s * s2 * p);
}

BX_INLINE Vec log_ratio(Vec z, Vec q, Vec difference) {
  Vec unused;
  return log_ratio(z, q, difference, unused);
}

/** log(x), x positive and normal. */
BX_INLINE Vec logarithm(Vec x) { return log_ratio(x, splat(1.0), x - 1.0); }

/** log(1 + x), x >= 0. */
BX_INLINE Vec log_one_plus(Vec x) { return log_ratio(1.0 + x, splat(1.0), x); }

/** A product of many positive factors, its exponent kept apart so that it cannot overflow. */
struct Product {
  Vec mantissa = splat(1.0);
  Bits exponent = {};
  int factors = 0;

  /** Multiply by a factor between 1e-300 and 1e300. */
  BX_INLINE void multiply(Vec factor) {
    const Vec product = mantissa * factor;
    exponent += (Bits)product >> 52;
    ++factors;
    mantissa = (Vec)(((Bits)product & ~kExponentField) | kOneBits);
  }

  BX_INLINE Vec log() const {
    // exponent holds the sum of biased exponents
    return logarithm(mantissa) + ((Vec)(exponent | kTwo52Bits) - (4503599627370496.0 + 1023.0 * factors)) * kLn2;
  }
};

}  // namespace

#endif
