#include "dropout.h"

#include <algorithm>
#include <cstring>

namespace modules {
namespace {

constexpr std::size_t kLanes = 16;

// A counter and two halves of a seed to 32 bits: MurmurHash3's finaliser with the second half added inside.
inline std::uint32_t mix(std::uint32_t counter, std::uint32_t low, std::uint32_t high) noexcept {
  std::uint32_t h = counter * 0x9e3779b9u + low;
  h = (h ^ (h >> 16)) * 0x85ebca6bu;
  h = ((h ^ (h >> 13)) + high) * 0xc2b2ae35u;
  return h ^ (h >> 16);
}

struct Float {
  using Value = float;
  static Value kept(Value x, float scale) noexcept { return x * scale; }
};

struct BFloat16 {
  using Value = std::uint16_t;
  static Value kept(Value x, float scale) noexcept {
    const std::uint32_t wide = static_cast<std::uint32_t>(x) << 16;
    float number;
    std::memcpy(&number, &wide, sizeof number);
    number *= scale;
    std::uint32_t bits;
    std::memcpy(&bits, &number, sizeof bits);
    const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
    return static_cast<Value>(is_nan ? 0x7fc0u : rounded);
  }
};

// 32 elements, whose 16 hashes start at `counter`.
template <class Kind>
inline void block(const typename Kind::Value* __restrict x, std::uint32_t counter, std::uint64_t seed,
                  std::uint32_t threshold, float scale, typename Kind::Value* __restrict out) noexcept {
  using Value = typename Kind::Value;
  const auto low = static_cast<std::uint32_t>(seed), high = static_cast<std::uint32_t>(seed >> 32);
  std::uint32_t hash[kLanes];
  for (std::size_t j = 0; j < kLanes; ++j) hash[j] = mix(counter + static_cast<std::uint32_t>(j), low, high);
  for (std::size_t j = 0; j < kLanes; ++j) {
    const Value kept = Kind::kept(x[j], scale);
    out[j] = (hash[j] & 0xffffu) >= threshold ? kept : Value(0);
  }
  for (std::size_t j = 0; j < kLanes; ++j) {
    const Value kept = Kind::kept(x[kLanes + j], scale);
    out[kLanes + j] = (hash[j] >> 16) >= threshold ? kept : Value(0);
  }
}

template <class Kind>
void run(const typename Kind::Value* x, std::size_t n, std::uint64_t seed, std::uint32_t threshold,
         typename Kind::Value* out) noexcept {
  using Value = typename Kind::Value;
  const float scale = 65536.0f / static_cast<float>(65536u - threshold);
  std::size_t start = 0;
  for (; start + 2 * kLanes <= n; start += 2 * kLanes)
    block<Kind>(x + start, static_cast<std::uint32_t>(start / 2), seed, threshold, scale, out + start);
  if (start == n) return;
  Value from[2 * kLanes] = {}, to[2 * kLanes];
  std::copy(x + start, x + n, from);
  block<Kind>(from, static_cast<std::uint32_t>(start / 2), seed, threshold, scale, to);
  std::copy(to, to + (n - start), out + start);
}

}  // namespace

void dropout(const float* x, std::size_t n, std::uint64_t seed, std::uint32_t threshold, float* out) noexcept {
  run<Float>(x, n, seed, threshold, out);
}

void dropout_bf16(const std::uint16_t* x, std::size_t n, std::uint64_t seed, std::uint32_t threshold,
                  std::uint16_t* out) noexcept {
  run<BFloat16>(x, n, seed, threshold, out);
}

}  // namespace modules
