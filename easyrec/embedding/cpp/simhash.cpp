#include "simhash.h"

#include <algorithm>
#include <vector>

#include "rows.h"

namespace embedding {
namespace {

std::uint64_t code_of(const float* row, int dim, const float* directions) noexcept {
  using L = Lanes<16>;
  L sums[4] = {};
  for (int d = 0; d < dim; ++d, directions += kBits)
    for (int k = 0; k < 4; ++k) sums[k].v += L::load(directions + 16 * k).v * row[d];
  float sides[kBits];
  for (int k = 0; k < 4; ++k) sums[k].store(sides + 16 * k);
  std::uint64_t code = 0;
  for (int j = 0; j < kBits; ++j) code |= static_cast<std::uint64_t>(sides[j] > 0.0f) << j;
  return code;
}

}  // namespace

void encode(const float* weights, int dim, std::int64_t begin, std::int64_t end, const Coding& coding) noexcept {
  for (std::int64_t row = begin; row < end; ++row)
    coding.codes[row] = code_of(weights + row * dim, dim, coding.directions);
}

void encode_rows(const float* weights, int dim, const std::int64_t* rows, std::int64_t count,
                 const Coding& coding) noexcept {
  for (std::int64_t i = 0; i < count; ++i) encode(weights, dim, rows[i], rows[i] + 1, coding);
}

void encode_all(const float* weights, int dim, std::int64_t num_rows, const Coding& coding, Pool& pool) {
  constexpr std::int64_t kBlock = 4096;
  pool.run((num_rows + kBlock - 1) / kBlock, [&](std::int64_t unit, int) {
    encode(weights, dim, unit * kBlock, std::min(num_rows, (unit + 1) * kBlock), coding);
  });
}

void encode_packed(Storage storage, const std::uint8_t* packed, int dim, std::int64_t num_rows, const Coding& coding,
                   Pool& pool) {
  constexpr std::int64_t kBlock = 4096;
  const std::int64_t bytes = row_bytes(storage, dim);
  pool.run((num_rows + kBlock - 1) / kBlock, [&](std::int64_t unit, int) {
    std::vector<float> row(static_cast<std::size_t>(dim));
    with_storage(storage, [&](auto s) {
      for (std::int64_t r = unit * kBlock; r < std::min(num_rows, (unit + 1) * kBlock); ++r) {
        unpack<decltype(s)::value>(row.data(), packed + r * bytes, dim);
        coding.codes[r] = code_of(row.data(), dim, coding.directions);
      }
    });
  });
}

}  // namespace embedding
