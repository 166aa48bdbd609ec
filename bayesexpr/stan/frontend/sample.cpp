// method=sample: files and initial states of all chains, then the sampler that was asked for.
#include <stan/services/error_codes.hpp>

#include "session.hpp"

namespace frontend {

namespace {

std::vector<context> read_metrics(const session& run, std::size_t count, const std::string& metric) {
  std::vector<context> metrics;
  if (metric == "unit_e") return metrics;
  const std::string& file = run.method["algorithm"]["hmc"]["metric_file"].text;
  for (const std::string& path : input_files(file, count, run.id))
    metrics.push_back(path.empty() ? identity_metric(run.model.num_params_r(), metric == "dense_e")
                                   : read_metric(path));
  return metrics;
}

void open_files(const session& run, chains& chain) {
  const argument& output = run.settings["output"];
  std::vector<std::string> files = output_files(output["file"].text, chain.count, run.id);
  std::vector<std::string> diagnostics = output_files(output["diagnostic_file"].text, chain.count, run.id);
  const argument& adapt = run.method["adapt"];
  const argument& algorithm = run.method["algorithm"];
  bool is_nuts = algorithm.text == "hmc" && algorithm["hmc"]["engine"].text == "nuts";
  bool save_metric = is_nuts && adapt["engaged"].flag() && adapt["save_metric"].flag();
  std::vector<std::string> model_columns;
  run.model.constrained_param_names(model_columns, true, true);
  for (std::size_t i = 0; i < chain.count; ++i) {
    chain.draws.push_back(run.open_csv(files[i]));
    if (output["binary"].flag()) chain.draws[i].split_model_columns(with_suffix(files[i], ""), model_columns.size());
    chain.diagnostics.push_back(run.open_csv(diagnostics[i]));
    chain.adapted.push_back(run.open_json(save_metric ? with_suffix(files[i], "_metric.json") : ""));
  }
}

int dispatch(session& run, chains& chain) {
  const argument& algorithm = run.method["algorithm"];
  if (algorithm.text == "fixed_param") return sample_fixed_param(run, chain);
  if (algorithm["hmc"]["engine"].text == "static") return sample_static(run, chain);
  const std::string& metric = algorithm["hmc"]["metric"].text;
  if (metric == "unit_e") return sample_nuts_unit(run, chain);
  return metric == "dense_e" ? sample_nuts_dense(run, chain) : sample_nuts_diag(run, chain);
}

}  // namespace

int run_sample(session& run) {
  chains chain;
  chain.count = static_cast<std::size_t>(run.method["num_chains"].integer());
  initial_values inits = read_initial_values(run.settings["init"].text, chain.count, run.id);
  chain.init_radius = inits.radius;
  chain.inits = std::move(inits.contexts);
  if (run.method["algorithm"].text == "hmc")
    chain.metrics = read_metrics(run, chain.count, run.method["algorithm"]["hmc"]["metric"].text);
  chain.init_writers.resize(chain.count);
  open_files(run, chain);
  int code = dispatch(run, chain);
  // a sampler whose step size cannot be initialized says so and returns as if all were well
  for (const csv_writer& draws : chain.draws)
    if (code == stan::services::error_codes::OK && !draws.started()) code = stan::services::error_codes::SOFTWARE;
  return code;
}

}  // namespace frontend
