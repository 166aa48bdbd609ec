/* gamma_poisson: expression of a gene in a sample as the rate of its fragments, with its effective length

   count[n]  ~ Poisson(lambda[n] effective_length[n])
   lambda[n] = relative[n] total / transcriptome_length      fragments per position of the transcriptome
   relative[n] ~ Gamma(relative_shape, relative_rate)        1: as much as the average position; each n by itself

   Kept as the logarithm of relative, on which the prior's density is proportional to x^shape exp(-rate x): shapes near
   zero put real mass below 1e-300. A small shape of the posterior, relative_shape + count, leaves the logarithm with an
   exponential tail of scale 1 / shape, of which no step size fits both ends. What is sampled, z, has a tail like a
   normal's: there the logarithm goes with -z^2 / (2 shape), and before it with the width of the posterior.
   Conjugate: relative[n] | count ~ Gamma(shape + count[n], rate + exposure[n]).
   Reference: Jimenez-Jimenez, Marti-Gomez et al. (2021), doi:10.36255/exonpublications.bioinformatics.2021.ch5. */
data {
  int<lower=1> N; // genes
  array[N] int<lower=0> count; // fragments of the gene
  vector<lower=0>[N] effective_length; // positions at which a fragment of the gene can start
  real<lower=0> total; // fragments sequenced
  real<lower=0> transcriptome_length; // sum of all effective lengths
  real<lower=0> relative_shape; // prior: shape and rate of the gamma distribution
  real<lower=0> relative_rate;
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
}
transformed data {
  vector[N] log_exposure = log(effective_length) + log(total) - log(transcriptome_length); // log count where relative is 1
  // shape of the posterior; the map from z follows it, and the posterior is the same for any map
  vector[N] a = rep_vector(relative_shape, N) + (prior_only ? zeros_vector(N) : to_vector(count));
  vector[N] middle = log1p(a) - log(relative_rate + (prior_only ? zeros_vector(N) : exp(log_exposure)));
  vector[N] width = inv_sqrt(fmax(a, 1));
}
parameters {
  vector[N] z; // logarithm of relative, with its width and tail made alike
}
transformed parameters {
  vector[N] log_relative = middle + width .* z - square(log1p_exp(-z)) ./ (2 * a);
}
model {
  target += relative_shape * sum(log_relative) - relative_rate * sum(exp(log_relative));
  target += sum(log(width + log1p_exp(-z) .* inv_logit(-z) ./ a)); // log Jacobian of the map from z
  if (!prior_only) count ~ poisson_log(log_relative + log_exposure);
}
