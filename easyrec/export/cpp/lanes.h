// As many floats as a register of this build holds, and what multiplies and adds them at once.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#endif

namespace dense {

#if defined(__AVX512F__)
constexpr std::size_t LANES = 16;
constexpr std::size_t TILE_ROWS = 12;  // 12 x 2 sums, 2 of the matrix, a number of a row: below 32 registers
#elif defined(__AVX2__)
constexpr std::size_t LANES = 8;
constexpr std::size_t TILE_ROWS = 6;  // of 16 registers
#else
constexpr std::size_t LANES = 4;
constexpr std::size_t TILE_ROWS = 6;
#endif

using Lanes = float __attribute__((vector_size(LANES * sizeof(float))));
using LooseLanes = float __attribute__((vector_size(LANES * sizeof(float)), aligned(alignof(float)), may_alias));

inline Lanes load(const float* from) noexcept { return *reinterpret_cast<const LooseLanes*>(from); }
inline void store(float* to, Lanes lanes) noexcept { *reinterpret_cast<LooseLanes*>(to) = lanes; }
inline Lanes all(float number) noexcept { return Lanes{} + number; }

inline Lanes multiply_add(Lanes a, Lanes b, Lanes c) noexcept {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX2__) && defined(__FMA__)
  return _mm256_fmadd_ps(a, b, c);
#else
  return a * b + c;
#endif
}

// e to the power of each, within 2 units of the last place.
inline Lanes exponential(Lanes x) noexcept {
  using Whole = std::int32_t __attribute__((vector_size(LANES * sizeof(std::int32_t))));
  const Lanes given = x;
  x = x > 89.0f ? all(89.0f) : x;  // an infinity comes out
  x = x < -104.0f ? all(-104.0f) : x;
  const Lanes turns = x * 1.44269504088896341f;
  const Whole n = __builtin_convertvector(turns + (turns < 0.0f ? all(-0.5f) : all(0.5f)), Whole);
  const Lanes whole = __builtin_convertvector(n, Lanes);
  const Lanes rest = multiply_add(whole, all(2.12194440e-4f), multiply_add(whole, all(-0.693359375f), x));
  Lanes sum = all(1.9875691500e-4f);
  for (const float next : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f})
    sum = multiply_add(sum, rest, all(next));
  sum = multiply_add(sum * rest, rest, rest) + 1.0f;
  const Whole half = n >> 1;  // twice a half: the power itself may be beyond a float, or a denormal one
  const auto power = [](Whole of) { return reinterpret_cast<Lanes>((of + 127) << 23); };
  sum = sum * power(half) * power(n - half);
  return given != given ? given : sum;
}

}  // namespace dense
