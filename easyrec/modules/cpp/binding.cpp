// Python's view of the kernels: contiguous arrays in and out, the GIL released around the work.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>
#include <string>

#include "attention.h"
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

// A square of weights per row and head, and lines of `parts` maps of all fields.
modules::Attention attended(const Array<float>& weights, py::ssize_t lines, py::ssize_t columns, py::ssize_t parts,
                            float scale, bool centred) {
  expect(weights.ndim() == 4 && weights.shape(2) == weights.shape(3), "weights are (B, heads, F, F)");
  const auto rows = weights.shape(0), heads = weights.shape(1), fields = weights.shape(2);
  expect(heads > 0 && fields > 0 && columns % (parts * heads) == 0 && lines == rows * fields,
         "the arrays do not fit each other");
  const auto dim = columns / parts / heads;
  return {static_cast<std::size_t>(rows),
          static_cast<std::size_t>(fields),
          static_cast<std::size_t>(heads),
          static_cast<std::size_t>(dim),
          scale,
          centred};
}

template <class T>
void weigh(const Array<T>& maps, float scale, bool centred, Array<float>& weights, std::size_t threads) {
  expect(maps.ndim() == 2, "maps are (B * F, parts * units)");
  const auto shape = attended(weights, maps.shape(0), maps.shape(1), 2, scale, centred);
  const T* const from = maps.data();
  float* const to = weights.mutable_data();
  const py::gil_scoped_release unlocked;
  modules::attention_weights(from, shape, to, threads);
}

template <class T>
void weigh_backward(const Array<T>& maps, const Array<float>& weights, const Array<float>& g, float scale, bool centred,
                    Array<T>& grad, std::size_t threads) {
  expect(maps.ndim() == 2 && grad.ndim() == 2, "maps are (B * F, parts * units)");
  const auto shape = attended(weights, maps.shape(0), maps.shape(1), 2, scale, centred);
  expect(
      g.ndim() == 4 && g.size() == weights.size() && grad.shape(0) == maps.shape(0) && grad.shape(1) == maps.shape(1),
      "the arrays do not fit each other");
  const T* const from = maps.data();
  const float *const w = weights.data(), *const of_weights = g.data();
  T* const to = grad.mutable_data();
  const py::gil_scoped_release unlocked;
  modules::attention_weights_backward(from, w, of_weights, shape, to, threads);
}

template <class T>
void mix(const Array<float>& weights, const Array<T>& maps, const std::optional<Array<T>>& residual, Array<T>& out,
         std::size_t threads) {
  expect(maps.ndim() == 2 && out.ndim() == 2 && maps.shape(0) == out.shape(0), "maps are (B * F, parts * units)");
  const bool mapped = maps.shape(1) != out.shape(1);
  const auto shape = attended(weights, maps.shape(0), maps.shape(1), mapped ? 2 : 1, 1.0f, false);
  expect(maps.shape(1) == (mapped ? 2 : 1) * out.shape(1), "the arrays do not fit each other");
  expect(!residual || (!mapped && residual->ndim() == 2 && residual->shape(0) == out.shape(0) &&
                       residual->shape(1) == out.shape(1)),
         "the residual does not fit");
  const float* const w = weights.data();
  const T *const from = maps.data(), *const added = residual ? residual->data() : nullptr;
  T* const to = out.mutable_data();
  const py::gil_scoped_release unlocked;
  modules::attention_mix(w, from, added, mapped, shape, to, threads);
}

template <class T>
void mix_backward(const Array<float>& weights, const Array<T>& maps, const Array<T>& g, Array<float>& of_weights,
                  Array<T>& of_maps, std::size_t threads) {
  expect(maps.ndim() == 2 && g.ndim() == 2 && maps.shape(0) == g.shape(0), "maps are (B * F, parts * units)");
  const bool mapped = maps.shape(1) != g.shape(1);
  const auto shape = attended(weights, maps.shape(0), maps.shape(1), mapped ? 2 : 1, 1.0f, false);
  expect(maps.shape(1) == (mapped ? 2 : 1) * g.shape(1) && of_weights.size() == weights.size() &&
             of_maps.size() == maps.size(),
         "the arrays do not fit each other");
  const float* const w = weights.data();
  const T *const from = maps.data(), *const of_out = g.data();
  float* const to_weights = of_weights.mutable_data();
  T* const to_maps = of_maps.mutable_data();
  const py::gil_scoped_release unlocked;
  modules::attention_mix_backward(w, from, of_out, mapped, shape, to_weights, to_maps, threads);
}

// The functions over numbers of one type; their arguments are never converted.
template <class T>
void define_attention(py::module_& module, const std::string& suffix) {
  using py::arg;
  module.def(("attention_weights" + suffix).c_str(), &weigh<T>, arg("maps").noconvert(), arg("scale"), arg("centred"),
             arg("weights").noconvert(), arg("threads"));
  module.def(("attention_weights_backward" + suffix).c_str(), &weigh_backward<T>, arg("maps").noconvert(),
             arg("weights").noconvert(), arg("g").noconvert(), arg("scale"), arg("centred"), arg("grad").noconvert(),
             arg("threads"));
  module.def(("attention_mix" + suffix).c_str(), &mix<T>, arg("weights").noconvert(), arg("maps").noconvert(),
             arg("residual").noconvert(), arg("out").noconvert(), arg("threads"));
  module.def(("attention_mix_backward" + suffix).c_str(), &mix_backward<T>, arg("weights").noconvert(),
             arg("maps").noconvert(), arg("g").noconvert(), arg("of_weights").noconvert(), arg("of_maps").noconvert(),
             arg("threads"));
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
  define_attention<float>(module, "");
  define_attention<std::uint16_t>(module, "_bf16");
}
