// The methods that evaluate the model at given parameters: generate_quantities, log_prob, laplace, diagnose.
#include <stan/model/log_prob_grad.hpp>
#include <stan/services/diagnose/diagnose.hpp>
#include <stan/services/error_codes.hpp>
#include <stan/services/optimize/laplace_sample.hpp>
#include <stan/services/sample/standalone_gqs.hpp>

#include <algorithm>
#include <iostream>
#include <type_traits>

#include "session.hpp"

namespace frontend {

namespace {

std::vector<std::string> parameter_columns(const stan::model::model_base& model) {
  std::vector<std::string> names;
  model.constrained_param_names(names, false, false);
  return names;
}

bool is_csv(const std::string& path) {
  return path.size() >= 4 && path.compare(path.size() - 4, 4, ".csv") == 0;
}

// Every parameter set of a Stan CSV, JSON or R dump file on the constrained scale, unconstrained.
std::vector<std::vector<double>> read_constrained(const stan::model::model_base& model, const std::string& path) {
  std::vector<std::vector<double>> sets;
  std::vector<int> no_integers;
  if (!is_csv(path)) {
    sets.emplace_back();
    model.transform_inits(*read_context(path), no_integers, sets.back(), &std::cout);
    return sets;
  }
  Eigen::MatrixXd draws = read_csv_columns(path, parameter_columns(model));
  for (Eigen::Index i = 0; i < draws.rows(); ++i) {
    Eigen::RowVectorXd row = draws.row(i);
    sets.emplace_back();
    model.unconstrain_array(std::vector<double>(row.data(), row.data() + row.size()), sets.back(), &std::cout);
  }
  return sets;
}

// The variable params_r: one set of unconstrained parameters, or one per row.
std::vector<std::vector<double>> read_unconstrained(const stan::model::model_base& model, const std::string& path) {
  context file = read_context(path);
  if (!file->contains_r("params_r")) throw usage_error("File \"" + path + "\" has no variable params_r.");
  std::vector<double> values = file->vals_r("params_r");  // column-major
  std::vector<std::size_t> dims = file->dims_r("params_r");
  std::size_t rows = dims.size() == 2 ? dims[0] : 1;
  std::size_t size = rows == 0 ? 0 : values.size() / rows;
  if (size != model.num_params_r() || dims.size() > 2)
    throw usage_error("params_r in \"" + path + "\" has " + std::to_string(size) + " values, the model has " +
                      std::to_string(model.num_params_r()) + " unconstrained parameters.");
  std::vector<std::vector<double>> sets(rows, std::vector<double>(size));
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < size; ++j) sets[i][j] = values[j * rows + i];
  return sets;
}

}  // namespace

int run_generate_quantities(session& run) {
  std::size_t count = static_cast<std::size_t>(run.method["num_chains"].integer());
  const std::string& fitted = run.method["fitted_params"].text;
  if (fitted.empty()) throw usage_error("generate_quantities needs fitted_params=<Stan CSV file>.");
  std::vector<std::string> columns = parameter_columns(run.model);
  std::vector<Eigen::MatrixXd> draws;
  for (const std::string& path : input_files(fitted, count, run.id)) draws.push_back(read_csv_columns(path, columns));
  std::vector<csv_writer> out;
  for (const std::string& path : output_files(run.settings["output"]["file"].text, count, run.id))
    out.push_back(run.open_csv(path));
  return stan::services::standalone_generate(run.model, static_cast<int>(count), draws, run.seed, run.interrupt,
                                             run.logger, out);
}

int run_log_prob(session& run) {
  const std::string& constrained = run.method["constrained_params"].text;
  const std::string& unconstrained = run.method["unconstrained_params"].text;
  if (constrained.empty() == unconstrained.empty())
    throw usage_error("log_prob needs either constrained_params=<file> or unconstrained_params=<file>, not both.");
  bool jacobian = run.method["jacobian"].flag();
  auto sets = constrained.empty() ? read_unconstrained(run.model, unconstrained)
                                  : read_constrained(run.model, constrained);
  csv_writer out = run.open_csv(run.settings["output"]["file"].text);
  std::vector<std::string> names{"lp__"};
  run.model.unconstrained_param_names(names, false, false);
  out(names);
  std::vector<int> no_integers;
  for (std::vector<double>& parameters : sets) {
    run.interrupt();
    std::vector<double> row;
    double lp = jacobian ? stan::model::log_prob_grad<true, true>(run.model, parameters, no_integers, row, &std::cout)
                         : stan::model::log_prob_grad<true, false>(run.model, parameters, no_integers, row, &std::cout);
    row.insert(row.begin(), lp);
    out(row);
  }
  return stan::services::error_codes::OK;
}

int run_laplace(session& run) {
  const std::string& mode = run.method["mode"].text;
  if (mode.empty()) throw usage_error("laplace needs mode=<JSON or Stan CSV file>.");
  auto sets = read_constrained(run.model, mode);
  if (sets.empty()) throw usage_error("File \"" + mode + "\" holds no parameters.");
  // of an optimization with saved iterations the last row is the mode
  Eigen::VectorXd at = Eigen::Map<Eigen::VectorXd>(sets.back().data(), static_cast<Eigen::Index>(sets.back().size()));
  csv_writer out = run.open_csv(run.settings["output"]["file"].text);
  json_file hessian = run.open_json(run.settings["output"]["diagnostic_file"].text);
  auto sample = [&](auto jacobian) {
    return stan::services::laplace_sample<decltype(jacobian)::value>(
        run.model, at, run.method["draws"].integer(), run.method["calculate_lp"].flag(), run.seed, run.refresh,
        run.interrupt, run.logger, out, hessian);
  };
  return run.method["jacobian"].flag() ? sample(std::true_type{}) : sample(std::false_type{});
}

int run_diagnose(session& run) {
  initial_values inits = read_initial_values(run.settings["init"].text, 1, run.id);
  csv_writer out = run.open_csv(run.settings["output"]["file"].text);
  stan::callbacks::writer no_init_writer;
  const argument& gradient = run.method["test"]["gradient"];
  int failed = stan::services::diagnose::diagnose(run.model, *inits.contexts[0], run.seed, run.id, inits.radius,
                                                  gradient["epsilon"].real(), gradient["error"].real(), run.interrupt,
                                                  run.logger, no_init_writer, out);
  return std::min(failed, 125);  // codes above mean a signal
}

}  // namespace frontend
