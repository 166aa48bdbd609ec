/* adaptive_shrinkage: true effects from estimates and their standard errors, with a unimodal prior learned from all

   estimate[n] ~ N(effect[n], standard_error[n])
   effect[n]   ~ sum over c of weight[c] component[c]       effects are integrated out
   weight      ~ Dirichlet(concentration)

   component[1] is exactly zero; the others, on a grid of scales,
   are Uniform(-scale, scale): effects have one mode, at zero, and are symmetric.
   Reference: Stephens (2017), False discovery rates: a new deal, Biostatistics 18:275. */
functions {
  /**
   * Log density of an estimate whose true effect is uniform on [low, high].
   *
   * Both normal distribution functions are taken in the lower tail, where their logarithms do not cancel.
   */
  real uniform_effect_lpdf(real estimate, real standard_error, real low, real high) {
    real a = (low - estimate) / standard_error;
    real b = (high - estimate) / standard_error;
    real log_probability = a > 0 ? log_diff_exp(std_normal_lcdf(-a), std_normal_lcdf(-b))
                                 : log_diff_exp(std_normal_lcdf(b), std_normal_lcdf(a));
    return log_probability - log(high - low);
  }
}
data {
  int<lower=1> N; // effects
  vector[N] estimate;
  vector<lower=0>[N] standard_error;
  int<lower=1> J; // scales
  vector<lower=0>[J] scale; // grid of the components
  int<lower=2> C; // components
  vector<lower=0>[C] concentration; // prior of the weights
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
}
transformed data {
  // Density of every estimate under every component, relative to the largest of its row.
  matrix[N, C] likelihood;
  for (n in 1 : N) {
    vector[C] lp;
    lp[1] = normal_lpdf(estimate[n] | 0, standard_error[n]);
    for (j in 1 : J) {
      lp[1 + j] = uniform_effect_lpdf(estimate[n] | standard_error[n], -scale[j], scale[j]);
    }
    likelihood[n] = exp(lp - max(lp))';
  }
}
parameters {
  simplex[C] weight; // share of each component
}
model {
  weight ~ dirichlet(concentration);
  if (!prior_only) target += sum(log(likelihood * weight));
}
