#include "search.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <vector>

#include "bag.h"
#include "rows.h"

namespace embedding {
namespace {

constexpr std::int64_t kBlock = 4096;   // steps per unit of work
constexpr std::int64_t kAhead = 128;    // codes that are prefetched before they are read
constexpr std::int64_t kChunk = 4096;   // distances that are computed at once
constexpr std::int64_t kWidth = 32;     // steps that are passed over at once where none of them is kept
constexpr std::int64_t kRowsAhead = 8;  // rows that are prefetched before they are read
constexpr int kFar = 65;                // distance of what has no code: beyond all others

// The first of the ids low .. high - 1; -1 where there is none, or it lies outside the table.
inline std::int64_t first_id(const Elements& elements, std::int64_t low, std::int64_t high,
                             std::int64_t num_table_rows) {
  if (low == high) return -1;
  const std::int64_t id = elements.ids[low];
  return static_cast<std::uint64_t>(id) < static_cast<std::uint64_t>(num_table_rows) ? id : -1;
}

inline std::int64_t id_of_step(const Elements& steps, std::int64_t step, std::int64_t num_table_rows) {
  return first_id(steps, steps.first_key(step), steps.first_key(step + 1), num_table_rows);
}

struct Known {
  std::int64_t place;
  int distance;
};

// Memory of one worker.
struct Scratch {
  std::vector<Known> known;
  std::vector<float> scores, sorted, query, row;
};

// The part of a row's search that all kinds share: steps begin .. end, places written from `last` backwards.
struct Kept {
  std::int64_t* last;  // behind the newest place
  std::int64_t* next;  // the oldest place so far
  std::int64_t count() const { return last - next; }
  void take(std::int64_t step) { *--next = step; }
};

void newest(std::int64_t begin, std::int64_t end, std::int64_t top, Kept& kept) {
  for (std::int64_t step = end; step > begin && kept.count() < top;) kept.take(--step);
}

// Blocks of ids are compared without a branch: most hold no match.
void equal_plain(const std::int64_t* ids, std::int64_t begin, std::int64_t end, std::int64_t id, std::int64_t top,
                 Kept& kept) {
  std::int64_t step = end;
  while (step - begin >= kWidth && kept.count() < top) {
    const std::int64_t* block = ids + step - kWidth;
    std::int64_t same = 0;
    for (std::int64_t i = 0; i < kWidth; ++i) same |= -static_cast<std::int64_t>(block[i] == id);
    if (same)
      for (std::int64_t i = kWidth; i > 0 && kept.count() < top;)
        if (block[--i] == id) kept.take(step - kWidth + i);
    step -= kWidth;
  }
  while (step > begin && kept.count() < top)
    if (ids[--step] == id) kept.take(step);
}

void equal(const Elements& steps, std::int64_t begin, std::int64_t end, const std::int64_t* ids, std::int64_t num_ids,
           std::int64_t top, Kept& kept) {
  if (!steps.key_offsets && num_ids == 1) return equal_plain(steps.ids, begin, end, *ids, top, kept);
  for (std::int64_t step = end; step > begin && kept.count() < top;) {
    --step;
    const std::int64_t *low = steps.ids + steps.first_key(step), *high = steps.ids + steps.first_key(step + 1);
    if (std::find_first_of(low, high, ids, ids + num_ids) != high) kept.take(step);
  }
}

// distances[i] for the steps begin + i.
void measure(const Search& search, const Elements& steps, std::int64_t begin, std::int64_t size, std::uint64_t code,
             std::uint8_t* distances) {
  const std::int64_t num_rows = search.num_table_rows;
  const auto distance = [&](std::int64_t id) { return __builtin_popcountll((search.code[id] ^ code) & search.mask); };
  if (steps.key_offsets) {
    for (std::int64_t i = 0; i < size; ++i) {
      const std::int64_t id = id_of_step(steps, begin + i, num_rows);
      distances[i] = static_cast<std::uint8_t>(id < 0 ? kFar : distance(id));
    }
    return;
  }
  const std::int64_t* ids = steps.ids + begin;
  const auto one = [&](std::int64_t i) {  // without a branch, so that many codes are on their way at once
    const bool inside = static_cast<std::uint64_t>(ids[i]) < static_cast<std::uint64_t>(num_rows);
    const int found = distance(inside ? ids[i] : 0);
    distances[i] = static_cast<std::uint8_t>(inside ? found : kFar);
  };
  std::int64_t i = 0;
  for (; i < size - kAhead; ++i) {
    // The id is not checked yet: prefetching a wrong address is harmless, computing it as a pointer is not.
    const auto bytes = static_cast<std::uintptr_t>(ids[i + kAhead]) * sizeof(std::uint64_t);
    __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(search.code) + bytes));
    one(i);
  }
  for (; i < size; ++i) one(i);
}

