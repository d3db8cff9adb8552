#include "scores.h"

#include <algorithm>

#include "../../../feature_generator/cpp/parallel.h"

namespace statistics {

void score(const Lists& history, const float* weights, std::int64_t users, const Lists& near, const float* values,
           const float* bias, std::int64_t num_items, int threads, float* scores) {
  fg::parallel(threads, static_cast<std::size_t>(users), [&](std::size_t user, std::size_t) {
    const auto b = static_cast<std::int64_t>(user);
    float* const row = scores + b * num_items;
    std::copy(bias, bias + num_items, row);
    for (std::int64_t s = history.offsets[b]; s < history.offsets[b + 1]; ++s) {
      const std::int64_t item = history.items[s];
      const float weight = weights[s];
      if (near.items == nullptr) {
        const float* const from = values + item * num_items;
        for (std::int64_t j = 0; j < num_items; ++j) row[j] += weight * from[j];
      } else {
        for (std::int64_t e = near.offsets[item]; e < near.offsets[item + 1]; ++e)
          row[near.items[e]] += weight * values[e];
      }
    }
  });
}

}  // namespace statistics
