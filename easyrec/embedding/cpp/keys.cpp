#include "keys.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace embedding {
namespace {

constexpr std::int64_t kAhead = 16;      // entries prefetched before they are read
constexpr double kLoad = 0.375;          // of the entries, when all rows are given and all candidates wait
constexpr std::int64_t kShare = 32;      // a full table gives up one row of so many at once
constexpr std::uint32_t kSweeps = 8;     // searches for expired keys in one time to live
constexpr std::uint64_t kSketchAge = 8;  // additions per counter until all counts halve

// The finalizer of SplitMix64: ids may be consecutive numbers.
inline std::uint64_t mixed(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

inline std::size_t slot_of(std::int64_t key, std::int64_t num_slots) {
  return static_cast<std::size_t>((static_cast<unsigned __int128>(mixed(static_cast<std::uint64_t>(key))) *
                                   static_cast<std::uint64_t>(num_slots)) >>
                                  64);
}

// The `many` lowest of pairs (score, tie), in the order of both.
struct Ranked {
  double score;
  std::uint64_t tie;
  std::int64_t key;
  bool operator<(const Ranked& other) const { return score != other.score ? score < other.score : tie < other.tie; }
};

}  // namespace

std::uint64_t KeyMap::scramble(std::int64_t key) { return mixed(static_cast<std::uint64_t>(key)); }

KeyMap::KeyMap(std::int64_t capacity, const KeyRule& rule) : capacity_(capacity), rule_(rule) {
  const std::int64_t waiting = rule.counting == Counting::exact ? rule.candidates : 0;
  const auto size = static_cast<std::size_t>(static_cast<double>(capacity + waiting) / kLoad) + 2;
  entries_.assign(size, Key{0, kEmpty, 0.0f, 0});
  free_.resize(static_cast<std::size_t>(capacity));
  for (std::int64_t row = 0; row < capacity; ++row)
    free_[static_cast<std::size_t>(row)] = static_cast<std::int32_t>(capacity - 1 - row);
  if (rule.counting == Counting::sketch) sketch_.assign(static_cast<std::size_t>(kDepth * rule.sketch_width), 0);
}

std::int64_t KeyMap::bytes() const {
  return static_cast<std::int64_t>(entries_.capacity() * sizeof(Key) + free_.capacity() * sizeof(std::int32_t) +
                                   sketch_.capacity() * sizeof(std::uint32_t));
}

std::size_t KeyMap::place(std::int64_t key) const {
  std::size_t at = home(key);
  while (entries_[at].row != kEmpty && entries_[at].key != key) at = at + 1 == entries_.size() ? 0 : at + 1;
  return at;
}

void KeyMap::find(const std::int64_t* ids, std::int64_t size, std::int64_t* rows) const {
  for (std::int64_t i = 0; i < size; ++i) {
    if (i + kAhead < size) __builtin_prefetch(&entries_[home(ids[i + kAhead])], 0, 3);
    const Key& entry = entries_[place(ids[i])];
    rows[i] = entry.row < 0 ? -1 : entry.row;
  }
}

void KeyMap::touch(Key& entry, std::uint32_t step) {
  if (rule_.eviction == Eviction::score && entry.step != step)
    entry.count *= static_cast<float>(std::exp2(-static_cast<double>(step - entry.step) / rule_.half_life));
  entry.count += 1.0f;
  entry.step = step;
}

void KeyMap::admit(const std::int64_t* ids, std::int64_t size, std::int64_t* rows, std::uint32_t step) {
  if (rule_.ttl && step / std::max(1u, rule_.ttl / kSweeps) != swept_) expire(step);
  counts.seen += size;
  for (std::int64_t i = 0; i < size; ++i) {
    if (i + kAhead < size) __builtin_prefetch(&entries_[home(ids[i + kAhead])], 1, 3);
    const std::size_t at = place(ids[i]);
    Key& entry = entries_[at];
    if (entry.row >= 0) {
      touch(entry, step);
      ++counts.found;
      rows[i] = entry.row;
    } else {
      rows[i] = admit_new(ids[i], step, at);
    }
  }
}

// The row of a key that has none yet, or -1; `at` is its place.
std::int64_t KeyMap::admit_new(std::int64_t key, std::uint32_t step, std::size_t at) {
  switch (rule_.counting) {
    case Counting::none: return give_row(key, 1.0f, step);
    case Counting::chance: {
      // Each occurrence draws anew: the number of those before it tells them apart.
      const std::uint64_t draw = mixed(scramble(key) ^ mixed(rule_.seed + additions_++));
      return static_cast<double>(draw >> 11) * 0x1p-53 < rule_.probability ? give_row(key, 1.0f, step) : -1;
    }
    case Counting::sketch: {
      const std::uint32_t count = sketched(key);
      return count >= rule_.min_count ? give_row(key, static_cast<float>(count), step) : -1;
    }
    default: {
      if (entries_[at].row == kEmpty) {
        if (rule_.min_count <= 1) return give_row(key, 1.0f, step);
        wait(key, step);
        return -1;
      }
      Key& entry = entries_[at];
      entry.count += 1.0f;
      entry.step = step;
      return entry.count >= static_cast<float>(rule_.min_count) ? give_row(key, entry.count, step) : -1;
    }
  }
}

// Enters a key among those that wait for a row.
bool KeyMap::wait(std::int64_t key, std::uint32_t step) {
  if (rule_.candidates < 1) return false;
  if (waiting_ >= rule_.candidates) age_waiting();
  entries_[place(key)] = {key, kWaiting, 1.0f, step};
  ++waiting_;
  return true;
}

// Halves the counts of those that wait, until some are gone: what comes often has its row before.
void KeyMap::age_waiting() {
  std::vector<std::int64_t> gone;
  while (gone.empty() && waiting_) {
    for (Key& entry : entries_) {
      if (entry.row != kWaiting) continue;
      entry.count = std::floor(entry.count * 0.5f);
      if (entry.count < 1.0f) gone.push_back(entry.key);
    }
  }
  for (const std::int64_t key : gone) erase(place(key));
  waiting_ -= static_cast<std::int64_t>(gone.size());
}

std::int64_t KeyMap::give_row(std::int64_t key, float count, std::uint32_t step) {
  if (free_.empty()) make_room(step);
  if (free_.empty()) {
    ++counts.refused;  // every row is that of a key of this very step
    return -1;
  }
  Key& entry = entries_[place(key)];  // anew: evictions move entries
  if (entry.row == kWaiting) --waiting_;
  entry = {key, free_.back(), count, step};
  free_.pop_back();
  ++counts.admitted;
  fresh_rows.push_back(entry.row);
  fresh_keys.push_back(key);
  return entry.row;
}

double KeyMap::score(const Key& entry, std::uint32_t step) const {
  if (rule_.eviction == Eviction::lru) return static_cast<double>(entry.step);
  if (rule_.eviction == Eviction::lfu) return static_cast<double>(entry.count);
  return static_cast<double>(entry.count) * std::exp2(-static_cast<double>(step - entry.step) / rule_.half_life);
}

// Takes a share of the rows from the keys with the lowest scores.
void KeyMap::make_room(std::uint32_t step) {
  if (exhausted_ && exhausted_step_ == step) return;
  const std::int64_t share = std::max<std::int64_t>(1, capacity_ / kShare);
  std::vector<double> scores;
  scores.reserve(static_cast<std::size_t>(size()));
  for (const Key& entry : entries_)
    if (entry.row >= 0 && entry.step != step) scores.push_back(score(entry, step));
  const std::int64_t many = std::min(share, static_cast<std::int64_t>(scores.size()));
  if (!many) {
    exhausted_ = true;
    exhausted_step_ = step;
    return;
  }
  std::nth_element(scores.begin(), scores.begin() + (many - 1), scores.end());
  const double bound = scores[static_cast<std::size_t>(many - 1)];
  std::vector<std::int64_t> gone;
  std::vector<Ranked> even;  // as low as the bound: the order of their scrambled keys decides
  for (const Key& entry : entries_) {
    if (entry.row < 0 || entry.step == step) continue;
    const double own = score(entry, step);
    if (own < bound) gone.push_back(entry.key);
    if (own == bound) even.push_back({own, scramble(entry.key), entry.key});
  }
  const auto rest = many - static_cast<std::int64_t>(gone.size());
  std::nth_element(even.begin(), even.begin() + (rest - 1), even.end());
  for (std::int64_t i = 0; i < rest; ++i) gone.push_back(even[static_cast<std::size_t>(i)].key);
  counts.evicted += static_cast<std::int64_t>(gone.size());
  free_rows(gone);
}

void KeyMap::expire(std::uint32_t step) {
  swept_ = step / std::max(1u, rule_.ttl / kSweeps);
  std::vector<std::int64_t> gone, tired;
  for (const Key& entry : entries_) {
    if (entry.row == kEmpty || step - entry.step <= rule_.ttl) continue;
    (entry.row >= 0 ? gone : tired).push_back(entry.key);
  }
  counts.expired += static_cast<std::int64_t>(gone.size());
  free_rows(gone);
  for (const std::int64_t key : tired) erase(place(key));
  waiting_ -= static_cast<std::int64_t>(tired.size());
}

void KeyMap::free_rows(const std::vector<std::int64_t>& keys) {
  for (const std::int64_t key : keys) {
    const std::size_t at = place(key);
    free_.push_back(entries_[at].row);
    erase(at);
  }
  std::sort(free_.begin(), free_.end(), [](std::int32_t x, std::int32_t y) { return x > y; });
}

void KeyMap::erase(std::size_t at) {
  const std::size_t size = entries_.size();
  std::size_t next = at;
  for (;;) {
    next = next + 1 == size ? 0 : next + 1;
    if (entries_[next].row == kEmpty) break;
    const std::size_t want = home(entries_[next].key);
    // It may move to `at` unless its home lies behind `at`, on the way from there to where it stands.
    const bool stays = at <= next ? at < want && want <= next : at < want || want <= next;
    if (stays) continue;
    entries_[at] = entries_[next];
    at = next;
  }
  entries_[at] = Key{0, kEmpty, 0.0f, 0};
}

// Counts an occurrence in the sketch (Cormode & Muthukrishnan, 2005, with conservative update) and tells its count.
std::uint32_t KeyMap::sketched(std::int64_t key) {
  const auto width = static_cast<std::uint64_t>(rule_.sketch_width);
  std::uint32_t* cells[kDepth];
  std::uint32_t least = std::numeric_limits<std::uint32_t>::max();
  std::uint64_t hash = scramble(key);
  for (int row = 0; row < kDepth; ++row) {
    hash = mixed(hash ^ rule_.seed);
    const auto column = static_cast<std::uint64_t>((static_cast<unsigned __int128>(hash) * width) >> 64);
    cells[row] = &sketch_[static_cast<std::size_t>(static_cast<std::uint64_t>(row) * width + column)];
    least = std::min(least, *cells[row]);
  }
  if (least < std::numeric_limits<std::uint32_t>::max()) ++least;
  for (std::uint32_t* cell : cells) *cell = std::max(*cell, least);
  if (++additions_ >= kSketchAge * width) {  // old occurrences must not add up to admission for ever
    for (std::uint32_t& cell : sketch_) cell /= 2;
    additions_ = 0;
  }
  return least;
}

void KeyMap::write(std::int64_t* keys, std::int32_t* rows, float* counts, std::uint32_t* steps) const {
  std::vector<std::int32_t> place(static_cast<std::size_t>(capacity_), 0);
  std::vector<std::size_t> waiting;
  waiting.reserve(static_cast<std::size_t>(waiting_));
  for (std::size_t at = 0; at < entries_.size(); ++at) {
    if (entries_[at].row >= 0) place[static_cast<std::size_t>(entries_[at].row)] = 1;
    if (entries_[at].row == kWaiting) waiting.push_back(at);
  }
  std::int32_t before = 0;
  for (std::int32_t& here : place) before += here, here = before - here;  // rows with a key below this one
  std::sort(waiting.begin(), waiting.end(),
            [&](std::size_t x, std::size_t y) { return entries_[x].key < entries_[y].key; });
  const auto put = [&](std::size_t to, const Key& entry) {
    keys[to] = entry.key;
    rows[to] = entry.row;
    counts[to] = entry.count;
    steps[to] = entry.step;
  };
  for (const Key& entry : entries_)
    if (entry.row >= 0) put(static_cast<std::size_t>(place[static_cast<std::size_t>(entry.row)]), entry);
  for (std::size_t i = 0; i < waiting.size(); ++i) put(static_cast<std::size_t>(before) + i, entries_[waiting[i]]);
}

bool KeyMap::restore(const std::vector<Key>& keys, const std::vector<std::uint32_t>& sketch, std::uint64_t additions,
                     std::uint32_t swept) {
  std::vector<bool> taken(static_cast<std::size_t>(capacity_), false);
  std::int64_t waiting = 0;
  for (const Key& key : keys) {
    if (key.row == kWaiting) {
      ++waiting;
      continue;
    }
    if (key.row < 0 || key.row >= capacity_ || taken[static_cast<std::size_t>(key.row)]) return false;
    taken[static_cast<std::size_t>(key.row)] = true;
  }
  const std::int64_t room = rule_.counting == Counting::exact ? rule_.candidates : 0;
  if (waiting > room || sketch.size() != sketch_.size()) return false;
  std::fill(entries_.begin(), entries_.end(), Key{0, kEmpty, 0.0f, 0});
  for (const Key& key : keys) {
    Key& entry = entries_[place(key.key)];
    if (entry.row != kEmpty) return false;
    entry = key;
  }
  free_.clear();
  for (std::int64_t row = capacity_ - 1; row >= 0; --row)
    if (!taken[static_cast<std::size_t>(row)]) free_.push_back(static_cast<std::int32_t>(row));
  waiting_ = waiting;
  sketch_ = sketch;
  additions_ = additions;
  swept_ = swept;
  exhausted_ = false;
  fresh_rows.clear();
  fresh_keys.clear();
  return true;
}

// ------------------------------------------------------------------------------------------------------ files

std::int64_t slots_for(std::int64_t keys) { return static_cast<std::int64_t>(static_cast<double>(keys) / kLoad) + 2; }

bool write_slots(const std::int64_t* keys, const std::int64_t* rows, std::int64_t size, std::int64_t* slots,
                 std::int64_t num_slots) {
  if (num_slots <= size) return false;
  for (std::int64_t s = 0; s < num_slots; ++s) slots[2 * s] = 0, slots[2 * s + 1] = -1;
  for (std::int64_t i = 0; i < size; ++i) {
    if (rows[i] < 0) return false;
    auto at = static_cast<std::int64_t>(slot_of(keys[i], num_slots));
    while (slots[2 * at + 1] >= 0) {
      if (slots[2 * at] == keys[i]) return false;
      at = at + 1 == num_slots ? 0 : at + 1;
    }
    slots[2 * at] = keys[i];
    slots[2 * at + 1] = rows[i];
  }
  return true;
}

void find_slots(const std::int64_t* slots, std::int64_t num_slots, const std::int64_t* ids, std::int64_t size,
                std::int64_t* rows) {
  for (std::int64_t i = 0; i < size; ++i) {
    if (i + kAhead < size) __builtin_prefetch(slots + 2 * slot_of(ids[i + kAhead], num_slots), 0, 3);
    auto at = static_cast<std::int64_t>(slot_of(ids[i], num_slots));
    rows[i] = -1;
    for (std::int64_t steps = 0; steps < num_slots && slots[2 * at + 1] >= 0; ++steps) {  // a damaged file may be full
      if (slots[2 * at] == ids[i]) {
        rows[i] = slots[2 * at + 1];
        break;
      }
      at = at + 1 == num_slots ? 0 : at + 1;
    }
  }
}

void start_row(Start start, float value, std::uint64_t seed, std::int64_t key, float* row, int dim) {
  std::uint64_t state = mixed(seed ^ mixed(static_cast<std::uint64_t>(key)));
  // Whole numbers until the last product, so that every processor gives the same bits.
  constexpr float kNormal = 1.0f / 53509.92f;  // standard deviation of the sum of eight uniform 16-bit numbers
  for (int i = 0; i < dim; ++i) {
    const std::uint64_t x = mixed(state += 0x9E3779B97F4A7C15ull);
    if (start == Start::uniform) {
      row[i] = value * (static_cast<float>(static_cast<std::int32_t>(x >> 40) - (1 << 23)) * 0x1p-23f);
      continue;
    }
    const std::uint64_t y = mixed(x);
    std::int32_t sum = -8 * 32768 + 4;  // eight times the mean, 32767.5
    for (int k = 0; k < 64; k += 16) sum += static_cast<std::int32_t>((x >> k & 0xFFFF) + (y >> k & 0xFFFF));
    row[i] = value * (static_cast<float>(sum) * kNormal);
  }
}

}  // namespace embedding
