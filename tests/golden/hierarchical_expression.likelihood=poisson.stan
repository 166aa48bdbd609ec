/* hierarchical_expression: expression of a whole transcriptome, genes drawn from one log-normal distribution

   count[s, g]  ~ Poisson(mu[s, g])
   log mu[s, g] = log_expression[g] + log_length[g] + log_f[s]

   log_expression[g] ~ N(mu_0, sigma_mu)                   log expected count of the gene, had it the typical length
   mu_0              ~ N(mu_0_mean, mu_0_sd)               the typical gene
   sigma_mu          ~ HalfNormal(sigma_mu_sd)             how much genes differ
   log_f             = log_size_factor + shift             shift ~ N(0, size_factor_sd), sums to zero over samples
   Sampled is log_expression about the mean of what its fragments and the other genes say, each weighed by its
   information, and in units of the sd that both leave. So a gene is centred where it has many fragments and not where it
   has none, and in between as far as is due: neither a gene without a count nor one with a million makes a funnel.
   The fragments enter these maps and the likelihood, never a prior. Natural logarithms; log_length has mean zero.
   References: Jimenez-Jimenez, Marti-Gomez et al. (2021), doi:10.36255/exonpublications.bioinformatics.2021.ch5;
   Gorinova, Moore and Hoffman (2020), Automatic reparameterisation of probabilistic programs, ICML 37. */
functions {
  /**
   * Share of the variance of log expression that a gene's fragments leave open, in S samples of dispersion tau.
   */
  vector left_open(vector fragments, real tau, int S, real sigma_mu) {
    return inv(1 + square(sigma_mu) * fragments ./ (1 + tau / S * fragments));
  }
}
data {
  int<lower=1> G; // genes
  int<lower=1> S; // samples
  array[S, G] int<lower=0> count; // fragments
  vector[G] log_length; // log effective length minus its mean over genes
  vector[S] log_size_factor; // log of robust size factors
  // priors: numbers are data; none of them is taken from the counts
  real mu_0_mean;
  real<lower=0> mu_0_sd;
  real<lower=0> sigma_mu_sd;
  real<lower=0> size_factor_sd;
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
}
transformed data {
  vector[G] fragments = rep_vector(0, G); // of each gene in all samples; none without the likelihood
  if (!prior_only) for (s in 1 : S) fragments += to_vector(count[s]);
  vector[G] seen = log(fragments + 0.5) - log_length - log_sum_exp(log_size_factor); // log expression by these alone
}
parameters {
  real<offset=mu_0_mean, multiplier=mu_0_sd> mu_0; // log expected count of the typical gene in an average library
  real<lower=0> sigma_mu; // sd of log expression over genes
  sum_to_zero_vector[S] shift; // log size factors minus those given
  vector<offset=seen + left_open(fragments, 0, S, sigma_mu) .* (mu_0 - seen),
         multiplier=sigma_mu * sqrt(left_open(fragments, 0, S, sigma_mu))>[G] log_expression;
}
transformed parameters {
  vector[S] log_f = log_size_factor + shift;
}
model {
  mu_0 ~ normal(mu_0_mean, mu_0_sd);
  sigma_mu ~ normal(0, sigma_mu_sd);
  log_expression ~ normal(mu_0, sigma_mu);
  shift ~ normal(0, size_factor_sd);
  if (!prior_only) {
    for (s in 1 : S) {
      vector[G] log_mu = log_expression + log_length + log_f[s];
      count[s] ~ poisson_log(log_mu);
    }
  }
}
