// The compiled generator: all features over all columns of a batch in one call.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "arrow_column.h"
#include "operation.h"
#include "reader.h"
#include "sequence.h"
#include "sink.h"

namespace fg {

struct Input {
  int column = -1;   // of the batch, or
  int feature = -1;  // an earlier feature
  Reading reading;
};

struct Feature {
  std::shared_ptr<const Operation> operation;  // null: the values as they are
  std::vector<Input> inputs;
  SinkRule sink;
  bool vectors = false;   // numbers rather than ids
  bool exploded = false;  // a plain feature whose values are handed out as the elements of a sequence
  bool emitted = true;
  bool shared = false;  // computes what the feature before it in the unit computes
  bool referenced = false;
};

// Features that share the shape of one sequence, or plain features of the same values.
struct Unit {
  std::vector<int> features;
  bool sequence = false;
  SequenceRule rule;
  bool shortest = false;  // unequal lengths are cut, not faults
  int level = 0;          // above every feature it reads
};

struct Bad {
  std::int64_t row;
  int feature, column;
  std::string reason;
  bool beside = false;  // of a column that stands beside all rows
};

struct Dense {
  Slab<float> values;
  std::int64_t rows = 0, width = 0;
};

struct Result {
  std::vector<Output> outputs;                // by feature
  std::vector<const std::int64_t*> borrowed;  // by feature: ids that are the batch's own memory, one a row; else null
  Dense dense;                                // all dense features side by side
  std::vector<Bad> bad;                       // by row, then feature
};

struct Run {
  std::vector<Column> columns;  // by plan column; length 1 stands for every row
  std::int64_t rows = 0;
  int threads = 1;
};

class Plan {
 public:
  Plan(std::vector<Feature> features, std::vector<Unit> units, std::vector<std::string> columns);
  // Throws std::invalid_argument where a column cannot be read as its features need it.
  Result run(const Run& run) const;
  const std::vector<Feature>& features() const noexcept { return features_; }
  const std::vector<Unit>& units() const noexcept { return units_; }
  const std::vector<std::string>& columns() const noexcept { return columns_; }

 private:
  std::vector<Feature> features_;
  std::vector<Unit> units_;
  std::vector<std::string> columns_;
  int levels_ = 0;
};

}  // namespace fg
