/* beta_binomial: expression of a gene in a sample as the proportion of its fragments

   count[n] ~ Binomial(total[n], theta[n])
   theta[n] ~ Beta(theta_a, theta_b)            proportion of all fragments; each n by itself

   Kept as log odds, on which the prior's density is theta^a (1 - theta)^b / B(a, b): shapes of 0.01 put real mass below
   1e-300, where theta itself is no longer a number. Shapes below one leave the log odds with exponential tails of scale
   1 / shape, too long for one step size; what is sampled, z, has tails of scale one: the slope of the log odds goes from
   1 / a on the left through about one to 1 / b on the right, and is one everywhere where both shapes are above one.
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
transformed data {
  real left = inv(fmin(theta_a, 1)) - 1; // slopes of the tails, less one
  real right = inv(fmin(theta_b, 1)) - 1;
}
parameters {
  vector[N] z; // log odds with their tails shortened
}
transformed parameters {
  vector[N] logit_theta = z - left * log1p_exp(-z) + right * log1p_exp(z); // log odds of a fragment to be of the gene
}
model {
  target += theta_a * sum(log_inv_logit(logit_theta)) + theta_b * sum(log1m_inv_logit(logit_theta));
  target += sum(log1p(left * inv_logit(-z) + right * inv_logit(z))); // log Jacobian of the map from z
  if (!prior_only) count ~ binomial_logit(total, logit_theta);
}
