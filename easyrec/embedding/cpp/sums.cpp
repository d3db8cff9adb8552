#include "sums.h"

#include <utility>

#include "rows.h"

namespace embedding {
namespace {

using Group = Lanes<kGroup>;

// A number, its square, and what they are multiplied with.
struct Number {
  const float* values;
  std::int64_t stride;
  const float* matrix;
};

bool inside(const Bag& bag, std::int64_t size, std::int64_t count) noexcept {
  bool good = true;
  for (std::int64_t i = 0; i < count; ++i)
    good &= static_cast<std::uint64_t>(bag.ids[i]) < static_cast<std::uint64_t>(size);
  return good;
}

// What follows from a field that is looked up, added to `out`.
void add_looked_up(const SumPlan& plan, const float* rows, int dim, const float* matrix, std::int64_t num_rows,
                   float* out, std::int64_t stride) noexcept {
  for (std::int64_t b = 0; b < num_rows; ++b, rows += dim, out += stride)
    for (std::size_t g = 0; g < plan.squares.size(); ++g) {
      const std::size_t at = g * kGroup;
      Group sum = Group::load(out + at);
      for (int j = 0; j < dim; ++j) {
        const float number = plan.squares[g] ? rows[j] * rows[j] : rows[j];
        sum.v += number * Group::load(matrix + j * plan.width + static_cast<std::int64_t>(at)).v;
      }
      sum.store(out + at);
    }
}

}  // namespace

Fault add_up(const SumPlan& plan, const Bag* bags, std::int64_t num_rows, float* out, std::int64_t stride,
             std::int64_t& bad, Pool& pool) {
  std::vector<std::pair<const std::int64_t*, const float*>> ahead;  // ids, and what follows from them
  std::vector<Number> numbers;
  std::vector<std::pair<int, const float*>> others;
  const float* matrix = plan.matrix;
  for (std::size_t i = 0; i < plan.dims.size(); matrix += plan.dims[i] * plan.width, ++i) {
    const Bag& bag = bags[i];
    if (bag.kind == Kind::copy && bag.offsets == nullptr) {
      for (int j = 0; j < bag.dim; ++j) numbers.push_back({bag.values + j, bag.value_stride, matrix + j * plan.width});
    } else if (plan.ahead[i].rows != nullptr && bag.plain() && inside(bag, plan.ahead[i].size, num_rows)) {
      ahead.emplace_back(bag.ids, plan.ahead[i].rows);
    } else {
      others.emplace_back(static_cast<int>(i), matrix);
    }
  }
  std::vector<const float*> rows(ahead.size()), next(ahead.size());
  const auto find = [&](std::int64_t b, std::vector<const float*>& found) {
    for (std::size_t f = 0; f < ahead.size(); ++f) found[f] = ahead[f].second + ahead[f].first[b] * plan.width;
  };
  if (num_rows > 0) find(0, next);
  std::vector<float> plain(numbers.size()), squared(numbers.size());
  for (std::int64_t b = 0; b < num_rows; ++b) {
    rows.swap(next);
    find(b + 1 < num_rows ? b + 1 : b, next);
    for (std::size_t j = 0; j < numbers.size(); ++j) {
      plain[j] = numbers[j].values[b * numbers[j].stride];
      squared[j] = plain[j] * plain[j];
    }
    float* const to = out + b * stride;
    for (std::size_t g = 0; g < plan.squares.size(); ++g) {
      const std::size_t at = g * kGroup;
      const float* const factors = plan.squares[g] ? squared.data() : plain.data();
      Group sum{};
      for (std::size_t f = 0; f < rows.size(); ++f) {
        __builtin_prefetch(next[f] + at);
        sum.v += Group::load(rows[f] + at).v;
      }
      for (std::size_t j = 0; j < numbers.size(); ++j) sum.v += factors[j] * Group::load(numbers[j].matrix + at).v;
      sum.store(to + at);
    }
  }
  std::vector<float> looked_up;
  for (const auto& [i, part] : others) {
    Bag bag = bags[i];
    bag.column = 0;
    looked_up.resize(static_cast<std::size_t>(num_rows * bag.dim));
    std::int64_t wrong = 0;
    const Fault fault = lookup(&bag, 1, num_rows, looked_up.data(), bag.dim, &wrong, pool);
    if (fault.bag >= 0) return {i, fault.row, fault.value, fault.what};
    bad += wrong;
    add_looked_up(plan, looked_up.data(), bag.dim, part, num_rows, out, stride);
  }
  return {};
}

}  // namespace embedding
