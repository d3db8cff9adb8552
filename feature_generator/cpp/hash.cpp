#include "hash.h"

#include <algorithm>

#include "cells.h"
#include "number_text.h"

namespace fg {
namespace {

constexpr std::uint64_t k0 = 0xc3a5c85c97cb3127, k1 = 0xb492b66fbe98f273, k2 = 0x9ae16a3b2f90404f;

std::uint64_t word(const char* p) noexcept {
  std::uint64_t v;
  std::memcpy(&v, p, 8);
  return v;
}

std::uint64_t half_word(const char* p) noexcept {
  std::uint32_t v;
  std::memcpy(&v, p, 4);
  return v;
}

std::uint64_t rotate(std::uint64_t v, int by) noexcept { return v >> by | v << (64 - by); }
std::uint64_t fold(std::uint64_t v) noexcept { return v ^ v >> 47; }

std::uint64_t mix(std::uint64_t u, std::uint64_t v, std::uint64_t mul) noexcept {
  const std::uint64_t a = fold((u ^ v) * mul);
  return fold((v ^ a) * mul) * mul;
}

std::uint64_t up_to_16(const char* p, std::size_t n) noexcept {
  const std::uint64_t mul = k2 + n * 2;
  if (n >= 8) {
    const std::uint64_t a = word(p) + k2, b = word(p + n - 8);
    return mix(rotate(b, 37) * mul + a, (rotate(a, 25) + b) * mul, mul);
  }
  if (n >= 4) return mix(n + (half_word(p) << 3), half_word(p + n - 4), mul);
  if (n == 0) return k2;
  const auto at = [p](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(p[i])); };
  const std::uint32_t y = at(0) + (at(n >> 1) << 8), z = static_cast<std::uint32_t>(n) + (at(n - 1) << 2);
  return fold(y * k2 ^ z * k0) * k2;
}

std::uint64_t up_to_32(const char* p, std::size_t n) noexcept {
  const std::uint64_t mul = k2 + n * 2;
  const std::uint64_t a = word(p) * k1, b = word(p + 8), c = word(p + n - 8) * mul, d = word(p + n - 16) * k2;
  return mix(rotate(a + b, 43) + rotate(c, 30) + d, a + rotate(b + k2, 18) + c, mul);
}

std::uint64_t up_to_64(const char* p, std::size_t n) noexcept {
  const std::uint64_t mul = k2 + n * 2;
  const std::uint64_t a = word(p) * k2, b = word(p + 8), c = word(p + n - 8) * mul, d = word(p + n - 16) * k2;
  const std::uint64_t y = rotate(a + b, 43) + rotate(c, 30) + d;
  const std::uint64_t z = mix(y, a + rotate(b + k2, 18) + c, mul);
  const std::uint64_t e = word(p + 16) * mul, f = word(p + 24);
  const std::uint64_t g = (y + word(p + n - 32)) * mul, h = (z + word(p + n - 24)) * mul;
  return mix(rotate(e + f, 43) + rotate(g, 30) + h, e + rotate(f + a, 18) + g, mul);
}

struct Pair {
  std::uint64_t first, second;
};

Pair absorb(const char* p, std::uint64_t a, std::uint64_t b) noexcept {
  const std::uint64_t w = word(p), x = word(p + 8), y = word(p + 16), z = word(p + 24);
  a += w;
  b = rotate(b + a + z, 21);
  const std::uint64_t sum = a + x + y;
  return {sum + z, b + rotate(sum, 44) + a};
}

}  // namespace

