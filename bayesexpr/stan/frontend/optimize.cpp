// method=optimize: a mode, with or without the log determinant of the transforms.
#include <stan/services/optimize/bfgs.hpp>
#include <stan/services/optimize/lbfgs.hpp>
#include <stan/services/optimize/newton.hpp>

#include "session.hpp"

namespace frontend {

namespace {

template <bool jacobian>
int optimize(session& run) {
  namespace service = stan::services::optimize;
  using model_t = stan::model::model_base;
  initial_values inits = read_initial_values(run.settings["init"].text, 1, run.id);
  const stan::io::var_context& init = *inits.contexts[0];
  csv_writer out = run.open_csv(run.settings["output"]["file"].text);
  if (!run.status_columns()) {
    out.leave_out("converged__");
    out.drop_messages();
  }
  stan::callbacks::writer no_init_writer;
  int iterations = run.method["iter"].integer();
  bool save = run.method["save_iterations"].flag();
  const std::string& algorithm = run.method["algorithm"].text;
  if (algorithm == "newton")
    return service::newton<model_t, jacobian>(run.model, init, run.seed, run.id, inits.radius, iterations, save,
                                              run.interrupt, run.logger, no_init_writer, out);
  const argument& a = run.method["algorithm"].chosen();
  if (algorithm == "bfgs")
    return service::bfgs<model_t, jacobian>(
        run.model, init, run.seed, run.id, inits.radius, a["init_alpha"].real(), a["tol_obj"].real(),
        a["tol_rel_obj"].real(), a["tol_grad"].real(), a["tol_rel_grad"].real(), a["tol_param"].real(), iterations,
        save, run.refresh, run.interrupt, run.logger, no_init_writer, out);
  return service::lbfgs<model_t, jacobian>(
      run.model, init, run.seed, run.id, inits.radius, a["history_size"].integer(), a["init_alpha"].real(),
      a["tol_obj"].real(), a["tol_rel_obj"].real(), a["tol_grad"].real(), a["tol_rel_grad"].real(),
      a["tol_param"].real(), iterations, save, run.refresh, run.interrupt, run.logger, no_init_writer, out);
}

}  // namespace

int run_optimize(session& run) {
  return run.method["jacobian"].flag() ? optimize<true>(run) : optimize<false>(run);
}

}  // namespace frontend
