#include "number_text.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "check.h"

namespace {

// As text, so that nan, -0 and "no number" compare too.
std::string number(const std::string& text) {
  const std::vector<char> exact(text.begin(), text.end());
  double value = 0;
  if (!fg::parse_number(exact.data(), exact.size(), value)) return "none";
  char buffer[40];
  std::snprintf(buffer, sizeof buffer, "%a", value);
  return buffer;
}

std::string hex(double value) {
  char buffer[40];
  std::snprintf(buffer, sizeof buffer, "%a", value);
  return buffer;
}

std::string integer(const std::string& text) {
  const std::vector<char> exact(text.begin(), text.end());
  std::int64_t value = 0;
  return fg::parse_integer(exact.data(), exact.size(), value) ? std::to_string(value) : "none";
}

template <class T>
std::string written(T value) {
  const std::vector<char> room(32);
  char* const out = const_cast<char*>(room.data());
  return std::string(out, fg::write_number(value, out));
}

std::string written(std::int64_t value) {
  std::vector<char> room(20);
  return std::string(room.data(), fg::write_integer(value, room.data()));
}

}  // namespace

TEST(texts_that_are_numbers) {
  CHECK_EQUAL(number("0"), hex(0));
  CHECK_EQUAL(number("-0"), hex(-0.0));
  CHECK_EQUAL(number("+12.5"), hex(12.5));
  CHECK_EQUAL(number(" \t7\n "), hex(7));
  CHECK_EQUAL(number(".5"), hex(0.5));
  CHECK_EQUAL(number("5."), hex(5));
  CHECK_EQUAL(number("-1e-3"), hex(-1e-3));
  CHECK_EQUAL(number("1E+3"), hex(1000));
  CHECK_EQUAL(number("0.1"), hex(0.1));
  CHECK_EQUAL(number("123456789012345"), hex(123456789012345.0));
  CHECK_EQUAL(number("1234567890123456"), hex(1234567890123456.0));
  CHECK_EQUAL(number("0.123456789012345"), hex(0.123456789012345));
  CHECK_EQUAL(number("9007199254740993"), hex(9007199254740992.0));  // halfway: to the even one
  CHECK_EQUAL(number("1.7976931348623157e308"), hex(std::numeric_limits<double>::max()));
  CHECK_EQUAL(number("4.9e-324"), hex(4.9e-324));
}

TEST(texts_that_are_no_numbers) {
  for (const char* text : {"",      " ",   "+",    "-",   ".",    "+-1", "--1", "1-",  "1e",           "1e+", "e5",
                           "1.2.3", "1 2", "0x10", "inf", "-inf", "nan", "1,5", "1_0", "\xe4\xb8\xad", "1f"})
    CHECK_EQUAL(number(text), std::string("none"));
  CHECK_EQUAL(number(std::string("1\0", 2)), std::string("none"));
}

TEST(numbers_too_large_are_none_and_numbers_too_small_are_zero) {
  const std::string zeros(400, '0'), ones(400, '1');
  const std::vector<std::string> large = {"1e309",
                                          "-1e999999999999",
                                          ones,
                                          "0.1e999",
                                          ones + "e-10",
                                          "." + zeros + "1e900",
                                          "00" + ones + ".5",
                                          "1e18446744073709551617"};
  for (const std::string& text : large) CHECK_EQUAL(number(text), std::string("none"));
  const std::vector<std::string> small = {"1e-400",       "." + zeros + "1",         "0." + zeros + "1e10",
                                          ones + "e-999", "1e-99999999999999999999", "0e999999"};
  for (const std::string& text : small) CHECK_EQUAL(number(text), hex(0));
  CHECK_EQUAL(number("-1e-400"), hex(-0.0));
  CHECK_EQUAL(number("." + zeros + "1e401"), hex(1));
}

TEST(texts_that_are_integers) {
  CHECK_EQUAL(integer("0"), std::string("0"));
  CHECK_EQUAL(integer(" +007 "), std::string("7"));
  CHECK_EQUAL(integer("-9223372036854775808"), std::string("-9223372036854775808"));
  CHECK_EQUAL(integer("9223372036854775807"), std::string("9223372036854775807"));
  for (const char* text :
       {"", " ", "-", "+", "+-1", "9223372036854775808", "-9223372036854775809", "1.0", "1e3", "0x1", "1 1"})
    CHECK_EQUAL(integer(text), std::string("none"));
}

TEST(integers_are_written_in_decimals) {
  for (std::int64_t ten = 1; ten <= 1000000000000000000 / 10; ten *= 10) {
    for (const std::int64_t value : {ten - 1, ten, ten + 1, -ten, 5 * ten})
      CHECK_EQUAL(written(value), std::to_string(value));
  }
  CHECK_EQUAL(written(std::numeric_limits<std::int64_t>::min()), std::string("-9223372036854775808"));
  CHECK_EQUAL(written(std::numeric_limits<std::int64_t>::max()), std::string("9223372036854775807"));
}

TEST(numbers_are_written_as_the_shortest_text) {
  CHECK_EQUAL(written(0.1), std::string("0.1"));
  CHECK_EQUAL(written(0.1F), std::string("0.1"));
  CHECK_EQUAL(written(static_cast<double>(0.1F)), std::string("0.10000000149011612"));
  CHECK_EQUAL(written(-0.0), std::string("0"));
  CHECK_EQUAL(written(3.0), std::string("3"));
  CHECK_EQUAL(written(1e16), std::string("10000000000000000"));
  CHECK_EQUAL(written(1e19), std::string("1e+19"));
  CHECK_EQUAL(written(1e-4), std::string("0.0001"));
  CHECK_EQUAL(written(1e-5), std::string("1e-05"));
  CHECK_EQUAL(written(1.5e300), std::string("1.5e+300"));
}

TEST(written_numbers_read_back_as_themselves) {
  for (const double value :
       {0.1, -2.5e-8, 1e15 / 3, 1.0 / 3, 5e-324, 1.7976931348623157e308, 9007199254740993.0, -1e-4})
    CHECK_EQUAL(number(written(value)), hex(value));
}
