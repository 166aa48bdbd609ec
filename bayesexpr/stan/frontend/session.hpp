// What a method is given: the model, the settings and the callbacks; and the methods themselves.
#ifndef FRONTEND_SESSION_HPP
#define FRONTEND_SESSION_HPP

#include <stan/callbacks/interrupt.hpp>
#include <stan/callbacks/json_writer.hpp>
#include <stan/callbacks/logger.hpp>
#include <stan/callbacks/writer.hpp>
#include <stan/model/model_base.hpp>

#include <string>
#include <vector>

#include "argument.hpp"
#include "inputs.hpp"
#include "writers.hpp"

namespace frontend {

using json_file = stan::callbacks::json_writer<output_file>;

struct session {
  stan::model::model_base& model;
  const argument& settings;  // the whole tree
  const argument& method;    // the chosen method's part of it
  unsigned seed;
  unsigned id;
  int refresh;
  stan::callbacks::interrupt& interrupt;
  stan::callbacks::logger& logger;
  std::string header;        // comment lines that open every CSV file

  int digits() const { return settings["output"]["sig_figs"].integer(); }
  bool status_columns() const { return settings["output"]["status_columns"].flag(); }
  // A CSV file that begins with the header; with an empty path a writer that swallows everything.
  csv_writer open_csv(const std::string& path) const;
  // A JSON file; with an empty path a writer that swallows everything.
  json_file open_json(const std::string& path) const;
};

// Each method returns an exit code: 0, or the error code of the service it ran.
int run_sample(session& run);
int run_optimize(session& run);
int run_variational(session& run);
int run_diagnose(session& run);
int run_generate_quantities(session& run);
int run_pathfinder(session& run);
int run_log_prob(session& run);
int run_laplace(session& run);

// The per-chain parts of a sampler run.
struct chains {
  std::size_t count;
  double init_radius;
  std::vector<context> inits;
  std::vector<context> metrics;                       // empty for the unit metric
  std::vector<stan::callbacks::writer> init_writers;  // initial values are not written
  std::vector<csv_writer> draws;
  std::vector<csv_writer> diagnostics;
  std::vector<json_file> adapted;
};

// The sampler families, one per source file because each takes long to compile.
int sample_nuts_diag(session& run, chains& chain);
int sample_nuts_dense(session& run, chains& chain);
int sample_nuts_unit(session& run, chains& chain);
int sample_static(session& run, chains& chain);
int sample_fixed_param(session& run, chains& chain);

}  // namespace frontend

#endif
