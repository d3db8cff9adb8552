// Words to ids: an open-addressing table over the words' own bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cells.h"

namespace fg {

class Vocabulary {
 public:
  // words[i] has id ids[i]; a word given twice keeps its last id.
  Vocabulary(const std::vector<std::string>& words, const std::vector<std::int64_t>& ids);
  // The id of a word, or `unknown`.
  std::int64_t find(const Text& word, std::int64_t unknown) const noexcept;

 private:
  struct Slot {
    std::uint64_t hash;
    std::uint32_t start, size;  // of the word in text_
    std::int64_t id;
    bool used;
  };
  Slot* slot_of(const Text& word, std::uint64_t hash) noexcept;
  std::vector<Slot> slots_;
  std::string text_;
  std::uint64_t mask_ = 0;
};

}  // namespace fg
