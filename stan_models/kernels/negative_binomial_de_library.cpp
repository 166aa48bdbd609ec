/* What Python loads: the numerical core of the Stan program, and what importance sampling needs of many draws of each gene. The
   program itself is built without it. */
#include "negative_binomial_de.cpp"

#include "negative_binomial_de_draws.hpp"
#include "student_mixture.hpp"

extern "C" {

/* Genes at draws that each have hyperparameters of their own: log density, the component summed out, and what it is made of.

   hyper: rows of `draws` values each, see DrawsOfGene. C order, draws fastest: psi [G, P, D]; log_density, log_phi [G, D];
   effect b [G, K, D]; nuisance tau .* u [G, R, D]; probability of each component given all else [G, C, D]. */
BX_EXPORT void bx_nbde_draws(const bx_nbde_data* data, int64_t draws, double nu, const double* hyper, const double* psi,
                             double* log_density, double* log_phi, double* effect, double* nuisance, double* probability) {
  const bx_nbde_data& a = *data;
  const std::size_t D = static_cast<std::size_t>(draws);
  DrawsOfGene one(a, hyper, D, nu);
  for (std::size_t g = 0; g < a.G; ++g) {
    one.enter(g, psi + g * a.P * D);
    for (std::size_t at = 0; at < D; at += kLanes)
      one.evaluate(at, log_density + g * D, log_phi + g * D, effect + g * a.K * D, nuisance + g * a.R * D,
                   probability + g * a.C * D);
  }
}

/* Weighted mean [G, S] of the derivative of the log likelihood in each log size factor, at what bx_nbde_draws found; weight
   [G, D]. */
BX_EXPORT void bx_nbde_residuals(const bx_nbde_data* data, int64_t draws, const double* hyper, const double* psi,
                                 const double* log_phi, const double* probability, const double* weight, double* result) {
  const bx_nbde_data& a = *data;
  const std::size_t D = static_cast<std::size_t>(draws);
  DrawsOfGene one(a, hyper, D, 0.0);
  for (std::size_t g = 0; g < a.G; ++g) {
    one.enter(g, psi + g * a.P * D);
    one.residuals(log_phi + g * D, probability + g * a.C * D, weight + g * D, result + g * a.S);
  }
}

/* Draws from a mixture of Student-t distributions for each gene, and their log densities: see StudentMixture.

   key [G] starts each gene's random numbers. center [M, G, P], root and back [M, G, P, P], share [G, M]; coordinates
   first_heavy to first_heavy + heavy - 1 have nu degrees of freedom, an even number, the others `light`, even too.
   constant: logarithm of what the densities share. psi [G, P, D], log_density [G, D]. */
BX_EXPORT void bx_student_mixture(int64_t genes, int64_t coordinates, int64_t modes, int64_t draws, int64_t first_heavy,
                                  int64_t heavy, int64_t nu, int64_t light, double constant, const uint64_t* key,
                                  const double* center, const double* root, const double* back, const double* share, double* psi,
                                  double* log_density) {
  const std::size_t G = static_cast<std::size_t>(genes), P = static_cast<std::size_t>(coordinates),
                    D = static_cast<std::size_t>(draws);
  StudentMixture mixture{P, static_cast<std::size_t>(modes), static_cast<std::size_t>(first_heavy),
                         static_cast<std::size_t>(heavy), static_cast<std::size_t>(nu), static_cast<std::size_t>(light)};
  for (std::size_t g = 0; g < G; ++g) {
    mixture.enter(center + g * P, root + g * P * P, back + g * P * P, G, share + g * static_cast<std::size_t>(modes), constant);
    for (std::size_t at = 0; at < D; at += kLanes) mixture.draw(key[g], at, D, psi + g * P * D, log_density + g * D);
  }
}

}  // extern "C"
