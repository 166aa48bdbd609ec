// The callbacks through which Stan's services hand over draws.
#ifndef FRONTEND_WRITERS_HPP
#define FRONTEND_WRITERS_HPP

#include <stan/callbacks/writer.hpp>

#include <memory>
#include <string>
#include <vector>

#include "output.hpp"

namespace frontend {

// Writes Stan CSV: a header of names, rows of numbers, comments behind "# ".
//
// Without a file it swallows everything. Rows are flushed one by one, so that a run that is stopped leaves all
// its finished rows and a full disk is seen at the row where it happens.
class csv_writer final : public stan::callbacks::writer {
 public:
  csv_writer() = default;
  explicit csv_writer(std::unique_ptr<output_file> out) : out_(std::move(out)) {}
  csv_writer(csv_writer&&) = default;
  csv_writer& operator=(csv_writer&&) = default;

  // From here on the last `model_columns` values of every row go to `path`.draws as float32 (little endian, row
  // after row) and their names, one per line, to `path`.names; the CSV keeps the columns before them.
  void split_model_columns(const std::string& path, std::size_t model_columns);

  // Keep the column of this name, or all messages, out of the file.
  void leave_out(const std::string& column) { left_out_name_ = column; }
  void drop_messages() { messages_ = false; }

  void operator()(const std::vector<std::string>& names) override;
  void operator()(const std::vector<double>& state) override;
  void operator()() override;
  void operator()(const std::string& message) override;
  void operator()(const Eigen::MatrixXd& values) override;
  void operator()(const Eigen::VectorXd& values) override;
  void operator()(const Eigen::RowVectorXd& values) override;
  bool is_valid() const noexcept override { return out_ != nullptr && out_->good(); }

  output_file* stream() const { return out_.get(); }
  // Whether a header has come: a sampler that fails before its first step returns without an error code.
  bool started() const { return started_; }

 private:
  void write_row(const double* values, std::size_t size, const char* separator);

  std::unique_ptr<output_file> out_;
  std::unique_ptr<output_file> draws_;
  std::unique_ptr<output_file> names_;
  std::size_t model_columns_ = 0;
  bool started_ = false;
  bool messages_ = true;
  std::string left_out_name_;
  std::size_t left_out_ = static_cast<std::size_t>(-1);
  std::string row_;
  std::vector<float> model_row_;
};

}  // namespace frontend

#endif
