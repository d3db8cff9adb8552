// Batches of numbers out of a request's bytes or lists, and what in a batch is missing or outside.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <limits>
#include <optional>
#include <stdexcept>
#include <unordered_map>

#include "bindings.h"
#include "census.h"
#include "flat_batch.h"

namespace fg {
namespace {

namespace py = pybind11;

using Layout = std::shared_ptr<FlatLayout>;

Layout make_layout(const py::sequence& given, std::int64_t rows) {
  std::vector<FlatColumn> columns;
  for (const py::handle item : given) {
    const auto parts = item.cast<py::tuple>();
    FlatColumn column;
    column.name = parts[0].cast<std::string>();
    const auto format = parts[1].cast<std::string>();
    if (format.size() != 1) throw std::invalid_argument("a flat column holds numbers");
    column.format = format[0];
    column.list = parts[2].cast<std::int64_t>();
    column.from = parts[3].cast<std::int64_t>();
    columns.push_back(std::move(column));
  }
  return std::make_shared<FlatLayout>(std::move(columns), rows);
}

// The batch of the bytes from `start` on; nothing where a number is NaN or an infinity.
std::optional<FlatBatch> of_bytes(const Layout& layout, const py::buffer& source, std::size_t start) {
  const py::buffer_info info = source.request();
  const std::size_t bytes = static_cast<std::size_t>(info.size) * static_cast<std::size_t>(info.itemsize);
  if (!PyBuffer_IsContiguous(info.view(), 'C') || start > bytes || bytes - start < layout->source)
    throw std::invalid_argument("the source is too short for the columns");
  FlatBatch batch(layout);
  if (!copy_flat(static_cast<const std::byte*>(info.ptr) + start, batch)) return std::nullopt;
  return batch;
}

template <class Number>
bool read_integers(PyObject* list, std::byte* out) {
  auto* to = reinterpret_cast<Number*>(out);
  const Py_ssize_t size = PyList_GET_SIZE(list);
  for (Py_ssize_t i = 0; i < size; ++i) {
    PyObject* const item = PyList_GET_ITEM(list, i);
    if (!PyLong_CheckExact(item)) return false;
    if constexpr (std::is_same_v<Number, std::uint64_t>) {
      const std::uint64_t value = PyLong_AsUnsignedLongLong(item);
      if (value == static_cast<std::uint64_t>(-1) && PyErr_Occurred() != nullptr) return PyErr_Clear(), false;
      to[i] = value;
    } else {
      int overflow = 0;
      const long long value = PyLong_AsLongLongAndOverflow(item, &overflow);
      if (overflow != 0 || value < static_cast<long long>(std::numeric_limits<Number>::min()) ||
          value > static_cast<long long>(std::numeric_limits<Number>::max()))
        return false;
      to[i] = static_cast<Number>(value);
    }
  }
  return true;
}

template <class Number>
bool read_floats(PyObject* list, std::byte* out) {
  auto* to = reinterpret_cast<Number*>(out);
  const Py_ssize_t size = PyList_GET_SIZE(list);
  for (Py_ssize_t i = 0; i < size; ++i) {
    PyObject* const item = PyList_GET_ITEM(list, i);
    double value;
    if (PyFloat_CheckExact(item)) {
      value = PyFloat_AS_DOUBLE(item);
    } else {
      if (!PyLong_CheckExact(item)) return false;
      value = PyLong_AsDouble(item);
      if (value == -1.0 && PyErr_Occurred() != nullptr) return PyErr_Clear(), false;
    }
    to[i] = static_cast<Number>(value);
  }
  return true;
}

bool read_list(PyObject* list, char format, std::byte* out) {
  switch (format) {
    case 'c': return read_integers<std::int8_t>(list, out);
    case 's': return read_integers<std::int16_t>(list, out);
    case 'i': return read_integers<std::int32_t>(list, out);
    case 'l': return read_integers<std::int64_t>(list, out);
    case 'C': return read_integers<std::uint8_t>(list, out);
    case 'S': return read_integers<std::uint16_t>(list, out);
    case 'I': return read_integers<std::uint32_t>(list, out);
    case 'L': return read_integers<std::uint64_t>(list, out);
    case 'f': return read_floats<float>(list, out);
    default: return read_floats<double>(list, out);
  }
}

// The batch of a list of numbers for each column; nothing where one is no such list, or a number does not fit.
std::optional<FlatBatch> of_lists(const Layout& layout, const py::list& lists) {
  if (lists.size() != layout->columns.size()) throw std::invalid_argument("each column needs a list");
  FlatBatch batch(layout);
  for (std::size_t i = 0; i < layout->columns.size(); ++i) {
    const FlatColumn& column = layout->columns[i];
    PyObject* const list = PyList_GET_ITEM(lists.ptr(), static_cast<Py_ssize_t>(i));
    if (!PyList_CheckExact(list) || PyList_GET_SIZE(list) != column.numbers) return std::nullopt;
    if (!read_list(list, column.format, batch.column(i)) || !all_finite(batch, i)) return std::nullopt;
  }
  return batch;
}

template <class Structure>
void give_back(PyObject* capsule, const char* name) {
  auto* const structure = static_cast<Structure*>(PyCapsule_GetPointer(capsule, name));
  if (structure->release != nullptr) structure->release(structure);
  delete structure;
}

py::tuple to_arrow(const FlatBatch& batch, const py::object&) {
  auto schema = std::make_unique<ArrowSchema>();
  auto array = std::make_unique<ArrowArray>();
  export_flat(batch, *schema, *array);
  py::capsule first(schema.release(), "arrow_schema",
                    [](PyObject* capsule) { give_back<ArrowSchema>(capsule, "arrow_schema"); });
  py::capsule second(array.release(), "arrow_array",
                     [](PyObject* capsule) { give_back<ArrowArray>(capsule, "arrow_array"); });
  return py::make_tuple(std::move(first), std::move(second));
}

// Which numbers of which columns must lie inside of a range.
class Census {
 public:
  // ranges: (feature, column, size) of features whose whole numbers must be 0 .. size - 1.
  explicit Census(const py::sequence& ranges) {
    for (const py::handle item : ranges) {
      const auto parts = item.cast<py::tuple>();
      ranges_[parts[1].cast<std::string>()].push_back({parts[0].cast<py::str>(), parts[2].cast<std::int64_t>()});
    }
  }

