// Sums the gradients of equal ids.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "partition.h"

namespace embedding {

// Memory for floats that is not filled, aligned to cache lines, and kept from step to step.
class Floats {
 public:
  float* reserve(std::size_t size);
  float* data() const { return data_; }

 private:
  std::unique_ptr<char[]> memory_;
  float* data_ = nullptr;
  std::size_t size_ = 0;
};

// Scratch memory and result of `reduce`.
struct Reduced {
  std::vector<std::int64_t> rows;  // the different rows, in the order of their first occurrence
  Floats sums;                     // rows.size() x dim

  std::vector<std::int32_t> table;    // open addressing: row -> place in `rows`, -1 empty
  std::vector<std::int32_t> places;   // of each occurrence
  std::vector<std::int32_t> origins;  // row of the gradient of each occurrence
  std::vector<float> shares;          // and its factor
};

// De-duplicates the ids of all sources of one table, and sums their gradients in the order of the sources and their
// occurrences. Returns false where an id lies outside the table.
bool reduce(const std::vector<Source>& sources, Reduced& out);

// The same for one part of the ids; a row's sum is the same to the bit.
bool reduce(const Bag& bag, const Occurrences& occurrences, int part, Reduced& out);

}  // namespace embedding
