/* hierarchical_expression: expression of a whole transcriptome, genes drawn from one log-normal distribution

   count[s, g]  ~ Poisson(mu[s, g])
   log mu[s, g] = log_expression[g] + log_length[g] + log_f[s]

   log_expression[g] ~ N(mu_0, sigma_mu)                   log expected count of the gene, had it the typical length
   mu_0              ~ N(mu_0_mean, mu_0_sd)               the typical gene
   sigma_mu          ~ HalfNormal(sigma_mu_sd)             how much genes differ
   log_f             = log_size_factor + shift             shift ~ N(0, size_factor_sd), sums to zero over samples
   Natural logarithms. log_length has mean zero over genes.
   Reference: Jimenez-Jimenez, Marti-Gomez et al. (2021), doi:10.36255/exonpublications.bioinformatics.2021.ch5. */
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
parameters {
  real mu_0; // log expected count of the typical gene in an average library
  real<lower=0> sigma_mu; // sd of log expression over genes
  vector<offset=mu_0, multiplier=sigma_mu>[G] log_expression;
  sum_to_zero_vector[S] shift; // log size factors minus those given
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