// From the newest step backwards: what is to be kept must be nearer than the `top` that are known, so that most blocks
// are passed over after one comparison.
void nearest_codes(const Search& search, const Elements& steps, std::int64_t begin, std::int64_t end,
                   std::int64_t candidate, Scratch& scratch, Kept& kept) {
  std::uint8_t distances[kChunk];
  std::int64_t counts[kFar + 1] = {};  // of the known steps, by distance
  std::int64_t nearer = 0;             // known steps of distance `bound` or less, fewer than `top`
  int bound = kFar;
  scratch.known.clear();
  for (std::int64_t last = end; last > begin && bound >= 0;) {
    const std::int64_t first = std::max(begin, last - kChunk);
    std::int64_t i = last - first;
    measure(search, steps, first, i, search.code[candidate], distances);
    const auto back_to = [&](std::int64_t stop) {
      while (i > stop) {
        const int distance = distances[--i];
        if (distance > bound) continue;
        scratch.known.push_back({first + i, distance});
        ++counts[distance];
        for (++nearer; nearer >= search.top; --bound) nearer -= counts[bound];
      }
    };
    while (i >= kWidth) {
      std::uint8_t least = kFar;
      for (std::int64_t k = 0; k < kWidth; ++k) least = std::min(least, distances[i - kWidth + k]);
      if (least <= bound) back_to(i - kWidth);
      else i -= kWidth;
    }
    back_to(0);
    last = first;
  }
  std::int64_t left = search.top - nearer;  // how many of those just beyond the bound are kept
  for (const Known& step : scratch.known)
    if (step.distance <= bound || (step.distance == bound + 1 && left-- > 0)) kept.take(step.place);
}

template <int D>
float inner_product(const float* a, const float* b, int dim) noexcept {
  float lanes[16] = {};
  chunks<D>(dim, [&](auto w, int i) {
    using L = Lanes<decltype(w)::value>;
    L sum = L::load(lanes);
    sum.v += L::load(a + i).v * L::load(b + i).v;
    sum.store(lanes);
  });
  for (int width = 8; width; width /= 2)
    for (int k = 0; k < width; ++k) lanes[k] += lanes[k + width];
  return lanes[0];
}

// The products of the steps begin .. end with the candidate; what has no row gets the lowest number.
template <Storage S>
void packed_products(const Search& search, const Elements& steps, std::int64_t begin, std::int64_t size,
                     std::int64_t candidate, float lowest, Scratch& scratch) {
  const std::int64_t bytes = row_bytes(S, search.dim);
  scratch.query.resize(static_cast<std::size_t>(search.dim));
  scratch.row.resize(static_cast<std::size_t>(search.dim));
  unpack<S>(scratch.query.data(), search.packed + candidate * bytes, search.dim);
  for (std::int64_t i = 0; i < size; ++i) {
    const std::int64_t id = id_of_step(steps, begin + i, search.num_table_rows);
    float score = lowest;
    if (id >= 0) {
      unpack<S>(scratch.row.data(), search.packed + id * bytes, search.dim);
      score = inner_product<0>(scratch.row.data(), scratch.query.data(), search.dim);
    }
    scratch.scores[static_cast<std::size_t>(i)] = score == score ? score : lowest;
  }
}

