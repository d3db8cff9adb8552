// The plans of all golden cases over arbitrary cells. However the rows are laid out, cut into batches or given to
// threads, the result is the same.
#include <algorithm>
#include <map>

#include "arrays.h"
#include "bytes.h"
#include "compile.h"
#include "outputs.h"
#include "plain_file.h"

namespace {

using fg::Plain;

struct Case {
  std::unique_ptr<fg::Plan> plan;
  std::vector<std::string> types;
  std::vector<Plain::List> cells;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = [] {
    std::vector<Case> made;
    const Plain file = test::read_plain(GOLDEN_FILE);
    for (const Plain& one : file.at("cases").list()) {
      Case next;
      std::vector<std::string> names;
      for (const Plain& column : one.at("columns").list()) {
        names.push_back(column.at("name").text());
        next.types.push_back(column.at("type").text());
        next.cells.push_back(column.at("cells").list());
      }
      next.plan = fg::compile_plan(names, one.at("units").list());
      made.push_back(std::move(next));
    }
    return made;
  }();
  return all;
}

struct Made {
  std::vector<test::Rows> outputs;
  std::vector<float> dense;
  std::vector<std::int64_t> bad;  // rows
};

Made run(const Case& one, const std::vector<std::string>& types, const std::vector<Plain::List>& cells,
         const test::Layout& layout, std::int64_t rows, int threads) {
  std::vector<test::Array> arrays;
  fg::Run run;
  for (std::size_t c = 0; c < cells.size(); ++c) {
    arrays.emplace_back(types[c], cells[c], layout);
    run.columns.push_back(arrays.back().column());
  }
  run.rows = rows;
  run.threads = threads;
  const fg::Result result = one.plan->run(run);
  Made made;
  for (std::size_t f = 0; f < one.plan->features().size(); ++f) {
    const fg::Feature& feature = one.plan->features()[f];
    const bool dense = feature.vectors && feature.sink.discretizer != fg::Discretizer::boundaries;
    if (feature.emitted && !dense) made.outputs.push_back(test::rows_of(*one.plan, result, f, rows));
  }
  made.dense.assign(result.dense.values.data(), result.dense.values.data() + result.dense.values.size());
  for (const fg::Bad& bad : result.bad) made.bad.push_back(bad.row);
  made.bad.erase(std::unique(made.bad.begin(), made.bad.end()), made.bad.end());
  return made;
}

void append(const Made& from, std::int64_t row, Made& to) {
  const auto add = [](auto& all, const auto& more) { all.insert(all.end(), more.begin(), more.end()); };
  to.outputs.resize(from.outputs.size());
  for (std::size_t i = 0; i < from.outputs.size(); ++i) {
    test::Rows& rows = to.outputs[i];
    const test::Rows& more = from.outputs[i];
    add(rows.ids, more.ids);
    add(rows.numbers, more.numbers);
    add(rows.weights, more.weights);
    add(rows.texts, more.texts);
    add(rows.lengths, more.lengths);
    add(rows.key_lengths, more.key_lengths);
  }
  add(to.dense, from.dense);
  if (!from.bad.empty()) to.bad.push_back(row);
}

void require_same(const Made& a, const Made& b, const char* what) {
  fuzz::require(a.outputs == b.outputs, what);
  fuzz::require(a.dense.size() == b.dense.size() &&
                    (a.dense.empty() || std::memcmp(a.dense.data(), b.dense.data(), 4 * a.dense.size()) == 0),
                what);
  fuzz::require(a.bad == b.bad, what);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const char* const other_types[] = {"string",
                                            "list<string>",
                                            "int64",
                                            "double",
                                            "list<double>",
                                            "float",
                                            "uint64",
                                            "bool",
                                            "list<int64>",
                                            "list<list<string>>",
                                            "null",
                                            "map<string,string>",
                                            "map<string,float>",
                                            "map<int64,int64>",
                                            "list<list<float>>",
                                            "int8"};
  fuzz::Bytes bytes(data, size);
  const Case& one = cases()[bytes.below(cases().size())];
  const test::Layout& layout = test::layouts()[bytes.below(test::layouts().size())];
  const std::size_t rows = bytes.below(9);
  std::vector<std::string> types = one.types;
  std::vector<Plain::List> cells(types.size());
  for (std::size_t c = 0; c < types.size(); ++c) {
    const std::uint8_t kind = bytes.byte();
    if (kind % 8 == 7) types[c] = other_types[bytes.below(sizeof other_types / sizeof *other_types)];
    const bool own = kind % 8 != 7 && !one.cells[c].empty();
    for (std::size_t r = 0; r < rows; ++r) {
      const bool golden = own && kind % 4 == 0;
      cells[c].push_back(golden ? one.cells[c][bytes.below(one.cells[c].size())] : bytes.cell(types[c]));
    }
  }
  try {
    const auto count = static_cast<std::int64_t>(rows);
    const Made whole = run(one, types, cells, test::layouts()[0], count, 1);
    require_same(whole, run(one, types, cells, layout, count, 1), "the layout of the columns does not matter");
    Made alone;
    for (std::size_t r = 0; r < rows; ++r) {
      std::vector<Plain::List> row;
      for (const Plain::List& column : cells) row.push_back({column[r]});
      append(run(one, types, row, test::layouts()[0], 1, 1), static_cast<std::int64_t>(r), alone);
    }
    if (rows != 0) require_same(whole, alone, "a row does not depend on its neighbours");
  } catch (const std::invalid_argument&) {  // a column of that type cannot be read so
  }
  return 0;
}
