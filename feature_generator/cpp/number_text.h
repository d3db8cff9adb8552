// Numbers read from text and written as text: the rules that every column type shares.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fg {

inline constexpr double largest_float = 3.4028234663852886e38;

// Reads `[spaces][+-]digits[.digits][e[+-]digits][spaces]`, correctly rounded. False where it is none or overflows.
bool parse_number(const char* p, std::size_t n, double& value) noexcept;

// Reads `[spaces][+-]digits[spaces]` that fits 64 bits.
bool parse_integer(const char* p, std::size_t n, std::int64_t& value) noexcept;

// Writes decimal text; needs 20 bytes, returns how many it wrote.
std::size_t write_integer(std::int64_t value, char* out) noexcept;

// Writes the shortest text that reads back as the same value, whole numbers of 64 bits without a point.
// Needs 32 bytes. The value must be finite.
std::size_t write_number(double value, char* out) noexcept;
std::size_t write_number(float value, char* out) noexcept;

}  // namespace fg
