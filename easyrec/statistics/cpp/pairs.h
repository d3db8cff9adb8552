// How near items are by the users who took both.
#pragma once

#include <cstdint>

#include "lists.h"

namespace statistics {

// sum_u w_u / (norms[i] * norms[j] + shrinkage) over the users u who took i and j. Of each list ascending items.
// The same numbers with any number of threads.
void cosine(const Lists& of_user, const Lists& of_item, std::int64_t num_items, const double* weights,
            const double* norms, double shrinkage, int threads, const Found& found);

// counts[i, j] of (N, N) = how many users took i and j.
void together(const Lists& of_user, const Lists& of_item, std::int64_t num_items, int threads, double* counts);

// sum_{u < v} w_u w_v / (alpha + |I_u and I_v|) over the pairs of users of i who took j as well, where the users of i
// are those that `of_item` lists, and I_u all that u took. Of each list ascending items.
// The same numbers with any number of threads.
void swing(const Lists& of_user, const Lists& of_item, std::int64_t num_items, const double* weights, double alpha,
           int threads, const Found& found);

}  // namespace statistics
