/* negative_binomial_de: differential expression of a whole transcriptome

   y[s, g] ~ NB2(mu[s, g], phi[g])                              Var y = mu + mu^2 / phi
   log mu[s, g] = alpha[g] + log_f[s] + log_length[s, g] + X[s] P(c[g]) b[g] + Z[s] (tau .* u[g])

   alpha[g]   log mean count in an average library      ~ N(mu_alpha, sigma_alpha)
   b[g]       effect of the tested term (natural log)   = m + s d[g]
//% if effects == "spike_slab"
   d[g]                                                 ~ Student-t(nu), multivariate where the term has many columns
   c[g]       component of the effect, summed out       ~ Categorical(weight): which levels of the tested term are equal;
              the projector P(c) is zero in the first: no change at all
//% elif effects == "student_t"
   d[g]                                                 ~ Student-t(nu); m = 0, one component, P = I
//% else
   d[g]                                                 ~ N(0, 1); m = 0, one component, P = I
//% endif
   u[g]       effects of all other terms                ~ N(0, 1), one scale tau for each term
//% if dispersion == "trend"
   log phi[g] = -log(a0 + a1 exp(-alpha[g])) + sigma_phi e[g],  e[g] ~ N(0, 1), sigma_phi < sigma_phi_max
//% else
   phi[g]     = 1 / dispersion                          one for all genes: dispersion ~ Exponential
//% endif
//% if size_factors == "estimated"
   log_f      = log_size_factor + Q v                   v ~ N(0, size_factor_sd): Q spans the vectors that sum to zero
//% else
   log_f      = log_size_factor                         taken as known
//% endif

   Natural logarithms; dispersion = 1 / phi. All hyperparameters live in one vector theta on the whole real line, and theta
   and the coordinates of the genes are sampled in whitened form (zeta, z): affine maps given as data, which leave the
   posterior as it is and make its geometry close to a unit normal. With the maps' defaults zeta = theta and z = psi.
   References: Anders and Huber (2010) Genome Biol 11:R106; Love, Huber and Anders (2014) Genome Biol 15:550;
   Stephens (2017) Biostatistics 18:275. */
