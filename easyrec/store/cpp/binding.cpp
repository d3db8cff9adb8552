// Python's view of the codec: bytes in and out, columns by the Arrow C data interface.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "record.h"
#include "row.h"

namespace py = pybind11;

namespace {

using Generations = std::vector<std::uint32_t>;
using Spans = std::vector<std::pair<std::uint16_t, Generations>>;

store::Span span_of(std::uint16_t slot, const Generations& generations) {
  if (!std::is_sorted(generations.begin(), generations.end())) throw std::invalid_argument("generations ascend");
  return {slot, generations};
}

std::vector<store::Span> spans_of(const Spans& given) {
  std::vector<store::Span> made;
  for (const auto& [slot, generations] : given) made.push_back(span_of(slot, generations));
  return made;
}

std::vector<store::ValueType> types_of(const std::vector<std::string>& texts) {
  std::vector<store::ValueType> made;
  for (const std::string& text : texts) made.push_back(store::parse_type(text));
  return made;
}

std::string_view view_of(py::handle value) {
  if (value.is_none()) return {};
  char* data = nullptr;
  py::ssize_t size = 0;
  if (PyBytes_AsStringAndSize(value.ptr(), &data, &size) != 0) throw py::error_already_set();
  return {data, static_cast<std::size_t>(size)};
}

std::vector<std::string_view> views_of(const py::list& values) {
  std::vector<std::string_view> made;
  made.reserve(values.size());
  for (const py::handle value : values) made.push_back(view_of(value));
  return made;
}

// Columns that wait to be taken by whoever knows the Arrow C data interface.
class Columns {
 public:
  Columns(ArrowSchema* schema, ArrowArray* array)
      : schema_(schema, "arrow_schema", [](void* p) { drop(static_cast<ArrowSchema*>(p)); }),
        array_(array, "arrow_array", [](void* p) { drop(static_cast<ArrowArray*>(p)); }) {}
  py::tuple take(const py::object&) const { return py::make_tuple(schema_, array_); }

 private:
  py::capsule schema_, array_;

  template <class T>
  static void drop(T* held) {
    if (held->release != nullptr) held->release(held);
    delete held;
  }
};

py::list pack(const std::vector<std::string>& types, std::uint16_t schema, const py::object& batch,
              const std::optional<py::array_t<std::int64_t, py::array::c_style>>& times) {
  const auto read = types_of(types);
  const auto capsules = batch.attr("__arrow_c_array__")().cast<py::tuple>();
  const fg::Column record =
      fg::view_column(*static_cast<const ArrowSchema*>(PyCapsule_GetPointer(capsules[0].ptr(), "arrow_schema")),
                      *static_cast<const ArrowArray*>(PyCapsule_GetPointer(capsules[1].ptr(), "arrow_array")));
  if (record.children.size() != read.size() || (times && times->size() != record.length))
    throw std::invalid_argument("the columns do not fit the types");
  std::string bytes;
  std::vector<std::int64_t> ends;
  const std::int64_t* const when = times ? times->data() : nullptr;
  {
    const py::gil_scoped_release unlocked;
    store::pack(read, record.children, when, schema, record.length, bytes, ends);
  }
  py::list rows(ends.size());
  std::int64_t start = 0;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    rows[i] = py::bytes(bytes.data() + start, static_cast<std::size_t>(ends[i] - start));
    start = ends[i];
  }
  return rows;
}

// What is read of the views of one entity, and where it goes.
class Reader {
 public:
  using Schema = std::tuple<std::uint16_t, std::vector<std::string>, std::vector<std::int32_t>>;
  using Given = std::tuple<std::uint16_t, Generations, std::int64_t, std::vector<Schema>, std::vector<std::int32_t>>;

  Reader(std::vector<std::string> names, const std::vector<std::string>& types, const std::vector<Given>& views)
      : names_(std::move(names)), types_(types_of(types)) {
    if (names_.size() != types_.size()) throw std::invalid_argument("each column has a name and a type");
    std::vector<char> owned(names_.size());
    for (const auto& [slot, generations, ttl, schemas, columns] : views) {
      store::View view{span_of(slot, generations), ttl, {}, columns};
      for (const std::int32_t column : columns) {
        if (column < 0 || static_cast<std::size_t>(column) >= owned.size() || owned[static_cast<std::size_t>(column)]++)
          throw std::invalid_argument("a column belongs to one view");
      }
      for (const auto& [number, texts, places] : schemas) {
        store::Layout layout{number, types_of(texts), places, {}};
        if (places.size() != texts.size()) throw std::invalid_argument("each field has a place");
        for (const std::int32_t column : columns) {
          const auto times = std::count(places.begin(), places.end(), column);
          if (times > 1) throw std::invalid_argument("two fields go to one column");
          if (times == 0) layout.absent.push_back(column);
        }
        for (std::size_t f = 0; f < places.size(); ++f) {
          if (places[f] < 0) continue;
          if (std::count(columns.begin(), columns.end(), places[f]) != 1 ||
              !same(store::as_read(layout.types[f]), types_[static_cast<std::size_t>(places[f])]))
            throw std::invalid_argument("a field goes to a column of its view and type");
        }
        view.layouts.push_back(std::move(layout));
      }
      views_.push_back(std::move(view));
    }
    if (std::count(owned.begin(), owned.end(), 1) != static_cast<std::ptrdiff_t>(owned.size()))
      throw std::invalid_argument("a column belongs to one view");
  }

