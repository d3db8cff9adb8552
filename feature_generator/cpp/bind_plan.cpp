// Plan: from plain Python data, over Arrow batches, into numpy arrays.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <unordered_map>

#include "bind_call.h"
#include "bindings.h"
#include "numpy_view.h"
#include "plan.h"

namespace fg {
namespace {

namespace py = pybind11;

template <class T>
T get(const py::dict& dict, const char* key, T otherwise) {
  return dict.contains(key) && !dict[key].is_none() ? dict[key].cast<T>() : otherwise;
}

char one_byte(const py::dict& dict, const char* key, char otherwise) {
  const auto text = get<std::string>(dict, key, std::string(1, otherwise));
  if (text.size() != 1) throw std::invalid_argument(std::string(key) + " must be one byte");
  return text[0];
}

Parameters parameters_of(const py::dict& dict);

SinkRule sink_of(const py::dict& dict) {
  static const std::unordered_map<std::string, Discretizer> kinds = {{"none", Discretizer::none},
                                                                     {"hash", Discretizer::hash},
                                                                     {"range", Discretizer::range},
                                                                     {"vocabulary", Discretizer::vocabulary},
                                                                     {"boundaries", Discretizer::boundaries},
                                                                     {"text", Discretizer::text},
                                                                     {"numbers", Discretizer::numbers}};
  static const std::unordered_map<std::string, OutOfRange> outside = {
      {"default", OutOfRange::replace}, {"clip", OutOfRange::clip}, {"error", OutOfRange::error}};
  SinkRule rule;
  rule.discretizer = kinds.at(dict["discretizer"].cast<std::string>());
  rule.hash = get<std::string>(dict, "hash", "murmur64a") == "farmhash" ? Hash::farmhash : Hash::murmur64a;
  rule.size = get<std::int64_t>(dict, "size", 0);
  rule.out_of_range = outside.at(get<std::string>(dict, "out_of_range", "default"));
  rule.unknown = get<std::int64_t>(dict, "unknown", 0);
  rule.boundaries = get<std::vector<float>>(dict, "boundaries", {});
  rule.value_dim = get<std::uint32_t>(dict, "value_dim", 0);
  rule.weighted = get<bool>(dict, "weighted", false);
  rule.default_ids = get<std::vector<std::int64_t>>(dict, "default_ids", {});
  rule.default_numbers = get<std::vector<float>>(dict, "default_numbers", {});
  rule.default_texts = get<std::vector<std::string>>(dict, "default_texts", {});
  if (dict.contains("words"))
    rule.vocabulary = std::make_shared<Vocabulary>(dict["words"].cast<std::vector<std::string>>(),
                                                   dict["word_ids"].cast<std::vector<std::int64_t>>());
  const py::dict normalizer = get<py::dict>(dict, "normalizer", py::dict());
  const auto method = get<std::string>(normalizer, "method", "none");
  if (method == "log10") {
    rule.normalizer.method = Normalizer::Method::log10;
    rule.normalizer.threshold = normalizer["threshold"].cast<double>();
    rule.normalizer.fallback = normalizer["default"].cast<double>();
  } else if (method == "affine") {
    rule.normalizer.method = Normalizer::Method::affine;
    rule.normalizer.shift = normalizer["shift"].cast<double>();
    rule.normalizer.scale = normalizer["scale"].cast<double>();
  } else if (method == "expression") {
    rule.normalizer.method = Normalizer::Method::expression;
    rule.normalizer.expression = std::make_shared<const Expression>(parameters_of(normalizer));
    if (rule.normalizer.expression->inputs() != 1) throw std::invalid_argument("a normalizer has one variable");
  }
  if (rule.discretizer == Discretizer::hash && rule.size < 1) throw std::invalid_argument("a hash needs buckets");
  if (rule.discretizer == Discretizer::vocabulary && rule.vocabulary == nullptr)
    throw std::invalid_argument("no words");
  return rule;
}

Parameters parameters_of(const py::dict& dict) {
  Parameters parameters;
  for (const auto& [key, value] : dict) {
    const auto name = key.cast<std::string>();
    if (py::isinstance<py::bool_>(value)) {
      parameters.set(name, value.cast<bool>());
    } else if (py::isinstance<py::int_>(value)) {
      parameters.set(name, value.cast<std::int64_t>());
    } else if (py::isinstance<py::float_>(value)) {
      parameters.set(name, value.cast<double>());
    } else if (py::isinstance<py::str>(value) || py::isinstance<py::bytes>(value)) {
      parameters.set(name, value.cast<std::string>());
    } else {
      const auto list = py::reinterpret_borrow<py::object>(value).cast<py::list>();
      const bool texts = !list.empty() && (py::isinstance<py::str>(list[0]) || py::isinstance<py::bytes>(list[0]));
      texts ? parameters.set(name, list.cast<std::vector<std::string>>())
            : parameters.set(name, list.cast<std::vector<double>>());
    }
  }
  return parameters;
}

// How an input is read: separators and, of pairs, how what belongs to a key is read.
Reading reading_of(const py::dict& dict) {
  Reading reading;
  reading.separator = one_byte(dict, "separator", '\x1d');
  reading.delim = one_byte(dict, "delim", ';');
  reading.assign = one_byte(dict, "assign", ':');
  reading.assign_last = get<bool>(dict, "assign_last", false);
  reading.split = get<bool>(dict, "split", true);
  reading.sequence = get<bool>(dict, "sequence", false);
  reading.weighted = get<bool>(dict, "weighted", false);
  if (dict.contains("pairs") && !dict["pairs"].is_none())
    reading.pairs = std::make_shared<const Reading>(reading_of(dict["pairs"].cast<py::dict>()));
  if (get<bool>(dict, "folded", false)) {
    auto whole = std::make_shared<Reading>(reading);
    whole->pairs = nullptr;
    whole->split = false;
    reading.folded = std::move(whole);
  }
  if (reading.pairs != nullptr && reading.weighted) throw std::invalid_argument("pairs have no weights");
  return reading;
}

Feature feature_of(const py::dict& dict, std::size_t columns, std::size_t before) {
  Feature feature;
  const auto name = get<std::string>(dict, "operator", "copy");
  const Parameters parameters = parameters_of(get<py::dict>(dict, "parameters", py::dict()));
  if (name == "call") {
    feature.operation = make_call(dict["call"], parameters);
  } else if (name != "copy") {
    feature.operation = make_operation(name, parameters);
  }
  feature.sink = sink_of(dict["sink"].cast<py::dict>());
  feature.vectors = get<bool>(dict, "vectors", false);
  feature.exploded = get<bool>(dict, "exploded", false);
  feature.emitted = get<bool>(dict, "emitted", true);
  feature.shared = get<bool>(dict, "shared", false);
  for (const auto item : dict["inputs"].cast<py::list>()) {
    const auto in = item.cast<py::dict>();
    Input input;
    input.column = get<int>(in, "column", -1);
    input.feature = get<int>(in, "feature", -1);
    if (input.column >= static_cast<int>(columns) || input.feature >= static_cast<int>(before) ||
        (input.column < 0) == (input.feature < 0)) {
      throw std::invalid_argument("an input must be a column or an earlier feature");
    }
    input.reading = reading_of(in);
    feature.inputs.push_back(std::move(input));
  }
  if (feature.inputs.empty() || (feature.operation == nullptr && feature.inputs.size() != 1))
    throw std::invalid_argument("wrong number of inputs");
  if (feature.operation != nullptr) feature.operation->check(feature.inputs.size());
  if (feature.vectors && feature.sink.value_dim < 1 && feature.sink.discretizer != Discretizer::boundaries)
    throw std::invalid_argument("value_dim must be positive");
  if (!feature.sink.default_numbers.empty() && feature.sink.default_numbers.size() != feature.sink.value_dim)
    throw std::invalid_argument("a default must have value_dim numbers");
  return feature;
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
    std::vector<Feature> features;
    std::vector<Unit> compiled;
    for (const auto item : units) {
      const auto dict = item.cast<py::dict>();
      Unit unit;
      unit.level = get<int>(dict, "level", 0);
      unit.sequence = get<bool>(dict, "sequence", false);
      unit.shortest = get<bool>(dict, "shortest", false);
      unit.rule.most = get<std::uint32_t>(dict, "most", 0);
      unit.rule.newest_first = get<bool>(dict, "newest_first", false);
      unit.rule.keep_oldest = get<bool>(dict, "keep_oldest", false);
      unit.rule.pad_empty = get<bool>(dict, "pad_empty", false);
      const std::size_t before = features.size();
      bool any = !unit.sequence;
      for (const auto feature : dict["features"].cast<py::list>()) {
        unit.features.push_back(static_cast<int>(features.size()));
        features.push_back(feature_of(feature.cast<py::dict>(), columns_.size(), before));
        for (const Input& input : features.back().inputs) any = any || input.reading.sequence;
        const bool first = features.size() == before + 1;
        if (features.back().shared ? first : !first && !unit.sequence)
          throw std::invalid_argument("plain features of one unit share their values");
      }
      if (unit.features.empty() || !any) throw std::invalid_argument("a unit is some features or one sequence");
      sequence_.resize(features.size(), unit.sequence);
      compiled.push_back(std::move(unit));
    }
    plan_ = std::make_unique<Plan>(std::move(features), std::move(compiled), std::move(names));
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
