#include "plan.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <set>
#include <stdexcept>
#include <tuple>

#include "parallel.h"
#include "unit_run.h"

namespace fg {
namespace {

constexpr std::int64_t least_rows = 1024;  // a stretch of fewer rows is not worth a thread's while

// Appends ends that count from `base`, leaving out their leading 0.
void append_ends(const Slab<std::int64_t>& from, std::int64_t base, Slab<std::int64_t>& to) {
  if (to.empty()) to.push(0);
  if (from.size() <= 1) return;
  std::int64_t* const out = to.grow(from.size() - 1);
  for (std::size_t i = 1; i < from.size(); ++i) out[i - 1] = from[i] + base;
  to.set_size(to.size() + from.size() - 1);
}

void append_single_ends(std::int64_t elements, std::int64_t base, Slab<std::int64_t>& to) {
  if (to.empty()) to.push(0);
  std::int64_t* const out = to.grow(static_cast<std::size_t>(elements));
  for (std::int64_t i = 0; i < elements; ++i) out[i] = base + i + 1;
  to.set_size(to.size() + static_cast<std::size_t>(elements));
}

// One copy of many bytes, shared between threads.
void copy(void* to, const void* from, std::size_t bytes, int threads) {
  constexpr std::size_t piece = std::size_t{1} << 20;
  const std::size_t pieces = (bytes + piece - 1) / piece;
  parallel(pieces > 4 ? threads : 1, pieces, [&](std::size_t i, std::size_t) {
    std::memcpy(static_cast<char*>(to) + i * piece, static_cast<const char*>(from) + i * piece,
                std::min(piece, bytes - i * piece));
  });
}

template <class T>
void append(const Slab<T>& from, Slab<T>& to, int threads) {
  T* const out = to.grow(from.size());
  if (!from.empty()) copy(out, from.data(), from.size() * sizeof(T), threads);
  to.set_size(to.size() + from.size());
}

// The outputs of consecutive stretches as one: the others are appended to the first.
Output join(const std::vector<Output*>& parts, int threads) {
  Output whole = std::move(*parts[0]);
  if (parts.size() == 1) return whole;
  std::size_t ids = 0, numbers = 0, weights = 0;
  bool single = true;
  for (const Output* part : parts) {
    single = single && (part == parts[0] ? whole : *part).single;
    ids += (part == parts[0] ? whole : *part).ids.size();
    numbers += (part == parts[0] ? whole : *part).numbers.size();
    weights += (part == parts[0] ? whole : *part).weights.size();
  }
  whole.ids.reserve(ids);
  whole.numbers.reserve(numbers);
  whole.weights.reserve(weights);
  if (whole.single && !single) append_single_ends(whole.elements, 0, whole.value_ends);
  whole.single = single;
  for (std::size_t i = 1; i < parts.size(); ++i) {
    Output& part = *parts[i];
    const auto values = static_cast<std::int64_t>(whole.text_ends.empty() ? whole.ids.size() + whole.doubles.size()
                                                                          : whole.text_ends.size() - 1);
    if (!single)
      part.single ? append_single_ends(part.elements, values, whole.value_ends)
                  : append_ends(part.value_ends, values, whole.value_ends);
    if (!part.element_ends.empty()) append_ends(part.element_ends, whole.elements, whole.element_ends);
    if (!part.text_ends.empty())
      append_ends(part.text_ends, static_cast<std::int64_t>(whole.text.size()), whole.text_ends);
    append(part.ids, whole.ids, threads);
    append(part.numbers, whole.numbers, threads);
    append(part.weights, whole.weights, threads);
    append(part.doubles, whole.doubles, threads);
    append(part.text, whole.text, threads);
    whole.elements += part.elements;
    part = Output();
  }
  return whole;
}

Column plain_column(Type type, std::int64_t length, const void* data) {
  Column column;
  column.type = type;
  column.length = length;
  column.data = data;
  return column;
}

Column list_column(Slab<std::int64_t>& ends, Column items) {
  Column column;
  if (ends.empty()) ends.push(0);
  column.type = Type::list64;
  column.length = static_cast<std::int64_t>(ends.size()) - 1;
  column.offsets = ends.data();
  column.children.push_back(std::move(items));
  return column;
}

// A computed feature as a column that others read.
Column as_column(const Feature& feature, Output& output) {
  Column values;
  if (feature.vectors && feature.sink.discretizer != Discretizer::boundaries) {
    values = plain_column(Type::f32, static_cast<std::int64_t>(output.numbers.size()), output.numbers.data());
    const std::int64_t dim = feature.sink.value_dim;
    if (dim > 1) {
      output.value_ends.clear();
      for (std::int64_t e = 0; e <= output.elements; ++e) output.value_ends.push(e * dim);
      values = list_column(output.value_ends, std::move(values));
    }
  } else if (feature.sink.discretizer == Discretizer::numbers) {
    values = plain_column(Type::f64, static_cast<std::int64_t>(output.doubles.size()), output.doubles.data());
    values = list_column(output.value_ends, std::move(values));
  } else if (feature.sink.discretizer == Discretizer::text) {
    values = plain_column(Type::text64, static_cast<std::int64_t>(output.text_ends.size()) - 1, output.text.data());
    values.offsets = output.text_ends.data();
    values = list_column(output.value_ends, std::move(values));
  } else {
    values = plain_column(Type::i64, static_cast<std::int64_t>(output.ids.size()), output.ids.data());
    if (!output.single) values = list_column(output.value_ends, std::move(values));
  }
  return output.element_ends.empty() ? values : list_column(output.element_ends, std::move(values));
}

bool is_dense(const Feature& feature, const Unit& unit) {
  return feature.vectors && !unit.sequence && feature.sink.discretizer != Discretizer::boundaries;
}

// The column itself, where its whole numbers are the ids, one in every row and all inside; else null.
const std::int64_t* as_ids(const Feature& feature, const Unit& unit, const std::vector<Column>& columns,
                           std::int64_t rows) noexcept {
  const SinkRule& sink = feature.sink;
  if (unit.sequence || feature.referenced || !feature.emitted || feature.operation != nullptr || feature.vectors)
    return nullptr;
  if (sink.discretizer != Discretizer::range || sink.weighted || feature.inputs[0].column < 0) return nullptr;
  const Column& column = columns[static_cast<std::size_t>(feature.inputs[0].column)];
  if (column.type != Type::i64 || column.valid != nullptr || column.length != rows || rows == 0) return nullptr;
  const std::int64_t* const ids = column.values<std::int64_t>();
  bool inside = true;
  for (std::int64_t r = 0; r < rows; ++r)
    inside &= static_cast<std::uint64_t>(ids[r]) < static_cast<std::uint64_t>(sink.size);
  return inside ? ids : nullptr;
}

// What is wrong with a column that stands beside all rows was found once a block: the first row tells it.
void tell_once(std::vector<Bad>& bad) {
  std::set<std::tuple<int, int, std::string>> told;
  const auto again = [&](const Bad& one) {
    return one.beside && !told.insert({one.feature, one.column, one.reason}).second;
  };
  bad.erase(std::remove_if(bad.begin(), bad.end(), again), bad.end());
}

struct Task {
  std::size_t unit;
  std::int64_t first, last;
  std::int64_t cost;
  Stretch stretch;
};

// About what a unit costs: rows, list items and text of all that it reads.
std::int64_t cost_of(const std::vector<std::vector<const Column*>>& inputs, std::int64_t rows) {
  std::int64_t cost = 0;
  for (const auto& of_feature : inputs) {
    for (const Column* column : of_feature) cost += rows + (column->length == rows ? weight_of(*column, 0, rows) : 0);
  }
  return cost;
}

// The units of a level as tasks, the costly ones first. A unit that costs a large part of a thread's share is cut: into
// one large piece, which the others will be appended to, and small ones that level out what the estimate gets wrong.
std::vector<Task> divide(const std::vector<Unit>& units, int level,
                         const std::vector<std::vector<std::vector<const Column*>>>& columns, std::int64_t rows,
                         int threads) {
  std::vector<Task> tasks;
  std::int64_t total = 0;
  for (std::size_t u = 0; u < units.size(); ++u) {
    if (units[u].level != level || columns[u].empty()) continue;  // another level's, or nothing to compute
    tasks.push_back({u, 0, rows, threads > 1 ? cost_of(columns[u], rows) : 0, {}});
    total += tasks.back().cost;
  }
  if (threads <= 1) return tasks;
  const std::int64_t large = std::max<std::int64_t>(total * 3 / 4 / threads, 1),
                     small = std::max<std::int64_t>(total / 4 / threads, 1);
  const std::size_t whole = tasks.size();
  for (std::size_t t = 0; t < whole; ++t) {
    const std::int64_t all = tasks[t].last, cost = tasks[t].cost;
    if (cost <= large || all < 2 * least_rows) continue;
    const auto rows_for = [&](std::int64_t part) {
      return std::max<std::int64_t>(
          static_cast<std::int64_t>(static_cast<double>(all) * static_cast<double>(part) / static_cast<double>(cost)),
          least_rows);
    };
    std::int64_t at = std::min(all, rows_for(large));
    tasks[t].last = at;
    tasks[t].cost = large;
    while (at < all) {
      const std::int64_t end = all - at < 2 * least_rows ? all : std::min(all, at + rows_for(small));
      tasks.push_back({tasks[t].unit, at, end, small, {}});
      at = end;
    }
  }
  std::stable_sort(tasks.begin(), tasks.end(), [](const Task& a, const Task& b) { return a.cost > b.cost; });
  return tasks;
}

}  // namespace

Plan::Plan(std::vector<Feature> features, std::vector<Unit> units, std::vector<std::string> columns)
    : features_(std::move(features)), units_(std::move(units)), columns_(std::move(columns)) {
  for (const Unit& unit : units_) levels_ = std::max(levels_, unit.level + 1);
  for (const Feature& feature : features_) {
    for (const Input& input : feature.inputs) {
      if (input.feature >= 0) features_[static_cast<std::size_t>(input.feature)].referenced = true;
    }
  }
}

Result Plan::run(const Run& run) const {
  for (const Feature& feature : features_) {
    for (const Input& input : feature.inputs) {
      if (input.column < 0) continue;
      const auto at = static_cast<std::size_t>(input.column);
      const char* const problem = unreadable(run.columns[at], input.reading);
      if (problem != nullptr) throw std::invalid_argument("column '" + columns_[at] + "': " + problem);
    }
  }
  Result result;
  result.outputs.resize(features_.size());
  std::vector<std::int64_t> place(features_.size(), -1);  // in the dense block
  Dense& dense = result.dense;
  for (const Unit& unit : units_) {
    for (const int f : unit.features) {
      const Feature& feature = features_[static_cast<std::size_t>(f)];
      if (!feature.emitted || !is_dense(feature, unit)) continue;
      place[static_cast<std::size_t>(f)] = dense.width;
      dense.width += feature.sink.value_dim;
    }
  }
  dense.rows = run.rows;
  dense.values.resize(static_cast<std::size_t>(dense.rows * dense.width));

  std::vector<bool> skipped(units_.size(), false);
  result.borrowed.assign(features_.size(), nullptr);
  for (std::size_t u = 0; u < units_.size(); ++u) {
    bool all = true;  // a unit is skipped as a whole or not at all
    for (const int at : units_[u].features) {
      const auto f = static_cast<std::size_t>(at);
      if (all) result.borrowed[f] = as_ids(features_[f], units_[u], run.columns, run.rows);
      all = all && result.borrowed[f] != nullptr;
    }
    skipped[u] = all;
    for (const int at : units_[u].features) {
      if (!all) result.borrowed[static_cast<std::size_t>(at)] = nullptr;
    }
  }

  std::vector<Column> made(features_.size());
  for (int level = 0; level < levels_; ++level) {
    std::vector<std::vector<std::vector<const Column*>>> columns(units_.size());
    std::vector<std::vector<DenseTarget>> targets(units_.size());
    for (std::size_t u = 0; u < units_.size(); ++u) {
      if (units_[u].level != level || skipped[u]) continue;
      for (const int f : units_[u].features) {
        const Feature& feature = features_[static_cast<std::size_t>(f)];
        auto& inputs = columns[u].emplace_back();
        for (const Input& input : feature.inputs) {
          inputs.push_back(input.column >= 0 ? &run.columns[static_cast<std::size_t>(input.column)]
                                             : &made[static_cast<std::size_t>(input.feature)]);
        }
        DenseTarget target;
        if (place[static_cast<std::size_t>(f)] >= 0 && !feature.referenced && run.rows != 0)
          target = {dense.values.data() + place[static_cast<std::size_t>(f)], static_cast<std::size_t>(dense.width)};
        targets[u].push_back(target);
      }
    }
    std::vector<Task> tasks = divide(units_, level, columns, run.rows, run.threads);
    std::vector<Workspace> spaces(static_cast<std::size_t>(std::max(1, run.threads)));
    parallel(run.threads, tasks.size(), [&](std::size_t i, std::size_t thread) {
      Task& task = tasks[i];
      run_unit(units_[task.unit], features_, columns[task.unit], run.rows, task.first, task.last, targets[task.unit],
               spaces[thread], task.stretch);
    });
    std::vector<std::vector<Task*>> pieces(units_.size());  // of each unit, in the order of their rows
    for (Task& task : tasks) pieces[task.unit].push_back(&task);
    for (auto& of_unit : pieces)
      std::sort(of_unit.begin(), of_unit.end(), [](const Task* a, const Task* b) { return a->first < b->first; });
    for (std::size_t u = 0; u < units_.size(); ++u) {
      for (std::size_t k = 0; k < units_[u].features.size() && !pieces[u].empty(); ++k) {
        std::vector<Output*> parts;
        for (Task* task : pieces[u]) parts.push_back(&task->stretch.outputs[k]);
        const auto f = static_cast<std::size_t>(units_[u].features[k]);
        result.outputs[f] = join(parts, run.threads);
        if (features_[f].referenced) made[f] = as_column(features_[f], result.outputs[f]);
      }
    }
    for (Task& task : tasks)
      std::move(task.stretch.bad.begin(), task.stretch.bad.end(), std::back_inserter(result.bad));
  }

  for (std::size_t i = 0; i < features_.size(); ++i) {  // what others read was computed on its own
    if (place[i] < 0 || !features_[i].referenced) continue;
    const std::size_t dim = features_[i].sink.value_dim;
    const float* from = result.outputs[i].numbers.data();
    float* to = dense.values.data() + place[i];
    for (std::int64_t r = 0; r < dense.rows; ++r, from += dim, to += dense.width) std::copy_n(from, dim, to);
  }
  std::stable_sort(result.bad.begin(), result.bad.end(),
                   [](const Bad& a, const Bad& b) { return a.row != b.row ? a.row < b.row : a.feature < b.feature; });
  tell_once(result.bad);
  return result;
}

}  // namespace fg
