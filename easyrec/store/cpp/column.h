// Columns that grow by a value at a time, handed over by the Arrow C data interface.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "arrow_column.h"
#include "value_type.h"

namespace store {

class ColumnBuilder {
 public:
  explicit ColumnBuilder(const ValueType& type);

  void reserve(std::int64_t rows);
  void add_null();
  // A value of fixed width, or the characters of a text.
  void add(const char* from, std::size_t bytes);
  // Values of a list, a map's entries: `count` of them were added to `items()`, or to `keys()` and `items()`.
  void close();
  ColumnBuilder& items() noexcept { return children_.back(); }
  ColumnBuilder& keys() noexcept { return children_.front(); }
  const ValueType& type() const noexcept { return type_; }
  std::int64_t size() const noexcept { return size_; }

  // Moves all out. The schema and the array own what they hold until they are released.
  void release_to(const std::string& name, ArrowSchema& schema, ArrowArray& array) &&;

 private:
  ValueType type_;
  std::int64_t size_ = 0, nulls_ = 0;
  std::vector<std::uint8_t> valid_;  // bits
  std::vector<char> data_;
  std::vector<std::int32_t> ends_;
  std::vector<ColumnBuilder> children_;

  void mark(bool valid);
  void end(std::size_t at);
};

void release_record(std::vector<ColumnBuilder>&& columns, const std::vector<std::string>& names, std::int64_t rows,
                    ArrowSchema& schema, ArrowArray& array);

}  // namespace store
