// Distinct keys, numbered in the order in which they came.
#pragma once

#include <cstdint>
#include <vector>

#include "cells.h"
#include "hash.h"

namespace fg {

// Few keys are compared one by one; many are found by their hashes, in a table that keeps its memory.
class KeyTable {
 public:
  static constexpr std::uint32_t none = ~0U;

  // No keys, and room for `most`. The keys' bytes must stay where they are.
  void start(std::size_t most) {
    keys_.clear();
    hashed_ = most > few;
    if (!hashed_) return;
    std::size_t size = 32;
    while (size < 2 * most) size *= 2;
    slots_.assign(size, {0, none});
  }
  std::size_t size() const noexcept { return keys_.size(); }

  // The number of a key, which is new where it was not there.
  std::uint32_t add(const Text& key) {
    const auto next = static_cast<std::uint32_t>(keys_.size());
    if (!hashed_) {
      const std::uint32_t found = scan(key);
      if (found != none) return found;
    } else {
      const std::uint64_t hash = murmur64a(key.data, key.size);
      Slot& slot = slots_[place(key, hash)];
      if (slot.number != none) return slot.number;
      slot = {hash, next};
    }
    keys_.push_back(key);
    return next;
  }
  std::uint32_t find(const Text& key) const noexcept {
    return hashed_ ? slots_[place(key, murmur64a(key.data, key.size))].number : scan(key);
  }

 private:
  static constexpr std::size_t few = 8;
  struct Slot {
    std::uint64_t hash;
    std::uint32_t number;
  };
  bool same(std::uint32_t number, const Text& key) const noexcept {
    const Text& known = keys_[number];
    return known.size == key.size && std::memcmp(known.data, key.data, key.size) == 0;
  }
  std::uint32_t scan(const Text& key) const noexcept {
    for (std::uint32_t i = 0; i < keys_.size(); ++i) {
      if (same(i, key)) return i;
    }
    return none;
  }
  // Where the key is, or would be.
  std::size_t place(const Text& key, std::uint64_t hash) const noexcept {
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = hash & mask;
    while (slots_[at].number != none && !(slots_[at].hash == hash && same(slots_[at].number, key)))
      at = (at + 1) & mask;
    return at;
  }

  std::vector<Text> keys_;
  std::vector<Slot> slots_;
  bool hashed_ = false;
};

}  // namespace fg
