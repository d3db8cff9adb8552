// Words as small numbers, so that what compares them often compares their bytes once.
#pragma once

#include <cstdint>

#include "cells.h"

namespace fg {

// Equal words get equal numbers, counted from 0 in the order of their first appearance.
class WordNumbers {
 public:
  // Forgets all words; there is room for `words` new ones.
  void clear(std::size_t words);
  // The number of a word, whose bytes must stay where they are until `clear`.
  std::uint32_t number(const Text& word) noexcept;
  std::size_t size() const noexcept { return words_.size(); }
  const Text& word(std::uint32_t number) const noexcept { return words_[number]; }

  // numbers[i] = the number of value i of `cells`, which holds text.
  void number_all(const Cells& cells, Slab<std::uint32_t>& numbers);

 private:
  Slab<std::uint32_t> slots_;  // 1 + number, 0: free
  Slab<Text> words_;
  Slab<std::uint64_t> hashes_;
  std::uint64_t mask_ = 0;
};

}  // namespace fg