//% if density == "kernel"
// kernel: negative_binomial_de
//% endif
functions {
#include functions/whitening.stanfunctions
#include functions/negative_binomial.stanfunctions
#include functions/effects.stanfunctions
//% if density == "kernel"
  /* Log density of all genes, likelihood and priors of z, with its analytic gradient: see kernels/negative_binomial_de.hpp,
     tested to equal the sum of the same terms in the variant with density = stan. */
  real genes_lpdf(matrix z, matrix shift, data matrix center, data array[] matrix slope, data matrix scale,
                  data int prior_only, data array[,] int count, data matrix log_length, data array[] matrix component_design, data matrix nuisance_design,
                  data real nu, real mu_alpha, real sigma_alpha, real log_a0, real log_a1, real sigma_phi,
                  vector m, real s, vector log_weight, vector tau, vector log_f);
//% endif
}
data {
  int<lower=1> G; // genes
  int<lower=1> S; // samples
  int<lower=1> K; // columns of the tested term
  int<lower=0> R; // columns of all other terms
  int<lower=0> B; // other terms
  int<lower=1> C; // components of the tested effect
  array[S, G] int<lower=0> count;
  vector[S] log_size_factor; // log of robust size factors, natural log
  matrix[S, G] log_length; // log effective lengths, mean zero within a gene; or zero
  array[C] matrix[S, K] component_design; // design of the tested term times the projector of the component
  matrix[S, R] nuisance_design;
  array[R] int<lower=1, upper=B> nuisance_term; // the term of each column
  // priors: numbers are data
  real mu_alpha_mean;
  real<lower=0> mu_alpha_sd;
  real sigma_alpha_log_mean;
  real<lower=0> sigma_alpha_log_sd;
//% if effects == "normal"
  real<lower=0> s_sd;
//% else
  real<lower=0> nu; // degrees of freedom of the slab
  real s_log_mean;
  real<lower=0> s_log_sd;
//% endif
//% if effects == "spike_slab"
  real<lower=0> m_sd;
  vector<lower=0>[C] weight_concentration;
//% endif
  real<lower=0> tau_sd;
//% if dispersion == "trend"
  real log_a0_mean;
  real<lower=0> log_a0_sd;
  real log_a1_mean;
  real<lower=0> log_a1_sd;
  real sigma_phi_log_mean;
  real<lower=0> sigma_phi_log_sd;
  real<lower=0> sigma_phi_max;
//% else
  real<lower=0> dispersion_rate;
//% endif
//% if size_factors == "estimated"
  real<lower=0> size_factor_sd;
//% endif
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
  // whitening
  int<lower=1> H; // hyperparameters
  int<lower=1> P; // coordinates of a gene
  int<lower=0> J; // drivers of a coordinate
  vector[H] theta_center;
  matrix[H, H] theta_scale; // lower triangular, positive diagonal
  matrix[G, P] center;
  matrix<lower=0>[G, P] scale;
  array[P] matrix[G, J] slope;
  array[P] matrix[J, H] driver;
}
transformed data {
  int n_weight = C - 1;
  int n_m = /*= "K" if effects == "spike_slab" else "0" =*/;
  int n_dispersion = /*= "3" if dispersion == "trend" else "1" =*/;
  int n_v = /*= "S - 1" if size_factors == "estimated" else "0" =*/;
  int n_e = /*= "1" if dispersion == "trend" else "0" =*/;
  if (H != 3 + n_dispersion + n_m + n_weight + B + n_v) reject("H must be ", 3 + n_dispersion + n_m + n_weight + B + n_v);
  if (P != 1 + n_e + K + R) reject("P must be ", 1 + n_e + K + R);
//% if size_factors == "estimated"
  // Orthonormal basis of the vectors of length S that sum to zero (Helmert): column k sets sample k + 1 against those before it.
  matrix[S, S - 1] Q = rep_matrix(0, S, S - 1);
  for (k in 1 : (S - 1)) {
    Q[1 : k, k] = rep_vector(-1 / sqrt(k * (k + 1.0)), k);
    Q[k + 1, k] = k / sqrt(k * (k + 1.0));
  }
//% endif
//% if density == "stan"
  array[G, S] int y;
  for (g in 1 : G) y[g] = count[ : , g];
//% endif
}
parameters {
  vector[H] zeta; // hyperparameters, whitened
  matrix[G, P] z; // coordinates of the genes, whitened: alpha, dispersion deviate, tested effect, other effects
}
transformed parameters {
  vector[H] theta = theta_center + theta_scale * zeta;
  real mu_alpha = theta[1];
  real<lower=0> sigma_alpha = exp(theta[2]);
//% if dispersion == "trend"
  real log_a0 = theta[3];
  real log_a1 = theta[4];
  real<lower=0, upper=sigma_phi_max> sigma_phi = sigma_phi_max * inv_logit(theta[5]);
//% else
  real<lower=0> dispersion = exp(theta[3]);
//% endif
  vector[n_m] m = theta[(3 + n_dispersion) : (2 + n_dispersion + n_m)];
  real<lower=0> s = exp(theta[3 + n_dispersion + n_m]);
  vector[C] log_weight = log_softmax(append_row(0, theta[(H - n_v - B - n_weight + 1) : (H - n_v - B)]));
  vector<lower=0>[B] tau = exp(theta[(H - n_v - B + 1) : (H - n_v)]);
//% if size_factors == "estimated"
  vector[S] log_f = log_size_factor + Q * theta[(H - n_v + 1) : H];
//% else
  vector[S] log_f = log_size_factor;
//% endif
}
model {
  // hyperparameters; the last term of a line is the log Jacobian of the map from theta
  mu_alpha ~ normal(mu_alpha_mean, mu_alpha_sd);
  theta[2] ~ normal(sigma_alpha_log_mean, sigma_alpha_log_sd);
//% if dispersion == "trend"
  log_a0 ~ normal(log_a0_mean, log_a0_sd);
  log_a1 ~ normal(log_a1_mean, log_a1_sd);
  sigma_phi ~ lognormal(sigma_phi_log_mean, sigma_phi_log_sd) T[ , sigma_phi_max];
  target += log(sigma_phi) + log1m(sigma_phi / sigma_phi_max);
//% else
  dispersion ~ exponential(dispersion_rate);
  target += theta[3];
//% endif
//% if effects == "normal"
  s ~ normal(0, s_sd) T[0, ];
  target += log(s);
//% else
  theta[3 + n_dispersion + n_m] ~ normal(s_log_mean, s_log_sd);
//% endif
//% if effects == "spike_slab"
  m ~ normal(0, m_sd);
  target += dirichlet_lupdf(exp(log_weight) | weight_concentration) + sum(log_weight);
//% endif
  for (b in 1 : B) tau[b] ~ normal(0, tau_sd) T[0, ];
  target += sum(log(tau));
//% if size_factors == "estimated"
  theta[(H - n_v + 1) : H] ~ normal(0, size_factor_sd);
//% endif

  // genes
  matrix[P, J] shift;
  for (p in 1 : P) shift[p] = (driver[p] * (theta - theta_center))';
//% if density == "kernel"
  z ~ genes(shift, center, slope, scale, prior_only, count, log_length, component_design, nuisance_design,
            /*= "nu" if effects != "normal" else "0" =*/, mu_alpha, sigma_alpha, /*= "log_a0, log_a1, sigma_phi" if dispersion == "trend" else "theta[3], negative_infinity(), 0.0" =*/,
            m, s, log_weight, tau[nuisance_term], log_f);
//% else
  matrix[G, P] psi = unwhiten(z, shift, center, slope, scale);
  vector[G] alpha = psi[ : , 1];
  alpha ~ normal(mu_alpha, sigma_alpha);
//% if dispersion == "trend"
  psi[ : , 2] ~ std_normal();
  vector[G] phi = exp(log_phi_trend(alpha, psi[ : , 2], log_a0, log_a1, sigma_phi));
//% else
  vector[G] phi = rep_vector(inv(dispersion), G);
//% endif
  matrix[G, K] d = psi[ : , (2 + n_e) : (1 + n_e + K)];
//% if effects == "normal"
  to_vector(d) ~ std_normal();
//% else
  target += spherical_student_t_lpdf(d | nu);
//% endif
  matrix[G, R] u = psi[ : , (2 + n_e + K) : P];
  to_vector(u) ~ std_normal();
  if (!prior_only) {
    for (g in 1 : G) {
      vector[S] eta = alpha[g] + log_f + log_length[ : , g] + nuisance_design * (tau[nuisance_term] .* u[g]');
      vector[K] b = s * d[g]';
      if (n_m) b += m;
      matrix[S, C] change;
      for (c in 1 : C) change[ : , c] = component_design[c] * b;
      target += log_sum_exp(log_weight + component_log_lik(y[g], eta, phi[g], change));
    }
  }
//% endif
}
