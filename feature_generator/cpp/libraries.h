// Operators of shared libraries that the caller has loaded.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "easyrec_operator.h"

namespace fg {

// Loads the library at `path`, for good, and returns its operators; one that is loaded already is not loaded again.
// `taken` are names that are not free. Throws std::invalid_argument that says what is wrong.
std::vector<const easyrec_operator*> load_library(const std::string& path, const std::set<std::string>& taken);

// The operator `name` of a loaded library. Throws std::invalid_argument where there is none.
const easyrec_operator& library_operator(const std::string& name);

// An operator's state for one feature.
class Instance {
 public:
  // Throws std::invalid_argument with the operator's own words where it refuses the parameters.
  Instance(const easyrec_operator& kind, const std::string& params_json, std::uint32_t inputs);
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;
  ~Instance();

  const easyrec_operator& kind() const noexcept { return kind_; }
  void* get() const noexcept { return instance_; }

 private:
  const easyrec_operator& kind_;
  void* instance_;
};

}  // namespace fg
