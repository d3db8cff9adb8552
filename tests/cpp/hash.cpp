#include "hash.h"

#include <limits>
#include <string>

#include "cells.h"
#include "check.h"

namespace {

// MurmurHash64A as published, byte by byte.
std::uint64_t murmur_by_bytes(const std::string& text, std::uint64_t seed) {
  constexpr std::uint64_t m = 0xc6a4a7935bd1e995;
  const auto byte = [&](std::size_t i) { return std::uint64_t{static_cast<unsigned char>(text[i])}; };
  std::uint64_t h = seed ^ (text.size() * m);
  std::size_t at = 0;
  for (; at + 8 <= text.size(); at += 8) {
    std::uint64_t k = 0;
    for (std::size_t i = 0; i < 8; ++i) k |= byte(at + i) << (8 * i);
    k *= m;
    k ^= k >> 47;
    k *= m;
    h = (h ^ k) * m;
  }
  if (at != text.size()) {
    for (std::size_t i = at; i < text.size(); ++i) h ^= byte(i) << (8 * (i - at));
    h *= m;
  }
  h = (h ^ h >> 47) * m;
  return h ^ h >> 47;
}

}  // namespace

TEST(murmur64a_equals_its_definition_at_every_length) {
  for (std::size_t n = 0; n <= 70; ++n) {
    std::string text;
    for (std::size_t i = 0; i < n; ++i) text += static_cast<char>(151 * i + n);
    const std::vector<char> exact(text.begin(), text.end());  // a read beyond it is seen
    CHECK_EQUAL(fg::murmur64a(exact.data(), n), murmur_by_bytes(text, fg::murmur_seed));
    CHECK_EQUAL(fg::murmur64a(exact.data(), n, 7), murmur_by_bytes(text, 7));
  }
}

TEST(a_modulus_equals_the_division) {
  const std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  for (const std::uint64_t n : {1ULL, 2ULL, 3ULL, 7ULL, 100ULL, 1ULL << 32, (1ULL << 40) + 7, 1ULL << 63, ~0ULL}) {
    const fg::Modulus modulus(n);
    for (const std::uint64_t x :
         {std::uint64_t{0}, std::uint64_t{1}, n - 1, n, n + 1, 2 * n - 1, most / 3, most - 1, most})
      CHECK_EQUAL(modulus(x), x % n);
  }
}

TEST(whole_numbers_hash_as_their_text) {
  std::vector<std::int64_t> values = {std::numeric_limits<std::int64_t>::min(),
                                      std::numeric_limits<std::int64_t>::max(), -1, 0};
  for (std::int64_t ten = 1; ten <= 1000000000000; ten *= 10) {
    for (const std::int64_t value : {ten - 1, ten, ten + 1, 9 * ten, 7 * ten + 3}) values.push_back(value);
  }
  const fg::Modulus buckets(1000003);
  const auto expected = [&](std::int64_t value) {
    return static_cast<std::int64_t>(murmur_by_bytes(std::to_string(value), fg::murmur_seed) % 1000003);
  };
  std::vector<std::int64_t> ids(values.size());
  fg::hash_integers(values.data(), values.size(), buckets, ids.data());
  for (std::size_t i = 0; i < values.size(); ++i) CHECK_EQUAL(ids[i], expected(values[i]));
  for (const std::int64_t value : values) {  // alone, so that small ones are not kept company by large ones
    std::int64_t id;
    fg::hash_integers(&value, 1, buckets, &id);
    CHECK_EQUAL(id, expected(value));
  }
}

TEST(texts_hash_into_their_buckets) {
  const fg::Text texts[] = {{"a", 1}, {"", 0}, {"abc", 3}};
  std::int64_t ids[3];
  fg::hash_ids(fg::Hash::murmur64a, texts, 3, fg::Modulus(100), ids);
  CHECK_EQUAL(
      std::vector<std::int64_t>(ids, ids + 3),
      std::vector<std::int64_t>{4993892634952068459 % 100, 6142509188972423790 % 100, 3663726644998027833 % 100});
  fg::hash_ids(fg::Hash::farmhash, texts, 3, fg::Modulus(1), ids);
  CHECK_EQUAL(std::vector<std::int64_t>(ids, ids + 3), std::vector<std::int64_t>{0, 0, 0});
}
