// A column that grows value by value and takes its type from them, as pyarrow infers it from Python values; and many of
// them as one Arrow record. In a column of maps what is missing is an empty map. What it does not know how to type
// alike - values of several kinds, whole numbers beyond 2^53 beside others, more than 32-bit offsets reach - spoils it:
// it takes everything and holds nothing from then on.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "arrow_column.h"
#include "slab.h"

namespace fg {

class ColumnBuilder {
 public:
  enum class Kind : std::uint8_t { nothing, boolean, integer, number, text, list, map, spoiled };

  Kind kind() const noexcept { return kind_; }
  bool spoiled() const noexcept { return kind_ == Kind::spoiled; }
  // Values so far, nulls among them.
  std::int64_t size() const noexcept { return size_; }
  void spoil() noexcept { kind_ = Kind::spoiled; }

  void add_null();
  // Nulls until there are `size` values.
  void pad(std::int64_t size) {
    while (size_ < size && !spoiled()) add_null();
  }
  void add_boolean(bool value) {
    if (!is(Kind::boolean)) return;
    flags_.push(value ? 1 : 0);
    added();
  }
  void add_integer(std::int64_t value) {
    if (kind_ == Kind::number) {
      if (exact(value)) return add_number(static_cast<double>(value));
      return spoil();
    }
    if (!is(Kind::integer)) return;
    integers_.push(value);
    added();
  }
  void add_number(double value) {
    if (kind_ == Kind::integer) widen();
    if (!is(Kind::number)) return;
    numbers_.push(value);
    added();
  }
  void add_text(const char* data, std::size_t size) {
    if (!is(Kind::text)) return;
    if (size >= room_ - text_.size()) return spoil();
    text_.append(data, size);
    ends_.push(static_cast<std::int32_t>(text_.size()));
    added();
  }
  // Where the items of one more list go, until it is closed; null where the column is spoiled.
  ColumnBuilder* open_list() {
    if (!is(Kind::list)) return nullptr;
    return items_.get();
  }
  void close_list() {
    if (spoiled()) return;
    if (items_->spoiled() || static_cast<std::size_t>(items_->size()) >= room_) return spoil();
    ends_.push(static_cast<std::int32_t>(items_->size()));
    added();
  }
  // Where one more map goes, key by key with its item, until it is closed; null where the column is spoiled.
  struct Pairs {
    ColumnBuilder *keys, *items;
  };
  Pairs open_map() {
    if (!is(Kind::map)) return {nullptr, nullptr};
    return {keys_.get(), items_.get()};
  }
  void close_map() {
    if (!spoiled() && keys_->spoiled()) return spoil();
    close_list();
  }

  // Moves the column into `schema` and `array`, which own it from then on. It must not be spoiled.
  void release_to(const std::string& name, ArrowSchema& schema, ArrowArray& array) &&;

 private:
  static constexpr std::size_t room_ = std::numeric_limits<std::int32_t>::max();  // of 32-bit offsets

  // Whether a double holds it for certain.
  static bool exact(std::int64_t value) noexcept {
    constexpr std::int64_t limit = std::int64_t{1} << 53;
    return value > -limit && value < limit;
  }
  // Whether the column has this type, or takes it; another one spoils it.
  bool is(Kind kind) {
    if (kind_ == kind) return true;
    if (kind_ == Kind::nothing) {
      start(kind);
      return true;
    }
    spoil();
    return false;
  }
  void added() {
    if (nulls_ != 0) valid_.push(1);
    ++size_;
  }
  void start(Kind kind);
  void widen();
  void release_pairs(ArrowSchema& schema, ArrowArray& array);

  Kind kind_ = Kind::nothing;
  std::int64_t size_ = 0, nulls_ = 0;
  Slab<std::uint8_t> valid_;  // a byte per value, from the first null on
  Slab<std::uint8_t> flags_;
  Slab<std::int64_t> integers_;
  Slab<double> numbers_;
  Slab<char> text_;
  Slab<std::int32_t> ends_;  // of texts, lists and maps: 0, then an end for each
  std::unique_ptr<ColumnBuilder> keys_, items_;
};

// Moves columns of `rows` values each into one record.
void release_record(std::vector<ColumnBuilder>&& columns, const std::vector<std::string>& names, std::int64_t rows,
                    ArrowSchema& schema, ArrowArray& array);

}  // namespace fg
