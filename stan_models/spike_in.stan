/* spike_in: molecules per sample or cell, by standards of which a known number of molecules was added

//% if noise == "negative_binomial"
   count[s, f] ~ NB2(mu[s, f], 1 / dispersion)                    Var = mu + dispersion mu^2
//% else
   count[s, f] ~ Poisson(mu[s, f])
//% endif
   log mu[s, f] = log_capture[s] + log molecules[s, f] + affinity[f] + log_length[f]

   molecules[s, f]  number in sample s: known for a standard; for a target
                    log molecules[s, f] ~ N(typical[f], change_sd), typical[f] ~ N(log_molecules_mean, log_molecules_sd),
                    with typical[f] summed out: the mean over samples and the deviations from it are independent
   log_capture[s]   log of the counts expected per molecule of a feature of typical length:
                    ~ N(usual, capture_spread), usual ~ N(log_capture_mean, log_capture_sd), summed out alike
   affinity[f]      how much better than the typical feature f is captured, amplified and mapped ~ N(0, affinity_sd):
                    learned from the standards, and what keeps the intervals of targets honest;
                    log affinity_sd ~ N(log_affinity_sd_mean, log_affinity_sd_sd)
//% if noise == "negative_binomial"
   dispersion       ~ Exponential(dispersion_rate)
//% endif
   log_length[f]    log of the effective length over its geometric mean; zero where counts do not depend on length

   Sampled are what the counts know well: how samples differ from the first (shift), the yield of a standard,
   log_capture[1] + affinity, and for a target log_seen = log_capture + affinity + log molecules. These are shifts, with
   Jacobian 1. Each is sampled in units of its own: from where prior and counts together put it, in multiples of
   what they leave open. Else affinity_sd would narrow at once all standards that are hardly seen, and dispersion all that
   are well seen: funnels. The centers and variances of the counts are data; the posterior is the same for any.
   Natural logarithms. References: Jiang et al. (2011) Genome Res 21:1543; Munro et al. (2014) Nat Commun 5:5125. */
functions {
  // where a prior and counts, which say center with a variance, put a coordinate; and the sd that they leave
  row_vector middle(real mean, real sd, row_vector center, row_vector variance) {
    return (mean * inv_square(sd) + center ./ variance) ./ (inv_square(sd) + inv(variance));
  }
  row_vector width(real sd, row_vector variance) {
    return inv_sqrt(inv_square(sd) + inv(variance));
  }
}
data {
  int<lower=1> S; // samples or cells
  int<lower=1> G; // standards
  int<lower=0> H; // targets
  array[S, G] int<lower=0> standard_count;
  array[S, H] int<lower=0> target_count;
  matrix[S, G] log_molecules; // log number of molecules of the standards
  row_vector[G] standard_log_length; // log effective length over the geometric mean of all
  row_vector[H] target_log_length; // likewise
  // units of the coordinates
  real level_center;
  row_vector[S - 1] shift_center;
  row_vector<lower=0>[S - 1] shift_variance;
  row_vector[G] yield_center;
  row_vector<lower=0>[G] yield_variance;
  matrix[S, H] seen_center;
  matrix<lower=0>[S, H] seen_variance;
  // priors: numbers are data
  real log_capture_mean;
  real<lower=0> log_capture_sd;
  real<lower=0> capture_spread;
  real log_affinity_sd_mean;
  real<lower=0> log_affinity_sd_sd;
  real log_molecules_mean;
  real<lower=0> log_molecules_sd;
  real<lower=0> change_sd;
//% if noise == "negative_binomial"
  real<lower=0> dispersion_rate;
//% endif
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
}
parameters {
  real<offset=level_center> level; // log capture of the first sample
  real<lower=0> affinity_sd;
  row_vector<multiplier=affinity_sd>[H] target_affinity;
//% if noise == "negative_binomial"
  real<lower=0> dispersion;
  // capture of the other samples against the first
  row_vector<offset=middle(0, sqrt2() * capture_spread, shift_center, shift_variance + 2 * dispersion / G),
             multiplier=width(sqrt2() * capture_spread, shift_variance + 2 * dispersion / G)>[S - 1] shift;
  // yields of the standards in the first sample, and what targets show
  row_vector<offset=middle(level, affinity_sd, yield_center, yield_variance + dispersion / S),
             multiplier=width(affinity_sd, yield_variance + dispersion / S)>[G] log_yield;
  matrix<offset=seen_center, multiplier=sqrt(seen_variance + dispersion)>[S, H] log_seen;
//% else
  // capture of the other samples against the first
  row_vector<offset=middle(0, sqrt2() * capture_spread, shift_center, shift_variance),
             multiplier=width(sqrt2() * capture_spread, shift_variance)>[S - 1] shift;
  // yields of the standards in the first sample, and what targets show
  row_vector<offset=middle(level, affinity_sd, yield_center, yield_variance),
             multiplier=width(affinity_sd, yield_variance)>[G] log_yield;
  matrix<offset=seen_center, multiplier=sqrt(seen_variance)>[S, H] log_seen;
//% endif
}
transformed parameters {
  vector[S] log_capture = append_row(level, level + shift');
  row_vector[G] standard_affinity = log_yield - level;
  matrix[S, H] log_target_molecules = log_seen - rep_matrix(target_affinity, S) - rep_matrix(log_capture, H);
}
model {
  real mean_capture = mean(log_capture);
  mean_capture ~ normal(log_capture_mean, hypot(log_capture_sd, capture_spread / sqrt(S)));
  log_capture - mean_capture ~ normal(0, capture_spread);
  affinity_sd ~ lognormal(log_affinity_sd_mean, log_affinity_sd_sd);
  standard_affinity ~ normal(0, affinity_sd);
  target_affinity ~ normal(0, affinity_sd);
  row_vector[H] mean_over_samples = rep_row_vector(inv(S), S) * log_target_molecules;
  mean_over_samples ~ normal(log_molecules_mean, hypot(log_molecules_sd, change_sd / sqrt(S)));
  to_vector(log_target_molecules - rep_matrix(mean_over_samples, S)) ~ normal(0, change_sd);
//% if noise == "negative_binomial"
  dispersion ~ exponential(dispersion_rate);
//% endif
  if (!prior_only) {
    vector[S] from_first = append_row(0, shift');
    for (s in 1 : S) {
      row_vector[G] standard_log_mu = from_first[s] + log_yield + log_molecules[s] + standard_log_length;
      row_vector[H] target_log_mu = log_seen[s] + target_log_length;
//% if noise == "negative_binomial"
      standard_count[s] ~ neg_binomial_2_log(standard_log_mu, inv(dispersion));
      target_count[s] ~ neg_binomial_2_log(target_log_mu, inv(dispersion));
//% else
      standard_count[s] ~ poisson_log(standard_log_mu);
      target_count[s] ~ poisson_log(target_log_mu);
//% endif
    }
  }
}
