// Finding what belongs to a key: in pairs that were read, or in text that holds them.
#pragma once

#include <vector>

#include "cells.h"

namespace fg {

// What belongs to a key. Of folded pairs it is a text, else the values of an element of `seconds`.
struct Second {
  Text text{nullptr, 0};
  std::uint32_t at = 0;
};

// Looks keys up in the pairs of one element at a time. Where keys stand twice, the first pair that has anything behind
// its key counts. Keys compare as text.
class PairFinder {
 public:
  // `inner`: separates the values behind a key; where nothing else stands there, there are none. Of text that is not
  // split, it is none. `either`: the pairs of a text that holds a chr(29) stand between those, whatever the separator.
  static constexpr int whole = -1;
  PairFinder(char separator, char assign, int inner = whole, bool either = false) noexcept
      : separator_(separator), assign_(assign), inner_(inner), either_(either && separator != '\x1d') {}

  // The pairs of element `element`; `often`: more than one key will be looked up, so that an index pays.
  void look_into(const Cells& cells, std::uint32_t element, bool often);
  // As above, for pairs in a text.
  void look_into(const Text& text);
  bool find(const Text& key, Second& second) const noexcept;
  // Calls use(key, second) for every pair that has anything behind its key, in their order.
  template <class Use>
  void each(const Use& use) const;

 private:
  struct Slot {
    Text key{nullptr, 0};
    Second second;
    std::uint64_t hash = 0;
    bool used = false;
  };
  // Calls use(key, second text) for the pairs in a text until it returns true.
  template <class Use>
  bool unfold(const Text& text, Folded folded, const Use& use) const;
  bool find_in(const Text& text, Folded folded, const Text& key, Second& second) const noexcept;
  void add(const Text& key, const Second& second);
  // Whether a text behind a key holds no value.
  bool holds_nothing(const Text& second) const noexcept {
    std::size_t i = 0;
    while (i < second.size && static_cast<unsigned char>(second.data[i]) == inner_) ++i;
    return i == second.size;
  }

  // Whether nothing stands behind key v of pairs that were read.
  bool lacks_second(std::uint32_t v) const noexcept {
    const Cells& seconds = *cells_->seconds;
    const std::uint32_t begin = seconds.begin_of(v), end = seconds.ends[v];
    return begin == end || (seconds.folded == Folded::many && holds_nothing(seconds.texts[begin]));
  }

  // What stands between the pairs of this text.
  char between(const Text& text) const noexcept {
    return either_ && std::memchr(text.data, '\x1d', text.size) != nullptr ? '\x1d' : separator_;
  }

  char separator_, assign_;
  int inner_;
  bool either_;
  const Cells* cells_ = nullptr;
  Text text_{nullptr, 0};
  std::uint32_t begin_ = 0, end_ = 0;
  bool indexed_ = false;
  std::vector<Slot> slots_;
  std::size_t mask_ = 0;
};

template <class Use>
bool PairFinder::unfold(const Text& text, Folded folded, const Use& use) const {
  const char *p = text.data, *const end = p + text.size;
  const char separator = folded == Folded::many ? between(text) : '\0';
  while (p < end) {
    const auto left = static_cast<std::size_t>(end - p);
    const auto* cut = folded == Folded::many ? static_cast<const char*>(std::memchr(p, separator, left)) : nullptr;
    const char* const stop = cut != nullptr ? cut : end;
    const auto size = static_cast<std::size_t>(stop - p);
    if (const auto* sign = static_cast<const char*>(std::memchr(p, assign_, size)); sign != nullptr) {
      const Text key{p, static_cast<std::size_t>(sign - p)};
      const Text second{sign + 1, static_cast<std::size_t>(stop - sign - 1)};
      if (!holds_nothing(second) && use(key, second)) return true;
    }
    p = stop + 1;
  }
  return false;
}

template <class Use>
void PairFinder::each(const Use& use) const {
  const auto told = [&](const Text& key, const Text& second) {
    use(key, Second{second, 0});
    return false;
  };
  if (cells_ == nullptr) {
    unfold(text_, Folded::many, told);
    return;
  }
  for (std::uint32_t v = begin_; v < end_; ++v) {
    if (cells_->folded != Folded::no) {
      unfold(cells_->texts[v], cells_->folded, told);
    } else if (!lacks_second(v)) {
      use(cells_->texts[v], Second{{nullptr, 0}, v});
    }
  }
}

}  // namespace fg
