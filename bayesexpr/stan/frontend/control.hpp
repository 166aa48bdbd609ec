// Stopping on request, and messages to the terminal.
#ifndef FRONTEND_CONTROL_HPP
#define FRONTEND_CONTROL_HPP

#include <stan/callbacks/interrupt.hpp>
#include <stan/callbacks/logger.hpp>

#include <mutex>
#include <string>

namespace frontend {

// Take SIGINT and SIGTERM: the next iteration stops the run in order, and if none comes within half a second
// (a long gradient) the process ends there and then. A second signal ends it at once.
void catch_signals();

// End this process by the signal it got, so that a shell sees 128 + number; returns when there was none.
void die_by_signal();

// Called by the services at every iteration.
class stop_on_request final : public stan::callbacks::interrupt {
 public:
  void operator()() override;
};

// Information to standard output, errors to standard error; whole lines also when chains run in threads.
class terminal_logger final : public stan::callbacks::logger {
 public:
  void debug(const std::string& message) override;
  void debug(const std::stringstream& message) override;
  void info(const std::string& message) override;
  void info(const std::stringstream& message) override;
  void warn(const std::string& message) override;
  void warn(const std::stringstream& message) override;
  void error(const std::string& message) override;
  void error(const std::stringstream& message) override;
  void fatal(const std::string& message) override;
  void fatal(const std::stringstream& message) override;

 private:
  void line(bool trouble, const std::string& message);
  std::mutex guard_;
};

}  // namespace frontend

#endif
