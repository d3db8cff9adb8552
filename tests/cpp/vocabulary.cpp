#include "vocabulary.h"

#include <map>

#include "check.h"

TEST(a_vocabulary_finds_its_words_and_no_others) {
  std::vector<std::string> words;
  std::vector<std::int64_t> ids;
  std::map<std::string, std::int64_t> expected;
  for (int i = 0; i < 2000; ++i) {
    words.push_back(std::to_string(i % 1500) + std::string(static_cast<std::size_t>(i % 7), 'x'));
    ids.push_back(i);
    expected[words.back()] = i;  // a word given twice keeps its last id
  }
  words.emplace_back("a\0b", 3);
  ids.push_back(-1);
  words.emplace_back();
  ids.push_back(-2);
  const fg::Vocabulary vocabulary(words, ids);
  const auto find = [&](const std::string& word) {
    const std::vector<char> exact(word.begin(), word.end());
    return vocabulary.find({exact.data(), exact.size()}, -9);
  };
  for (const auto& [word, id] : expected) CHECK_EQUAL(find(word), id);
  CHECK_EQUAL(find(std::string("a\0b", 3)), std::int64_t{-1});
  CHECK_EQUAL(find(""), std::int64_t{-2});
  for (const char* word : {"a", "x", "2000", "0xxxxxxx", " 1"}) CHECK_EQUAL(find(word), std::int64_t{-9});
}

TEST(an_empty_vocabulary_knows_no_word) {
  const fg::Vocabulary vocabulary({}, {});
  CHECK_EQUAL(vocabulary.find({"a", 1}, 4), std::int64_t{4});
  CHECK_EQUAL(vocabulary.find({nullptr, 0}, 4), std::int64_t{4});
}
