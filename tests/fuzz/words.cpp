// Vocabularies, hashes and the search for a byte, each against a plain loop.
#include <unordered_map>
#include <vector>

#include "bytes.h"
#include "hash.h"
#include "scan.h"
#include "vocabulary.h"

namespace {

std::uint64_t murmur_by_bytes(const std::string& text) {
  constexpr std::uint64_t m = 0xc6a4a7935bd1e995;
  std::uint64_t h = fg::murmur_seed ^ (text.size() * m), k = 0;
  const std::size_t whole = text.size() & ~std::size_t{7};
  for (std::size_t i = 0; i < text.size(); ++i) {
    k |= std::uint64_t{static_cast<unsigned char>(text[i])} << (8 * (i % 8));
    if (i % 8 != 7) continue;
    k *= m;
    k ^= k >> 47;
    h = (h ^ k * m) * m;
    k = 0;
  }
  if (whole != text.size()) h = (h ^ k) * m;
  h = (h ^ h >> 47) * m;
  return h ^ h >> 47;
}

// The text at an odd address, exactly as large.
struct Moved {
  explicit Moved(const std::string& text) : bytes(text.size() + 1) {
    if (!text.empty()) std::memcpy(bytes.data() + 1, text.data(), text.size());
  }
  fg::Text text() const { return {bytes.data() + 1, bytes.size() - 1}; }
  std::vector<char> bytes;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Bytes bytes(data, size);
  const std::string all(reinterpret_cast<const char*>(data), size);
  const Moved moved(all);
  const fg::Text text = moved.text();
  fuzz::require(fg::murmur64a(text.data, text.size) == murmur_by_bytes(all), "murmur64a is its definition");
  fuzz::require(fg::fingerprint64(text.data, text.size) == fg::fingerprint64(all.data(), all.size()),
                "a hash does not depend on the address");
  const auto buckets = bytes.bits<std::uint64_t>(), value = bytes.bits<std::uint64_t>();
  if (buckets != 0)
    fuzz::require(fg::Modulus(buckets)(value) == value % buckets, "a modulus is the rest of a division");

  std::vector<std::int64_t> integers, ids;
  for (std::size_t i = bytes.below(9); i > 0; --i)
    integers.push_back(bytes.flag() ? bytes.bits<std::int64_t>() : bytes.bits<std::uint16_t>());
  ids.resize(integers.size());
  fg::hash_integers(integers.data(), integers.size(), fg::Modulus(1000003), ids.data());
  for (std::size_t i = 0; i < ids.size(); ++i)
    fuzz::require(static_cast<std::uint64_t>(ids[i]) == murmur_by_bytes(std::to_string(integers[i])) % 1000003,
                  "a whole number hashes as its text");

  fg::Slab<std::uint32_t> found;
  const auto wanted = static_cast<char>(bytes.byte());
  fg::find_byte(text.data, text.size, wanted, found);
  std::size_t next = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i] == wanted) fuzz::require(next < found.size() && found[next++] == i, "every place of a byte is found");
  }
  fuzz::require(next == found.size(), "and no other");

  std::vector<std::string> words;
  std::vector<std::int64_t> numbers;
  std::unordered_map<std::string, std::int64_t> expected;
  while (!bytes.done() && words.size() < 100) {
    words.push_back(bytes.text(12));
    numbers.push_back(bytes.byte());
    expected[words.back()] = numbers.back();
  }
  const fg::Vocabulary vocabulary(words, numbers);
  for (const auto& [word, number] : expected)
    fuzz::require(vocabulary.find(Moved(word).text(), -1) == number, "a vocabulary finds its words");
  for (std::string word : words) {
    word += 'x';
    const auto known = expected.find(word);
    fuzz::require(vocabulary.find(Moved(word).text(), -1) == (known == expected.end() ? -1 : known->second),
                  "and no others");
  }
  return 0;
}
