#include "pairs.h"

#include <algorithm>
#include <vector>

#include "../../../feature_generator/cpp/parallel.h"

namespace statistics {

namespace {

// What a thread keeps between items: sums by item, and which items they are of.
struct Row {
  std::vector<double> sums;
  std::vector<std::int32_t> touched;

  explicit Row(std::int64_t num_items) : sums(static_cast<std::size_t>(num_items)) {}

  void clear() {
    for (const std::int32_t item : touched) sums[static_cast<std::size_t>(item)] = 0.0;
    touched.clear();
  }
};

// The users of one item, numbered 0 .. n-1, by each item that they took: `users` from `first` to `last`, ascending.
struct Near {
  std::vector<std::int32_t> count, number;           // by item: how many of them took it, and its own number
  std::vector<std::int64_t> next, last;              // by number: what is left of its list
  std::vector<std::int32_t> users, shared, touched;  // all lists; by user, items shared with the one at hand
  std::vector<double> weights, parts, sums;          // by user, by user, by number

  explicit Near(std::int64_t num_items)
      : count(static_cast<std::size_t>(num_items)), number(static_cast<std::size_t>(num_items)) {}
};

// Lists the users of `item` by what else they took.
void gather(const Lists& of_user, const Lists& of_item, std::int64_t item, const double* weights, Near& near) {
  near.touched.clear();
  near.weights.clear();
  for (const std::int32_t* u = of_item.begin(item); u != of_item.end(item); ++u) {
    near.weights.push_back(weights[*u]);
    for (const std::int32_t* j = of_user.begin(*u); j != of_user.end(*u); ++j)
      if (*j != item && near.count[static_cast<std::size_t>(*j)]++ == 0) near.touched.push_back(*j);
  }
  std::int64_t total = 0;
  near.next.clear();
  near.last.clear();
  for (std::size_t n = 0; n < near.touched.size(); ++n) {
    const auto j = static_cast<std::size_t>(near.touched[n]);
    near.number[j] = static_cast<std::int32_t>(n);
    near.next.push_back(total);
    near.last.push_back(total);
    total += near.count[j];
    near.count[j] = 0;
  }
  near.users.resize(static_cast<std::size_t>(total));
  std::int32_t local = 0;
  for (const std::int32_t* u = of_item.begin(item); u != of_item.end(item); ++u, ++local)
    for (const std::int32_t* j = of_user.begin(*u); j != of_user.end(*u); ++j) {
      if (*j == item) continue;
      const auto n = static_cast<std::size_t>(near.number[static_cast<std::size_t>(*j)]);
      near.users[static_cast<std::size_t>(near.last[n]++)] = local;
    }
  near.sums.assign(near.touched.size(), 0.0);
  near.shared.assign(near.weights.size(), 1);  // the item itself
  near.parts.resize(near.weights.size());
}

// The sum of some parts, in eight lanes: no addition waits for the one before it, and the order is always the same.
double sum_of(const double* parts, const std::int32_t* which, std::int64_t n) {
  double lanes[8] = {};
  std::int64_t p = 0;
  for (; p + 8 <= n; p += 8)
    for (int lane = 0; lane < 8; ++lane) lanes[lane] += parts[which[p + lane]];
  for (; p < n; ++p) lanes[p % 8] += parts[which[p]];
  return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

// Adds up the pairs of users (u, v), u before v.
void pair_up(const Lists& of_user, const Lists& of_item, std::int64_t item, double alpha, Near& near) {
  const std::int32_t* const users = near.users.data();
  std::int32_t* const shared = near.shared.data();
  double* const parts = near.parts.data();
  const std::size_t n = near.weights.size();
  std::size_t local = 0;
  for (const std::int32_t* u = of_item.begin(item); u != of_item.end(item); ++u, ++local) {
    for (const std::int32_t* j = of_user.begin(*u); j != of_user.end(*u); ++j) {
      if (*j == item) continue;
      const auto at = static_cast<std::size_t>(near.number[static_cast<std::size_t>(*j)]);
      const std::int64_t last = near.last[at];
      for (std::int64_t p = ++near.next[at]; p < last; ++p) ++shared[users[p]];  // the first that is left is u
    }
    for (std::size_t v = local + 1; v < n; ++v) {
      parts[v] = near.weights[v] / (alpha + shared[v]);
      shared[v] = 1;
    }
    for (const std::int32_t* j = of_user.begin(*u); j != of_user.end(*u); ++j) {
      if (*j == item) continue;
      const auto at = static_cast<std::size_t>(near.number[static_cast<std::size_t>(*j)]);
      near.sums[at] += near.weights[local] * sum_of(parts, users + near.next[at], near.last[at] - near.next[at]);
    }
  }
}

}  // namespace

void cosine(const Lists& of_user, const Lists& of_item, std::int64_t num_items, const double* weights,
            const double* norms, double shrinkage, int threads, const Found& found) {
  std::vector<Row> rows(static_cast<std::size_t>(threads), Row(num_items));
  fg::parallel(threads, static_cast<std::size_t>(num_items), [&](std::size_t item, std::size_t thread) {
    Row& row = rows[thread];
    const auto i = static_cast<std::int64_t>(item);
    for (const std::int32_t* u = of_item.begin(i); u != of_item.end(i); ++u)
      for (const std::int32_t* j = of_user.begin(*u); j != of_user.end(*u); ++j) {
        double& sum = row.sums[static_cast<std::size_t>(*j)];
        if (sum == 0.0 && *j != i) row.touched.push_back(*j);
        sum += *j != i ? weights[*u] : 0.0;
      }
    std::vector<std::int32_t> candidates = row.touched;
    found.store(i, candidates, [&](std::int32_t j) {
      return row.sums[static_cast<std::size_t>(j)] / (norms[i] * norms[j] + shrinkage);
    });
    row.clear();
  });
}

void together(const Lists& of_user, const Lists& of_item, std::int64_t num_items, int threads, double* counts) {
  fg::parallel(threads, static_cast<std::size_t>(num_items), [&](std::size_t item, std::size_t) {
    const auto i = static_cast<std::int64_t>(item);
    double* const row = counts + i * num_items;
    std::fill(row, row + num_items, 0.0);
    for (const std::int32_t* u = of_item.begin(i); u != of_item.end(i); ++u)
      for (const std::int32_t* j = of_user.begin(*u); j != of_user.end(*u); ++j) row[*j] += 1.0;
  });
}

void swing(const Lists& of_user, const Lists& of_item, std::int64_t num_items, const double* weights, double alpha,
           int threads, const Found& found) {
  std::vector<Near> all(static_cast<std::size_t>(threads), Near(num_items));
  fg::parallel(threads, static_cast<std::size_t>(num_items), [&](std::size_t item, std::size_t thread) {
    Near& near = all[thread];
    const auto i = static_cast<std::int64_t>(item);
    gather(of_user, of_item, i, weights, near);
    pair_up(of_user, of_item, i, alpha, near);
    std::vector<std::int32_t> candidates;
    for (const std::int32_t j : near.touched)
      if (near.sums[static_cast<std::size_t>(near.number[static_cast<std::size_t>(j)])] > 0.0) candidates.push_back(j);
    found.store(i, candidates, [&](std::int32_t j) {
      return near.sums[static_cast<std::size_t>(near.number[static_cast<std::size_t>(j)])];
    });
  });
}

}  // namespace statistics
