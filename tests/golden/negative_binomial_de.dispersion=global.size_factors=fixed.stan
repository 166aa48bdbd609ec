/* negative_binomial_de: differential expression of a whole transcriptome

   y[s, g] ~ NB2(mu[s, g], phi[g])                              Var y = mu + mu^2 / phi
   log mu[s, g] = alpha[g] + log_f[s] + log_length[s, g] + X[s] P(c[g]) b[g] + Z[s] (tau .* u[g])

   alpha[g]   log mean count in an average library      ~ N(mu_alpha, sigma_alpha)
   b[g]       effect of the tested term (natural log)   = m + s d[g]
   d[g]                                                 ~ Student-t(nu), multivariate where the term has many columns
   c[g]       component of the effect, summed out       ~ Categorical(weight): which levels of the tested term are equal;
              the projector P(c) is zero in the first: no change at all
   u[g]       effects of all other terms                ~ N(0, 1), one scale tau for each term
   phi[g]     = 1 / dispersion                          one for all genes: dispersion ~ Exponential
   log_f      = log_size_factor                         taken as known
   Natural logarithms; dispersion = 1 / phi. All hyperparameters live in one vector theta on the whole real line, and theta
   and the coordinates of the genes are sampled in whitened form (zeta, z): affine maps given as data, which leave the
   posterior as it is and make its geometry close to a unit normal. With the maps' defaults zeta = theta and z = psi.
   References: Anders and Huber (2010) Genome Biol 11:R106; Love, Huber and Anders (2014) Genome Biol 15:550;
   Stephens (2017) Biostatistics 18:275. */
// kernel: negative_binomial_de
functions {
  /**
   * Coordinates of every gene in natural units from their whitened form: the inverse of an affine map that is given as
   * data, so its Jacobian is a constant and the posterior does not depend on it.
   *
   * @param z      [G, P] whitened coordinates
   * @param shift  [P, J] drivers: how far the hyperparameters are from where the map was made, seen by each coordinate
   * @param center [G, P], @param slope P arrays of [G, J], @param scale [G, P] positive: the map
   * @return [G, P] natural coordinates
   */
  matrix unwhiten(matrix z, matrix shift, data matrix center, data array[] matrix slope, data matrix scale) {
    matrix[rows(z), cols(z)] psi = center + scale .* z;
    for (p in 1 : cols(z)) psi[ : , p] += slope[p] * shift[p]';
    return psi;
  }
  /**
   * Logarithm of NB2's precision phi from the dispersion trend of Anders and Huber (2010): dispersion = a0 + a1 / mean,
   * at the gene's mean count in an average library, exp(alpha), and the gene's own log-normal deviation from it.
   *
   * @param alpha [G] log mean, @param deviate [G] standard normal, @param log_a0, @param log_a1 logs of the trend,
   * @param sigma_phi sd of log phi around the trend
   * @return [G] log phi
   */
  vector log_phi_trend(vector alpha, vector deviate, real log_a0, real log_a1, real sigma_phi) {
    return sigma_phi * deviate - log(exp(log_a0) + exp(log_a1 - alpha));
  }

  /**
   * Log mass of one gene's counts in every component of the effect: what the tested term adds to the linear predictor
   * differs between components (nothing, in the first), all else is shared.
   *
   * @param y [S] counts, @param eta [S] log mean without the tested term, @param phi precision
   * @param change [S, C] what each component adds to the log mean
   * @return [C] log mass
   */
  vector component_log_lik(array[] int y, vector eta, real phi, matrix change) {
    vector[cols(change)] lp;
    for (c in 1 : cols(change)) lp[c] = neg_binomial_2_log_lpmf(y | eta + change[ : , c], phi);
    return lp;
  }
  /**
   * Log density of the rows of d under a spherical multivariate Student-t with nu degrees of freedom.
   *
   * @param d [G, K] deviates, @param nu degrees of freedom
   */
  real spherical_student_t_lpdf(matrix d, real nu) {
    int K = cols(d);
    vector[rows(d)] r2 = rows_dot_self(d);
    return -0.5 * (nu + K) * sum(log1p(r2 / nu))
           + rows(d) * (lgamma(0.5 * (nu + K)) - lgamma(0.5 * nu) - 0.5 * K * log(nu * pi()));
  }
  /* Log density of all genes, likelihood and priors of z, with its analytic gradient: see kernels/negative_binomial_de.hpp,
     tested to equal the sum of the same terms in the variant with density = stan. */
  real genes_lpdf(matrix z, matrix shift, data matrix center, data array[] matrix slope, data matrix scale,
                  data int prior_only, data array[,] int count, data matrix log_length, data array[] matrix component_design, data matrix nuisance_design,
                  data real nu, real mu_alpha, real sigma_alpha, real log_a0, real log_a1, real sigma_phi,
                  vector m, real s, vector log_weight, vector tau, vector log_f);
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
  real<lower=0> nu; // degrees of freedom of the slab
  real s_log_mean;
  real<lower=0> s_log_sd;
  real<lower=0> m_sd;
  vector<lower=0>[C] weight_concentration;
  real<lower=0> tau_sd;
  real<lower=0> dispersion_rate;
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
  int n_m = K;
  int n_dispersion = 1;
  int n_v = 0;
  int n_e = 0;
  if (H != 3 + n_dispersion + n_m + n_weight + B + n_v) reject("H must be ", 3 + n_dispersion + n_m + n_weight + B + n_v);
  if (P != 1 + n_e + K + R) reject("P must be ", 1 + n_e + K + R);
}
parameters {
  vector[H] zeta; // hyperparameters, whitened
  matrix[G, P] z; // coordinates of the genes, whitened: alpha, dispersion deviate, tested effect, other effects
}
transformed parameters {
  vector[H] theta = theta_center + theta_scale * zeta;
  real mu_alpha = theta[1];
  real<lower=0> sigma_alpha = exp(theta[2]);
  real<lower=0> dispersion = exp(theta[3]);
  vector[n_m] m = theta[(3 + n_dispersion) : (2 + n_dispersion + n_m)];
  real<lower=0> s = exp(theta[3 + n_dispersion + n_m]);
  vector[C] log_weight = log_softmax(append_row(0, theta[(H - n_v - B - n_weight + 1) : (H - n_v - B)]));
  vector<lower=0>[B] tau = exp(theta[(H - n_v - B + 1) : (H - n_v)]);
  vector[S] log_f = log_size_factor;
}
model {
  // hyperparameters; the last term of a line is the log Jacobian of the map from theta
  mu_alpha ~ normal(mu_alpha_mean, mu_alpha_sd);
  theta[2] ~ normal(sigma_alpha_log_mean, sigma_alpha_log_sd);
  dispersion ~ exponential(dispersion_rate);
  target += theta[3];
  theta[3 + n_dispersion + n_m] ~ normal(s_log_mean, s_log_sd);
  m ~ normal(0, m_sd);
  target += dirichlet_lupdf(exp(log_weight) | weight_concentration) + sum(log_weight);
  for (b in 1 : B) tau[b] ~ normal(0, tau_sd) T[0, ];
  target += sum(log(tau));
  // genes
  matrix[P, J] shift;
  for (p in 1 : P) shift[p] = (driver[p] * (theta - theta_center))';
  z ~ genes(shift, center, slope, scale, prior_only, count, log_length, component_design, nuisance_design,
            nu, mu_alpha, sigma_alpha, theta[3], negative_infinity(), 0.0,
            m, s, log_weight, tau[nuisance_term], log_f);
}
