// Which steps of each row's sequence are worth a lookup, decided by their ids.
#pragma once

#include <cstdint>

#include "packed.h"
#include "pool.h"

namespace embedding {

// Elements of rows, each with any number of ids.
struct Elements {
  const std::int64_t* ids = nullptr;
  std::int64_t num_ids = 0;
  const std::int64_t* offsets = nullptr;      // (rows + 1); null: one element per row
  const std::int64_t* key_offsets = nullptr;  // (elements + 1); null: one id per element

  std::int64_t begin(std::int64_t row) const { return offsets ? offsets[row] : row; }
  std::int64_t first_key(std::int64_t element) const { return key_offsets ? key_offsets[element] : element; }
};

// How steps are compared with the candidate of their row, c.
//   newest  not at all: the newest steps are kept
//   equal   kept are the newest steps that share an id with the candidate
//   codes   kept are the steps of the least Hamming distance between the codes of first ids
//   inner   kept are the steps of the largest inner product between the rows of first ids
// Ties are the newest's. Steps without an id, or with one outside the table, are taken last; where the candidate has
// none, all steps are alike (`equal`: none is kept).
struct Search {
  enum Kind { newest, equal, codes, inner };
  Kind kind = newest;
  std::int64_t top = 1;
  const std::uint64_t* code = nullptr;  // per row of the table
  std::uint64_t mask = ~std::uint64_t{0};
  const float* rows = nullptr;  // (num_table_rows, dim)
  int dim = 0;
  std::int64_t num_table_rows = 0;
  Storage storage = Storage::fp32;  // in fewer bits: `rows` is null
  const std::uint8_t* packed = nullptr;
};

// Whether offsets and key offsets ascend from 0 to the end, so that `search` reads no memory outside.
bool sound(const Elements& elements, std::int64_t num_rows, std::int64_t num_elements) noexcept;

// found[starts[b] ... + counts[b]] are the places of row b's kept steps, oldest first, for starts[b] = the sum over
// earlier rows of min(steps, top). Needs sound input. The result does not depend on the number of threads.
void search(const Search& search, const Elements& steps, const Elements& candidates, std::int64_t num_rows,
            const std::int64_t* starts, std::int64_t* found, std::int64_t* counts, Pool& pool);

}  // namespace embedding
