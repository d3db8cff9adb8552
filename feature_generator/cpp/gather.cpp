#include "gather.h"

#include <cstring>

namespace fg {
namespace {

constexpr std::size_t ahead = 16;

template <std::size_t Width>
void gather_fixed(const char* from, std::size_t stride, const std::int64_t* rows, std::size_t n, char* out) noexcept {
  for (std::size_t i = 0; i < n; ++i) {
    if (i + ahead < n) __builtin_prefetch(from + static_cast<std::size_t>(rows[i + ahead]) * stride);
    std::memcpy(out + i * Width, from + static_cast<std::size_t>(rows[i]) * stride, Width);
  }
}

}  // namespace

void gather_rows(const char* from, std::size_t stride, std::size_t width, const std::int64_t* rows, std::size_t n,
                 char* out) noexcept {
  if (width == 4) return gather_fixed<4>(from, stride, rows, n, out);
  if (width == 8) return gather_fixed<8>(from, stride, rows, n, out);
  for (std::size_t i = 0; i < n; ++i) {
    if (i + ahead < n) {
      const char* const next = from + static_cast<std::size_t>(rows[i + ahead]) * stride;
      for (std::size_t at = 0; at < width && at < 512; at += 64) __builtin_prefetch(next + at);
    }
    std::memcpy(out + i * width, from + static_cast<std::size_t>(rows[i]) * stride, width);
  }
}

std::int64_t gather_ends(const std::int64_t* offsets, const std::int64_t* rows, std::size_t n,
                         std::int64_t* ends) noexcept {
  std::int64_t end = ends[0] = 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (i + ahead < n) __builtin_prefetch(offsets + rows[i + ahead]);
    ends[i + 1] = end += offsets[rows[i] + 1] - offsets[rows[i]];
  }
  return end;
}

void gather_items(const char* items, std::size_t width, const std::int64_t* offsets, const std::int64_t* rows,
                  std::size_t n, char* out) noexcept {
  for (std::size_t i = 0; i < n; ++i) {
    if (i + ahead < n) __builtin_prefetch(items + static_cast<std::size_t>(offsets[rows[i + ahead]]) * width);
    const auto first = static_cast<std::size_t>(offsets[rows[i]]),
               last = static_cast<std::size_t>(offsets[rows[i] + 1]);
    if (first != last) std::memcpy(out, items + first * width, (last - first) * width);
    out += (last - first) * width;
  }
}

bool rows_inside(const std::int64_t* rows, std::size_t n, std::int64_t count) noexcept {
  bool inside = true;
  for (std::size_t i = 0; i < n; ++i) inside &= static_cast<std::uint64_t>(rows[i]) < static_cast<std::uint64_t>(count);
  return inside;
}

}  // namespace fg
