#include "clock.h"

#include <stdexcept>

namespace fg {

std::size_t Clock::place(const Print& print) const noexcept {
  const std::size_t mask = places_.size() - 1;
  std::size_t at = home(print);
  while (places_[at] != none && !(entries_[places_[at]].print == print)) at = (at + 1) & mask;
  return at;
}

std::size_t Clock::find(const Print* prints, std::size_t n, std::int64_t* numbers) noexcept {
  std::size_t found = 0;
  for (std::size_t i = 0; i < n; ++i) {
    numbers[i] = -1;
    if (places_.empty()) continue;
    const std::uint32_t entry = places_[place(prints[i])];
    if (entry == none) continue;
    entries_[entry].marked = true;
    numbers[i] = entries_[entry].number;
    ++found;
  }
  return found;
}

void Clock::put(const Print* prints, const std::int64_t* numbers, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) {
    if (2 * (entries_.size() + 1) > places_.size()) grow();
    const std::size_t at = place(prints[i]);
    if (places_[at] != none) {
      entries_[places_[at]].number = numbers[i];
      continue;
    }
    const std::uint32_t entry = room();  // which may move what stands at `at`
    entries_[entry] = {prints[i], numbers[i], false};
    places_[place(prints[i])] = entry;
  }
}

std::uint32_t Clock::room() {
  if (!free_.empty()) {
    const std::uint32_t entry = free_.back();
    free_.pop_back();
    return entry;
  }
  if (most_ == 0 || entries_.size() < most_) {
    if (entries_.size() >= none) throw std::length_error("the cache is full");
    entries_.emplace_back();
    return static_cast<std::uint32_t>(entries_.size() - 1);
  }
  while (entries_[hand_].marked) {
    entries_[hand_].marked = false;
    hand_ = hand_ + 1 == entries_.size() ? 0 : hand_ + 1;
  }
  const auto entry = static_cast<std::uint32_t>(hand_);
  leave(place(entries_[entry].print));
  hand_ = hand_ + 1 == entries_.size() ? 0 : hand_ + 1;
  ++evicted_;
  return entry;
}

// Frees a place, and moves up what stands behind it for want of a better one.
void Clock::leave(std::size_t gap) noexcept {
  const std::size_t mask = places_.size() - 1;
  for (std::size_t at = (gap + 1) & mask; places_[at] != none; at = (at + 1) & mask) {
    const std::size_t wanted = home(entries_[places_[at]].print);
    if (((at - wanted) & mask) < ((at - gap) & mask)) continue;
    places_[gap] = places_[at];
    gap = at;
  }
  places_[gap] = none;
}

void Clock::grow() {
  std::size_t size = 64;
  while (size < 4 * (entries_.size() + 1)) size *= 2;
  places_.assign(size, none);
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].number >= 0) places_[place(entries_[i].print)] = static_cast<std::uint32_t>(i);
  }
}

std::size_t Clock::erase(const Print* prints, std::size_t n) noexcept {
  std::size_t gone = 0;
  for (std::size_t i = 0; i < n && !places_.empty(); ++i) {
    const std::size_t at = place(prints[i]);
    const std::uint32_t entry = places_[at];
    if (entry == none) continue;
    leave(at);
    entries_[entry].number = -1;
    entries_[entry].marked = false;
    free_.push_back(entry);
    ++gone;
  }
  return gone;
}

std::vector<std::int64_t> Clock::numbers() const {
  std::vector<std::int64_t> result;
  result.reserve(size());
  for (const Entry& entry : entries_) {
    if (entry.number >= 0) result.push_back(entry.number);
  }
  return result;
}

void Clock::renumber() noexcept {
  std::int64_t next = 0;
  for (Entry& entry : entries_) {
    if (entry.number >= 0) entry.number = next++;
  }
}

}  // namespace fg
