#include "number_text.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

namespace fg {
namespace {

bool is_space(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r'); }

void trim(const char*& p, const char*& end) noexcept {
  while (p != end && is_space(*p)) ++p;
  while (p != end && is_space(end[-1])) --end;
}

// "00".."99" side by side.
struct Pairs {
  char text[200];
  constexpr Pairs() : text() {
    for (int i = 0; i < 100; ++i) {
      text[2 * i] = static_cast<char>('0' + i / 10);
      text[2 * i + 1] = static_cast<char>('0' + i % 10);
    }
  }
};
constexpr Pairs pairs;

template <class T>
std::size_t shortest(T value, char* out) noexcept {
  if (value == std::trunc(value) && std::fabs(value) < T(9223372036854775808.0))
    return write_integer(static_cast<std::int64_t>(value), out);
  char* const end = std::to_chars(out, out + 32, value, std::chars_format::scientific).ptr;
  const char* e = end;
  while (*--e != 'e') {}
  int exponent = 0;
  std::from_chars(e + (e[1] == '+' ? 2 : 1), end, exponent);
  if (exponent < -4 || exponent >= 16) return static_cast<std::size_t>(end - out);
  return static_cast<std::size_t>(std::to_chars(out, out + 32, value, std::chars_format::fixed).ptr - out);
}

}  // namespace

namespace {

// `[-]digits[.digits]` of at most 15 digits: the digits are a whole number that a double holds exactly, the power of
// ten is one too, and a single division rounds correctly. Other texts are left to the careful reading.
bool parse_plain(const char* p, const char* const end, double& value) noexcept {
  static constexpr double powers[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                      1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
  const bool negative = p != end && *p == '-';
  if (negative) ++p;
  if (end - p > 16 || p == end) return false;
  std::uint64_t digits = 0;
  const char* const first = p;
  for (; p != end && static_cast<unsigned char>(*p - '0') < 10; ++p)
    digits = digits * 10 + static_cast<std::uint64_t>(*p - '0');
  auto count = p - first;
  std::ptrdiff_t behind = 0;
  if (p != end && *p == '.') {
    const char* const point = ++p;
    for (; p != end && static_cast<unsigned char>(*p - '0') < 10; ++p)
      digits = digits * 10 + static_cast<std::uint64_t>(*p - '0');
    behind = p - point;
    count += behind;
  }
  if (p != end || count == 0 || count > 15) return false;
  const double whole = static_cast<double>(digits) / powers[behind];
  value = negative ? -whole : whole;
  return true;
}

// Of the digits of a number that no double holds: whether it is too large, rather than too small. Where its first digit
// stands that is no zero, counted from the point, and the exponent decide.
bool too_large(const char* p, const char* const end) noexcept {
  constexpr std::int64_t most = std::int64_t{1} << 50;
  const auto is_digit = [&] { return p != end && *p >= '0' && *p <= '9'; };
  while (p != end && *p == '0') ++p;
  const char* const whole = p;
  while (is_digit()) ++p;
  std::int64_t exponent = p - whole;
  if (p != end && *p == '.') {
    const char* const point = ++p;
    while (p != end && *p == '0') ++p;
    if (exponent == 0) exponent = point - p;
    while (is_digit()) ++p;
  }
  if (p == end) return exponent > 0;
  const bool negative = *++p == '-';  // behind the e
  if (*p == '-' || *p == '+') ++p;
  std::int64_t power = 0;
  for (; is_digit() && power < most; ++p) power = power * 10 + (*p - '0');
  return exponent + (negative ? -power : power) > 0;
}

}  // namespace

bool parse_number(const char* p, std::size_t n, double& value) noexcept {
  const char* end = p + n;
  if (parse_plain(p, end, value)) return true;
  trim(p, end);
  if (p != end && *p == '+') {
    ++p;
    if (p != end && *p == '-') return false;
  }
  // Only digits, a point and an exponent: "inf", "nan" and hexadecimal are no numbers of ours.
  const char* first = p != end && *p == '-' ? p + 1 : p;
  if (first == end || !((*first >= '0' && *first <= '9') || *first == '.')) return false;
  const auto result = std::from_chars(p, end, value, std::chars_format::general);
  if (result.ptr != end) return false;
  if (result.ec == std::errc()) return true;
  if (result.ec != std::errc::result_out_of_range) return false;
  if (too_large(first, end)) return false;
  value = *p == '-' ? -0.0 : 0.0;  // too small reads as zero, as everywhere else
  return true;
}

bool parse_integer(const char* p, std::size_t n, std::int64_t& value) noexcept {
  const char* end = p + n;
  trim(p, end);
  if (p != end && *p == '+') {
    ++p;
    if (p != end && *p == '-') return false;
  }
  const auto result = std::from_chars(p, end, value, 10);
  return result.ec == std::errc() && result.ptr == end && p != end;
}

std::size_t write_integer(std::int64_t value, char* out) noexcept {
  char* start = out;
  std::uint64_t v = static_cast<std::uint64_t>(value);
  if (value < 0) {
    *out++ = '-';
    v = ~v + 1;
  }
  int digits = 1;
  for (std::uint64_t bound = 10; digits < 20 && v >= bound; ++digits, bound = digits < 20 ? bound * 10 : bound) {}
  char* p = out + digits;
  char* const end = p;
  while (v >= 100) {
    const std::uint64_t rest = v / 100;
    p -= 2;
    std::memcpy(p, pairs.text + 2 * (v - rest * 100), 2);
    v = rest;
  }
  if (v >= 10) {
    std::memcpy(p - 2, pairs.text + 2 * v, 2);
  } else {
    p[-1] = static_cast<char>('0' + v);
  }
  return static_cast<std::size_t>(end - start);
}

std::size_t write_number(double value, char* out) noexcept { return shortest(value, out); }
std::size_t write_number(float value, char* out) noexcept { return shortest(value, out); }

}  // namespace fg
