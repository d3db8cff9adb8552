#pragma once

#include <cstddef>

namespace modules {

// Rows of `fields` hold F embeddings of D numbers, one after another.

// sums[b] = sum of row b's embeddings (D numbers); out[b] = sum over d of (sums[b][d]^2 - sum over f of e[f][d]^2) / 2.
void fm_forward(const float* fields, std::size_t rows, std::size_t num_fields, std::size_t dim, float* sums,
                float* out) noexcept;

// grad[b][f][d] = g[b] * (sums[b][d] - fields[b][f][d]).
void fm_backward(const float* fields, const float* sums, const float* g, std::size_t rows, std::size_t num_fields,
                 std::size_t dim, float* grad) noexcept;

}  // namespace modules
