// Entry point of every model executable: settings, data, model, method, and an honest exit code.
//
// The command line, the Stan CSV files and the JSON files are those of CmdStan (its User's Guide), and so are the
// draws for a given seed and chain identifier. Beyond it:
//
//   output binary=1 (method=sample): the CSV file keeps its comments but only the sampler's columns (lp__ to
//   energy__); all columns of the model go to <output file>.draws, row after row in the order of the CSV's rows, as
//   little-endian float32, and their names, one per line, to <output file>.names (.csv is dropped from the file's
//   name). Warm-up rows are there with save_warmup=1 only.
//
//   output status_columns=1 (method=optimize and pathfinder): the columns converged__ and path__ and optimize's last
//   comment, which CmdStan writes since 2.38. They are left out otherwise, because cmdstanpy up to 1.2 takes columns
//   by position and an optimization's last line for its estimate; the console tells how an optimization ended.
//
//   Any number of chains runs with engine=static too, one after the other.
//
// Exit code: 0; 64 for a mistake on the command line or an unreadable file; 65, 70 or 78 where a service failed, the
// model refused its data or an output file is incomplete; by the signal (128 + number in a shell) when interrupted.
#include <stan/math/prim/core/init_threadpool_tbb.hpp>
#include <stan/math/rev/core/profiling.hpp>
#include <stan/services/error_codes.hpp>
#include <stan/version.hpp>

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <memory>
#include <sstream>
#include <thread>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "build_options.hpp"
#include "control.hpp"
#include "grammar.hpp"
#include "session.hpp"

// Defined by the C++ that stanc writes for a model.
stan::model::model_base& new_model(stan::io::var_context& data, unsigned int seed, std::ostream* messages);
stan::math::profile_map& get_stan_profile_data();

namespace frontend {

csv_writer session::open_csv(const std::string& path) const {
  if (path.empty()) return csv_writer();
  auto file = std::make_unique<output_file>(path, digits());
  *file << header << std::flush;
  return csv_writer(std::move(file));
}

json_file session::open_json(const std::string& path) const {
  if (path.empty()) return json_file();
  return json_file(std::make_unique<output_file>(path, digits()));
}

namespace {

// Large models allocate and release tens of megabytes per gradient. Keeping them from the kernel's hands
// (no mmap per block, no trimming of the heap's end) was measured at 1.6 times the speed.
void keep_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 2000000000);
  mallopt(M_TOP_PAD, 64 << 20);
#endif
}

