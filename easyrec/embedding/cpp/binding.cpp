// Python's view of the kernels: arrays in, checks, the GIL released around the work.
#include <pybind11/stl.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <string>

#include "bound_tables.h"
#include "lookup.h"
#include "sums.h"

namespace py = pybind11;
using namespace embedding;

namespace {

// Bags over the memory of one batch.
class Call {
 public:
  Call(std::shared_ptr<Tables> tables, std::vector<Bag> bags, std::int64_t num_rows, std::int64_t width,
       std::vector<py::object> keep)
      : tables(std::move(tables)), bags(std::move(bags)), num_rows(num_rows), width(width), keep_(std::move(keep)) {}

  // Fills out (num_rows, width). None, or what is wrong first: (bag, row, id or 0, kind).
  py::object lookup(const py::object& out) {
    const Fault fault = run(out, nullptr);
    if (fault.bag < 0) return py::none();
    const char* kinds[] = {"id", "offsets", "key_offsets"};
    return py::make_tuple(fault.bag, fault.row, fault.value, kinds[fault.what]);
  }

  // The same, where ids outside their table add nothing; returns how many they were.
  std::int64_t lookup_counting(const py::object& out) {
    std::int64_t bad = 0;
    const Fault fault = run(out, &bad);
    if (fault.bag >= 0) throw py::value_error("offsets do not ascend from 0 to the number of values");
    return bad;
  }

  std::shared_ptr<Tables> tables;
  std::vector<Bag> bags;
  std::int64_t num_rows, width;
  bool checked = false;

 private:
  Fault run(const py::object& out, std::int64_t* bad) {
    auto matrix = array_of<float>(out, "out", 2);
    if (matrix.shape(0) != num_rows || matrix.shape(1) != width) throw py::value_error("out has the wrong shape");
    const std::int64_t stride = row_stride(matrix, "out");
    float* data = matrix.mutable_data();
    py::gil_scoped_release release;
    const Fault fault =
        embedding::lookup(bags.data(), static_cast<int>(bags.size()), num_rows, data, stride, bad, tables->pool);
    checked = fault.bag < 0 && (!bad || *bad == 0);
    return fault;
  }

  std::vector<py::object> keep_;
};

// How the features of one buffer are looked up.
class Bags {
 public:
  // specs: (name, kind, table, dim, start, value_dim, mean, element_mean, open); kind 0 ids, 1 linear, 2 copy.
  Bags(std::shared_ptr<Tables> tables, const py::list& specs) : tables_(std::move(tables)) {
    for (const auto& item : specs) {
      const auto spec = py::cast<py::tuple>(item);
      Bag bag;
      names_.push_back(py::cast<std::string>(spec[0]));
      const int kind = py::cast<int>(spec[1]);
      if (kind < 0 || kind > 2) throw py::value_error("unknown kind of bag");
      bag.kind = static_cast<Kind>(kind);
      bag.table = py::cast<int>(spec[2]);
      bag.dim = py::cast<int>(spec[3]);
      bag.column = py::cast<std::int64_t>(spec[4]);
      bag.value_dim = py::cast<int>(spec[5]);
      bag.mean = py::cast<bool>(spec[6]);
      bag.element_mean = py::cast<bool>(spec[7]);
      bag.open = py::cast<bool>(spec[8]);
      if (bag.dim < 0 || bag.column < 0 || bag.value_dim < 1) throw py::value_error(names_.back() + ": bad shape");
      if (bag.kind == Kind::copy) {
        if (bag.dim != bag.value_dim) throw py::value_error(names_.back() + ": dim is not value_dim");
      } else {
        if (bag.table < 0 || static_cast<std::size_t>(bag.table) >= tables_->tables.size())
          throw py::value_error(names_.back() + ": no such table");
        const Table& table = tables_->tables[static_cast<std::size_t>(bag.table)];
        if (table.dim != bag.dim) throw py::value_error(names_.back() + ": dim is not the table's");
        if (bag.kind == Kind::linear && table.rows != bag.value_dim)
          throw py::value_error(names_.back() + ": the table has not one row per value");
        if (bag.kind == Kind::linear && (table.storage != Storage::fp32 || table.compressed))
          throw py::value_error(names_.back() + ": a table of values must be float32");
        bag.rows = table.weights;
        bag.storage = table.storage;
        bag.packed = table.packed;
        bag.compressed = table.compressed.get();
        bag.num_table_rows = table.rows;
      }
      width_ = std::max(width_, bag.column + bag.dim);
      bags_.push_back(bag);
    }
  }

