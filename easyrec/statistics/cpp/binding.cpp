// Python's view of the kernels: contiguous arrays in and out, the GIL released around the work.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <utility>

#include "pairs.h"
#include "scores.h"

namespace py = pybind11;

namespace {

template <class T>
using Array = py::array_t<T, py::array::c_style>;  // arguments are noconvert: never a silent copy

void expect(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(what);
}

// Lists whose offsets ascend within their items, which are below `most`.
statistics::Lists lists(const Array<std::int64_t>& offsets, const Array<std::int32_t>& items, std::int64_t most) {
  expect(offsets.ndim() == 1 && offsets.shape(0) > 0 && items.ndim() == 1, "lists are flat, with an offset behind all");
  const std::int64_t* const from = offsets.data();
  const auto rows = offsets.shape(0) - 1;
  expect(from[0] == 0 && from[rows] == items.shape(0) && std::is_sorted(from, from + rows + 1),
         "the offsets do not fit the items");
  const std::int32_t* const held = items.data();
  expect(std::all_of(held, held + items.shape(0), [most](std::int32_t i) { return i >= 0 && i < most; }),
         "an item is not within the matrix");
  return {from, held};
}

statistics::Found places(Array<std::int32_t>& items, Array<float>& values, Array<std::int64_t>& counts) {
  expect(items.ndim() == 2 && values.ndim() == 2 && counts.ndim() == 1 && items.shape(0) == counts.shape(0) &&
             values.shape(0) == counts.shape(0) && items.shape(1) == values.shape(1),
         "neighbours go into (N, K), (N, K) and (N,)");
  return {items.shape(1), items.mutable_data(), values.mutable_data(), counts.mutable_data()};
}

void cosine(const Array<std::int64_t>& user_offsets, const Array<std::int32_t>& taken,
            const Array<std::int64_t>& item_offsets, const Array<std::int32_t>& takers, const Array<double>& weights,
            const Array<double>& norms, double shrinkage, int threads, Array<std::int32_t>& items, Array<float>& values,
            Array<std::int64_t>& counts) {
  const auto users = user_offsets.shape(0) - 1, n = item_offsets.shape(0) - 1;
  const auto of_user = lists(user_offsets, taken, n), of_item = lists(item_offsets, takers, users);
  const auto found = places(items, values, counts);
  expect(weights.size() == users && norms.size() == n && counts.size() == n, "the arrays do not fit each other");
  const double *const w = weights.data(), *const scale = norms.data();
  const py::gil_scoped_release unlocked;
  statistics::cosine(of_user, of_item, n, w, scale, shrinkage, std::max(threads, 1), found);
}

void together(const Array<std::int64_t>& user_offsets, const Array<std::int32_t>& taken,
              const Array<std::int64_t>& item_offsets, const Array<std::int32_t>& takers, int threads,
              Array<double>& counts) {
  const auto users = user_offsets.shape(0) - 1, n = item_offsets.shape(0) - 1;
  const auto of_user = lists(user_offsets, taken, n), of_item = lists(item_offsets, takers, users);
  expect(counts.ndim() == 2 && counts.shape(0) == n && counts.shape(1) == n, "the counts are of (N, N)");
  double* const to = counts.mutable_data();
  const py::gil_scoped_release unlocked;
  statistics::together(of_user, of_item, n, std::max(threads, 1), to);
}

void swing(const Array<std::int64_t>& user_offsets, const Array<std::int32_t>& taken,
           const Array<std::int64_t>& item_offsets, const Array<std::int32_t>& takers, const Array<double>& weights,
           double alpha, int threads, Array<std::int32_t>& items, Array<float>& values, Array<std::int64_t>& counts) {
  const auto users = user_offsets.shape(0) - 1, n = item_offsets.shape(0) - 1;
  const auto of_user = lists(user_offsets, taken, n), of_item = lists(item_offsets, takers, users);
  const auto found = places(items, values, counts);
  expect(weights.size() == users && counts.size() == n, "the arrays do not fit each other");
  const double* const w = weights.data();
  const py::gil_scoped_release unlocked;
  statistics::swing(of_user, of_item, n, w, alpha, std::max(threads, 1), found);
}

// The matrix and the bias, looked over once.
class Scores {
 public:
  Scores(std::optional<Array<std::int64_t>> offsets, std::optional<Array<std::int32_t>> items, Array<float> values,
         Array<float> bias)
      : offsets_(std::move(offsets)), items_(std::move(items)), values_(std::move(values)), bias_(std::move(bias)) {
    const auto n = bias_.size();
    expect(offsets_.has_value() == items_.has_value(), "a sparse matrix has offsets and items");
    if (items_.has_value()) {
      near_ = lists(*offsets_, *items_, n);
      expect(values_.size() == items_->size() && offsets_->size() == n + 1, "the values do not fit the matrix");
    } else {
      expect(values_.size() == n * n, "the values do not fit the matrix");
    }
  }

  void operator()(const Array<std::int64_t>& offsets, const Array<std::int32_t>& history, const Array<float>& weights,
                  int threads, Array<float>& scores) const {
    const auto n = bias_.size(), users = offsets.shape(0) - 1;
    const auto steps = lists(offsets, history, n);
    expect(weights.size() == history.size() && scores.ndim() == 2 && scores.shape(0) == users && scores.shape(1) == n,
           "the arrays do not fit each other");
    const float *const w = weights.data(), *const v = values_.data(), *const b = bias_.data();
    float* const to = scores.mutable_data();
    const py::gil_scoped_release unlocked;
    statistics::score(steps, w, users, near_, v, b, n, std::max(threads, 1), to);
  }

 private:
  std::optional<Array<std::int64_t>> offsets_;
  std::optional<Array<std::int32_t>> items_;
  Array<float> values_, bias_;
  statistics::Lists near_{nullptr, nullptr};
};

}  // namespace

PYBIND11_MODULE(NATIVE_MODULE, module) {
  using py::arg;
  module.def("cosine", &cosine, arg("user_offsets").noconvert(), arg("taken").noconvert(),
             arg("item_offsets").noconvert(), arg("takers").noconvert(), arg("weights").noconvert(),
             arg("norms").noconvert(), arg("shrinkage"), arg("threads"), arg("items").noconvert(),
             arg("values").noconvert(), arg("counts").noconvert());
  module.def("swing", &swing, arg("user_offsets").noconvert(), arg("taken").noconvert(),
             arg("item_offsets").noconvert(), arg("takers").noconvert(), arg("weights").noconvert(), arg("alpha"),
             arg("threads"), arg("items").noconvert(), arg("values").noconvert(), arg("counts").noconvert());
  module.def("together", &together, arg("user_offsets").noconvert(), arg("taken").noconvert(),
             arg("item_offsets").noconvert(), arg("takers").noconvert(), arg("threads"), arg("counts").noconvert());
  py::class_<Scores>(module, "Scores")
      .def(py::init<std::optional<Array<std::int64_t>>, std::optional<Array<std::int32_t>>, Array<float>,
                    Array<float>>(),
           arg("offsets").noconvert(), arg("items").noconvert(), arg("values").noconvert(), arg("bias").noconvert())
      .def("__call__", &Scores::operator(), arg("offsets").noconvert(), arg("history").noconvert(),
           arg("weights").noconvert(), arg("threads"), arg("scores").noconvert());
}
