// bin/stansummary: means, quantiles, effective sample sizes and R-hat of every column of a sampler run.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>

#include "chain_files.hpp"
#include "tool_options.hpp"

namespace frontend {

namespace {

const char* usage =
    "Report statistics of one or more Stan CSV files from a sampler run.\n"
    "Example: stansummary model_chain_1.csv model_chain_2.csv\n"
    "Options:\n"
    "  -a, --autocorr [n]          Autocorrelations of the n-th file too.\n"
    "  -c, --csv_filename [file]   Write the statistics to a CSV file.\n"
    "  -h, --help                  This text.\n"
    "  -i, --include_param [name]  Only this parameter; may be given several times.\n"
    "  -p, --percentiles [values]  Comma-separated, ascending, in [0.1, 99.9]. Default 5,50,95.\n"
    "  -s, --sig_figs [n]          Significant digits, 1 to 18. Default 2.\n";

std::string number(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*g", digits, value);
  return text;
}

std::vector<double> read_percentages(const std::string& list) {
  std::vector<double> percentages;
  std::istringstream stream(list);
  for (std::string item; std::getline(stream, item, ',');) {
    if (item.find_first_not_of(" \"") == std::string::npos) continue;
    char* end = nullptr;
    double value = std::strtod(item.c_str(), &end);
    bool ascending = percentages.empty() || value > percentages.back();
    if (end == item.c_str() || !(value >= 0.1) || !(value <= 99.9) || !ascending)
      throw usage_error("Percentiles must be ascending numbers from 0.1 to 99.9, found " + list + ".");
    percentages.push_back(value);
  }
  return percentages;
}

struct table {
  std::vector<std::string> head;
  std::vector<std::string> names;
  std::vector<std::vector<double>> rows;
};

// Whether a column belongs to one of the wanted parameters: by its own name or that of its container.
bool is_wanted(const std::string& name, const tool_options& options) {
  auto [first, last] = options.values.equal_range("include_param");
  if (first == last) return true;
  return std::any_of(first, last, [&](const auto& option) {
    const std::string& wanted = option.second;
    return name == wanted || name.compare(0, wanted.size() + 1, wanted + "[") == 0 ||
           name.compare(0, wanted.size() + 1, wanted + ".") == 0;
  });
}

table summarize(const std::vector<chain_file>& chains, const std::vector<double>& percentages,
                const tool_options& options) {
  table summary;
  summary.head = {"Mean", "MCSE", "StdDev", "MAD"};
  for (double percentage : percentages) summary.head.push_back(number(percentage, 6) + "%");
  for (const char* name : {"ESS_bulk", "ESS_tail", "ESS_bulk/s", "R_hat"}) summary.head.push_back(name);
  double seconds = 0;
  for (const chain_file& chain : chains) seconds += chain.sampling_seconds;
  for (std::size_t i = 0; i < chains[0].names.size(); ++i) {
    if (!is_wanted(chains[0].names[i], options)) continue;
    column_statistics s = statistics(chains, i);
    std::vector<double> row{s.mean, s.mcse, s.sd, s.mad};
    for (double value : quantiles(chains, i, percentages)) row.push_back(value);
    for (double value : {s.ess_bulk, s.ess_tail, s.ess_bulk / seconds, s.rhat}) row.push_back(value);
    summary.names.push_back(chains[0].names[i]);
    summary.rows.push_back(row);
  }
  if (summary.rows.empty()) throw usage_error("None of the parameters asked for is in the files.");
  return summary;
}

std::string list_of(const std::vector<double>& values) {
  std::string list;
  double total = 0;
  for (double value : values) {
    list += (list.empty() ? "" : ", ") + number(value, 2);
    total += value;
  }
  return (values.size() > 1 ? "(" + list + ")" : list) + " seconds, " + number(total, 2) + " seconds total";
}

std::string title(const std::vector<chain_file>& chains) {
  const chain_file& first = chains[0];
  std::vector<double> warmup, sampling;
  for (const chain_file& chain : chains) {
    warmup.push_back(chain.warmup_seconds);
    sampling.push_back(chain.sampling_seconds);
  }
  std::ostringstream text;
  text << "Inference for Stan model: " << first.setting("model", "?") << "\n"
       << chains.size() << " chains: each with iter=" << first.setting("num_samples", "?")
       << "; warmup=" << first.setting("num_warmup", "?") << "; thin=" << first.setting("thin", "?") << "; "
       << first.columns[0].size() << " iterations saved.\n\nWarmup took " << list_of(warmup) << "\nSampling took "
       << list_of(sampling) << "\n";
  return text.str();
}

std::string closing(const chain_file& chain) {
  std::string engine = chain.setting("algorithm", "") == "hmc" ? " with " + chain.setting("engine", "nuts") : "";
  return "Samples were drawn using " + chain.setting("algorithm", "?") + engine +
         ".\nESS_bulk and ESS_tail are effective sample sizes of the whole sample and of its 5% and 95% tails;\n"
         "R_hat compares split chains and is close to 1 at convergence.\n";
}

void print_table(const table& summary, int digits) {
  std::size_t widest = 0;
  for (const std::string& name : summary.names) widest = std::max(widest, name.size());
  std::vector<std::size_t> widths;
  for (std::size_t j = 0; j < summary.head.size(); ++j) {
    std::size_t width = summary.head[j].size();
    for (const std::vector<double>& row : summary.rows) width = std::max(width, number(row[j], digits).size());
    widths.push_back(width + 2);
  }
  auto pad = [](const std::string& text, std::size_t width) { return std::string(width - text.size(), ' ') + text; };
  std::cout << std::string(widest, ' ');
  for (std::size_t j = 0; j < widths.size(); ++j) std::cout << pad(summary.head[j], widths[j]);
  std::cout << "\n\n";
  for (std::size_t i = 0; i < summary.rows.size(); ++i) {
    std::cout << summary.names[i] << std::string(widest - summary.names[i].size(), ' ');
    for (std::size_t j = 0; j < widths.size(); ++j) std::cout << pad(number(summary.rows[i][j], digits), widths[j]);
    std::cout << '\n';
  }
  std::cout << '\n';
}

// Names are quoted, for they may hold commas; the settings follow as comments.
void write_table(const table& summary, int digits, const std::string& comments, const std::string& path) {
  std::ofstream out(path);
  out << "name";
  for (const std::string& head : summary.head) out << ",\"" << head << '"';
  out << '\n';
  for (std::size_t i = 0; i < summary.rows.size(); ++i) {
    out << '"' << summary.names[i] << '"';
    for (double value : summary.rows[i]) out << ',' << number(value, digits);
    out << '\n';
  }
  std::istringstream lines(comments);
  for (std::string line; std::getline(lines, line);) out << "# " << line << '\n';
  out.close();
  if (!out.good()) throw std::runtime_error("Cannot write \"" + path + "\".");
}

void print_autocorrelations(const chain_file& chain) {
  std::size_t size = chain.columns[0].size();
  std::size_t lags = std::min<std::size_t>(size, 40);
  std::cout << "Autocorrelations by lag\n";
  for (std::size_t i = 0; i < chain.names.size(); ++i) {
    const std::vector<double>& x = chain.columns[i];
    double mean = 0, variance = 0;
    for (double value : x) mean += value / static_cast<double>(size);
    for (double value : x) variance += (value - mean) * (value - mean);
    std::cout << chain.names[i];
    for (std::size_t lag = 0; lag < lags; ++lag) {
      double sum = 0;
      for (std::size_t t = 0; t + lag < size; ++t) sum += (x[t] - mean) * (x[t + lag] - mean);
      std::cout << ' ' << number(sum / variance, 2);
    }
    std::cout << '\n';
  }
}

void run(const tool_options& options) {
  std::vector<double> percentages = read_percentages(options.get("percentiles", "5,50,95"));
  std::string figures = options.get("sig_figs", "2");
  int digits = std::atoi(figures.c_str());
  if (digits < 1 || digits > 18) throw usage_error("Option --sig_figs must be from 1 to 18, found " + figures + ".");
  std::vector<chain_file> chains = read_chain_files(options.files);
  std::size_t autocorrelated = static_cast<std::size_t>(std::atoi(options.get("autocorr", "0").c_str()));
  if (autocorrelated > chains.size())
    throw usage_error("Option --autocorr: there are " + std::to_string(chains.size()) + " files.");
  table summary = summarize(chains, percentages, options);
  std::cout << title(chains) << '\n';
  print_table(summary, digits);
  std::cout << closing(chains[0]);
  if (autocorrelated > 0) print_autocorrelations(chains[autocorrelated - 1]);
  std::string csv = options.get("csv_filename", "");
  if (!csv.empty()) write_table(summary, digits, title(chains) + closing(chains[0]), csv);
}

}  // namespace

}  // namespace frontend

int main(int argc, char* argv[]) {
  try {
    frontend::tool_options options = frontend::read_options(argc, argv,
                                                            {{'a', "autocorr"},
                                                             {'c', "csv_filename"},
                                                             {'h', "help"},
                                                             {'i', "include_param"},
                                                             {'p', "percentiles"},
                                                             {'s', "sig_figs"}});
    if (options.files.empty() || options.values.count("help") != 0) {
      std::cout << frontend::usage;
      return options.values.count("help") != 0 ? 0 : 64;
    }
    frontend::run(options);
  } catch (const frontend::usage_error& e) {
    std::cerr << e.what() << std::endl;
    return 64;
  } catch (const std::exception& e) {
    std::cerr << e.what() << std::endl;
    return 70;
  }
  return std::cout.flush().good() ? 0 : 70;
}