  // Returns the columns, and hits, misses and expired rows by view.
  py::tuple read(const py::list& records, std::int64_t now) const {
    const auto bytes = views_of(records);
    std::vector<store::Counts> counts(views_.size());
    auto schema = std::make_unique<ArrowSchema>();
    auto array = std::make_unique<ArrowArray>();
    {
      const py::gil_scoped_release unlocked;
      std::vector<store::ColumnBuilder> columns;
      columns.reserve(types_.size());
      for (const store::ValueType& type : types_) {
        columns.emplace_back(type);
        columns.back().reserve(static_cast<std::int64_t>(bytes.size()));
      }
      for (const std::string_view record : bytes)
        for (std::size_t v = 0; v < views_.size(); ++v) store::unpack(record, views_[v], now, columns, counts[v]);
      store::release_record(std::move(columns), names_, static_cast<std::int64_t>(bytes.size()), *schema, *array);
    }
    Columns made(schema.release(), array.release());
    py::array_t<std::int64_t> told({static_cast<py::ssize_t>(counts.size()), py::ssize_t{3}});
    auto to = told.mutable_unchecked<2>();
    for (py::ssize_t v = 0; v < to.shape(0); ++v) {
      const store::Counts& one = counts[static_cast<std::size_t>(v)];
      to(v, 0) = one.hits, to(v, 1) = one.misses, to(v, 2) = one.expired;
    }
    return py::make_tuple(std::move(made), std::move(told));
  }

 private:
  std::vector<std::string> names_;
  std::vector<store::ValueType> types_;
  std::vector<store::View> views_;

  static bool same(const store::ValueType& a, const store::ValueType& b) {
    return a.kind == b.kind && a.dim == b.dim && a.items.size() == b.items.size() &&
           std::equal(a.items.begin(), a.items.end(), b.items.begin(), same);
  }
};

py::list splice(const py::list& records, std::uint16_t slot, std::uint32_t generation, const py::list& rows,
                const Spans& keep) {
  if (records.size() != rows.size()) throw std::invalid_argument("a row for each record");
  const auto spans = spans_of(keep);
  py::list made(records.size());
  for (std::size_t i = 0; i < records.size(); ++i)
    made[i] = py::bytes(store::spliced(view_of(records[i]), slot, generation, view_of(rows[i]), spans));
  return made;
}

py::list sweep(const py::list& records, const Spans& live) {
  const auto spans = spans_of(live);
  py::list made(records.size());
  for (std::size_t i = 0; i < records.size(); ++i) made[i] = py::bytes(store::swept(view_of(records[i]), spans));
  return made;
}

py::list newest(const py::list& records, std::uint16_t slot, const Generations& generations) {
  const store::Span span = span_of(slot, generations);
  py::list made(records.size());
  for (std::size_t i = 0; i < records.size(); ++i) {
    std::string_view row;
    if (store::newest(view_of(records[i]), span, row)) made[i] = py::bytes(row.data(), row.size());
    else made[i] = py::none();
  }
  return made;
}

py::list parts(const py::bytes& record) {
  py::list made;
  for (const store::Part& part : store::parts_of(view_of(record)))
    made.append(py::make_tuple(part.slot, part.generation, py::bytes(part.row.data(), part.row.size())));
  return made;
}

}  // namespace

PYBIND11_MODULE(NATIVE_MODULE, module) {
  module.def("check_type", [](const std::string& text) { store::parse_type(text); });
  module.def("pack", &pack, py::arg("types"), py::arg("schema"), py::arg("batch"),
             py::arg("times").noconvert().none(true));
  module.def("splice", &splice);
  module.def("sweep", &sweep);
  module.def("newest", &newest);
  module.def("parts", &parts);
  py::class_<Columns>(module, "Columns")
      .def("__arrow_c_array__", &Columns::take, py::arg("requested_schema") = py::none());
  py::class_<Reader>(module, "Reader")
      .def(py::init<std::vector<std::string>, const std::vector<std::string>&, const std::vector<Reader::Given>&>())
      .def("read", &Reader::read);
}
