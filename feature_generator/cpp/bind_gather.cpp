// Picking rows out of numpy arrays, with the GIL released.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <stdexcept>

#include "bindings.h"
#include "gather.h"
#include "numpy_view.h"

namespace fg {
namespace {

namespace py = pybind11;
using Rows = py::array_t<std::int64_t, py::array::c_style>;

void check(const Rows& rows, std::int64_t count) {
  if (rows.ndim() != 1) throw std::invalid_argument("row numbers must be one-dimensional");
  bool inside;
  {
    const std::int64_t* const data = rows.data();
    const auto n = static_cast<std::size_t>(rows.size());
    const py::gil_scoped_release unlocked;
    inside = rows_inside(data, n, count);
  }
  if (!inside) throw py::index_error("a row number lies outside 0 .. " + std::to_string(count - 1));
}

// values[rows] for an array whose rows are contiguous inside.
py::array take_rows(const py::array& values, const Rows& rows) {
  check(rows, values.shape(0));
  py::ssize_t width = values.itemsize();
  std::vector<py::ssize_t> shape(values.shape(), values.shape() + values.ndim());
  for (py::ssize_t axis = values.ndim() - 1; axis > 0; --axis) {
    if (values.strides(axis) != width && values.shape(axis) > 1)
      throw std::invalid_argument("the values of a row must lie side by side");
    width *= values.shape(axis);
  }
  shape[0] = rows.size();
  py::array out(values.dtype(), shape);
  auto* const to = static_cast<char*>(out.mutable_data());
  const auto* const from = static_cast<const char*>(values.data());
  const py::ssize_t stride = values.strides(0);
  const auto n = static_cast<std::size_t>(rows.size());
  const std::int64_t* const at = rows.data();
  {
    const py::gil_scoped_release unlocked;
    gather_rows(from, static_cast<std::size_t>(stride), static_cast<std::size_t>(width), at, n, to);
  }
  return out;
}

// The offsets of the rows `rows` of a ragged array.
py::array take_offsets(const Rows& offsets, const Rows& rows) {
  check(rows, offsets.size() - 1);
  Rows out(rows.size() + 1);
  std::int64_t* const to = out.mutable_data();
  const auto n = static_cast<std::size_t>(rows.size());
  const std::int64_t *const from = offsets.data(), *const at = rows.data();
  {
    const py::gil_scoped_release unlocked;
    gather_ends(from, at, n, to);
  }
  return std::move(out);
}

// The items of the rows `rows` of a ragged array; `total` is the last of their new offsets.
py::array take_items(const py::array& items, const Rows& offsets, const Rows& rows, std::int64_t total) {
  if (!(items.flags() & py::array::c_style)) throw std::invalid_argument("items must be contiguous");
  check(rows, offsets.size() - 1);
  py::ssize_t width = items.itemsize();
  std::vector<py::ssize_t> shape(items.shape(), items.shape() + items.ndim());
  for (py::ssize_t axis = 1; axis < items.ndim(); ++axis) width *= items.shape(axis);
  shape[0] = total;
  py::array out(items.dtype(), shape);
  auto* const to = static_cast<char*>(out.mutable_data());
  const auto* const from = static_cast<const char*>(items.data());
  const auto n = static_cast<std::size_t>(rows.size());
  const std::int64_t *const starts = offsets.data(), *const at = rows.data();
  {
    const py::gil_scoped_release unlocked;
    gather_items(from, static_cast<std::size_t>(width), starts, at, n, to);
  }
  return out;
}

}  // namespace

void bind_gather(pybind11::module_& module) {
  module.def("take_rows", &take_rows);
  module.def("take_offsets", &take_offsets);
  module.def("take_items", &take_items);
}

}  // namespace fg
