// Rows picked out of flat buffers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fg {

// out row i = row rows[i] of `from`; a row is `width` bytes and starts every `stride` bytes.
void gather_rows(const char* from, std::size_t stride, std::size_t width, const std::int64_t* rows, std::size_t n,
                 char* out) noexcept;

// ends[i + 1] = ends[i] + length of row rows[i]; ends[0] = 0. Writes n + 1 values, returns the last.
std::int64_t gather_ends(const std::int64_t* offsets, const std::int64_t* rows, std::size_t n,
                         std::int64_t* ends) noexcept;

// Copies the items of rows rows[i] one after the other; an item is `width` bytes.
void gather_items(const char* items, std::size_t width, const std::int64_t* offsets, const std::int64_t* rows,
                  std::size_t n, char* out) noexcept;

// Whether every row number lies in [0, count).
bool rows_inside(const std::int64_t* rows, std::size_t n, std::int64_t count) noexcept;

}  // namespace fg
