#include "pairs.h"

#include <algorithm>

#include "hash.h"

namespace fg {
namespace {

bool same(const Text& a, const Text& b) noexcept {
  return a.size == b.size && std::memcmp(a.data, b.data, a.size) == 0;
}

}  // namespace

void PairFinder::look_into(const Cells& cells, std::uint32_t element, bool often) {
  cells_ = &cells;
  begin_ = cells.begin_of(element);
  end_ = cells.ends[element];
  indexed_ = false;
  if (!often) return;
  std::size_t pairs = 0;
  each([&](const Text&, const Second&) { ++pairs; });
  std::size_t room = 16;
  while (room < 2 * pairs) room *= 2;
  slots_.assign(room, Slot{});
  mask_ = room - 1;
  each([&](const Text& key, const Second& second) { add(key, second); });
  indexed_ = true;
}

void PairFinder::look_into(const Text& text) {
  cells_ = nullptr;
  text_ = text;
  indexed_ = false;
}

void PairFinder::add(const Text& key, const Second& second) {
  const std::uint64_t hash = murmur64a(key.data, key.size);
  std::size_t i = hash & mask_;
  for (; slots_[i].used; i = (i + 1) & mask_) {
    if (slots_[i].hash == hash && same(slots_[i].key, key)) return;  // the first counts
  }
  slots_[i].key = key;
  slots_[i].second = second;
  slots_[i].hash = hash;
  slots_[i].used = true;
}

bool PairFinder::find_in(const Text& text, Folded folded, const Text& key, Second& second) const noexcept {
  // A pair begins at the text's start and behind every separator; most are told apart by one byte, the sign's place.
  const char *p = text.data, *const end = p + text.size;
  while (static_cast<std::size_t>(end - p) > key.size) {
    const bool hit = p[key.size] == assign_ && std::memcmp(p, key.data, key.size) == 0;
    const auto left = static_cast<std::size_t>(end - p);
    const char* from = hit ? p + key.size + 1 : p;
    const auto* cut =
        folded == Folded::many
            ? static_cast<const char*>(std::memchr(from, separator_, left - static_cast<std::size_t>(from - p)))
            : nullptr;
    const char* const stop = cut != nullptr ? cut : end;
    if (hit && from != stop) {
      second.text = {from, static_cast<std::size_t>(stop - from)};
      return true;
    }
    if (cut == nullptr) return false;
    p = cut + 1;
  }
  return false;
}

bool PairFinder::find(const Text& key, Second& second) const noexcept {
  if (indexed_) {
    const std::uint64_t hash = murmur64a(key.data, key.size);
    for (std::size_t i = hash & mask_; slots_[i].used; i = (i + 1) & mask_) {
      if (slots_[i].hash != hash || !same(slots_[i].key, key)) continue;
      second = slots_[i].second;
      return true;
    }
    return false;
  }
  const bool folded = cells_ == nullptr || cells_->folded != Folded::no;
  // In text a key ends at the first sign, and at a separator where there are any.
  if (folded &&
      (std::memchr(key.data, assign_, key.size) != nullptr || ((cells_ == nullptr || cells_->folded == Folded::many) &&
                                                               std::memchr(key.data, separator_, key.size) != nullptr)))
    return false;
  if (cells_ == nullptr) return find_in(text_, Folded::many, key, second);
  for (std::uint32_t v = begin_; v < end_; ++v) {
    if (folded) {
      if (find_in(cells_->texts[v], cells_->folded, key, second)) return true;
    } else if (same(cells_->texts[v], key) && cells_->seconds->begin_of(v) != cells_->seconds->ends[v]) {
      second.at = v;
      return true;
    }
  }
  return false;
}

}  // namespace fg
