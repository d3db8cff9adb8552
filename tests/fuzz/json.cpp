// scan_json against a plain loop over bytes, in text that is JSON and in text that is not.
#include <vector>

#include "bytes.h"
#include "json_text.h"

namespace {

struct Found {
  std::int64_t containers = 0, pairs = 0, deepest = 0;
};

Found by_bytes(const std::string& text) {
  Found found;
  std::int64_t depth = 0;
  bool inside = false, escaped = false;
  for (const char c : text) {
    const bool literal = escaped;
    escaped = !literal && c == '\\';
    if (c == '"' && !literal) inside = !inside;
    if (inside) continue;
    found.pairs += c == ':';
    found.containers += c == '{' || c == '[';
    depth += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
    if (depth > found.deepest) found.deepest = depth;
  }
  return found;
}

void scan(const std::string& text, std::int64_t most) {
  const std::vector<char> exact(text.begin(), text.end());
  const Found found = by_bytes(text);
  const fg::JsonMarks marks = fg::scan_json(exact.data(), exact.size(), most);
  fuzz::require(marks.too_deep == (found.deepest > most), "what is too deep is found, and nothing else");
  if (marks.too_deep) return;
  fuzz::require(marks.containers == found.containers, "objects and arrays are counted");
  fuzz::require(marks.pairs == found.pairs, "keys are counted");
}

// JSON of the bytes' own making: what they decide stands where it may.
std::string value(fuzz::Bytes& bytes, int depth) {
  const std::size_t kind = depth == 0 ? 2 + bytes.below(3) : bytes.below(5);
  if (kind < 2) {
    std::string made(1, kind == 0 ? '{' : '[');
    for (std::size_t i = bytes.below(4); i > 0; --i) {
      if (kind == 0) made += "\"" + std::string(bytes.below(70), 'k') + "\\\\\" :";
      made += value(bytes, depth - 1) + (i > 1 ? "," : "");
    }
    return made + (kind == 0 ? '}' : ']');
  }
  if (kind == 4) return std::string(bytes.below(70), ' ') + "-1.5e3";
  std::string made = "\"";
  for (const char c : bytes.text(80)) {
    if (c == '"' || c == '\\') made += '\\';
    made += c;
  }
  return made + "\"";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Bytes bytes(data, size);
  const std::int64_t most = bytes.byte() % 8;
  scan(bytes.rest(), most);
  scan(value(bytes, 5), most);
  return 0;
}
