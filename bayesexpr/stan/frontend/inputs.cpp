#include "inputs.hpp"

#include <rapidjson/document.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <stan/io/array_var_context.hpp>
#include <stan/io/dump.hpp>
#include <stan/io/empty_var_context.hpp>
#include <stan/io/json/json_data.hpp>

namespace frontend {

namespace {

bool ends_with(const std::string& text, const std::string& ending) {
  return text.size() >= ending.size() && text.compare(text.size() - ending.size(), ending.size(), ending) == 0;
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  std::istringstream stream(list);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

bool exists(const std::string& path) { return std::ifstream(path).good(); }

// name.ext -> name_<tag>.ext; only a dot in the last component starts an extension
std::string tagged(const std::string& path, const std::string& tag) {
  std::size_t slash = path.rfind('/');
  std::size_t dot = path.rfind('.');
  if (dot == std::string::npos || (slash != std::string::npos && dot < slash)) return path + "_" + tag;
  return path.substr(0, dot) + "_" + tag + path.substr(dot);
}

std::vector<std::string> listed_files(const std::string& value, std::size_t chains) {
  std::vector<std::string> files = split(value);
  if (files.size() != chains)
    throw usage_error("Found " + std::to_string(files.size()) + " comma-separated file names in \"" + value +
                      "\" for " + std::to_string(chains) + " chains; give one name, or one per chain.");
  return files;
}

usage_error unreadable(const std::string& path) {
  return usage_error("Can't open specified file, \"" + path + "\": " + std::strerror(errno));
}

double parse_number(const std::string& field, const std::string& path, std::size_t line) {
  errno = 0;
  char* end = nullptr;
  double value = std::strtod(field.c_str(), &end);
  while (end != nullptr && (*end == ' ' || *end == '\r')) ++end;
  if (field.empty() || end == field.c_str() || *end != '\0')
    throw usage_error("Error reading draws from sample csv file " + path + ", line " + std::to_string(line) + ": \"" +
                      field + "\" is not a number.");
  return value;
}

}  // namespace

context read_context(const std::string& path) {
  if (path.empty()) return std::make_unique<stan::io::empty_var_context>();
  std::ifstream in(path);
  if (!in.good()) throw unreadable(path);
  try {
    if (ends_with(path, ".json")) return std::make_unique<stan::json::json_data>(in);
    return std::make_unique<stan::io::dump>(in);
  } catch (const std::exception& e) {
    throw usage_error("Error reading file \"" + path + "\": " + e.what());
  }
}

context read_metric(const std::string& path) {
  if (!ends_with(path, ".json")) return read_context(path);
  std::ifstream in(path);
  if (!in.good()) throw unreadable(path);
  std::ostringstream text;
  text << in.rdbuf();
  rapidjson::Document file;
  file.Parse<rapidjson::kParseNanAndInfFlag>(text.str().c_str());
  if (file.HasParseError() || !file.IsObject() || !file.HasMember("inv_metric"))
    throw usage_error("Error reading file \"" + path + "\": it is no JSON object with a member inv_metric.");
  rapidjson::StringBuffer alone;
  rapidjson::Writer<rapidjson::StringBuffer> writer(alone);
  writer.StartObject();
  writer.Key("inv_metric");
  bool finite = file["inv_metric"].Accept(writer) && writer.EndObject();
  if (!finite) throw usage_error("Error reading file \"" + path + "\": the inverse metric is not finite.");
  std::istringstream metric(alone.GetString());
  return std::make_unique<stan::json::json_data>(metric);
}

context identity_metric(std::size_t size, bool dense) {
  std::vector<std::string> names{"inv_metric"};
  std::vector<std::vector<std::size_t>> dims{{size}};
  std::vector<double> values(size, 1.0);
  if (dense) {
    dims[0].push_back(size);
    values.assign(size * size, 0.0);
    for (std::size_t i = 0; i < size; ++i) values[i * size + i] = 1.0;
  }
  return std::make_unique<stan::io::array_var_context>(names, values, dims);
}

std::vector<std::string> input_files(const std::string& value, std::size_t chains, unsigned first_id) {
  if (chains == 1 || value.empty()) return std::vector<std::string>(chains, value);
  if (value.find(',') != std::string::npos && !exists(value)) return listed_files(value, chains);
  if (!exists(tagged(value, std::to_string(first_id)))) return std::vector<std::string>(chains, value);
  std::vector<std::string> files;
  for (std::size_t i = 0; i < chains; ++i) files.push_back(tagged(value, std::to_string(first_id + i)));
  return files;
}

std::vector<std::string> output_files(const std::string& value, std::size_t chains, unsigned first_id) {
  if (chains == 1 || value.empty()) return std::vector<std::string>(chains, value);
  if (value.find(',') != std::string::npos) return listed_files(value, chains);
  std::vector<std::string> files;
  for (std::size_t i = 0; i < chains; ++i) files.push_back(tagged(value, std::to_string(first_id + i)));
  return files;
}

std::string with_suffix(const std::string& path, const std::string& suffix) {
  for (const char* extension : {".csv", ".json"})
    if (ends_with(path, extension)) return path.substr(0, path.size() - std::strlen(extension)) + suffix;
  return path + suffix;
}

initial_values read_initial_values(const std::string& value, std::size_t chains, unsigned first_id) {
  initial_values inits;
  char* end = nullptr;
  double radius = std::strtod(value.c_str(), &end);
  bool is_number = !value.empty() && *end == '\0';
  if (is_number) {
    if (!(radius >= 0) || std::isinf(radius))
      throw usage_error(value + " is not a valid value for \"init\"\n  Valid values: a number >= 0 or files.");
    inits.radius = radius;
  }
  for (const std::string& path : input_files(is_number ? "" : value, chains, first_id))
    inits.contexts.push_back(read_context(path));
  return inits;
}

Eigen::MatrixXd read_csv_columns(const std::string& path, const std::vector<std::string>& columns) {
  std::ifstream in(path);
  if (!in.good()) throw unreadable(path);
  std::string text;
  std::size_t line = 0;
  while (std::getline(in, text)) {
    ++line;
    if (!text.empty() && text[0] != '#') break;
  }
  if (!text.empty() && text.back() == '\r') text.pop_back();
  std::map<std::string, std::size_t> place;
  std::vector<std::string> header = split(text);
  for (std::size_t i = 0; i < header.size(); ++i) place[header[i]] = i;
  std::vector<std::size_t> wanted;
  for (const std::string& column : columns) {
    auto found = place.find(column);
    if (found == place.end())
      throw usage_error("Error reading fitted param names from sample csv file \"" + path + "\": no column \"" +
                        column + "\".");
    wanted.push_back(found->second);
  }
  std::vector<double> values;
  std::size_t rows = 0;
  while (std::getline(in, text)) {
    ++line;
    if (text.empty() || text[0] == '#') continue;
    std::vector<std::string> fields = split(text);
    if (fields.size() != header.size())
      throw usage_error("Error reading draws from sample csv file \"" + path + "\", line " + std::to_string(line) +
                        ": " + std::to_string(fields.size()) + " values for " + std::to_string(header.size()) +
                        " columns.");
    for (std::size_t i : wanted) values.push_back(parse_number(fields[i], path, line));
    ++rows;
  }
  using row_major = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  return Eigen::Map<row_major>(values.data(), static_cast<Eigen::Index>(rows),
                               static_cast<Eigen::Index>(wanted.size()));
}

}  // namespace frontend
