// Lists in flat buffers, and the best entries of a dense row.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace statistics {

// Row r is items[offsets[r]] .. items[offsets[r + 1] - 1].
struct Lists {
  const std::int64_t* offsets;
  const std::int32_t* items;

  const std::int32_t* begin(std::int64_t row) const { return items + offsets[row]; }
  const std::int32_t* end(std::int64_t row) const { return items + offsets[row + 1]; }
  std::int64_t size(std::int64_t row) const { return offsets[row + 1] - offsets[row]; }
};

// Where each item's neighbours go: `keep` places an item, of which counts[i] are filled, the nearest first.
struct Found {
  std::int64_t keep;
  std::int32_t* items;
  float* values;
  std::int64_t* counts;

  // Keeps the largest of an item's scores; of equal ones those of the lower numbers. Reorders `candidates`.
  template <class Score>
  void store(std::int64_t item, std::vector<std::int32_t>& candidates, const Score& score) const {
    const auto before = [&](std::int32_t a, std::int32_t b) {
      const double x = score(a), y = score(b);
      return x != y ? x > y : a < b;
    };
    if (static_cast<std::int64_t>(candidates.size()) > keep) {
      std::nth_element(candidates.begin(), candidates.begin() + keep, candidates.end(), before);
      candidates.resize(static_cast<std::size_t>(keep));
    }
    std::sort(candidates.begin(), candidates.end(), before);
    counts[item] = static_cast<std::int64_t>(candidates.size());
    for (std::size_t n = 0; n < candidates.size(); ++n) {
      items[item * keep + static_cast<std::int64_t>(n)] = candidates[n];
      values[item * keep + static_cast<std::int64_t>(n)] = static_cast<float>(score(candidates[n]));
    }
  }
};

}  // namespace statistics
