// What JSON text can be asked before it is parsed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fg {

// Of text that is JSON; of any other it may be anything, but never a fault.
struct JsonMarks {
  bool too_deep = false;        // more than `most` levels of objects and arrays; then the rest is not counted
  std::int64_t containers = 0;  // objects and arrays
  std::int64_t pairs = 0;       // keys with their values, in all objects
};

// Counts the brackets and colons that stand outside of texts among the n bytes at p.
JsonMarks scan_json(const char* p, std::size_t n, std::int64_t most) noexcept;

}  // namespace fg
