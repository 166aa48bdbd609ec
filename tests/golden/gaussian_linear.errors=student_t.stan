/* gaussian_linear: normalised log expression in a linear model: conditions, batches, condition by batch

   expression[s, g] ~ Student-t(nu; intercept[g] + design[s] effect[g], sigma[g])      outlying samples count less
   intercept[g]     ~ N(intercept_mean, intercept_sd sigma[g])
   effect[g, k]     ~ N(0, effect_sd sigma[g])             in units of the gene's residual sd
   sigma[g]^2       ~ InverseGamma(variance_shape, variance_scale)

   Reference: Gelman et al. (2013), Bayesian Data Analysis, third edition, section 14.2. */
data {
  int<lower=1> G; // genes
  int<lower=1> S; // samples
  int<lower=1> K; // columns of the design
  matrix[S, G] expression; // log expression, normalised
  matrix[S, K] design; // without an intercept
  // priors: numbers are data
  real intercept_mean;
  real<lower=0> intercept_sd; // in residual sds, as effect_sd
  real<lower=0> effect_sd;
  real<lower=0> variance_shape;
  real<lower=0> variance_scale;
  real<lower=0> nu; // degrees of freedom
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
}
parameters {
  vector[G] intercept;
  matrix[G, K] effect;
  vector<lower=0>[G] variance; // residual variance
}
transformed parameters {
  vector<lower=0>[G] sigma = sqrt(variance);
}
model {
  variance ~ inv_gamma(variance_shape, variance_scale);
  intercept ~ normal(intercept_mean, intercept_sd * sigma);
  for (k in 1 : K) effect[ : , k] ~ normal(0, effect_sd * sigma);
  if (!prior_only) {
    for (g in 1 : G) {
      vector[S] mu = intercept[g] + design * effect[g]';
      expression[ : , g] ~ student_t(nu, mu, sigma[g]);
    }
  }
}
