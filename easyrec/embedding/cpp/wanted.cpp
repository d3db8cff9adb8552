#include "wanted.h"

#include <algorithm>

#include "partition.h"

namespace embedding {
namespace {

// Numbers of ids in the order of their first occurrence.
class Distinct {
 public:
  // Starts anew, for so many ids below a bound; -1: there is none.
  void start(std::int64_t bound, std::int64_t occurrences) {
    int bits = 6;
    while ((std::int64_t{1} << bits) < 2 * occurrences) ++bits;
    direct_ = bound >= 0 && bound <= std::int64_t{1} << bits;
    shift_ = 64 - bits;
    mask_ = (std::uint64_t{1} << bits) - 1;
    table_.assign(direct_ ? static_cast<std::size_t>(bound) : std::size_t{1} << bits, -1);
    ids.clear();
  }

  std::int64_t number(std::int64_t id) {
    if (direct_) {
      std::int32_t& found = table_[static_cast<std::size_t>(id)];
      return found < 0 ? found = insert(id) : found;
    }
    for (std::uint64_t h = mix(id) >> shift_;; h = (h + 1) & mask_) {
      std::int32_t& found = table_[h];
      if (found < 0) return found = insert(id);
      if (ids[static_cast<std::size_t>(found)] == id) return found;
    }
  }

  std::vector<std::int64_t> ids;

 private:
  std::int32_t insert(std::int64_t id) {
    ids.push_back(id);
    return static_cast<std::int32_t>(ids.size()) - 1;
  }

  std::vector<std::int32_t> table_;
  std::uint64_t mask_ = 0;
  int shift_ = 0;
  bool direct_ = false;
};

// Which worker holds an id, and as which of its rows.
struct Held {
  std::int64_t holder, row;
};

Held held(const Unit& unit, std::int64_t id, std::int64_t workers) {
  if (unit.rows < 0) return {static_cast<std::int64_t>((mix(id) >> 32) % static_cast<std::uint64_t>(workers)), id};
  return unit.holder < 0 ? Held{id % workers, id / workers} : Held{unit.holder, id};
}

}  // namespace

Wanted wanted(const std::vector<Unit>& units, const std::vector<Asking>& features, std::int64_t workers,
              std::int64_t* places) {
  const auto size = static_cast<std::size_t>(workers);
  Wanted out;
  out.counts.assign(size * units.size(), 0);
  out.here.assign((size + 1) * units.size(), 0);
  std::vector<Held> every;                // distinct ids, unit by unit
  std::vector<std::size_t> ends;          // of each unit among them
  std::vector<std::int64_t> order, next;  // of one unit: each id among those of its holder; by worker, the next place
  Distinct distinct;
  std::size_t begin = 0;
  for (std::size_t unit = 0; unit < units.size(); ++unit) {
    std::size_t end = begin;
    std::int64_t occurrences = 0;
    while (end < features.size() && features[end].unit == static_cast<std::int64_t>(unit))
      occurrences += features[end++].size;
    distinct.start(units[unit].rows, occurrences);
    const auto limit = static_cast<std::uint64_t>(units[unit].rows);  // the largest number where there is no bound
    std::int64_t* at = places;
    for (std::size_t f = begin; f < end; ++f)
      for (std::int64_t i = 0; i < features[f].size; ++i) {
        const std::int64_t id = features[f].ids[i];
        if (static_cast<std::uint64_t>(id) >= limit && units[unit].rows >= 0) {
          out.feature = static_cast<std::int64_t>(f), out.place = i;
          return out;
        }
        *at++ = distinct.number(id);
      }
    order.clear();
    std::int64_t* here = out.here.data() + unit * (size + 1);
    const std::size_t first = every.size();
    for (const std::int64_t id : distinct.ids) {
      every.push_back(held(units[unit], id, workers));
      order.push_back(here[every.back().holder + 1]++);
    }
    for (std::size_t w = 0; w < size; ++w) {
      out.counts[w * units.size() + unit] = here[w + 1];
      here[w + 1] += here[w];
    }
    for (std::size_t d = 0; d < order.size(); ++d) order[d] += here[every[first + d].holder];
    for (; places < at; ++places) *places = order[static_cast<std::size_t>(*places)];
    ends.push_back(every.size());
    begin = end;
  }
  next.assign(out.counts.size(), 0);
  for (std::size_t c = 1; c < next.size(); ++c) next[c] = next[c - 1] + out.counts[c - 1];
  out.rows.resize(every.size());
  for (std::size_t unit = 0, d = 0; unit < units.size(); ++unit)
    for (; d < ends[unit]; ++d) {
      const auto holder = static_cast<std::size_t>(every[d].holder);
      out.rows[static_cast<std::size_t>(next[holder * units.size() + unit]++)] = every[d].row;
    }
  return out;
}

}  // namespace embedding
