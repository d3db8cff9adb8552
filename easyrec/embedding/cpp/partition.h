// Divides the many ids of one table among threads.
#pragma once

#include <cstdint>
#include <vector>

#include "bag.h"
#include "pool.h"

namespace embedding {

// The gradient of one bag's columns: row b is grad[b * stride .. + dim].
struct Source {
  const Bag* bag;
  const float* grad;
  std::int64_t stride;
  std::int64_t num_rows;
};

// Scatters a row's bits, so that neighbouring ids fall apart.
inline std::uint64_t mix(std::int64_t row) { return static_cast<std::uint64_t>(row) * 0x9E3779B97F4A7C15ull; }

// Calls f(id, row of the gradient, factor) for every id of the rows begin .. end, in their order.
template <class F>
inline void each_id(const Bag& bag, std::int64_t begin, std::int64_t end, F&& f) {
  for (std::int64_t b = begin; b < end; ++b) {
    const std::int64_t low = bag.begin(b), high = bag.begin(b + 1);
    const float mean = bag.mean && high > low ? 1.0f / static_cast<float>(high - low) : 1.0f;
    for (std::int64_t e = low; e < high; ++e) {
      const std::int64_t first = bag.first_key(e), last = bag.first_key(e + 1);
      const float share = bag.element_mean && last > first ? mean / static_cast<float>(last - first) : mean;
      for (std::int64_t k = first; k < last; ++k) f(bag.ids[k], b, bag.weights ? share * bag.weights[k] : share);
    }
  }
}

// All ids of a table in a step, those of one part side by side and in the order of the sources.
struct Occurrences {
  std::vector<std::int64_t> begins;  // parts + 1
  std::vector<std::int64_t> ids;
  std::vector<const float*> grads;  // row of the gradient
  std::vector<float> shares;        // its factor

  std::vector<std::int64_t> counts;  // scratch: per chunk and part
  std::vector<std::uint8_t> owners;  // scratch: part of each id
};

// Ids that the sources hold in all.
std::int64_t count_ids(const std::vector<Source>& sources);

// Parts that so many ids are divided into: by their number alone, so that nothing depends on the threads.
// 1: not worth dividing.
int parts_of(std::int64_t ids);

// Divides the ids of one table into parts by their bits. Returns false where an id lies outside the table.
bool partition(const std::vector<Source>& sources, int parts, Pool& pool, Occurrences& out);

}  // namespace embedding
