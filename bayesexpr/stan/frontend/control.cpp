#include "control.hpp"

#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <iostream>
#include <sstream>
#include <stdexcept>

#include "output.hpp"

namespace frontend {

namespace {

volatile sig_atomic_t received = 0;

void end_now(int) {
  signal(received, SIG_DFL);
  kill(getpid(), received);
}

void note_signal(int number) {
  received = number;
  itimerval grace{};
  grace.it_value.tv_usec = 500000;
  setitimer(ITIMER_REAL, &grace, nullptr);
}

void handle(int number, void (*handler)(int), int flags) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigaction(number, &action, nullptr);
}

}  // namespace

void catch_signals() {
  handle(SIGALRM, end_now, 0);
  // SA_RESETHAND: the second signal of a kind has its default effect
  handle(SIGINT, note_signal, SA_RESETHAND | SA_RESTART);
  handle(SIGTERM, note_signal, SA_RESETHAND | SA_RESTART);
}

void die_by_signal() {
  if (received == 0) return;
  signal(received, SIG_DFL);
  raise(received);
}

void stop_on_request::operator()() {
  if (received != 0) throw std::runtime_error("Interrupted by signal " + std::to_string(received) + ".");
  if (output_failed()) throw std::runtime_error(output_failure());
}

void terminal_logger::line(bool trouble, const std::string& message) {
  std::lock_guard<std::mutex> lock(guard_);
  (trouble ? std::cerr : std::cout) << message << std::endl;
}

void terminal_logger::debug(const std::string& message) { line(false, message); }
void terminal_logger::debug(const std::stringstream& message) { line(false, message.str()); }
void terminal_logger::info(const std::string& message) { line(false, message); }
void terminal_logger::info(const std::stringstream& message) { line(false, message.str()); }
void terminal_logger::warn(const std::string& message) { line(false, message); }
void terminal_logger::warn(const std::stringstream& message) { line(false, message.str()); }
void terminal_logger::error(const std::string& message) { line(true, message); }
void terminal_logger::error(const std::stringstream& message) { line(true, message.str()); }
void terminal_logger::fatal(const std::string& message) { line(true, message); }
void terminal_logger::fatal(const std::stringstream& message) { line(true, message.str()); }

}  // namespace frontend
