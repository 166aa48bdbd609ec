// bin/diagnose: does a sampler run show signs of trouble? Tree depth, divergences, E-BFMI, effective sizes, R-hat.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "chain_files.hpp"
#include "tool_options.hpp"

namespace frontend {

namespace {

// Below 0.3 the energy is explored too slowly (Betancourt 2016, arXiv:1604.00695).
const double least_ebfmi = 0.3;
// Vehtari et al. (2021), doi:10.1214/20-BA1221.
const double largest_rhat = 1.01;
// Gelman et al. (2013), Bayesian Data Analysis, section 11.5: five per half chain.
const double least_ess_per_chain = 10;

const char* usage = "Check one or more Stan CSV files from a sampler run.\nExample: diagnose model_chain_1.csv\n";

std::string number(double value, const char* format) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

struct tally {
  std::size_t hits = 0;
  std::size_t all = 0;
  std::string share() const {
    return std::to_string(hits) + " of " + std::to_string(all) + " (" +
           number(100.0 * static_cast<double>(hits) / static_cast<double>(all), "%.2f") + "%)";
  }
};

template <typename Test>
tally count(const std::vector<chain_file>& chains, int column, Test test) {
  tally counted;
  for (const chain_file& chain : chains)
    for (double value : chain.columns[static_cast<std::size_t>(column)]) {
      ++counted.all;
      if (test(value)) ++counted.hits;
    }
  return counted;
}

bool check_treedepth(const std::vector<chain_file>& chains, int column) {
  std::string limit = chains[0].setting("max_depth", "10");
  double depth = std::strtod(limit.c_str(), nullptr);
  std::cout << "Checking sampler transitions treedepth.\n";
  tally capped = count(chains, column, [depth](double value) { return value >= depth; });
  if (capped.hits == 0) {
    std::cout << "Treedepth satisfactory for all transitions.\n\n";
    return true;
  }
  std::cout << capped.share() << " transitions hit the maximum treedepth limit of " << limit << ", or 2^" << limit
            << " leapfrog steps.\nTrajectories that are prematurely terminated due to this limit will result in slow "
               "exploration.\nFor optimal performance, increase this limit.\n\n";
  return false;
}

bool check_divergences(const std::vector<chain_file>& chains, int column) {
  std::cout << "Checking sampler transitions for divergences.\n";
  tally diverged = count(chains, column, [](double value) { return value > 0; });
  if (diverged.hits == 0) {
    std::cout << "No divergent transitions found.\n\n";
    return true;
  }
  std::cout << diverged.share()
            << " transitions ended with a divergence.\nThe sampler did not reach every part of the posterior, and "
               "estimates may be biased.\nTry an adapt delta closer to 1; if divergences remain, reparameterize the "
               "model.\n\n";
  return false;
}

// Mean squared change of the energy between draws, over its variance.
double ebfmi(const std::vector<double>& energy) {
  double mean = 0, variance = 0, change = 0;
  for (double value : energy) mean += value / static_cast<double>(energy.size());
  for (double value : energy) variance += (value - mean) * (value - mean);
  for (std::size_t i = 1; i < energy.size(); ++i) change += (energy[i] - energy[i - 1]) * (energy[i] - energy[i - 1]);
  return change / variance;
}

bool check_energy(const std::vector<chain_file>& chains, int column) {
  std::cout << "Checking E-BFMI - sampler transitions HMC potential energy.\n";
  bool fine = true;
  for (std::size_t i = 0; i < chains.size(); ++i) {
    double found = ebfmi(chains[i].columns[static_cast<std::size_t>(column)]);
    if (!(found < least_ebfmi)) continue;
    std::cout << "Chain " << i + 1 << ": the E-BFMI, " << number(found, "%.2f")
              << ", is below the nominal threshold of " << number(least_ebfmi, "%.2f")
              << ": the sampler explores the posterior's tails too slowly.\n";
    fine = false;
  }
  std::cout << (fine ? "E-BFMI satisfactory.\n\n" : "If possible, reparameterize the model.\n\n");
  return fine;
}

std::string list_of(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "  " : ", ") + name;
  return list;
}

bool check_mixing(const std::vector<chain_file>& chains) {
  std::vector<std::string> few, high;
  for (std::size_t i = 0; i < chains[0].names.size(); ++i) {
    const std::string& name = chains[0].names[i];
    bool of_sampler = name.size() > 2 && name.compare(name.size() - 2, 2, "__") == 0;
    if (of_sampler) continue;
    column_statistics s = statistics(chains, i);  // NaN for a constant column, which passes
    if (s.ess_bulk < least_ess_per_chain * static_cast<double>(chains.size())) few.push_back(name);
    if (s.rhat > largest_rhat) high.push_back(name);
  }
  if (few.empty())
    std::cout << "Rank-normalized split effective sample size satisfactory for all parameters.\n\n";
  else
    std::cout << "The following parameters had fewer than " << least_ess_per_chain
              << " effective draws per chain (rank-normalized, split):\n"
              << list_of(few) << "\nTheir estimates, and these diagnostics too, are imprecise. Run longer.\n\n";
  if (high.empty())
    std::cout << "Rank-normalized split R-hat values satisfactory for all parameters.\n\n";
  else
    std::cout << "The following parameters had rank-normalized split R-hat greater than " << largest_rhat << ":\n"
              << list_of(high)
              << "\nThe chains disagree: estimates are biased. Run longer, or reparameterize the model.\n\n";
  return few.empty() && high.empty();
}

void run(const std::vector<std::string>& files) {
  std::vector<chain_file> chains = read_chain_files(files);
  bool fine = true;
  int treedepth = find_column(chains[0], "treedepth__");
  int divergent = find_column(chains[0], "divergent__");
  int energy = find_column(chains[0], "energy__");
  if (treedepth >= 0) fine = check_treedepth(chains, treedepth) && fine;
  if (divergent >= 0) fine = check_divergences(chains, divergent) && fine;
  if (energy >= 0) fine = check_energy(chains, energy) && fine;
  fine = check_mixing(chains) && fine;
  std::cout << (fine ? "Processing complete, no problems detected.\n" : "Processing complete.\n");
}

}  // namespace

}  // namespace frontend

int main(int argc, char* argv[]) {
  try {
    frontend::tool_options options = frontend::read_options(argc, argv, {{'h', "help"}});
    if (options.files.empty() || options.values.count("help") != 0) {
      std::cout << frontend::usage;
      return options.values.count("help") != 0 ? 0 : 64;
    }
    frontend::run(options.files);
  } catch (const std::exception& e) {
    std::cerr << e.what() << std::endl;
    return 64;
  }
  return std::cout.flush().good() ? 0 : 70;
}
