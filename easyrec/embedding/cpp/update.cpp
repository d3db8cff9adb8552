#include "update.h"

#include <algorithm>
#include <atomic>

#include "rows.h"

namespace embedding {
namespace {

constexpr std::int64_t kAhead = 12;       // rows of weights and state prefetched before they are changed
constexpr std::int64_t kPart = 1 << 15;   // occurrences from which a table is shared between threads
constexpr std::int64_t kRange = 1 << 16;  // weights per unit of a pass over all rows

template <class R, int D>
void step_rows(const Table& table, const Reduced& reduced, const Hyper& hyper) {
  const int dim = D ? D : table.dim;
  const int a_width = R::a_width(dim), b_width = R::b_width(dim);
  const std::int64_t size = static_cast<std::int64_t>(reduced.rows.size());
  const std::int64_t* rows = reduced.rows.data();
  const float* sums = reduced.sums.data();
  for (std::int64_t u = 0; u < size; ++u) {
    if (u + kAhead < size) {
      const std::int64_t row = rows[u + kAhead];
      prefetch_row<D, 1>(table.weights + row * dim, dim);
      if (a_width == 1) __builtin_prefetch(table.a + row, 1, 3);
      if (a_width > 1) prefetch_row<D, 1>(table.a + row * dim, dim);
      if (b_width > 0) prefetch_row<D, 1>(table.b + row * dim, dim);
    }
    const std::int64_t row = rows[u];
    R::template step<D>(hyper, table.weights + row * dim, table.a + row * a_width, table.b + row * b_width,
                        sums + u * dim, dim);
  }
}

// g = sum + lambda * w, for a row that may have no sum.
inline void whole_gradient(const float* sum, const float* w, float lambda, float* __restrict g, int dim) {
  for (int i = 0; i < dim; ++i) g[i] = (sum ? sum[i] : 0.0f) + lambda * w[i];
}

template <class R, int D>
void step_range(const Table& table, std::int64_t begin, std::int64_t end, const std::int32_t* where, const float* sums,
                const Step& step) {
  const int dim = D ? D : table.dim;
  const int a_width = R::a_width(dim), b_width = R::b_width(dim);
  std::vector<float> gradient(static_cast<std::size_t>(dim), 0.0f);
  float* g = gradient.data();
  for (std::int64_t row = begin; row < end; ++row) {
    float* w = table.weights + row * dim;
    whole_gradient(where[row] < 0 ? nullptr : sums + std::int64_t{where[row]} * dim, w, step.regularizer, g, dim);
    if (step.scale != 1.0f)
      for (int i = 0; i < dim; ++i) g[i] *= step.scale;
    R::template step<D>(step.hyper, w, table.a + row * a_width, table.b + row * b_width, g, dim);
  }
}

double squares(const float* values, std::int64_t size) {
  double lanes[8] = {};
  for (std::int64_t i = 0; i < size; i += 8)
    for (std::int64_t k = 0; k < 8 && i + k < size; ++k) lanes[k] += double{values[i + k]} * double{values[i + k]};
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

}  // namespace

// Work that threads share, the largest first; with `divide` the ids of a large table become several units.
std::vector<Updater::Unit> Updater::units(const std::vector<std::vector<Source>>& sources, bool divide, Pool& pool,
                                          int& wrong) {
  std::vector<Unit> units;
  divided_.resize(sources.size());
  for (std::size_t t = 0; t < sources.size(); ++t) {
    if (sources[t].empty()) continue;
    const std::int64_t ids = count_ids(sources[t]);
    const int parts = divide ? parts_of(ids) : 1;
    if (parts > 1) {
      if (!partition(sources[t], parts, pool, divided_[t])) wrong = static_cast<int>(t);
      for (int part = 0; part < parts; ++part) units.push_back({static_cast<int>(t), part, ids / parts});
      continue;
    }
    std::int64_t work = ids;
    if (sources[t][0].bag->kind == Kind::linear)
      for (const Source& source : sources[t]) work += source.num_rows;
    if (work) units.push_back({static_cast<int>(t), -1, work});
  }
  std::stable_sort(units.begin(), units.end(), [](const Unit& x, const Unit& y) { return x.work > y.work; });
  if (wrong >= 0) units.clear();
  return units;
}

bool Updater::reduce_unit(const std::vector<std::vector<Source>>& sources, const Unit& unit, Reduced& out) const {
  const std::size_t t = static_cast<std::size_t>(unit.table);
  return unit.part < 0 ? reduce(sources[t], out) : reduce(*sources[t][0].bag, divided_[t], unit.part, out);
}

std::vector<Updater::Range> Updater::ranges(const std::vector<Table>& tables) const {
  std::vector<Range> ranges;
  for (std::size_t t = 0; t < tables.size(); ++t) {
    const std::int64_t length = std::max<std::int64_t>(1, kRange / std::max(tables[t].dim, 1));
    for (std::int64_t begin = 0; begin < tables[t].rows; begin += length)
      ranges.push_back({static_cast<int>(t), begin, std::min(tables[t].rows, begin + length)});
  }
  return ranges;
}

int Updater::reduce_all(const std::vector<Table>& tables, const std::vector<std::vector<Source>>& sources, Pool& pool) {
  kept_.resize(tables.size());
  where_.resize(tables.size());
  for (std::size_t t = 0; t < tables.size(); ++t) {
    kept_[t].rows.clear();
    where_[t].resize(static_cast<std::size_t>(tables[t].rows), -1);
  }
  int outside = -1;
  const auto list = units(sources, false, pool, outside);
  std::atomic<int> wrong{outside};
  pool.run(static_cast<std::int64_t>(list.size()), [&](std::int64_t u, int) {
    const int t = list[static_cast<std::size_t>(u)].table;
    Reduced& kept = kept_[static_cast<std::size_t>(t)];
    if (!reduce(sources[static_cast<std::size_t>(t)], kept)) {
      kept.rows.clear();
      wrong = t;
      return;
    }
    std::int32_t* where = where_[static_cast<std::size_t>(t)].data();
    for (std::size_t i = 0; i < kept.rows.size(); ++i) where[kept.rows[i]] = static_cast<std::int32_t>(i);
  });
  return wrong;
}

int Updater::apply(const std::vector<Table>& tables, const std::vector<std::vector<Source>>& sources, const Step& step,
                   Pool& pool) {
  if (step.all_rows()) {
    const int wrong = reduce_all(tables, sources, pool);
    const auto list = ranges(tables);
    pool.run(wrong < 0 ? static_cast<std::int64_t>(list.size()) : 0, [&](std::int64_t u, int) {
      const Range& range = list[static_cast<std::size_t>(u)];
      const std::size_t t = static_cast<std::size_t>(range.table);
      with_rule(step.rule, [&](auto rule) {
        with_dim(tables[t].dim, [&](auto d) {
          step_range<decltype(rule), decltype(d)::value>(tables[t], range.begin, range.end, where_[t].data(),
                                                         kept_[t].sums.data(), step);
        });
      });
      for (const Coding& coding : tables[t].codings)
        encode(tables[t].weights, tables[t].dim, range.begin, range.end, coding);
    });
    for (std::size_t t = 0; t < tables.size(); ++t)
      for (const std::int64_t row : kept_[t].rows) where_[t][static_cast<std::size_t>(row)] = -1;
    return wrong;
  }
  int outside = -1;
  const auto list = units(sources, pool.size() > 1, pool, outside);
  scratch_.resize(static_cast<std::size_t>(pool.size()));
  std::atomic<int> wrong{outside};
  pool.run(static_cast<std::int64_t>(list.size()), [&](std::int64_t u, int worker) {
    const Unit& unit = list[static_cast<std::size_t>(u)];
    const Table& table = tables[static_cast<std::size_t>(unit.table)];
    Reduced& reduced = scratch_[static_cast<std::size_t>(worker)];
    if (!reduce_unit(sources, unit, reduced)) {
      wrong = unit.table;
      return;
    }
    if (step.scale != 1.0f) {
      float* sums = reduced.sums.data();
      const std::int64_t size = static_cast<std::int64_t>(reduced.rows.size()) * table.dim;
      for (std::int64_t i = 0; i < size; ++i) sums[i] *= step.scale;
    }
    with_rule(step.rule, [&](auto rule) {
      with_dim(table.dim, [&](auto d) { step_rows<decltype(rule), decltype(d)::value>(table, reduced, step.hyper); });
    });
    for (const Coding& coding : table.codings)
      encode_rows(table.weights, table.dim, reduced.rows.data(), static_cast<std::int64_t>(reduced.rows.size()),
                  coding);
  });
  return wrong;
}

int Updater::square_sum(const std::vector<Table>& tables, const std::vector<std::vector<Source>>& sources,
                        const Step& step, Pool& pool, double& sum) {
  std::vector<double> sums;
  std::atomic<int> wrong{-1};
  if (step.regularizer != 0.0f) {
    wrong = reduce_all(tables, sources, pool);
    const auto list = ranges(tables);
    sums.assign(list.size(), 0.0);
    pool.run(wrong < 0 ? static_cast<std::int64_t>(list.size()) : 0, [&](std::int64_t u, int) {
      const Range& range = list[static_cast<std::size_t>(u)];
      const std::size_t t = static_cast<std::size_t>(range.table);
      const int dim = tables[t].dim;
      std::vector<float> g(static_cast<std::size_t>(dim));
      for (std::int64_t row = range.begin; row < range.end; ++row) {
        const std::int32_t place = where_[t][static_cast<std::size_t>(row)];
        whole_gradient(place < 0 ? nullptr : kept_[t].sums.data() + std::int64_t{place} * dim,
                       tables[t].weights + row * dim, step.regularizer, g.data(), dim);
        sums[static_cast<std::size_t>(u)] += squares(g.data(), dim);
      }
    });
    for (std::size_t t = 0; t < tables.size(); ++t)
      for (const std::int64_t row : kept_[t].rows) where_[t][static_cast<std::size_t>(row)] = -1;
  } else {
    int outside = -1;
    const auto list = units(sources, true, pool, outside);  // always: the order of the sum must not depend on threads
    wrong = outside;
    sums.assign(list.size(), 0.0);
    scratch_.resize(static_cast<std::size_t>(pool.size()));
    pool.run(static_cast<std::int64_t>(list.size()), [&](std::int64_t u, int worker) {
      const Unit& unit = list[static_cast<std::size_t>(u)];
      Reduced& reduced = scratch_[static_cast<std::size_t>(worker)];
      if (!reduce_unit(sources, unit, reduced)) {
        wrong = unit.table;
        return;
      }
      const std::int64_t dim = tables[static_cast<std::size_t>(unit.table)].dim;
      sums[static_cast<std::size_t>(u)] =
          squares(reduced.sums.data(), static_cast<std::int64_t>(reduced.rows.size()) * dim);
    });
  }
  sum = 0.0;
  for (const double part : sums) sum += part;
  return wrong;
}

}  // namespace embedding