std::uint64_t fingerprint64(const char* p, std::size_t n) noexcept {
  if (n <= 16) return up_to_16(p, n);
  if (n <= 32) return up_to_32(p, n);
  if (n <= 64) return up_to_64(p, n);
  constexpr std::uint64_t seed = 81;
  std::uint64_t y = seed * k1 + 113;
  std::uint64_t z = fold(y * k2 + 113) * k2;
  std::uint64_t x = seed * k2 + word(p);
  Pair v{0, 0}, w{0, 0};
  const char* const last = p + n - 64;  // the last 64 bytes, which overlap the last whole block
  std::uint64_t mul = k1;
  const auto round = [&](const char* s, std::uint64_t by, std::uint64_t weight) {
    x = rotate(x + y + v.first + word(s + 8), 37) * by;
    y = rotate(y + v.second + word(s + 48), 42) * by;
    x ^= w.second * weight;
    y += v.first * weight + word(s + 40);
    z = rotate(z + w.first, 33) * by;
    v = absorb(s, v.second * by, x + w.first);
    w = absorb(s + 32, z + w.second, y + word(s + 16));
    const std::uint64_t swapped = z;
    z = x;
    x = swapped;
  };
  for (std::size_t left = (n - 1) / 64; left > 0; --left, p += 64) round(p, k1, 1);
  mul = k1 + ((z & 0xff) << 1);
  w.first += (n - 1) & 63;
  v.first += w.first;
  w.first += v.first;
  round(last, mul, 9);
  return mix(mix(v.first, w.first, mul) + fold(y) * k0 + z, mix(v.second, w.second, mul) + x, mul);
}

namespace {

// murmur64a of the text of a whole number of at most 8 digits. Neither branches nor memory: a loop over it is computed
// on many values at once.
std::uint64_t hash_of_digits(std::uint64_t value) noexcept {
  constexpr std::uint64_t m = 0xc6a4a7935bd1e995;
  // The digits as bytes, the first in the lowest: two halves of four, four pairs, eight digits.
  const std::uint64_t high = value * 3518437209 >> 45;  // value / 10000
  const std::uint64_t halves = high | (value - high * 10000) << 32;
  const std::uint64_t hundreds = (halves * 10486 >> 20) & 0x0000007f0000007f;
  const std::uint64_t pairs = hundreds | (halves - hundreds * 100) << 16;
  const std::uint64_t tens = (pairs * 103 >> 10) & 0x000f000f000f000f;
  const std::uint64_t digits = tens | (pairs - tens * 10) << 8;
  const std::uint64_t size = 1 + (value >= 10) + (value >= 100) + (value >= 1000) + (value >= 10000) +
                             (value >= 100000) + (value >= 1000000) + (value >= 10000000);
  std::uint64_t word = (digits | 0x3030303030303030) >> (64 - 8 * size);
  std::uint64_t mixed = word * m;  // of a whole block; fewer than 8 bytes are taken as they are
  mixed ^= mixed >> 47;
  mixed *= m;
  word = size == 8 ? mixed : word;
  std::uint64_t h = ((murmur_seed ^ (size * m)) ^ word) * m;
  h = (h ^ h >> 47) * m;
  return h ^ h >> 47;
}

}  // namespace

void hash_integers(const std::int64_t* values, std::size_t n, Modulus buckets, std::int64_t* ids) noexcept {
  constexpr std::size_t part = 256;
  std::uint64_t hashes[part];
  for (std::size_t done = 0; done < n; done += part) {
    const std::size_t size = std::min(part, n - done);
    const std::int64_t* const at = values + done;
    bool small = true;
    for (std::size_t i = 0; i < size; ++i) small &= static_cast<std::uint64_t>(at[i]) < 100000000;
    if (small) {
      for (std::size_t i = 0; i < size; ++i) hashes[i] = hash_of_digits(static_cast<std::uint64_t>(at[i]));
    } else {
      char text[24];
      for (std::size_t i = 0; i < size; ++i) hashes[i] = murmur64a(text, write_integer(at[i], text));
    }
    for (std::size_t i = 0; i < size; ++i) ids[done + i] = static_cast<std::int64_t>(buckets(hashes[i]));
  }
}

void hash_ids(Hash hash, const Text* texts, std::size_t n, Modulus buckets, std::int64_t* ids) noexcept {
  if (hash == Hash::murmur64a) {
    for (std::size_t i = 0; i < n; ++i)
      ids[i] = static_cast<std::int64_t>(buckets(murmur64a(texts[i].data, texts[i].size)));
  } else {
    for (std::size_t i = 0; i < n; ++i)
      ids[i] = static_cast<std::int64_t>(buckets(fingerprint64(texts[i].data, texts[i].size)));
  }
}

}  // namespace fg
