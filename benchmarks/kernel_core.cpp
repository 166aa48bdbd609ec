/* Time of the numerical core alone on a program's data: what kernel_harness.cpp measures without Stan around it.

   core DATA.json REPEATS    CPU seconds of one value and gradient, one line for each of REPEATS batches */
#include <stan/io/json/json_data.hpp>

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "negative_binomial_de_core.hpp"

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::ifstream json(argv[1]);
  stan::json::json_data data(json);
  const auto size = [&data](const char* name) { return static_cast<std::size_t>(data.vals_i(name).front()); };
  const std::size_t G = size("G"), S = size("S"), K = size("K"), R = size("R"), C = size("C"), J = size("J"), P = size("P");

  // arrays of matrices come with their first index fastest
  const std::vector<int> flat_count = data.vals_i("count");
  std::vector<std::vector<std::int32_t>> count(S, std::vector<std::int32_t>(G));
  std::vector<const std::int32_t*> counts;
  for (std::size_t s = 0; s < S; ++s) {
    for (std::size_t g = 0; g < G; ++g) count[s][g] = flat_count[s + S * g];
    counts.push_back(count[s].data());
  }
  const auto split = [](const std::vector<double>& flat, std::size_t matrices) {
    std::vector<std::vector<double>> out(matrices, std::vector<double>(flat.size() / matrices));
    for (std::size_t i = 0; i < flat.size(); ++i) out[i % matrices][i / matrices] = flat[i];
    return out;
  };
  const auto designs = split(data.vals_r("component_design"), C), slopes = split(data.vals_r("slope"), P);
  std::vector<const double*> design, slope;
  for (const auto& matrix : designs) design.push_back(matrix.data());
  for (const auto& matrix : slopes) slope.push_back(matrix.data());
  const std::vector<double> nuisance = data.vals_r("nuisance_design"), length = data.vals_r("log_length"),
                            center = data.vals_r("center"), scale = data.vals_r("scale"),
                            log_f = data.vals_r("log_size_factor");
  const bx_nbde_sizes sizes{static_cast<int64_t>(G), static_cast<int64_t>(S), static_cast<int64_t>(K),
                            static_cast<int64_t>(R), static_cast<int64_t>(C), static_cast<int64_t>(P - 1 - K - R)};
  bx_nbde_data* core =
      bx_nbde_prepare(&sizes, counts.data(), length.data(), 1, static_cast<int64_t>(S), design.data(), nuisance.data());

  std::mt19937_64 random(1);
  std::normal_distribution<double> normal(0, 0.1);
  std::vector<double> z(G * P), shift(P * J), d_z(G * P), d_shift(P * J), m(K, 0.1), log_weight(C, -1.0), tau(R, 0.5),
      d_m(K), d_log_weight(C), d_tau(R), d_log_f(S);
  for (double& x : z) x = normal(random);
  for (double& x : shift) x = normal(random);
  const bx_nbde_map map{static_cast<int64_t>(J), center.data(), scale.data(), slope.data(), shift.data()};
  const bx_nbde_hyper hyper{4.0, 4.0, 2.0, -3.0, 0.7, 0.6, 0.5, m.data(), log_weight.data(), tau.data(), log_f.data()};
  bx_nbde_hyper_gradient gradient{};
  gradient.m = d_m.data(), gradient.log_weight = d_log_weight.data();
  gradient.tau = d_tau.data(), gradient.log_f = d_log_f.data();
  double total = 0;
  for (int batch = 0; batch < std::atoi(argv[2]); ++batch) {
    const std::clock_t start = std::clock();
    int done = 0;
    double seconds = 0;
    while (seconds < 0.2) {
      total += bx_nbde_genes(core, &map, z.data(), &hyper, 0, d_z.data(), d_shift.data(), &gradient);
      ++done;
      seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    }
    std::cout << seconds / done << '\n';
  }
  bx_nbde_release(core);
  return total == total ? 0 : 1;
}
