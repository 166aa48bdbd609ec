#include "chain_files.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "argument.hpp"

namespace frontend {

namespace {

std::string trim(const std::string& text) {
  std::size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

// theta.1.2 -> theta[1,2]; the parts of a tuple, parted by colons, each get their own brackets
std::string bracketed(const std::string& name) {
  std::string pretty;
  std::istringstream parts(name);
  for (std::string part; std::getline(parts, part, ':');) {
    std::size_t dot = part.find('.');
    if (dot != std::string::npos) {
      std::replace(part.begin(), part.end(), '.', ',');
      part[dot] = '[';
      part += ']';
    }
    pretty += pretty.empty() ? part : "." + part;
  }
  return pretty;
}

void read_comment(const std::string& line, chain_file& chain) {
  std::string text = trim(line.substr(1));
  std::size_t seconds = text.find(" seconds (");
  if (seconds != std::string::npos) {
    std::size_t colon = text.find(':');
    double value = std::strtod(text.c_str() + (colon == std::string::npos ? 0 : colon + 1), nullptr);
    if (text.find("(Warm-up)") != std::string::npos) chain.warmup_seconds = value;
    if (text.find("(Sampling)") != std::string::npos) chain.sampling_seconds = value;
    return;
  }
  std::size_t equals = text.find(" =");
  if (equals == std::string::npos) return;
  std::string value = trim(text.substr(equals + 2));
  const std::string mark = "(Default)";
  if (value.size() >= mark.size() && value.compare(value.size() - mark.size(), mark.size(), mark) == 0)
    value = trim(value.substr(0, value.size() - mark.size()));
  chain.settings[text.substr(0, equals)] = value;
}

void read_row(const std::string& line, const std::string& path, std::size_t number, chain_file& chain) {
  const char* at = line.c_str();
  for (std::size_t i = 0; i < chain.columns.size(); ++i) {
    char* end = nullptr;
    double value = std::strtod(at, &end);
    char expected = i + 1 == chain.columns.size() ? '\0' : ',';
    while (*end == ' ' || *end == '\r') ++end;
    if (end == at || *end != expected)
      throw usage_error("Error reading \"" + path + "\", line " + std::to_string(number) + ": expected " +
                        std::to_string(chain.columns.size()) + " numbers.");
    chain.columns[i].push_back(value);
    at = end + 1;
  }
}

}  // namespace

std::string chain_file::setting(const std::string& name, const std::string& otherwise) const {
  auto found = settings.find(name);
  return found == settings.end() ? otherwise : found->second;
}

chain_file read_chain_file(const std::string& path) {
  std::ifstream in(path);
  if (!in.good()) throw usage_error("Cannot open \"" + path + "\": " + std::strerror(errno));
  chain_file chain;
  std::size_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.empty()) continue;
    if (line[0] == '#') {
      if (line.find("Adaptation terminated") != std::string::npos)
        for (std::vector<double>& column : chain.columns) column.clear();
      else
        read_comment(line, chain);
    } else if (chain.names.empty()) {
      std::istringstream header(line);
      for (std::string name; std::getline(header, name, ',');) chain.names.push_back(bracketed(trim(name)));
      chain.columns.resize(chain.names.size());
    } else {
      read_row(line, path, number, chain);
    }
  }
  if (chain.columns.empty() || chain.columns[0].empty()) throw usage_error("No draws in \"" + path + "\".");
  return chain;
}

std::vector<chain_file> read_chain_files(const std::vector<std::string>& paths) {
  std::vector<chain_file> chains;
  for (const std::string& path : paths) {
    chains.push_back(read_chain_file(path));
    if (chains.back().names != chains.front().names)
      throw usage_error("Columns of \"" + path + "\" differ from those of \"" + paths.front() + "\".");
    if (chains.back().columns[0].size() != chains.front().columns[0].size())
      throw usage_error("Number of draws in \"" + path + "\" differs from that in \"" + paths.front() + "\".");
  }
  return chains;
}

int find_column(const chain_file& chain, const std::string& name) {
  auto found = std::find(chain.names.begin(), chain.names.end(), name);
  return found == chain.names.end() ? -1 : static_cast<int>(found - chain.names.begin());
}

}  // namespace frontend
