/* Log density and gradient of a compiled Stan program at given points, and their time: what
   benchmarks/kernel.py measures. Compile with -DMODEL='"program.hpp"', the program's C++ as stanc writes it.

   harness DATA.json POINTS.bin OUT.bin REPEATS
     POINTS.bin  doubles, one unconstrained point after another
     OUT.bin     doubles: for each point the log density as reverse mode computes it (constants dropped, Jacobian included), that
                 in plain doubles with all constants, and the gradient
     stdout      CPU and wall seconds of one gradient at the first point, one line for each of REPEATS batches
   It takes as many threads as STAN_NUM_THREADS says.
   The density is NaN where the program rejects the point. */
#include <stan/model/model_header.hpp>
#include <stan/io/json/json_data.hpp>
#include <stan/math/prim/core/init_threadpool_tbb.hpp>
#include <stan/model/log_prob_grad.hpp>

#include MODEL

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iostream>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

namespace {

std::vector<double> read_doubles(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::vector<double> values(bytes.size() / sizeof(double));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(double));
  return values;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  stan::math::init_threadpool_tbb();
  std::ifstream json(argv[1]);
  stan::json::json_data data(json);
  const stan_model model(data, 1, &std::cerr);
  const std::vector<double> points = read_doubles(argv[2]);
  const std::size_t n = model.num_params_r();
  if (n == 0 || points.size() % n != 0) {
    std::cerr << "a point has " << n << " coordinates, the file " << points.size() << '\n';
    return 2;
  }
  std::vector<int> integers;
  std::vector<double> gradient;
  std::ofstream out(argv[3], std::ios::binary);
  const auto write = [&out](const double* p, std::size_t count) {
    out.write(reinterpret_cast<const char*>(p), static_cast<std::streamsize>(count * sizeof(double)));
  };
  for (std::size_t at = 0; at < points.size(); at += n) {
    std::vector<double> x(points.begin() + at, points.begin() + at + n);
    double value = std::numeric_limits<double>::quiet_NaN(), plain = value;
    try {
      value = stan::model::log_prob_grad<true, true>(model, x, integers, gradient, &std::cerr);
      plain = model.template log_prob<false, true>(x, integers, &std::cerr);
    } catch (const std::exception& error) {
      std::cerr << error.what() << '\n';
      gradient.assign(n, 0.0);
    }
    write(&value, 1);
    write(&plain, 1);
    write(gradient.data(), n);
  }
  std::vector<double> x(points.begin(), points.begin() + n);
  const int repeats = std::atoi(argv[4]);
  for (int batch = 0; batch < repeats; ++batch) {
    const std::clock_t start = std::clock();
    const auto begun = std::chrono::steady_clock::now();
    int done = 0;
    double seconds = 0, wall = 0;
    while (wall < 0.2) {
      stan::model::log_prob_grad<true, true>(model, x, integers, gradient, &std::cerr);
      ++done;
      seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
      wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    }
    std::cout << seconds / done << ' ' << wall / done << '\n';
  }
}
