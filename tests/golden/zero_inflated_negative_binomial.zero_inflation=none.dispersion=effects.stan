/* zero_inflated_negative_binomial: counts of single cells; effects on mean, on zero inflation and on dispersion

   count[s, g] ~ NB2(mu[s, g], phi[s, g])                          Var = mu + mu^2 / phi
   log mu[s, g]       = alpha[g] + log_size_factor[s] + design[s] beta[g]
   -log phi[s, g]     = log_dispersion[g] + design[s] dispersion_beta[g]
   All intercepts and effects have normal priors; genes are independent. Natural logarithms.
   Where an expressed cell has few counts, its zeros and structural ones are told apart by the prior only.
   Reference: Risso, Perraudeau, Gribkova, Dudoit and Vert (2018) Nat Commun 9:284. */
data {
  int<lower=1> G; // genes
  int<lower=1> S; // cells
  int<lower=0> K; // columns of the design
  array[S, G] int<lower=0> count;
  matrix[S, K] design; // without an intercept
  vector[S] log_size_factor; // log of the cells' size factors
  // priors: numbers are data
  real alpha_mean;
  real<lower=0> alpha_sd;
  real<lower=0> beta_sd;
  real log_dispersion_mean;
  real<lower=0> log_dispersion_sd;
  real<lower=0> dispersion_beta_sd;
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
}
transformed data {
  array[G, S] int y; // counts by gene
  for (g in 1 : G) y[g] = count[ : , g];
}
parameters {
  vector[G] alpha; // log mean count of an expressing cell of size factor one
  matrix[G, K] beta; // effects on it
  vector[G] log_dispersion; // log of 1 / phi
  matrix[G, K] dispersion_beta; // effects on it
}
model {
  alpha ~ normal(alpha_mean, alpha_sd);
  to_vector(beta) ~ normal(0, beta_sd);
  log_dispersion ~ normal(log_dispersion_mean, log_dispersion_sd);
  to_vector(dispersion_beta) ~ normal(0, dispersion_beta_sd);
  if (!prior_only) {
    for (g in 1 : G) {
      vector[S] log_mu = alpha[g] + log_size_factor + design * beta[g]';
      vector[S] log_phi = -(log_dispersion[g] + design * dispersion_beta[g]');
      y[g] ~ neg_binomial_2_log(log_mu, exp(log_phi));
    }
  }
}
