#include "argument.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace frontend {

namespace {

// Six digits where they say it all (the customary echo of a default), else as many as are needed.
std::string number_text(double value) {
  char buffer[40];
  for (int digits : {6, 15, 16, 17}) {
    std::snprintf(buffer, sizeof buffer, "%.*g", digits, value);
    if (std::strtod(buffer, nullptr) == value) break;
  }
  return buffer;
}

argument make(std::string name, std::string help, argument::kind type) {
  argument made;
  made.name = std::move(name);
  made.help = std::move(help);
  made.type = type;
  return made;
}

argument* find_member(argument& parent, const std::string& name, bool with_value) {
  for (argument& member : parent.members)
    if (member.name == name && (member.type == argument::kind::group) != with_value) return &member;
  return nullptr;
}

// Where in the tree a name exists, written as it would be typed.
void find_everywhere(const argument& node, const std::string& path, const std::string& name,
                     std::vector<std::string>& found) {
  for (const argument& member : node.members) {
    bool is_group = member.type == argument::kind::group;
    std::string here = path + member.name;
    if (member.name == name) found.push_back(is_group ? here : here + "=<value>");
    if (is_group) find_everywhere(member, here + " ", name, found);
    if (member.type == argument::kind::choice)
      for (const argument& alternative : member.members)
        find_everywhere(alternative, here + "=" + alternative.name + " ", name, found);
  }
}

[[noreturn]] void unknown_word(const std::string& word, const std::string& name, const argument& root,
                               const std::vector<argument*>& open) {
  std::ostringstream message;
  message << word << " is either mistyped or misplaced.";
  std::vector<std::string> found;
  find_everywhere(root, "", name, found);
  if (!found.empty()) {
    message << "\nPerhaps you meant one of the following valid configurations:";
    for (const std::string& path : found) message << "\n  " << path;
  }
  message << "\nAccepted at this place:";
  for (auto level = open.rbegin(); level != open.rend(); ++level) {
    if ((*level)->members.empty()) continue;
    message << "\n  " << ((*level)->name.empty() ? "top level" : (*level)->name) << ":";
    for (const argument& member : (*level)->members)
      message << ' ' << member.name << (member.type == argument::kind::group ? "" : "=");
  }
  throw usage_error(message.str());
}

void print_node(const argument& node, std::ostream& out, const std::string& prefix, int depth) {
  if (node.extension && node.is_default()) return;
  std::string indent(2 * depth, ' ');
  if (node.type == argument::kind::group) {
    out << prefix << indent << node.name << '\n';
    for (const argument& member : node.members) print_node(member, out, prefix, depth + 1);
    return;
  }
  out << prefix << indent << node.name << " = " << node.value() << (node.is_default() ? " (Default)" : "") << '\n';
  if (node.type == argument::kind::choice && node.chosen().headed)
    print_node(node.chosen(), out, prefix, depth + 1);
}

const char* type_name(argument::kind type) {
  switch (type) {
    case argument::kind::flag: return "boolean";
    case argument::kind::integer: return "integer";
    case argument::kind::real: return "number";
    case argument::kind::text: return "text";
    case argument::kind::choice: return "one of";
    default: return "";
  }
}

void print_help_node(const argument& node, std::ostream& out, bool deep, int depth) {
  std::string indent(2 * depth, ' ');
  if (node.type == argument::kind::group) {
    out << indent << node.name << "\n" << indent << "    " << node.help << "\n";
    if (deep)
      for (const argument& member : node.members) print_help_node(member, out, deep, depth + 1);
    return;
  }
  out << indent << node.name << "=<" << type_name(node.type);
  if (node.type == argument::kind::choice)
    for (const argument& alternative : node.members) out << ' ' << alternative.name;
  out << ">\n" << indent << "    " << node.help;
  if (node.type == argument::kind::integer || node.type == argument::kind::real)
    out << "; " << node.limits.describe(node.name);
  out << "; default " << (node.value().empty() ? "\"\"" : node.value()) << "\n";
  if (deep && node.type == argument::kind::choice)
    for (const argument& alternative : node.members) print_help_node(alternative, out, deep, depth + 1);
}

}  // namespace

bool range::contains(double value) const {
  if (minus_one_too && value == -1) return true;
  return (low_open ? value > low : value >= low) && (high_open ? value < high : value <= high);
}

std::string range::describe(const std::string& name) const {
  std::string described = name;
  if (std::isfinite(low)) described = number_text(low) + (low_open ? " < " : " <= ") + described;
  if (std::isfinite(high)) described += (high_open ? " < " : " <= ") + number_text(high);
  return minus_one_too ? described + " or " + name + " = -1" : described;
}

