// Plain data - what JSON can hold - as it comes from whoever describes a plan.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace fg {

class Operation;
class Parameters;

// One piece of plain data. Where a plan may hold code of its describer, that is what makes an operation of it.
class Plain {
 public:
  using List = std::vector<Plain>;
  using Map = std::vector<std::pair<std::string, Plain>>;  // few keys: looked through one by one
  using Code = std::function<std::shared_ptr<const Operation>(const Parameters&)>;
  using Held = std::variant<std::monostate, bool, std::int64_t, double, std::string, List, Map, Code>;

  Plain() = default;
  Plain(Held held) : held_(std::move(held)) {}  // NOLINT: a value is plain data

  const Held& held() const noexcept { return held_; }
  template <class T>
  bool is() const noexcept {
    return std::holds_alternative<T>(held_);
  }

  // What it holds. Throws std::invalid_argument where it holds something else.
  bool flag() const { return get<bool>("a boolean"); }
  std::int64_t integer() const { return get<std::int64_t>("a whole number"); }
  double number() const {
    const auto* const whole = std::get_if<std::int64_t>(&held_);
    return whole != nullptr ? static_cast<double>(*whole) : get<double>("a number");
  }
  const std::string& text() const { return get<std::string>("a text"); }
  const List& list() const { return get<List>("a list"); }
  const Map& map() const { return get<Map>("a mapping"); }
  const Code& code() const { return get<Code>("code"); }

  // The entry `key` of a mapping: null where it is missing or holds nothing; or thrown out of.
  const Plain* find(const char* key) const {
    for (const auto& [name, value] : map()) {
      if (name == key) return value.is<std::monostate>() ? nullptr : &value;
    }
    return nullptr;
  }
  const Plain& at(const char* key) const {
    const Plain* const value = find(key);
    if (value == nullptr) throw std::invalid_argument(std::string("a plan lacks '") + key + "'");
    return *value;
  }

 private:
  template <class T>
  const T& get(const char* what) const {
    const T* const value = std::get_if<T>(&held_);
    if (value == nullptr)
      throw std::invalid_argument(std::string("a plan holds something else where it needs ") + what);
    return *value;
  }
  Held held_;
};

}  // namespace fg
