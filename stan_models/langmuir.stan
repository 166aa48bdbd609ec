/* langmuir: intensity of a microarray probe against the concentration of its target, and concentrations back from intensities

   g(intensity[n]) ~ N(g(m[n]), 1),  g(x) = asinh(x multiplicative / additive) / multiplicative
   far above additive / multiplicative this is log intensity ~ N(log m, multiplicative), near zero intensity ~ N(m, additive);
   m[n]  = brightness[a] (background[p] + amplitude[p] c[n] / (c[n] + half_saturation[p])),   p = probe[n], a = array[n]

   c[n]               concentration: given for a standard; for a target to be measured, concentration[unknown[n]]
   background[p]      intensity without target: scanner offset and cross-hybridisation, which a titration cannot tell apart
   amplitude[p]       what saturation adds
   half_saturation[p] concentration at half of it: 1 / affinity
   their logarithms          ~ N(location, spread) over probes; location ~ N, log spread ~ N
//% if brightness == "estimated"
   log brightness[a]         ~ N(0, array_spread), log array_spread ~ N: arrays differ in labelling and scanning
//% else
   brightness[a]             = 1
//% endif
   multiplicative, additive  ~ half-N
   log of an unknown c       ~ N(log_c_mean, log_c_sd)

   Natural logarithms; intensities and concentrations in the user's units, concentrations in one unit throughout.
   The unknown log concentrations are sampled in affine maps given as data, so that chains start near what the standards say.
   References: Hekstra et al. (2003) Nucleic Acids Res 31:1962, the isotherm; Durbin et al. (2002) Bioinformatics 18:S105 and
   Huber et al. (2002) Bioinformatics 18:S96, the transform g of an intensity with two errors. */
data {
  int<lower=1> N; // intensities
  int<lower=1> P; // probes
  int<lower=1> A; // arrays
  int<lower=0> U; // unknown concentrations
  vector[N] intensity; // background-corrected ones may be negative
  array[N] int<lower=1, upper=P> probe;
  array[N] int<lower=1, upper=A> chip; // array of each intensity
  array[N] int<lower=0, upper=U> unknown; // number of the unknown concentration; 0 for a standard
  vector<lower=0>[N] standard; // concentration of a standard; 0 where it is unknown
  // priors: numbers are data
  vector[3] location_mean; // of log background, log amplitude, log half-saturation over probes
  vector<lower=0>[3] location_sd;
  real log_spread_mean;
  real<lower=0> log_spread_sd;
//% if brightness == "estimated"
  real log_array_spread_mean;
  real<lower=0> log_array_spread_sd;
//% endif
  real<lower=0> multiplicative_sd;
  real<lower=0> additive_sd;
  real log_c_mean;
  real<lower=0> log_c_sd;
  vector[U] log_c_center; // affine maps of the unknown log concentrations
  real<lower=0> log_c_scale;
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
}
parameters {
  vector<offset=location_mean, multiplier=location_sd>[3] location; // means of the three logs over probes
  vector<lower=0>[3] spread; // their sds
  matrix[P, 3] z; // deviations of the probes, standardised
//% if brightness == "estimated"
  real<lower=0> array_spread; // sd of log brightness
  vector<multiplier=array_spread>[A] log_brightness;
//% endif
  real<lower=0> multiplicative; // sd of log intensity where there is much signal
  real<lower=0> additive; // sd of intensity near zero
  vector<offset=log_c_center, multiplier=log_c_scale>[U] log_concentration; // of the targets to be measured
}
transformed parameters {
  vector[P] log_background = location[1] + spread[1] * z[ : , 1];
  vector[P] log_amplitude = location[2] + spread[2] * z[ : , 2];
  vector[P] log_half_saturation = location[3] + spread[3] * z[ : , 3];
}
model {
  location ~ normal(location_mean, location_sd);
  spread ~ lognormal(log_spread_mean, log_spread_sd);
  to_vector(z) ~ std_normal();
//% if brightness == "estimated"
  array_spread ~ lognormal(log_array_spread_mean, log_array_spread_sd);
  log_brightness ~ normal(0, array_spread);
//% endif
  multiplicative ~ normal(0, multiplicative_sd);
  additive ~ normal(0, additive_sd);
  log_concentration ~ normal(log_c_mean, log_c_sd);
  if (!prior_only) {
    vector[N] c = standard;
    for (n in 1 : N) if (unknown[n]) c[n] = exp(log_concentration[unknown[n]]);
    vector[N] bound = c ./ (c + exp(log_half_saturation[probe])); // share of the probe's sites
    vector[N] m = exp(log_background[probe]) + exp(log_amplitude[probe]) .* bound;
//% if brightness == "estimated"
    m .*= exp(log_brightness[chip]);
//% endif
    real ratio = multiplicative / additive;
    asinh(intensity * ratio) ~ normal(asinh(m * ratio), multiplicative);
    // log Jacobian of the transform, and of its scale: d g / d intensity
    target += N * log(ratio) - 0.5 * sum(log1p(square(intensity * ratio)));
  }
}
