#include "plain_file.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace test {
namespace {

using fg::Plain;

class Parser {
 public:
  explicit Parser(const std::string& text) : text_(text) {}

  Plain value() {
    switch (next()) {
      case 'n': return {};
      case 't': return {true};
      case 'f': return {false};
      case 'i': return {static_cast<std::int64_t>(std::strtoll(until(';').c_str(), nullptr, 10))};
      case 'd': return {std::strtod(until(';').c_str(), nullptr)};
      case 's': return {text()};
      case '[': {
        Plain::List list;
        while (!ends(']')) list.push_back(value());
        return {std::move(list)};
      }
      case '{': {
        Plain::Map map;
        while (!ends('}')) {
          if (next() != 's') throw std::runtime_error("a key must be text");
          std::string key = text();
          map.emplace_back(std::move(key), value());
        }
        return {std::move(map)};
      }
      default: throw std::runtime_error("no plain data at byte " + std::to_string(at_ - 1));
    }
  }

 private:
  char next() {
    if (at_ == text_.size()) throw std::runtime_error("the file ends too early");
    return text_[at_++];
  }
  bool ends(char sign) {
    if (at_ == text_.size()) throw std::runtime_error("the file ends too early");
    if (text_[at_] != sign) return false;
    ++at_;
    return true;
  }
  std::string until(char sign) {
    const std::size_t end = text_.find(sign, at_);
    if (end == std::string::npos) throw std::runtime_error("the file ends too early");
    std::string part = text_.substr(at_, end - at_);
    at_ = end + 1;
    return part;
  }
  std::string text() {
    const auto size = static_cast<std::size_t>(std::strtoull(until(':').c_str(), nullptr, 10));
    if (size > text_.size() - at_) throw std::runtime_error("the file ends too early");
    at_ += size;
    return text_.substr(at_ - size, size);
  }

  const std::string& text_;
  std::size_t at_ = 0;
};

}  // namespace

Plain parse_plain(const std::string& text) { return Parser(text).value(); }

Plain read_plain(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  std::ostringstream content;
  content << file.rdbuf();
  const std::string text = content.str();
  return parse_plain(text);
}

}  // namespace test
