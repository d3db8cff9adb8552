#include "dropout.h"

#include <algorithm>

#include "bfloat16.h"

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

// 32 elements, whose 16 hashes start at `counter`.
template <class Value>
inline void block(const Value* __restrict x, std::uint32_t counter, std::uint64_t seed, std::uint32_t threshold,
                  float scale, Value* __restrict out) noexcept {
  const auto low = static_cast<std::uint32_t>(seed), high = static_cast<std::uint32_t>(seed >> 32);
  std::uint32_t hash[kLanes];
  for (std::size_t j = 0; j < kLanes; ++j) hash[j] = mix(counter + static_cast<std::uint32_t>(j), low, high);
  for (std::size_t j = 0; j < kLanes; ++j) {
    const Value kept = narrowed<Value>(widened(x[j]) * scale);
    out[j] = (hash[j] & 0xffffu) >= threshold ? kept : Value(0);
  }
  for (std::size_t j = 0; j < kLanes; ++j) {
    const Value kept = narrowed<Value>(widened(x[kLanes + j]) * scale);
    out[kLanes + j] = (hash[j] >> 16) >= threshold ? kept : Value(0);
  }
}

template <class Value>
void run(const Value* x, std::size_t n, std::uint64_t seed, std::uint32_t threshold, Value* out) noexcept {
  const float scale = 65536.0f / static_cast<float>(65536u - threshold);
  std::size_t start = 0;
  for (; start + 2 * kLanes <= n; start += 2 * kLanes)
    block(x + start, static_cast<std::uint32_t>(start / 2), seed, threshold, scale, out + start);
  if (start == n) return;
  Value from[2 * kLanes] = {}, to[2 * kLanes];
  std::copy(x + start, x + n, from);
  block(from, static_cast<std::uint32_t>(start / 2), seed, threshold, scale, to);
  std::copy(to, to + (n - start), out + start);
}

}  // namespace

void dropout(const float* x, std::size_t n, std::uint64_t seed, std::uint32_t threshold, float* out) noexcept {
  run(x, n, seed, threshold, out);
}

void dropout_bf16(const std::uint16_t* x, std::size_t n, std::uint64_t seed, std::uint32_t threshold,
                  std::uint16_t* out) noexcept {
  run(x, n, seed, threshold, out);
}

}  // namespace modules
