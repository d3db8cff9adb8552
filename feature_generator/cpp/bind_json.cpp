// Keys of JSON: as many as its text has, and as many as its parser kept.
#include <pybind11/pybind11.h>

#include <string_view>
#include <vector>

#include "bindings.h"
#include "json_text.h"

namespace fg {
namespace {

namespace py = pybind11;

// How many keys the objects of a value have. It has `containers` objects and lists, and is looked through until those
// are found.
std::int64_t count_keys(const py::object& value, std::int64_t containers) {
  const auto is_container = [](PyObject* one) { return PyDict_CheckExact(one) || PyList_CheckExact(one); };
  std::vector<PyObject*> found;
  if (is_container(value.ptr())) found.push_back(value.ptr());
  std::int64_t keys = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    PyObject* const one = found[i];
    const bool object = PyDict_CheckExact(one) != 0;
    if (object) keys += PyDict_GET_SIZE(one);
    if (static_cast<std::int64_t>(found.size()) >= containers) continue;
    if (object) {
      PyObject *key = nullptr, *inside = nullptr;
      for (Py_ssize_t at = 0; PyDict_Next(one, &at, &key, &inside) != 0;) {
        if (is_container(inside)) found.push_back(inside);
      }
    } else {
      for (Py_ssize_t at = 0; at < PyList_GET_SIZE(one); ++at) {
        if (is_container(PyList_GET_ITEM(one, at))) found.push_back(PyList_GET_ITEM(one, at));
      }
    }
  }
  return keys;
}

// (objects and lists, keys) of JSON text; None where it is deeper than `most`.
py::object scan_body(const py::bytes& body, std::int64_t most) {
  const std::string_view text = body;
  const JsonMarks marks = scan_json(text.data(), text.size(), most);
  if (marks.too_deep) return py::none();
  return py::make_tuple(marks.containers, marks.pairs);
}

}  // namespace

void bind_json(py::module_& module) {
  module.def("count_keys", &count_keys);
  module.def("scan_json", &scan_body);
}

}  // namespace fg