const argument& argument::operator[](const std::string& member) const {
  for (const argument& candidate : members)
    if (candidate.name == member) return candidate;
  throw std::logic_error("argument " + name + " has no member " + member);
}

const argument& argument::chosen() const { return (*this)[text]; }

void argument::set(const std::string& value) {
  if (type == kind::text) {
    text = value;
    return;
  }
  if (type == kind::choice) {
    bool known = std::any_of(members.begin(), members.end(), [&](const argument& m) { return m.name == value; });
    if (!known) {
      std::string list;
      for (const argument& member : members) list += " " + member.name;
      throw usage_error(value + " is not a valid value for \"" + name + "\"\n  Valid values:" + list);
    }
    text = value;
    return;
  }
  if (type == kind::flag) {
    if (value == "1" || value == "true") number = 1;
    else if (value == "0" || value == "false") number = 0;
    else throw usage_error(value + " is not a valid value for \"" + name + "\"\n  Valid values: 0 1 false true");
    return;
  }
  const char* start = value.c_str();
  char* end = nullptr;
  double parsed = std::strtod(start, &end);
  bool whole = type != kind::integer || parsed == std::floor(parsed);
  if (value.empty() || *end != '\0' || std::isnan(parsed) || !whole || !limits.contains(parsed))
    throw usage_error(value + " is not a valid value for \"" + name + "\"\n  Valid values: " +
                      (type == kind::integer ? "integer, " : "number, ") + limits.describe(name));
  number = parsed;
}

std::string argument::value() const {
  switch (type) {
    case kind::flag: return number != 0 ? "true" : "false";
    case kind::integer: {
      char buffer[32];
      std::snprintf(buffer, sizeof buffer, "%.0f", number);
      return buffer;
    }
    case kind::real: return number_text(number);
    default: return text;
  }
}

argument group(std::string name, std::string help, std::vector<argument> members) {
  argument made = make(std::move(name), std::move(help), argument::kind::group);
  made.members = std::move(members);
  return made;
}

argument flag(std::string name, std::string help, bool value) {
  argument made = make(std::move(name), std::move(help), argument::kind::flag);
  made.number = made.default_number = value;
  return made;
}

argument integer(std::string name, std::string help, double value, range limits) {
  argument made = make(std::move(name), std::move(help), argument::kind::integer);
  made.number = made.default_number = value;
  made.limits = limits;
  return made;
}

argument real(std::string name, std::string help, double value, range limits) {
  argument made = make(std::move(name), std::move(help), argument::kind::real);
  made.number = made.default_number = value;
  made.limits = limits;
  return made;
}

argument text(std::string name, std::string help, std::string value) {
  argument made = make(std::move(name), std::move(help), argument::kind::text);
  made.text = made.default_text = std::move(value);
  return made;
}

argument choice(std::string name, std::string help, std::string value, std::vector<argument> alternatives) {
  argument made = make(std::move(name), std::move(help), argument::kind::choice);
  made.text = made.default_text = std::move(value);
  made.members = std::move(alternatives);
  return made;
}

void parse(argument& root, const std::vector<std::string>& words) {
  std::vector<argument*> open{&root};
  for (const std::string& word : words) {
    std::size_t equals = word.find('=');
    bool with_value = equals != std::string::npos;
    std::string name = word.substr(0, equals);
    bool placed = false;
    for (std::size_t level = open.size(); level-- > 0 && !placed;) {
      argument* member = find_member(*open[level], name, with_value);
      argument* inside = nullptr;
      if (member != nullptr && with_value) {
        member->set(word.substr(equals + 1));
        if (member->type == argument::kind::choice) inside = const_cast<argument*>(&member->chosen());
      } else if (member != nullptr) {
        inside = member;
      } else if (level == 0 && !with_value) {
        // `sample` is short for `method=sample`
        argument* method = find_member(root, "method", true);
        for (argument& alternative : method->members)
          if (alternative.name == name) inside = &alternative;
        if (inside != nullptr) method->set(name);
      }
      if (member == nullptr && inside == nullptr) continue;
      open.resize(level + 1);
      if (inside != nullptr) open.push_back(inside);
      placed = true;
    }
    if (!placed) unknown_word(word, name, root, open);
  }
}

void print(const argument& root, std::ostream& out, const std::string& prefix) {
  for (const argument& member : root.members) print_node(member, out, prefix, 0);
}

void print_help(const argument& root, std::ostream& out, bool deep) {
  for (const argument& member : root.members) print_help_node(member, out, deep, 0);
}

}  // namespace frontend
