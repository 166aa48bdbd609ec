/* langmuir: intensity of a microarray probe against the concentration of its target, and concentrations back from intensities

   g(intensity[n]) ~ N(g(m[n]), 1),  g(x) = asinh(x multiplicative / additive) / multiplicative
   far above additive / multiplicative this is log intensity ~ N(log m, multiplicative), near zero intensity ~ N(m, additive);
   m[n]  = brightness[a] (background[p] + amplitude[p] c[n] / (c[n] + half_saturation[p])),   p = probe[n], a = array[n]

   c[n]               concentration: given for a standard; for a target to be measured, concentration[unknown[n]]
   background[p]      intensity without target: scanner offset and cross-hybridisation, which a titration cannot tell apart
   amplitude[p]       what saturation adds
   half_saturation[p] concentration at half of it: 1 / affinity
   their logarithms          ~ N(location, spread) over probes; location ~ N, log spread ~ N
   brightness[a]             = 1
   multiplicative, additive  ~ half-N
   log of an unknown c       ~ N(log_c_mean, log_c_sd)

   Sampled is what intensities know well. The mean log brightness of the arrays moves backgrounds and amplitudes alike:
   probes are sampled as these arrays show them, and this mean by itself. A probe's three logs are sampled about the mean,
   and in units of the Cholesky factor of the covariance, of what its standards (a normal approximation: information, pull)
   and, given location and spread, the other probes say; the brightness of arrays alike. So a probe is centred where
   standards determine its shape and not where they do not. Unknown log concentrations are sampled about what the
   standards make of their intensities. These maps are data, and leave the posterior as it is.
   Natural logarithms; intensities and concentrations in the user's units, concentrations in one unit throughout.
   References: Hekstra et al. (2003) Nucleic Acids Res 31:1962, the isotherm; Durbin et al. (2002) Bioinformatics 18:S105 and
   Huber et al. (2002) Bioinformatics 18:S96, the transform g of an intensity with two errors. */
data {
  int<lower=1> N; // intensities
  int<lower=1> P; // probes
  int<lower=1> A; // arrays
  int<lower=0> U; // unknown concentrations
  vector[N] intensity; // background-corrected ones may be negative
  array[N] int<lower=1, upper=P> probe; // of each intensity
  array[N] int<lower=1, upper=A> chip; // array of each intensity
  array[N] int<lower=0, upper=U> unknown; // number of the unknown concentration; 0 for a standard
  vector<lower=0>[N] standard; // concentration of a standard; 0 where it is unknown
  // priors: numbers are data
  vector[3] location_mean; // of log background, log amplitude, log half-saturation over probes
  vector<lower=0>[3] location_sd;
  real log_spread_mean;
  real<lower=0> log_spread_sd;
  real<lower=0> multiplicative_sd;
  real<lower=0> additive_sd;
  real log_c_mean;
  real<lower=0> log_c_sd;
  // maps of the coordinates
  array[P] matrix[3, 3] information; // of the standards about the logs of a probe
  array[P] vector[3] pull; // information times what they say these logs are
  vector[U] log_c_center; // unknown log concentrations by the standards
  vector<lower=0>[U] log_c_scale;
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
}
parameters {
  vector<offset=location_mean, multiplier=location_sd>[3] seen_location; // means of the three logs over probes, as seen
  vector<lower=0>[3] spread; // their sds
  array[P] vector[3] z; // probes, standardised
  real<lower=0> multiplicative; // sd of log intensity where there is much signal
  real<lower=0> additive; // sd of intensity near zero
  vector<offset=log_c_center, multiplier=log_c_scale>[U] log_concentration; // of the targets to be measured
}
transformed parameters {
  vector[3] location = seen_location;
  vector[P] log_background;
  vector[P] log_amplitude;
  vector[P] log_half_saturation;
  for (p in 1 : P) {
    matrix[3, 3] L = cholesky_decompose(add_diag(information[p], inv_square(spread))); // of the precision
    vector[3] weighed = mdivide_left_tri_low(L, pull[p] - information[p] * seen_location);
    vector[3] shape = seen_location + mdivide_right_tri_low((weighed + z[p])', L)';
    jacobian += -sum(log(diagonal(L)));
    log_background[p] = shape[1];
    log_amplitude[p] = shape[2];
    log_half_saturation[p] = shape[3];
  }
}
model {
  location ~ normal(location_mean, location_sd);
  spread ~ lognormal(log_spread_mean, log_spread_sd);
  log_background ~ normal(location[1], spread[1]);
  log_amplitude ~ normal(location[2], spread[2]);
  log_half_saturation ~ normal(location[3], spread[3]);
  multiplicative ~ normal(0, multiplicative_sd);
  additive ~ normal(0, additive_sd);
  log_concentration ~ normal(log_c_mean, log_c_sd);
  if (!prior_only) {
    vector[N] c = standard;
    for (n in 1 : N) if (unknown[n]) c[n] = exp(log_concentration[unknown[n]]);
    vector[N] bound = c ./ (c + exp(log_half_saturation[probe])); // share of the probe's sites
    vector[N] m = exp(log_background[probe]) + exp(log_amplitude[probe]) .* bound;
    real ratio = multiplicative / additive;
    asinh(intensity * ratio) ~ normal(asinh(m * ratio), multiplicative);
    // log Jacobian of the transform, and of its scale: d g / d intensity
    target += N * log(ratio) - 0.5 * sum(log1p(square(intensity * ratio)));
  }
}
