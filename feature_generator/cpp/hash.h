// The two string hashes that a config may name, and an exact modulus without a division.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace fg {

struct Text;

enum class Hash : std::uint8_t { murmur64a, farmhash };

inline constexpr std::uint64_t murmur_seed = 0xc70f6907;

// Little-endian value of the `n` <= 8 bytes at `p`. Touches no byte outside of them.
inline std::uint64_t load_tail(const char* p, std::size_t n) noexcept {
  if (n >= 4) {  // two words that overlap hold the same bits where they overlap
    std::uint32_t low, high;
    std::memcpy(&low, p, 4);
    std::memcpy(&high, p + n - 4, 4);
    return low | std::uint64_t{high} << (8 * (n - 4));
  }
  if (n == 0) return 0;
  const auto at = [p](std::size_t i) { return std::uint64_t{static_cast<unsigned char>(p[i])}; };
  return at(0) | at(n / 2) << (8 * (n / 2)) | at(n - 1) << (8 * (n - 1));
}

// MurmurHash64A of n bytes (Appleby's published mixing constants).
inline std::uint64_t murmur64a(const char* p, std::size_t n, std::uint64_t seed = murmur_seed) noexcept {
  constexpr std::uint64_t m = 0xc6a4a7935bd1e995;
  std::uint64_t h = seed ^ (n * m);
  const char* const blocks = p + (n & ~std::size_t{7});
  for (; p != blocks; p += 8) {
    std::uint64_t k;
    std::memcpy(&k, p, 8);
    k *= m;
    k ^= k >> 47;
    h = (h ^ k * m) * m;
  }
  if (n & 7) h = (h ^ load_tail(p, n & 7)) * m;
  h = (h ^ h >> 47) * m;
  return h ^ h >> 47;
}

// FarmHash Fingerprint64 of n bytes.
std::uint64_t fingerprint64(const char* p, std::size_t n) noexcept;

// x mod n for a fixed n: one multiplication estimates the quotient, at most one too low.
class Modulus {
 public:
  explicit Modulus(std::uint64_t n) noexcept
      : n_(n),
        inverse_(n > 1 ? static_cast<std::uint64_t>((static_cast<unsigned __int128>(1) << 64) / n)
                       : ~std::uint64_t{0}) {}
  std::uint64_t operator()(std::uint64_t x) const noexcept {
    const auto quotient = static_cast<std::uint64_t>((static_cast<unsigned __int128>(x) * inverse_) >> 64);
    const std::uint64_t rest = x - quotient * n_;
    return rest >= n_ ? rest - n_ : rest;
  }

 private:
  std::uint64_t n_, inverse_;
};

// ids[i] = murmur64a of the decimal text of values[i], mod buckets, for n values.
void hash_integers(const std::int64_t* values, std::size_t n, Modulus buckets, std::int64_t* ids) noexcept;

// ids[i] = hash(texts[i]) mod buckets, for n texts.
void hash_ids(Hash hash, const Text* texts, std::size_t n, Modulus buckets, std::int64_t* ids) noexcept;

}  // namespace fg
