// Python's view of a program: described by plain lists, run over arrays of rows with the GIL released.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "program.h"

namespace py = pybind11;

namespace {

using Array = py::array_t<float, py::array::c_style>;

dense::Kind kind_of(const std::string& name) {
  static const std::map<std::string, dense::Kind> kinds = {
      {"product", dense::Kind::PRODUCT}, {"unary", dense::Kind::UNARY},  {"binary", dense::Kind::BINARY},
      {"reduce", dense::Kind::REDUCE},   {"copy", dense::Kind::COPY},    {"softmax", dense::Kind::SOFTMAX},
      {"norm", dense::Kind::NORM},       {"matmul", dense::Kind::MATMUL}};
  const auto found = kinds.find(name);
  if (found == kinds.end()) throw std::invalid_argument("no step is called '" + name + "'");
  return found->second;
}

void read_sizes(const py::dict& given, const char* name, std::size_t (&to)[3]) {
  if (!given.contains(name)) return;
  const auto sizes = given[name].cast<std::vector<std::size_t>>();
  if (sizes.size() != 3) throw std::invalid_argument("a step has three sizes");
  std::copy_n(sizes.begin(), 3, to);
}

template <class T>
void read(const py::dict& given, const char* name, T& to) {
  if (given.contains(name)) to = given[name].cast<T>();
}

dense::Step step_of(const py::dict& given) {
  dense::Step step;
  step.kind = kind_of(given["kind"].cast<std::string>());
  step.out = given["out"].cast<int>();
  step.x = given["x"].cast<int>();
  const auto named = [&given](auto find) {
    const auto name = given["name"].cast<std::string>();
    const auto found = find(name);
    if (found == nullptr) throw std::invalid_argument("nothing is called '" + name + "'");
    return found;
  };
  if (step.kind == dense::Kind::UNARY) step.unary = named(dense::find_unary);
  if (step.kind == dense::Kind::BINARY) step.binary = named(dense::find_binary);
  if (step.kind == dense::Kind::REDUCE) step.reduce = named(dense::find_reduce);
  read(given, "y", step.y);
  read(given, "matrix", step.matrix);
  read(given, "added", step.added);
  read(given, "relu", step.relu);
  read(given, "rounded", step.rounded);
  read(given, "number", step.number);
  read_sizes(given, "sizes", step.places.sizes);
  read_sizes(given, "x_steps", step.places.x);
  read_sizes(given, "y_steps", step.places.y);
  read_sizes(given, "out_steps", step.places.out);
  read(given, "x_at", step.x_at);
  read(given, "y_at", step.y_at);
  read(given, "added_at", step.added_at);
  read(given, "out_at", step.out_at);
  return step;
}

// `values`: for each, whether it has one row for all, and its width.
std::unique_ptr<dense::Program> make(const std::vector<std::pair<bool, std::size_t>>& values, std::size_t inputs,
                                     const std::vector<Array>& constants, const std::vector<py::dict>& steps,
                                     std::vector<int> outputs) {
  std::vector<dense::Value> made;
  for (const auto& [once, width] : values) made.push_back({once, width});
  std::vector<std::vector<float>> numbers;
  for (const Array& constant : constants) numbers.emplace_back(constant.data(), constant.data() + constant.size());
  std::vector<dense::Step> read;
  for (const py::dict& step : steps) read.push_back(step_of(step));
  return std::make_unique<dense::Program>(std::move(made), inputs, std::move(numbers), std::move(read),
                                          std::move(outputs));
}

// Arrays (rows, width), or (1, width) of what is there once, of float32; the numbers of a row lie side by side.
py::list run(const dense::Program& program, const py::sequence& arrays, std::size_t rows) {
  if (arrays.size() != program.inputs()) throw std::invalid_argument("it takes another number of inputs");
  dense::Given given;
  for (std::size_t i = 0; i < program.inputs(); ++i) {
    if (!py::isinstance<py::array_t<float>>(arrays[i])) throw std::invalid_argument("an input is not of float32");
    const auto array = py::reinterpret_borrow<py::array_t<float>>(arrays[i]);
    const std::size_t count = program.once(i) ? 1 : rows;
    if (array.ndim() != 2 || static_cast<std::size_t>(array.shape(0)) != count ||
        static_cast<std::size_t>(array.shape(1)) != program.width(i))
      throw std::invalid_argument("input " + std::to_string(i) + " is not (" + std::to_string(count) + ", " +
                                  std::to_string(program.width(i)) + ")");
    const auto size = static_cast<py::ssize_t>(sizeof(float));
    const bool beside = array.shape(1) < 2 || array.strides(1) == size;
    if (rows > 0 && (!beside || array.strides(0) < 0 || array.strides(0) % size != 0))
      throw std::invalid_argument("the numbers of a row do not lie side by side");
    given.push_back({array.data(), program.once(i) ? 0 : static_cast<std::size_t>(array.strides(0) / size)});
  }
  py::list results;
  std::vector<float*> outputs;
  for (const int output : program.outputs()) {
    Array result({rows, program.width(static_cast<std::size_t>(output))});
    outputs.push_back(result.mutable_data());
    results.append(std::move(result));
  }
  const py::gil_scoped_release unlocked;
  program.run(given, rows, outputs);
  return results;
}

}  // namespace

PYBIND11_MODULE(NATIVE_MODULE, module) {
  py::class_<dense::Program>(module, "Program")
      .def(py::init(&make), py::arg("values"), py::arg("inputs"), py::arg("constants"), py::arg("steps"),
           py::arg("outputs"))
      .def("run", &run, py::arg("arrays"), py::arg("rows"));
}
