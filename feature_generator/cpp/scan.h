// Finding one byte in many.
#pragma once

#include <cstddef>
#include <cstdint>

#include "slab.h"

#if defined(__AVX512BW__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace fg {

// One bit per byte of the 64 at p: set where it equals `byte`.
inline std::uint64_t bytes_equal(const char* p, char byte) noexcept {
#if defined(__AVX512BW__)
  return _mm512_cmpeq_epi8_mask(_mm512_loadu_si512(p), _mm512_set1_epi8(byte));
#elif defined(__AVX2__)
  const __m256i want = _mm256_set1_epi8(byte);
  const auto half = [&](const char* at) {
    return std::uint64_t{static_cast<std::uint32_t>(
        _mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)), want)))};
  };
  return half(p) | half(p + 32) << 32;
#elif defined(__SSE2__)
  const __m128i want = _mm_set1_epi8(byte);
  std::uint64_t bits = 0;
  for (int i = 0; i < 4; ++i) {
    bits |= std::uint64_t{static_cast<std::uint32_t>(
                _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16 * i)), want)))}
            << (16 * i);
  }
  return bits;
#else
  std::uint64_t bits = 0;
  for (int i = 0; i < 64; ++i) bits |= std::uint64_t{p[i] == byte} << i;
  return bits;
#endif
}

// Appends the positions of `byte` among the n bytes at p, ascending. n < 2^32.
void find_byte(const char* p, std::size_t n, char byte, Slab<std::uint32_t>& positions);

}  // namespace fg
