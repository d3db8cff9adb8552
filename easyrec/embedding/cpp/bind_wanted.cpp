// Python's view of what a batch needs: ids in, rows by their holders out.
#include <pybind11/stl.h>

#include <algorithm>

#include "bound_tables.h"
#include "wanted.h"

namespace embedding {
namespace {

py::array_t<std::int64_t> array_from(const std::vector<std::int64_t>& values, std::vector<py::ssize_t> shape) {
  py::array_t<std::int64_t> array(std::move(shape));
  std::copy(values.begin(), values.end(), array.mutable_data());
  return array;
}

// units: (ids, holder); columns: (ids of a feature, unit), see wanted.h.
// (rows, counts, here, places, None or which column has an id outside its table, and where).
py::tuple bound_wanted(const std::vector<std::pair<std::int64_t, std::int64_t>>& units, const py::list& columns,
                       std::int64_t workers) {
  std::vector<Unit> rules;
  for (const auto& [rows, holder] : units) {
    if (holder >= workers) throw py::value_error("a unit is held by nobody");
    rules.push_back({rows, holder});
  }
  if (workers < 1) throw py::value_error("there is no worker");
  std::vector<Asking> features;
  std::int64_t size = 0;
  for (const auto& item : columns) {
    const auto pair = py::cast<py::tuple>(item);
    auto ids = array_of<std::int64_t>(pair[0], "a column of ids", 1);
    const auto unit = py::cast<std::int64_t>(pair[1]);
    if (unit < (features.empty() ? 0 : features.back().unit) || unit >= static_cast<std::int64_t>(rules.size()))
      throw py::value_error("columns must come unit by unit");
    features.push_back({contiguous(ids, "a column of ids"), ids.shape(0), unit});
    size += ids.shape(0);
  }
  if (size >= std::numeric_limits<std::int32_t>::max()) throw py::value_error("too many ids");
  py::array_t<std::int64_t> places(size);
  std::int64_t* data = places.mutable_data();
  Wanted found;
  {
    py::gil_scoped_release release;
    found = wanted(rules, features, workers, data);
  }
  const auto number = static_cast<py::ssize_t>(rules.size());
  py::object fault = py::none();
  if (found.feature >= 0) fault = py::make_tuple(found.feature, found.place);
  return py::make_tuple(array_from(found.rows, {static_cast<py::ssize_t>(found.rows.size())}),
                        array_from(found.counts, {workers, number}), array_from(found.here, {number, workers + 1}),
                        places, fault);
}

}  // namespace

void bind_wanted(py::module_& m) {
  m.def("wanted", &bound_wanted, py::arg("units"), py::arg("columns"), py::arg("workers"));
}

}  // namespace embedding
