#include "sequence.h"

#include <algorithm>

namespace fg {

bool reshapes(const SequenceRule& rule, const std::uint32_t* counts, std::size_t rows) noexcept {
  std::uint32_t longest = 0, shortest = ~0U;
  for (std::size_t r = 0; r < rows; ++r) {
    longest = std::max(longest, counts[r]);
    shortest = std::min(shortest, counts[r]);
  }
  return (rule.newest_first && longest > 1) || (rule.most != 0 && longest > rule.most) ||
         (rule.pad_empty && shortest == 0);
}

void reshape(const SequenceRule& rule, const Cells& cells, const std::uint32_t* counts, const std::uint32_t* lengths,
             std::size_t rows, Cells& out, std::uint32_t* kept) {
  out.clear_like(cells);
  // new_value[v] = where value v went, for the broken values and faults; filled only if there are any.
  constexpr std::uint32_t gone = ~0U;
  Slab<std::uint32_t> new_value, new_element;
  const bool track = !cells.faults.empty() || !cells.broken.empty();
  if (track) {
    new_value.resize(cells.values());
    new_element.resize(cells.elements());
    std::fill_n(new_value.data(), cells.values(), gone);
    std::fill_n(new_element.data(), cells.elements(), gone);
  }
  std::uint32_t base = 0;
  for (std::size_t r = 0; r < rows; base += counts[r], ++r) {
    const std::uint32_t length = lengths[r];
    const std::uint32_t take = rule.most != 0 ? std::min(length, rule.most) : length;
    // The newest stand at the end of what is oldest first, and at the start of what is newest first.
    const std::uint32_t skip = rule.newest_first == rule.keep_oldest ? length - take : 0;
    for (std::uint32_t i = 0; i < take; ++i) {
      const std::uint32_t e = base + skip + (rule.newest_first ? take - 1 - i : i);
      const std::uint32_t begin = cells.begin_of(e), end = cells.ends[e];
      const auto at = static_cast<std::uint32_t>(out.values());
      if (track) {
        new_element[e] = static_cast<std::uint32_t>(out.elements());
        for (std::uint32_t v = begin; v < end; ++v) new_value[v] = at + v - begin;
      }
      copy_values(cells, begin, end, out);
      out.ends.push(at + end - begin);
    }
    kept[r] = take;
    if (take == 0 && rule.pad_empty) {
      out.ends.push(static_cast<std::uint32_t>(out.values()));
      kept[r] = 1;
    }
  }
  if (!track) return;
  for (std::size_t i = 0; i < cells.broken.size(); ++i) {
    if (new_value[cells.broken[i]] != gone) out.broken.push(new_value[cells.broken[i]]);
  }
  std::sort(out.broken.data(), out.broken.end());
  for (const Fault& fault : cells.faults) {
    const std::uint32_t at = fault.of_value ? new_value[fault.at] : new_element[fault.at];
    if (at != gone) out.faults.push_back({at, fault.of_value, fault.input, fault.reason});
  }
  std::sort(out.faults.begin(), out.faults.end(),
            [&](const Fault& a, const Fault& b) { return element_of(out, a) < element_of(out, b); });
}

}  // namespace fg