  // Counts above 0: missing values by column, those outside by feature; and the features whose column is not of
  // numbers.
  py::tuple count(const py::sequence& batches) const {
    py::dict missing, outside;
    py::list left;
    for (const py::handle batch : batches) {
      const auto capsules = batch.attr("__arrow_c_array__")().cast<py::tuple>();
      const auto* const schema =
          static_cast<const ArrowSchema*>(PyCapsule_GetPointer(capsules[0].ptr(), "arrow_schema"));
      const auto* const array = static_cast<const ArrowArray*>(PyCapsule_GetPointer(capsules[1].ptr(), "arrow_array"));
      if (schema == nullptr || array == nullptr) throw py::error_already_set();
      for (std::int64_t i = 0; i < schema->n_children; ++i) {
        const ArrowSchema& kind = *schema->children[i];
        const ArrowArray& column = *array->children[i];
        if (const std::int64_t absent = count_absent(kind, column)) missing[kind.name] = absent;
        const auto at = ranges_.find(kind.name);
        if (at == ranges_.end()) continue;
        for (const Range& range : at->second) {
          const std::int64_t found = count_outside(kind, column, range.size);
          if (found < 0) left.append(range.feature);
          else if (found > 0) outside[range.feature] = found;
        }
      }
    }
    return py::make_tuple(missing, outside, left);
  }

 private:
  struct Range {
    py::str feature;
    std::int64_t size;
  };
  std::unordered_map<std::string, std::vector<Range>> ranges_;
};

}  // namespace

void bind_flat(pybind11::module_& module) {
  py::class_<FlatLayout, Layout>(module, "FlatLayout", py::module_local())
      .def(py::init(&make_layout), py::arg("columns"), py::arg("rows"))
      .def("of_bytes", &of_bytes, py::arg("source"), py::arg("start"))
      .def("of_lists", &of_lists, py::arg("lists"));
  py::class_<FlatBatch>(module, "FlatBatch", py::module_local())
      .def_property_readonly("num_rows", [](const FlatBatch& batch) { return batch.layout->rows; })
      .def_property_readonly("longest", [](const FlatBatch& batch) { return batch.layout->longest; })
      .def("__len__", [](const FlatBatch& batch) { return batch.layout->rows; })
      .def("__arrow_c_array__", &to_arrow, py::arg("requested_schema") = py::none());
  py::class_<Census>(module, "Census", py::module_local())
      .def(py::init<const py::sequence&>(), py::arg("ranges"))
      .def("count", &Census::count, py::arg("batches"));
}

}  // namespace fg
