// Python's view of the codec: bytes in and out, columns by the Arrow C data interface.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "record.h"
#include "row.h"
#include "sequence.h"

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

// A record batch that is held while it is looked at.
struct Batch {
  py::tuple capsules;
  fg::Column record;

  explicit Batch(const py::object& batch)
      : capsules(batch.attr("__arrow_c_array__")().cast<py::tuple>()),
        record(
            fg::view_column(*static_cast<const ArrowSchema*>(PyCapsule_GetPointer(capsules[0].ptr(), "arrow_schema")),
                            *static_cast<const ArrowArray*>(PyCapsule_GetPointer(capsules[1].ptr(), "arrow_array")))) {}
};

py::list pack(const std::vector<std::string>& types, std::uint16_t schema, const py::object& batch,
              const std::optional<py::array_t<std::int64_t, py::array::c_style>>& times) {
  const auto read = types_of(types);
  const Batch held(batch);
  const fg::Column& record = held.record;
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

// The layout of a schema: its number, and types and places of its fields.
using Schema = std::tuple<std::uint16_t, std::vector<std::string>, std::vector<std::int32_t>>;

bool same(const store::ValueType& a, const store::ValueType& b) {
  return a.kind == b.kind && a.dim == b.dim && a.items.size() == b.items.size() &&
         std::equal(a.items.begin(), a.items.end(), b.items.begin(), same);
}

// `inside`: the fields go to the items of the columns.
store::Layout layout_of(const Schema& schema, const std::vector<std::int32_t>& columns,
                        const std::vector<store::ValueType>& types, bool inside) {
  const auto& [number, texts, places] = schema;
  store::Layout layout{number, types_of(texts), places, {}};
  if (places.size() != texts.size()) throw std::invalid_argument("each field has a place");
  for (const std::int32_t column : columns) {
    const auto times = std::count(places.begin(), places.end(), column);
    if (times > 1) throw std::invalid_argument("two fields go to one column");
    if (times == 0) layout.absent.push_back(column);
  }
  for (std::size_t f = 0; f < places.size(); ++f) {
    if (places[f] < 0) continue;
    const bool own = std::count(columns.begin(), columns.end(), places[f]) == 1;
    const store::ValueType* type = own ? &types.at(static_cast<std::size_t>(places[f])) : nullptr;
    if (inside && own) type = type->kind == store::Kind::list ? type->items.data() : nullptr;
    if (type == nullptr || !same(store::as_read(layout.types[f]), *type))
      throw std::invalid_argument("a field goes to a column of its view and type");
  }
  return layout;
}

// A sequence: its events' names with the least play time, its length, ttl, whether items are distinct, the columns of
// item, name, time and age, those of other fields, and its layouts.
using Names = std::vector<std::pair<std::string, std::optional<double>>>;
using GivenSequence = std::tuple<Names, std::uint32_t, std::int64_t, bool, std::array<std::int32_t, 4>,
                                 std::vector<std::int32_t>, std::vector<Schema>>;
// Slot and generations of recent events, how many of a name are looked at, the item's type, which field of each layout
// is the play time, and the sequences.
using GivenEvents = std::tuple<std::uint16_t, Generations, std::uint32_t, std::string, std::vector<std::int32_t>,
                               std::vector<GivenSequence>>;

store::Behaviour behaviour_of(const GivenEvents& given, const std::vector<store::ValueType>& types) {
  const auto& [slot, generations, keep, item, plays, sequences] = given;
  store::Behaviour made{span_of(slot, generations), keep, store::parse_type(item).kind, plays, {}};
  for (const auto& [names, length, ttl, distinct, own, fields, schemas] : sequences) {
    store::Sequence sequence;
    for (const auto& [name, least] : names) sequence.names.push_back({name, least.value_or(0.0), least.has_value()});
    sequence.length = length, sequence.ttl = ttl, sequence.distinct = distinct;
    sequence.item = own[0], sequence.name = own[1], sequence.time = own[2], sequence.age = own[3];
    if (schemas.size() != plays.size()) throw std::invalid_argument("each layout says where the play time is");
    for (std::size_t i = 0; i < schemas.size(); ++i) {
      sequence.layouts.push_back(layout_of(schemas[i], fields, types, true));
      const auto& kinds = sequence.layouts.back().types;
      if (plays[i] >= 0 && (static_cast<std::size_t>(plays[i]) >= kinds.size() ||
                            kinds[static_cast<std::size_t>(plays[i])].width() < 4 ||
                            kinds[static_cast<std::size_t>(plays[i])].kind == store::Kind::vector))
        throw std::invalid_argument("a play time is a number");
    }
    sequence.columns = fields;
    for (std::size_t i = 0; i < own.size(); ++i) {
      if (own[i] < 0) continue;
      const store::Kind wanted = i == 0 ? made.item : i == 1 ? store::Kind::text : store::Kind::i64;
      const store::ValueType& type = types.at(static_cast<std::size_t>(own[i]));
      if (type.kind != store::Kind::list || type.items[0].kind != wanted)
        throw std::invalid_argument("a field goes to a column of its view and type");
      sequence.columns.push_back(own[i]);
    }
    made.sequences.push_back(std::move(sequence));
  }
  return made;
}

// What is read of the views of one entity, and where it goes.
class Reader {
 public:
  using Given = std::tuple<std::uint16_t, Generations, std::int64_t, std::vector<Schema>, std::vector<std::int32_t>>;

  // `events`: what is read of the views of events, by their place.
  Reader(std::vector<std::string> names, const std::vector<std::string>& types, const std::vector<Given>& views,
         const std::map<std::size_t, GivenEvents>& events)
      : names_(std::move(names)), types_(types_of(types)) {
    if (names_.size() != types_.size()) throw std::invalid_argument("each column has a name and a type");
    std::vector<char> owned(names_.size());
    for (const auto& [slot, generations, ttl, schemas, columns] : views) {
      store::View view{span_of(slot, generations), ttl, {}, columns};
      for (const std::int32_t column : columns) {
        if (column < 0 || static_cast<std::size_t>(column) >= owned.size() || owned[static_cast<std::size_t>(column)]++)
          throw std::invalid_argument("a column belongs to one view");
      }
      const auto own = events.find(views_.size());
      behaviours_.emplace_back();
      if (own != events.end()) behaviours_.back() = behaviour_of(own->second, types_);
      else
        for (const Schema& schema : schemas) view.layouts.push_back(layout_of(schema, columns, types_, false));
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
        for (std::size_t v = 0; v < views_.size(); ++v) {
          if (behaviours_[v]) store::unpack(record, views_[v], *behaviours_[v], now, columns, counts[v]);
          else store::unpack(record, views_[v], now, columns, counts[v]);
        }
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
  std::vector<std::optional<store::Behaviour>> behaviours_;  // of views of events
};

// Takes events and moments of one key after another, in the order in which they became known, and reads the sequences
// at each moment, as they would be read of a store that had been written so.
class Replay {
 public:
  Replay(std::vector<std::string> names, const std::vector<std::string>& types, std::vector<std::string> fields,
         bool named, const GivenEvents& events)
      : names_(std::move(names)),
        types_(types_of(types)),
        fields_(types_of(fields)),
        named_(named),
        behaviour_(behaviour_of(events, types_)) {}

  // Columns of the batch: key, number of the moment (null: an event), time, its name if events have one, item, fields.
  // Returns a row for each moment: its number, then the columns.
  Columns feed(const py::object& batch) {
    const Batch held(batch);
    const std::vector<fg::Column>& given = held.record.children;
    const std::size_t own = named_ ? 5 : 4;
    if (given.size() != own + fields_.size()) throw std::invalid_argument("the columns do not fit the types");
    auto schema = std::make_unique<ArrowSchema>();
    auto array = std::make_unique<ArrowArray>();
    {
      const py::gil_scoped_release unlocked;
      std::vector<store::ColumnBuilder> columns;
      for (const store::ValueType& type : types_) columns.emplace_back(type);
      columns.emplace_back(store::ValueType{store::Kind::i64, 0, {}});
      const std::int64_t* const times = given[2].values<std::int64_t>();
      std::string bytes;
      std::vector<std::int64_t> ends;
      store::pack(fields_, {given.begin() + static_cast<std::ptrdiff_t>(own), given.end()}, times, 1,
                  held.record.length, bytes, ends);
      std::int64_t moments = 0;
      for (std::int64_t row = 0; row < held.record.length; ++row) {
        const std::string_view key = store::text_at(given[0], row);
        if (key != key_ || none_) begin(key);
        if (given[1].is_null(row)) {
          const auto start = static_cast<std::size_t>(row == 0 ? 0 : ends[static_cast<std::size_t>(row) - 1]);
          const auto end = static_cast<std::size_t>(ends[static_cast<std::size_t>(row)]);
          add(times[row], named_ ? store::text_at(given[3], row) : std::string_view{},
              store::item_at(given[own - 1], row), std::string_view(bytes).substr(start, end - start));
          continue;
        }
        behaviour_.read(events_, times[row], columns);
        columns.back().add(reinterpret_cast<const char*>(given[1].values<std::int64_t>() + row), sizeof(std::int64_t));
        ++moments;
      }
      store::release_record(std::move(columns), names_, moments, *schema, *array);
    }
    return Columns(schema.release(), array.release());
  }

 private:
  std::vector<std::string> names_;
  std::vector<store::ValueType> types_, fields_;
  bool named_, none_ = true;
  store::Behaviour behaviour_;
  std::string key_;
  std::vector<store::Event> events_;
  std::deque<std::string> held_;  // what the events are views of

  void begin(std::string_view key) {
    none_ = false;
    key_ = key;
    events_.clear();
    held_.clear();
  }

  void add(std::int64_t time, std::string_view name, std::string_view item, std::string_view row) {
    const std::string& bytes = held_.emplace_back(std::string(name).append(item).append(row));
    const std::string_view all(bytes);
    const store::Event event{time, all.substr(0, name.size()), all.substr(name.size(), item.size()),
                             all.substr(name.size() + item.size())};
    const auto place = std::lower_bound(events_.begin(), events_.end(), event, store::before);
    if (place != events_.end() && !store::before(event, *place)) *place = event;
    else events_.insert(place, event);
  }
};

// Rows as events, those of a key together. Columns of the batch: the event's name if it has one, item, fields.
py::list pack_events(const std::vector<std::string>& types, std::uint16_t schema, const py::object& batch, bool named,
                     const py::array_t<std::int64_t, py::array::c_style>& times,
                     const py::array_t<std::int64_t, py::array::c_style>& groups, std::size_t count,
                     std::uint32_t keep) {
  const auto read = types_of(types);
  const Batch held(batch);
  const std::vector<fg::Column>& given = held.record.children;
  const std::int64_t rows = held.record.length;
  const std::size_t own = named ? 2 : 1;
  if (given.size() != own + read.size() || times.size() != rows || groups.size() != rows)
    throw std::invalid_argument("the columns do not fit the types");
  const std::int64_t* const when = times.data();
  const std::int64_t* const of = groups.data();
  std::vector<std::string> made;
  {
    const py::gil_scoped_release unlocked;
    std::string bytes;
    std::vector<std::int64_t> ends;
    store::pack(read, {given.begin() + static_cast<std::ptrdiff_t>(own), given.end()}, when, schema, rows, bytes, ends);
    std::vector<std::vector<store::Event>> events(count);
    std::deque<std::string> items;
    for (std::int64_t row = 0; row < rows; ++row) {
      const auto start = static_cast<std::size_t>(row == 0 ? 0 : ends[static_cast<std::size_t>(row) - 1]);
      const auto end = static_cast<std::size_t>(ends[static_cast<std::size_t>(row)]);
      const std::string& item = items.emplace_back(store::item_at(given[own - 1], row));
      events.at(static_cast<std::size_t>(of[row]))
          .push_back({when[row], named ? store::text_at(given[0], row) : std::string_view{}, item,
                      std::string_view(bytes).substr(start, end - start)});
    }
    for (std::vector<store::Event>& one : events) {
      store::settle(one);
      made.push_back(store::packed(one, keep));
    }
  }
  py::list rows_of(made.size());
  for (std::size_t i = 0; i < made.size(); ++i) rows_of[i] = py::bytes(made[i]);
  return rows_of;
}

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
  module.def("pack_events", &pack_events);
  module.def("joined", [](const py::bytes& earlier, const py::bytes& later) {
    return py::bytes(store::merged(view_of(earlier), view_of(later)));
  });
  py::class_<Replay>(module, "Replay")
      .def(py::init<std::vector<std::string>, const std::vector<std::string>&, std::vector<std::string>, bool,
                    const GivenEvents&>())
      .def("feed", &Replay::feed);
  module.def("pack", &pack, py::arg("types"), py::arg("schema"), py::arg("batch"),
             py::arg("times").noconvert().none(true));
  module.def("splice", &splice);
  module.def("sweep", &sweep);
  module.def("newest", &newest);
  module.def("parts", &parts);
  py::class_<Columns>(module, "Columns")
      .def("__arrow_c_array__", &Columns::take, py::arg("requested_schema") = py::none());
  py::class_<Reader>(module, "Reader")
      .def(py::init<std::vector<std::string>, const std::vector<std::string>&, const std::vector<Reader::Given>&,
                    const std::map<std::size_t, GivenEvents>&>(),
           py::arg("names"), py::arg("types"), py::arg("views"), py::arg("events") = py::dict())
      .def("read", &Reader::read);
}
