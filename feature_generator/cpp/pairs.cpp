#include "pairs.h"

#include <algorithm>

#include "hash.h"
#include "scan.h"

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
  const char* const end = text.data + text.size;
  const char separator = folded == Folded::many ? between(text) : '\0';
  // In text a key ends at the first sign, and at a separator where there are any.
  if (folded == Folded::many && std::memchr(key.data, separator, key.size) != nullptr) return false;
  // The first 8 bytes of key and sign, or all of them: they tell pairs apart in one comparison, which is rarely equal.
  std::uint64_t start = 0, mask = ~std::uint64_t{0};
  const std::size_t size = std::min<std::size_t>(key.size, 8);
  std::memcpy(&start, key.data, size);
  if (size < 8) {
    start |= std::uint64_t{static_cast<unsigned char>(assign_)} << (8 * size);
    mask >>= 8 * (7 - size);
  }
  // Whether the pair at p has the key, and something behind it.
  const auto hit = [&](const char* p) {
    if (end - p >= 8) {
      std::uint64_t word;
      std::memcpy(&word, p, 8);
      if (((word ^ start) & mask) != 0) return false;
    }
    if (static_cast<std::size_t>(end - p) <= key.size + 1 || p[key.size] != assign_ ||
        std::memcmp(p, key.data, key.size) != 0)
      return false;
    const char* const from = p + key.size + 1;
    const auto left = static_cast<std::size_t>(end - from);
    const auto* cut = folded == Folded::many ? static_cast<const char*>(std::memchr(from, separator, left)) : nullptr;
    second.text = {from, cut != nullptr ? static_cast<std::size_t>(cut - from) : left};
    return !holds_nothing(second.text);
  };
  if (hit(text.data)) return true;
  if (folded != Folded::many) return false;
  const char* p = text.data;
  for (; end - p >= 64; p += 64) {
    for (std::uint64_t bits = bytes_equal(p, separator); bits != 0; bits &= bits - 1) {
      if (hit(p + __builtin_ctzll(bits) + 1)) return true;
    }
  }
  for (; p != end; ++p) {
    if (*p == separator && hit(p + 1)) return true;
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
  if (folded && std::memchr(key.data, assign_, key.size) != nullptr) return false;
  if (cells_ == nullptr) return find_in(text_, Folded::many, key, second);
  for (std::uint32_t v = begin_; v < end_; ++v) {
    if (folded) {
      if (find_in(cells_->texts[v], cells_->folded, key, second)) return true;
    } else if (same(cells_->texts[v], key) && !lacks_second(v)) {
      second.at = v;
      return true;
    }
  }
  return false;
}

}  // namespace fg
