#pragma once

#include <cstdint>
#include <cstring>

namespace modules {

// Numbers as they are stored, to float and back; bfloat16 is rounded to the nearest, ties to even.
inline float widened(float x) noexcept { return x; }

inline float widened(std::uint16_t x) noexcept {
  const std::uint32_t wide = static_cast<std::uint32_t>(x) << 16;
  float number;
  std::memcpy(&number, &wide, sizeof number);
  return number;
}

template <class T>
T narrowed(float x) noexcept;

template <>
inline float narrowed<float>(float x) noexcept {
  return x;
}

template <>
inline std::uint16_t narrowed<std::uint16_t>(float x) noexcept {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  return static_cast<std::uint16_t>(is_nan ? 0x7fc0u : rounded);
}

}  // namespace modules