void largest_products(const Search& search, const Elements& steps, std::int64_t begin, std::int64_t end,
                      std::int64_t candidate, Scratch& scratch, Kept& kept) {
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  const std::int64_t size = end - begin;
  scratch.scores.resize(static_cast<std::size_t>(size));
  float* scores = scratch.scores.data();
  if (search.storage != Storage::fp32)
    with_storage(search.storage, [&](auto s) {
      packed_products<decltype(s)::value>(search, steps, begin, size, candidate, kLowest, scratch);
    });
  else
    with_dim(search.dim, [&](auto d) {
      constexpr int D = decltype(d)::value;
      const float* query = search.rows + candidate * search.dim;
      for (std::int64_t i = 0; i < size; ++i) {
        if (i + kRowsAhead < size) {
          const std::int64_t later = id_of_step(steps, begin + i + kRowsAhead, search.num_table_rows);
          if (later >= 0) prefetch_row<D>(search.rows + later * search.dim, search.dim);
        }
        const std::int64_t id = id_of_step(steps, begin + i, search.num_table_rows);
        const float score = id < 0 ? kLowest : inner_product<D>(search.rows + id * search.dim, query, search.dim);
        scores[i] = score == score ? score : kLowest;  // what is no number has no place in an order
      }
    });
  scratch.sorted = scratch.scores;
  const auto place = scratch.sorted.begin() + (search.top - 1);
  std::nth_element(scratch.sorted.begin(), place, scratch.sorted.end(), std::greater<float>());
  const float limit = *place;
  std::int64_t left = search.top;
  for (std::int64_t i = 0; i < size; ++i) left -= scores[i] > limit;
  for (std::int64_t i = size; i > 0 && kept.count() < search.top;) {
    --i;
    if (scores[i] > limit || (scores[i] == limit && left-- > 0)) kept.take(begin + i);
  }
}

void search_row(const Search& search, const Elements& steps, const Elements& candidates, std::int64_t row,
                Scratch& scratch, Kept& kept) {
  const std::int64_t begin = steps.begin(row), end = steps.begin(row + 1);
  if (search.kind == Search::newest) return newest(begin, end, search.top, kept);
  const std::int64_t low = candidates.first_key(candidates.begin(row));
  const std::int64_t high = candidates.first_key(candidates.begin(row + 1));
  if (search.kind == Search::equal) {
    if (low < high) equal(steps, begin, end, candidates.ids + low, high - low, search.top, kept);
    return;
  }
  if (end - begin <= search.top) return newest(begin, end, search.top, kept);
  const std::int64_t candidate = first_id(candidates, low, high, search.num_table_rows);
  if (candidate < 0) return newest(begin, end, search.top, kept);
  if (search.kind == Search::codes) nearest_codes(search, steps, begin, end, candidate, scratch, kept);
  else largest_products(search, steps, begin, end, candidate, scratch, kept);
}

bool ascends(const std::int64_t* offsets, std::int64_t size, std::int64_t last) noexcept {
  bool good = offsets[0] == 0 && offsets[size] == last;
  for (std::int64_t i = 0; i < size; ++i) good &= offsets[i] <= offsets[i + 1];
  return good;
}

}  // namespace

bool sound(const Elements& elements, std::int64_t num_rows, std::int64_t num_elements) noexcept {
  if (elements.offsets ? !ascends(elements.offsets, num_rows, num_elements) : num_rows != num_elements) return false;
  return elements.key_offsets ? ascends(elements.key_offsets, num_elements, elements.num_ids)
                              : num_elements == elements.num_ids;
}

void search(const Search& search, const Elements& steps, const Elements& candidates, std::int64_t num_rows,
            const std::int64_t* starts, std::int64_t* found, std::int64_t* counts, Pool& pool) {
  const std::int64_t mean = steps.begin(num_rows) / std::max<std::int64_t>(num_rows, 1);
  const std::int64_t block = std::clamp<std::int64_t>(kBlock / std::max<std::int64_t>(mean, 1), 1, 512);
  std::vector<Scratch> scratch(static_cast<std::size_t>(pool.size()));
  pool.run((num_rows + block - 1) / block, [&](std::int64_t unit, int worker) {
    const std::int64_t last = std::min(num_rows, (unit + 1) * block);
    for (std::int64_t row = unit * block; row < last; ++row) {
      const std::int64_t room = std::min(steps.begin(row + 1) - steps.begin(row), search.top);
      std::int64_t* const slot = found + starts[row];
      Kept kept{slot + room, slot + room};
      search_row(search, steps, candidates, row, scratch[static_cast<std::size_t>(worker)], kept);
      counts[row] = kept.count();
      if (kept.next != slot) std::copy(kept.next, kept.last, slot);
    }
  });
}

}  // namespace embedding
