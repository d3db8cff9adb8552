#include "json_text.h"

#include <string>

#include "check.h"

namespace {

fg::JsonMarks scan(const std::string& text, std::int64_t most = 100) {
  const std::vector<char> exact(text.begin(), text.end());  // so that the sanitizers see every overrun
  return fg::scan_json(exact.data(), exact.size(), most);
}

}  // namespace

TEST(brackets_and_colons_outside_of_texts_are_counted) {
  const auto marks = scan(R"({"a": [1, {"b:{": "]}:"}], "c\"": "\\", "d": {}})");
  CHECK_EQUAL(marks.containers, 4);
  CHECK_EQUAL(marks.pairs, 4);
  CHECK(!marks.too_deep);
}

TEST(depth_is_that_of_the_deepest_place) {
  const std::string text = R"([[], {"[[[[": [[]]}, []])";
  CHECK(!scan(text, 4).too_deep);
  CHECK(scan(text, 3).too_deep);
  CHECK(!scan("", 0).too_deep);
  CHECK(!scan("1", 0).too_deep);
  CHECK(scan("[]", 0).too_deep);
}

// Texts, escapes and brackets wherever the blocks of 64 bytes are cut.
TEST(nothing_depends_on_where_a_block_ends) {
  for (std::size_t before = 0; before < 140; ++before) {
    for (std::size_t slashes = 0; slashes < 5; ++slashes) {
      // An odd number of backslashes escapes the quote: the text goes on to the next one.
      const std::string text = "[" + std::string(before, ' ') + "\"x" + std::string(slashes, '\\') + "\"" +
                               (slashes % 2 == 0 ? ", {\"a\": [[1]]}]" : "{:[\"]");
      const auto marks = scan(text);
      CHECK_EQUAL(marks.containers, slashes % 2 == 0 ? 4 : 1);
      CHECK_EQUAL(marks.pairs, slashes % 2 == 0 ? 1 : 0);
      CHECK_EQUAL(scan(text, 3).too_deep, slashes % 2 == 0);
    }
  }
}
