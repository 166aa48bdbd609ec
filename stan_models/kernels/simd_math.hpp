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
constexpr std::size_t kWidth = 8;
#elif defined(__AVX__)
constexpr std::size_t kWidth = 4;
#else
constexpr std::size_t kWidth = 2;
#endif
typedef double Native __attribute__((vector_size(8 * kWidth)));
typedef std::uint64_t Bits __attribute__((vector_size(8 * kWidth)));

#define BX_INLINE inline __attribute__((always_inline))

BX_INLINE Native splat_native(double x) { return Native{} + x; }

constexpr double kLn2 = 0.693147180559945309417;
constexpr std::uint64_t kOneBits = 0x3FF0000000000000u;       // bits of 1.0
constexpr std::uint64_t kExponentField = 0xFFF0000000000000u;  // sign and exponent
constexpr std::uint64_t kTwo52Bits = 0x4330000000000000u;     // bits of 2^52: or-ing n < 2^52 into them gives 2^52 + n

/** The integer in the low bits of n, 0 <= n < 2^52, less 1023, as a double. */
BX_INLINE Native unbias(Bits n) { return (Native)(n | kTwo52Bits) - (4503599627370496.0 + 1023.0); }

/** exp(x) for |x| <= 700: x = k ln 2 + r, |r| <= ln(2) / 2, and a minimax polynomial of exp(r), relative error 2e-16. */
BX_INLINE Native exponential(Native x) {
  const Bits shifted = (Bits)(x * 1.44269504088896340736 + (4503599627370496.0 + 1023.0));  // low bits: k + 1023
  const Native k = unbias(shifted & 0x7FFu);
  const Native r = (x - k * 0.693147180369123816490) - k * 1.90821492927058770002e-10;
  const Native r2 = r * r;
  const Native a = 0.5 + r * 0.16666666666666667453;
  const Native b = 0.041666666666624127873 + r * 0.0083333333333300618325;
  const Native c = 0.0013888888917213716901 + r * 0.00019841269863053616878;
  const Native d = 0.000024801521295954375131 + r * 2.7557268459997064772e-6;
  const Native e = 2.7620088445409748161e-7 + r * 2.5100385495510319078e-8;
  const Native p = a + r2 * (b + r2 * (c + r2 * (d + r2 * e)));
  return (Native)(shifted << 52) * (1.0 + (r + r2 * p));
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
BX_INLINE Native log_ratio(Native z, Native q, Native difference, Native& inverse_q) {
  const Bits apart = (Bits)z - (Bits)q + (kOneBits + 0x0008000000000000u);
  const Bits power = apart & kExponentField;
  const Native scaled = q * (Native)power;
  const Native numerator = power == (Bits{} + kOneBits) ? difference : z - scaled;
  const Native denominator = z + scaled;
  const Native inverse = 1.0 / (q * denominator);
  inverse_q = denominator * inverse;
  const Native s = numerator * (q * inverse);
  const Native s2 = s * s, s4 = s2 * s2;
  const Native a = 0.66666666666666943132 + s2 * 0.399999999993261451;
  const Native b = 0.28571428839176972634 + s2 * 0.22222182401701198125;
  const Native c = 0.18184630285470626571 + s2 * 0.15283215200403296951;
  const Native p = a + s4 * (b + s4 * (c + s4 * 0.15122916021127986977));
  return unbias(apart >> 52) * kLn2 + (s + s + s * s2 * p);
}

/** A product of many positive factors, its exponent kept apart so that it cannot overflow. */
struct NativeProduct {
  Native mantissa = splat_native(1.0);
  Bits exponent = {};  // sum of the biased exponents

  /** Multiply by a factor between 1e-300 and 1e300. */
  BX_INLINE void multiply(Native factor) {
    const Native product = mantissa * factor;
    exponent += (Bits)product >> 52;
    mantissa = (Native)(((Bits)product & ~kExponentField) | kOneBits);
  }

  BX_INLINE Native log(double factors) const {
    Native unused;
    return log_ratio(mantissa, splat_native(1.0), mantissa - 1.0, unused) +
           ((Native)(exponent | kTwo52Bits) - (4503599627370496.0 + 1023.0 * factors)) * kLn2;
  }
};

constexpr std::size_t kLanes = 2 * kWidth;

/** Two native vectors side by side: their chains of dependent operations overlap in the processor. */
struct Vec {
  Native a, b;
};

#define BX_OPERATOR(op)                                                                                   \
  BX_INLINE Vec operator op(Vec x, Vec y) { return {x.a op y.a, x.b op y.b}; }                            \
  BX_INLINE Vec operator op(Vec x, double y) { return {x.a op y, x.b op y}; }                             \
  BX_INLINE Vec operator op(double x, Vec y) { return {x op y.a, x op y.b}; }                             \
  BX_INLINE Vec& operator op##=(Vec& x, Vec y) { return x = x op y; }                                     \
  BX_INLINE Vec& operator op##=(Vec& x, double y) { return x = x op y; }
BX_OPERATOR(+)
BX_OPERATOR(-)
BX_OPERATOR(*)
BX_OPERATOR(/)
#undef BX_OPERATOR
BX_INLINE Vec operator-(Vec x) { return {-x.a, -x.b}; }

BX_INLINE Vec splat(double x) { return {splat_native(x), splat_native(x)}; }

BX_INLINE Vec load(const double* p) {
  Vec v;
  std::memcpy(&v.a, p, sizeof v.a);
  std::memcpy(&v.b, p + kWidth, sizeof v.b);
  return v;
}

BX_INLINE void store(double* p, Vec v) {
  std::memcpy(p, &v.a, sizeof v.a);
  std::memcpy(p + kWidth, &v.b, sizeof v.b);
}

/** The first `live` lanes from p, which holds no more; zero in the others. */
BX_INLINE Vec load_some(const double* p, std::size_t live) {
  if (live == kLanes) return load(p);
  double lane[kLanes] = {};
  std::memcpy(lane, p, live * sizeof(double));
  return load(lane);
}

BX_INLINE void store_some(double* p, Vec v, std::size_t live) {
  if (live == kLanes) {
    store(p, v);
  } else {
    double lane[kLanes];
    store(lane, v);
    std::memcpy(p, lane, live * sizeof(double));
  }
}

/** One in the first `live` lanes, zero in the others. */
BX_INLINE Vec ones(std::size_t live) {
  double one[kLanes] = {};
  for (std::size_t i = 0; i < live; ++i) one[i] = 1.0;
  return load(one);
}

BX_INLINE double sum(Vec v) {
  const Native half = v.a + v.b;
  double total = 0;
  for (std::size_t i = 0; i < kWidth; ++i) total += half[i];
  return total;
}

BX_INLINE Vec larger(Vec x, Vec y) { return {x.a > y.a ? x.a : y.a, x.b > y.b ? x.b : y.b}; }
BX_INLINE Vec smaller(Vec x, Vec y) { return {x.a < y.a ? x.a : y.a, x.b < y.b ? x.b : y.b}; }
/** yes where x < y, else no: also where one of them is not a number. */
BX_INLINE Vec where_less(Vec x, Vec y, Vec yes, Vec no) { return {x.a < y.a ? yes.a : no.a, x.b < y.b ? yes.b : no.b}; }
BX_INLINE Vec clamp(Vec x, double low, double high) { return smaller(larger(x, splat(low)), splat(high)); }

BX_INLINE Vec exponential(Vec x) { return {exponential(x.a), exponential(x.b)}; }

BX_INLINE Vec log_ratio(Vec z, Vec q, Vec difference, Vec& inverse_q) {
  return {log_ratio(z.a, q.a, difference.a, inverse_q.a), log_ratio(z.b, q.b, difference.b, inverse_q.b)};
}

BX_INLINE Vec log_ratio(Vec z, Vec q, Vec difference) {
  Vec unused;
  return log_ratio(z, q, difference, unused);
}

/** log(x), x positive and normal. */
BX_INLINE Vec logarithm(Vec x) { return log_ratio(x, splat(1.0), x - 1.0); }

/** log(1 + x), x >= 0. */
BX_INLINE Vec log_one_plus(Vec x) { return log_ratio(1.0 + x, splat(1.0), x); }

struct Product {
  NativeProduct a, b;
  BX_INLINE void multiply(Vec factor) { a.multiply(factor.a), b.multiply(factor.b); }
  BX_INLINE Vec log(double factors) const { return {a.log(factors), b.log(factors)}; }
};

}  // namespace

#endif
