/* transcript_compatibility: abundances of transcripts from fragments that fit more than one of them

   y[c] ~ Poisson(mu[c]),   mu[c] = sum_t A[c, t] eta[t],   sum_c mu[c] = sum_t exposure[t] lambda[t]

   y[c]         fragments of class c, which fit all transcripts of the class and no other
   lambda[t]    abundance: expected fragments per position of transcript t
   eta[t]       expected fragments of transcript t          = length[t] lambda[t]
   A[c, t]      probability that a fragment of t is in c    = M[c, t] class_length[c] / length[t], up to a factor per class;
                M is 1 where t is in c, or a weight, else 0
   exposure[t]  positions of t that can give a fragment     = length[t]; 0 where there is none, and there length[t] = 1
   log(lambda[t] / rate) ~ N(log_mean, log_sd)              rate: expected fragments per position of an average transcript
   Classes without a fragment enter through the exposure alone. A factor of the class drops out of the posterior, so the
   lengths of the classes need not be known if those of the transcripts are.

   Coordinates: transcripts that share classes form blocks, and the transcripts of a block are the leaves of a binary
   tree whose last splits part those that share the most. Sampled are the log of a block's total and the logit of each
   split, z: what the counts determine (totals, early splits) and what they leave open (late splits) are then nearly
   independent. log eta is a sum of logs along the path from the root, and the map from (log totals, logits) to log eta
   preserves volume: its Jacobian is 1. center and scale are affine maps given as data, which leave the posterior as it is.
   Natural logarithms. References: Bray et al. (2016) Nat Biotechnol 34:525; Patro et al. (2017) Nat Methods 14:417;
   Glaus, Honkela and Rattray (2012) Bioinformatics 28:1721; Jones and Ruzzo (2021) NAR Genom Bioinform 3:lqab046,
   the tree. */
data {
  int<lower=1> T; // transcripts
  int<lower=0> C; // classes with at least one fragment
  array[C] int<lower=1> count;
  int<lower=0> N; // entries of A, row by row
  vector<lower=0>[N] value; // of each entry
  array[N] int<lower=1, upper=T> transcript; // column of each entry
  array[C + 1] int<lower=1, upper=N + 1> first; // first entry of each row; the last is N + 1
  vector<lower=0>[T] exposure; // positions
  vector<lower=0>[T] length; // positions; 1 where the exposure is 0
  // forest
  int<lower=1, upper=T> B; // blocks
  array[B] int<lower=1> root; // nodes: 1 to T are transcripts, above them splits, in order from root to leaves
  array[T - B] int<lower=1, upper=2 * T - B> left; // node below each split on the left
  array[T - B] int<lower=1, upper=2 * T - B> right; // and on the right
  vector[T] center; // of log totals [B], then of logits [T - B]
  vector<lower=0>[T] scale;
  // prior: numbers are data
  real<lower=0> rate; // fragments per position
  real log_mean;
  real<lower=0> log_sd;
  int<lower=0, upper=1> prior_only; // 1: leave the likelihood out
}
transformed data {
  vector[C] y = to_vector(count);
  vector[T] log_length = log(length);
  vector[T] eta_exposure = exposure ./ length;
}
parameters {
  vector[T] z; // log totals of blocks, then logits of splits; standardised
}
transformed parameters {
  vector[T] log_lambda; // log expected fragments per position
  {
    vector[T] v = center + scale .* z;
    vector[T - B] log_left = log_inv_logit(v[(B + 1) : T]);
    vector[T - B] log_right = log_inv_logit(-v[(B + 1) : T]);
    vector[2 * T - B] log_eta;
    log_eta[root] = v[1 : B];
    for (i in 1 : (T - B)) {
      log_eta[left[i]] = log_eta[T + i] + log_left[i];
      log_eta[right[i]] = log_eta[T + i] + log_right[i];
    }
    log_lambda = log_eta[1 : T] - log_length;
  }
}
model {
  log_lambda ~ normal(log(rate) + log_mean, log_sd);
  if (!prior_only) {
    vector[T] eta = exp(log_lambda + log_length);
    vector[C] mu = csr_matrix_times_vector(C, T, value, transcript, first, eta);
    target += dot_product(y, log(mu)) - dot_product(eta_exposure, eta);
  }
}