  // data: per bag (values, offsets | None, weights | None, key_offsets | None).
  std::unique_ptr<Call> bind(const py::list& data, std::int64_t num_rows) const {
    if (data.size() != bags_.size()) throw py::value_error("as many inputs as bags are needed");
    if (num_rows < 0 || num_rows > std::numeric_limits<std::int32_t>::max()) throw py::value_error("too many rows");
    std::vector<Bag> bags = bags_;
    std::vector<py::object> keep;
    keep.reserve(2 * bags.size());
    for (std::size_t i = 0; i < bags.size(); ++i) {
      const auto parts = py::cast<py::tuple>(data[i]);
      if (parts.size() != 4) throw py::value_error(names_[i] + ": four parts are needed");
      fill(bags[i], names_[i], parts, num_rows, keep);
    }
    return std::make_unique<Call>(tables_, std::move(bags), num_rows, width_, std::move(keep));
  }

 private:
  static void fill(Bag& bag, const std::string& name, const py::tuple& parts, std::int64_t num_rows,
                   std::vector<py::object>& keep) {
    if (bag.kind == Kind::ids) {
      auto ids = array_of<std::int64_t>(parts[0], name, 1);
      bag.ids = contiguous(ids, name);
      bag.num_values = ids.shape(0);
      keep.push_back(ids);
    } else {
      auto values = array_of<float>(parts[0], name, 2);
      if (values.shape(1) != bag.value_dim) throw py::value_error(name + ": wrong number of values per row");
      bag.values = values.data();
      bag.value_stride = row_stride(values, name);
      bag.num_values = values.shape(0);
      keep.push_back(values);
    }
    if (bag.num_values > std::numeric_limits<std::int32_t>::max()) throw py::value_error(name + ": too many values");
    bag.num_elements = bag.num_values;
    if (!parts[3].is_none()) {
      if (bag.kind != Kind::ids) throw py::value_error(name + ": only ids have key_offsets");
      auto keys = array_of<std::int64_t>(parts[3], name + ": key_offsets", 1);
      bag.num_elements = keys.shape(0) - 1;
      bag.key_offsets = ends(keys, bag.num_values, name + ": key_offsets");
      keep.push_back(keys);
    }
    if (!parts[1].is_none()) {
      auto offsets = array_of<std::int64_t>(parts[1], name + ": offsets", 1);
      if (offsets.shape(0) != num_rows + 1) throw py::value_error(name + ": offsets must be one more than rows");
      bag.offsets = ends(offsets, bag.num_elements, name + ": offsets");
      keep.push_back(offsets);
    } else if (bag.num_elements != num_rows) {
      throw py::value_error(name + ": without offsets there must be one value per row, but there are " +
                            std::to_string(bag.num_elements) + " for " + std::to_string(num_rows) + " rows");
    }
    if (!parts[2].is_none()) {
      if (bag.kind != Kind::ids) throw py::value_error(name + ": only ids have weights");
      auto weights = array_of<float>(parts[2], name + ": weights", 1);
      if (weights.shape(0) != bag.num_values) throw py::value_error(name + ": one weight per id is needed");
      bag.weights = contiguous(weights, name + ": weights");
      keep.push_back(weights);
    }
  }

  // Offsets from 0 to `size`; that they ascend between is checked where they are read.
  static const std::int64_t* ends(const py::array_t<std::int64_t>& offsets, std::int64_t size,
                                  const std::string& what) {
    const std::int64_t* data = contiguous(offsets, what);
    const py::ssize_t count = offsets.shape(0);
    if (count < 1 || data[0] != 0 || data[count - 1] != size)
      throw py::value_error(what + " must ascend from 0 to " + std::to_string(size));
    return data;
  }

