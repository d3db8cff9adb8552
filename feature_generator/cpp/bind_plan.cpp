// Plan: from plain Python data, over Arrow batches, into numpy arrays.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <unordered_map>

#include "bind_call.h"
#include "bindings.h"
#include "compile.h"
#include "numpy_view.h"

namespace fg {
namespace {

namespace py = pybind11;

// The features' own Python functions become operations; the rest is plain.
Plain plain_of(const py::handle& object) {
  if (object.is_none()) return {};
  if (py::isinstance<py::bool_>(object)) return {object.cast<bool>()};
  if (py::isinstance<py::int_>(object)) return {object.cast<std::int64_t>()};
  if (py::isinstance<py::float_>(object)) return {object.cast<double>()};
  if (py::isinstance<py::str>(object) || py::isinstance<py::bytes>(object)) return {object.cast<std::string>()};
  if (py::isinstance<py::dict>(object)) {
    const auto dict = py::reinterpret_borrow<py::dict>(object);
    Plain::Map map;
    for (const auto& [key, value] : dict) map.emplace_back(key.cast<std::string>(), plain_of(value));
    return {std::move(map)};
  }
  if (py::isinstance<py::sequence>(object)) {
    Plain::List list;
    for (const py::handle item : py::reinterpret_borrow<py::sequence>(object)) list.push_back(plain_of(item));
    return {std::move(list)};
  }
  if (PyCallable_Check(object.ptr()) != 0) {
    return {Plain::Code([function = py::reinterpret_borrow<py::object>(object)](const Parameters& parameters) {
      return make_call(function, parameters);
    })};
  }
  throw std::invalid_argument("a plan is plain data, but holds " + py::repr(object).cast<std::string>());
}

struct NamedColumn {
  std::string name;
  unsigned side;  // one bit
};

// A plan and the names of its columns.
class BoundPlan {
 public:
  BoundPlan(const py::list& columns, const py::list& units) {
    std::vector<std::string> names;
    for (const auto item : columns) {
      const auto pair = item.cast<std::pair<std::string, unsigned>>();
      columns_.push_back({pair.first, pair.second});
      names.push_back(pair.first);
    }
    plan_ = compile_plan(std::move(names), plain_of(units).list());
    sequence_.resize(plan_->features().size());
    for (const Unit& unit : plan_->units()) {
      for (const int f : unit.features) sequence_[static_cast<std::size_t>(f)] = unit.sequence;
    }
  }

  // sources: (side bits, object with __arrow_c_array__ of a record) pairs. A column comes from the first source that
  // has its side and its name.
  py::tuple run(const py::list& sources, std::int64_t rows, int threads) const {
    py::list keep;  // what the columns' memory belongs to
    Run run;
    run.columns.resize(columns_.size());
    std::vector<bool> found(columns_.size(), false);
    for (const auto item : sources) {
      const auto pair = item.cast<py::tuple>();
      const auto sides = pair[0].cast<unsigned>();
      const auto capsules = pair[1].attr("__arrow_c_array__")().cast<py::tuple>();
      keep.append(capsules);
      const auto* const schema =
          static_cast<const ArrowSchema*>(PyCapsule_GetPointer(capsules[0].ptr(), "arrow_schema"));
      const auto* const array = static_cast<const ArrowArray*>(PyCapsule_GetPointer(capsules[1].ptr(), "arrow_array"));
      if (schema == nullptr || array == nullptr) throw py::error_already_set();
      if (std::string_view(schema->format) != "+s") throw std::invalid_argument("a batch must be a record of columns");
      std::unordered_map<std::string_view, std::int64_t> by_name;
      for (std::int64_t i = 0; i < schema->n_children; ++i) by_name.emplace(schema->children[i]->name, i);
      for (std::size_t c = 0; c < columns_.size(); ++c) {
        if (found[c] || (columns_[c].side & sides) == 0) continue;
        const auto at = by_name.find(columns_[c].name);
        if (at == by_name.end()) continue;
        try {
          run.columns[c] = view_column(*schema->children[at->second], *array->children[at->second], array->offset);
        } catch (const std::invalid_argument& error) {
          throw std::invalid_argument("column '" + columns_[c].name + "' has " + error.what());
        }
        if (array->length != rows && array->length != 1)
          throw std::invalid_argument("a batch has " + std::to_string(array->length) + " rows, but " +
                                      std::to_string(rows) + " are computed");
        // A child of a record may be longer than the record.
        run.columns[c].length = array->length;
        found[c] = true;
      }
    }
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      if (!found[c]) throw py::key_error(columns_[c].name);
    }
    run.rows = rows;
    run.threads = threads;
    Result result;
    {
      const py::gil_scoped_release unlocked;
      result = plan_->run(run);
    }
    return pack(result, rows, keep);
  }

