// A record batch whose columns lie behind each other in one piece of memory: what a request of numbers is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "arrow_column.h"

namespace fg {

// A column of numbers; or of lists of equal length.
struct FlatColumn {
  std::string name;
  char format = 'l';       // Arrow's: c s i l, C S I L, f g
  std::int64_t list = -1;  // numbers in the list of each row; -1: a number in each row
  std::int64_t from = 0;   // bytes before it in the source
  std::int64_t numbers = 0;
  std::size_t at = 0;  // bytes before it in the batch's own memory, where it is aligned
};

// Columns of the same names, types and sizes for many batches.
struct FlatLayout {
  // Throws std::invalid_argument where a column has not as many numbers as its rows need, or an unknown format.
  FlatLayout(std::vector<FlatColumn> columns, std::int64_t rows);

  std::vector<FlatColumn> columns;
  std::int64_t rows, longest = 0;                    // the longest list
  std::size_t source = 0, size = 0;                  // bytes that a source must have, and those of a batch
  std::vector<std::vector<std::int64_t>> list_ends;  // by column
};

std::size_t bytes_of(char format);

struct FlatBatch {
  FlatBatch(std::shared_ptr<const FlatLayout> layout);

  std::byte* column(std::size_t i) const noexcept { return memory.get() + layout->columns[i].at; }

  std::shared_ptr<const FlatLayout> layout;
  std::shared_ptr<std::byte[]> memory;
};

// Copies the columns out of `source`, which holds layout.source bytes. False: a number is NaN or an infinity.
bool copy_flat(const std::byte* source, const FlatBatch& batch) noexcept;

// Whether all are numbers.
bool all_finite(const FlatBatch& batch, std::size_t column) noexcept;

// Describes the batch by the C data interface; whoever takes it calls `release`. The memory lives as long as it needs.
void export_flat(const FlatBatch& batch, ArrowSchema& schema, ArrowArray& array);

}  // namespace fg
