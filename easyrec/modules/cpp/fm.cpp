#include "fm.h"

#include <algorithm>

namespace modules {
namespace {

constexpr std::size_t kBlock = 64;  // numbers of an embedding that are summed together

// The part of one row that lies in `width` <= kBlock columns; returns its share of the output.
float forward_block(const float* __restrict row, std::size_t num_fields, std::size_t dim, std::size_t width,
                    float* __restrict sums) noexcept {
  float sum[kBlock], square[kBlock];
  std::fill_n(sum, width, 0.0f);
  std::fill_n(square, width, 0.0f);
  for (std::size_t f = 0; f < num_fields; ++f) {
    const float* const e = row + f * dim;
    for (std::size_t d = 0; d < width; ++d) {
      sum[d] += e[d];
      square[d] += e[d] * e[d];
    }
  }
  float total = 0.0f;
  for (std::size_t d = 0; d < width; ++d) {
    sums[d] = sum[d];
    total += sum[d] * sum[d] - square[d];
  }
  return total;
}

}  // namespace

void fm_forward(const float* fields, std::size_t rows, std::size_t num_fields, std::size_t dim, float* sums,
                float* out) noexcept {
  for (std::size_t b = 0; b < rows; ++b) {
    float total = 0.0f;
    for (std::size_t d = 0; d < dim; d += kBlock)
      total += forward_block(fields + b * num_fields * dim + d, num_fields, dim, std::min(kBlock, dim - d),
                             sums + b * dim + d);
    out[b] = 0.5f * total;
  }
}

void fm_backward(const float* fields, const float* sums, const float* g, std::size_t rows, std::size_t num_fields,
                 std::size_t dim, float* grad) noexcept {
  for (std::size_t b = 0; b < rows; ++b) {
    const float* const __restrict sum = sums + b * dim;
    const float scale = g[b];
    for (std::size_t f = 0; f < num_fields; ++f) {
      const std::size_t at = (b * num_fields + f) * dim;
      const float* const __restrict e = fields + at;
      float* const __restrict to = grad + at;
      for (std::size_t d = 0; d < dim; ++d) to[d] = scale * (sum[d] - e[d]);
    }
  }
}

}  // namespace modules
