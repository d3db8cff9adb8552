#include "word_numbers.h"

#include <algorithm>

#include "hash.h"

namespace fg {

void WordNumbers::clear(std::size_t words) {
  std::size_t room = 16;
  while (room < 2 * words) room *= 2;
  slots_.resize(room);
  std::fill_n(slots_.data(), room, 0U);
  mask_ = room - 1;
  words_.clear();
  words_.reserve(words);
  hashes_.clear();
  hashes_.reserve(words);
}

std::uint32_t WordNumbers::number(const Text& word) noexcept {
  const std::uint64_t hash = murmur64a(word.data, word.size);
  for (std::uint64_t i = hash & mask_;; i = (i + 1) & mask_) {
    const std::uint32_t slot = slots_[i];
    if (slot == 0) {
      words_.push(word);
      hashes_.push(hash);
      return (slots_[i] = static_cast<std::uint32_t>(words_.size())) - 1;
    }
    const Text& known = words_[slot - 1];
    if (hashes_[slot - 1] == hash && known.size == word.size && std::memcmp(known.data, word.data, word.size) == 0)
      return slot - 1;
  }
}

void WordNumbers::number_all(const Cells& cells, Slab<std::uint32_t>& numbers) {
  numbers.resize(cells.texts.size());
  for (std::size_t i = 0; i < cells.texts.size(); ++i) numbers[i] = number(cells.texts[i]);
}

}  // namespace fg
