// The options of the tools: -o value, --option=value, --option value, then file names.
#ifndef FRONTEND_TOOL_OPTIONS_HPP
#define FRONTEND_TOOL_OPTIONS_HPP

#include <map>
#include <string>
#include <vector>

#include "argument.hpp"

namespace frontend {

struct tool_options {
  std::multimap<std::string, std::string> values;
  std::vector<std::string> files;

  std::string get(const std::string& name, const std::string& otherwise) const {
    auto last = values.upper_bound(name);
    return values.count(name) == 0 ? otherwise : (--last)->second;
  }
};

// `known` maps the short letter of an option to its long name; "help" takes no value.
inline tool_options read_options(int argc, char* argv[], const std::map<char, std::string>& known) {
  tool_options options;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    if (word.size() < 2 || word[0] != '-') {
      options.files.push_back(word);
      continue;
    }
    bool is_long = word[1] == '-';
    std::size_t equals = is_long ? word.find('=') : std::string::npos;
    std::string name = is_long ? word.substr(2, equals == std::string::npos ? equals : equals - 2) : word.substr(1);
    if (!is_long && known.count(name[0]) != 0 && name.size() == 1) name = known.at(name[0]);
    bool exists = false;
    std::string list;
    for (const auto& [letter, option] : known) {
      exists = exists || option == name;
      list += "\n  -" + std::string(1, letter) + ", --" + option;
    }
    if (!exists) throw usage_error("Unknown option " + word + "; options are:" + list);
    if (name == "help") {
      options.values.emplace(name, "");
      continue;
    }
    if (equals == std::string::npos && ++i == argc) throw usage_error("Option --" + name + " needs a value.");
    options.values.emplace(name, equals == std::string::npos ? argv[i] : word.substr(equals + 1));
  }
  return options;
}

}  // namespace frontend

#endif
