#include "output.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>

namespace frontend {

namespace {
std::atomic<bool> failed{false};
std::mutex guard;
std::string first_failure;
}  // namespace

std::string output_failure() {
  std::lock_guard<std::mutex> lock(guard);
  return first_failure;
}

void record_output_failure(const std::string& message) {
  std::lock_guard<std::mutex> lock(guard);
  if (first_failure.empty()) first_failure = message;
  failed = true;
}

bool output_failed() noexcept { return failed; }

file_buffer::file_buffer(const std::string& path, std::size_t capacity) : path_(path), buffer_(capacity) {
  descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail("cannot open");
  setp(buffer_.data(), buffer_.data() + buffer_.size());
}

file_buffer::~file_buffer() {
  drain();
  // some file systems report a full disk only here
  if (descriptor_ >= 0 && ::close(descriptor_) != 0) fail("cannot close");
}

void file_buffer::fail(const char* what) {
  if (!failed_) record_output_failure(std::string(what) + " " + path_ + ": " + std::strerror(errno));
  failed_ = true;
}

bool file_buffer::write_all(const char* data, std::size_t size) {
  while (size > 0) {
    if (!good()) return false;
    ssize_t written = ::write(descriptor_, data, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      fail("cannot write");
      return false;
    }
    data += written;
    size -= static_cast<std::size_t>(written);
  }
  return true;
}

bool file_buffer::drain() {
  bool written = write_all(pbase(), static_cast<std::size_t>(pptr() - pbase()));
  setp(buffer_.data(), buffer_.data() + buffer_.size());
  return written;
}

file_buffer::int_type file_buffer::overflow(int_type character) {
  if (!drain()) return traits_type::eof();
  if (!traits_type::eq_int_type(character, traits_type::eof())) {
    *pptr() = traits_type::to_char_type(character);
    pbump(1);
  }
  return traits_type::not_eof(character);
}

std::streamsize file_buffer::xsputn(const char* data, std::streamsize size) {
  if (size > epptr() - pptr()) {
    if (!drain()) return 0;
    if (size >= epptr() - pptr()) return write_all(data, static_cast<std::size_t>(size)) ? size : 0;
  }
  std::memcpy(pptr(), data, static_cast<std::size_t>(size));
  pbump(static_cast<int>(size));
  return size;
}

int file_buffer::sync() { return drain() ? 0 : -1; }

output_file::output_file(const std::string& path, int digits, std::size_t capacity)
    : std::ostream(nullptr), path_(path), buffer_(path, capacity) {
  rdbuf(&buffer_);
  if (!buffer_.good()) setstate(std::ios::badbit);
  if (digits > 0) precision(digits);
}

}  // namespace frontend