unsigned seed_from_time() {
  auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<unsigned>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

int threads_from_environment() {
  const char* value = std::getenv("STAN_NUM_THREADS");
  return value == nullptr || *value == '\0' ? 1 : std::atoi(value);
}

std::string start_time() {
  std::time_t now = std::time(nullptr);
  char text[40];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", std::gmtime(&now));
  return text;
}

std::string version_lines(const std::string& prefix) {
  return prefix + "stan_version_major = " + stan::MAJOR_VERSION + "\n" + prefix +
         "stan_version_minor = " + stan::MINOR_VERSION + "\n" + prefix +
         "stan_version_patch = " + stan::PATCH_VERSION + "\n";
}

std::string header_lines(const argument& settings, const stan::model::model_base& model, const std::string& started) {
  std::ostringstream header;
  header << version_lines("# ") << "# model = " << model.model_name() << "\n# start_datetime = " << started << "\n";
  print(settings, header, "# ");
  for (const std::string& line : model.model_compile_info()) header << "# " << line << "\n";
  return header.str();
}

void write_settings(const argument& node, json_file& json) {
  using kind = argument::kind;
  if (node.extension && node.is_default()) return;
  switch (node.type) {
    case kind::group:
      json.begin_record(node.name);
      for (const argument& member : node.members) write_settings(member, json);
      json.end_record();
      break;
    case kind::choice:
      json.begin_record(node.name);
      json.write("value", node.text);
      if (!node.chosen().members.empty()) write_settings(node.chosen(), json);
      json.end_record();
      break;
    case kind::flag: json.write(node.name, node.flag()); break;
    case kind::integer: json.write(node.name, static_cast<long long>(node.number)); break;  // NOLINT(runtime/int)
    case kind::real: json.write(node.name, node.real()); break;
    case kind::text: json.write(node.name, node.text); break;
  }
}

void save_configuration(const session& run, const std::string& started) {
  const std::string& files = run.settings["output"]["file"].text;
  json_file json = run.open_json(with_suffix(files.substr(0, files.find(',')), "_config.json"));
  json.begin_record();
  json.write("stan_major_version", stan::MAJOR_VERSION);
  json.write("stan_minor_version", stan::MINOR_VERSION);
  json.write("stan_patch_version", stan::PATCH_VERSION);
  json.write("model_name", run.model.model_name());
  json.write("start_datetime", started);
  for (const argument& member : run.settings.members) write_settings(member, json);
  json.write("mpi_enabled", false);
  for (const std::string& line : run.model.model_compile_info()) {
    std::size_t equals = line.find(" = ");
    if (equals != std::string::npos) json.write(line.substr(0, equals), line.substr(equals + 3));
  }
  json.end_record();
}

void save_profile(const std::string& path, int digits) {
  stan::math::profile_map& profiles = get_stan_profile_data();
  if (profiles.empty()) return;
  output_file out(path, digits);
  out << "name,thread_id,total_time,forward_time,reverse_time,chain_stack,no_chain_stack,autodiff_calls,"
         "no_autodiff_calls\n";
  for (const auto& [key, profile] : profiles)
    out << key.first << ',' << key.second << ',' << profile.get_fwd_time() + profile.get_rev_time() << ','
        << profile.get_fwd_time() << ',' << profile.get_rev_time() << ',' << profile.get_chain_stack_used() << ','
        << profile.get_nochain_stack_used() << ',' << profile.get_num_rev_passes() << ','
        << profile.get_num_no_AD_fwd_passes() << '\n';
}

int run_method(session& run) {
  const std::string& name = run.method.name;
  if (name == "sample") return run_sample(run);
  if (name == "optimize") return run_optimize(run);
  if (name == "variational") return run_variational(run);
  if (name == "diagnose") return run_diagnose(run);
  if (name == "generate_quantities") return run_generate_quantities(run);
  if (name == "pathfinder") return run_pathfinder(run);
  if (name == "log_prob") return run_log_prob(run);
  return run_laplace(run);
}

// `info`: what the executable was made of, in the words that interfaces look for.
void print_info() {
  std::cout << version_lines("") << "STAN_THREADS=" << (built_with_threads ? "true" : "false")
            << "\nSTAN_MPI=false\nSTAN_OPENCL=false\nSTAN_NO_RANGE_CHECKS="
            << (built_without_range_checks ? "true" : "false") << "\nSTAN_CPP_OPTIMS=false\n";
}

int run(const std::vector<std::string>& words) {
  argument settings = grammar(seed_from_time(), threads_from_environment());
  if (!words.empty() && (words.back() == "help" || words.back() == "help-all")) {
    if (words.size() > 1) parse(settings, {words.begin(), words.end() - 1});
    bool top = words.size() == 1;
    const argument& shown = top ? settings : settings["method"].chosen();
    std::cout << "Usage: <model> <method> [argument=value ...] [group argument=value ...]\n\n";
    print_help(shown, std::cout, words.back() == "help-all");
    return stan::services::error_codes::OK;
  }
  if (words.size() == 1 && words[0] == "info") {
    print_info();
    return stan::services::error_codes::OK;
  }
  if (words.empty()) throw usage_error("Give a method and its arguments; `help` lists them.");
  parse(settings, words);

  argument& seed = const_cast<argument&>(settings["random"]["seed"]);
  if (seed.number == -1) seed.number = seed.default_number;
  int threads = settings["num_threads"].integer();
  stan::math::init_threadpool_tbb(threads == 0 ? 1 : threads);

  std::string started = start_time();
  context data = read_context(settings["data"]["file"].text);
  std::unique_ptr<stan::model::model_base> model(&new_model(*data, seed.unsigned_integer(), &std::cout));
  data.reset();  // may be large, and is not needed again

  print(settings, std::cout, "");
  std::cout << std::endl;
  stop_on_request interrupt;
  terminal_logger logger;
  session current{*model,
                  settings,
                  settings["method"].chosen(),
                  seed.unsigned_integer(),
                  settings["id"].unsigned_integer(),
                  settings["output"]["refresh"].integer(),
                  interrupt,
                  logger,
                  header_lines(settings, *model, started)};
  if (settings["output"]["save_cmdstan_config"].flag()) save_configuration(current, started);
  int code = run_method(current);
  save_profile(settings["output"]["profile_file"].text, current.digits());
  return code;
}

}  // namespace

}  // namespace frontend

int main(int argc, char* argv[]) {
  using stan::services::error_codes;
  frontend::keep_memory();
  frontend::catch_signals();
  int code = error_codes::SOFTWARE;
  try {
    code = frontend::run({argv + 1, argv + argc});
  } catch (const frontend::usage_error& e) {
    std::cerr << e.what() << std::endl;
    code = error_codes::USAGE;
  } catch (const std::exception& e) {
    std::cerr << e.what() << std::endl;
  }
  frontend::die_by_signal();
  if (frontend::output_failed()) {
    std::cerr << "Output is incomplete: " << frontend::output_failure() << std::endl;
    if (code == error_codes::OK) code = error_codes::SOFTWARE;
  }
  std::cout.flush();
  if (code == error_codes::OK && !std::cout.good()) {
    std::cerr << "Output is incomplete: cannot write to standard output" << std::endl;
    code = error_codes::SOFTWARE;
  }
  return code;
}
