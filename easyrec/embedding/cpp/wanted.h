// Which rows a batch needs, each of them once, and which worker holds them.
#pragma once

#include <cstdint>
#include <vector>

namespace embedding {

// Tables that are looked up by the same ids.
struct Unit {
  std::int64_t rows;    // ids are below; -1: any number is an id, and its hash says who holds its row
  std::int64_t holder;  // the worker that holds all rows; -1: row r is row r / workers of worker r modulo workers
};

// The ids of one feature.
struct Asking {
  const std::int64_t* ids;
  std::int64_t size;
  std::int64_t unit;
};

struct Wanted {
  std::vector<std::int64_t> rows;    // as their holders number them: by holder, by unit, by first occurrence
  std::vector<std::int64_t> counts;  // (workers, units)
  std::vector<std::int64_t> here;  // (units, workers + 1): where among a unit's rows those of each worker begin and end
  std::int64_t feature = -1, place = 0;  // the first id that is outside its table
};

// places: of every id, one feature after another, where among its unit's rows its row is.
// The features of a unit must follow one another. Where an id is outside its table, the rest is not told.
Wanted wanted(const std::vector<Unit>& units, const std::vector<Asking>& features, std::int64_t workers,
              std::int64_t* places);

}  // namespace embedding
