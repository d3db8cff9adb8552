// Decisions out of the bytes of a fuzzer. Where they end, every decision is the first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "plain.h"

namespace fuzz {

class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : p_(data), end_(data + size) {}

  std::uint8_t byte() { return p_ == end_ ? 0 : *p_++; }
  std::size_t below(std::size_t count) {
    std::size_t value = byte();
    if (count > 256) value |= std::size_t{byte()} << 8;
    return value % count;
  }
  bool flag() { return (byte() & 1) != 0; }
  bool done() const { return p_ == end_; }
  template <class T>
  T bits() {
    T value{};
    const std::size_t size = left() < sizeof value ? left() : sizeof value;
    if (size != 0) std::memcpy(&value, p_, size);
    p_ += size;
    return value;
  }
  std::string text(std::size_t most) {
    std::size_t size = below(most + 1);
    if (size > left()) size = left();
    std::string text(reinterpret_cast<const char*>(p_), size);
    p_ += size;
    return text;
  }
  std::string rest() { return std::string(reinterpret_cast<const char*>(p_), left()); }

  // A cell of a column of `type`, as arrays.h reads it.
  fg::Plain cell(const std::string& type);

 private:
  std::size_t left() const { return static_cast<std::size_t>(end_ - p_); }
  const std::uint8_t *p_, *end_;
};

inline fg::Plain Bytes::cell(const std::string& type) {
  const std::uint8_t kind = byte();
  if (kind % 16 == 15) return {};
  const std::size_t opening = type.find('<');
  if (opening != std::string::npos) {
    const std::string inner = type.substr(opening + 1, type.size() - opening - 2);
    const std::size_t comma = inner.find(',');
    fg::Plain::List items;
    for (std::size_t i = kind % 5; i > 0; --i) {
      if (type.compare(0, 3, "map") != 0) {
        items.push_back(cell(inner));
        continue;
      }
      fg::Plain key = cell(inner.substr(0, comma));
      if (key.is<std::monostate>()) key = fg::Plain(std::string("key"));  // a key is never null
      if (inner.compare(0, 6, "string") != 0 && key.is<std::string>()) key = fg::Plain(std::int64_t{0});
      items.push_back({fg::Plain::List{std::move(key), cell(inner.substr(comma + 1))}});
    }
    return {std::move(items)};
  }
  if (type == "string") return {text(16)};
  if (type == "bool") return {flag()};
  if (type == "double") return {bits<double>()};
  if (type == "float") return {static_cast<double>(bits<float>())};
  if (type == "null") return {};
  return {kind % 2 == 0 ? std::int64_t{bits<std::int8_t>()} : bits<std::int64_t>()};
}

// What must hold; else the fuzzer has a finding.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

}  // namespace fuzz
