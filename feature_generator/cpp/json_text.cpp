#include "json_text.h"

#include <cstring>

#include "scan.h"

namespace fg {
namespace {

// Bit i: the parity of bits 0 .. i. Of the places of quotes: what stands behind an opening quote, that one included.
std::uint64_t running_parity(std::uint64_t bits) noexcept {
  for (int step = 1; step < 64; step *= 2) bits ^= bits << step;
  return bits;
}

// Reads text 64 bytes at a time.
class Scan {
 public:
  explicit Scan(std::int64_t most) noexcept : most_(most) {}

  void block(const char* p) noexcept {
    const std::uint64_t quotes = bytes_equal(p, '"') & ~escaped(bytes_equal(p, '\\'));
    const std::uint64_t inside = running_parity(quotes) ^ inside_;
    inside_ = (inside >> 63) != 0 ? ~std::uint64_t{0} : 0;
    const std::uint64_t opening = (bytes_equal(p, '{') | bytes_equal(p, '[')) & ~inside;
    const std::uint64_t closing = (bytes_equal(p, '}') | bytes_equal(p, ']')) & ~inside;
    marks.pairs += count(bytes_equal(p, ':') & ~inside);
    marks.containers += count(opening);
    if (depth_ + count(opening) > most_) measure(opening, closing);
    depth_ += count(opening) - count(closing);
  }

  JsonMarks marks;

 private:
  static std::int64_t count(std::uint64_t bits) noexcept { return __builtin_popcountll(bits); }

  // The bytes that stand behind a backslash which does not itself stand behind one.
  std::uint64_t escaped(std::uint64_t backslashes) noexcept {
    std::uint64_t found = escapes_next_ ? 1 : 0;
    backslashes &= ~found;
    escapes_next_ = false;
    while (backslashes != 0) {
      const std::uint64_t one = backslashes & -backslashes, next = one << 1;
      escapes_next_ = next == 0;
      found |= next;
      backslashes &= ~(one | next);
    }
    return found;
  }

  // Where the block might be too deep: bracket by bracket.
  void measure(std::uint64_t opening, std::uint64_t closing) noexcept {
    std::int64_t depth = depth_;
    for (std::uint64_t left = opening | closing; left != 0; left &= left - 1) {
      depth += (opening & left & -left) != 0 ? 1 : -1;
      if (depth > most_) marks.too_deep = true;
    }
  }

  std::int64_t most_, depth_ = 0;
  std::uint64_t inside_ = 0;  // all bits: the block before ended inside of a text
  bool escapes_next_ = false;
};

}  // namespace

JsonMarks scan_json(const char* p, std::size_t n, std::int64_t most) noexcept {
  Scan scan(most);
  std::size_t at = 0;
  for (; at + 64 <= n && !scan.marks.too_deep; at += 64) scan.block(p + at);
  if (at < n && !scan.marks.too_deep) {
    char last[64];
    std::memset(last, ' ', sizeof last);
    std::memcpy(last, p + at, n - at);
    scan.block(last);
  }
  return scan.marks;
}

}  // namespace fg
