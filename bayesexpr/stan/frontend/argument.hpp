// The command line as a tree of arguments: what may be said, what was said, and how both are echoed.
#ifndef FRONTEND_ARGUMENT_HPP
#define FRONTEND_ARGUMENT_HPP

#include <limits>
#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

namespace frontend {

// A mistake of the person at the command line; the message says what is accepted instead.
class usage_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The admissible interval of a number.
struct range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false;
  bool high_open = false;
  bool minus_one_too = false;  // -1 stands for "choose for me"

  bool contains(double value) const;
  std::string describe(const std::string& name) const;
};

inline range at_least(double low) { return {low}; }
inline range above(double low) { return {low, std::numeric_limits<double>::infinity(), true}; }
inline range between(double low, double high) { return {low, high}; }
inline range strictly_between(double low, double high) { return {low, high, true, true}; }

struct argument {
  enum class kind { group, flag, integer, real, text, choice };

  std::string name;
  std::string help;
  kind type = kind::group;
  std::string text;     // the value of a text or a choice
  double number = 0;    // the value of a flag, an integer (exact to 2^53) or a real
  range limits;
  std::string default_text;
  double default_number = 0;
  bool extension = false;  // ours alone: echoed only when used, so that the default header is the customary one
  bool headed = true;   // an alternative of a choice that has a line of its own in the echo
  std::vector<argument> members;  // of a group; the alternatives of a choice

  const argument& operator[](const std::string& member) const;
  // The alternative that a choice stands at.
  const argument& chosen() const;

  bool flag() const { return number != 0; }
  int integer() const { return static_cast<int>(number); }
  unsigned unsigned_integer() const { return static_cast<unsigned>(number); }
  double real() const { return number; }
  // Values that were given count as default too when they equal it.
  bool is_default() const { return text == default_text && number == default_number; }

  // Read a value from the command line; throws usage_error when it is not one.
  void set(const std::string& value);
  // The value as text, shortest form that reads back as the same number.
  std::string value() const;
};

argument group(std::string name, std::string help, std::vector<argument> members = {});
argument flag(std::string name, std::string help, bool value);
argument integer(std::string name, std::string help, double value, range limits);
argument real(std::string name, std::string help, double value, range limits);
argument text(std::string name, std::string help, std::string value);
argument choice(std::string name, std::string help, std::string value, std::vector<argument> alternatives);

// Read the words of a command line into the tree.
//
// A word `name=value` sets a value, a bare `name` opens a group. Names are looked up in the group
// opened last, then in the groups around it, as in `sample num_samples=10 adapt delta=0.9 data file=d.json`.
// Throws usage_error with the list of what exists.
void parse(argument& root, const std::vector<std::string>& words);

// The tree as indented `name = value` lines, each behind `prefix`.
void print(const argument& root, std::ostream& out, const std::string& prefix);

// All arguments below `root` with type, limits and default; `deep` goes into groups and alternatives.
void print_help(const argument& root, std::ostream& out, bool deep);

}  // namespace frontend

#endif
