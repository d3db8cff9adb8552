#include "value_type.h"

#include <charconv>
#include <stdexcept>
#include <string>
#include <utility>

namespace store {
namespace {

constexpr std::uint32_t max_dim = 65536;

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

[[noreturn]] void unknown(std::string_view text) {
  throw std::invalid_argument(
      "unknown type '" + std::string(text.substr(0, 100)) +
      "'; known: bool, int32, int64, float, double, string, timestamp, array<T>, map<K, V>, vector<D>");
}

// What stands between `name<` and `>`; nothing where the text is of another form.
bool inside(std::string_view text, std::string_view name, std::string_view& found) {
  if (text.size() < name.size() + 2 || text.substr(0, name.size()) != name || text[name.size()] != '<' ||
      text.back() != '>')
    return false;
  found = text.substr(name.size() + 1, text.size() - name.size() - 2);
  return true;
}

ValueType scalar(std::string_view text) {
  constexpr std::pair<std::string_view, Kind> names[] = {
      {"bool", Kind::boolean}, {"int32", Kind::i32},   {"int64", Kind::i64},      {"float", Kind::f32},
      {"double", Kind::f64},   {"string", Kind::text}, {"timestamp", Kind::time},
  };
  for (const auto& [name, kind] : names)
    if (name == text) return {kind, 0, {}, 0};
  unknown(text);
}

}  // namespace

ValueType parse_type(std::string_view text) {
  text = trimmed(text);
  std::string_view held;
  if (inside(text, "array", held)) {
    held = trimmed(held);
    std::string_view inner;
    ValueType item =
        inside(held, "array", inner) ? ValueType{Kind::list, 0, {scalar(trimmed(inner))}, 0} : scalar(held);
    return {Kind::list, 0, {std::move(item)}, 0};
  }
  if (inside(text, "map", held)) {
    const auto comma = held.find(',');
    if (comma == std::string_view::npos) throw std::invalid_argument("a map has keys and values: map<string, float>");
    ValueType key = scalar(trimmed(held.substr(0, comma))), value = scalar(trimmed(held.substr(comma + 1)));
    if (key.kind != Kind::text && key.kind != Kind::i32 && key.kind != Kind::i64)
      throw std::invalid_argument("keys of a map must be string, int32 or int64");
    return {Kind::map, 0, {std::move(key), std::move(value)}, 0};
  }
  if (inside(text, "vector", held)) {
    held = trimmed(held);
    std::uint32_t dim = 0;
    const auto [end, error] = std::from_chars(held.data(), held.data() + held.size(), dim);
    if (error != std::errc{} || end != held.data() + held.size() || dim == 0 || dim > max_dim)
      throw std::invalid_argument("a vector has a dimension from 1 to 65536: vector<16>");
    return {Kind::vector, dim, {}, 0};
  }
  if (inside(text, "steps", held)) {
    ValueType value = parse_type(held);
    if (value.kind == Kind::steps || value.kind == Kind::map || value.kind == Kind::vector)
      throw std::invalid_argument("steps are of plain values and arrays: steps<double>");
    return {Kind::steps, 0, {scalar("int64"), std::move(value)}, 0};
  }
  if (inside(text, "decay", held)) {
    held = trimmed(held);
    double seconds = 0;
    const auto [end, error] = std::from_chars(held.data(), held.data() + held.size(), seconds);
    if (error != std::errc{} || end != held.data() + held.size() || !(seconds > 0 && seconds < 1e12))
      throw std::invalid_argument("a decay has a half-life in seconds: decay<3600>");
    return {Kind::steps, 0, {scalar("int64"), scalar("double")}, seconds * 1e6};
  }
  return scalar(text);
}

}  // namespace store
