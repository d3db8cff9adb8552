// Lookup and pooling of many features into one buffer.
#pragma once

#include <cstdint>

#include "bag.h"
#include "pool.h"

namespace embedding {

// The first thing found wrong with the input. `bag` < 0: nothing.
struct Fault {
  enum What { id, offsets, key_offsets };
  int bag = -1;
  std::int64_t row = 0;
  std::int64_t value = 0;
  What what = id;
};

// Fills out[b * stride + bag.column ...] for b in 0 .. num_rows - 1 and all bags.
// Ids are checked: with `count_bad`, those outside their table add nothing and *count_bad is how many they were;
// without it the lowest block's first is returned as a fault and the content of `out` is undefined.
// Wrong offsets are a fault always. Reads no memory outside the arrays, whatever they hold.
Fault lookup(const Bag* bags, int num_bags, std::int64_t num_rows, float* out, std::int64_t stride,
             std::int64_t* count_bad, Pool& pool);

// rows[offsets[b] .. offsets[b+1]] = b. offsets must ascend from 0 to the size of `rows`; returns false where not.
bool row_ids(const std::int64_t* offsets, std::int64_t num_rows, std::int64_t size, std::int64_t* rows) noexcept;

}  // namespace embedding
