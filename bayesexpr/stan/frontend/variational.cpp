// method=variational: mean-field or full-rank normal approximation by stochastic gradient ascent.
#include <stan/services/experimental/advi/fullrank.hpp>
#include <stan/services/experimental/advi/meanfield.hpp>

#include "session.hpp"

namespace frontend {

int run_variational(session& run) {
  namespace service = stan::services::experimental::advi;
  initial_values inits = read_initial_values(run.settings["init"].text, 1, run.id);
  csv_writer out = run.open_csv(run.settings["output"]["file"].text);
  csv_writer diagnostics = run.open_csv(run.settings["output"]["diagnostic_file"].text);
  stan::callbacks::writer no_init_writer;
  const argument& m = run.method;
  auto algorithm = m["algorithm"].text == "fullrank" ? &service::fullrank<stan::model::model_base>
                                                     : &service::meanfield<stan::model::model_base>;
  return algorithm(run.model, *inits.contexts[0], run.seed, run.id, inits.radius, m["grad_samples"].integer(),
                   m["elbo_samples"].integer(), m["iter"].integer(), m["tol_rel_obj"].real(), m["eta"].real(),
                   m["adapt"]["engaged"].flag(), m["adapt"]["iter"].integer(), m["eval_elbo"].integer(),
                   m["output_samples"].integer(), run.interrupt, run.logger, no_init_writer, out, diagnostics);
}

}  // namespace frontend
