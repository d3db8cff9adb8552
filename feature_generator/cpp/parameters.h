// What a config says of an operation, as plain values by name.
#pragma once

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace fg {

class Parameters {
 public:
  using Value = std::variant<bool, std::int64_t, double, std::string, std::vector<double>, std::vector<std::string>>;

  void set(const std::string& name, Value value) { values_[name] = std::move(value); }
  bool has(const std::string& name) const { return values_.count(name) != 0; }

  // The value called `name`. Throws std::invalid_argument where it is missing or of another type.
  bool flag(const std::string& name) const { return get<bool>(name); }
  std::int64_t integer(const std::string& name) const { return get<std::int64_t>(name); }
  double number(const std::string& name) const {
    const Value& value = at(name);
    if (const auto* whole = std::get_if<std::int64_t>(&value)) return static_cast<double>(*whole);
    return get<double>(name);
  }
  const std::string& text(const std::string& name) const { return get<std::string>(name); }
  const std::vector<double>& numbers(const std::string& name) const { return get<std::vector<double>>(name); }
  const std::vector<std::string>& texts(const std::string& name) const { return get<std::vector<std::string>>(name); }

 private:
  const Value& at(const std::string& name) const {
    const auto found = values_.find(name);
    if (found == values_.end()) throw std::invalid_argument("an operation lacks its parameter '" + name + "'");
    return found->second;
  }
  template <class T>
  const T& get(const std::string& name) const {
    const T* const value = std::get_if<T>(&at(name));
    if (value == nullptr) throw std::invalid_argument("the parameter '" + name + "' is of another type");
    return *value;
  }
  std::map<std::string, Value> values_;
};

}  // namespace fg
