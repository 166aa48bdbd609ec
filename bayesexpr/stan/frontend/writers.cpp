#include "writers.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace frontend {

namespace {

// Appends a number as the standard stream would print it at this precision; about five times as fast.
void append_number(std::string& row, double value, int digits) {
  char buffer[64];
#ifdef __cpp_lib_to_chars
  std::to_chars_result end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::general, digits);
  row.append(buffer, end.ptr);
#else
  row.append(buffer, static_cast<std::size_t>(std::snprintf(buffer, sizeof buffer, "%.*g", digits, value)));
#endif
}

bool little_endian() {
  const std::uint16_t one = 1;
  unsigned char first;
  std::memcpy(&first, &one, 1);
  return first == 1;
}

void to_little_endian(std::vector<float>& values) {
  if (little_endian()) return;
  for (float& value : values) {
    unsigned char bytes[4];
    std::memcpy(bytes, &value, 4);
    std::swap(bytes[0], bytes[3]);
    std::swap(bytes[1], bytes[2]);
    std::memcpy(&value, bytes, 4);
  }
}

}  // namespace

void csv_writer::split_model_columns(const std::string& path, std::size_t model_columns) {
  draws_ = std::make_unique<output_file>(path + ".draws", 0, std::size_t{4} << 20);
  names_ = std::make_unique<output_file>(path + ".names", 0);
  model_columns_ = model_columns;
}

void csv_writer::operator()(const std::vector<std::string>& names) {
  if (out_ == nullptr || names.empty()) {
    started_ = true;
    return;
  }
  started_ = true;
  std::size_t in_csv = draws_ == nullptr ? names.size() : names.size() - model_columns_;
  left_out_ = static_cast<std::size_t>(std::find(names.begin(), names.end(), left_out_name_) - names.begin());
  row_.clear();
  for (std::size_t i = 0; i < in_csv; ++i) {
    if (i == left_out_) continue;
    if (i > 0) row_ += ',';
    row_ += names[i];
  }
  row_ += '\n';
  *out_ << row_ << std::flush;
  if (draws_ == nullptr) return;
  for (std::size_t i = in_csv; i < names.size(); ++i) *names_ << names[i] << '\n';
  names_->flush();
}

void csv_writer::write_row(const double* values, std::size_t size, const char* separator) {
  if (out_ == nullptr || size == 0) return;
  std::size_t in_csv = draws_ == nullptr ? size : size - model_columns_;
  int digits = static_cast<int>(out_->precision());
  row_.clear();
  for (std::size_t i = 0; i < in_csv; ++i) {
    if (i == left_out_) continue;
    if (i > 0) row_ += separator;
    append_number(row_, values[i], digits);
  }
  row_ += '\n';
  out_->write(row_.data(), static_cast<std::streamsize>(row_.size()));
  out_->flush();
  if (draws_ == nullptr) return;
  model_row_.assign(values + in_csv, values + size);
  to_little_endian(model_row_);
  draws_->write(reinterpret_cast<const char*>(model_row_.data()),
                static_cast<std::streamsize>(model_row_.size() * sizeof(float)));
}

void csv_writer::operator()(const std::vector<double>& state) { write_row(state.data(), state.size(), ","); }

void csv_writer::operator()() {
  if (out_ != nullptr && messages_) *out_ << "# \n" << std::flush;
}

void csv_writer::operator()(const std::string& message) {
  if (out_ != nullptr && messages_) *out_ << "# " << message << '\n' << std::flush;
}

// Matrices come with one draw per column; like Stan's own stream writers, they are separated by comma and blank.
void csv_writer::operator()(const Eigen::MatrixXd& values) {
  for (Eigen::Index draw = 0; draw < values.cols(); ++draw)
    write_row(values.col(draw).data(), static_cast<std::size_t>(values.rows()), ", ");
}

void csv_writer::operator()(const Eigen::VectorXd& values) {
  write_row(values.data(), static_cast<std::size_t>(values.size()), ", ");
}

void csv_writer::operator()(const Eigen::RowVectorXd& values) {
  write_row(values.data(), static_cast<std::size_t>(values.size()), ", ");
}

}  // namespace frontend
