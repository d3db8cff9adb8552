// 128 bits that stand for a value: equal values have equal ones, and nobody without the key can make two that collide.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "arrow_column.h"
#include "hash.h"

namespace fg {

struct Print {
  std::uint64_t low, high;
  bool operator==(const Print& other) const noexcept { return low == other.low && high == other.high; }
};

// A keyed hash over words of 64 bits: SipHash-1-3 with 128 bits out (Aumasson and Bernstein, 2012), over words, not
// bytes.
class Printer {
 public:
  explicit Printer(const Print& key) noexcept
      : v0_(key.low ^ 0x736f6d6570736575),
        v1_(key.high ^ 0x646f72616e646f6d ^ 0xee),
        v2_(key.low ^ 0x6c7967656e657261),
        v3_(key.high ^ 0x7465646279746573) {}

  void word(std::uint64_t value) noexcept {
    v3_ ^= value;
    round();
    v0_ ^= value;
  }
  // The bytes and their number, so that no two texts side by side are two others.
  void text(const char* bytes, std::size_t size) noexcept {
    word(size);
    for (; size >= 8; bytes += 8, size -= 8) word(load_tail(bytes, 8));
    if (size != 0) word(load_tail(bytes, size));
  }
  Print print() noexcept {
    v2_ ^= 0xee;
    for (int i = 0; i < 3; ++i) round();
    const std::uint64_t low = v0_ ^ v1_ ^ v2_ ^ v3_;
    v1_ ^= 0xdd;
    for (int i = 0; i < 3; ++i) round();
    return {low, v0_ ^ v1_ ^ v2_ ^ v3_};
  }

 private:
  static std::uint64_t rotated(std::uint64_t x, int bits) noexcept { return x << bits | x >> (64 - bits); }
  void round() noexcept {
    v0_ += v1_;
    v1_ = rotated(v1_, 13) ^ v0_;
    v0_ = rotated(v0_, 32);
    v2_ += v3_;
    v3_ = rotated(v3_, 16) ^ v2_;
    v0_ += v3_;
    v3_ = rotated(v3_, 21) ^ v0_;
    v2_ += v1_;
    v1_ = rotated(v1_, 17) ^ v2_;
    v2_ = rotated(v2_, 32);
  }
  std::uint64_t v0_, v1_, v2_, v3_;
};

// What a value is, told before it.
enum class Mark : std::uint64_t { absent = 1, no, yes, integer, number, narrow, text, list, object };

// Prints of n rows over all columns: their types count, their names do not.
void print_rows(const std::vector<Column>& columns, std::int64_t n, const Print& key, Print* prints);

// Prints of a column of keys, in which a whole number is its decimal text. Returns the row of the first that is none,
// -1 where all are.
std::int64_t print_keys(const Column& column, const Print& key, Print* prints);

// The print of a key that is text.
Print print_key(const char* bytes, std::size_t size, const Print& key) noexcept;

}  // namespace fg
