// The hashes, for tests, tools and the fingerprint of configs.
#include <pybind11/pybind11.h>

#include "bindings.h"
#include "hash.h"

namespace fg {

void bind_hash(pybind11::module_& module) {
  module.def("murmur64a", [](const pybind11::bytes& text) {
    const std::string_view view = text;
    return murmur64a(view.data(), view.size());
  });
  module.def("fingerprint64", [](const pybind11::bytes& text) {
    const std::string_view view = text;
    return fingerprint64(view.data(), view.size());
  });
}

}  // namespace fg
