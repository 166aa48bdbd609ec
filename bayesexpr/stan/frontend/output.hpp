// Files that are written completely or not at all silently: every failed or short write is remembered.
#ifndef FRONTEND_OUTPUT_HPP
#define FRONTEND_OUTPUT_HPP

#include <ostream>
#include <streambuf>
#include <string>
#include <vector>

namespace frontend {

// The first failure of any output file of this process, empty when there was none.
//
// Writers run inside services, some in threads of their own where an exception would end the process
// without a word. They therefore only record; the interrupt callback and main() turn it into an error.
std::string output_failure();
void record_output_failure(const std::string& message);
bool output_failed() noexcept;

// A buffered file on a descriptor.
class file_buffer : public std::streambuf {
 public:
  file_buffer(const std::string& path, std::size_t capacity);
  ~file_buffer() override;
  file_buffer(const file_buffer&) = delete;
  file_buffer& operator=(const file_buffer&) = delete;

  bool good() const noexcept { return descriptor_ >= 0 && !failed_; }

 protected:
  int_type overflow(int_type character) override;
  std::streamsize xsputn(const char* data, std::streamsize size) override;
  int sync() override;

 private:
  bool drain();
  bool write_all(const char* data, std::size_t size);
  void fail(const char* what);

  std::string path_;
  std::vector<char> buffer_;
  int descriptor_ = -1;
  bool failed_ = false;
};

// The stream over it. Numbers come out with `digits` significant digits (below 1: the stream's own six).
class output_file : public std::ostream {
 public:
  output_file(const std::string& path, int digits, std::size_t capacity = 1 << 16);
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  file_buffer buffer_;
};

}  // namespace frontend

#endif
