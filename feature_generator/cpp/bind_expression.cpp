// Expressions over numpy arrays, for tests and tools; the plan runs them over its own cells.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <stdexcept>

#include "bindings.h"
#include "expression.h"
#include "numpy_view.h"

namespace fg {
namespace {

namespace py = pybind11;
using Numbers = py::array_t<double, py::array::c_style>;
using Places = py::array_t<std::uint32_t, py::array::c_style>;
using Operand = std::tuple<Numbers, std::optional<Places>, std::optional<Places>>;

// Views of the arrays after checking that no element lies outside them.
std::vector<ExpressionInput> view_inputs(const Expression& expression, const std::vector<Operand>& inputs,
                                         std::size_t elements) {
  if (inputs.size() != expression.inputs())
    throw std::invalid_argument("the expression has " + std::to_string(expression.inputs()) + " variables");
  std::vector<ExpressionInput> views;
  for (const auto& [values, ends, at] : inputs) {
    const std::size_t size = static_cast<std::size_t>(values.size());
    std::size_t own = size;
    if (ends) {
      own = static_cast<std::size_t>(ends->size());
      std::uint32_t before = 0;
      for (std::size_t e = 0; e < own; ++e) {
        if (ends->data()[e] < before) throw std::invalid_argument("ends must ascend");
        before = ends->data()[e];
      }
      if (before > size) throw std::invalid_argument("ends lie beyond the values");
    }
    if (at) {
      if (static_cast<std::size_t>(at->size()) < elements) throw std::invalid_argument("`at` is too short");
      for (std::size_t e = 0; e < elements; ++e)
        if (at->data()[e] >= own) throw py::index_error("`at` names an element that is not there");
    } else if (own < elements) {
      throw std::invalid_argument("an input has fewer elements than asked for");
    }
    views.push_back({values.data(), ends ? ends->data() : nullptr, at ? at->data() : nullptr});
  }
  return views;
}

py::tuple run(const Expression& expression, const std::vector<Operand>& inputs, std::size_t elements) {
  const std::vector<ExpressionInput> views = view_inputs(expression, inputs, elements);
  Slab<double> values;
  Slab<std::uint32_t> ends;
  std::vector<UnequalVectors> unequal;
  {
    const py::gil_scoped_release unlocked;
    ExpressionScratch scratch;
    expression.run(views.data(), elements, scratch, values, ends, unequal);
  }
  py::list found;
  for (const UnequalVectors& one : unequal)
    found.append(py::make_tuple(one.element, one.operation, one.left, one.right));
  return py::make_tuple(to_numpy(std::move(values)), to_numpy(std::move(ends)), found);
}

py::array run_single(const Expression& expression, const std::vector<Operand>& inputs, std::size_t elements) {
  for (const auto& [values, ends, at] : inputs)
    if (ends) throw std::invalid_argument("an input of run_single has one value an element");
  const std::vector<ExpressionInput> views = view_inputs(expression, inputs, elements);
  Numbers out(static_cast<py::ssize_t>(elements));
  double* const to = out.mutable_data();
  {
    const py::gil_scoped_release unlocked;
    ExpressionScratch scratch;
    expression.run_single(views.data(), elements, scratch, to);
  }
  return std::move(out);
}

// What `Program.native` gives.
std::unique_ptr<Expression> make(const py::dict& program) {
  Parameters parameters;
  for (const char* const name : {"inputs", "result"}) parameters.set(name, program[name].cast<std::int64_t>());
  parameters.set("constants", program["constants"].cast<std::vector<double>>());
  parameters.set("code", program["code"].cast<std::string>());
  if (program.contains("fill_missing")) parameters.set("fill_missing", program["fill_missing"].cast<double>());
  return std::make_unique<Expression>(parameters);
}

}  // namespace

void bind_expression(py::module_& module) {
  py::class_<Expression>(module, "Expression")
      .def(py::init(&make))
      .def("run", &run, py::arg("inputs"), py::arg("elements"))
      .def("run_single", &run_single, py::arg("inputs"), py::arg("elements"));
}

}  // namespace fg
