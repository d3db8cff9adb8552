// Numbers by fingerprint, in bounded room: what was not asked for since the hand last came by makes place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "fingerprint.h"

namespace fg {

// CLOCK (Corbato, 1969): every entry has a mark that a look at it sets; the hand takes marks off, and stops at an entry
// without one. Not safe to use from several threads at a time.
class Clock {
 public:
  // 0: without bound.
  explicit Clock(std::size_t most) noexcept : most_(most) {}

  std::size_t size() const noexcept { return entries_.size() - free_.size(); }
  std::size_t evicted() const noexcept { return evicted_; }
  std::size_t bytes() const noexcept {
    return entries_.capacity() * sizeof(Entry) + (places_.capacity() + free_.capacity()) * sizeof(std::uint32_t);
  }

  // numbers[i] = the number of prints[i], or -1. Returns how many were found.
  std::size_t find(const Print* prints, std::size_t n, std::int64_t* numbers) noexcept;

  // Sets the numbers of n prints; of one that comes twice the last one stays.
  void put(const Print* prints, const std::int64_t* numbers, std::size_t n);

  // Forgets prints; returns how many were there.
  std::size_t erase(const Print* prints, std::size_t n) noexcept;

  // The numbers of all entries in the order of their places; then they may be renumbered 0, 1, 2 ... in that order.
  std::vector<std::int64_t> numbers() const;
  void renumber() noexcept;

 private:
  static constexpr std::uint32_t none = ~0U;
  struct Entry {
    Print print;
    std::int64_t number;  // -1: free
    bool marked;
  };
  std::size_t home(const Print& print) const noexcept { return print.low & (places_.size() - 1); }
  std::size_t place(const Print& print) const noexcept;  // of the print, or of the free place where it would go
  void leave(std::size_t place) noexcept;
  void grow();
  std::uint32_t room();

  std::size_t most_, hand_ = 0, evicted_ = 0;
  std::vector<Entry> entries_;
  std::vector<std::uint32_t> places_;  // open addressing: numbers of entries, at most half of them taken
  std::vector<std::uint32_t> free_;    // entries that were erased
};

}  // namespace fg
