// Numbers in text: parse_number and parse_integer against a strict grammar and the C library, and what is written
// reads back.
#include <cerrno>
#include <cmath>
#include <vector>

#include "bytes.h"
#include "number_text.h"

namespace {

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

std::string trimmed(const std::string& text) {
  std::size_t begin = 0, end = text.size();
  while (begin != end && is_space(text[begin])) ++begin;
  while (begin != end && is_space(text[end - 1])) --end;
  return text.substr(begin, end - begin);
}

std::size_t digits(const std::string& text, std::size_t& at) {
  const std::size_t from = at;
  while (at < text.size() && text[at] >= '0' && text[at] <= '9') ++at;
  return at - from;
}

bool sign(const std::string& text, std::size_t& at) {
  const bool found = at < text.size() && (text[at] == '+' || text[at] == '-');
  at += found;
  return found;
}

bool is_integer(const std::string& text) {
  std::size_t at = 0;
  sign(text, at);
  return digits(text, at) > 0 && at == text.size();
}

bool is_number(const std::string& text) {
  std::size_t at = 0;
  sign(text, at);
  std::size_t count = digits(text, at);
  if (at < text.size() && text[at] == '.') {
    ++at;
    count += digits(text, at);
  }
  if (count == 0) return false;
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    sign(text, at);
    if (digits(text, at) == 0) return false;
  }
  return at == text.size();
}

void read(const std::string& text) {
  const std::vector<char> exact(text.begin(), text.end());
  const std::string inner = trimmed(text);
  double number = 0;
  const bool is = fg::parse_number(exact.data(), exact.size(), number);
  const double expected = is_number(inner) ? std::strtod(inner.c_str(), nullptr) : HUGE_VAL;
  fuzz::require(is == std::isfinite(expected), "what is a number is read, and nothing else");
  if (is) fuzz::require(std::memcmp(&number, &expected, sizeof number) == 0, "a number is read as the nearest double");
  std::int64_t integer = 0;
  const bool whole = fg::parse_integer(exact.data(), exact.size(), integer);
  errno = 0;
  const long long wanted = is_integer(inner) ? std::strtoll(inner.c_str(), nullptr, 10) : 0;
  fuzz::require(whole == (is_integer(inner) && errno == 0), "what is an integer is read, and nothing else");
  if (whole) fuzz::require(integer == wanted, "an integer is read as itself");
}

template <class T>
void write(T value, T (*back)(const char*, char**)) {
  if (!std::isfinite(value)) return;
  std::vector<char> room(32);
  const std::string text(room.data(), fg::write_number(value, room.data()));
  const T again = back(text.c_str(), nullptr);
  fuzz::require(again == value, "a written number reads back");
  double number;
  fuzz::require(fg::parse_number(text.data(), text.size(), number), "a written number is a number");
  if (sizeof(T) == sizeof number) fuzz::require(number == static_cast<double>(value), "it is the same number");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Bytes bytes(data, size);
  read(bytes.rest());
  write(bytes.bits<double>(), &std::strtod);
  write(bytes.bits<float>(), &std::strtof);
  const auto integer = bytes.bits<std::int64_t>();
  std::vector<char> room(20);
  const std::string text(room.data(), fg::write_integer(integer, room.data()));
  fuzz::require(text == std::to_string(integer), "an integer is written as its decimals");
  return 0;
}
