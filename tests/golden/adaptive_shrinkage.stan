/* adaptive_shrinkage: true effects from estimates and their standard errors, with a unimodal prior learned from all

   estimate[n] ~ N(effect[n], standard_error[n])
   effect[n]   ~ sum over c of weight[c] component[c]       effects are integrated out
   weight      ~ Dirichlet(concentration)

   component[1] is exactly zero; the others, on a grid of scales,
   are N(0, scale): effects have one mode, at zero, and are symmetric.
   Reference: Stephens (2017), False discovery rates: a new deal, Biostatistics 18:275. */
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
      lp[1 + j] = normal_lpdf(estimate[n] | 0, hypot(standard_error[n], scale[j]));
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
