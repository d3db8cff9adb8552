// Python's view of the keys of dynamic tables.
#include <pybind11/stl.h>

#include <memory>
#include <mutex>

#include "bound_tables.h"
#include "keys.h"

namespace embedding {
namespace {

using Ids = py::array_t<std::int64_t>;

Ids rows_for(const py::object& ids, const std::int64_t*& data, std::int64_t& size) {
  const auto array = array_of<std::int64_t>(ids, "keys", 1);
  data = contiguous(array, "keys");
  size = array.shape(0);
  return Ids(size);
}

template <class T>
py::array_t<T> copied(const std::vector<T>& values) {
  return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

class __attribute__((visibility("hidden"))) BoundKeys {
 public:
  BoundKeys(std::int64_t capacity, const KeyRule& rule) : map(capacity, rule) {}

  Ids admit(const py::object& ids, std::uint32_t step) {
    const std::int64_t* data;
    std::int64_t size;
    Ids rows = rows_for(ids, data, size);
    std::int64_t* out = rows.mutable_data();
    {
      py::gil_scoped_release release;
      std::lock_guard<std::mutex> lock(mutex);
      map.admit(data, size, out, step);
    }
    return rows;
  }

  Ids find(const py::object& ids) {
    const std::int64_t* data;
    std::int64_t size;
    Ids rows = rows_for(ids, data, size);
    std::int64_t* out = rows.mutable_data();
    {
      py::gil_scoped_release release;
      std::lock_guard<std::mutex> lock(mutex);
      map.find(data, size, out);
    }
    return rows;
  }

  // (rows, keys) given since the last call.
  py::tuple take_fresh() {
    auto result = py::make_tuple(copied(map.fresh_rows), copied(map.fresh_keys));
    map.fresh_rows.clear();
    map.fresh_keys.clear();
    return result;
  }

  py::dict take_counts() {
    const KeyCounts counts = map.counts;
    map.counts = {};
    py::dict result;
    result["seen"] = counts.seen;
    result["found"] = counts.found;
    result["admitted"] = counts.admitted;
    result["evicted"] = counts.evicted;
    result["expired"] = counts.expired;
    result["refused"] = counts.refused;
    return result;
  }

  py::dict state() const {
    const auto size = static_cast<py::ssize_t>(map.size() + map.waiting());
    py::array_t<std::int64_t> ids(size);
    py::array_t<std::int32_t> rows(size);
    py::array_t<float> counts(size);
    py::array_t<std::uint32_t> steps(size);
    map.write(ids.mutable_data(), rows.mutable_data(), counts.mutable_data(), steps.mutable_data());
    py::dict result;
    result["keys"] = ids;
    result["rows"] = rows;
    result["counts"] = counts;
    result["steps"] = steps;
    result["sketch"] = copied(map.sketch());
    result["marks"] = copied(std::vector<std::int64_t>{static_cast<std::int64_t>(map.additions()), map.swept()});
    return result;
  }

  void restore(const py::object& ids, const py::object& rows, const py::object& counts, const py::object& steps,
               const py::object& sketch, const py::object& marks) {
    const auto key = array_of<std::int64_t>(ids, "keys", 1);
    const auto row = array_of<std::int32_t>(rows, "rows", 1);
    const auto count = array_of<float>(counts, "counts", 1);
    const auto step = array_of<std::uint32_t>(steps, "steps", 1);
    const auto cells = array_of<std::uint32_t>(sketch, "sketch", 1);
    const auto mark = array_of<std::int64_t>(marks, "marks", 1);
    const py::ssize_t size = key.shape(0);
    if (row.shape(0) != size || count.shape(0) != size || step.shape(0) != size || mark.shape(0) != 2)
      throw py::value_error("the parts of a key map have unequal lengths");
    std::vector<Key> keys(static_cast<std::size_t>(size));
    for (py::ssize_t i = 0; i < size; ++i)
      keys[static_cast<std::size_t>(i)] = {key.at(i), row.at(i), count.at(i), step.at(i)};
    std::vector<std::uint32_t> copy(static_cast<std::size_t>(cells.shape(0)));
    for (py::ssize_t i = 0; i < cells.shape(0); ++i) copy[static_cast<std::size_t>(i)] = cells.at(i);
    if (!map.restore(keys, copy, static_cast<std::uint64_t>(mark.at(0)), static_cast<std::uint32_t>(mark.at(1))))
      throw py::value_error("its keys or rows repeat, or there are more than it has room for");
  }

  KeyMap map;
  std::mutex mutex;
};

const std::int64_t* slots_of(const py::array_t<std::int64_t>& slots) {
  if (slots.shape(1) != 2 || slots.shape(0) < 2) throw py::value_error("slots must be (n, 2)");
  return contiguous(slots, "slots");
}

}  // namespace

void bind_keys(py::module_& m) {
  py::enum_<Counting>(m, "Counting", py::module_local())
      .value("none", Counting::none)
      .value("exact", Counting::exact)
      .value("sketch", Counting::sketch)
      .value("chance", Counting::chance);
  py::enum_<Eviction>(m, "Eviction", py::module_local())
      .value("lru", Eviction::lru)
      .value("lfu", Eviction::lfu)
      .value("score", Eviction::score);
  py::enum_<Start>(m, "Start", py::module_local()).value("normal", Start::normal).value("uniform", Start::uniform);

  py::class_<BoundKeys>(m, "KeyMap", py::module_local())
      .def(py::init([](std::int64_t capacity, Counting counting, std::uint32_t min_count, double probability,
                       std::int64_t candidates, std::int64_t sketch_width, Eviction eviction, double half_life,
                       std::uint32_t ttl, std::uint64_t seed) {
             if (capacity < 1 || capacity > std::numeric_limits<std::int32_t>::max())
               throw py::value_error("a capacity must lie in 1 .. 2^31 - 1");
             if (candidates < 0 || sketch_width < 0 || (counting == Counting::sketch && sketch_width < 1) ||
                 (eviction == Eviction::score && !(half_life > 0)))
               throw py::value_error("a rule of keys has a size below its least");
             const KeyRule rule{counting, min_count, probability, candidates, sketch_width,
                                eviction, half_life, ttl,         seed};
             return std::make_unique<BoundKeys>(capacity, rule);
           }),
           py::arg("capacity"), py::kw_only(), py::arg("counting") = Counting::none, py::arg("min_count") = 1,
           py::arg("probability") = 1.0, py::arg("candidates") = 0, py::arg("sketch_width") = 0,
           py::arg("eviction") = Eviction::lru, py::arg("half_life") = 0.0, py::arg("ttl") = 0, py::arg("seed") = 0)
      .def("admit", &BoundKeys::admit, py::arg("ids"), py::arg("step"))
      .def("find", &BoundKeys::find, py::arg("ids"))
      .def("take_fresh", &BoundKeys::take_fresh)
      .def("take_counts", &BoundKeys::take_counts)
      .def("state", &BoundKeys::state)
      .def("restore", &BoundKeys::restore, py::arg("keys"), py::arg("rows"), py::arg("counts"), py::arg("steps"),
           py::arg("sketch"), py::arg("marks"))
      .def_property_readonly("capacity", [](const BoundKeys& self) { return self.map.capacity(); })
      .def_property_readonly("size", [](const BoundKeys& self) { return self.map.size(); })
      .def_property_readonly("waiting", [](const BoundKeys& self) { return self.map.waiting(); })
      .def_property_readonly("bytes", [](const BoundKeys& self) { return self.map.bytes(); });

  m.def(
      "key_slots",
      [](const py::object& keys, const py::object& rows) {
        const auto ids = array_of<std::int64_t>(keys, "keys", 1);
        const auto held = array_of<std::int64_t>(rows, "rows", 1);
        const std::int64_t *data = contiguous(ids, "keys"), *at = contiguous(held, "rows");
        if (held.shape(0) != ids.shape(0)) throw py::value_error("every key has one row");
        const std::int64_t many = slots_for(ids.shape(0));
        py::array_t<std::int64_t> slots({static_cast<py::ssize_t>(many), py::ssize_t{2}});
        if (!write_slots(data, at, ids.shape(0), slots.mutable_data(), many))
          throw py::value_error("a key repeats, or has no row");
        return slots;
      },
      py::arg("keys"), py::arg("rows"));
  m.def(
      "find_keys",
      [](const py::object& slots, const py::object& ids) {
        const auto table = array_of<std::int64_t>(slots, "slots", 2);
        const std::int64_t* from = slots_of(table);
        const std::int64_t* data;
        std::int64_t size;
        Ids rows = rows_for(ids, data, size);
        std::int64_t* out = rows.mutable_data();
        {
          py::gil_scoped_release release;
          find_slots(from, table.shape(0), data, size, out);
        }
        return rows;
      },
      py::arg("slots"), py::arg("ids"));
  m.def(
      "start_rows",
      [](const py::object& weights, const py::object& rows, const py::object& keys, Start start, float value,
         std::uint64_t seed) {
        auto matrix = array_of<float>(weights, "a table", 2);
        contiguous(matrix, "a table");
        const auto row = array_of<std::int64_t>(rows, "rows", 1);
        const auto key = array_of<std::int64_t>(keys, "keys", 1);
        if (row.shape(0) != key.shape(0)) throw py::value_error("every row has one key");
        float* data = matrix.mutable_data();
        for (py::ssize_t i = 0; i < row.shape(0); ++i) {
          if (row.at(i) < 0 || row.at(i) >= matrix.shape(0)) throw py::index_error("a row is outside the table");
          start_row(start, value, seed, key.at(i), data + row.at(i) * matrix.shape(1),
                    static_cast<int>(matrix.shape(1)));
        }
      },
      py::arg("weights"), py::arg("rows"), py::arg("keys"), py::arg("start"), py::arg("value"), py::arg("seed"));
}

}  // namespace embedding
