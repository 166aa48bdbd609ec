/* gamma_poisson: expression of a gene in a sample as the rate of its fragments, with its effective length

   count[n]  ~ Poisson(lambda[n] effective_length[n])
   lambda[n] = relative[n] total / transcriptome_length      fragments per position of the transcriptome
   relative[n] ~ Gamma(relative_shape, relative_rate)        1: as much as the average position; each n by itself

   Kept as the logarithm of relative, on which the prior's density is proportional to x^shape exp(-rate x): shapes near
   zero put real mass below 1e-300. They leave the logarithm with an exponential tail of scale 1 / shape, too long for
   one step size; what is sampled, z, has a tail of scale one: from where prior and data have their mass, the slope of the
   logarithm goes to 1 / shape on the left; it is one where the shape is above one.
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
  real left = inv(fmin(relative_shape, 1)) - 1; // slope of the tail, less one
  // origin of the map, of which the posterior is independent: what prior and data bound is met at slope one
  vector[N] middle = -log1p(left)
                     + (prior_only ? rep_vector(log(relative_shape + 1) - log(relative_rate), N)
                        : log(relative_shape + 1 + to_vector(count)) - log(relative_rate + exp(log_exposure)));
}
parameters {
  vector[N] z; // logarithm of relative with its tail shortened
}
transformed parameters {
  vector[N] log_relative = middle + z - left * log1p_exp(-z);
}
model {
  target += relative_shape * sum(log_relative) - relative_rate * sum(exp(log_relative));
  target += sum(log1p(left * inv_logit(-z))); // log Jacobian of the map from z
  if (!prior_only) count ~ poisson_log(log_relative + log_exposure);
}
