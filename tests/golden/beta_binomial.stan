/* beta_binomial: expression of a gene in a sample as the proportion of its fragments

   count[n] ~ Binomial(total[n], theta[n])
   theta[n] ~ Beta(theta_a, theta_b)            proportion of all fragments; each n by itself

   Kept as log odds, on which the prior's density is theta^a (1 - theta)^b / B(a, b): shapes of 0.01 put real mass
   below 1e-300, where theta itself is no longer a number. Small shapes of the posterior, a + count and b + total - count,
   leave the log odds with exponential tails of scale 1 / shape, where no step size fits both ends. What is sampled, z,
   has tails like a normal's: in the tails the log odds go with z^2 / (2 shape), in between with the posterior's width.
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
  // shapes of the posterior; the map from z follows them, and the posterior is the same for any map
  vector[N] a = rep_vector(theta_a, N);
  vector[N] b = rep_vector(theta_b, N);
  if (!prior_only) {
    a += to_vector(count);
    b += to_vector(total) - to_vector(count);
  }
  vector[N] middle = log1p(a) - log1p(b);
  vector[N] width = sqrt(inv(fmax(a, 1)) + inv(fmax(b, 1)));
}
parameters {
  vector[N] z; // log odds, with their width and tails made alike
}
transformed parameters {
  // log odds of a fragment to come from the gene
  vector[N] logit_theta = middle + width .* z - square(log1p_exp(-z)) ./ (2 * a) + square(log1p_exp(z)) ./ (2 * b);
}
model {
  target += theta_a * sum(log_inv_logit(logit_theta)) + theta_b * sum(log1m_inv_logit(logit_theta));
  // log Jacobian of the map from z
  target += sum(log(width + log1p_exp(-z) .* inv_logit(-z) ./ a + log1p_exp(z) .* inv_logit(z) ./ b));
  if (!prior_only) count ~ binomial_logit(total, logit_theta);
}
