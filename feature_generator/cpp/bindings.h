// One function per topic, each in its own bind_*.cpp.
#pragma once

namespace pybind11 {
class module_;
}

namespace fg {

void bind_hash(pybind11::module_& module);
void bind_libraries(pybind11::module_& module);
void bind_plan(pybind11::module_& module);
void bind_gather(pybind11::module_& module);
void bind_json(pybind11::module_& module);
void bind_objects(pybind11::module_& module);
void bind_expression(pybind11::module_& module);
void bind_flat(pybind11::module_& module);
void bind_cache(pybind11::module_& module);

}  // namespace fg
