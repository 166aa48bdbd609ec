// The one file of the tools that needs Stan's headers.
#include <stan/analyze/mcmc/mcse.hpp>
#include <stan/analyze/mcmc/split_rank_normalized_ess.hpp>
#include <stan/analyze/mcmc/split_rank_normalized_rhat.hpp>

#include <algorithm>
#include <cmath>

#include "chain_files.hpp"

namespace frontend {

namespace {

// A normal standard deviation is this many median absolute deviations.
const double mad_scale = 1.4826;

Eigen::MatrixXd draws_of(const std::vector<chain_file>& chains, std::size_t column) {
  Eigen::Index rows = static_cast<Eigen::Index>(chains[0].columns[column].size());
  Eigen::MatrixXd draws(rows, static_cast<Eigen::Index>(chains.size()));
  for (std::size_t i = 0; i < chains.size(); ++i)
    draws.col(static_cast<Eigen::Index>(i)) = Eigen::Map<const Eigen::VectorXd>(chains[i].columns[column].data(), rows);
  return draws;
}

// Linear interpolation between order statistics (definition 7 of Hyndman & Fan 1996).
double quantile(const std::vector<double>& sorted, double probability) {
  double place = probability * static_cast<double>(sorted.size() - 1);
  std::size_t below = static_cast<std::size_t>(place);
  std::size_t next = std::min(below + 1, sorted.size() - 1);
  double share = place - static_cast<double>(below);
  // equal neighbours may be infinite
  return sorted[below] == sorted[next] ? sorted[below] : sorted[below] * (1 - share) + sorted[next] * share;
}

std::vector<double> sorted_values(const Eigen::MatrixXd& draws) {
  std::vector<double> values(draws.data(), draws.data() + draws.size());
  std::sort(values.begin(), values.end());
  return values;
}

}  // namespace

column_statistics statistics(const std::vector<chain_file>& chains, std::size_t column) {
  const double undefined = std::numeric_limits<double>::quiet_NaN();
  Eigen::MatrixXd draws = draws_of(chains, column);
  column_statistics s{undefined, undefined, undefined, undefined, undefined, undefined, undefined};
  s.mean = draws.mean();
  if (!draws.allFinite()) return s;
  if (draws.size() > 1)
    s.sd = std::sqrt((draws.array() - s.mean).square().sum() / static_cast<double>(draws.size() - 1));
  double median = quantile(sorted_values(draws), 0.5);
  s.mad = mad_scale * quantile(sorted_values((draws.array() - median).abs().matrix()), 0.5);
  s.mcse = stan::analyze::mcse_mean(stan::analyze::split_chains(draws));
  std::tie(s.ess_bulk, s.ess_tail) = stan::analyze::split_rank_normalized_ess(draws);
  auto [bulk, tail] = stan::analyze::split_rank_normalized_rhat(draws);
  s.rhat = std::isnan(bulk) || std::isnan(tail) ? undefined : std::max(bulk, tail);
  return s;
}

std::vector<double> quantiles(const std::vector<chain_file>& chains, std::size_t column,
                              const std::vector<double>& percentages) {
  Eigen::MatrixXd draws = draws_of(chains, column);
  std::vector<double> found;
  if (draws.array().isNaN().any()) return std::vector<double>(percentages.size(), std::nan(""));
  std::vector<double> sorted = sorted_values(draws);
  for (double percentage : percentages) found.push_back(quantile(sorted, percentage / 100));
  return found;
}

}  // namespace frontend
