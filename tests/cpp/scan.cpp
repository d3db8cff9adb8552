#include "scan.h"

#include <string>

#include "check.h"

TEST(every_place_of_a_byte_is_found) {
  for (std::size_t n = 0; n < 200; ++n) {
    std::vector<char> text(n);
    std::vector<std::uint32_t> expected;
    for (std::size_t i = 0; i < n; ++i) {
      text[i] = i * i % 5 == 1 ? ';' : static_cast<char>(0x80 + i);
      if (text[i] == ';') expected.push_back(static_cast<std::uint32_t>(i));
    }
    fg::Slab<std::uint32_t> found;
    fg::find_byte(text.data(), n, ';', found);
    CHECK_EQUAL(std::vector<std::uint32_t>(found.data(), found.end()), expected);
  }
}

TEST(places_are_appended) {
  fg::Slab<std::uint32_t> found;
  found.push(9);
  const std::string text(130, ',');
  fg::find_byte(text.data(), text.size(), ',', found);
  CHECK_EQUAL(found.size(), std::size_t{131});
  CHECK_EQUAL(found[0], 9U);
  CHECK_EQUAL(found[130], 129U);
}
