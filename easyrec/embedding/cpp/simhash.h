// SimHash: one bit per random direction, the side of it on which a row lies.
#pragma once

#include <cstdint>

#include "packed.h"
#include "pool.h"

namespace embedding {

constexpr int kBits = 64;

// The codes of all rows of one table, and the directions that they are made with.
struct Coding {
  const float* directions;  // (dim, 64)
  std::uint64_t* codes;     // (rows)
};

// Bit j of codes[r] is whether sum_d weights[r][d] * directions[d][j] > 0, summed in the order of d.
// A code depends on its row alone: not on threads, neighbours or the instruction set.
void encode(const float* weights, int dim, std::int64_t begin, std::int64_t end, const Coding& coding) noexcept;

// The same for `count` rows in any order.
void encode_rows(const float* weights, int dim, const std::int64_t* rows, std::int64_t count,
                 const Coding& coding) noexcept;

// The same for all rows, shared between threads.
void encode_all(const float* weights, int dim, std::int64_t num_rows, const Coding& coding, Pool& pool);

// The same for rows in fewer bits: of the numbers that they stand for.
void encode_packed(Storage storage, const std::uint8_t* packed, int dim, std::int64_t num_rows, const Coding& coding,
                   Pool& pool);

}  // namespace embedding
