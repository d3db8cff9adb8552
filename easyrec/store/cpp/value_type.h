// Types of features: scalars, arrays, maps and vectors, as a view's fields name them.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace store {

enum class Kind : std::uint8_t { boolean, i32, i64, f32, f64, time, text, list, map, vector, steps };

struct ValueType {
  Kind kind = Kind::boolean;
  std::uint32_t dim = 0;         // of a vector
  std::vector<ValueType> items;  // of a list its items; of a map keys and values; of steps times and values
  double half_life = 0;          // of steps whose value decays, in microseconds

  // Bytes of a value that always has as many; 0 where it varies.
  std::size_t width() const noexcept {
    switch (kind) {
      case Kind::boolean: return 1;
      case Kind::i32:
      case Kind::f32: return 4;
      case Kind::i64:
      case Kind::f64:
      case Kind::time: return 8;
      case Kind::vector: return std::size_t{4} * dim;
      default: return 0;
    }
  }
};

// What a type is where it is read: of steps, what holds at a time.
inline const ValueType& as_read(const ValueType& type) noexcept {
  return type.kind == Kind::steps ? type.items.back() : type;
}

// Reads `int64`, `array<string>`, `array<array<float>>`, `map<string, double>`, `vector<16>`; `steps<T>`, a value of
// type T that changes at times that are known; and `decay<S>`, a double that halves in S seconds. Throws
// std::invalid_argument that says what is wrong.
ValueType parse_type(std::string_view text);

}  // namespace store
