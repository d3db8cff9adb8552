// Sums over fields of what follows from each: from a row of a table computed ahead, from others when they are read.
#pragma once

#include <cstdint>
#include <vector>

#include "lookup.h"

namespace embedding {

constexpr int kGroup = 16;  // columns of one power

// What follows from each row of a field's table, (rows, width); null: nothing was computed ahead.
struct Ahead {
  const float* rows = nullptr;
  std::int64_t size = 0;
};

// How fields are added up. Field i has `dims[i]` columns; what follows from them is them, or their squares where
// `squares` says so of a group of columns, times its part of `matrix`.
struct SumPlan {
  std::vector<int> dims;
  const float* matrix = nullptr;  // (all dims, width)
  std::int64_t width = 0;
  std::vector<bool> squares;  // width / kGroup
  std::vector<Ahead> ahead;
};

// Fills out (num_rows, width), `stride` floats from row to row; `bad` counts ids outside their table.
Fault add_up(const SumPlan& plan, const Bag* bags, std::int64_t num_rows, float* out, std::int64_t stride,
             std::int64_t& bad, Pool& pool);

}  // namespace embedding
