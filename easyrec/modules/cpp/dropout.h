#pragma once

#include <cstddef>
#include <cstdint>

namespace modules {

// out[i] = bits(seed, i) >= threshold ? x[i] * 65536 / (65536 - threshold) : 0, with threshold in 0 .. 65535.
//
// bits(seed, i) are 16 bits of a hash: elements come in blocks of 32; hash 16 k + j gives its low half to element
// 32 k + j and its high half to element 32 k + 16 + j. The mask depends on the seed and the position alone, so the
// backward pass calls the same function on the gradient.
void dropout(const float* x, std::size_t n, std::uint64_t seed, std::uint32_t threshold, float* out) noexcept;

// The same for bfloat16, rounded to the nearest, ties to even.
void dropout_bf16(const std::uint16_t* x, std::size_t n, std::uint64_t seed, std::uint32_t threshold,
                  std::uint16_t* out) noexcept;

}  // namespace modules
