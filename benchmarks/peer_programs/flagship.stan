/* The flagship in plain Stan as one writes it for speed: every count of the first component, no change, in one vectorised
   call; the other component by its ratio to that, which needs no lgamma; loops over samples only. All parameters on the
   whole real line, effects in units of their scales. */
data {
  int G;
  int S;
  array[S, G] int count;
  vector[S] design;
  vector[S] nuisance_design;
  vector[S] log_size_factor;
  matrix[S, S - 1] basis;
  real mu_alpha_mean;
  real mu_alpha_sd;
  real sigma_alpha_log_mean;
  real sigma_alpha_log_sd;
  real log_a0_mean;
  real log_a0_sd;
  real log_a1_mean;
  real log_a1_sd;
  real sigma_phi_log_mean;
  real sigma_phi_log_sd;
  real sigma_phi_max;
  real m_sd;
  real s_log_mean;
  real s_log_sd;
  real nu;
  vector[2] weight_concentration;
  real tau_sd;
  real size_factor_sd;
}
transformed data {
  array[S * G] int y = to_array_1d(count); // sample by sample
  array[S] vector[G] z;
  for (s in 1 : S) z[s] = to_vector(count[s]);
}
parameters {
  real mu_alpha;
  real log_sigma_alpha;
  real log_a0;
  real log_a1;
  real logit_sigma_phi;
  real m;
  real log_s;
  real log_weight_ratio;
  real log_tau;
  vector[S - 1] v;
  vector[G] alpha;
  vector[G] e;
  vector[G] d;
  vector[G] u;
}
model {
  real share = inv_logit(logit_sigma_phi);
  real sigma_phi = sigma_phi_max * share;
  real tau = exp(log_tau);
  mu_alpha ~ normal(mu_alpha_mean, mu_alpha_sd);
  log_sigma_alpha ~ normal(sigma_alpha_log_mean, sigma_alpha_log_sd);
  log_a0 ~ normal(log_a0_mean, log_a0_sd);
  log_a1 ~ normal(log_a1_mean, log_a1_sd);
  target += lognormal_lupdf(sigma_phi | sigma_phi_log_mean, sigma_phi_log_sd) + log(sigma_phi) + log1m(share);
  m ~ normal(0, m_sd);
  log_s ~ normal(s_log_mean, s_log_sd);
  target += weight_concentration[1] * log1m_inv_logit(log_weight_ratio)
            + weight_concentration[2] * log_inv_logit(log_weight_ratio);
  target += normal_lupdf(tau | 0, tau_sd) + log_tau;
  v ~ normal(0, size_factor_sd);
  alpha ~ normal(mu_alpha, exp(log_sigma_alpha));
  e ~ std_normal();
  d ~ student_t(nu, 0, 1);
  u ~ std_normal();

  vector[G] log_phi = sigma_phi * e - log(exp(log_a0) + exp(log_a1 - alpha));
  vector[G] phi = exp(log_phi);
  vector[G] b = m + exp(log_s) * d;
  vector[S] log_f = log_size_factor + basis * v;
  vector[S * G] eta;
  vector[S * G] precision;
  vector[G] log_odds = rep_vector(log_weight_ratio, G);
  for (s in 1 : S) {
    vector[G] base = alpha + log_f[s] + nuisance_design[s] * tau * u;
    vector[G] over = base - log_phi;
    log_odds += z[s] .* (design[s] * b) - (z[s] + phi) .* (log1p_exp(over + design[s] * b) - log1p_exp(over));
    eta[((s - 1) * G + 1) : (s * G)] = base;
    precision[((s - 1) * G + 1) : (s * G)] = phi;
  }
  y ~ neg_binomial_2_log(eta, precision);
  target += G * log1m_inv_logit(log_weight_ratio) + sum(log1p_exp(log_odds));
}
