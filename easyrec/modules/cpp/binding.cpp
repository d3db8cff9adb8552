// Python's view of the kernels: contiguous arrays in and out, the GIL released around the work.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <stdexcept>

#include "dropout.h"
#include "fm.h"

namespace py = pybind11;

namespace {

template <class T>
using Array = py::array_t<T, py::array::c_style>;  // arguments are noconvert: never a silent copy

void expect(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(what);
}

void forward(const Array<float>& fields, Array<float>& sums, Array<float>& out) {
  expect(fields.ndim() == 3 && sums.ndim() == 2 && out.ndim() == 1, "fm takes (B, F, D), (B, D), (B,)");
  const auto rows = fields.shape(0), num_fields = fields.shape(1), dim = fields.shape(2);
  expect(sums.shape(0) == rows && sums.shape(1) == dim && out.shape(0) == rows, "the arrays do not fit each other");
  const float* const from = fields.data();
  float *const sum = sums.mutable_data(), *const to = out.mutable_data();
  const py::gil_scoped_release unlocked;
  modules::fm_forward(from, rows, num_fields, dim, sum, to);
}

void backward(const Array<float>& fields, const Array<float>& sums, const Array<float>& g, Array<float>& grad) {
  expect(fields.ndim() == 3 && sums.ndim() == 2 && g.ndim() == 1 && grad.ndim() == 3,
         "fm takes (B, F, D), (B, D), (B,), (B, F, D)");
  const auto rows = fields.shape(0), num_fields = fields.shape(1), dim = fields.shape(2);
  expect(sums.shape(0) == rows && sums.shape(1) == dim && g.shape(0) == rows && grad.shape(0) == rows &&
             grad.shape(1) == num_fields && grad.shape(2) == dim,
         "the arrays do not fit each other");
  const float *const from = fields.data(), *const sum = sums.data(), *const of_out = g.data();
  float* const to = grad.mutable_data();
  const py::gil_scoped_release unlocked;
  modules::fm_backward(from, sum, of_out, rows, num_fields, dim, to);
}

template <class T>
void drop(const Array<T>& x, std::uint64_t seed, std::uint32_t threshold, Array<T>& out) {
  expect(x.size() == out.size(), "the arrays do not fit each other");
  expect(threshold < 65536, "the threshold must be below 65536");
  const T* const from = x.data();
  T* const to = out.mutable_data();
  const auto n = static_cast<std::size_t>(x.size());
  const py::gil_scoped_release unlocked;
  if constexpr (std::is_same_v<T, float>) modules::dropout(from, n, seed, threshold, to);
  else modules::dropout_bf16(from, n, seed, threshold, to);
}

}  // namespace

PYBIND11_MODULE(NATIVE_MODULE, module) {
  using py::arg;
  module.def("fm_forward", &forward, arg("fields").noconvert(), arg("sums").noconvert(), arg("out").noconvert());
  module.def("fm_backward", &backward, arg("fields").noconvert(), arg("sums").noconvert(), arg("g").noconvert(),
             arg("grad").noconvert());
  module.def("dropout", &drop<float>, arg("x").noconvert(), arg("seed"), arg("threshold"), arg("out").noconvert());
  module.def("dropout_bf16", &drop<std::uint16_t>, arg("x").noconvert(), arg("seed"), arg("threshold"),
             arg("out").noconvert());
}
