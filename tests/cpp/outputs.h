// What a plan made of a feature, as rows.
#pragma once

#include <cstdint>
#include <vector>

#include "plan.h"

namespace test {

struct Rows {
  std::vector<std::int64_t> ids;
  std::vector<float> numbers;  // of a dense feature, or a sequence of vectors
  std::vector<float> weights;
  std::vector<std::string> texts;
  std::vector<std::int64_t> lengths;      // elements a row of sequences, values a row of others
  std::vector<std::int64_t> key_lengths;  // values an element, of sequences
  bool operator==(const Rows& other) const;
};

// The rows of feature `f`; `place` is its first column in the dense block, where it is there.
Rows rows_of(const fg::Plan& plan, const fg::Result& result, std::size_t f, std::int64_t rows, std::int64_t place = -1);

}  // namespace test
