#include <map>
#include <string>
#include <utility>

#include "arrays.h"
#include "check.h"
#include "clock.h"
#include "fingerprint.h"

namespace {

using fg::Clock;
using fg::Plain;
using fg::Print;
using test::Array;

constexpr Print key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

Print named(int number) {
  const std::string text = std::to_string(number);
  return fg::print_key(text.data(), text.size(), key);
}

using Pair = std::pair<std::uint64_t, std::uint64_t>;

std::vector<Pair> rows(const Array& array, std::size_t n) {
  std::vector<Print> prints(n);
  fg::print_rows({array.column()}, static_cast<std::int64_t>(n), key, prints.data());
  std::vector<Pair> result;
  for (const Print& print : prints) result.emplace_back(print.low, print.high);
  return result;
}

}  // namespace

TEST(a_row_has_one_fingerprint_in_every_layout) {
  const std::vector<std::pair<std::string, Plain::List>> columns = {
      {"string",
       {Plain{std::string("a")}, Plain{}, Plain{std::string("a text of more than twelve bytes")},
        Plain{std::string("")}, Plain{std::string("a")}}},
      {"int32",
       {Plain{std::int64_t{1}}, Plain{}, Plain{std::int64_t{-1}}, Plain{std::int64_t{0}}, Plain{std::int64_t{1}}}},
      {"list<string>",
       {Plain{Plain::List{Plain{std::string("a")}, Plain{std::string("b")}}}, Plain{},
        Plain{Plain::List{Plain{std::string("ab")}}}, Plain{Plain::List{}},
        Plain{Plain::List{Plain{std::string("a")}, Plain{std::string("b")}}}}},
  };
  for (const auto& [type, cells] : columns) {
    std::vector<Pair> first;
    for (const test::Layout& layout : test::layouts()) {
      const std::vector<Pair> found = rows(Array(type, cells, layout), cells.size());
      if (first.empty()) first = found;
      CHECK(found == first);
    }
    CHECK(first[0] == first[4]);
    for (std::size_t a = 0; a < 4; ++a) {
      for (std::size_t b = a + 1; b < 4; ++b) CHECK(first[a] != first[b]);
    }
  }
}

TEST(keys_are_texts_and_what_is_none_is_told) {
  const Plain::List texts = {Plain{std::string("12")}, Plain{std::string("-7")}};
  const Plain::List numbers = {Plain{std::int64_t{12}}, Plain{std::int64_t{-7}}};
  for (const test::Layout& layout : test::layouts()) {
    std::vector<Print> a(2), b(2);
    CHECK_EQUAL(fg::print_keys(Array("string", texts, layout).column(), key, a.data()), std::int64_t{-1});
    CHECK_EQUAL(fg::print_keys(Array("int16", numbers, layout).column(), key, b.data()), std::int64_t{-1});
    CHECK(a[0] == b[0] && a[1] == b[1] && !(a[0] == a[1]));
    const Plain::List lacking = {Plain{std::string("12")}, Plain{}};
    CHECK_EQUAL(fg::print_keys(Array("string", lacking, layout).column(), key, a.data()), std::int64_t{1});
    const Plain::List empty = {Plain{std::string("")}};
    CHECK_EQUAL(fg::print_keys(Array("string", empty, layout).column(), key, a.data()), std::int64_t{0});
  }
}

TEST(a_bounded_index_keeps_what_is_asked_for) {
  Clock clock(100);
  std::int64_t number = 0;
  const Print wanted = named(-1);
  clock.put(&wanted, &number, 1);
  for (int i = 0; i < 1000; ++i) {
    const Print print = named(i);
    number = i;
    clock.put(&print, &number, 1);
    CHECK_EQUAL(clock.find(&wanted, 1, &number), std::size_t{1});
    CHECK_EQUAL(number, std::int64_t{0});
  }
  CHECK_EQUAL(clock.size(), std::size_t{100});
  CHECK_EQUAL(clock.evicted(), std::size_t{901});
}

TEST(an_index_finds_what_a_map_finds) {
  Clock clock(0);
  std::map<int, std::int64_t> book;
  std::uint32_t random = 1;
  for (int step = 0; step < 20000; ++step) {
    random = random * 1664525 + 1013904223;
    const int which = static_cast<int>(random >> 16) % 3000;
    const Print print = named(which);
    if (random % 3 == 0) {
      CHECK_EQUAL(clock.erase(&print, 1), book.erase(which));
    } else {
      const std::int64_t number = step;
      clock.put(&print, &number, 1);
      book[which] = number;
    }
  }
  CHECK_EQUAL(clock.size(), book.size());
  for (int which = 0; which < 3000; ++which) {
    const Print print = named(which);
    std::int64_t number = 0;
    const auto known = book.find(which);
    CHECK_EQUAL(clock.find(&print, 1, &number), std::size_t{known != book.end()});
    CHECK_EQUAL(number, known == book.end() ? std::int64_t{-1} : known->second);
  }
}
