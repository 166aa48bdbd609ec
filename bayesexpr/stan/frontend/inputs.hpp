// Reading what the command line points at: data, initial values, metrics, draws of an earlier fit.
#ifndef FRONTEND_INPUTS_HPP
#define FRONTEND_INPUTS_HPP

#include <stan/io/var_context.hpp>
#include <stan/math/prim/fun/Eigen.hpp>  // Eigen with the plug-ins that Stan gives it

#include <memory>
#include <string>
#include <vector>

#include "argument.hpp"

namespace frontend {

using context = std::unique_ptr<stan::io::var_context>;

// Variables of a JSON (*.json) or R dump file; none for an empty name. Throws usage_error when unreadable.
context read_context(const std::string& path);

// The inverse metric of a file, alone: a saved metric holds its type too, a string, which is no Stan variable.
context read_metric(const std::string& path);

// An identity metric as the variable `inv_metric`, the form in which a metric file gives it too.
context identity_metric(std::size_t size, bool dense);

// One input file per chain from a file argument: a comma-separated list, or for several chains the template
// `name_<id>.ext` where the first such file exists, or the same file for all.
std::vector<std::string> input_files(const std::string& value, std::size_t chains, unsigned first_id);

// One output file per chain: a comma-separated list, or for several chains `name_<id>.ext`.
std::vector<std::string> output_files(const std::string& value, std::size_t chains, unsigned first_id);

// `suffix` in place of a .csv or .json extension: output.csv, "_config.json" -> output_config.json.
std::string with_suffix(const std::string& path, const std::string& suffix);

// Initial values of every chain: a radius, or a context from a file.
struct initial_values {
  double radius = 2;
  std::vector<context> contexts;
};
initial_values read_initial_values(const std::string& value, std::size_t chains, unsigned first_id);

// The named columns of a Stan CSV file, draws in rows (warm-up draws that the file holds among them).
// Throws usage_error for a missing column, a short row or a word that is no number.
Eigen::MatrixXd read_csv_columns(const std::string& path, const std::vector<std::string>& columns);

}  // namespace frontend

#endif