  std::shared_ptr<Tables> tables_;
  std::vector<std::string> names_;
  std::vector<Bag> bags_;
  std::int64_t width_ = 0;
};

// Sums over the fields of a buffer.
class Sums {
 public:
  // dims: columns of each field. matrix: (all dims, width). powers: 1 or 2 for each group of columns. ahead: by field,
  // what follows from each row of its table, (rows, width), or None.
  Sums(std::vector<int> dims, const py::object& matrix, const std::vector<int>& powers, const py::list& ahead) {
    const auto factors = array_of<float>(matrix, "the matrix", 2);
    std::int64_t total = 0;
    for (const int dim : dims) {
      if (dim < 1) throw py::value_error("a field has columns");
      total += dim;
    }
    plan_.matrix = contiguous(factors, "the matrix");
    plan_.width = factors.shape(1);
    keep_.push_back(factors);
    if (factors.shape(0) != total || plan_.width != static_cast<std::int64_t>(powers.size()) * kGroup ||
        ahead.size() != dims.size())
      throw py::value_error("the sums do not fit each other");
    for (const int power : powers) {
      if (power != 1 && power != 2) throw py::value_error("a power is 1 or 2");
      plan_.squares.push_back(power == 2);
    }
    for (const auto& one : ahead) {
      if (one.is_none()) {
        plan_.ahead.emplace_back();
        continue;
      }
      const auto rows = array_of<float>(one, "what is ahead", 2);
      if (rows.shape(1) != plan_.width) throw py::value_error("what is ahead has another width");
      plan_.ahead.push_back({contiguous(rows, "what is ahead"), rows.shape(0)});
      keep_.push_back(rows);
    }
    plan_.dims = std::move(dims);
  }

  // Fills out (rows, width) of a call; how many ids were outside their table.
  std::int64_t run(const Call& call, const py::object& out) const {
    auto matrix = array_of<float>(out, "out", 2);
    if (matrix.shape(0) != call.num_rows || matrix.shape(1) != plan_.width) throw py::value_error("out does not fit");
    if (call.bags.size() != plan_.dims.size()) throw py::value_error("the call has other fields");
    for (std::size_t i = 0; i < call.bags.size(); ++i)
      if (call.bags[i].dim != plan_.dims[i] || call.bags[i].kind == Kind::linear ||
          (plan_.ahead[i].rows != nullptr && call.bags[i].num_table_rows != plan_.ahead[i].size))
        throw py::value_error("the call has other fields");
    const std::int64_t stride = row_stride(matrix, "out");
    float* const data = matrix.mutable_data();
    std::int64_t bad = 0;
    py::gil_scoped_release release;
    const Fault fault = add_up(plan_, call.bags.data(), call.num_rows, data, stride, bad, call.tables->pool);
    if (fault.bag >= 0) {
      py::gil_scoped_acquire acquire;
      throw py::value_error("offsets do not ascend from 0 to the number of values");
    }
    return bad;
  }

 private:
  SumPlan plan_;
  std::vector<py::object> keep_;
};

// One optimizer step over the gradients of some calls.
class Work {
 public:
  Work(Tables& tables, const py::list& calls, const Step& step) : tables_(tables), step_(step) {
    sources_.resize(tables.tables.size());
    for (const auto& item : calls) {
      const auto pair = py::cast<py::tuple>(item);
      const Call& call = py::cast<const Call&>(pair[0]);
      if (call.tables.get() != &tables || !call.checked) throw py::value_error("a call was not looked up here");
      auto grad = array_of<float>(pair[1], "a gradient", 2);
      if (grad.shape(0) != call.num_rows || grad.shape(1) != call.width)
        throw py::value_error("a gradient has the wrong shape");
      const std::int64_t stride = row_stride(grad, "a gradient");
      for (const Bag& bag : call.bags)
        if (bag.table >= 0 && tables.trainable[static_cast<std::size_t>(bag.table)])
          sources_[static_cast<std::size_t>(bag.table)].push_back(
              {&bag, grad.data() + bag.column, stride, call.num_rows});
    }
    for (std::size_t t = 0; t < sources_.size(); ++t) {
      for (const Source& source : sources_[t])
        if (source.bag->kind != sources_[t][0].bag->kind) throw py::value_error("a table is both ids and linear");
      Table table = tables.tables[t];
      if (!tables.trainable[t]) table.rows = 0;
      trained_.push_back(table);
      with_rule(step.rule, [&](auto rule) {
        using R = decltype(rule);
        if (table.rows && ((R::a_width(table.dim) && !table.a) || (R::b_width(table.dim) && !table.b)))
          throw py::value_error("the tables have no state for this optimizer");
      });
    }
  }

