// The optimizer's step on the tables of a model, from the gradients of looked-up columns.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "compressed.h"
#include "optimizers.h"
#include "pool.h"
#include "reduce.h"
#include "simhash.h"

namespace embedding {

struct Table {
  float* weights;  // (rows, dim)
  float* a;        // state, widths as the rule says; null where it has none
  float* b;
  std::int64_t rows;
  int dim;
  std::vector<Coding> codings = {};                  // kept true to the weights
  Storage storage = Storage::fp32;                   // in fewer bits: `weights` is null, and nothing learns
  const std::uint8_t* packed = nullptr;              // (rows) of row_bytes(storage, dim)
  std::shared_ptr<Compressed> compressed = nullptr;  // instead of both, and nothing learns
};

// What a step does besides the rule.
struct Step {
  Rule rule;
  Hyper hyper;
  float scale = 1.0f;        // factor of the whole gradient, for clipping
  float regularizer = 0.0f;  // lambda: every row's gradient grows by lambda * weights
  bool dense = false;        // step on every row, those without a gradient too

  bool all_rows() const { return dense || regularizer != 0.0f; }
};

// Sums and steps; keeps its scratch memory. Results do not depend on the number of threads.
class Updater {
 public:
  // sources[t]: the gradients of table t in a fixed order; tables without any are left alone, unless all rows move.
  // Both return the index of a table with an id outside, or -1. Not for concurrent use.
  int apply(const std::vector<Table>& tables, const std::vector<std::vector<Source>>& sources, const Step& step,
            Pool& pool);

  // Sum over all weights of the squared gradient, as `apply` sees it before `scale`.
  int square_sum(const std::vector<Table>& tables, const std::vector<std::vector<Source>>& sources, const Step& step,
                 Pool& pool, double& sum);

 private:
  struct Unit {
    int table;
    int part;  // of the table's ids; -1: all of them
    std::int64_t work;
  };
  struct Range {
    int table;
    std::int64_t begin, end;
  };

  std::vector<Unit> units(const std::vector<std::vector<Source>>& sources, bool divide, Pool& pool, int& wrong);
  bool reduce_unit(const std::vector<std::vector<Source>>& sources, const Unit& unit, Reduced& out) const;
  std::vector<Range> ranges(const std::vector<Table>& tables) const;
  int reduce_all(const std::vector<Table>& tables, const std::vector<std::vector<Source>>& sources, Pool& pool);

  std::vector<Reduced> scratch_;                  // per worker
  std::vector<Occurrences> divided_;              // per table whose ids are divided
  std::vector<Reduced> kept_;                     // per table, where all rows move
  std::vector<std::vector<std::int32_t>> where_;  // per table: row -> place in kept_, -1 without gradient
};

}  // namespace embedding
