// method=pathfinder: one path, or several with importance resampling over their draws.
// the next header uses it without including it
#include <tbb/global_control.h>

#include <stan/services/pathfinder/multi.hpp>
#include <stan/services/pathfinder/single.hpp>

#include "session.hpp"

namespace frontend {

namespace {

int single_path(session& run) {
  const argument& m = run.method;
  const std::string& file = run.settings["output"]["file"].text;
  bool save = m["save_single_paths"].flag();
  initial_values inits = read_initial_values(run.settings["init"].text, 1, run.id);
  csv_writer out = run.open_csv(file);
  if (!run.status_columns()) out.leave_out("path__");
  json_file trajectory = run.open_json(save ? with_suffix(file, ".json") : "");
  stan::callbacks::writer no_init_writer;
  return stan::services::pathfinder::pathfinder_lbfgs_single(
      run.model, *inits.contexts[0], run.seed, run.id, inits.radius, m["history_size"].integer(),
      m["init_alpha"].real(), m["tol_obj"].real(), m["tol_rel_obj"].real(), m["tol_grad"].real(),
      m["tol_rel_grad"].real(), m["tol_param"].real(), m["max_lbfgs_iters"].integer(), m["num_elbo_draws"].integer(),
      m["num_draws"].integer(), save, run.refresh, run.interrupt, run.logger, no_init_writer, out, trajectory,
      m["calculate_lp"].flag());
}

int several_paths(session& run) {
  const argument& m = run.method;
  const std::string& file = run.settings["output"]["file"].text;
  bool save = m["save_single_paths"].flag();
  std::size_t paths = static_cast<std::size_t>(m["num_paths"].integer());
  initial_values inits = read_initial_values(run.settings["init"].text, paths, run.id);
  csv_writer out = run.open_csv(file);
  if (!run.status_columns()) out.leave_out("path__");
  json_file no_trajectory;
  std::vector<stan::callbacks::writer> no_init_writers(paths);
  std::vector<csv_writer> path_draws;
  std::vector<json_file> path_trajectories;
  for (std::size_t i = 0; i < paths; ++i) {
    std::string base = with_suffix(file, "_path_" + std::to_string(run.id + i));
    path_draws.push_back(run.open_csv(save ? base + ".csv" : ""));
    if (!run.status_columns()) path_draws.back().leave_out("path__");
    path_trajectories.push_back(run.open_json(save ? base + ".json" : ""));
  }
  return stan::services::pathfinder::pathfinder_lbfgs_multi(
      run.model, inits.contexts, run.seed, run.id, inits.radius, m["history_size"].integer(), m["init_alpha"].real(),
      m["tol_obj"].real(), m["tol_rel_obj"].real(), m["tol_grad"].real(), m["tol_rel_grad"].real(),
      m["tol_param"].real(), m["max_lbfgs_iters"].integer(), m["num_elbo_draws"].integer(), m["num_draws"].integer(),
      m["num_psis_draws"].integer(), m["num_paths"].integer(), save, run.refresh, run.interrupt, run.logger,
      no_init_writers, path_draws, path_trajectories, out, no_trajectory, m["calculate_lp"].flag(),
      m["psis_resample"].flag());
}

}  // namespace

int run_pathfinder(session& run) {
  return run.method["num_paths"].integer() == 1 ? single_path(run) : several_paths(run);
}

}  // namespace frontend
