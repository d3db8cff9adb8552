// What all items score for users by what these took.
#pragma once

#include <cstdint>

#include "lists.h"

namespace statistics {

// scores[b, j] = bias[j] + sum over the steps s of user b, in order, of weights[s] * S[history[s], j].
// S has `near.items` in the columns of its rows; where that is null, rows are dense, all of `num_items` columns.
void score(const Lists& history, const float* weights, std::int64_t users, const Lists& near, const float* values,
           const float* bias, std::int64_t num_items, int threads, float* scores);

}  // namespace statistics
