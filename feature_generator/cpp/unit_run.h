// One unit over one stretch of rows, block by block.
#pragma once

#include <memory>
#include <unordered_map>

#include "plan.h"

namespace fg {

// What a stretch of one unit produced.
struct Stretch {
  std::vector<Output> outputs;  // by the unit's features
  std::vector<Bad> bad;
};

// Memory that one thread reuses from block to block.
struct Workspace {
  struct PerInput {
    Cells read, shaped, repeated;
    Slab<std::uint32_t> counts;
    Cells* ready = nullptr;
    bool beside_all = false;            // one row for the whole batch
    const std::uint32_t* at = nullptr;  // which element stands beside each element of the result; null: its own
  };
  std::vector<std::unique_ptr<PerInput>> inputs;
  Cells computed;
  Cells taken, spare;  // copies for features that share what was computed: the one in use, and the next one's
  SinkScratch sink;
  Slab<std::uint32_t> lengths, kept;
  Slab<std::uint32_t> zeros, rows_at;  // for each element of the block: 0, and its row
  std::unordered_map<const Operation*, std::unique_ptr<Operation::Scratch>> scratches;
};

// Where a dense feature's rows go.
struct DenseTarget {
  float* to = nullptr;  // row 0; null: into the output itself
  std::size_t stride = 0;
};

// Runs rows [first, last) of `unit`. `columns[f][i]` is input i of feature f of the unit, `rows` the batch's rows. The
// stretch that begins at row 0 makes room for all rows: the others will be appended to it.
void run_unit(const Unit& unit, const std::vector<Feature>& features,
              const std::vector<std::vector<const Column*>>& columns, std::int64_t rows, std::int64_t first,
              std::int64_t last, const std::vector<DenseTarget>& targets, Workspace& space, Stretch& stretch);

}  // namespace fg