  void apply() {
    int wrong;
    {
      py::gil_scoped_release release;
      std::lock_guard<std::mutex> lock(tables_.updating);
      wrong = tables_.updater.apply(trained_, sources_, step_, tables_.pool);
    }
    if (wrong >= 0) throw py::index_error("ids changed after their lookup: one is outside its table");
  }

  double square_sum() {
    int wrong;
    double sum = 0.0;
    {
      py::gil_scoped_release release;
      std::lock_guard<std::mutex> lock(tables_.updating);
      wrong = tables_.updater.square_sum(trained_, sources_, step_, tables_.pool, sum);
    }
    if (wrong >= 0) throw py::index_error("ids changed after their lookup: one is outside its table");
    return sum;
  }

 private:
  Tables& tables_;
  Step step_;
  std::vector<std::vector<Source>> sources_;
  std::vector<Table> trained_;
};

}  // namespace

PYBIND11_MODULE(NATIVE_MODULE, m) {
  py::enum_<Rule>(m, "Rule", py::module_local())
      .value("adam", Rule::adam)
      .value("rowwise_adagrad", Rule::rowwise_adagrad)
      .value("adagrad", Rule::adagrad)
      .value("sgd", Rule::sgd)
      .value("ftrl", Rule::ftrl);

  py::class_<Step>(m, "Step", py::module_local())
      .def(py::init([](Rule rule, float lr, float beta1, float beta2, float eps, float correction1, float correction2,
                       float l1, float l2, float beta, float scale, float regularizer, bool dense) {
             return Step{
                 rule, {lr, beta1, beta2, eps, l1, l2, beta, correction1, correction2}, scale, regularizer, dense};
           }),
           py::kw_only(), py::arg("rule"), py::arg("lr"), py::arg("beta1") = 0.0f, py::arg("beta2") = 0.0f,
           py::arg("eps") = 0.0f, py::arg("correction1") = 1.0f, py::arg("correction2") = 1.0f, py::arg("l1") = 0.0f,
           py::arg("l2") = 0.0f, py::arg("beta") = 0.0f, py::arg("scale") = 1.0f, py::arg("regularizer") = 0.0f,
           py::arg("dense") = false);

  py::class_<Tables, std::shared_ptr<Tables>> bound(m, "Tables", py::module_local());
  bound
      .def(py::init<const py::list&, const py::list&, const py::list&, std::vector<bool>, int>(), py::arg("weights"),
           py::arg("a"), py::arg("b"), py::arg("trainable"), py::arg("threads"))
      .def("apply", [](Tables& self, const py::list& calls, const Step& step) { Work(self, calls, step).apply(); })
      .def("square_sum",
           [](Tables& self, const py::list& calls, const Step& step) { return Work(self, calls, step).square_sum(); });
  bind_search(bound);
  bind_keys(m);
  bind_tier(m);
  bind_wanted(m);

  py::class_<Call>(m, "Call", py::module_local())
      .def_readonly("num_rows", &Call::num_rows)
      .def_readonly("width", &Call::width)
      .def("lookup", &Call::lookup)
      .def("lookup_counting", &Call::lookup_counting);

  py::class_<Bags>(m, "Bags", py::module_local())
      .def(py::init<std::shared_ptr<Tables>, const py::list&>(), py::arg("tables"), py::arg("specs"))
      .def("bind", &Bags::bind, py::arg("data"), py::arg("num_rows"));

  py::class_<Sums>(m, "Sums", py::module_local())
      .def(py::init<std::vector<int>, const py::object&, const std::vector<int>&, const py::list&>(), py::arg("dims"),
           py::arg("matrix"), py::arg("powers"), py::arg("ahead"))
      .def("run", &Sums::run, py::arg("call"), py::arg("out"));

  m.def("row_ids", [](const py::object& offsets, const py::object& rows) {
    auto from = array_of<std::int64_t>(offsets, "offsets", 1);
    auto to = array_of<std::int64_t>(rows, "rows", 1);
    const std::int64_t* data = contiguous(from, "offsets");
    contiguous(to, "rows");
    if (from.shape(0) < 1 || !row_ids(data, from.shape(0) - 1, to.shape(0), to.mutable_data()))
      throw py::value_error("offsets must ascend from 0 to the number of elements");
  });
}
