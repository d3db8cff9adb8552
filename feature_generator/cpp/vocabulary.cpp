#include "vocabulary.h"

#include <cstring>
#include <stdexcept>

#include "hash.h"

namespace fg {

Vocabulary::Vocabulary(const std::vector<std::string>& words, const std::vector<std::int64_t>& ids) {
  std::size_t room = 16;
  while (room < 2 * words.size()) room *= 2;
  slots_.resize(room, Slot{0, 0, 0, 0, false});
  mask_ = room - 1;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const Text word{words[i].data(), words[i].size()};
    Slot* const slot = slot_of(word, murmur64a(word.data, word.size));
    if (!slot->used) {
      if (text_.size() + word.size > 0xffffffffU) throw std::length_error("a vocabulary holds at most 4 GiB of text");
      *slot = {murmur64a(word.data, word.size), static_cast<std::uint32_t>(text_.size()),
               static_cast<std::uint32_t>(word.size), ids[i], true};
      text_ += words[i];
    }
    slot->id = ids[i];
  }
}

Vocabulary::Slot* Vocabulary::slot_of(const Text& word, std::uint64_t hash) noexcept {
  for (std::uint64_t i = hash & mask_;; i = (i + 1) & mask_) {
    Slot& slot = slots_[i];
    if (!slot.used || (slot.hash == hash && slot.size == word.size &&
                       (word.size == 0 || std::memcmp(text_.data() + slot.start, word.data, word.size) == 0)))
      return &slot;
  }
}

std::int64_t Vocabulary::find(const Text& word, std::int64_t unknown) const noexcept {
  const std::uint64_t hash = murmur64a(word.data, word.size);
  const Slot* const slot = const_cast<Vocabulary*>(this)->slot_of(word, hash);
  return slot->used ? slot->id : unknown;
}

}  // namespace fg
