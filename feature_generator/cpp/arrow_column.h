// A read-only view of one Arrow array that came through the C data interface. Owns nothing but its shape.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

// The layout that the Arrow specification fixes ("The Arrow C data interface").
extern "C" {
struct ArrowSchema {
  const char* format;
  const char* name;
  const char* metadata;
  std::int64_t flags;
  std::int64_t n_children;
  ArrowSchema** children;
  ArrowSchema* dictionary;
  void (*release)(ArrowSchema*);
  void* private_data;
};
struct ArrowArray {
  std::int64_t length;
  std::int64_t null_count;
  std::int64_t offset;
  std::int64_t n_buffers;
  std::int64_t n_children;
  const void** buffers;
  ArrowArray** children;
  ArrowArray* dictionary;
  void (*release)(ArrowArray*);
  void* private_data;
};
}

namespace fg {

enum class Type : std::uint8_t {
  null,
  boolean,
  i8,
  i16,
  i32,
  i64,
  u8,
  u16,
  u32,
  u64,
  f32,
  f64,
  text32,
  text64,
  text_view,
  list32,
  list64,
  map,
  record,
  dictionary
};

struct Column {
  Type type = Type::null;
  Type index = Type::null;  // of a dictionary
  std::int64_t length = 0;
  std::int64_t offset = 0;               // of the first row inside every buffer of this level
  const std::uint8_t* valid = nullptr;   // null where no row is null
  const void* data = nullptr;            // numbers, characters, views or dictionary indices
  const void* offsets = nullptr;         // of texts, lists and maps
  const void* const* buffers = nullptr;  // of text views
  std::vector<Column> children;          // list item; map key and value; fields; dictionary values
  std::vector<std::string> names;        // of a record's fields

  bool is_null(std::int64_t row) const noexcept {
    if (type == Type::null) return true;
    const std::int64_t i = row + offset;
    return valid != nullptr && !(valid[i >> 3] >> (i & 7) & 1);
  }
  template <class T>
  const T* values() const noexcept {
    return static_cast<const T*>(data) + offset;
  }
  template <class T>
  const T* starts() const noexcept {
    return static_cast<const T*>(offsets) + offset;
  }
  bool is_text() const noexcept { return type == Type::text32 || type == Type::text64 || type == Type::text_view; }
  bool is_list() const noexcept { return type == Type::list32 || type == Type::list64; }
  bool is_integer() const noexcept { return type >= Type::boolean && type <= Type::u64; }
  bool is_float() const noexcept { return type == Type::f32 || type == Type::f64; }
  // Rows of the child that list or map row `row` covers.
  std::int64_t start(std::int64_t row) const noexcept {
    return type == Type::list64 ? starts<std::int64_t>()[row] : starts<std::int32_t>()[row];
  }
};

// Reads a schema and its array. `parent_offset` is the offset that a record above it carries.
// Throws std::invalid_argument naming a type that has no reading.
Column view_column(const ArrowSchema& schema, const ArrowArray& array, std::int64_t parent_offset = 0);

}  // namespace fg
