/* coverage_decay: 3' bias, the decay of coverage along transcripts that were copied from their poly(A) tail

   count[n] ~ NB2(C[n], 1 / dispersion)                          Var = C + dispersion C^2
   C[n] = C0[curve[n]] exp(-distance[n] / lambda[library[curve[n]]])

   distance[n]  nucleotides from the 3' end
   C0[j]        coverage of curve j (a transcript in a library) at the 3' end   log C0 ~ N(log_c0_mean, log_c0_sd)
   lambda[l]    mean distance, in nt, that the reverse transcriptase of library l goes before it falls off: a constant
                hazard 1 / lambda                                               log lambda ~ N(log_lambda_mean, log_lambda_sd)
   dispersion                                                                   ~ Exponential(dispersion_rate)
   Sampled is the log coverage at the middle of each curve's distances, which the counts know best whatever lambda is:
   log C0 = log_middle + middle / lambda, a shift, with Jacobian 1. Natural logarithms.
   Reference: Zheng, Chung and Zhao (2011) BMC Bioinformatics 12:290, on biases along transcripts. */
data {
  int<lower=1> N; // positions (or bins) of all curves
  int<lower=1> J; // curves
  int<lower=1> L; // libraries
  array[N] int<lower=0> count; // reads at the position
  vector<lower=0>[N] distance; // nt from the 3' end
  array[N] int<lower=1, upper=J> curve; // of each position
  array[J] int<lower=1, upper=L> library; // of each curve
  vector<lower=0>[J] middle; // mean distance of each curve, nt
  // priors: numbers are data
  real log_c0_mean;
  real<lower=0> log_c0_sd;
  real log_lambda_mean;
  real<lower=0> log_lambda_sd;
  real<lower=0> dispersion_rate;
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
}
transformed data {
  vector[N] from_middle = distance - middle[curve];
  array[N] int library_of = library[curve];
}
parameters {
  vector<offset=log_c0_mean, multiplier=log_c0_sd>[J] log_middle; // log coverage at the middle of each curve
  vector<offset=log_lambda_mean, multiplier=log_lambda_sd>[L] log_lambda; // log decay length, nt
  real<lower=0> dispersion;
}
transformed parameters {
  vector[L] hazard = exp(-log_lambda); // per nt
  vector[J] log_c0 = log_middle + middle .* hazard[library];
}
model {
  log_c0 ~ normal(log_c0_mean, log_c0_sd);
  log_lambda ~ normal(log_lambda_mean, log_lambda_sd);
  dispersion ~ exponential(dispersion_rate);
  if (!prior_only) {
    vector[N] log_coverage = log_middle[curve] - from_middle .* hazard[library_of];
    count ~ neg_binomial_2_log(log_coverage, inv(dispersion));
  }
}
