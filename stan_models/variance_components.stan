/* variance_components: biological and technical variance of log expression, shrunk towards all genes

   expression[r, t, g] ~ N(theta[r, g], technical_sd)       technical replicate t of biological replicate r
   theta[r, g]         ~ N(mu[g], biological_sd[g])         integrated out
   total_variance[g]   = biological_sd[g]^2 + technical_sd^2 / T         variance of the means of T measurements
   total_variance[g]   ~ InverseGamma(shape, scale), above technical_sd^2 / T;  shape and scale learned from all genes

   Sampled is z[g], which is the deviate, the log of each variance over scale / shape, times sqrt(shape): about a unit
   normal whatever shape and scale are. Where the bound is near, the deviate bends away from z and stays above it.
   The mean of a biological replicate's measurements and their spread about it are independent, and all that matters.
   With technical_sd known, mu[g] flat and the bound ignored: E(total_variance[g] | S2[g]) =
   (scale + (R - 1) S2[g] / 2) / (shape + (R - 1) / 2 - 1), S2[g] the sample variance of the R means.
   Reference: Smyth (2004), Stat Appl Genet Mol Biol 3:3. */
functions {
  /**
   * Logarithm of the regularised lower incomplete gamma function P(a, x), by its power series: the probability that an
   * InverseGamma(a, b) lies above b / x. The derivative in the shape of inv_gamma_lccdf is off by up to a half.
   */
  real log_gamma_p(real a, real x) {
    if (x > a + 10 * sqrt(a) + 50) return 0; // P is one but for 1e-25
    real term = 1;
    real total = 1;
    int n = 1;
    while (term > 1e-17 * total) {
      term *= x / (a + n);
      total += term;
      n += 1;
    }
    return a * log(x) - x - lgamma(a + 1) + log(total);
  }
}
data {
  int<lower=1> G; // genes
  int<lower=2> R; // biological replicates
  int<lower=2> T; // technical replicates of each
  matrix[R, G] replicate_mean; // mean over the technical replicates
  real<lower=0> technical_squares; // sum of squares of all measurements about those means
  // priors: numbers are data
  real mu_mean;
  real<lower=0> mu_sd;
  real<lower=0> technical_sd_sd;
  real shape_log_mean;
  real<lower=0> shape_log_sd;
  real scale_log_mean;
  real<lower=0> scale_log_sd;
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
}
parameters {
  vector[G] mu; // mean log expression
  real<lower=0> technical_sd; // of one measurement
  real<lower=0> shape; // of the inverse gamma across genes
  real<lower=0> scale;
  vector[G] z; // deviates, before they bend at the bound
}
transformed parameters {
  real bound = sqrt(shape) * log(square(technical_sd) / T * shape / scale); // of the deviates
  vector<lower=0>[G] total_variance = scale / shape * exp((bound + log1p_exp(z - bound)) / sqrt(shape));
}
model {
  mu ~ normal(mu_mean, mu_sd);
  technical_sd ~ normal(0, technical_sd_sd);
  shape ~ lognormal(shape_log_mean, shape_log_sd);
  scale ~ lognormal(scale_log_mean, scale_log_sd);
  total_variance ~ inv_gamma(shape, scale);
  // log Jacobian of the map from z
  target += sum(log(total_variance)) - 0.5 * G * log(shape) + sum(log_inv_logit(z - bound));
  target += -G * log_gamma_p(shape, scale * T / square(technical_sd)); // the bound's normalising constant
  if (!prior_only) {
    for (r in 1 : R) replicate_mean[r]' ~ normal(mu, sqrt(total_variance));
    target += -G * R * (T - 1) * log(technical_sd) - 0.5 * technical_squares / square(technical_sd);
  }
}
