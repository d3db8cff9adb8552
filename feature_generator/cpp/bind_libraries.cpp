#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings.h"
#include "libraries.h"

namespace fg {

void bind_libraries(pybind11::module_& module) {
  module.def("load_operators", [](const std::string& path, const std::set<std::string>& taken) {
    std::vector<std::tuple<std::string, std::uint32_t, std::uint32_t>> found;
    for (const easyrec_operator* const one : load_library(path, taken))
      found.emplace_back(one->name, one->fewest_inputs, one->most_inputs);
    return found;
  });
  module.def("check_operator", [](const std::string& name, const std::string& params_json, std::uint32_t inputs) {
    Instance(library_operator(name), params_json, inputs);
  });
}

}  // namespace fg
