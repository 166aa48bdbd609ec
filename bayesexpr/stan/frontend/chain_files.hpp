// Sampler output read back: the draws and settings of several Stan CSV files of one run.
#ifndef FRONTEND_CHAIN_FILES_HPP
#define FRONTEND_CHAIN_FILES_HPP

#include <map>
#include <string>
#include <vector>

namespace frontend {

// One sampler output file; warm-up draws are left out.
struct chain_file {
  std::map<std::string, std::string> settings;  // the `name = value` comments, without "(Default)"
  std::vector<std::string> names;               // columns, indices in brackets: theta[1,2]
  std::vector<std::vector<double>> columns;     // one vector of draws per column
  double warmup_seconds = 0;
  double sampling_seconds = 0;

  std::string setting(const std::string& name, const std::string& otherwise) const;
};

// Throws usage_error for a file that cannot be read, has a short row or no draws.
chain_file read_chain_file(const std::string& path);

// All files; throws usage_error where columns or numbers of draws differ.
std::vector<chain_file> read_chain_files(const std::vector<std::string>& paths);

// The position of a column, -1 where there is none.
int find_column(const chain_file& chain, const std::string& name);

// Statistics of one column over all chains. Undefined ones (a constant column, too few draws) are NaN.
struct column_statistics {
  double mean, mcse, sd, mad;
  double ess_bulk, ess_tail, rhat;
};
column_statistics statistics(const std::vector<chain_file>& chains, std::size_t column);

// Quantiles of one column over all chains, at probabilities in percent.
std::vector<double> quantiles(const std::vector<chain_file>& chains, std::size_t column,
                              const std::vector<double>& percentages);

}  // namespace frontend

#endif