 private:
  py::tuple pack(Result& result, std::int64_t rows, const py::list& keep) const {
    const auto& features = plan_->features();
    py::list outputs;
    for (std::size_t f = 0; f < features.size(); ++f) {
      const Feature& feature = features[f];
      if (!feature.emitted) {
        outputs.append(py::none());
        continue;
      }
      if (result.borrowed[f] != nullptr) {
        const auto n = static_cast<py::ssize_t>(rows);
        py::array ids = py::array_t<std::int64_t>({n}, {}, result.borrowed[f], keep);
        py::detail::array_proxy(ids.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;  // it is the batch's
        outputs.append(py::make_tuple(std::move(ids), py::none(), py::none(), py::none()));
        continue;
      }
      Output& output = result.outputs[f];
      const bool sequence = sequence_[f] || feature.exploded;
      if (feature.exploded) {  // its values are elements of one id each
        if (output.single) {
          output.value_ends.resize(static_cast<std::size_t>(output.elements) + 1);
          for (std::int64_t e = 0; e <= output.elements; ++e) output.value_ends[static_cast<std::size_t>(e)] = e;
        }
        output.element_ends = std::move(output.value_ends);
        output.single = true;
      }
      if (feature.sink.discretizer == Discretizer::text || feature.sink.discretizer == Discretizer::numbers) {
        outputs.append(pack_values(feature, output, sequence));
        continue;
      }
      if (feature.vectors && feature.sink.discretizer != Discretizer::boundaries) {
        if (!sequence) {
          outputs.append(py::none());
          continue;
        }
        const auto dim = static_cast<py::ssize_t>(feature.sink.value_dim);
        const auto n = static_cast<py::ssize_t>(output.numbers.size()) / dim;
        outputs.append(py::make_tuple(to_numpy(std::move(output.numbers), {n, dim}),
                                      to_numpy(std::move(output.element_ends)), py::none(), py::none()));
        continue;
      }
      const py::object ends =
          output.single ? py::object(py::none()) : py::object(to_numpy(std::move(output.value_ends)));
      const py::object weights =
          feature.sink.weighted ? py::object(to_numpy(std::move(output.weights))) : py::object(py::none());
      py::array ids = to_numpy(std::move(output.ids));
      if (sequence) {
        outputs.append(py::make_tuple(std::move(ids), to_numpy(std::move(output.element_ends)), weights, ends));
      } else {
        outputs.append(py::make_tuple(std::move(ids), ends, weights, py::none()));
      }
    }
    Dense& block = result.dense;
    py::array dense = to_numpy(std::move(block.values),
                               {static_cast<py::ssize_t>(block.rows), static_cast<py::ssize_t>(block.width)});
    py::list bad;
    for (const Bad& one : result.bad)
      bad.append(
          py::make_tuple(one.row, one.feature, one.column, py::bytes(one.reason).attr("decode")("utf-8", "replace")));
    return py::make_tuple(outputs, dense, bad);
  }

  // Values that are no ids: (numbers, or text and its ends, value ends, element ends).
  static py::tuple pack_values(const Feature& feature, Output& output, bool sequence) {
    if (output.value_ends.empty()) output.value_ends.push(0);
    if (output.text_ends.empty()) output.text_ends.push(0);
    const py::object elements =
        sequence ? py::object(to_numpy(std::move(output.element_ends))) : py::object(py::none());
    const py::object ends = to_numpy(std::move(output.value_ends));
    if (feature.sink.discretizer == Discretizer::numbers)
      return py::make_tuple(to_numpy(std::move(output.doubles)), py::none(), ends, elements);
    return py::make_tuple(to_numpy(std::move(output.text)), to_numpy(std::move(output.text_ends)), ends, elements);
  }

  std::vector<NamedColumn> columns_;
  std::vector<bool> sequence_;  // by feature
  std::unique_ptr<Plan> plan_;
};

}  // namespace

void bind_plan(pybind11::module_& module) {
  py::class_<BoundPlan>(module, "Plan").def(py::init<const py::list&, const py::list&>()).def("run", &BoundPlan::run);
}

}  // namespace fg
