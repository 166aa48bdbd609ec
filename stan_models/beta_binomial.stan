/* beta_binomial: expression of a gene in a sample as the proportion of its fragments

   count[n] ~ Binomial(total[n], theta[n])
   theta[n] ~ Beta(theta_a, theta_b)            proportion of all fragments; each n by itself

   Kept as log odds, on which the prior's density is theta^a (1 - theta)^b / B(a, b): shapes of 0.01 put real mass below
   1e-300, where theta itself is no longer a number. Shapes below one leave the log odds with exponential tails of scale
   1 / shape, too long for one step size; what is sampled, z, has tails of scale one: from where prior and data have their
   mass, the slope of the log odds goes to 1 / a on the left and to 1 / b on the right; it is one where these are above one.
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
  vector[N] middle; // origin of the map, of which the posterior is independent: what prior and data bound is met at slope one
  for (n in 1 : N) {
    int k = prior_only ? 0 : count[n];
    int m = prior_only ? 0 : total[n] - count[n];
    middle[n] = log(theta_a + k + 1) - log(theta_b + m + 1) - log1p(left) + log1p(right);
  }
}
parameters {
  vector[N] z; // log odds with their tails shortened
}
transformed parameters {
  // log odds of a fragment to come from the gene
  vector[N] logit_theta = middle + z - left * log1p_exp(-z) + right * log1p_exp(z);
}
model {
  target += theta_a * sum(log_inv_logit(logit_theta)) + theta_b * sum(log1m_inv_logit(logit_theta));
  target += sum(log1p(left * inv_logit(-z) + right * inv_logit(z))); // log Jacobian of the map from z
  if (!prior_only) count ~ binomial_logit(total, logit_theta);
}
