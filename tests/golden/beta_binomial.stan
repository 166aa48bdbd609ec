/* beta_binomial: expression of a gene in a sample as the proportion of its fragments

   count[n] ~ Binomial(total[n], theta[n])
   theta[n] ~ Beta(theta_a, theta_b)            proportion of all fragments; each n by itself

   Sampled as log odds, on which the prior's density is theta^a (1 - theta)^b / B(a, b), its Jacobian included: shapes of
   0.01 put real mass below 1e-300, where theta itself is no longer a number but its log odds is.
   Conjugate: theta[n] | count ~ Beta(theta_a + count[n], theta_b + total[n] - count[n]).
   Reference: Jimenez-Jimenez, Marti-Gomez et al. (2021), doi:10.36255/exonpublications.bioinformatics.2021.ch5. */
data {
  int<lower=1> N; // gene and sample pairs
  array[N] int<lower=0> total; // fragments sequenced
  array[N] int<lower=0, upper=total> count; // fragments of the gene
  real<lower=0> theta_a; // prior: shapes of the beta distribution
  real<lower=0> theta_b;
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
}
parameters {
  vector[N] logit_theta; // log odds of a fragment to come from the gene
}
transformed parameters {
  vector<lower=0, upper=1>[N] theta = inv_logit(logit_theta);
}
model {
  target += theta_a * sum(log_inv_logit(logit_theta)) + theta_b * sum(log1m_inv_logit(logit_theta));
  if (!prior_only) count ~ binomial_logit(total, logit_theta);
}
