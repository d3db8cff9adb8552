// The keys of a dynamic table: which row each has, who gets one, and who loses it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "huge.h"

namespace embedding {

enum class Counting : std::uint8_t { none, exact, sketch, chance };
enum class Eviction : std::uint8_t { lru, lfu, score };

struct KeyRule {
  Counting counting = Counting::none;
  std::uint32_t min_count = 1;    // occurrences until a key gets a row
  double probability = 1.0;       // of `chance`: that one occurrence gets it
  std::int64_t candidates = 0;    // of `exact`: keys counted at once
  std::int64_t sketch_width = 0;  // of `sketch`: counters in each of its rows
  Eviction eviction = Eviction::lru;
  double half_life = 0.0;  // of `score`: steps in which a count halves
  std::uint32_t ttl = 0;   // steps after which an unseen key is gone; 0: never
  std::uint64_t seed = 0;
};

// What a key map has done since it was last asked.
struct KeyCounts {
  std::int64_t seen = 0, found = 0, admitted = 0, evicted = 0, expired = 0, refused = 0;
};

// A key with what is known of it; row -1 where it only waits.
struct Key {
  std::int64_t key = 0;
  std::int32_t row = -1;
  float count = 0.0f;
  std::uint32_t step = 0;
};

// Open addressing with linear probing; removal shifts back what stands behind, so there are no tombstones to sweep.
// All decisions follow from keys, counts and steps, never from where an entry lies: a restored map goes on exactly.
class KeyMap {
 public:
  static constexpr std::int32_t kWaiting = -1, kEmpty = -2;
  static constexpr int kDepth = 4;  // rows of the sketch

  KeyMap(std::int64_t capacity, const KeyRule& rule);

  // rows[i] of ids[i], -1 for those without. Counts, admits and evicts; `step` must not fall. Keys of this step stay.
  void admit(const std::int64_t* ids, std::int64_t size, std::int64_t* rows, std::uint32_t step);

  // rows[i] of ids[i], -1 for those without; changes nothing.
  void find(const std::int64_t* ids, std::int64_t size, std::int64_t* rows) const;

  // All keys, size() + waiting() of them: those with rows by row, then the waiting ones by key. No more memory than
  // 4 bytes a row and 8 a waiting key: maps are large where it is called.
  void write(std::int64_t* keys, std::int32_t* rows, float* counts, std::uint32_t* steps) const;

  // Takes over `keys`; false where rows or keys repeat, or are too many. The rest of the state is that of `restore`.
  bool restore(const std::vector<Key>& keys, const std::vector<std::uint32_t>& sketch, std::uint64_t additions,
               std::uint32_t swept);

  std::int64_t capacity() const { return capacity_; }
  std::int64_t size() const { return capacity_ - static_cast<std::int64_t>(free_.size()); }
  std::int64_t waiting() const { return waiting_; }
  std::int64_t bytes() const;
  const std::vector<std::uint32_t>& sketch() const { return sketch_; }
  std::uint64_t additions() const { return additions_; }
  std::uint32_t swept() const { return swept_; }

  KeyCounts counts;                      // since they were last cleared
  std::vector<std::int64_t> fresh_rows;  // rows given since these were last cleared, and to which keys
  std::vector<std::int64_t> fresh_keys;

 private:
  std::size_t home(std::int64_t key) const {
    return static_cast<std::size_t>((static_cast<unsigned __int128>(scramble(key)) * entries_.size()) >> 64);
  }
  static std::uint64_t scramble(std::int64_t key);
  std::size_t place(std::int64_t key) const;  // of its entry, or of the empty one where it would stand
  void erase(std::size_t at);
  void touch(Key& entry, std::uint32_t step);
  std::int64_t admit_new(std::int64_t key, std::uint32_t step, std::size_t at);
  std::int64_t give_row(std::int64_t key, float count, std::uint32_t step);
  bool wait(std::int64_t key, std::uint32_t step);
  void age_waiting();
  void make_room(std::uint32_t step);
  void expire(std::uint32_t step);
  void free_rows(const std::vector<std::int64_t>& keys);
  std::uint32_t sketched(std::int64_t key);
  double score(const Key& entry, std::uint32_t step) const;

  std::int64_t capacity_;
  KeyRule rule_;
  HugeVector<Key> entries_;
  std::vector<std::int32_t> free_;  // rows without a key, the lowest last
  std::int64_t waiting_ = 0;
  std::vector<std::uint32_t> sketch_;
  std::uint64_t additions_ = 0;
  std::uint32_t swept_ = 0;
  bool exhausted_ = false;  // no row could be taken in step `exhausted_step_`: nor can later in it
  std::uint32_t exhausted_step_ = 0;
};

// A finished map in memory that may be a file: (slots, 2) of key and row, row -1 where there is none.
std::int64_t slots_for(std::int64_t keys);
bool write_slots(const std::int64_t* keys, const std::int64_t* rows, std::int64_t size, std::int64_t* slots,
                 std::int64_t num_slots);
void find_slots(const std::int64_t* slots, std::int64_t num_slots, const std::int64_t* ids, std::int64_t size,
                std::int64_t* rows);

// How a row starts: normal by the sum of eight uniform numbers, or uniform. Follows from seed and key alone.
enum class Start : std::uint8_t { normal, uniform };
void start_row(Start start, float value, std::uint64_t seed, std::int64_t key, float* row, int dim);

}  // namespace embedding
