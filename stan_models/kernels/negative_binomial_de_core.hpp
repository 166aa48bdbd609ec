#ifndef BAYESEXPR_KERNELS_NEGATIVE_BINOMIAL_DE_CORE_HPP
#define BAYESEXPR_KERNELS_NEGATIVE_BINOMIAL_DE_CORE_HPP
/* C interface of the numerical core of the differential-expression program. Only plain doubles, integers and pointers pass it,
   so its two sides may be compiled for different processors. Equations: negative_binomial_de_block.hpp.

   Sizes: G genes, S samples, K columns of the tested term, R columns of all other terms, C components, E deviates of a gene's
   dispersion, P = 1 + E + K + R coordinates of a gene in the order alpha, e[E], d[K], u[R]. Natural logarithms.

   E = 1: dispersions scatter around a trend in the mean. E = 0: all genes share the dispersion exp(log_a0); log_a1 and sigma_phi
   are not looked at, and their gradient is zero. */
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define BX_EXPORT __attribute__((visibility("default")))
#else
#define BX_EXPORT
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Counts and designs, laid out for the kernel once; constant afterwards, so many threads may share one. */
typedef struct bx_nbde_data bx_nbde_data;

/* Layout of an array of two or three dimensions is given by strides, in elements, so that callers pass what they have. */
typedef struct bx_nbde_sizes {
  int64_t genes, samples, tested, nuisance, components, deviates;
} bx_nbde_sizes;

/* count: samples pointers to `genes` integers each. log_length: element (s, g) at s * length_sample + g * length_gene, or NULL.
   component_design: (c, s, k) at [c][k * samples + s], pointers to column-major matrices.
   nuisance_design: column-major samples x nuisance; may be NULL when nuisance is 0. NULL is returned when memory runs out. */
BX_EXPORT bx_nbde_data* bx_nbde_prepare(const bx_nbde_sizes* sizes, const int32_t* const* count, const double* log_length,
                                        int64_t length_sample, int64_t length_gene, const double* const* component_design,
                                        const double* nuisance_design);
BX_EXPORT void bx_nbde_release(bx_nbde_data* data);

/* Hyperparameters, and where their gradient goes. m: K values or NULL (zero). log_weight: C. tau: R, one per column. log_f: S. */
typedef struct bx_nbde_hyper {
  double nu; /* degrees of freedom of the slab; 0: normal */
  double mu_alpha, sigma_alpha, log_a0, log_a1, sigma_phi, s;
  const double* m;
  const double* log_weight;
  const double* tau;
  const double* log_f;
} bx_nbde_hyper;

typedef struct bx_nbde_hyper_gradient {
  double mu_alpha, sigma_alpha, log_a0, log_a1, sigma_phi, s;
  double* m; /* K values, written even where hyper.m is NULL */
  double* log_weight;
  double* tau;
  double* log_f;
} bx_nbde_hyper_gradient;

/* The whitening map psi = center + scale .* z + slope[p] shift[p]'. Matrices column-major: z, center, scale G x P, slope[p] G x J,
   shift P x J. */
typedef struct bx_nbde_map {
  int64_t drivers;
  const double* center;
  const double* scale;
  const double* const* slope;
  const double* shift;
} bx_nbde_map;

/* Log density of all genes and its gradient. gradient_z: G x P, gradient_shift: P x J, both column-major; gradient_z may be z. */
BX_EXPORT double bx_nbde_genes(const bx_nbde_data* data, const bx_nbde_map* map, const double* z, const bx_nbde_hyper* hyper,
                               int prior_only, double* gradient_z, double* gradient_shift, bx_nbde_hyper_gradient* gradient);

/* The same by many threads. Genes are cut into parts of BX_NBDE_PART, of which any thread takes any; the sums of each are kept
   apart and added in the parts' order at the end, as bx_nbde_genes adds them: the result is the same to the last bit.

   bx_nbde_genes_of_parts evaluates the parts from `first` up to, but not including, `last`: it writes their genes' part of
   gradient_z, and their rows of sums [parts][bx_nbde_sums]. bx_nbde_total adds the rows of all parts. */
#define BX_NBDE_PART 512
BX_EXPORT int64_t bx_nbde_parts(const bx_nbde_data* data);
BX_EXPORT int64_t bx_nbde_sums(const bx_nbde_data* data, const bx_nbde_map* map);
BX_EXPORT void bx_nbde_genes_of_parts(const bx_nbde_data* data, const bx_nbde_map* map, const double* z,
                                      const bx_nbde_hyper* hyper, int prior_only, int64_t first, int64_t last, double* gradient_z,
                                      double* sums);
BX_EXPORT double bx_nbde_total(const bx_nbde_data* data, const bx_nbde_map* map, const bx_nbde_hyper* hyper, const double* sums,
                               double* gradient_shift, bx_nbde_hyper_gradient* gradient);

/* Log density of each gene, priors and likelihood, at natural coordinates psi [P, G] (coordinate-major): value [G], gradient
   [P, G], and unless it is NULL precision [P, P, G], a positive definite curvature: the prior's, plus the expected information
   of the linear predictor, plus the observed information of log phi where that is positive, each averaged over the components
   by their posterior weights. For one component alone prepare the data with its design alone, and log_weight 0. */
BX_EXPORT void bx_nbde_gene_terms(const bx_nbde_data* data, const double* psi, const bx_nbde_hyper* hyper, double* value,
                                  double* gradient, double* precision);

/* Log-likelihood of each component, summed over samples, for many draws. C order: alpha, log_phi [D, G], effect b [D, G, K],
   nuisance tau .* u [D, G, R], log_f [D, S]; result [D, G, C]. */
BX_EXPORT void bx_nbde_component_log_lik(const bx_nbde_data* data, int64_t draws, const double* alpha, const double* log_phi,
                                         const double* effect, const double* nuisance, const double* log_f, double* result);

/* What a move of the genes needs beside the state. step [G]; momentum [P, G], standard normal; log_uniform [2, G], logarithms of
   uniform numbers; effect [K, G], drawn from the slab's prior. All coordinate-major. */
typedef struct bx_nbde_noise {
  const double* step;
  const double* momentum;
  const double* log_uniform;
  const double* effect;
} bx_nbde_noise;

/* Markov moves, given the hyperparameters, of the genes of the parts from `first` up to, but not including, `last`, which leave
   the density of bx_nbde_genes as it is: see negative_binomial_de_moves.hpp. z: G x P, column-major, replaced. acceptance [2, G]:
   probability of the trajectory, and 1 or 0 for the effect drawn anew. */
BX_EXPORT void bx_nbde_gene_moves(const bx_nbde_data* data, const bx_nbde_map* map, const bx_nbde_hyper* hyper, int64_t leaps,
                                  const bx_nbde_noise* noise, int64_t first, int64_t last, double* z, double* acceptance);

#ifdef __cplusplus
}
#endif
#endif
