/* zero_inflated_negative_binomial: counts of single cells; effects on mean, on zero inflation and on dispersion

   count[s, g] = 0 with probability pi[s, g], else ~ NB2(mu[s, g], phi[s, g])
   E y = (1 - pi) mu,   Var y = (1 - pi) mu (1 + pi mu) + (1 - pi) mu^2 / phi
   log mu[s, g]       = alpha[g] + log_size_factor[s] + design[s] beta[g]
   logit pi[s, g]     = logit_pi[g] + design[s] pi_beta[g]
   -log phi[s, g]     = log_dispersion[g]
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
  real logit_pi_mean;
  real<lower=0> logit_pi_sd;
  real<lower=0> pi_beta_sd;
  real log_dispersion_mean;
  real<lower=0> log_dispersion_sd;
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
}
transformed data {
  array[G, S] int y; // counts by gene
  for (g in 1 : G) y[g] = count[ : , g];
  array[G] int n_zero; // cells without a count
  array[G, S] int order; // cells by their count: those without one come first
  for (g in 1 : G) {
    order[g] = sort_indices_asc(y[g]);
    n_zero[g] = 0;
    for (s in 1 : S) n_zero[g] += y[g, s] == 0;
  }
}
parameters {
  vector[G] alpha; // log mean count of an expressing cell of size factor one
  matrix[G, K] beta; // effects on it
  vector[G] logit_pi; // log odds of a structural zero
  matrix[G, K] pi_beta; // effects on it
  vector[G] log_dispersion; // log of 1 / phi
}
model {
  alpha ~ normal(alpha_mean, alpha_sd);
  to_vector(beta) ~ normal(0, beta_sd);
  logit_pi ~ normal(logit_pi_mean, logit_pi_sd);
  to_vector(pi_beta) ~ normal(0, pi_beta_sd);
  log_dispersion ~ normal(log_dispersion_mean, log_dispersion_sd);
  if (!prior_only) {
    for (g in 1 : G) {
      vector[S] log_mu = alpha[g] + log_size_factor + design * beta[g]';
      vector[S] log_phi = rep_vector(-log_dispersion[g], S);
      y[g] ~ neg_binomial_2_log(log_mu, exp(log_phi));
      vector[S] logit_pi_s = logit_pi[g] + design * pi_beta[g]';
      // Every count may have been a structural zero but was not; a zero has one more way to come about:
      // pi + (1 - pi) NB(0) = (1 - pi) NB(0) {1 + exp(logit pi - log NB(0))}, log NB(0) = -phi log(1 + mu / phi).
      target += sum(log1m_inv_logit(logit_pi_s));
      array[n_zero[g]] int z = order[g, 1 : n_zero[g]];
      vector[n_zero[g]] log_nb_zero = -exp(log_phi[z]) .* log1p_exp(log_mu[z] - log_phi[z]);
      target += sum(log1p_exp(logit_pi_s[z] - log_nb_zero));
    }
  }
}
