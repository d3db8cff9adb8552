#include "census.h"

#include <string_view>
#include <type_traits>

namespace fg {
namespace {

struct Rows {
  const ArrowArray& array;
  const std::uint8_t* valid;

  explicit Rows(const ArrowArray& array) noexcept
      : array(array),
        valid(array.n_buffers > 0 && array.null_count != 0 ? static_cast<const std::uint8_t*>(array.buffers[0])
                                                           : nullptr) {}
  bool has(std::int64_t at) const noexcept { return valid == nullptr || (valid[at >> 3] >> (at & 7) & 1) != 0; }
};

// Nulls of rows first .. last, counted from the buffers' begin.
std::int64_t nulls(const Rows& rows, std::int64_t first, std::int64_t last) noexcept {
  std::int64_t count = 0;
  if (rows.valid == nullptr) return 0;
  for (std::int64_t i = first; i < last; ++i) count += !rows.has(i);
  return count;
}

template <class Offset>
std::int64_t empty_texts(const Rows& rows, std::int64_t first, std::int64_t last) noexcept {
  const auto* const ends = static_cast<const Offset*>(rows.array.buffers[1]);
  std::int64_t count = 0;
  if (rows.valid == nullptr) {
    for (std::int64_t i = first; i < last; ++i) count += ends[i] == ends[i + 1];
    return count;
  }
  for (std::int64_t i = first; i < last; ++i) count += rows.has(i) && ends[i] == ends[i + 1];
  return count;
}

template <class Number>
std::int64_t outside(const Rows& rows, std::int64_t first, std::int64_t last, std::int64_t size) noexcept {
  const auto* const numbers = static_cast<const Number*>(rows.array.buffers[1]);
  std::int64_t count = 0;
  if constexpr (std::is_integral_v<Number>) {
    const auto most = static_cast<std::uint64_t>(size);
    for (std::int64_t i = first; i < last; ++i)
      count += (static_cast<std::uint64_t>(static_cast<std::int64_t>(numbers[i])) >= most) & rows.has(i);
  } else {
    for (std::int64_t i = first; i < last; ++i)
      count += (numbers[i] < Number{0} || static_cast<double>(numbers[i]) >= static_cast<double>(size)) & rows.has(i);
  }
  return count;
}

std::int64_t outside_of(const ArrowSchema& schema, const ArrowArray& array, std::int64_t first, std::int64_t last,
                        std::int64_t size) noexcept;

// Of the elements of the lists in rows first .. last; what lies behind a null is not looked at.
template <class Offset>
std::int64_t outside_lists(const ArrowSchema& schema, const ArrowArray& array, const Rows& rows, std::int64_t first,
                           std::int64_t last, std::int64_t size) noexcept {
  const auto* const ends = static_cast<const Offset*>(array.buffers[1]);
  const ArrowSchema* item = schema.children[0];
  const ArrowArray* items = array.children[0];
  std::int64_t shift = items->offset;
  if (std::string_view(schema.format) == "+m") {
    item = item->children[0];
    items = items->children[0];
    shift += items->offset;
  }
  if (rows.valid == nullptr && last > first)
    return outside_of(*item, *items, ends[first] + shift, ends[last] + shift, size);
  std::int64_t count = outside_of(*item, *items, 0, 0, size);  // -1 where there is nothing to count
  for (std::int64_t i = first; i < last && count >= 0; ++i) {
    if (rows.has(i)) count += outside_of(*item, *items, ends[i] + shift, ends[i + 1] + shift, size);
  }
  return count;
}

std::int64_t outside_of(const ArrowSchema& schema, const ArrowArray& array, std::int64_t first, std::int64_t last,
                        std::int64_t size) noexcept {
  const std::string_view format(schema.format);
  if (schema.dictionary != nullptr || format.empty()) return -1;
  const Rows rows(array);
  if (format == "+l" || format == "+m") return outside_lists<std::int32_t>(schema, array, rows, first, last, size);
  if (format == "+L") return outside_lists<std::int64_t>(schema, array, rows, first, last, size);
  if (format.size() != 1) return -1;
  switch (format[0]) {
    case 'c': return outside<std::int8_t>(rows, first, last, size);
    case 's': return outside<std::int16_t>(rows, first, last, size);
    case 'i': return outside<std::int32_t>(rows, first, last, size);
    case 'l': return outside<std::int64_t>(rows, first, last, size);
    case 'C': return outside<std::uint8_t>(rows, first, last, size);
    case 'S': return outside<std::uint16_t>(rows, first, last, size);
    case 'I': return outside<std::uint32_t>(rows, first, last, size);
    case 'L': return outside<std::uint64_t>(rows, first, last, size);
    case 'f': return outside<float>(rows, first, last, size);
    case 'g': return outside<double>(rows, first, last, size);
    default: return -1;
  }
}

}  // namespace

std::int64_t count_absent(const ArrowSchema& schema, const ArrowArray& array) noexcept {
  const std::string_view format(schema.format);
  const std::int64_t first = array.offset, last = first + array.length;
  if (format == "n") return array.length;
  const Rows rows(array);
  const std::int64_t absent = array.null_count >= 0 ? array.null_count : nulls(rows, first, last);
  if (schema.dictionary != nullptr || array.length == 0) return absent;
  if (format == "u" || format == "z") return absent + empty_texts<std::int32_t>(rows, first, last);
  if (format == "U" || format == "Z") return absent + empty_texts<std::int64_t>(rows, first, last);
  return absent;
}

std::int64_t count_outside(const ArrowSchema& schema, const ArrowArray& array, std::int64_t size) noexcept {
  return outside_of(schema, array, array.offset, array.offset + array.length, size);
}

}  // namespace fg
