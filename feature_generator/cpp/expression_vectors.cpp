// Expressions where variables have several values: operations align them place by place.
#include <algorithm>
#include <limits>

#include "expression.h"

namespace fg {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

}  // namespace

// The values of one element.
struct Expression::Part {
  const double* values;
  std::uint32_t length;
  std::uint32_t unequal;
};

Expression::Part Expression::part(const View& view, std::size_t e) noexcept {
  const std::uint32_t unequal = view.unequal == nullptr ? 0 : view.unequal[e];
  if (view.ends == nullptr) return {view.values + e, 1, unequal};
  const std::uint32_t begin = e == 0 ? 0 : view.ends[e - 1];
  return {view.values + begin, view.ends[e] - begin, unequal};
}

// How many places an operation on the parts has. Sets `unequal` where one of them could not be computed or where they
// do not fit each other.
std::uint32_t Expression::places(const ExpressionKernel& kernel, const Part* parts, ExpressionScratch& scratch,
                                 std::uint32_t& unequal) const {
  std::uint32_t longest = 1;
  unequal = 0;
  for (std::size_t o = 0; o < kernel.operands; ++o) {
    longest = std::max(longest, parts[o].length);
    if (unequal == 0) unequal = parts[o].unequal;
  }
  if (filled_ || unequal != 0) return longest;
  for (std::size_t o = 0; o < kernel.operands; ++o) {
    if (parts[o].length == longest || (parts[o].length == 1 && kernel.reduce == nullptr)) continue;
    scratch.found.push_back({0, longest, parts[o].length, kernel.name});
    unequal = static_cast<std::uint32_t>(scratch.found.size());
    break;
  }
  return longest;
}

// Writes `part` over `length` places: one value is repeated, a shorter vector is filled up.
void Expression::lay(const Part& part, std::uint32_t length, bool repeat, double* to) const noexcept {
  const std::uint32_t own = std::min(part.length, length);
  std::copy_n(part.values, own, to);
  if (own < length) std::fill_n(to + own, length - own, repeat && own == 1 ? part.values[0] : fill_);
}

void Expression::compute_ragged(std::size_t n, ExpressionScratch& scratch) const {
  const std::size_t first = inputs_ + constants_.size();
  scratch.found.clear();
  for (std::size_t i = 0; i < code_.size(); ++i) {
    const Instruction& step = code_[i];
    Room& room = scratch.results[step.room];
    room.unequal.resize(n);
    std::fill_n(room.unequal.data(), n, 0u);
    View& view = scratch.views[first + i];
    if (is_select(*step.kernel)) {
      choose(step, n, scratch, room, view);
    } else if (step.kernel->reduce != nullptr) {
      reduce(step, n, scratch, room, view);
    } else {
      each(step, n, scratch, room, view);
    }
    const std::uint32_t* const marks = room.unequal.data();
    view.unequal = std::any_of(marks, marks + n, [](std::uint32_t mark) { return mark != 0; }) ? marks : nullptr;
  }
}

void Expression::each(const Instruction& step, std::size_t n, ExpressionScratch& scratch, Room& room,
                      View& view) const {
  const std::size_t operands = step.kernel->operands;
  View from[most_operands];
  const double* x[most_operands] = {};
  bool ragged = false;
  for (std::size_t o = 0; o < operands; ++o) {
    from[o] = scratch.views[step.operands[o]];
    x[o] = from[o].values;
    ragged |= from[o].ends != nullptr;
  }
  room.ends.resize(n);
  std::uint32_t total = 0;
  for (std::size_t e = 0; e < n; ++e) {
    Part parts[most_operands];
    for (std::size_t o = 0; o < operands; ++o) parts[o] = part(from[o], e);
    const std::uint32_t length = places(*step.kernel, parts, scratch, room.unequal[e]);
    room.ends[e] = total += room.unequal[e] != 0 ? 1 : length;
  }
  if (ragged) {
    for (std::size_t o = 0; o < operands; ++o) {
      if (from[o].ends != nullptr && std::equal(from[o].ends, from[o].ends + n, room.ends.data())) continue;
      Slab<double>& spread = scratch.spread[o];
      spread.resize(total);
      for (std::size_t e = 0, at = 0; e < n; at = room.ends[e++])
        lay(part(from[o], e), static_cast<std::uint32_t>(room.ends[e] - at), true, spread.data() + at);
      x[o] = spread.data();
    }
  }
  room.values.resize(total);
  step.kernel->each(x, total, room.values.data());
  view = View{room.values.data(), ragged ? room.ends.data() : nullptr, nullptr};
}

void Expression::reduce(const Instruction& step, std::size_t n, ExpressionScratch& scratch, Room& room,
                        View& view) const {
  const std::size_t operands = step.kernel->operands;
  View from[most_operands];
  for (std::size_t o = 0; o < operands; ++o) from[o] = scratch.views[step.operands[o]];
  room.values.resize(n);
  for (std::size_t e = 0; e < n; ++e) {
    Part parts[most_operands];
    for (std::size_t o = 0; o < operands; ++o) parts[o] = part(from[o], e);
    const std::uint32_t length = places(*step.kernel, parts, scratch, room.unequal[e]);
    if (room.unequal[e] != 0) {
      room.values[e] = nan;
      continue;
    }
    const double* x[most_operands] = {};
    for (std::size_t o = 0; o < operands; ++o) {
      x[o] = parts[o].values;
      if (parts[o].length == length) continue;
      scratch.spread[o].resize(length);
      lay(parts[o], length, false, scratch.spread[o].data());
      x[o] = scratch.spread[o].data();
    }
    room.values[e] = step.kernel->reduce(x, length);
  }
  view = View{room.values.data(), nullptr, nullptr};
}

// A condition that is one number takes the whole of one branch, and what the other one is does not matter.
void Expression::choose(const Instruction& step, std::size_t n, ExpressionScratch& scratch, Room& room,
                        View& view) const {
  View from[3];
  for (std::size_t o = 0; o < 3; ++o) from[o] = scratch.views[step.operands[o]];
  room.values.clear();
  room.ends.resize(n);
  bool ragged = false;
  for (std::size_t e = 0; e < n; ++e) {
    const Part parts[3] = {part(from[0], e), part(from[1], e), part(from[2], e)};
    std::uint32_t length;
    if (parts[0].unequal == 0 && parts[0].length == 1) {
      const Part& chosen = parts[parts[0].values[0] != 0 ? 1 : 2];
      room.unequal[e] = chosen.unequal;
      length = chosen.length;
      room.values.append(chosen.values, length);
    } else {
      length = places(*step.kernel, parts, scratch, room.unequal[e]);
      if (room.unequal[e] != 0) length = 1;
      const double* x[3];
      for (std::size_t o = 0; o < 3; ++o) {
        scratch.spread[o].resize(length);
        lay(parts[o], length, true, scratch.spread[o].data());
        x[o] = scratch.spread[o].data();
      }
      step.kernel->each(x, length, room.values.grow(length));
      room.values.set_size(room.values.size() + length);
    }
    ragged |= length != 1;
    room.ends[e] = static_cast<std::uint32_t>(room.values.size());
  }
  view = View{room.values.data(), ragged ? room.ends.data() : nullptr, nullptr};
}

}  // namespace fg
